"""What goes into the zoo is small, answers as the run did, and has a card."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from recipes.emprl import pack
from safetensors.torch import load_file, save_file

from emotone.errors import CheckpointError, DataError
from emotone.systems import emprl
from emotone.systems.emprl.folder import read_card
from emotone.types import Decoding, Dialogue
from unit.emprl import stages

SHORT = Decoding(max_tokens=8, strategy="greedy")
POSTS = [Dialogue.of("My dog died."), Dialogue.of("I won!")]


@pytest.fixture(params=["causal", "seq2seq"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "seq2seq":
        return stages.t5(tmp_path / "run" / "supervised")
    return stages.adapted(tmp_path / "run" / "ppo", stages.chat_model(tmp_path / "chat"))


def logprobs(folder: Path) -> list[float]:
    system = emprl.load(str(folder))
    return [nats for nats, _ in system.nats(POSTS, [None] * 2, ["I am sorry.", "Nice."])]


def test_what_is_packed_answers_as_the_run_did(stage: Path, tmp_path: Path):
    (stage / "checkpoints").mkdir()
    (stage / "log.jsonl").write_text("{}\n")
    out = tmp_path / "zoo" / "emprl-toy"
    pack.pack(stage, out)
    kind = read_card(out).kind
    assert {p.name for p in out.iterdir()} == {*pack.FILES[kind], pack.WEIGHTS[kind], "config.toml"}
    stored = load_file(out / pack.WEIGHTS[kind])
    assert {v.dtype for v in stored.values()} == {torch.float16}
    assert logprobs(out) == pytest.approx(logprobs(stage), rel=5e-3)
    (reply, _) = emprl.load(str(out)).reply(POSTS, [None] * 2, decoding=SHORT)
    assert reply.model == "emprl-toy"


def test_a_machine_s_speed_is_not_packed(tmp_path: Path):
    base = stages.chat_model(tmp_path / "chat")
    source = stages.adapted(tmp_path / "run" / "ppo", base)
    pack.pack(source, tmp_path / "out")
    measured = read_card(tmp_path / "out").measured
    assert (measured.steps, measured.best_step, measured.seconds) == (40, 30, 0.0)


def test_what_is_no_finished_stage_is_refused(stage: Path, tmp_path: Path):
    with pytest.raises(CheckpointError, match="not a folder of EmpRL"):
        pack.pack(stage.parent, tmp_path / "out")
    kind = read_card(stage).kind
    (stage / pack.WEIGHTS[kind]).unlink()
    with pytest.raises(DataError, match=f"has no {pack.WEIGHTS[kind]}"):
        pack.pack(stage, tmp_path / "out")


def test_numbers_beyond_float16_are_refused(tmp_path: Path):
    source = stages.t5(tmp_path / "t5")
    tensors = load_file(source / "model.safetensors")
    name = next(iter(tensors))
    tensors[name][0] = 1e6
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match="float16 cannot"):
        pack.pack(source, tmp_path / "out")


def test_a_card_says_what_is_inside_and_what_it_may_be_used_for(tmp_path: Path):
    source = stages.adapted(tmp_path / "run" / "ppo", stages.chat_model(tmp_path / "chat"))
    number = {"value": 0.5, "low": 0.4, "high": 0.6}
    results = {"rows": {"smollm2-ppo": {"trainings": [1, 2], "numbers": {"emp_f1": number}}}}
    text = pack.readme("emprl-smollm2", read_card(source), results, 1_234_567)
    for piece in (
        "1.2 million weights",
        "stage PPO",
        "40 steps",
        "step 30",
        "CC BY-NC 4.0",
        "academic research only",
        "for research, not for commerce",
        "not a help for people in need",
        "| Emp-F1 ↑ | 0.500 [0.400, 0.600] |",
        "Mean of 2 trainings",
    ):
        assert piece in text, piece
    # Before it was measured, and where another model was, there are no scores.
    assert "## Scores" not in pack.readme("emprl-smollm2", read_card(source), None, 5)
    assert "## Scores" not in pack.readme("emprl-other", read_card(source), results, 5)
