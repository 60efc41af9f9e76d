"""How EmpRL is scored: what is answered, what goes on, how trainings are pooled, what pages say."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recipes.compare.rows import Row, of_replies, p_value
from recipes.emprl import evaluate, replies, table
from recipes.emprl.curves import POINTS, curve, drawing
from recipes.emprl.findings import findings
from recipes.emprl.rows import CONSTANT, PEOPLE, SHUFFLED, floors, rows_of
from recipes.emprl.runs import DECODING, STRIDE, dialogues, find

from emotone import config as configs
from emotone.data.examples import example_line
from emotone.errors import DataError
from emotone.evaluation.instruments import Opened
from emotone.metrics import Instruments
from emotone.models.tiny import tiny_causal_lm, tiny_seq2seq
from emotone.systems.emprl.folder import Card, Measured
from emotone.training.adapters import Adapters, add_adapters, save_adapters
from emotone.types import Dialogue, Example, Post, Reply, Speaker
from unit.metrics.doubles import CountIdentifier, embed


def examples(count: int = 8) -> list[Example]:
    """Conversations of two turns each, of which one is drawn."""
    made: list[Example] = []
    for i in range(count):
        first = Post(f"my cat ran to place {i}")
        posts = (first, Post("oh , where ?", Speaker.ASSISTANT), Post("to the dog"))
        made.append(Example(f"valid-c:{i}-2", Dialogue((first,)), reply=f"sad . where is {i} ?"))
        made.append(Example(f"valid-c:{i}-4", Dialogue(posts), reply="well , no dog there"))
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "valid.jsonl"
    path.write_text("".join(example_line(e) + "\n" for e in examples()), encoding="utf-8")
    return path


def stage_folder(folder: Path, seed: int, stage: str, base: str = "") -> None:
    """A stage as training writes it: a random T5, or a chat model that has learned nothing."""
    folder.mkdir(parents=True)
    if base:
        lm = tiny_causal_lm()
        add_adapters(lm.model, Adapters(rank=2, alpha=4.0), seed=1)
        save_adapters(lm.model, folder, base=base)
    else:
        lm = tiny_seq2seq(seed)
        lm.model.save_pretrained(folder)
        lm.tokenizer.save_pretrained(folder)
    measured = Measured(steps=4, best_step=2, stopped="patience", seconds=60.0)
    judge = "" if stage == "supervised" else "empathy-reward"
    kind = "causal" if base else "seq2seq"
    card = Card(kind, base, stage, max_prompt=400, identifier=judge, measured=measured)
    (folder / "config.toml").write_text(configs.dump(card), encoding="utf-8")


def log_rows(steps: int = 4) -> list[dict[str, Any]]:
    terms = {f"term/{m}": 0.5 for m in ("reaction", "interpretation", "exploration", "empathy")}
    found = {f"dev_{k}": v for k, v in terms.items()}
    rows: list[dict[str, Any]] = []
    for step in range(steps + 1):
        if step:
            row = {"step": step, "reward": step / 10, **terms, "kl": 0.1 * step, "length": 9.0}
            rows.append({**row, "distinct_2": 0.8, "value_loss": 1 / step})
        if step % 2 == 0:
            row = {"step": step, "dev_reward": step / 10, **found, "dev_kl": 0.1, "dev_length": 9.0}
            why = ["distinct"] if step == 4 else []
            rows.append({**row, "dev_distinct_2": 0.7, "dev_nll": 3.5, "dev_refused": why})
    return rows


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    chat = tmp_path / "chat"
    lm = tiny_causal_lm()
    lm.model.save_pretrained(chat)
    lm.tokenizer.save_pretrained(chat)
    for seed in (1, 2):
        stage_folder(folder / f"tiny-s{seed}/supervised", seed, "supervised")
        stage_folder(folder / f"tiny-s{seed}/ppo", seed + 10, "ppo")
        log = folder / f"tiny-s{seed}/ppo/log.jsonl"
        log.write_text("".join(json.dumps(row) + "\n" for row in log_rows()), encoding="utf-8")
    stage_folder(folder / "chat-s1/supervised", 1, "supervised", str(chat))
    (folder / "chat-s1/ppo/checkpoints").mkdir(parents=True)  # still being trained
    return folder


def instruments() -> Instruments:
    return Instruments(empathy=CountIdentifier(), embed=embed, embed_name="letters")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judges that need no model."""
    monkeypatch.setattr(
        evaluate, "open_instruments", lambda _: Opened(instruments(), {"counts-1": {}})
    )
    kinds = {"reference": (0.5, 0.5), "empty": (0.0, -2.0)}
    names = [
        "reaction",
        "interpretation",
        "exploration",
        "repetition",
        "length",
        "copied",
        "common",
    ]
    made = {
        k: {"off": a, "on": b, "terms": dict.fromkeys((*names, "common"), 0.1)}
        for k, (a, b) in kinds.items()
    }
    monkeypatch.setattr(evaluate, "tricks", lambda: made)


def run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, words)])
    evaluate.main()


def test_one_turn_of_each_conversation_is_drawn_always_the_same(file: Path, tmp_path: Path):
    drawn = dialogues(file, 5)
    assert len({e.id.rpartition("-")[0] for e in drawn}) == len(drawn) == 5
    assert [e.id for e in drawn] == [e.id for e in dialogues(file, 5)]
    assert {e.id[-1] for e in dialogues(file, 8)} == {"2", "4"}
    text = file.read_text(encoding="utf-8").replace("valid-c", "test-c")
    (tmp_path / "test.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="test part"):
        dialogues(tmp_path / "test.jsonl")


def test_finished_stages_and_the_chat_model_below_them_are_found(runs: Path, tmp_path: Path):
    assert [s.title for s in find(runs)] == [
        "chat-s0-plain",
        "chat-s1-supervised",
        "tiny-s1-supervised",
        "tiny-s1-ppo",
        "tiny-s2-supervised",
        "tiny-s2-ppo",
    ]
    with pytest.raises(DataError, match="no finished stage"):
        find(tmp_path)


def test_everything_from_folders_to_pages(
    runs: Path, file: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
):
    given = (runs, "--dialogues", file, "--contexts", "6", "--samplings", "2", "--rounds", "50")
    result = tmp_path / "emprl.json"
    run(monkeypatch, *given, "--result", result)
    made = json.loads(result.read_text(encoding="utf-8"))
    names = ["chat-plain", "chat-supervised", "tiny-supervised", "tiny-ppo"]
    assert list(made["rows"]) == [*names, PEOPLE, SHUFFLED, CONSTANT]
    assert [made["rows"][n]["replies"] for n in names] == [12, 12, 24, 24]
    assert list(made["differences"]) == [
        "chat-plain - chat-supervised",
        "tiny-ppo - tiny-supervised",
    ]
    tiny = made["rows"]["tiny-ppo"]
    assert tiny["trainings"] == [1, 2]
    assert len(tiny["by_seed"]["emp_f1"]) == len(tiny["by_seed"]["perplexity"]) == 2
    gap = made["differences"]["tiny-ppo - tiny-supervised"]["numbers"]["perplexity"]
    ours, theirs = (
        made["rows"][f"tiny-{s}"]["numbers"]["perplexity"] for s in ("ppo", "supervised")
    )
    assert gap["value"] == pytest.approx(ours["value"] - theirs["value"], rel=1e-3)
    # Nothing changed in the chat model but its name.
    same = made["differences"]["chat-plain - chat-supervised"]["numbers"]
    assert same["emp_f1"]["value"] == same["perplexity"]["value"] == 0
    assert same["emp_f1"]["p"] == 1
    assert made["rows"][PEOPLE]["numbers"]["distinct_1"]["value"] > 0
    assert "emp_f1" not in made["rows"][PEOPLE]["numbers"]
    assert made["runs"]["tiny-s1-ppo"]["measured"]["stopped"] == "patience"
    page = table.page(made, "emprl.json")
    assert "| tiny, PPO | 2 |" in page
    assert "| tiny, PPO minus tiny, supervised | 2 |" in page
    assert "The weights are those of step 2." in page
    assert "stopped because the held-out reward no longer rose" in page
    assert "Always the commonest level" in page
    assert "| nothing | 0.000 | -2.000 |" in page
    assert set(table.drawings(made)) == {"tiny-s1-ppo", "tiny-s2-ppo"}


def test_half_a_file_goes_on_to_the_same_replies(
    runs: Path, file: Path, quick: None, monkeypatch: pytest.MonkeyPatch
):
    given = (runs, "--dialogues", file, "--contexts", "6", "--samplings", "1", "--answer-only")
    run(monkeypatch, *given, "--only", "tiny-s1-ppo")
    path = runs / "eval/tiny-s1-ppo/replies-1.jsonl"
    whole = path.read_text(encoding="utf-8")
    rows = [json.loads(line) for line in whole.splitlines()]
    assert [row["seed"] for row in rows] == [STRIDE + i for i in range(6)]
    assert max(row["tokens"] for row in rows) <= DECODING.max_tokens
    path.write_text(whole[: whole.index("\n", 400) + 10], encoding="utf-8")
    run(monkeypatch, *given, "--only", "tiny-s1-ppo")
    assert path.read_text(encoding="utf-8") == whole
    assert not (runs / "eval/tiny-s2-ppo").exists()


def test_replies_of_other_weights_are_not_taken(
    runs: Path, file: Path, monkeypatch: pytest.MonkeyPatch
):
    given = (runs, "--dialogues", file, "--contexts", "4", "--samplings", "1", "--answer-only")
    run(monkeypatch, *given, "--only", "tiny-s1-ppo")
    weights = runs / "tiny-s1/ppo/model.safetensors"
    weights.write_bytes((runs / "tiny-s2/ppo/model.safetensors").read_bytes())
    with pytest.raises(DataError, match=r"tiny-s1-ppo came from other weights"):
        run(monkeypatch, *given, "--only", "tiny-s1-ppo")


def row_of(texts: dict[int, list[list[str]]]) -> Row:
    """A row of given replies: training -> sampling -> texts."""
    some = examples()[::2]
    return Row(
        {
            seed: [
                [(e, Reply(t, None, "x", "", k, 0)) for e, t in zip(some, of_all, strict=True)]
                for k, of_all in enumerate(many)
            ]
            for seed, many in texts.items()
        }
    )


def test_a_row_of_several_trainings_varies_by_training():
    posts = [e.id for e in examples()[::2]]
    words = {1: [["a"] * 8, ["a b c"] * 8], 2: [["a b c d"] * 8, ["a b c d e f"] * 8]}
    several = of_replies(row_of(words), "length_words", instruments())
    assert several.sampled(posts, 20).values.tolist() == [2, 5]
    assert several.of([1]).sampled(posts, 20).values.tolist() == [1, 3]


def test_a_difference_in_every_dialogue_has_a_small_p():
    short, long = (row_of({s: [["a " * (9 * s + k)] * 8] for s in (1, 2, 3)}) for k in (0, 1))
    a, b = (of_replies(row, "length_words", instruments()) for row in (long, short))
    assert p_value(a, b, 200) == pytest.approx(2 / 2**8, abs=0.02)
    assert p_value(a, b.of([1]), 200) is None
    of_kinds = [of_replies(row, "distinct_1", instruments()) for row in (long, short)]
    assert p_value(*of_kinds, 200) is None


def test_shuffled_replies_belong_to_other_dialogues():
    some = examples()[::2]
    rows = floors(some)
    for (example, reply), (_, own) in zip(
        rows[SHUFFLED].replies[0][0], rows[PEOPLE].replies[0][0], strict=True
    ):
        assert reply.text != own.text == example.reply


def test_a_stage_without_replies_is_left_out(runs: Path, tmp_path: Path):
    assert rows_of(find(runs), tmp_path / "none", 2) == {}


def test_curves_are_short_and_say_what_was_refused(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    rows = log_rows(200)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = curve(path)
    assert len(found["steps"]["reward"]) == POINTS
    assert found["steps"]["reward"][0] == [5, pytest.approx(np.mean([0.1, 0.2, 0.3, 0.4, 0.5]))]
    assert [row["refused"] for row in found["evaluations"][:3]] == ["", "", "distinct"]
    svg = drawing(found, "a & b", 4)
    assert svg.startswith("<svg")
    assert "a &amp; b" in svg
    assert svg.count("<polyline") == 8
    assert svg.count('class="best"') == 6
    path.write_text("", encoding="utf-8")
    assert curve(path) == {}


def test_findings_follow_the_numbers():
    def numbers(value: float, low: float, high: float) -> dict[str, Any]:
        return {"value": value, "low": low, "high": high, "p": 0.01}

    difference = {
        "trainings": [1],
        "numbers": {"emp_f1": numbers(0.05, 0.02, 0.08), "emp_macro_f1": numbers(0.01, -0.1, 0.1)},
        "ratios": {"perplexity": {"value": 1.2}, "distinct_2": {"value": 0.98}},
    }
    rows = {
        n: {"numbers": {"emp_f1": {"value": v}}} for n, v in (("tiny-ppo", 0.6), (CONSTANT, 0.7))
    }
    said = list(
        findings(
            {
                "differences": {"tiny-ppo - tiny-supervised": difference},
                "rows": rows,
                "same_for_all": "Sorry.",
            }
        )
    )
    assert "Emp-F1 +0.050 [+0.020, +0.080], which is a gain" in said[0]
    assert "not distinguishable from 0" in said[0]
    assert "perplexity x 1.200, outside the limit (at most 1.1)" in said[0]
    assert "Distinct-2 x 0.980, within the limit (at least 0.97)" in said[0]
    assert said[1] == "Always the same reply (“Sorry.”): Emp-F1 0.700; above it: none."


def test_the_page_of_replies_shows_stages_side_by_side(runs: Path, tmp_path: Path):
    invented = replies.dialogues()
    assert len(invented) == 20
    assert sum(len(e.dialogue.posts) == 3 for e in invented) >= 4
    shown = replies.chosen(find(runs))
    assert [s.title for s in shown["tiny"]] == ["tiny-s1-supervised", "tiny-s1-ppo"]
    assert [s.stage for s in shown["chat"]] == ["plain", "supervised"]
    some = invented[:4]
    said = {s.stage: replies.answered(s, some, tmp_path / "made") for s in shown["tiny"]}
    again = replies.answered(shown["tiny"][0], some, tmp_path / "made")
    assert [r.text for _, r in again] == [r.text for _, r in said["supervised"]]
    page = replies.page({"tiny": said}, CountIdentifier())
    assert "| dialogue | supervised | PPO |" in page
    assert "My flight was cancelled" in page
    assert "— Oh, how lovely! Did you see it yourself? —" in page
