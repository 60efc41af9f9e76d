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
from emotone.rl.logprobs import drawn_logprobs
from emotone.rl.settings import Reinforce, Reinforced
from emotone.rl.trainer import reinforce
from emotone.rl.types import Prompts, Said, Scores, Written
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


class Steps:
    def __init__(self, body: Body, prompts: Prompts) -> None:
        self.body, self.prompts = body, prompts

    def first(self) -> Tensor:
        return self.next(torch.zeros(len(self.prompts), dtype=torch.long))

    @torch.no_grad()
    def next(self, tokens: Tensor) -> Tensor:
        return self.body.output(self.body.states(self.prompts, tokens[:, None]))[:, 0]


class Toy(nn.Module):
    """See `emotone.rl.types.Policy`."""

    tokenizer = None
    end = (END,)
    pad = PAD

    def __init__(self, seed: int = 3, *, width: int = 12, dropout: float = 0.2) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.body = Body(width, dropout)
            self.value_head = Head(width)
        self._frozen = copy.deepcopy(self.body).eval().requires_grad_(False)

    @property
    def module(self) -> nn.Module:
        return self

    def encode(self, dialogues: Any) -> list[list[int]]:
        raise NotImplementedError

    def encode_replies(self, replies: Sequence[str]) -> list[list[int]]:
        return [[*(2 + LETTERS.index(c) for c in text), END] for text in replies]

    def prompts(self, rows: Sequence[list[int]]) -> Prompts:
        return Prompts(*_pad(rows))

    def written(self, rows: Sequence[list[int]]) -> Written:
        return Written(*_pad(rows))

    def texts(self, written: Written) -> list[str]:
        return [" ".join(LETTERS[t - 2] for t in row if t > 1) for row in written.tokens.tolist()]

    def forward(self, prompts: Prompts, written: Written, *, values: bool = True) -> Said:
        said, states = self._say(self.body, prompts, written)
        found = (self.value_head(states) * written.mask) if values else None
        return Said(said.logprobs, said.entropy, found)

    @torch.no_grad()
    def reference(self, prompts: Prompts, written: Written) -> Tensor:
        return self._say(self._frozen, prompts, written)[0].logprobs

    def steps(self, prompts: Prompts) -> Steps:
        return Steps(self.body, prompts)

    def trained(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def train(self, mode: bool = True) -> Toy:
        super().train(mode)
        self._frozen.eval()
        return self

    def _say(self, body: Body, prompts: Prompts, written: Written) -> tuple[Any, Tensor]:
        before = torch.cat([torch.zeros_like(written.tokens[:, :1]), written.tokens[:, :-1]], 1)
        states = body.states(prompts, before)
        return drawn_logprobs(body.output(states), written), states


def _pad(rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids, ids != PAD


def rows(count: int, seed: int = 5) -> list[list[int]]:
    chance = np.random.default_rng(seed)
    return [chance.integers(2, WORDS, chance.integers(2, 7)).tolist() for _ in range(count)]


def worth(_rows: Sequence[int], texts: Sequence[str]) -> Scores:
    letters = np.array([float(len(text.split())) for text in texts])
    share = np.array([text.count("a") for text in texts]) / np.maximum(letters, 1)
    return Scores(share, {"share": share, "letters": letters})


def development(count: int = 10, reward: Any = worth) -> Development:
    return Development(rows(count, 6), [[*row, END] for row in rows(count, 7)], reward)


#: Settings under which the toy learns in a few steps.
QUICK: dict[str, Any] = {
    "batch": 16,
    "rows_a_pass": 8,
    "steps": 12,
    "lr": 0.03,
    "kl": 0.01,
    "evaluate_every": 5,
    "save_every": 1000,
    "threads": 1,
    "sampling": {"top_k": 5, "temperature": 0.9, "min_tokens": 2, "max_tokens": 6},
    "guard_perplexity": 1e9,
    "guard_distinct": 0.0,
    "guard_length": 100.0,
}


def train(
    out: Path,
    toy: Any = None,
    *,
    dev: bool = True,
    reward: Any = worth,
    made_with: dict[str, Any] | None = None,
    progress: bool = False,
    pause: float = 0.0,
    prompts: int = 50,
    **settings: Any,
) -> tuple[Any, Reinforced]:
    """Train the toy; `settings` are those of `Reinforce`, over `QUICK`."""

    def slow(at: Sequence[int], texts: Sequence[str]) -> Scores:
        time.sleep(pause)
        return reward(at, texts)

    toy = Toy() if toy is None else toy
    found = reinforce(
        toy,
        prompts=rows(prompts),
        reward=slow,
        settings=configs.build(Reinforce, {**QUICK, **settings}),
        out=out,
        development=development(reward=reward) if dev else None,
        made_with=made_with,
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
        save_file(copied(toy.trained()), out / "final.safetensors")


if __name__ == "__main__":
    main()
