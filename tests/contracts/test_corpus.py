"""The contract of a corpus, on every one that is found.

Nothing is listed here: a new file in `emotone/data/corpora` is under the contract at once, and so
is a corpus of somebody else's, written below into a temporary folder.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import GeneratorType

import pytest

from emotone.data import corpora
from emotone.data.corpus import Corpus
from emotone.data.examples import example_line, read_examples
from emotone.data.reading import Problems
from emotone.emotions import EKMAN, NLPCC, TAXONOMIES
from emotone.errors import DataError, EmotoneError, UnknownName
from emotone.types import Example
from unit.data.samples import write_sample

OUTSIDE = "outside_corpus.two_lines"
OUTSIDE_SOURCE = '''
"""Two lines: a corpus outside of emotone."""

from emotone.data.corpus import Corpus, find
from emotone.data.reading import read_lines
from emotone.types import Dialogue, Example

CORPUS = Corpus("two_lines", "lines", ("en",), (), "ours; written here", {"all": ("lines.txt",)})
SAMPLE = {"lines.txt": "Hello.\\nGood bye.\\n"}


def read(where, problems, *, split=None):
    for part, path in find(CORPUS, where, split):
        for line, text in read_lines(path, problems):
            with problems.at(path, line):
                yield Example(f"{part}-{line}", Dialogue.of(text))
'''


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    package = tmp_path / "code" / "outside_corpus"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "two_lines.py").write_text(OUTSIDE_SOURCE)
    monkeypatch.syspath_prepend(str(package.parent))
    yield
    for name in [name for name in sys.modules if name.startswith("outside_corpus")]:
        del sys.modules[name]


EVERY = pytest.mark.parametrize("name", [*corpora.names(), OUTSIDE])
pytestmark = pytest.mark.usefixtures("outside")


def sample(name: str, tmp_path: Path) -> Path:
    return write_sample(name, tmp_path / "sample")


def examples(name: str, where: Path, **kwargs: str) -> list[Example]:
    return list(corpora.module(name).read(where, Problems(), **kwargs))


def test_the_corpora_of_the_field_are_here():
    assert len(corpora.names()) >= 26
    assert {"ecm", "nlpcc2017", "empathetic_dialogues", "epitome"} <= set(corpora.names())


@EVERY
def test_it_says_what_it_is(name: str):
    corpus = corpora.module(name).CORPUS
    assert isinstance(corpus, Corpus)
    assert corpus.name == name.rpartition(".")[2]
    assert corpus.title
    assert corpus.langs
    assert set(corpus.langs) <= {"en", "zh"}
    assert ";" in corpus.licence, "a licence line says terms; and where the data comes from"
    assert "\n" not in corpus.title + corpus.licence + corpus.note
    assert all(t.name in TAXONOMIES for t in corpus.taxonomies)
    assert all(patterns for patterns in corpus.files.values())
    assert set(corpus.default) <= set(corpus.files)


@EVERY
def test_its_labels_reach_the_systems_label_sets(name: str):
    for taxonomy in corpora.module(name).CORPUS.taxonomies:
        for emotion in taxonomy:
            assert taxonomy.map_to(emotion, EKMAN) in EKMAN
            assert taxonomy.map_to(emotion, NLPCC) in NLPCC


@EVERY
def test_its_sample_is_read(name: str, tmp_path: Path):
    corpus = corpora.module(name).CORPUS
    found = corpora.module(name).read(sample(name, tmp_path), Problems())
    assert isinstance(found, GeneratorType), "a reader streams"
    made = list(found)
    assert made
    assert len({example.id for example in made}) == len(made)
    allowed = {taxonomy.name for taxonomy in corpus.taxonomies}
    for example in made:
        assert example.lang in corpus.langs
        emotions = [post.emotion for post in example.dialogue.posts if post.emotion]
        emotions += [emotion for emotion, _ in example.emotion.parts] if example.emotion else []
        assert {emotion.taxonomy for emotion in emotions} <= allowed
        assert all(emotion in TAXONOMIES[emotion.taxonomy] for emotion in emotions)
        for text in (*(post.text for post in example.dialogue.posts), example.reply or "x"):
            assert text == text.strip()
            if example.lang == "zh":
                assert " " not in text, "blanks of a segmenter are taken out"


@EVERY
def test_what_it_gives_can_be_written_and_read_again(name: str, tmp_path: Path):
    made = examples(name, sample(name, tmp_path))
    assert list(read_examples(map(example_line, made), "again")) == made


@EVERY
def test_a_packed_file_is_the_same(name: str, tmp_path: Path):
    where = sample(name, tmp_path)
    plain = examples(name, where)
    for path in [path for path in where.rglob("*") if path.is_file()]:
        packed = path.with_name(f"{path.name}.gz")
        packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    assert examples(name, where) == plain, "a file that is there twice is read once"
    for path in [path for path in where.rglob("*") if path.is_file() and path.suffix != ".gz"]:
        path.unlink()
    assert examples(name, where) == plain


@EVERY
def test_each_split_of_the_sample_can_be_read_alone(name: str, tmp_path: Path):
    where = sample(name, tmp_path)
    corpus = corpora.module(name).CORPUS
    parts: list[Example] = []
    for split in corpus.default or corpus.files:
        with suppress(DataError):  # a sample need not have every split
            parts += examples(name, where, split=split)
    assert parts == examples(name, where)
    with pytest.raises(UnknownName, match="unknown split"):
        examples(name, where, split="dreams")


@EVERY
def test_an_empty_folder_and_a_missing_one_give_one_clean_sentence(name: str, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for where in (empty, tmp_path / "absent"):
        with pytest.raises(DataError) as caught:
            examples(name, where)
        said = str(caught.value)
        assert "\n" not in said
        assert where.name in said
        assert ";" in said, "what to do stands after what came"


def _garbage(path: Path) -> None:
    path.write_bytes(b"\x00\xff\xfe{[<garbage\t\t\n" * 3)


def _cut(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(gzip.compress(whole * 50)[: max(20, len(whole) // 8)])


@EVERY
@pytest.mark.parametrize("damage", [_garbage, _cut], ids=["garbage", "a cut gzip file"])
def test_damage_is_a_data_error_with_the_file_and_is_counted_when_skipping(
    name: str, damage: Callable[[Path], None], tmp_path: Path
):
    where = sample(name, tmp_path)
    for path in [path for path in where.rglob("*") if path.is_file()]:
        damage(path)
    files = {path.name for path in where.rglob("*")}
    with pytest.raises(EmotoneError) as caught:
        examples(name, where)
    assert isinstance(caught.value, DataError)
    assert any(file in str(caught.value) for file in files)
    problems = Problems("skip")
    list(corpora.module(name).read(where, problems))
    assert problems.count > 0
    assert problems.places


def test_an_unknown_corpus_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownName, match="did you mean 'meld'"):
        corpora.module("meldd")
    with pytest.raises(UnknownName, match="Importing it failed"):
        corpora.module("no.such.module")
    with pytest.raises(UnknownName, match="offers no CORPUS and no read"):
        corpora.module("json.decoder")


def test_a_name_may_be_written_with_a_dash():
    assert corpora.module("empathetic-dialogues").CORPUS.name == "empathetic_dialogues"
