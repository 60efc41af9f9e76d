"""What the trainer learns, logs, guards and chooses."""

from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from emotone import config as configs
from emotone.errors import ConfigError, DataError, RunError
from emotone.rl.development import Development, distinct_2, failed_guards
from emotone.rl.policy import trainable_parameters
from emotone.rl.rewards import Rewards
from emotone.rl.rollout import prompt_rows
from emotone.rl.settings import KL, PPO, Guards, Reinforce, Sampling
from emotone.training import run
from emotone.training.checkpoint import copied
from unit.rl import trainer_toy as toy

ALGORITHMS = ("ppo", "rloo", "grpo")


def log(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def steps(out: Path) -> list[dict]:
    return [row for row in log(out) if "reward" in row]


def far(one: torch.nn.Module, other: torch.nn.Module) -> float:
    a, b = copied(trainable_parameters(one)), copied(trainable_parameters(other))
    return max(float((a[k] - b[k]).abs().max()) for k in a)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_learns_what_is_rewarded(tmp_path, algorithm):
    found, done = toy.train(tmp_path, algorithm=algorithm, steps=20, evaluate_every=20)
    first, last = done.curve
    assert first["dev_reward"] < 0.3
    assert last["dev_reward"] > 0.85
    assert steps(tmp_path)[-1]["reward"] > 0.8
    assert (done.steps, done.stopped, done.best_step) == (20, "steps", 20)
    assert done.best_reward == last["dev_reward"]
    assert not found.training


def test_a_dear_divergence_holds_it_back(tmp_path):
    fixed = {"algorithm": "rloo", "lr": 0.01, "steps": 8, "dev": False}
    for name, weight in (("free", 0.0), ("held", 30.0)):
        toy.train(tmp_path / name, kl={"weight": weight, "adaptive": False}, **fixed)
    assert steps(tmp_path / "held")[-1]["kl"] < 0.3 * steps(tmp_path / "free")[-1]["kl"]
    assert steps(tmp_path / "held")[-1]["kl_coefficient"] == 30.0


def test_the_weight_of_the_divergence_adapts(tmp_path):
    toy.train(tmp_path, kl={"target": 1e-3, "horizon": 100}, steps=4)
    rows = steps(tmp_path)
    for row, then in pairwise(rows):
        change = 1 + min(max(row["kl"] / 1e-3 - 1, -0.2), 0.2) * 16 / 100
        assert then["kl_coefficient"] == pytest.approx(row["kl_coefficient"] * change)
    assert rows[-1]["kl_coefficient"] > rows[1]["kl_coefficient"]


COMMON = {"step", "reward", "term/share", "term/letters", "policy_loss", "ratio_mean", "clipped"}
COMMON |= {"update_kl", "entropy", "grad_norm", "updates", "skipped", "score_norm", "kl", "lr"}
COMMON |= {"kl_coefficient", "length", "ended", "distinct_2", "seconds", "rollout_seconds"}
COMMON |= {"score_seconds", "listen_seconds", "learn_seconds"}
EVALUATED = {"step", "dev_reward", "dev_term/share", "dev_term/letters", "dev_length", "dev_kl"}
EVALUATED |= {"dev_distinct_2", "dev_nll", "dev_refused", "best_step", "lr", "seconds"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_logged(tmp_path, algorithm):
    toy.train(tmp_path, algorithm=algorithm, steps=3, evaluate_every=2)
    more = {"value_loss", "value_explained"} if algorithm == "ppo" else set()
    assert [("reward" in row, row["step"]) for row in log(tmp_path)] == [
        (False, 0),
        (True, 1),
        (True, 2),
        (False, 2),
        (True, 3),
        (False, 3),
    ]
    for row in log(tmp_path):
        if "reward" in row:
            assert row.keys() - {"kl_negative"} == COMMON | more
            assert row["reward"] == row["term/share"]
            assert 2 <= row["length"] <= 6
            assert 0 <= row["ended"] <= 1
        else:
            assert row.keys() == EVALUATED


def test_scores_are_measured_by_those_of_all_steps(tmp_path):
    toy.train(tmp_path, steps=2, dev=False)
    first, second = steps(tmp_path)
    assert first["score_norm"] == pytest.approx(0, abs=1e-6)
    assert (second["score_norm"] > 0.01) is (second["reward"] > first["reward"])
    assert abs(second["score_norm"]) > 0.01


def test_only_some_steps_are_logged(tmp_path):
    toy.train(tmp_path, steps=7, log_every=3, dev=False)
    assert [row["step"] for row in steps(tmp_path)] == [3, 6]


def test_ratios_begin_at_one(tmp_path):
    toy.train(tmp_path / "calm", steps=1, epochs=1, dev=False)
    row = steps(tmp_path / "calm")[0]
    assert (row["update_kl"], row["clipped"]) == (0.0, 0.0)
    toy.train(tmp_path / "noisy", steps=1, epochs=1, dev=False, dropout=True)
    assert steps(tmp_path / "noisy")[0]["update_kl"] != 0
    # What the rollout recorded serves as well.
    toy.train(tmp_path / "group", steps=1, epochs=1, dev=False, algorithm="rloo")
    assert steps(tmp_path / "group")[0]["ratio_mean"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("updates", [1, 2])
def test_the_rows_of_a_pass_do_not_matter(tmp_path, algorithm, updates):
    settings = {"algorithm": algorithm, "updates": updates, "steps": 3, "dev": False}
    whole, _ = toy.train(tmp_path / "a", rows_a_pass=16, **settings)
    parts, _ = toy.train(tmp_path / "b", rows_a_pass=3, **settings)
    assert far(whole, parts) < 1e-5
    assert far(whole, toy.Toy()) > 0.01
    assert [r["updates"] for r in steps(tmp_path / "a")] == [4 * updates] * 3


def test_an_update_that_went_too_far_is_left_out(tmp_path):
    class Leaping(toy.Toy):
        updates = 0

        def forward(self, prompts, replies, *, values=True):
            output = super().forward(prompts, replies, values=values)
            self.updates += torch.is_grad_enabled()
            return output._replace(logprobs=output.logprobs + 3 * (self.updates > 2) * replies.mask)

    short = {"steps": 1, "epochs": 5, "rows_a_pass": 16, "dev": False}
    leaping, _ = toy.train(tmp_path / "held", Leaping(), **short)
    row = steps(tmp_path / "held")[0]
    assert (row["updates"], row["skipped"]) == (2, 3)
    assert row["ratio_mean"] < 2
    # Nothing of them is left.
    two, _ = toy.train(tmp_path / "two", **{**short, "epochs": 2})
    assert far(leaping, two) == 0
    toy.train(tmp_path / "free", Leaping(), guards={"ratio_limit": 100.0}, **short)
    assert steps(tmp_path / "free")[0]["skipped"] == 0


def test_passes_end_when_the_policy_is_far_from_the_one_that_drew(tmp_path):
    wild = {"lr": 0.3, "steps": 1, "epochs": 6, "dev": False}
    toy.train(tmp_path / "free", guards={"ratio_limit": 1e30}, **wild)
    toy.train(tmp_path / "held", guards={"ratio_limit": 1e30, "kl_limit": 0.01}, **wild)
    free, held = steps(tmp_path / "free")[0], steps(tmp_path / "held")[0]
    assert (free["updates"], free["skipped"]) == (6, 0)
    assert 1 <= held["updates"] < 5
    assert held["skipped"] == 1
    assert held["update_kl"] > 0.01


def test_a_loss_that_is_no_number_is_one_sentence(tmp_path):
    class Broken(toy.Toy):
        def forward(self, prompts, replies, *, values=True):
            output = super().forward(prompts, replies, values=values)
            return output._replace(logprobs=output.logprobs * math.nan)

    with pytest.raises(RunError, match="is NaN or infinite; lower lr or clip"):
        toy.train(tmp_path, Broken(), dev=False)


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        (lambda r, t: Rewards(np.full(len(t), np.nan), {}), "is NaN or infinite"),
        (lambda r, t: Rewards(np.zeros(1), {}), "one number a reply"),
        (lambda r, t: Rewards(np.zeros(len(t)), {"x": np.zeros(2)}), "reward's x has shape"),
    ],
)
def test_a_reward_must_be_a_number_a_reply(tmp_path, reward, said):
    with pytest.raises(DataError, match=said):
        toy.train(tmp_path, reward=reward, dev=False)


def test_a_negative_divergence_is_told_of_once(tmp_path, capsys):
    class Odd(toy.Toy):
        def reference(self, prompts, replies):
            return super().reference(prompts, replies) + replies.mask

    toy.train(tmp_path, Odd(), lr=1e-6, steps=2, dev=False)
    toy.train(tmp_path, Odd(), lr=1e-6, steps=4, dev=False)
    rows = steps(tmp_path)
    assert all(row["kl"] < 0 for row in rows)
    assert ["kl_negative" in row for row in rows] == [True, False, False, False]
    assert capsys.readouterr().err.count("below 0") == 1


def test_the_value_head_is_left_alone_but_by_ppo(tmp_path):
    for algorithm in ALGORITHMS:
        found, _ = toy.train(tmp_path / algorithm, algorithm=algorithm, steps=2, dev=False)
        same = torch.equal(found.value_head.out.weight, toy.Toy().value_head.out.weight)
        assert same is (algorithm != "ppo")
        assert all(p.requires_grad for p in found.value_head.parameters())


def test_ppo_needs_a_value_head(tmp_path):
    class Headless(toy.Toy):
        def forward(self, prompts, replies, *, values=True):
            return super().forward(prompts, replies, values=False)

    with pytest.raises(ConfigError, match="no value head"):
        toy.train(tmp_path, Headless(), dev=False)
    toy.train(tmp_path / "group", Headless(), dev=False, algorithm="grpo", steps=1)


def test_the_policy_ends_with_the_best_weights_that_the_guards_let_pass(tmp_path):
    # Replies of "a" alone have few different pairs, so that the guard refuses all that is learned.
    found, done = toy.train(tmp_path / "guarded", guards={"distinct": 1.0})
    assert (done.best_step, done.best_reward) == (0, done.curve[0]["dev_reward"])
    assert far(found, toy.Toy()) == 0
    assert [p["dev_refused"] for p in done.curve] == [[], *[["distinct"]] * (len(done.curve) - 1)]
    free, other = toy.train(tmp_path / "free")
    assert other.best_step > 0
    assert far(free, toy.Toy()) > 0.1
    assert other.best_reward == max(p["dev_reward"] for p in other.curve)


def test_the_best_is_not_the_last(tmp_path):
    # The reward falls from the second evaluation on.
    asked = []

    def falling(rows, texts):
        asked.append(len(texts))
        return Rewards(np.full(len(texts), [1.0, 3.0, 2.0, 1.0][len(asked) - 1]), {})

    held = Development(toy.rows(10, 6), [[*row, toy.END] for row in toy.rows(10, 7)], falling)
    policy = toy.Toy()
    done = toy.reinforce(
        policy,
        prompts=toy.rows(50),
        reward=toy.worth,
        settings=toy.quick(steps=15),
        out=tmp_path,
        development=held,
        progress=False,
    )
    assert (done.best_step, done.best_reward, done.steps) == (5, 3.0, 15)
    other, _ = toy.train(tmp_path / "five", steps=5, dev=False)
    assert far(policy, other) == 0


def test_patience_ends_a_run(tmp_path):
    _, done = toy.train(tmp_path, guards={"distinct": 1.0}, patience=2, steps=100)
    assert (done.stopped, done.steps, done.best_step) == ("patience", 10, 0)


def test_without_development_data_the_last_weights_stay(tmp_path):
    found, done = toy.train(tmp_path, dev=False, steps=5)
    assert (done.best_step, done.best_reward, done.curve) == (5, None, ())
    assert far(found, toy.Toy()) > 0.05


def point(nll: float = 2.0, distinct: float = 0.5, length: float = 10.0) -> dict:
    return {"dev_nll": nll, "dev_distinct_2": distinct, "dev_length": length}


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (point(), []),
        (point(nll=2 + math.log(1.09)), []),
        (point(nll=2 + math.log(1.11)), ["perplexity"]),
        (point(distinct=0.486), []),
        (point(distinct=0.484), ["distinct"]),
        (point(length=11.4), []),
        (point(length=11.6), ["length"]),
        (point(length=8.6), ["length"]),
        (point(nll=9, distinct=0, length=1), ["perplexity", "distinct", "length"]),
    ],
)
def test_guards(found, why):
    assert failed_guards(found, point(), Guards()) == why


def test_distinct_2():
    assert distinct_2(["I am sad.", "I am glad."]) == pytest.approx(5 / 6)
    assert distinct_2(["", "Oh"]) == 0


def test_an_epoch_takes_each_prompt_once():
    drawn = [prompt_rows(50, 8, 1, step).tolist() for step in range(12)]
    for epoch in (drawn[:6], drawn[6:]):
        assert len(set(chain.from_iterable(epoch))) == 48
    assert drawn[:6] != drawn[6:]
    assert prompt_rows(50, 8, 2, 0).tolist() != drawn[0]


def test_prompts_must_fill_a_step(tmp_path):
    with pytest.raises(DataError, match="there are 15 prompts, but a step takes 16"):
        toy.train(tmp_path, prompts=15)
    toy.train(tmp_path, prompts=4, algorithm="rloo", steps=1, dev=False)


def test_processes_must_share_the_batch(tmp_path, monkeypatch):
    real = run.ranks
    monkeypatch.setattr(run, "ranks", lambda *a, **k: replace(real(*a, **k), world=2))
    with pytest.raises(ConfigError, match="use a multiple of updates times processes, 2"):
        toy.train(tmp_path, batch=15, reward=None)


def test_development_data_are_pairs():
    with pytest.raises(DataError, match="2 prompts and 1 replies"):
        Development([[2], [3]], [[2]], toy.worth)


def test_replies_of_a_group_answer_one_prompt(tmp_path):
    seen = []

    def reward(rows, texts):
        seen.append(list(rows))
        return toy.worth(rows, texts)

    toy.train(tmp_path, algorithm="grpo", group=8, steps=1, dev=False, reward=reward)
    assert [len(set(seen[0][:8])), len(set(seen[0][8:])), len(set(seen[0]))] == [1, 1, 2]


def test_half_precision_learns_too(tmp_path):
    toy.train(tmp_path, precision="bf16", steps=8, dev=False)
    rows = steps(tmp_path)
    assert rows[-1]["reward"] > rows[0]["reward"] + 0.2


def test_the_rate_rises_and_falls(tmp_path):
    toy.train(tmp_path, steps=6, warmup=2, linear=6, lr=0.04, dev=False)
    rates = [row["lr"] for row in steps(tmp_path)]
    assert rates == pytest.approx([0.02, 0.04, 0.04, 0.03, 0.02, 0.01])


def test_no_global_state_is_left_changed(tmp_path):
    torch.manual_seed(11)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    handler = signal.getsignal(signal.SIGTERM)
    toy.train(tmp_path, steps=1, dropout=True, threads=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert signal.getsignal(signal.SIGTERM) is handler


def test_settings_come_from_a_file(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text('algorithm = "rloo"\ngroup = 8\nlr = 1\n[sampling]\ntop_k = 0\n')
    found = configs.load(Reinforce, file, ["sampling.max_tokens=9"])
    assert found == Reinforce(algorithm="rloo", group=8, lr=1.0, sampling=Sampling(0, max_tokens=9))
    assert configs.build(Reinforce, {}) == Reinforce()


def test_keys_of_before_there_were_groups_still_say_the_same(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text("kl = 0.5\nkl_target = 1.5\nguard_length = 2.0\n[ppo]\ngamma = 0.9\n")
    found = configs.load(Reinforce, file, ["clip_ratio=0.1", "kl_limit=0.02"])
    assert found.ppo == PPO(gamma=0.9, clip_ratio=0.1)
    assert (found.kl, found.guards) == (KL(0.5, 1.5), Guards(kl_limit=0.02, length=2.0))
    with pytest.raises(ConfigError, match=r"kl_target is the older name of kl\.target"):
        configs.build(Reinforce, {"kl_target": 1.0, "kl": {"target": 2.0}})
    # Runs are compared by these keys, those of before there were groups too.
    flat = Reinforce().flat()
    assert (flat["kl"], flat["kl_horizon"], flat["guard_distinct"]) == (0.2, 10_000, 0.97)
    assert not flat.keys() & {"ppo", "guards"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"algorithm": "dpo"}, "algorithm is 'dpo'; use one of"),
        ({"batch": 30, "updates": 4}, "batch is 30; use a multiple of updates, 4"),
        ({"batch": 30, "algorithm": "rloo"}, "batch is 30; use a multiple of group, 4"),
        ({"algorithm": "grpo", "group": 1}, "group is 1; use 2 or more for grpo"),
        ({"lr": 0.0}, "lr is 0.0; use more than 0"),
        ({"kl": {"weight": math.nan}}, "kl: weight is nan; use 0 or more"),
        ({"ppo": {"gamma": 1.5}}, "ppo: gamma is 1.5; use 0 to 1"),
        ({"sampling": {"min_tokens": 40}}, "sampling: min_tokens is 40; use 0 to max_tokens"),
        ({"guards": {"length": 0.9}}, "guards: length is 0.9; use 1 or more"),
    ],
)
def test_settings_out_of_range(settings, said):
    with pytest.raises(ConfigError) as error:
        configs.build(Reinforce, settings)
    assert said in str(error.value)


def test_progress_is_told(tmp_path, capsys):
    toy.train(tmp_path, progress=True, steps=5)
    said = capsys.readouterr().err
    assert "training for at most 5 steps" in said
    assert "step 0 of 5, dev reward 0.1" in said
    assert "step 5 of 5, reward 0." in said


def test_a_signal_breaks_an_evaluation_off_and_it_is_made_later(tmp_path):
    def reward(rows, texts):
        if not (tmp_path / "sent").exists():  # the first batch of the first evaluation
            (tmp_path / "sent").touch()
            os.kill(os.getpid(), signal.SIGTERM)
        return toy.worth(rows, texts)

    with pytest.raises(SystemExit) as left:
        toy.train(tmp_path / "run", batch=8, reward=reward)
    assert left.value.code == 143
    assert log(tmp_path / "run") == []
    _, done = toy.train(tmp_path / "run", batch=8)
    _, whole = toy.train(tmp_path / "whole", batch=8)
    assert done.curve == whole.curve
