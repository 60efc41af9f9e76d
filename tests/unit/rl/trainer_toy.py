"""A tiny policy, a reward with a known best answer, and a program that trains; run by the tests.

Prompts are runs of letters. A reply is worth the share of "a" among its letters.
"""

from __future__ import annotations

import copy
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from emotone import config as configs
from emotone.errors import EmotoneError
from emotone.rl.development import Development
from emotone.rl.logprobs import TokenLogprobs, support_logprobs, vocabulary_logprobs
from emotone.rl.policy import PolicyOutput, Prompts, Replies, ReplyCodec, trainable_parameters
from emotone.rl.rewards import Rewards
from emotone.rl.settings import Reinforce, Reinforced
from emotone.rl.trainer import reinforce
from emotone.training.checkpoint import copied

PAD, END, LETTERS = 0, 1, "abcdefgh"
WORDS = 2 + len(LETTERS)


class Head(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, 1)

    def forward(self, states: Tensor) -> Tensor:
        return self.out(states)[..., 0]


class Body(nn.Module):
    """The next token follows from the token before and from the letters of the prompt."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.read = nn.Embedding(WORDS, width)
        self.say = nn.Embedding(WORDS, width)
        self.drop = nn.Dropout(dropout)
        self.output = nn.Linear(width, WORDS)

    def states(self, prompts: Prompts, before: Tensor) -> Tensor:
        real = prompts.mask[..., None].float()
        read = (self.read(prompts.ids) * real).sum(1) / real.sum(1)
        return self.drop(torch.tanh(self.say(before) + read[:, None]))


class Generation:
    def __init__(self, body: Body, prompts: Prompts) -> None:
        self.body, self.prompts = body, prompts

    def first(self) -> Tensor:
        return self.next(torch.zeros(len(self.prompts), dtype=torch.long))

    @torch.no_grad()
    def next(self, tokens: Tensor) -> Tensor:
        return self.body.output(self.body.states(self.prompts, tokens[:, None]))[:, 0]


class LetterCodec(ReplyCodec):
    """A letter is a token."""

    @property
    def pad(self) -> int:
        return PAD

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [[*(2 + LETTERS.index(c) for c in text), END] for text in texts]

    def decode(self, replies: Replies) -> list[str]:
        return [" ".join(LETTERS[t - 2] for t in row if t > 1) for row in replies.tokens.tolist()]


class Toy(nn.Module):
    """See `emotone.rl.policy.Policy`."""

    codec = LetterCodec(None, (END,), 50)

    def __init__(self, seed: int = 3, *, width: int = 12, dropout: float = 0.2) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.body = Body(width, dropout)
            self.value_head = Head(width)
        self.freeze_reference()

    @property
    def module(self) -> nn.Module:
        return self

    def encode(self, dialogues: Any) -> list[list[int]]:
        raise NotImplementedError

    def prompts(self, rows: Sequence[list[int]]) -> Prompts:
        return Prompts(*_pad(rows))

    def generation(self, prompts: Prompts) -> Generation:
        return Generation(self.body, prompts)

    def forward(self, prompts: Prompts, replies: Replies, *, values: bool = True) -> PolicyOutput:
        per_token, states = self._read(self.body, prompts, replies)
        worth = (self.value_head(states) * replies.mask) if values else None
        return PolicyOutput(per_token.logprobs, per_token.entropy, worth)

    @torch.no_grad()
    def reference(self, prompts: Prompts, replies: Replies) -> Tensor:
        return self._read(self._reference, prompts, replies)[0].logprobs

    def freeze_reference(self) -> None:
        self._reference = copy.deepcopy(self.body).eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Toy:
        super().train(mode)
        self._reference.eval()
        return self

    def _read(self, body: Body, prompts: Prompts, replies: Replies) -> tuple[Any, Tensor]:
        before = torch.cat([torch.zeros_like(replies.tokens[:, :1]), replies.tokens[:, :-1]], 1)
        states = body.states(prompts, before)
        return logprobs_of(body.output(states), replies), states


def logprobs_of(logits: Tensor, replies: Replies, *, entropy: bool = True) -> TokenLogprobs:
    """Log-probabilities of replies from a model's logits over the whole vocabulary, [B, T, V]."""
    if replies.support is None:
        return vocabulary_logprobs(
            logits, replies.tokens, replies.mask, temperature=replies.temperature, entropy=entropy
        )
    return support_logprobs(logits.gather(-1, replies.support), replies)


def _pad(rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids, ids != PAD


def rows(count: int, seed: int = 5) -> list[list[int]]:
    chance = np.random.default_rng(seed)
    return [chance.integers(2, WORDS, chance.integers(2, 7)).tolist() for _ in range(count)]


def worth(_rows: Sequence[int], texts: Sequence[str]) -> Rewards:
    letters = np.array([float(len(text.split())) for text in texts])
    share = np.array([text.count("a") for text in texts]) / np.maximum(letters, 1)
    return Rewards(share, {"share": share, "letters": letters})


def development(count: int = 10, reward: Any = worth) -> Development:
    return Development(rows(count, 6), [[*row, END] for row in rows(count, 7)], reward)


#: Settings under which the toy learns in a few steps.
QUICK: dict[str, Any] = {
    "batch": 16,
    "rows_a_pass": 8,
    "steps": 12,
    "lr": 0.03,
    "kl": {"weight": 0.01},
    "evaluate_every": 5,
    "save_every": 1000,
    "threads": 1,
    "sampling": {"top_k": 5, "temperature": 0.9, "min_tokens": 2, "max_tokens": 6},
    "guards": {"perplexity": 1e9, "distinct": 0.0, "length": 100.0},
}


def quick(**settings: Any) -> Reinforce:
    """`QUICK` with other settings, groups key by key."""
    for name, value in settings.items():
        if isinstance(value, dict):
            settings[name] = {**QUICK.get(name, {}), **value}
    return configs.build(Reinforce, {**QUICK, **settings})


def train(
    out: Path,
    toy: Any = None,
    *,
    dev: bool = True,
    reward: Any = worth,
    depends_on: dict[str, Any] | None = None,
    progress: bool = False,
    pause: float = 0.0,
    prompts: int = 50,
    **settings: Any,
) -> tuple[Any, Reinforced]:
    """Train the toy; `settings` are those of `Reinforce`, over `QUICK`."""

    def slow(prompt_rows: Sequence[int], texts: Sequence[str]) -> Rewards:
        time.sleep(pause)
        return reward(prompt_rows, texts)

    toy = Toy() if toy is None else toy
    found = reinforce(
        toy,
        prompts=rows(prompts),
        reward=slow,
        settings=quick(**settings),
        out=out,
        development=development(reward=reward) if dev else None,
        depends_on=depends_on,
        progress=progress,
    )
    return toy, found


def main() -> None:
    out = Path(sys.argv[1])
    settings = json.loads(sys.argv[2])
    try:
        toy, _ = train(out, **settings)
    except EmotoneError as error:
        os.write(2, f"emotone: {error}\n".encode())
        sys.exit(error.exit_code)
    if os.environ.get("RANK", "0") == "0":
        save_file(copied(trainable_parameters(toy)), out / "final.safetensors")


if __name__ == "__main__":
    main()
