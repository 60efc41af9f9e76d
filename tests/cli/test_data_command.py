"""`emotone data`: list, prepare, stats, validate, label."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from emotone import judges
from emotone.cli import main
from emotone.data import corpora
from emotone.data.examples import read_examples, read_parquet
from emotone.data.reading import Problems
from emotone.emotions import EKMAN
from emotone.types import EmotionScores, Example
from unit.data.samples import write_sample


class Done(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def start(*argv: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["emotone", "data", *map(str, argv)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return start


def lines(path: Path) -> list[Example]:
    return list(read_examples(path.read_text(encoding="utf-8").splitlines(), path.name))


def test_the_list_has_every_corpus_with_its_licence(run: Run):
    done = run("list")
    assert (done.code, done.err) == (0, "")
    for name in corpora.names():
        assert f"\n{name} (" in f"\n{done.out}"
        assert corpora.module(name).CORPUS.licence in done.out
    rows = json.loads(run("list", "--json").out)["corpora"]
    assert [row["name"] for row in rows] == corpora.names()


@pytest.mark.parametrize("end", ["jsonl", "parquet"])
def test_prepare_writes_the_examples_and_says_count_and_licence(run: Run, tmp_path: Path, end: str):
    where, out = write_sample("ecm", tmp_path / "ecm"), tmp_path / f"out.{end}"
    done = run("prepare", "ecm", "--from", where, "--output", out)
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines() == [
        f"emotone: 4 examples in {out}",
        f"emotone: licence of ecm: {corpora.module('ecm').CORPUS.licence}",
    ]
    made = lines(out) if end == "jsonl" else list(read_parquet(out))
    assert made == list(corpora.module("ecm").read(where, Problems()))


def test_prepare_takes_a_split_a_limit_and_a_label_set(run: Run, tmp_path: Path):
    where, out = write_sample("ecm", tmp_path / "ecm"), tmp_path / "out.jsonl"
    args = ("--split", "train", "--limit", 2, "--taxonomy", "ekman")
    assert run("prepare", "ecm", "-f", where, "-o", out, *args).code == 0
    assert [str(e.emotion) for e in lines(out)] == ["joy:100", "disgust:100"]
    assert all(e.dialogue.posts[0].emotion in EKMAN for e in lines(out))


def test_prepare_goes_from_one_file_of_examples_to_another(run: Run, tmp_path: Path):
    where = write_sample("ecm", tmp_path / "ecm")
    first, second, third = (tmp_path / n for n in ("a.parquet", "b.jsonl", "c.jsonl"))
    assert run("prepare", "ecm", "-f", where, "-o", first).code == 0
    assert run("prepare", first, "-o", second).code == 0
    assert run("prepare", "ecm", "-f", where, "-o", third).code == 0
    assert second.read_bytes() == third.read_bytes()


def test_a_bad_line_stops_prepare_or_is_left_out_and_told(run: Run, tmp_path: Path):
    where, out = write_sample("tsv", tmp_path / "tsv"), tmp_path / "out.jsonl"
    pairs = where / "pairs.tsv"
    pairs.write_text("a\n" * 22 + pairs.read_text(encoding="utf-8"), encoding="utf-8")
    done = run("prepare", "tsv", "-f", where, "-o", out)
    assert done == Done(
        2, "", "emotone: pairs.tsv, line 1: 1 field; write post TAB reply [TAB emotion]\n"
    )
    assert not out.exists()
    done = run("prepare", "tsv", "-f", where, "-o", out, "--on-error", "skip")
    assert done.code == 0
    said = done.err.splitlines()
    assert said.pop() == "emotone: 2 in en and 1 in zh; --lang keeps one language"
    assert said[0] == f"emotone: 3 examples in {out}"
    assert said[2] == "emotone: left out: 22 bad lines"
    assert said[3] == "emotone:   pairs.tsv, line 1: 1 field; write post TAB reply [TAB emotion]"
    assert said[-1] == "emotone:   and 2 more"
    assert len(said) == 3 + 20 + 1
    assert len(lines(out)) == 3


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("prepare", "ecm", "-o", "x.jsonl"), "where is ecm? name its folder"),
        (("prepare", "ecmm", "-o", "x.jsonl"), "did you mean 'ecm'?"),
        (("prepare", "ecm", "-f", ".", "-o", "x.csv"), "end it in .jsonl or .parquet"),
        (("prepare", "ecm", "-f", ".", "-o", "x.jsonl"), "no file of ecm in"),
        (("prepare", "ecm", "-f", ".", "-o", "x.jsonl", "--split", "a"), "unknown split of ecm"),
        (("prepare", "ecm", "-f", ".", "-o", "x.jsonl", "--taxonomy", "a"), "unknown taxonomy"),
        (("prepare", "ecm", "-f", ".", "-o", "x.jsonl", "--on-error", "a"), "use raise or skip"),
        (("prepare", "a.jsonl", "-f", ".", "-o", "x.jsonl"), "leave --from and --split out"),
        (("prepare", "a.jsonl", "-o", "x.jsonl"), "cannot read a.jsonl"),
        (("stats", "a.parquet"), "cannot read a.parquet"),
        (("label", "-i", "a.jsonl", "-o", "x.csv", "--judge", "j"), "end it in .jsonl or"),
    ],
)
def test_wrong_use_is_one_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: Sequence[str], said: str
):
    monkeypatch.chdir(tmp_path)
    done = run(*args)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_empty_corpus_is_no_file(run: Run, tmp_path: Path):
    (tmp_path / "pairs.tsv").write_text("\n")
    done = run("prepare", "tsv", "-f", tmp_path, "-o", tmp_path / "x.jsonl")
    assert (done.code, done.out) == (2, "")
    assert "no example in tsv" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.tsv"]


def test_stats_count_posts_and_replies(run: Run, tmp_path: Path):
    where = write_sample("ecm", tmp_path / "ecm")
    done = run("stats", "ecm", "-f", where)
    assert (done.code, done.err) == (0, "")
    assert "examples: 4" in done.out
    assert "sadness       2      0" in done.out
    assert f"licence: {corpora.module('ecm').CORPUS.licence}" in done.out
    counts = json.loads(run("stats", "ecm", "-f", where, "--json").out)
    assert counts["emotions"]["like"] == {"post": 0, "reply": 2}
    assert counts["licence"] == corpora.module("ecm").CORPUS.licence
    assert counts["skipped"] == 0


def test_validate_says_what_is_wrong_and_where(run: Run, tmp_path: Path):
    where = write_sample("ecm", tmp_path / "ecm")
    assert run("validate", "ecm", "-f", where) == Done(0, "4 examples, 0 bad lines\n", "")
    (where / "dev.json").write_text('[[["a", 9, 0], ["b", 1, 0]]]')
    done = run("validate", "ecm", "-f", where)
    assert (done.code, done.err) == (1, "")
    assert done.out.startswith("3 examples, 1 bad line\n  dev.json, item 1: label 9 is not one")
    said = json.loads(run("validate", "ecm", "-f", where, "--json").out)
    assert (said["examples"], said["bad"], len(said["problems"])) == (3, 1, 1)


def test_validate_finds_ids_that_occur_twice(run: Run, tmp_path: Path):
    path = tmp_path / "e.jsonl"
    path.write_text('{"post": "a", "id": "x"}\n{"post": "b", "id": "x"}\n')
    done = run("validate", path)
    assert (done.code, done.err) == (1, "")
    assert "1 example with the id of an earlier one, the first of them 'x'" in done.out
    path.write_text("\n")
    assert "there is no example in it" in run("validate", path).out


class Ears:
    name = "ears@1"
    taxonomy = EKMAN

    def classify(
        self, texts: Sequence[str], posts: Sequence[str | None] | None = None
    ) -> list[EmotionScores]:
        labels = ["joy" if "!" in text else "neutral" for text in texts]
        return [EmotionScores(label, {label: 1.0}) for label in labels]


def test_label_adds_what_the_judge_hears(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    def open_judge(name: str, taxonomy: str | None) -> Ears:
        assert taxonomy is None
        asked.append(name)
        return Ears()

    monkeypatch.setattr(judges, "open_judge", open_judge, raising=False)
    source, out = tmp_path / "e.jsonl", tmp_path / "labelled.jsonl"
    source.write_text('{"post": "We won!", "reply": "I see."}\n{"post": "Hm."}\n')
    done = run("label", "-i", source, "-o", out, "--judge", "en-label")
    assert (done.code, done.out, asked) == (0, "", ["en-label"])
    assert done.err == f"emotone: 2 examples in {out}, 2 labelled by ears@1\n"
    assert [e.judges for e in lines(out)] == [("ears@1",)] * 2
    made = lines(out)
    assert [str(e.emotion) for e in made] == ["neutral:100", "None"]
    assert [e.dialogue.posts[0].emotion for e in made] == [
        EKMAN.parse("joy"),
        EKMAN.parse("neutral"),
    ]


def test_label_keeps_what_is_labelled_and_refuses_another_language_and_a_judge_of_results(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(judges, "open_judge", lambda *_: Ears())
    source, out = tmp_path / "e.jsonl", tmp_path / "labelled.jsonl"
    source.write_text('{"post": "We won!", "reply": "No.", "emotion": "anger"}\n{"post": "Hm."}\n')
    done = run("label", "-i", source, "-o", out)
    assert "1 had an emotion and keep it; --overwrite labels them anew" in done.err
    assert [str(e.emotion) for e in lines(out)] == ["anger:100", "None"]
    assert lines(out)[0].dialogue.posts[0].emotion is not None
    done = run("label", "-i", source, "-o", out, "--overwrite")
    assert "1 emotion gave way to the judge" in done.err
    assert [str(e.emotion) for e in lines(out)] == ["neutral:100", "None"]
    source.write_text('{"post": "We won!"}\n{"post": "你好"}\n', encoding="utf-8")
    done = run("label", "-i", source, "-o", tmp_path / "no.jsonl", "--judge", "zh-label")
    assert (done.code, "example '1' is en, and zh-label reads zh" in done.err) == (2, True)
    assert not (tmp_path / "no.jsonl").exists()
    done = run("label", "-i", source, "-o", out, "--judge", "en-score")
    assert (done.code, "en-score is for results only" in done.err) == (2, True)


def test_the_command_loads_nothing_heavy_to_list():
    code = (
        "import sys; from emotone.cli.app import app; from emotone.cli.data import list_corpora;"
        "list_corpora(); heavy = {'torch', 'transformers', 'polars', 'sklearn', 'yaml', 'rjieba'};"
        "print(heavy & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"


def test_no_example_at_all_says_why(run: Run, tmp_path: Path):
    path = tmp_path / "pairs.tsv"
    path.write_text("a\n", encoding="utf-8")
    done = run("prepare", "tsv", "-f", path, "-o", tmp_path / "o.jsonl", "--on-error", "skip")
    assert done.code == 2
    assert "no example in tsv; 1 bad line, the first in pairs.tsv, line 1: 1 field;" in done.err


def test_examples_of_one_language_are_kept_and_the_others_counted(run: Run, tmp_path: Path):
    where, out = write_sample("tsv", tmp_path / "tsv"), tmp_path / "out.jsonl"
    done = run("prepare", "tsv", "-f", where, "-o", out, "--lang", "zh")
    assert "1 example in" in done.err
    assert "2 examples in another language than zh left out" in done.err
    assert json.loads(out.read_text(encoding="utf-8"))["lang"] == "zh"
    assert (
        "--lang is 'fr'; use en or zh"
        in run("prepare", "tsv", "-f", where, "-o", out, "--lang", "fr").err
    )


def test_pairs_in_layouts_of_ecm_are_of_the_language_that_they_are_written_in(run, tmp_path: Path):
    for name, text in {
        "source": "it snows today\nok\n今天 下雪\nlol\n",
        "choice": "0 1\n0\n1\n0\n",
        "target": "how pretty\nfine\n好看\nhaha\n",
        "category": "1\n0\n1\n5\n",
    }.items():
        (tmp_path / f"train_{name}.txt").write_text(text, encoding="utf-8")
    pairs = [[["i like the snow", 1, 1], [["so do i", 1, 1]]], [["下 雪 了", 0, 0], ["好", 1, 1]]]
    (tmp_path / "train.json").write_text(json.dumps([*pairs, [["ok", 0, 0], ["haha", 5, 5]]]))
    for corpus, where, langs in (
        ("ecm_files", tmp_path, ["en", "en", "zh", "zh"]),
        ("ecm", tmp_path / "train.json", ["en", "zh", "zh"]),
    ):
        out = tmp_path / f"{corpus}.jsonl"
        assert run("prepare", corpus, "-f", where, "-o", out).code == 0
        rows = map(json.loads, out.read_text(encoding="utf-8").splitlines())
        assert [row["lang"] for row in rows] == langs
