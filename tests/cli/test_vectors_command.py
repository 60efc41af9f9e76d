"""`emotone vectors`: extract, calibrate and card, end to end on the tiny model."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest

from emotone.cli import main
from emotone.models.tiny import tiny_causal_lm
from emotone.steering.mood import vector_judges
from emotone.steering.vectors import EmotionVectors
from emotone.systems import steered
from unit.steering.test_mood_adapters import tiny_moods

SAID = {
    "anger": ["I hate it so much!", "How dare they do that!", "Damn it all, I am angry!"],
    "joy": ["I love it so much!", "What fun we had, yay!", "So happy, what a day!"],
    "neutral": ["It is noon now.", "The bus is red today.", "A table and a chair."],
}


@pytest.fixture
def tiny(monkeypatch):
    lm = steered.tiny()._lm
    monkeypatch.setattr("emotone.models.load_causal_lm", lambda *_a, **_k: lm)

    def embed():
        return lambda texts: np.array([[1.0, 0.0]] * len(texts))

    monkeypatch.setattr("emotone.models.embed.sentence_embedder", embed)
    return lm


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["emotone", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def examples(path) -> None:
    rows = [
        {"id": f"{k}{i}", "post": "What now?", "emotion": k, "reply": t}
        for k, texts in SAID.items()
        for i, t in enumerate(texts)
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")


def test_extract_then_card_then_calibrate(tmp_path, monkeypatch, capsys, tiny):
    source, out = tmp_path / "e.jsonl", tmp_path / "v.safetensors"
    examples(source)
    code = run(
        monkeypatch, "vectors", "extract", "-i", source, "-o", out,
        "--set", "fit.steps=3", "--set", "fit.batch=4",
    )  # fmt: skip
    assert code == 0
    assert EmotionVectors.load(out).labels == ("anger", "joy")
    assert run(monkeypatch, "vectors", "card", out, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["method"] == "fitted"
    assert shown["emotions"] == ["anger", "joy"]

    posts, texts = tmp_path / "posts.txt", tmp_path / "judge.jsonl"
    posts.write_text("\n".join(f"Post number {i}" for i in range(6)) + "\n", encoding="utf-8")
    labelled = [{"text": t, "label": k} for k, ts in SAID.items() for t in ts]
    texts.write_text("".join(json.dumps(r) + "\n" for r in labelled), encoding="utf-8")
    code = run(
        monkeypatch, "vectors", "calibrate", out, "--posts", posts, "--judge-texts", texts,
        "--set", "doses=[0.5]", "--set", "negative=[-0.5]",
        "--set", "limits.known=0.0", "--set", "limits.similarity=0.0",
        "--set", "limits.distinct=0.0", "--set", "limits.repeats=1.0",
        "--set", "limits.shortest=0.0",
    )  # fmt: skip
    said = capsys.readouterr().err
    # Random weights may not be heard at all; then the command must say so and change nothing.
    if code == 0:
        assert set(EmotionVectors.load(out).card.curves) == {"anger", "joy"}
    else:
        assert "no dose" in said
        assert EmotionVectors.load(out).card.curves == {}


def test_too_few_posts_and_wrong_settings_are_refused(tmp_path, monkeypatch, capsys, tiny):
    source, out = tmp_path / "e.jsonl", tmp_path / "v.safetensors"
    examples(source)
    assert run(monkeypatch, "vectors", "extract", "-i", source, "-o", out, "--set", "metod=a") == 2
    assert "did you mean 'method'" in capsys.readouterr().err
    assert run(monkeypatch, "vectors", "extract", "-i", tmp_path / "no.jsonl", "-o", out) == 2
    assert "cannot read" in capsys.readouterr().err
    steered.tiny().vectors.save(out)
    posts, texts = tmp_path / "posts.txt", tmp_path / "judge.jsonl"
    posts.write_text("One post\n", encoding="utf-8")
    labelled = [{"text": t, "label": k} for k, ts in SAID.items() for t in ts]
    texts.write_text("".join(json.dumps(r) + "\n" for r in labelled), encoding="utf-8")
    code = run(monkeypatch, "vectors", "calibrate", out, "--posts", posts, "--judge-texts", texts)
    assert code == 2
    assert "holds 1 post; give 20 or more" in capsys.readouterr().err


def test_the_printed_command_works_and_neutral_lines_of_people_are_fine(
    tmp_path, monkeypatch, capsys, tiny
):
    source, out = tmp_path / "e.jsonl", tmp_path / "my v.safetensors"
    examples(source)
    (tmp_path / "my v.sweep.json").write_text("{}")
    reading = ["vectors", "extract", "-i", source, "-o", out, "--set", "method=reading"]
    assert run(monkeypatch, *reading, "--model", "mine") == 0
    assert not (tmp_path / "my v.sweep.json").exists()  # it was of vectors that are no more
    err = capsys.readouterr().err
    assert "joy has 3 of the 20 replies" in err
    printed = err.split("calibrate it next: ")[1].strip()
    assert printed == f"emotone vectors calibrate '{out}' --model mine"
    monkeypatch.setattr("emotone.steering.calibrate.shipped_posts", lambda: ["a", "b", "c"])
    settings = ["doses=[0.5]", "negative=[-0.5]"]
    command = [*shlex.split(printed)[1:], "--human", source]
    code = run(monkeypatch, *command, *(part for s in settings for part in ("--set", s)))
    err = capsys.readouterr().err
    assert code == 1
    assert "joy: no dose" in err
    assert "anger: no dose" in err


def test_vectors_that_are_all_zero_are_refused(tmp_path, monkeypatch, capsys, tiny):
    source, out = tmp_path / "e.jsonl", tmp_path / "v.safetensors"
    source.write_text('{"post": "a", "emotion": "joy", "reply": "Good day to you!"}\n')
    command = ["vectors", "extract", "-i", source, "-o", out, "--set", "method=reading"]
    assert run(monkeypatch, *command) == 2
    assert "the vectors of joy are all zero" in capsys.readouterr().err
    assert not out.exists()


def test_the_judge_that_labelled_the_exchanges_is_named_by_the_vectors(
    tmp_path, monkeypatch, capsys, tiny
):
    source, out = tmp_path / "e.jsonl", tmp_path / "v.safetensors"
    examples(source)
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    rows[0]["judges"] = ["ears-1-0a1b2c3d"]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    method = ("--set", "method=reading")
    assert run(monkeypatch, "vectors", "extract", "-i", source, "-o", out, *method) == 0
    assert list(map(str, vector_judges(EmotionVectors.load(out)))) == ["ears-1-0a1b2c3d"]


def test_list_names_what_ships(monkeypatch, capsys):
    assert run(monkeypatch, "vectors", "list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["vectors"]
    assert [r["name"] for r in rows] == ["gemma3-270m-companion", "smollm2", "smollm2-companion"]
    assert [len(row["emotions"]) for row in rows] == [17, 6, 17]


def test_mood_adapters_have_a_card_too(tmp_path, monkeypatch, capsys):
    path = tmp_path / "moods.safetensors"
    tiny_moods(tiny_causal_lm().model).save(path)
    assert run(monkeypatch, "vectors", "card", path) == 0
    shown = capsys.readouterr().out
    assert "site      maps, 2 blocks" in shown
    assert "joy       -1.00" in shown


def test_an_altered_vector_file_is_exit_1(tmp_path, monkeypatch, capsys):
    path = tmp_path / "v.safetensors"
    steered.tiny().vectors.save(path)
    path.write_bytes(path.read_bytes()[:-3])
    assert run(monkeypatch, "vectors", "card", path) == 1
    assert "v.safetensors" in capsys.readouterr().err


def test_doctor_reports_every_check(monkeypatch, capsys):
    code = run(monkeypatch, "doctor", "--json")
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is (code == 0)
    names = [c["check"] for c in report["checks"]]
    assert names[:4] == ["python", "emotone", "libraries", "device"]
    assert [c for c in report["checks"] if not c["ok"]] == []
