"""`emotone evaluate vectors`: the whole table from one command, on the tiny model."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emotone.evaluation import instruments, paper_answers
from emotone.steering.extract import PRESETS
from emotone.systems import steered
from unit.evaluation.hearing import WordJudge

EMOTIONS = paper_answers.EMOTIONS


@pytest.fixture
def data(tmp_path, monkeypatch):
    lm = steered.tiny()._lm
    monkeypatch.setattr("emotone.models.load_causal_lm", lambda *_a, **_k: lm)
    judge = WordJudge("en-score-1-00000000:ekman")
    monkeypatch.setattr(instruments, "_emotion", lambda _wanted: judge)
    monkeypatch.setattr(
        instruments, "_embed", lambda _wanted: lambda texts: np.array([[1.0, 0.0]] * len(texts))
    )
    monkeypatch.setattr(paper_answers, "PRESETS", {"paper": {**PRESETS["paper"], "tokens": 4}})
    folder = tmp_path / "corpora" / "emotionquery"
    folder.mkdir(parents=True)
    plus = [f"What of {label} number {i}?" for label in EMOTIONS for i in range(50)]
    queries = {label: plus[50 * k : 50 * k + 50] for k, label in enumerate(EMOTIONS)}
    plus += [f"Where is the salt, cook {i}?" for i in range(150)]
    (folder / "EmotionQuery.json").write_text(json.dumps(queries), encoding="utf-8")
    (folder / "EmotionQuery+.json").write_text(json.dumps(plus), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_the_table_of_the_paper_from_nothing_but_a_model(data, tmp_path, monkeypatch, run):
    monkeypatch.setenv("EMOTONE_DATA", str(data.parent))
    out = tmp_path / "out"
    asked = ("evaluate", "vectors", "tiny", "--posts", "1", "--queries", "1", "--rounds", "5",
             "--max-tokens", "4", "--controls", "-o", str(out))  # fmt: skip
    code, printed, said = run(*asked)
    assert code == 0, said
    assert printed.strip() == (out / "table.md").read_text(encoding="utf-8").strip()
    assert "250 of the 250" in said
    assert "no model for the fluency" in said
    table = json.loads((out / "table.json").read_text(encoding="utf-8"))
    assert len(table["rows"]) == 13
    assert table["manifest"]["settings"]["decoding"]["top_p"] == 0.9
    assert table["manifest"]["settings"]["method"] == "answers"
    assert {"EmotionQuery.json", "EmotionQuery+.json"} == {
        row["name"] for row in table["manifest"]["inputs"]
    }
    # Again: nothing is answered anew, and the numbers are the same.
    before = {p.name: p.stat().st_mtime_ns for p in (out / "replies").glob("*.jsonl")}
    assert len(before) == 1 + 6 * 4 + 3 * 5
    code, printed, _ = run(*asked, "--json")
    assert (code, json.loads(printed)["rows"]) == (0, table["rows"])
    assert before == {p.name: p.stat().st_mtime_ns for p in (out / "replies").glob("*.jsonl")}


def test_vectors_of_a_file_and_what_is_refused(data, tmp_path, monkeypatch, run):
    monkeypatch.delenv("EMOTONE_DATA", raising=False)
    file = tmp_path / "own.safetensors"
    steered.tiny().vectors.save(file)
    own = ("--vectors", str(file), "--posts", "1", "--max-tokens", "2", "-o", str(tmp_path / "o"))
    code, _, said = run("evaluate", "vectors", "tiny", *own)
    assert (code, "where is EmotionQuery" in said) == (2, True)
    code, _, said = run("evaluate", "vectors", "tiny", *own, "--table", "emo-seq")
    assert (code, "'emo-seq'" in said) == (2, True)
    code, printed, said = run("evaluate", "vectors", "tiny", *own, "-i", str(data), "--json")
    assert code == 0, said
    settings = json.loads(printed)["manifest"]["settings"]
    assert (settings["site"], settings["held_out"]) == ("resid", None)
    assert not (tmp_path / "o" / "vectors.safetensors").exists()
    code, _, said = run("evaluate", "vectors", "tiny", *own, "-i", str(data), "--seed", "9")
    assert (code, "decoding.seed" in said) == (2, True)
