"""From replies to a report on the command line, and going on with a file only as it was begun."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.test_cli import Run, answered, process, refused, run, source, tiny
from emotone import judges
from emotone.evaluation.manifest import beside
from emotone.evaluation.records import reply_line
from emotone.evaluation.scores import read_scores
from unit.evaluation.hearing import WordJudge
from unit.evaluation.hearing import run as replies

__all__ = ["run", "source", "tiny"]  # fixtures

FEW = "distinct_2,length_words,emotion_accuracy"


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> WordJudge:
    """A judge that is there, by whatever name it is opened."""
    made = WordJudge()
    monkeypatch.setattr(judges, "open_judge", lambda name: made)
    return made


def written(path: Path, system: str = "one", right: float = 1.0, **applied: Any) -> Path:
    rows = []
    for example, reply in replies(system, right):
        row = json.loads(reply_line(example, reply))
        rows.append(json.dumps({**row, "applied": applied}))
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_scores_of_a_file_and_a_report_of_them(run: Run, judge: WordJudge, tmp_path: Path):
    place = tmp_path / "run"
    path = written(place / "replies.jsonl")
    out = place / "scores.json"
    done = run("score", "-i", str(path), "-o", str(out), "--metrics", FEW, "--rounds", "50")
    assert (done.code, done.out) == (0, "")
    assert done.notes == [f"{out}: one (tiny), 30 replies"]
    made = read_scores(out)
    assert list(made.metrics) == FEW.split(",")
    assert made.metrics["emotion_accuracy"].value == 1.0
    assert made.manifest["inputs"][0]["name"] == "replies.jsonl"
    assert made.manifest["judges"] == {judge.name: {}}
    assert made.manifest["settings"]["rounds"] == 50
    seen = len(judge.seen)
    assert run("score", "-i", str(path), "-o", str(out), "--metrics", FEW).code == 0
    assert len(judge.seen) == seen  # nothing is judged twice
    done = run("report", str(place))
    page = place / "report" / "index.html"
    assert (done.code, done.out) == (0, f"{page}\n")
    assert "Emotion accuracy" in page.read_text(encoding="utf-8")
    assert {p.name for p in page.parent.iterdir()} == {"index.html", "tables.md", "tables.tex"}


def test_stdout_holds_one_json_object_or_one_a_line(run: Run, judge: WordJudge, tmp_path: Path):
    one, two = written(tmp_path / "1.jsonl"), written(tmp_path / "2.jsonl", "two")
    options = ["--metrics", FEW, "--rounds", "20"]
    done = run("score", "-i", str(one), *options)
    assert json.loads(done.out)["system"] == "one"
    done = run("score", "-i", str(one), "-i", str(two), *options)
    assert [json.loads(line)["system"] for line in done.out.splitlines()] == ["one", "two"]
    run("score", "-i", str(one), "-i", str(two), *options, "-o", str(tmp_path / "s.json"))
    names = sorted(p.name for p in tmp_path.glob("s*.json"))
    assert names == ["s.one-tiny.json", "s.two-tiny.json"]


def test_a_comparison_with_another_system(run: Run, judge: WordJudge, tmp_path: Path):
    one, two = written(tmp_path / "1.jsonl"), written(tmp_path / "2.jsonl", "two", 0.2)
    options = ["--metrics", FEW, "--rounds", "50", "--against", str(two)]
    row = json.loads(run("score", "-i", str(one), *options).out)
    (against,) = row["against"]
    found = against["differences"]["emotion_accuracy"]
    assert found["difference"] == pytest.approx(0.8)
    assert found["p"] < 0.05
    assert row["manifest"]["against"][0]["name"] == "2.jsonl"


OUTSIDE = """
from emotone.metrics import Spec
from emotone.metrics.base import Measure, mean_stats


def shout(instruments, facts):
    return Measure("shout", "name:shout|v:1", lambda pairs: mean_stats([1.0 for _ in pairs]))


METRICS = (Spec(name="shout", make=shout, title="Loud replies", group="Volume", digits=1),)
"""


def test_a_metric_from_outside_is_scored_and_reported_where_it_is_not_installed(
    run: Run, judge: WordJudge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "lab_of_tests").mkdir()
    (tmp_path / "lab_of_tests" / "__init__.py").touch()
    (tmp_path / "lab_of_tests" / "shout.py").write_text(OUTSIDE, encoding="utf-8")
    place = tmp_path / "run"
    path = written(place / "replies.jsonl")
    names = "lab_of_tests.shout,length_words"
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        options = ["--metrics", names, "--rounds", "5", "-o", str(place / "scores.json")]
        assert run("score", "-i", str(path), *options).code == 0
        del sys.modules["lab_of_tests.shout"], sys.modules["lab_of_tests"]
    assert list(read_scores(place / "scores.json").metrics) == ["shout", "length_words"]
    assert run("report", str(place)).code == 0
    tables = (place / "report" / "tables.md").read_text(encoding="utf-8")
    assert "| **Volume** |" in tables
    assert "| Loud replies ↑ | 1.0 " in tables


def test_a_judge_that_touched_the_training_is_refused(run: Run, judge: WordJudge, tmp_path: Path):
    path = written(tmp_path / "replies.jsonl", judges=["word-score-3-12345678"])
    options = ["score", "-i", str(path), "--metrics", FEW, "--rounds", "10"]
    assert "judge 'word-score' touched the training" in refused(run(*options))
    done = run(*options, "--same-judge")
    assert done.code == 0
    assert json.loads(done.out)["manifest"]["settings"]["same_judge"] is True
    plain = written(tmp_path / "plain.jsonl")
    beside(plain).write_text(json.dumps({"judges": ["word-score"]}))
    assert "touched" in refused(run("score", "-i", str(plain), "--metrics", FEW))


def test_without_a_judge_its_metrics_are_left_out_with_a_reason(run, monkeypatch, tmp_path: Path):
    from emotone.errors import ModelMissing

    def absent(name: str):
        raise ModelMissing(f"{name!r} is not installed; install it")

    monkeypatch.setattr(judges, "open_judge", absent)
    monkeypatch.setattr(judges, "open_identifier", absent)
    path = written(tmp_path / "replies.jsonl")
    done = run("score", "-i", str(path), "--rounds", "10")
    assert done.code == 0
    assert {"distinct_2", "bleu"} <= set(json.loads(done.out)["metrics"])
    said = [n for n in done.notes if n.startswith("left out")]
    assert any("emotion_accuracy" in n and "'en-score' is not installed" in n for n in said)
    assert any("emp_f1" in n and "'empathy-score' is not installed" in n for n in said)
    assert any("ecm_perplexity" in n and "--fluency-model" in n for n in said)
    named = run("score", "-i", str(path), "--metrics", "emotion_accuracy")
    assert (named.code, named.out) == (1, "")
    assert named.notes == ["'en-score' is not installed; install it"]


def test_a_system_without_emotions_stands_at_chance_with_asked_all(run, judge, tmp_path: Path):
    moods = written(tmp_path / "1.jsonl")
    plain = tmp_path / "2.jsonl"
    rows = [json.loads(line) for line in written(plain, "two").read_text().splitlines()]
    kept = [{**r, "text": "joy to you"} for r in rows if r["emotion"] is None]
    plain.write_text("".join(json.dumps(r) + "\n" for r in kept))
    options = ["--metrics", "emotion_accuracy", "--rounds", "10", "--asked", "all"]
    done = run("score", "-i", str(moods), "-i", str(plain), *options)
    two = json.loads(done.out.splitlines()[1])
    assert two["metrics"]["emotion_accuracy"]["value"] == 0.5  # joy or sadness was asked


@pytest.mark.parametrize(
    ("options", "piece"),
    [
        (["--metrics", "distinkt_2"], "did you mean 'distinct_2'"),
        (["--metrics", ","], "name some"),
        (["--asked", "some"], "use none or all"),
        (["--taxonomy", "ekmann"], "did you mean 'ekman'"),
        (["--metrics", "distinct_2", "--parts", "neutral"], "no example id belongs to part"),
        (["--metrics", "perplexity"], "--fluency-model"),
        (["--metrics", "distinct_2", "-o", "/no/such/folder/scores.json"], "cannot write"),
        (["--rounds", "0"], "'--rounds'"),
    ],
)
def test_wrong_use_of_score_is_one_sentence(run: Run, judge, tmp_path: Path, options, piece):
    path = written(tmp_path / "replies.jsonl")
    done = run("score", "-i", str(path), *options)
    assert (done.code, done.out) == (2, "")
    assert len(done.notes) == 1
    assert piece in done.notes[0]


def test_the_place_of_the_scores_is_checked_before_anything_is_measured(run, judge, tmp_path):
    path = written(tmp_path / "replies.jsonl")
    for wrong in (tmp_path / "missing" / "scores.json", tmp_path):
        said = refused(run("score", "-i", str(path), "-o", str(wrong)))
        assert said.startswith(f"cannot write {wrong} ")
    assert judge.seen == []
    assert [p.name for p in tmp_path.iterdir()] == ["replies.jsonl"]


def test_replies_that_cannot_be_read_are_named(run: Run, tmp_path: Path):
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"id": "a", "post": "hi"}\n')
    said = refused(run("score", "-i", str(broken)))
    assert said.startswith(f'{broken}, line 1: no "text"')
    assert "cannot read" in refused(run("score", "-i", str(tmp_path / "none.jsonl")))
    assert "holds no scores.json" in refused(run("report", str(tmp_path)))
    assert "use hide or show" in refused(run("report", str(tmp_path), "--posts", "no"))


def test_perplexity_of_references_joins_the_report(run: Run, tiny, source: Path, tmp_path: Path):
    place = tmp_path / "run"
    place.mkdir()
    answer = ["-s", "prompted", "-i", str(source)]
    replied = str(place / "replies.jsonl")
    assert run("generate", *answer, "-o", replied, "--max-tokens", "3").code == 0
    options = ["--metrics", "length_words", "--rounds", "5", "-o", str(place / "scores.json")]
    assert run("score", "-i", replied, *options).code == 0
    done = run("perplexity", *answer, "-o", str(place / "perplexity.json"), "--rounds", "5")
    assert (done.code, done.out) == (0, "")
    said = read_scores(place / "perplexity.json")
    assert (said.system, said.model, said.n) == ("prompted", "tiny", 7)
    assert (said.metrics["perplexity"].value or 0) > 1
    assert run("report", str(place)).code == 0
    page = (place / "report" / "index.html").read_text(encoding="utf-8")
    assert "Perplexity of references" in page
    assert "Length, words" in page
    assert "does not say how likely" in run("perplexity", "-s", "echo", "-i", str(source)).err


# -- going on ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "piece"),
    [
        (["--seed", "9"], "begun with other decoding.seed (0 then, 9 now)"),
        (["--max-tokens", "5"], "begun with other decoding.max_tokens (3 then, 5 now)"),
        (["-e", "joy"], 'begun with other emotion (null then, "joy:100" now)'),
        (["--set", "batch=2"], 'begun with other set ([] then, ["batch=2"] now)'),
        (["--shard", "1/2"], 'begun with other shard ("1/1" then, "1/2" now)'),
    ],
)
def test_a_run_with_other_settings_does_not_go_on(run, tiny, source: Path, tmp_path, change, piece):
    out = tmp_path / "replies.jsonl"
    start = ["generate", "-s", "prompted", "-i", str(source), "-o", str(out), "--max-tokens", "3"]
    assert run(*start).code == 0
    before = out.read_bytes()
    said = refused(run(*start, *change))
    assert piece in said
    assert said.endswith("name another output, or add --restart to answer all anew")
    assert out.read_bytes() == before
    assert run(*start, *change, "--restart").code == 0
    assert run(*start, *change).code == 0  # and goes on with the new ones
    assert "begun with other" in refused(run(*start))


def test_other_examples_do_not_go_on_and_a_batch_changes_nothing(run, tiny, source, tmp_path):
    out = tmp_path / "replies.jsonl"
    start = ["generate", "-s", "prompted", "-i", str(source), "-o", str(out), "--max-tokens", "3"]
    assert run(*start).code == 0
    assert json.loads(beside(out).read_text())["settings"]["system"] == "prompted"
    out.write_text("".join(out.read_text().splitlines(keepends=True)[:4]))
    assert run(*start, "--batch", "2").code == 0
    assert len(answered(out)) == 7
    source.write_text(source.read_text() + '{"post": "one more", "id": "new"}\n')
    assert "was begun with other examples; " in refused(run(*start))


def test_restart_leaves_a_file_that_holds_no_replies_alone(run: Run, source: Path, tmp_path: Path):
    notes = tmp_path / "notes.txt"
    notes.write_text("my only copy")
    done = run("generate", "-s", "echo", "-i", str(source), "-o", str(notes), "--restart")
    assert done.code == 2
    assert notes.read_text() == "my only copy"
    assert not beside(notes).exists()


# -- wrong use and closed pipes ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["reply"], "the text is empty"),
        (["reply", "a", "b"], "put it in quotes"),
        (["reply", "a", "--loud"], "no such option: --loud"),
        (["score"], "missing option '--input'"),
        (["scor"], "unknown command 'scor'; did you mean 'score'? Allowed: "),
        (["models", "lst"], "unknown command 'lst'; did you mean 'list'? Allowed: list, pull"),
        (["generate", "-i", "x", "--batch", "many"], "invalid value for '--batch'"),
    ],
)
def test_what_typer_refuses_is_one_sentence(run: Run, argv: list[str], said: str):
    assert said in refused(run(*argv))


def test_help_is_still_help(run: Run):
    assert run("score", "--help").code == 0
    assert "Usage" in run("models").out


def test_a_reader_that_goes_away_before_the_end_is_met_with_silence():
    """Run `emotone models list` into a reader that is gone at once."""
    import subprocess

    command = [sys.executable, "-m", "emotone", "models", "list"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as work:
        assert work.stdout is not None
        assert work.stderr is not None
        work.stdout.close()
        assert work.stderr.read() == ""


def test_reports_and_scores_load_no_model_library():
    script = (
        "import sys; import emotone.report.write, emotone.evaluation.score; "
        "print(sorted({'torch', 'transformers', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert process("score", "--help").returncode == 0
