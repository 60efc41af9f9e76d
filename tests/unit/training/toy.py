"""A tiny recurrent model, made-up pairs, and a program that trains on them; run by the tests."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from emotone import config as configs
from emotone.errors import EmotoneError
from emotone.training import Fitted, Training
from emotone.training.checkpoint import weights
from emotone.training.loop import fit

WORDS, LABELS = 24, 3


class Losses(NamedTuple):
    token_loss: Tensor
    tokens: int
    row_loss: Tensor
    rows: int
    logged: dict[str, Tensor]


class Batch(NamedTuple):
    source: Tensor  # [B, T], padded with 0
    target: Tensor  # [B, T], padded with 0
    label: Tensor  # [B]

    def to(self, device: torch.device | str) -> Batch:
        return Batch(*(t.to(device) for t in self))


class Toy(nn.Module):
    """Says each word of the post again, shifted by the label; also guesses the label."""

    def __init__(self, dropout: float = 0.2, width: int = 12) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, width)
        self.cell = nn.GRU(width, width, batch_first=True)
        self.drop = nn.Dropout(dropout)
        self.output = nn.Linear(width, WORDS)
        self.output.weight = self.embedding.weight  # tied, as in the shipped systems
        self.label = nn.Linear(width, LABELS)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, batch: Batch) -> Losses:
        real = batch.target != 0
        states, _ = self.cell(self.drop(self.embedding(batch.source)))
        logits = self.output(self.drop(states)) * self.scale
        nll = functional.cross_entropy(logits[real], batch.target[real], reduction="sum")
        pooled = (states * real[..., None]).sum(1)
        guess = functional.cross_entropy(self.label(pooled), batch.label, reduction="sum")
        logged = {"nll": nll.detach(), "label": guess.detach()}
        return Losses(nll, int(real.sum()), 0.5 * guess, len(batch.label), logged)


class Spoiling(Toy):
    """Measures worse by 1 nat a token with every step, so that its first evaluation stays the best.

    A high learning rate would do so too, but on which machine is a matter of the last digit.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, batch: Batch) -> Losses:
        losses = super().forward(batch)
        if self.training:
            self.steps += 1
            return losses
        worse = losses.logged["nll"] + losses.tokens * self.steps
        return losses._replace(logged={**losses.logged, "nll": worse})


class Pairs:
    """Made-up pairs; all of them follow from the seed."""

    def __init__(self, rows: int = 150, seed: int = 5) -> None:
        chance = np.random.default_rng(seed)
        self.lengths = chance.integers(1, 9, rows)
        self.words = chance.integers(1, WORDS, (rows, 8))
        self.labels = chance.integers(0, LABELS, rows)

    def plan(self, batch: int, seed: int, epoch: int) -> list[np.ndarray]:
        order = np.random.default_rng([seed, epoch]).permutation(len(self.lengths))
        return [order[i : i + batch] for i in range(0, len(order), batch)]

    def collate(self, rows: np.ndarray) -> Batch:
        length = int(self.lengths[rows].max())
        real = np.arange(length) < self.lengths[rows][:, None]
        source = np.where(real, self.words[rows][:, :length], 0)
        shifted = (source - 1 + self.labels[rows][:, None]) % (WORDS - 1) + 1
        target = np.where(real, shifted, 0)
        return Batch(*map(torch.from_numpy, (source, target, self.labels[rows])))

    def batches(self, size: int = 16) -> list[Batch]:
        rows = np.arange(len(self.lengths))
        return [self.collate(rows[i : i + size]) for i in range(0, len(rows), size)]


def model(dropout: float = 0.2, seed: int = 3) -> Toy:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Toy(dropout)


def spoiling(seed: int = 3) -> Spoiling:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Spoiling()


def train(
    out: Path,
    toy: nn.Module | None = None,
    *,
    train_rows: int = 150,
    progress: bool = False,
    depends_on: dict | None = None,
    pause: float = 0.0,
    dev: bool = True,
    **settings,
) -> tuple[nn.Module, Fitted]:
    """Train on the made-up pairs; `settings` are those of `Training`."""
    chosen = configs.build(Training, {"batch": 16, "log_every": 5, "threads": 1, **settings})
    toy = model() if toy is None else toy
    pairs = Pairs(train_rows)

    def collate(rows: np.ndarray) -> Batch:
        time.sleep(pause)
        return pairs.collate(rows)

    fitted = fit(
        toy,
        train_plan=lambda epoch: pairs.plan(chosen.batch, chosen.seed, epoch),
        collate=collate,
        dev_batches=Pairs(40, seed=6).batches if dev else None,
        settings=chosen,
        out=out,
        depends_on=depends_on,
        progress=progress,
    )
    return toy, fitted


def main() -> None:
    out = Path(sys.argv[1])
    settings = json.loads(sys.argv[2])
    dropout = settings.pop("dropout", 0.2)
    try:
        toy, fitted = train(out, model(dropout), **settings)
    except EmotoneError as error:
        os.write(2, f"emotone: {error}\n".encode())
        sys.exit(error.exit_code)
    if os.environ.get("RANK", "0") == "0":
        save_file(weights(toy), out / "final.safetensors")
        (out / "fitted.json").write_text(
            json.dumps({"stopped": fitted.stopped, "steps": fitted.steps, "curve": fitted.curve})
        )


if __name__ == "__main__":
    main()
