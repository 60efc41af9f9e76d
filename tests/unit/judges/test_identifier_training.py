"""EmpRL's own identifiers, two T5 encoders a mechanism, from labelled pairs to a reward."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emotone import config as configs
from emotone.cli import main
from emotone.data.examples import write_jsonl
from emotone.errors import DataError, ModelMissing
from emotone.judges import open_identifier
from emotone.judges.identifier import level_logits
from emotone.judges.identifier_training import Config, train_identifier
from emotone.systems import emprl
from emotone.systems.emprl.folder import read_card
from emotone.systems.emprl.reward import RewardSettings, make_reward
from emotone.types import MECHANISMS, Dialogue, EmpathyLevels, Example
from unit.emprl.test_training import COMMON
from unit.judges.toy_encoders import save_t5

#: The word of a response that decides the level of each mechanism.
CUES = (("today", "sorry", "glad"), ("bus", "know", "mean"), ("tea", "why", "how"))


def examples(count: int) -> list[Example]:
    draws = np.random.default_rng(0)
    rows: list[Example] = []
    for n in range(count):
        levels = draws.integers(0, 3, 3)
        words = [CUES[k][level] for k, level in enumerate(levels)]
        post = " ".join(draws.choice(["i", "lost", "my", "cat", "job", "exam", "sad"], 5))
        rows.append(
            Example(
                str(n), Dialogue.of(post), reply=" ".join(words),
                empathy=EmpathyLevels(*map(int, levels)),
            )
        )  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("judge")
    save_t5(place / "t5")
    write_jsonl(iter(examples(90)), place / "pairs.jsonl")
    return place


def settings(folder: Path, *more: str) -> list[str]:
    return [
        f"backbone={folder / 't5'}", f"data.train={folder / 'pairs.jsonl'}", "training.lr=0.01",
        "training.epochs=4", "training.device=cpu", "training.threads=1", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    return train_identifier(configs.load(Config, None, settings(folder)), folder / "paper")


def test_it_learns_levels_and_is_opened_from_its_folder(trained: Path):
    judge = open_identifier(trained)
    assert judge.card.role == "reward"
    assert [net.spec.mechanisms for net in judge.nets] == [(m,) for m in MECHANISMS]
    assert all(net.context is not None for net in judge.nets)
    rows = examples(40)
    pairs = [(e.dialogue.posts[0].text, e.reply or "") for e in rows]
    right = [
        a == getattr(e.empathy, m)
        for levels, e in zip(judge.identify(pairs), rows, strict=True)
        for m in MECHANISMS
        for a in [getattr(levels, m)]
    ]
    assert np.mean(right) > 0.9
    assert set(judge.card.data["dev"]) == set(MECHANISMS)
    # Its probabilities are the softmax itself, without a temperature.
    logits = level_logits(judge.nets[0], pairs)[MECHANISMS[0]]
    softmax = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    assert judge.probabilities(pairs)[:, 0] == pytest.approx(softmax, abs=1e-6)


def test_a_reward_is_the_product_of_its_probabilities(trained: Path):
    judge = open_identifier(trained)
    reward = make_reward(["i lost my cat"], ["sorry know why"], identifier=judge)
    (levels,) = judge.identify([("i lost my cat", "sorry know why")])
    chances = judge.probabilities([("i lost my cat", "glad mean tea")])[0]
    target = [getattr(levels, m) for m in MECHANISMS]
    want = np.prod([chances[k, level] for k, level in enumerate(target)])
    assert reward([0], ["glad mean tea"]).total == pytest.approx([want])


def test_levels_that_are_given_are_the_targets(trained: Path):
    judge = open_identifier(trained)
    given = RewardSettings(targets="given")
    asked = make_reward(
        ["i lost my cat"], ["tea"], given, identifier=judge, levels=[EmpathyLevels(2, 0, 1)]
    )
    assert asked.targets([0]).tolist() == [[2, 0, 1]]
    asked([0], ["why"])
    assert asked.targets([0]).tolist() == [[2, 0, 1]]
    with pytest.raises(DataError, match=r"row 1 has no levels .*sft_addlabel"):
        make_reward(
            ["a", "b"], ["c", "d"], given, identifier=judge, levels=[EmpathyLevels(0, 0, 0), None]
        )


def test_emprl_trains_with_it_on_levels_that_are_given(trained: Path, tmp_path: Path):
    file = tmp_path / "labelled.jsonl"
    write_jsonl(iter(examples(40)), file)
    path = tmp_path / "config.toml"
    path.write_text(COMMON.format(file=file, model="new"), encoding="utf-8")
    given = [f"identifier={trained}", "reward.targets=given", "reinforce.steps=1"]
    place = emprl.train(configs.load(emprl.Config, path, given), tmp_path / "run")
    assert read_card(place).identifier == str(trained)
    lines = (place / "log.jsonl").read_text("utf-8").splitlines()
    (step,) = [row for row in map(json.loads, lines) if "term/empathy" in row]
    assert 0 < step["term/empathy"] < 1
    # Without levels the references are read, and with none given it is said.
    write_jsonl((replace(e, empathy=None) for e in examples(40)), file)
    with pytest.raises(DataError, match=r"reward\.targets is 'given'"):
        emprl.train(configs.load(emprl.Config, path, given), tmp_path / "none")


def test_the_command_trains_goes_on_and_the_judge_labels(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["emotone", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as left:
            code = int(left.code or 0)
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return printed.out

    out = folder / "command"
    given = [word for item in settings(folder, "training.max_steps=3") for word in ("--set", item)]
    assert run("judge", "train", "--out", out, *given).strip() == str(out)
    weights = (out / "weights.safetensors").read_bytes()
    run("judge", "train", "--out", out, *given)
    assert (out / "weights.safetensors").read_bytes() == weights
    (folder / "rows.jsonl").write_text('{"context": "i lost my cat", "response": "sorry"}\n')
    said = run("judge", "empathy", "--judge", out, "-i", folder / "rows.jsonl")
    assert "empathy-paper" in said


def test_what_cannot_be_learnt_from_is_said(folder: Path):
    path = folder / "plain.jsonl"
    write_jsonl(iter([Example("1", Dialogue.of("hello"), reply="hi")]), path)
    plain = configs.load(Config, None, settings(folder, f"data.train={path}"))
    with pytest.raises(DataError, match="'1' has no reply with levels of empathy"):
        train_identifier(plain, folder / "none")
    missing = configs.load(Config, None, settings(folder, "data.train=nowhere.jsonl"))
    with pytest.raises(DataError, match="emotone data prepare epitome"):
        train_identifier(missing, folder / "none")
    with pytest.raises(ModelMissing, match="emotone judge train"):
        open_identifier("out/judges/nowhere")


def test_the_config_of_the_paper_has_its_networks():
    root = Path(__file__).parents[3]
    paper = configs.load(Config, root / "configs/judges/empathy-paper.toml")
    assert [spec.mechanisms for spec in paper.specs] == [(m,) for m in MECHANISMS]
    for spec in paper.specs:
        assert (spec.backbone, spec.shared, spec.rank) == ("t5-base", False, None)
        assert (spec.max_context, spec.max_response, spec.pooling) == (250, 250, "mean")
    assert (paper.training.batch, paper.training.lr, paper.training.epochs) == (8, 1e-5, 12)
