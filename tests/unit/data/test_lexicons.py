"""Word lists in the formats that people publish; the words here were chosen for the tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotone.data.formats.plain_yaml import MAX_DEPTH, read_plain_yaml
from emotone.data.lexicons import (
    DUTIR,
    MAPS,
    NRC,
    Lexicon,
    read_cntext,
    read_ecm_lists,
    read_lexicon,
    read_nrclex,
    read_tsv,
)
from emotone.emotions import EKMAN, NLPCC, TAXONOMIES
from emotone.errors import DataError, EmotoneError, UnknownName

DUTIR_YAML = """\
Name: 示例
Category:
- 乐
Dictionary:
    乐: [欢笑, "喜气　"]
    好: [温柔]
    怒:
    - 发火
    哀: [流泪]
    惧: [发抖]
    恶: [讨嫌, 848, no]
    惊: [愣住]
"""


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_cntext_yaml_keeps_every_word_as_it_is_written(tmp_path):
    lexicon = read_lexicon(put(tmp_path, "zh.yaml", DUTIR_YAML))
    assert lexicon.name == "dutir"
    assert lexicon.taxonomy is DUTIR
    assert lexicon.words["恶"] == {"讨嫌", "848", "no"}
    assert lexicon.words["乐"] == {"欢笑", "喜气"}
    assert "academic" in lexicon.licence


def test_dutir_is_mapped_by_the_written_tables(tmp_path):
    lexicon = read_cntext(put(tmp_path, "zh.yaml", DUTIR_YAML))
    six = lexicon.map_to(NLPCC).words
    assert six == {
        "other": {"发抖", "愣住"},
        "like": {"温柔"},
        "sadness": {"流泪"},
        "disgust": {"讨嫌", "848", "no"},
        "anger": {"发火"},
        "happiness": {"欢笑", "喜气"},
    }
    assert lexicon.map_to(EKMAN).words["joy"] == {"欢笑", "喜气", "温柔"}
    assert lexicon.map_to(EKMAN).words["neutral"] == frozenset()
    assert lexicon.map_to(DUTIR) is lexicon


def test_maps_are_total_and_name_labels_that_exist():
    sources = {"dutir": DUTIR, "nrc": NRC}
    for (source, target), table in MAPS.items():
        assert set(table) == set(sources[source].labels)
        assert {label for label in table.values() if label} <= set(TAXONOMIES[target].labels)


def test_map_without_a_table_is_refused(tmp_path):
    lexicon = read_cntext(put(tmp_path, "zh.yaml", DUTIR_YAML))
    with pytest.raises(UnknownName, match="dutir -> empathetic_dialogues"):
        lexicon.map_to(TAXONOMIES["empathetic_dialogues"])


def test_words_are_kept_under_the_labels_of_the_taxonomy():
    with pytest.raises(DataError, match="words for joy; give a set of words"):
        Lexicon("l", NLPCC, {"joy": frozenset({"好"})}, "own")


def test_map_by_the_tables_of_emotions():
    words = {label: frozenset({label + "字"}) for label in NLPCC.labels}
    mapped = Lexicon("l", NLPCC, words, "own").map_to(EKMAN)
    assert mapped.words["joy"] == {"like字", "happiness字"}


def test_nrclex_json_and_cntext_yaml_of_nrc_agree(tmp_path):
    table = {"calm": ["joy", "trust"], "storm": ["anger", "negative"]}
    by_word = read_lexicon(put(tmp_path, "nrc.json", json.dumps(table)))
    by_label = {label: [w for w, said in table.items() if label in said] for label in NRC.labels}
    by_yaml = read_lexicon(put(tmp_path, "nrc.yml", json.dumps({"Dictionary": by_label})))
    assert by_word == by_yaml
    assert by_word.map_to(EKMAN).words["joy"] == {"calm"}
    assert not by_word.map_to(EKMAN).words["neutral"]


def test_ecm_lists_are_a_folder_of_files(tmp_path):
    put(tmp_path, "emotion.word.none.txt", "发抖\r\n\r\n愣住 \n")
    put(tmp_path, "emotion.word.anger.txt", "发火\n发火\n")
    lexicon = read_lexicon(tmp_path)
    assert lexicon.taxonomy is NLPCC
    assert lexicon.words["other"] == {"发抖", "愣住"}
    assert lexicon.words["anger"] == {"发火"}
    assert lexicon.words["like"] == frozenset()


def test_tsv_takes_labels_and_their_aliases(tmp_path):
    path = put(tmp_path, "mine.tsv", "\ufeff欢笑\t快乐\n\n流泪\tsad\n")
    assert read_lexicon(path).words["happiness"] == {"欢笑"}
    assert read_tsv(path, EKMAN).words["sadness"] == {"流泪"}


BAD = {
    "no mapping.yaml": ("- a\n", r"no mapping 'Dictionary'"),
    "other labels.yaml": ("Dictionary: {pos: [a]}\n", r"its labels are pos"),
    "no list.yaml": (DUTIR_YAML.replace("[温柔]", "温柔"), r"'好' is not a list of words"),
    "nested.yaml": (DUTIR_YAML.replace("[温柔]", "[[温柔]]"), r"'好' is not a list of words"),
    "key twice.yaml": (DUTIR_YAML + "    好: [美]\n", r"line 13: the key '好' comes twice"),
    "reference.yaml": ("a: &x [1]\nb: *x\n", r"line 1: references"),
    "type.yaml": ("a: 1\nb: !!python/object/apply:os.system [ls]\n", r"line 2: the type"),
    "deep.yaml": ("[" * 100_000, r"line 1: nests deeper than 20"),
    "two.yaml": ("a: b\n---\nc: d\n", r"line 2: a second document"),
    "open quote.yaml": ("a: b\nc: 'd\n", r"line \d: this is not YAML"),
    "zero.yaml": ("a: \0\n", r"this is not YAML"),
    "odd key.yaml": ("? [a]\n: b\n", r"line 1: a key is a list"),
    "open.json": ("{", r"no JSON"),
    "deep.json": ("[" * 100_000, r"no JSON"),
    "list.json": ("[1]", r"a list; give an object"),
    "number.json": ('{"a": 1}', r"'a' is not a list of words"),
    "label.json": ('{"a": ["joi"]}', r"word 'a' has unknown label 'joi'; did you mean 'joy'"),
    "half.json": ('{"a": ["\\ud800"]}', r"half a surrogate pair"),
    "fields.tsv": ("好\tlike\n坏\n", r"line 2: give a word, one tab and a label"),
    "three.tsv": ("好\tlike\tx\n", r"line 1: give a word, one tab and a label"),
    "label.tsv": ("好\tlove\n", r"line 1: unknown emotion for nlpcc 'love'"),
    "empty.tsv": ("\n", r"no word is in it"),
    "bytes.tsv": (b"\xff\tlike\n", r"line 1: byte 1 is not UTF-8"),
    "what.csv": ("a,b\n", r"what\.csv is not a word list"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_lists_are_refused_in_one_sentence(tmp_path, name):
    content, message = BAD[name]
    with pytest.raises(DataError, match=message):
        read_lexicon(put(tmp_path, name, content))


def test_folders_without_lists_or_with_an_unknown_class_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds no emotion"):
        read_ecm_lists(tmp_path)
    put(tmp_path, "emotion.word.hapiness.txt", "a\n")
    with pytest.raises(DataError, match="did you mean 'happiness'"):
        read_ecm_lists(tmp_path)
    with pytest.raises(DataError, match="name a file that is here"):
        read_nrclex(tmp_path / "none.json")


@given(
    st.recursive(
        st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs", "Cc"]), max_size=6),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("ab好", max_size=2), inner)
        ),
        max_leaves=8,
    )
)
def test_yaml_of_text_comes_back_as_text(value):
    # JSON is YAML; escapes keep the signs that YAML refuses raw.
    assert read_plain_yaml(json.dumps(value), "x.yaml") == value


def test_yaml_depth_counts_open_brackets():
    assert read_plain_yaml("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1), "x") is not None
    with pytest.raises(DataError, match="nests deeper"):
        read_plain_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, "x")


@given(st.text("ab:-[]{}\"'&*!%@#|>?, \n\t好\0", max_size=40))
def test_any_yaml_is_read_or_refused_in_words(text):
    try:
        read_plain_yaml(text, "x.yaml")
    except EmotoneError as error:
        said = str(error)
    else:
        said = "x.yaml"
    assert said.startswith("x.yaml")


def test_real_lists_have_their_published_sizes(data: Path):
    folder = data / "lexicon"
    if not folder.is_dir():
        pytest.skip("EMOTONE_DATA holds no lexicon folder")
    ecm = read_lexicon(folder / "ecm_emotion_words")
    dutir = read_lexicon(folder / "cntext/zh_common_DUTIR.yaml.gz")
    assert {label: len(words) for label, words in ecm.words.items()} == {
        "other": 1403, "like": 11070, "sadness": 2311, "disgust": 10252, "anger": 388,
        "happiness": 1964,
    }  # fmt: skip
    # ECM's lists are DUTIR's by the table of this project, but for a handful of words.
    mapped = dutir.map_to(NLPCC)
    for label, words in ecm.words.items():
        assert len(words ^ mapped.words[label]) <= 5
    nrc = read_lexicon(folder / "nrclex/nrc_en.json.gz")
    assert nrc == read_lexicon(folder / "cntext/en_common_NRC.yaml.gz")
    assert len(frozenset().union(*nrc.words.values())) == 6468
