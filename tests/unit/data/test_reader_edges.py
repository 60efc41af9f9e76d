"""What readers do where a corpus is laid out otherwise, is damaged in part, or repeats itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from emotone.cli import main
from emotone.data import corpora
from emotone.data.corpus import find
from emotone.data.formats.csv_rows import csv_rows
from emotone.data.formats.dialogues import Turn, answers
from emotone.data.reading import Problems
from emotone.errors import DataError
from emotone.types import Example
from unit.data.samples import write_sample


@pytest.fixture
def where(tmp_path: Path) -> Path:
    return tmp_path / "corpus"


def put(where: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return where


def read(name: str, where: Path, split: str | None = None) -> list[Example]:
    return list(corpora.module(name).read(where, Problems(), split=split))


def skipping(name: str, where: Path, split: str | None = None) -> tuple[list[Example], list[str]]:
    problems = Problems("skip")
    made = list(corpora.module(name).read(where, problems, split=split))
    assert problems.count == len(problems.places)
    return made, problems.places


def labels(made: list[Example]) -> list[str | None]:
    return [e.dialogue.posts[-1].emotion and e.dialogue.posts[-1].emotion.label for e in made]


# -- goemotions: three folders with files of equal names ------------------------------------------

EKMAN_ORDER = "anger\ndisgust\nfear\njoy\nneutral\nsadness\nsurprise\n"


def test_goemotions_takes_the_order_of_the_labels_beside_the_file(where: Path):
    put(where, {"d/train.tsv": "a\t3\tx\nb\t4\ty\n", "d/labels.txt": EKMAN_ORDER})
    assert labels(read("goemotions", where / "d")) == ["joy", "neutral"]
    put(where, {"d/labels.txt": "joy\nneutral\nanger\nfear\ndisgust\nsadness\nsurprise\n"})
    assert labels(read("goemotions", where / "d" / "train.tsv")) == ["fear", "disgust"]
    put(where, {"d/labels.txt": "positive\nnegative\nambiguous\nneutral\n"})
    with pytest.raises(DataError, match=r"labels\.txt: 4 labels that are neither the 28 nor"):
        read("goemotions", where / "d")


def test_goemotions_without_labels_goes_by_the_folder_s_name(where: Path):
    for folder in ("ekman", "original", "group"):
        put(where, {f"{folder}/dev.tsv": "a\t3\tx\n"})
    assert labels(read("goemotions", where / "ekman")) == ["joy"]
    assert labels(read("goemotions", where / "ekman" / "dev.tsv")) == ["joy"]
    assert labels(read("goemotions", where / "original")) == ["annoyance"]
    assert labels(read("goemotions", where, "ekman")) == ["joy"]
    with pytest.raises(DataError, match="group are not emotions; use original or ekman"):
        read("goemotions", where / "group")


def test_goemotions_flat_files_have_labels_of_their_own(where: Path):
    original = "".join(
        f"{label}\n" for label in corpora.module("goemotions").CORPUS.taxonomies[0].labels
    )
    put(where, {"ekman_dev.tsv": "a\t3\tx\n", "dev.tsv": "a\t3\tx\n", "labels.txt": original})
    assert labels(read("goemotions", where)) == ["annoyance"]
    assert labels(read("goemotions", where, "ekman")) == ["joy"]
    assert labels(read("goemotions", where / "ekman_dev.tsv")) == ["joy"]
    put(where, {"mine.tsv": "a\t3\tx\n"})
    with pytest.raises(DataError, match="its labels are not Ekman's, but ekman-dev is asked"):
        read("goemotions", where / "mine.tsv", "ekman-dev")


# -- dialogues in tables: whole or not at all -----------------------------------------------------

MELD = "Utterance,Speaker,Emotion,Dialogue_ID\n"
A = "a,Ann,joy,0\nb,Bob,joy,0\n"
B = "c,Ann,joy,1\nd,Bob,joy,1\ne,Ann,joy,1\n"
C = "f,Ann,joy,2\ng,Bob,joy,2\n"


@pytest.mark.parametrize(
    ("rows", "ids"),
    [
        (A + B + C, ["0-2", "1-2", "1-3", "2-2"]),
        # an unknown emotion: the dialogue is known
        (A + B.replace("Ann,joy", "Ann,jox", 1) + C, ["0-2", "2-2"]),
        (A + B.replace("e,Ann,joy", "e,Ann,jox") + C, ["0-2", "2-2"]),
        (A + B + C.replace("f,Ann,joy", "f,Ann,jox"), ["0-2", "1-2", "1-3"]),
        # a row that cannot be read may be of the dialogue before or of the one after
        (A + "c,Ann\n" + B + C, ["2-2"]),
        (A + B.replace("d,Bob", "d") + C, ["0-2", "2-2"]),
        (A + B + C + "h\n", ["0-2", "1-2", "1-3"]),
        ("x\n" + A + B + C, ["1-2", "1-3", "2-2"]),
    ],
)  # fmt: skip
def test_a_dialogue_in_a_table_is_whole_or_left_out(where: Path, rows: str, ids: list[str]):
    put(where, {"dev_sent_emo.csv": MELD + rows})
    made, places = skipping("meld", where)
    assert [e.id for e in made] == [f"dev-{name}" for name in ids]
    assert len(places) == (rows != A + B + C)


# -- rows of CSV after damage ---------------------------------------------------------------------


def rows_of(path: Path, content: bytes) -> tuple[list[tuple[int, str]], list[str]]:
    path.write_bytes(content)
    problems = Problems("skip")
    made = [(line, row["b"]) for line, row in csv_rows(path, problems, ("a", "b"))]
    return made, problems.places


def test_rows_after_a_bad_line_keep_their_numbers(tmp_path: Path):
    made, places = rows_of(tmp_path / "f.csv", b"a,b\n1,x\n\xff,y\n3,z\n4\n5,v\n")
    assert made == [(2, "x"), (4, "z"), (6, "v")]
    assert places == [
        "f.csv, line 3: byte 1 is not UTF-8; save the file in UTF-8",
        "f.csv, line 5: 1 field where the header has 2",
    ]


def test_a_row_that_lost_a_line_is_left_out(tmp_path: Path):
    made, places = rows_of(tmp_path / "f.csv", b'a,b\n1,"x\n\xff\ny"\n2,"x\ny"\n3,z\n')
    assert made == [(5, "x\ny"), (7, "z")]
    assert len(places) == 1


def test_an_open_quote_is_told_with_all_lines_that_it_took(tmp_path: Path):
    lines = b"".join(b"%d,x\n" % n for n in range(1999))
    _, places = rows_of(tmp_path / "f.csv", b'a,b\n1,"x\n' + lines)
    assert places == [
        "f.csv, line 2: no row of CSV (unexpected end of data) in lines 2 to 2001; check the quotes"
    ]
    made, places = rows_of(tmp_path / "f.csv", b'a,b\n1,"x\n2,"y"\n3,z\n')
    assert made == [(4, "z")]
    assert "in lines 2 to 3" in places[0]
    made, places = rows_of(tmp_path / "f.csv", b'a,b\n1,"x\n2,",y\n3,z\n')
    assert made == [(4, "z")]
    assert places == ["f.csv, line 2: 3 fields where the header has 2, in lines 2 to 3"]


# -- which files are read, and what their examples are called -------------------------------------


def test_dailydialog_s_whole_is_read_only_where_its_parts_are_not(where: Path):
    put(where, {"dialogues_text.txt": "a __eou__ b __eou__\n", "dialogues_emotion.txt": "0 1\n"})
    assert [e.id for e in read("dailydialog", where)] == ["all-1-2"]
    put(where, {
        "test/dialogues_test.txt": "a __eou__ b __eou__\n",
        "test/dialogues_emotion_test.txt": "0 1\n",
    })  # fmt: skip
    assert [e.id for e in read("dailydialog", where)] == ["test-1-2"]
    assert [e.id for e in read("dailydialog", where, "all")] == ["all-1-2"]
    assert [e.id for e in read("dailydialog", where / "dialogues_text.txt")] == ["all-1-2"]
    put(where, {"empty/x": ""})
    with pytest.raises(DataError, match=r"looked for dialogues_train\.txt"):
        read("dailydialog", where / "empty")


def test_emprl_reads_each_pair_once_unless_asked(where: Path):
    write_sample("emprl", where)
    assert [e.id for e in read("emprl", where)] == ["sft-train-1", "sft-train-2"]
    assert [e.id for e in read("emprl", where, "sft_addlabel")] == ["sft_addlabel-train-1"]


def test_a_bad_response_goes_alone(where: Path):
    put(where, {"dev": '[[["a", 1, 0], [["b", 1, 0], ["c", 9, 0], ["d", 2, 0]]],\n'
                       ' [["a", 9, 0], [["b", 1, 0], ["c", 1, 0]]]]'})  # fmt: skip
    made, places = skipping("ecm", where)
    assert [(e.id, e.reply) for e in made] == [("dev-1-1", "b"), ("dev-1-3", "d")]
    assert [place.partition(";")[0] for place in places] == [
        "dev, item 1: label 9 is not one of nlpcc",
        "dev, line 2: label 9 is not one of nlpcc",
    ]


@pytest.mark.parametrize(
    ("name", "ends", "line"),
    [
        ("tsv", "tsv", "a\tb\n"),
        ("messages", "jsonl", '{"messages": [{"role": "user", "content": "a"}, '
         '{"role": "assistant", "content": "b"}]}\n'),
        ("chatterbot", "yml", "conversations:\n- - a\n  - b\n"),
    ],
)  # fmt: skip
def test_files_that_differ_after_the_first_dot_have_ids_of_their_own(
    where: Path, name: str, ends: str, line: str
):
    folder = "english/" if name == "chatterbot" else ""
    put(where, {f"{folder}p.train.{ends}": line, f"{folder}p.dev.{ends}": line})
    assert len({e.id for e in read(name, where)}) == 2


@pytest.mark.parametrize(
    ("name", "file", "split"),
    [
        ("pec", "happy/train.txt", "happy-train"),
        ("pec", "offmychest/train.txt", "offmychest-train"),
        ("pec", "other/train.txt", "train"),
        ("emprl", "sft/train.json", "sft-train"),
        ("emprl", "sft_addlabel/dev.json.gz", "sft_addlabel-valid"),
        ("dailydialog", "dialogues_test.txt", "test"),
        ("esconv", "FailedESConv.json", "failed"),
        ("esconv", "mine.json", "all"),
        ("goemotions", "ekman/dev.tsv", "ekman-dev"),
        ("goemotions", "dev.tsv", "dev"),
        ("nlpcc_emotion", "my2013.xml", "xml-2013"),
        ("tsv", "x.tsv", "all"),
        ("meld", "own.part.csv", "own.part"),
    ],
)  # fmt: skip
def test_a_file_named_alone_is_told_by_the_end_of_its_path(
    where: Path, name: str, file: str, split: str
):
    path = put(where, {file: "x"}) / file
    assert find(corpora.module(name).CORPUS, path) == [(split, path)]


# -- turns that follow the same speaker's ---------------------------------------------------------


def lines_of(example: Example) -> list[str]:
    return [*(post.text for post in example.dialogue.posts), example.reply or "-"]


def test_esconv_turns_of_one_speaker_are_one_post(where: Path):
    turns = [("seeker", "Hi."), ("seeker", "I am sad."), ("supporter", "Oh."),
             ("supporter", "Why?"), ("seeker", "My cat."), ("supporter", "I see.")]  # fmt: skip
    dialog = [{"speaker": who, "content": words} for who, words in turns]
    put(where, {"ESConv.json": json.dumps([{"emotion_type": "sadness", "dialog": dialog}])})
    made = read("esconv", where)
    assert [lines_of(e) for e in made] == [
        ["Hi. I am sad.", "Oh. Why?"],
        ["Hi. I am sad.", "Oh. Why?", "My cat.", "I see."],
    ]
    assert labels(made) == ["sadness", "sadness"]


def test_esconv_lines_that_go_on_with_the_response_make_one_example(where: Path):
    # The context is a window of the last turns.
    put(where, {"devWithStrategy_short.tsv":
        "1.0 0 0 Hi. EOS 1.0 0 1 I am sad. EOS 1.0 1 2 [Others] Oh.\n"
        "0.0 0 1 I am sad. EOS 1.0 1 2 [Others] Oh. EOS 1.0 1 3 [Questions] Why?\n"
        "1.0 1 2 [Others] Oh. EOS 1.0 1 3 [Questions] Why? EOS 1.0 1 4 [Others] Tell me.\n"
        "1.0 0 0 Hi. EOS 1.0 1 1 [Others] Oh. EOS 1.0 1 2 [Others] Hm.\n"
        "1.0 1 1 [Others] A. EOS 1.0 1 2 [Others] B.\n"})  # fmt: skip
    problems = Problems()
    made = list(corpora.module("esconv_tsv").read(where, problems))
    assert [(e.id, lines_of(e)) for e in made] == [
        ("dev-3-2", ["Hi. I am sad.", "Oh. Why? Tell me."]),
        ("dev-4-2", ["Hi.", "Oh. Hm."]),
    ]
    assert problems.own_turns == 1  # opens, and answers nobody


def test_turns_that_make_no_example_are_counted_and_told(where: Path, capsys, monkeypatch):
    stars = "*" * 20
    put(where, {
        "happy/train.txt": f"a---+---b\na---+---c\n{stars}\na---+---b\nb---+---c\n{stars}\n",
    })  # fmt: skip
    problems = Problems()
    assert len(list(corpora.module("pec").read(where, problems))) == 1
    assert (problems.own_turns, problems.count) == (1, 0)
    out = where / "x.jsonl"
    argv = ["data", "prepare", "pec", "--from", str(where), "--output", str(out)]
    monkeypatch.setattr("sys.argv", ["emotone", *argv])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    said = capsys.readouterr()
    assert said.out == ""
    assert "left out: 1 turn after the same speaker's" in said.err


def test_answers_count_only_turns_that_could_have_been_examples():
    turns = [Turn(who, "x") for who in "aabbbab"]
    for only, last, count in [(None, False, 3), (["b"], False, 2), (None, True, 0)]:
        problems = Problems()
        made = answers(turns, "n", "en", only=only, last=last, problems=problems)
        assert len(list(made)) == {3: 3, 2: 2, 0: 1}[count]
        assert problems.own_turns == count


@pytest.mark.parametrize("name", ["meld", "messages", "dailydialog", "cped", "emorynlp"])
def test_readers_that_take_speakers_from_the_file_count(where: Path, name: str):
    write_sample(name, where)
    swaps = {"meld": ("Sorry!,Bob", "Sorry!,Ann"), "messages": ('"assistant"', '"user"'),
             "dailydialog": ('"speaker": "B"', '"speaker": "A"'), "cped": ("小安", "小白"),
             "emorynlp": ("Bob Roe", "Ann Lee")}  # fmt: skip
    changed = 0
    for path in where.iterdir():
        text = path.read_text(encoding="utf-8")
        changed += swaps[name][0] in text
        path.write_text(text.replace(*swaps[name]), encoding="utf-8")
    assert changed
    problems = Problems()
    list(corpora.module(name).read(where, problems))
    assert (problems.own_turns > 0) == (name != "messages")  # there only the user's were left


# -- LCCC's characters ----------------------------------------------------------------------------


def test_lccc_s_words_of_letters_and_numbers_are_made_whole(where: Path):
    put(
        where,
        {"toy_train.txt": "2 0 1 4 年 的 I D 呢\to k ， 3 . 5 G\n我 有 i P 8\t真 ok 的 a b\n"},
    )
    assert [lines_of(e) for e in read("lccc", where)] == [
        ["2014年的ID呢", "ok，3.5G"],
        ["我有i P 8", "真ok的a b"],  # by words, not by characters
    ]


# -- names, encodings, blank lines, repeated ids --------------------------------------------------


def test_nlpcc2017_is_found_under_its_name_of_2018(where: Path):
    put(where, {"ecg_train_data.json": '[[["a", 1], ["b", 2]]]'})
    assert [e.id for e in read("nlpcc2017", where)] == ["train-1"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_xml_of_nlpcc_may_be_utf_16(where: Path, encoding: str):
    xml = corpora.module("nlpcc_emotion").SAMPLE["nlpcc2014_sample.xml"]
    xml = xml.replace("utf-8", "utf-16").replace("公园", "公园上\u0a0a")
    assert b"\n" in "\u0a0a".encode(encoding)
    put(where, {"nlpcc2014_sample.xml": ("\ufeff" + xml).encode(encoding)})
    made = read("nlpcc_emotion", where, "xml-2014-sample")
    assert [lines_of(e)[0] for e in made] == ["我今天去了公园上\u0a0a。", "花真美！"]
    put(where, {"nlpcc2014_sample.xml": ("\ufeff" + xml).encode(encoding) + b"\n"})
    with pytest.raises(DataError, match=r"nlpcc2014_sample\.xml, line \d+: no UTF-16"):
        read("nlpcc_emotion", where, "xml-2014-sample")


BLANK = ["lccc", "ecg", "goemotions", "empathetic_dialogues", "empathetic_intents",
         "smp2020_ewect", "nlpcc_emotion", "esconv_tsv", "emprl", "tsv", "messages"]  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "  \n\n", "\r\n"], ids=repr)
@pytest.mark.parametrize("name", [*BLANK, "pec"])
def test_a_blank_last_line_stops_nothing(where: Path, name: str, end: str):
    write_sample(name, where)
    put(where, {"sft/valid.jsonl": '{"input": "a", "output": "b"}\n'} if name == "emprl" else {})
    before = read(name, where)
    for path in [path for path in where.rglob("*") if path.is_file()]:
        path.write_text(path.read_text(encoding="utf-8") + end, encoding="utf-8", newline="")
    assert read(name, where) == before


def test_a_row_of_empty_fields_is_no_blank_line(where: Path):
    put(where, {"dev.tsv": "a\tb\t1\n\t\t\n"})
    with pytest.raises(DataError, match=r"dev\.tsv, line 2"):
        read("ecg", where)


def test_epitome_joins_no_pair_with_another_s_texts(where: Path):
    write_sample("epitome", where)
    rows = ["a1,b1,X.,Yes.,1,\n", "a1,b1,Z.,No.,1,\n"]
    for path in where.iterdir():
        turned = rows[::-1] if path.name.startswith("explorations") else rows
        path.write_text(path.read_text() + "".join(turned))
    made, places = skipping("epitome", where)
    assert len(made) == 2
    assert [place.partition(";")[0] for place in places] == [
        f"emotional-reactions-reddit.csv, line {line}: the pair a1, b1 has another seeker_post in "
        "explorations-reddit.csv"
        for line in (4, 5)
    ]


def test_epitome_lets_a_masked_word_be(where: Path):
    write_sample("epitome", where)
    path = where / "interpretations-reddit.csv"
    path.write_text(path.read_text().replace("I failed again.", "I failed  again Reddit."))
    assert len(read("epitome", where)) == 2


def test_epitome_reports_a_missing_pair_once(where: Path):
    write_sample("epitome", where)
    path = where / "interpretations-reddit.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    made, places = skipping("epitome", where)
    assert (len(made), len(places)) == (1, 1)


def test_emprl_takes_json_lines_whatever_the_name(where: Path):
    put(
        where,
        {"sft/train.json": '\n{"input": "a", "output": "b"}\n{"input": "c", "output": "d"}\n'},
    )
    assert [(e.id, e.reply) for e in read("emprl", where)] == [
        ("sft-train-1", "b"),
        ("sft-train-2", "d"),
    ]


def test_messages_in_chinese_lose_a_segmenter_s_blanks(where: Path):
    row = {
        "messages": [
            {"role": "user", "content": "我 赢 了"},
            {"role": "assistant", "content": "太 好 了 ！"},
        ]
    }
    put(where, {"a.jsonl": json.dumps(row)})
    assert [lines_of(e) for e in read("messages", where)] == [["我赢了", "太好了！"]]


def test_ecm_files_says_whose_ids_the_categories_are():
    assert "0 to 5" in corpora.module("ecm_files").CORPUS.note
