"""Files as people have them: marks, other encodings, one line, other names, other chats."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
import sys
from pathlib import Path

import pytest

from emotone.data import corpora
from emotone.data.reading import Problems, read_lines, whole_text
from emotone.data.source import open_source, read_file
from emotone.data.word_vectors import read_word_vectors
from emotone.errors import DataError
from emotone.evaluation.inputs import named_examples, source_lines

from .samples import write_sample

MARK = b"\xef\xbb\xbf"


def examples(name, path, problems=None):
    problems = problems or Problems()
    return list(open_source(name, path, problems).examples)


def chats(tmp_path, *rows, name="c.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    problems = Problems()
    made = examples("messages", path, problems)
    talks = [(*(post.text for post in e.dialogue.posts), e.reply) for e in made]
    return talks, dict(problems.left_out)


USER, REPLY = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello."}


# -- marks, encodings, packing --------------------------------------------------------------------


def test_marks_of_joined_files_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.jsonl"
    blob = MARK + b'{"post":"a"}\r\n' + MARK + b'{"post":"b"}\r\n'
    path.write_bytes(blob)
    for lines in (source_lines(path), [line for _, line in read_lines(path, Problems())]):
        assert [e.dialogue.posts[-1].text for e in named_examples(lines, path, None)] == ["a", "b"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(blob)))
    assert whole_text("-") == '{"post":"a"}\n{"post":"b"}\n'


@pytest.mark.parametrize("name", corpora.names())
def test_a_mark_before_any_corpus_changes_nothing(name: str, tmp_path: Path):
    where = write_sample(name, tmp_path)
    before = examples(name, where)
    for path in where.rglob("*"):
        if path.is_file():
            path.write_bytes(MARK + path.read_bytes())
    assert examples(name, where) == before


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_files_are_told_by_content(pack, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(pack(b'{"post":"a"}\n'))
    assert len(list(read_file(path, Problems()))) == len(
        named_examples(source_lines(path), path, None)
    )
    path.write_bytes(pack(b'{"post":"a"}\n' * 50)[:-12])
    with pytest.raises(DataError, match="damaged"):
        whole_text(path)


@pytest.mark.parametrize(
    ("blob", "said"),
    [
        (b"PK\x03\x04abc", "it is a zip archive; unpack it first"),
        ('{"post":"我很难过"}'.encode("gbk"), "it looks like GBK; convert it with `iconv"),
        ('{"post":"a"}'.encode("utf-16"), "it is UTF-16; convert it"),
        ('{"post":"I’m"}'.encode("cp1252"), "it looks like Windows-1252 (cp1252); convert it"),
        (b'[{"post":"a"},\n{"post":"b"}]', "write"),
        (b'[{"post":"a"}]', "a list where a JSON object is needed; write one a line, as `jq"),
        (b'{\n"post": "a"\n}', "the JSON goes on in the next line or is cut off; write one object"),
        (b'{"post":"a"},\n', "a comma after the value; remove it"),
        (b'{"post":null}', '"post" is nothing; it must be text'),
        (b'{"post":"a","id":1.5}', '"id" is a number with a point; it must be text or a whole'),
    ],
)
def test_examples_in_another_form_are_named(blob: bytes, said: str, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(blob)
    for read in (
        lambda: list(read_file(path, Problems())),
        lambda: named_examples(source_lines(path), path, None),
    ):
        with pytest.raises(DataError) as caught:
            read()
        assert said in str(caught.value)
        assert "a.jsonl" in str(caught.value)


def test_a_file_of_examples_may_have_any_name(tmp_path: Path):
    path = tmp_path / "posts.json"
    path.write_text('{"post":"a"}\n')
    assert len(list(open_source(str(path), None, Problems()).examples)) == 1
    absent = str(tmp_path / "absent.json")
    with pytest.raises(DataError, match=r"^cannot read absent\.json: No such file or directory"):
        list(open_source(absent, None, Problems()).examples)
    with pytest.raises(DataError, match="Is a directory"):
        list(open_source(str(tmp_path), None, Problems()).examples)


def test_an_id_that_comes_twice_is_placed(tmp_path: Path):
    lines = ['{"id":"a","post":"x"}', "", '{"id":"a","post":"y"}']
    with pytest.raises(DataError, match=r"^p, line 3: id 'a' occurs twice, first in line 1; make"):
        named_examples(lines, "p", None)


# -- control characters ---------------------------------------------------------------------------


def test_control_characters_are_mended_and_counted(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"post": "I\x92m here\x85", "reply": "How lo\x00vely!\x1b[1m"}))
    problems = Problems()
    (example,) = read_file(path, problems)
    assert example.dialogue.posts[0].text == "I’m here…"
    assert example.reply == "How lovely![1m"
    assert problems.losses() == [
        "left out: 2 control characters",
        "mended: 2 signs of Windows-1252 that stood as a control character",
    ]


# -- places ---------------------------------------------------------------------------------------


def test_an_item_of_a_file_of_one_line_is_named_by_its_number(tmp_path: Path):
    path = tmp_path / "anything.at.all"
    good, bad = [["早", 0, 0], [["早 啊", 1, 0]]], [["早", 0, 0], [["", 1, 0]]]
    path.write_text(json.dumps([good, good, bad]))
    with pytest.raises(DataError, match=r"^anything\.at\.all, item 3: response 1 is empty"):
        examples("ecm", path)
    path.write_text("\n".join(json.dumps(row) for row in (good, good, bad)))
    with pytest.raises(DataError, match=r"^anything\.at\.all, line 3: response 1 is empty"):
        examples("ecm", path)


@pytest.mark.parametrize("name", ["ecm", "nlpcc2017", "lccc", "esconv", "emprl"])
def test_an_array_may_come_as_lines_under_any_name(name: str, tmp_path: Path):
    where = write_sample(name, tmp_path / "official")
    for file in where.rglob("*.json"):
        rows = json.loads(file.read_text(encoding="utf-8"))
        rows = rows["train"] if isinstance(rows, dict) else rows
        (tmp_path / "x").write_text("".join(json.dumps(row) + "\n" for row in rows * 2))
        once = len(examples(name, file))
        assert len(examples(name, tmp_path / "x")) == 2 * once


def test_a_comma_in_a_text_of_empathetic_dialogues_cuts_nothing_off(tmp_path: Path):
    where = write_sample("empathetic_dialogues", tmp_path)
    path = where / "train.csv"
    path.write_text(path.read_text().replace("How did it taste?", "How, did it taste?"))
    with pytest.raises(DataError, match=r"line 3: a comma in a text; write _comma_ for it"):
        examples("empathetic_dialogues", path)


def test_the_four_files_of_ecm_may_stand_without_a_split(tmp_path: Path):
    files = {"source": "it snows\n", "target": "how nice\n", "category": "1\n", "choice": "0 1\n"}
    for kind, text in files.items():
        (tmp_path / f"{kind}.txt").write_text(text)
    (one,) = examples("ecm_files", tmp_path)
    (same,) = examples("ecm_files", tmp_path / "source.txt")
    assert (one.reply, same.reply) == ("how nice", "how nice")
    (tmp_path / "category.txt").unlink()
    with pytest.raises(DataError, match=r"no category\.txt beside source\.txt"):
        examples("ecm_files", tmp_path)


def test_a_turn_that_says_nothing_is_left_out_and_counted(tmp_path: Path):
    path = tmp_path / "lccc.json"
    path.write_text(json.dumps([["一", "", "三"], ["只有 一"], ["你 好", "你 也 好"]]))
    problems = Problems()
    assert [e.reply for e in examples("lccc", path, problems)] == ["你也好"]  # 三 answers nobody
    assert problems.losses() == [
        "left out: 1 empty turn, 1 conversation without an answer, 1 turn after the same speaker's"
    ]


# -- chats ----------------------------------------------------------------------------------------


def test_tools_and_empty_turns_cost_no_conversation(tmp_path: Path):
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    talk = [
        {"role": "developer", "content": "Be kind."},
        USER,
        call,
        {"role": "tool", "content": "sunny"},
        REPLY,
        {"role": "user", "content": "there?"},
        {"role": "assistant", "content": " "},
        {"role": "user", "content": "ho"},
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "assistant", "content": "Ho."},
    ]
    assert chats(tmp_path, {"messages": talk}) == (
        [("hi", "Hello."), ("hi", "Hello.", "there?", "ho", "Ho.")],
        {"message of the system": 1, "call of a tool": 1, "message of a tool": 1, "empty turn": 2},
    )


def test_parts_are_joined_and_images_counted(tmp_path: Path):
    image = {"type": "image_url", "image_url": {"url": "x"}}
    parts = [{"type": "text", "text": "I lost"}, {"type": "text", "text": " it"}, image]
    assert chats(tmp_path, {"messages": [{"role": "user", "content": parts}, REPLY]}) == (
        [("I lost it", "Hello.")],
        {"image": 1},
    )


def test_an_answer_to_an_image_answers_no_older_post(tmp_path: Path):
    shown = {"role": "user", "content": [{"type": "image_url"}]}
    talk = [USER, REPLY, shown, {"role": "assistant", "content": "A cat."}]
    assert chats(tmp_path, {"messages": talk}) == (
        [("hi", "Hello.")],
        {"image": 1, "answer to a turn that is not text": 1},
    )


def test_weight_0_teaches_nothing_but_stays_in_the_history(tmp_path: Path):
    talk = [USER, {**REPLY, "weight": 0}, {"role": "user", "content": "ho"}, {**REPLY, "weight": 1}]
    assert chats(tmp_path, {"messages": talk}) == (
        [("hi", "Hello.", "ho", "Hello.")],
        {"answer of weight 0": 1},
    )


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER, REPLY]},
        [USER, REPLY],
        {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "Hello."}]},
        {"conversations": [USER, REPLY]},
        {"prompt": "hi", "completion": "Hello."},
        {"prompt": [USER], "completion": [REPLY]},
    ],
)
def test_every_form_of_a_chat_is_read(row, tmp_path: Path):
    assert chats(tmp_path, row) == ([("hi", "Hello.")], {})
    assert chats(tmp_path, row, row, name="two.txt") == ([("hi", "Hello.")] * 2, {})
    (tmp_path / "array.json").write_text(json.dumps([row, row], indent=1))
    assert len(examples("messages", tmp_path / "array.json")) == 2


def test_a_chat_that_nobody_answers_is_counted(tmp_path: Path):
    assert chats(tmp_path, {"messages": [USER]}) == ([], {"conversation without an answer": 1})


# -- word vectors ---------------------------------------------------------------------------------


def test_vectors_with_tabs_and_repeated_words_are_read(tmp_path: Path):
    path = tmp_path / "v.txt"
    path.write_text("我\t0.5\t1\n开心\t2\t3\n我\t9\t9\n", encoding="utf-8")
    problems = Problems()
    vectors = read_word_vectors(path, problems=problems)
    assert vectors.words == ("我", "开心")
    assert vectors.matrix.tolist() == [[0.5, 1], [2, 3]]
    assert problems.losses() == ["left out: 1 word that came before"]


@pytest.mark.parametrize(
    ("blob", "said"),
    [
        (b"2 4\n" + "我 ".encode() + struct.pack("<4f", 0.1, 0.2, -3, 4), "binary word vectors"),
        (
            b"2 3\n" + b"the " + struct.pack("<3f", 0.11, -0.2, 0.3) + b"\n",
            "binary word vectors",
        ),
        (b"PK\x03\x04v.txt", "it is a zip archive; unpack it first"),
        (b"\x80\x04\x95gensim", "it is a Python pickle"),
        ("我 0.1 0.2\n".encode("gbk"), "looks like GBK"),
    ],
)
def test_vectors_that_are_no_text_are_named(blob: bytes, said: str, tmp_path: Path):
    path = tmp_path / "v"
    path.write_bytes(blob)
    with pytest.raises(DataError) as caught:
        read_word_vectors(path)
    assert said in str(caught.value)


def test_xml_is_told_by_its_start(tmp_path: Path):
    where = write_sample("nlpcc_emotion", tmp_path)
    other = tmp_path / "sentences"
    other.write_bytes((where / "nlpcc2014_sample.xml").read_bytes())
    assert len(examples("nlpcc_emotion", other)) == 2


def test_an_empty_row_of_a_table_costs_no_dialogue(tmp_path: Path):
    where = write_sample("meld", tmp_path)
    path = where / "train_sent_emo.csv"
    before = examples("meld", where)
    path.write_text(path.read_text(encoding="utf-8").replace("Sorry!", " "), encoding="utf-8")
    problems = Problems()
    assert 0 < len(examples("meld", where, problems)) < len(before)
    assert problems.left_out["empty turn"] == 1
