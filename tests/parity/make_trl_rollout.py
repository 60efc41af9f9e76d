"""Write `trl_rollout.safetensors`: one PPO step of trl 0.9.6 on a tiny T5, quantity by quantity.

Run by an environment of its own, never by ours or by CI, and only to make the file anew:

    python3.11 -m venv TRL
    TRL/bin/pip install torch==2.13.0 transformers==4.44.2 trl==0.9.6 accelerate==0.34.2 \
        "datasets<4" "pyarrow<21" "pandas<3" "numpy<2" rich
    TRL/bin/python tests/parity/make_trl_rollout.py

Settings are those of EmpRL's released code: adaptive KL from 0.2 (target 6, horizon 10,000), scores
scaled and normalised by running moments, rewards whitened, clipping at 0.2, value loss times 0.1,
gamma 1, lambda 0.95. Weights, queries and replies are random. Three sets of weights are stored: the
frozen reference, the policy that wrote ("old") and the policy in the update ("new").

Two batches: "ragged" replies have different lengths, "even" ones the same. trl's replies keep the
decoder's start token in front. Arrays named `BATCH.name` hold trl's columns as trl has them:
column t belongs to `responses[:, t + 1]`.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import accelerate
import torch
import transformers
import trl
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration
from trl import AutoModelForSeq2SeqLMWithValueHead, PPOConfig, PPOTrainer

OUT = Path(__file__).with_name("trl_rollout.safetensors")
SEED = 96
WORDS, PAD, EOS = 48, 0, 1
ROWS = 6
SHAPE = {
    "vocab_size": WORDS,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 24,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
    "dropout_rate": 0.1,
    "feed_forward_proj": "relu",
    "tie_word_embeddings": True,
    "pad_token_id": PAD,
    "eos_token_id": EOS,
    "decoder_start_token_id": PAD,
}
SETTINGS: dict[str, Any] = {
    "adap_kl_ctrl": True,
    "init_kl_coef": 0.2,
    "target": 6,
    "horizon": 10_000,
    "gamma": 1,
    "lam": 0.95,
    "cliprange": 0.2,
    "cliprange_value": 0.2,
    "vf_coef": 0.1,
    "ratio_threshold": 10.0,
    "use_score_scaling": True,
    "use_score_norm": True,
    "whiten_rewards": True,
}
#: Tokens of a query, and of a reply with its end token (without the start token in front of it).
QUERIES = (5, 9, 3, 7, 4, 8)
REPLIES = {"ragged": (7, 3, 9, 5, 11, 4), "even": (8,) * ROWS}
#: How far each policy is from the one before it.
APART = {"old": 0.08, "new": 0.08}


def main() -> None:
    warnings.simplefilter("ignore")
    draw = torch.Generator().manual_seed(SEED)
    torch.manual_seed(SEED)
    model = wrapped()
    sharpen(model)
    reference = wrapped()
    copy_into(reference, weights(model))
    found: dict[str, Tensor] = named("reference", weights(reference))
    trainer = PPOTrainer(
        config=PPOConfig(
            seed=SEED,
            batch_size=ROWS,
            mini_batch_size=ROWS,
            gradient_accumulation_steps=1,
            **SETTINGS,
        ),
        model=model,
        ref_model=reference,
        tokenizer=tokenizer(),
    )
    move(model, APART["old"], draw)
    old = weights(model)
    found |= named("old", old)
    move(model, APART["new"], draw)
    new = weights(model)
    found |= named("new", new)
    found |= moments(trainer, draw)
    found |= penalties(trainer, draw)
    for batch, lengths in REPLIES.items():
        copy_into(model, old)
        made = one_step(trainer, new, lengths, found, draw)
        found |= {f"{batch}.{name}": value for name, value in made.items()}
    found |= controller(trainer)
    told = {
        "shape": SHAPE,
        "settings": SETTINGS,
        "versions": {m.__name__: m.__version__ for m in (trl, transformers, torch, accelerate)},
    }
    save_file(
        {name: value.detach().clone().contiguous() for name, value in found.items()},
        OUT,
        metadata={name: json.dumps(value) for name, value in told.items()},
    )
    print(f"{OUT.name}: {OUT.stat().st_size:,} bytes, {len(found)} arrays")


def wrapped() -> Any:
    """Return a policy with a value head, as trl wraps it."""
    model = T5ForConditionalGeneration(T5Config(**SHAPE))
    return AutoModelForSeq2SeqLMWithValueHead.from_pretrained(model).eval()


def sharpen(model: Any) -> None:
    """Let norms and the value head differ from what they begin as, so that nothing is 1 or 0."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer_norm" in name:
                parameter.uniform_(0.5, 1.5)
        model.v_head.summary.weight.normal_(0, 0.5)
        model.v_head.summary.bias.fill_(0.3)


def move(model: Any, far: float, draw: torch.Generator) -> None:
    """Move each weight by a share of the size of its tensor."""
    with torch.no_grad():
        for parameter in model.parameters():
            size = parameter.norm() / parameter.numel() ** 0.5
            parameter += far * size * torch.randn(parameter.shape, generator=draw)


def weights(model: Any) -> dict[str, Tensor]:
    """Return a copy of the weights; the embedding, which is tied, once."""
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def copy_into(model: Any, values: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(values[name])


def named(which: str, values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"weights.{which}.{name}": value for name, value in values.items()}


def tokenizer() -> PreTrainedTokenizerFast:
    words = {"<pad>": PAD, "</s>": EOS, "<unk>": 2} | {f"w{i}": i for i in range(3, WORDS)}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def moments(trainer: PPOTrainer, draw: torch.Generator) -> dict[str, Tensor]:
    """Scores of a few steps, and what trl makes of each."""
    scores = torch.rand(4, ROWS, generator=draw)
    scores[3] = 0.7  # a step of equal scores
    rows: dict[str, list[Tensor]] = {"normalised": [], "running.mean": [], "running.std": []}
    trainer.running.__init__(trainer.accelerator)
    for step in scores:
        trainer.running.update(step)
        factor = trainer.running.std + torch.finfo(step.dtype).eps
        rows["normalised"].append((step - trainer.running.mean) / factor)
        rows["running.mean"].append(torch.as_tensor(trainer.running.mean).clone())
        rows["running.std"].append(torch.as_tensor(trainer.running.std).clone())
    return {"scores": scores} | {name: torch.stack(row) for name, row in rows.items()}


def penalties(trainer: PPOTrainer, draw: torch.Generator) -> dict[str, Tensor]:
    """Per-token KL by each of trl's estimators that need no whole distribution."""
    logprobs, reference = torch.randn(2, 3, 4, generator=draw) - 3
    found = {"penalty.logprobs": logprobs, "penalty.reference": reference}
    for kind in ("kl", "abs", "mse"):
        trainer.config.kl_penalty = kind
        found[f"penalty.{kind}"] = trainer._kl_penalty(logprobs, reference)
    trainer.config.kl_penalty = "kl"
    return found


def controller(trainer: PPOTrainer) -> dict[str, Tensor]:
    """Coefficients after each of a few steps of 32 replies."""
    seen, values = [0.5, 6.0, 6.6, 40.0, -3.0, 5.9], []
    for kl in seen:
        trainer.kl_ctl.update(kl, 32)
        values.append(trainer.kl_ctl.value)
    return {
        "controller.kl": torch.tensor(seen, dtype=torch.float64),
        "controller.values": torch.tensor(values, dtype=torch.float64),
    }


def one_step(
    trainer: PPOTrainer,
    new: dict[str, Tensor],
    lengths: tuple[int, ...],
    shared: dict[str, Tensor],
    draw: torch.Generator,
) -> dict[str, Tensor]:
    """Score replies, reward them and compute the losses of an update, piece by piece."""
    model = trainer.model

    def words(count: int) -> Tensor:
        return torch.randint(3, WORDS, (count,), generator=draw)

    end = torch.tensor([EOS])
    queries = [torch.cat((words(n - 1), end)) for n in QUERIES]
    responses = [torch.cat((torch.tensor([PAD]), words(n - 1), end)) for n in lengths]
    responses[-1][-1] = 3  # one that was cut before it ended
    inputs = trainer.prepare_model_inputs(queries, responses)
    found = {
        "queries": inputs["input_ids"],
        "queries.mask": inputs["attention_mask"],
        "responses": inputs["decoder_input_ids"],
        "responses.mask": inputs["decoder_attention_mask"],
    }
    scores = shared["normalised"][0]
    with torch.no_grad():
        logprobs, _, values, mask = trainer.batched_forward_pass(model, queries, responses, inputs)
        reference, *_ = trainer.batched_forward_pass(trainer.ref_model, queries, responses, inputs)
        rewards, _, kl = trainer.compute_rewards(scores, logprobs, reference, mask)
        old_values, advantages, returns = trainer.compute_advantages(values, rewards, mask)
    found |= {
        "mask": mask,
        "logprobs": logprobs,
        "reference_logprobs": reference,
        "values": values,
        "kl": kl,
        "kl_mean": (kl * mask).sum(-1).mean(),
        "rewards": rewards,
        "whitened": trl.core.masked_whiten(rewards * mask, mask, shift_mean=False),
        "masked_values": old_values,
        "advantages": advantages,
        "returns": returns,
    }
    as_in_step(trainer, queries, responses, shared["scores"][0], found)
    trainer.config.whiten_rewards = False
    _, plain, plain_returns = trainer.compute_advantages(values, rewards, mask)
    trainer.config.whiten_rewards = True
    found |= {"unwhitened.advantages": plain, "unwhitened.returns": plain_returns}

    copy_into(model, new)
    model.zero_grad()
    said, logits, predicted, _ = trainer.batched_forward_pass(
        model, queries, responses, inputs, return_logits=True
    )
    policy, value, told = trainer.loss(
        logprobs, old_values, logits, predicted, said, mask, advantages, returns
    )
    (policy + value).backward()
    found |= {
        "new.logprobs": said,
        "new.values": predicted,
        "new.logits": logits[:2],
        "loss.policy": policy,
        "loss.value": value / SETTINGS["vf_coef"],
        "loss.total": policy + value,
        "clipped.policy": told["policy/clipfrac"],
        "clipped.value": told["val/clipfrac"],
        "entropy": told["policy/entropy"],
        "approximate_kl": told["policy/approxkl"],
        "policy_kl": told["policy/policykl"],
        "ratio_mean": trl.core.masked_mean(told["policy/ratio"], mask),
        "explained": 1 - told["val/error"] / told["returns/var"],
    }
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and len(set(lengths)) > 1:
            found[f"gradient.{name}"] = parameter.grad.clone()
    return found


def as_in_step(
    trainer: PPOTrainer,
    queries: list[Tensor],
    responses: list[Tensor],
    scores: Tensor,
    found: dict[str, Tensor],
) -> None:
    """Check that the pieces are what trl's whole step computes; the step moves no weight."""
    trainer.running.__init__(trainer.accelerator)
    trainer.optimizer.param_groups[0]["lr"] = 0.0
    coefficient = trainer.kl_ctl.value
    told = trainer.step(queries, responses, list(scores))
    trainer.kl_ctl.value = coefficient
    returns = trl.core.masked_mean(found["returns"], found["mask"])
    for name, wanted in (("objective/kl", found["kl_mean"]), ("ppo/returns/mean", returns)):
        torch.testing.assert_close(torch.tensor(told[name]), wanted, rtol=0, atol=1e-5)


if __name__ == "__main__":
    main()
