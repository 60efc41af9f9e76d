"""Every file of the recurrent systems loads, its header is true, and papers' sizes make a step."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from emotone import config as configs
from emotone import systems
from emotone.data.batch import collate
from emotone.data.pairs import Pair, encode
from emotone.data.vocab import SPECIALS, Vocabulary
from emotone.emotions import TAXONOMIES
from emotone.recurrent.corpus import Corpus
from emotone.recurrent.model import initial
from emotone.training.optim import optimiser

ROOT = Path(__file__).parents[3]
SYSTEMS = ("a_seq2seq", "ecm", "emo_seq")
FILES = sorted(path for name in SYSTEMS for path in (ROOT / "configs" / name).glob("*.toml"))
NAMES = [str(path.relative_to(ROOT)) for path in FILES]
PAPER = [path for path in FILES if "paper" in path.stem]
TABLE3 = [path for path in FILES if path.stem == "zh-table3"]


def header(path: Path) -> str:
    lines = path.read_text("utf-8").split("\n\n")[0].splitlines()
    assert lines, f"{path} has no header"
    assert all(line.startswith("#") for line in lines), f"{path} has no header"
    return "\n".join(line.removeprefix("# ") for line in lines)


def config(path: Path) -> Any:
    return configs.load(systems.module(path.parent.name).Config, path)


def test_there_is_a_small_and_a_paper_preset_of_each_system():
    for name in ("a_seq2seq", "ecm", "emo_seq"):
        for preset in ("zh-small", "en-small", "zh-paper"):
            assert ROOT / f"configs/{name}/{preset}.toml" in FILES


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_file_loads_and_is_of_its_language(path: Path):
    loaded = config(path)
    assert path.stem.split("-")[0] in (loaded.data.lang, "synthetic")
    assert loaded.data.taxonomy == {"zh": "nlpcc", "en": "ekman"}[loaded.data.lang]
    assert configs.load(type(loaded), path) == loaded


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_the_command_of_the_header_trains_this_file(path: Path):
    (said,) = re.findall(r"^Command: (.+)$", header(path), re.M)
    command = shlex.split(said)
    out = f"out/{path.parent.name}-{path.stem.removesuffix('-small')}"
    if path.stem.endswith("-parallel"):  # where `recipes.recurrent.pack --second` looks
        out = f"out/second/{path.parent.name}-{path.stem.removesuffix('-parallel')}"
    assert command == [
        *("emotone", "train", path.parent.name),
        *("--config", str(path.relative_to(ROOT))),
        *("--out", "runs/echo" if path.stem == "synthetic" else out),
    ]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_the_data_of_the_header_are_those_of_the_file(path: Path):
    text, data = " ".join(header(path).split()), config(path).data
    files = [f for f in (data.train, data.dev, data.texts) if f is not None]
    assert len({file.parent for file in files}) == 1
    if path.stem.endswith("small"):
        (folder,) = re.findall(r"`emotone data prepare \S+ --output (\S+)`", text)
        assert Path(folder) == data.train.parent
        assert f"prepare {data.lang}-pairs" in text
        assert f"recipes.word_vectors.make --lang {data.lang}" in text
        assert data.vectors == Path(
            f"out/word_vectors/{data.lang}-{config(path).sizes.embedding}.txt.gz"
        )
    elif path.stem.endswith(("start", "parallel")):
        assert "`python -m recipes.recurrent.clear`" in text
        assert f"`python -m recipes.recurrent.parallel {data.lang}`" in text
        begins = {
            "zh-start": None,
            "zh-parallel": Path("out/a_seq2seq-zh-start"),
            "en-parallel": Path("out/a_seq2seq-en"),
        }
        assert config(path).start == begins[path.stem]
    elif path.stem == "synthetic":
        assert f"`emotone data prepare synthetic --output {data.train.parent}`" in text
    else:
        assert f"{data.train} and {data.dev.name}" in text
        assert data.vectors is None or data.vectors.name.split(".bz2")[0] in text
    for page in re.findall(r"docs/\S+\.md", text):
        # The page of results is written from the runs.
        assert (ROOT / page).exists() or re.search(r"recurrent-.*results\.md$", page), page


@pytest.mark.parametrize("preset", ["zh-small", "en-small", "zh-parallel", "en-parallel"])
def test_presets_differ_in_nothing_but_the_system(preset: str):
    made = [config(ROOT / f"configs/{name}/{preset}.toml") for name in SYSTEMS]
    for part in ("data", "sizes", "training", "replies", "start"):
        assert len({repr(getattr(one, part)) for one in made}) == 1, part


def test_table_3_is_under_the_same_settings():
    """Same network, vectors, words and training, of which `small` has a tenth."""
    assert [path.parent.name for path in TABLE3] == list(SYSTEMS)
    configurations = [config(path) for path in TABLE3]
    for part in ("data", "sizes", "training", "replies", "start"):
        assert len({repr(getattr(one, part)) for one in configurations}) == 1, part
    data, sizes = configurations[0].data, configurations[0].sizes
    assert (data.vocabulary, data.vectors and data.vectors.stem) == (
        40_000,
        "sgns.weibo.bigram-char",
    )
    assert (sizes.cell, sizes.embedding, sizes.bidirectional) == ("lstm", 300, True)
    # The network of the paper that prints the table.
    assert sizes == config(ROOT / "configs/emo_seq/zh-paper.toml").sizes


# -- papers' presets -------------------------------------------------------------------------------


def corpus(words: int) -> Corpus:
    """Words without meaning, and some of them for each emotion."""
    taxonomy = TAXONOMIES["nlpcc"]
    vocabulary = Vocabulary((*SPECIALS, *(f"w{i}" for i in range(words - len(SPECIALS)))))
    empty = encode([], vocabulary)
    lists = [
        () if e == taxonomy.neutral else (f"w{i}", f"w{i + 10}")
        for i, e in enumerate(taxonomy.labels)
    ]
    return Corpus("zh", vocabulary, taxonomy, empty, empty, emotion_words=tuple(lists))


ROWS = [
    Pair((7, 8, 9), (5, 15, 30), 1),
    Pair((11,), (16,), 1),
    Pair((12, 13, 14, 15), (40, 41, 6, 42, 43, 44), 1),
]


def one_step(path: Path, words: int) -> tuple[Any, float, float]:
    """Train a step; return the network and the objective before and after it."""
    chosen = config(path)
    module = systems.module(path.parent.name)
    network = initial(module.build, chosen, corpus(words))
    network.train()
    learn = optimiser(network.parameters(), chosen.training, torch.device("cpu"))
    batch = collate(ROWS)

    def objective() -> torch.Tensor:
        torch.manual_seed(1)
        lost = network(batch)
        return lost.token_loss / lost.tokens + lost.row_loss / lost.rows

    with torch.random.fork_rng(devices=[]):
        before = objective()
        before.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), chosen.training.clip)
        learn.step()
        with torch.no_grad():
            after = objective()
    return network, float(before.detach()), float(after)


#: What the papers and ECM's code say.
PUBLISHED: dict[str, dict[str, Any]] = {
    "ecm": {
        "sizes": {
            "embedding": 100,
            "encoder_hidden": 256,
            "encoder_layers": 2,
            "bidirectional": False,
            "hidden": 256,
            "layers": 2,
            "cell": "gru",
            "attention": "additive",
            "reads": "state+context",
            "tied": False,
            "dropout": 0.0,
        },
        "parts": {
            "embedding": True,
            "internal": True,
            "external": True,
            "width": 100,
            "memory": 256,
        },
        "training": {
            "optimiser": "sgd",
            "lr": 0.5,
            "decay": 0.99,
            "batch": 128,
            "clip": 5.0,
            "epochs": 20,
        },
    },
    "emo_seq": {
        "sizes": {
            "embedding": 300,
            "bidirectional": True,
            "cell": "lstm",
            "attention": "general",
            "first_context": "last",
            "reads": "state",
        },
        "guide": {"weight": 1.0, "tag": True, "joint": False},
    },
}
PUBLISHED["a_seq2seq"] = {k: PUBLISHED["ecm"][k] for k in ("sizes", "training")}


@pytest.mark.parametrize("path", PAPER, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_papers_presets_have_the_published_sizes(path: Path):
    loaded = config(path)
    assert loaded.data.vocabulary == 40_000
    assert (loaded.sizes.blank, loaded.replies.candidates) == (0.0, 1)  # not in the papers
    for part, said in PUBLISHED[path.parent.name].items():
        for key, value in said.items():
            assert getattr(getattr(loaded, part), key) == value, key
    if path.parent.name == "ecm":
        assert loaded.parts.style == ("fixed" if "fixed" in path.stem else "faithful")


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [*PAPER, *TABLE3], ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_papers_presets_make_a_step_on_40000_words(path: Path):
    network, before, after = one_step(path, config(path).data.vocabulary)
    assert after < before
    assert len(network.core.weight) == 40_000
