"""Ours against one PPO step of trl 0.9.6 on a tiny T5, quantity by quantity, to 1e-5.

`make_trl_rollout.py` wrote the numbers; trl is not needed here. How its columns and ours align:

- trl's replies begin with the decoder's start token. Ours do not: column t of ours is
  `responses[:, t + 1]` of trl's, and both speak of the probability of that token and of the value
  of the state before it. So arrays over tokens have the same columns.
- trl's mask leaves out the first real token (its column 0), which is so neither trained nor
  counted in the KL. Ours has it; here ours are given trl's mask.
- trl whitens the rewards of padding too, which become other than 0, and its advantages sum over
  them. The batch "ragged", of replies of different lengths, shows it; ours do not, and
  `whiten_as_trl` here does. In the batch "even" there is no padding behind a reply.
- trl computes all forward passes, those of the updates too, without dropout.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from emotone.rl.advantages import gae
from emotone.rl.logprobs import vocabulary_logprobs
from emotone.rl.losses import explained_variance, policy_loss, value_loss
from emotone.rl.policy import Prompts, Replies, trainable_parameters
from emotone.rl.reduce import masked_mean, masked_moments, whiten
from emotone.rl.rewards import (
    RunningMoments,
    adapt_kl_weight,
    scale_scores,
    token_kl,
    token_rewards,
    update_moments,
)
from emotone.rl.seq2seq import Seq2SeqPolicy

FILE = Path(__file__).with_name("trl_rollout.safetensors")
BATCHES = ("ragged", "even")


@pytest.fixture(scope="module")
def trl() -> dict[str, Tensor]:
    with safe_open(FILE, "pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    with safe_open(FILE, "pt") as opened:
        return {name: json.loads(value) for name, value in opened.metadata().items()}


def same(ours: Any, theirs: Tensor, mask: Tensor | None = None, *, apart: float = 1e-5) -> None:
    ours = torch.as_tensor(ours, dtype=theirs.dtype)
    if mask is not None:
        assert mask.any()
        ours, theirs = ours[mask], theirs[mask]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=apart)


def of(trl: dict[str, Tensor], batch: str) -> dict[str, Tensor]:
    """One batch's arrays, its mask as truth values."""
    found = {n.removeprefix(f"{batch}."): x for n, x in trl.items() if n.startswith(f"{batch}.")}
    return found | {"mask": found["mask"].bool()}


def test_the_settings_are_the_authors(told):
    wanted = {"init_kl_coef": 0.2, "target": 6, "horizon": 10_000, "lam": 0.95, "vf_coef": 0.1}
    wanted |= {"whiten_rewards": True, "use_score_scaling": True, "use_score_norm": True}
    assert told["settings"].items() >= wanted.items()
    assert told["versions"]["trl"] == "0.9.6"


@pytest.mark.parametrize("batch", BATCHES)
def test_trl_s_mask_lacks_the_first_token_and_else_is_ours(trl, batch):
    b = of(trl, batch)
    ours = b["responses.mask"].bool()[:, 1:]
    assert torch.equal(b["mask"][:, 1:], ours[:, 1:])
    assert ours[:, 0].all()
    assert not b["mask"][:, 0].any()
    assert b["logprobs"].shape == ours.shape  # the same columns
    assert bool(ours.all()) == (batch == "even")


def test_scores_over_a_few_steps(trl):
    moments = RunningMoments()
    for i, scores in enumerate(trl["scores"]):
        moments = update_moments(moments, scores)
        same(moments.mean, trl["running.mean"][i])
        same(moments.std, trl["running.std"][i])
        same(scale_scores(scores, moments), trl["normalised"][i])


def test_the_kl_coefficient_over_a_few_steps(trl):
    weight = 0.2
    for kl, wanted in zip(trl["controller.kl"].tolist(), trl["controller.values"], strict=True):
        weight = adapt_kl_weight(weight, kl, rows=32, target=6, horizon=10_000)
        same(weight, wanted, apart=1e-12)


def test_the_divergence_of_a_token(trl):
    a, b = trl["penalty.logprobs"], trl["penalty.reference"]
    same(token_kl(a, b, torch.ones_like(a, dtype=torch.bool)), trl["penalty.kl"])


def whiten_as_trl(values: Tensor, mask: Tensor) -> Tensor:
    """Variance 1 over real tokens, with the padding whitened as a value of 0 is."""
    moments = masked_moments(values, mask)
    x = values.masked_fill(~mask, 0).to(moments.mean)
    return ((x - moments.mean) * torch.rsqrt(moments.var + 1e-8) + moments.mean).to(values.dtype)


@pytest.mark.parametrize("batch", BATCHES)
def test_rewards(trl, batch):
    b = of(trl, batch)
    kl = token_kl(b["logprobs"], b["reference_logprobs"], b["mask"])
    same(kl, b["kl"], b["mask"])
    same(kl.sum(1).mean(), b["kl_mean"])
    rewards = token_rewards(trl["normalised"][0], kl, b["mask"], kl_weight=0.2)
    same(rewards, b["rewards"], b["mask"])
    white = whiten(rewards, b["mask"], shift_mean=False)
    same(white, b["whitened"], b["mask"])
    assert not white[~b["mask"]].any()
    as_trl = whiten_as_trl(rewards, b["mask"])
    same(as_trl, b["whitened"])
    assert as_trl[~b["mask"]].all()  # what leaks


@pytest.mark.parametrize("batch", BATCHES)
def test_advantages_and_returns_of_rewards_that_are_not_whitened(trl, batch):
    b = of(trl, batch)
    advantages, returns = gae(b["rewards"], b["values"], b["mask"])
    same(returns, b["unwhitened.returns"], b["mask"])
    same(whiten(advantages, b["mask"]), b["unwhitened.advantages"], b["mask"])


def whitened_advantages(b: dict[str, Tensor], *, padding: bool) -> tuple[Tensor, Tensor]:
    mask = b["mask"]
    values = b["values"].masked_fill(~mask, 0)
    if padding:
        rewards = whiten_as_trl(b["rewards"], mask)
        advantages, returns = gae(rewards, values, torch.ones_like(mask))
    else:
        advantages, returns = gae(whiten(b["rewards"], mask, shift_mean=False), values, mask)
    return whiten(advantages, mask), returns


def test_advantages_and_returns_of_whitened_rewards(trl):
    b = of(trl, "even")
    advantages, returns = whitened_advantages(b, padding=False)
    same(returns, b["returns"], b["mask"])
    same(advantages, b["advantages"], b["mask"])


def test_behind_padding_they_are_trl_s_only_with_its_leak(trl):
    b = of(trl, "ragged")
    advantages, returns = whitened_advantages(b, padding=True)
    same(returns, b["returns"], b["mask"])
    same(advantages, b["advantages"], b["mask"])
    _, ours = whitened_advantages(b, padding=False)
    apart = (ours - b["returns"]).abs()
    rows = b["responses.mask"].sum(1)
    longest = rows.argmax()
    assert apart[longest][b["mask"][longest]].max() < 1e-5  # no padding, no leak
    assert apart[rows.argmin()][b["mask"][rows.argmin()]].min() > 0.01


@pytest.mark.parametrize("batch", BATCHES)
def test_losses_of_an_update(trl, batch):
    b = of(trl, batch)
    mask = b["mask"]
    policy = policy_loss(b["new.logprobs"], b["logprobs"], b["advantages"], mask)
    value = value_loss(b["new.values"], b["masked_values"], b["returns"], mask)
    same(policy.loss, b["loss.policy"])
    same(value, b["loss.value"])
    same(policy.loss + 0.1 * value, b["loss.total"])
    same(policy.clipped, b["clipped.policy"])
    same(policy.old_kl, b["policy_kl"])
    same(policy.ratio, b["ratio_mean"])
    same(explained_variance(b["new.values"], b["returns"], mask), b["explained"])
    assert b["clipped.policy"] > 0  # the clip was tried
    assert b["clipped.value"] > 0


def tokenizer(words: int) -> PreTrainedTokenizerFast:
    names = {"<pad>": 0, "</s>": 1, "<unk>": 2} | {f"w{i}": i for i in range(3, words)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(names, unk_token="<unk>")),
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
    )


def ours_of(name: str) -> str:
    """Where a weight of trl's wrapper is in our policy."""
    name = name.replace("v_head.summary.", "value_head.")
    return name.replace("pretrained_model.", "model.")


def policy_of(trl: dict[str, Tensor], told: dict[str, Any], which: str) -> Seq2SeqPolicy:
    model = T5ForConditionalGeneration(T5Config(**told["shape"]))
    policy = Seq2SeqPolicy(model, tokenizer(told["shape"]["vocab_size"]), reference=False)
    parameters = dict(policy.named_parameters())
    start = f"weights.{which}."
    given = {ours_of(n.removeprefix(start)): x for n, x in trl.items() if n.startswith(start)}
    assert given.keys() == parameters.keys()
    with torch.no_grad():
        for name, value in given.items():
            parameters[name].copy_(value.view_as(parameters[name]))  # a head of ours is a vector
    return policy.eval()


def prompts_and_replies(b: dict[str, Tensor]) -> tuple[Prompts, Replies]:
    """trl's batch as ours: the start token is not of the reply."""
    prompts = Prompts(b["queries"], b["queries.mask"].bool())
    return prompts, Replies(b["responses"][:, 1:], b["responses.mask"][:, 1:].bool())


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(
    ("which", "logprobs"),
    [("old", "logprobs"), ("new", "new.logprobs"), ("reference", "reference_logprobs")],
)
def test_what_a_policy_says_of_replies(trl, told, batch, which, logprobs):
    b = of(trl, batch)
    prompts, replies = prompts_and_replies(b)
    policy = policy_of(trl, told, which)
    with torch.no_grad():
        output = policy(prompts, replies)
    same(output.logprobs, b[logprobs], replies.mask)
    assert not output.logprobs[~replies.mask].any()
    if which != "reference":
        values = b["values" if which == "old" else "new.values"]
        same(output.values, values, replies.mask)
    if which == "new":
        same(masked_mean(output.entropy, b["mask"]), b["entropy"])


def test_the_reference_is_what_the_policy_was(trl, told):
    b = of(trl, "ragged")
    prompts, replies = prompts_and_replies(b)
    policy = policy_of(trl, told, "reference")
    policy.freeze_reference()
    moved = policy_of(trl, told, "old")
    parameters = trainable_parameters(policy)
    with torch.no_grad():
        for name, value in trainable_parameters(moved).items():
            parameters[name].copy_(value)
    same(policy(prompts, replies).logprobs, b["logprobs"], replies.mask)
    same(policy.reference(prompts, replies), b["reference_logprobs"], replies.mask)


def test_log_probabilities_of_logits(trl):
    b = of(trl, "ragged")
    mask = b["responses.mask"][:2, 1:].bool()
    per_token = vocabulary_logprobs(b["new.logits"], b["responses"][:2, 1:], mask)
    same(per_token.logprobs, b["new.logprobs"][:2], mask)


def test_a_whole_update_from_weights_to_gradients(trl, told):
    b = of(trl, "ragged")
    prompts, replies = prompts_and_replies(b)
    mask = b["mask"]
    with torch.no_grad():
        old = policy_of(trl, told, "old")(prompts, replies)
        reference = policy_of(trl, told, "reference")(prompts, replies)
    assert old.values is not None
    kl = token_kl(old.logprobs, reference.logprobs, mask)
    scores = scale_scores(trl["scores"][0], update_moments(RunningMoments(), trl["scores"][0]))
    rewards = token_rewards(scores, kl, mask, kl_weight=0.2)
    values = old.values.masked_fill(~mask, 0)
    advantages, returns = gae(whiten_as_trl(rewards, mask), values, torch.ones_like(mask))
    policy = policy_of(trl, told, "new")
    output = policy(prompts, replies)
    assert output.values is not None
    loss = policy_loss(output.logprobs, old.logprobs, whiten(advantages, mask), mask).loss
    total = loss + 0.1 * value_loss(output.values, values, returns, mask)
    same(total.detach(), b["loss.total"])
    total.backward()
    parameters, seen = dict(policy.named_parameters()), 0
    for name, theirs in b.items():
        if name.startswith("gradient."):
            grad = parameters[ours_of(name.removeprefix("gradient."))].grad
            assert grad is not None, name
            same(grad, theirs.view_as(grad))
            seen += 1
    assert seen == sum(p.grad is not None for p in parameters.values())
