"""The supervised stage: a policy learns to write the replies of a corpus.

It comes before reinforcement, which starts from a model that answers already.

Source: EmpRL (arXiv 2408.02976), whose generator is fine-tuned by maximum likelihood first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from emotone.data.batch import plan
from emotone.nn.losses import Losses
from emotone.rl.policy import Policy, Prompts, Replies, trainable_parameters
from emotone.training.loop import fit
from emotone.training.seeding import seed_for
from emotone.training.settings import Fitted, Training


@dataclass(frozen=True, slots=True)
class TokenPairs:
    """Prompts and the replies to learn, as token ids.

    Args:
        prompts: Of each row, as `Policy.encode` makes them.
        replies: Of each row, end token included, as `ReplyCodec.encode` makes them.
    """

    prompts: Sequence[list[int]]
    replies: Sequence[list[int]]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.replies)

    def lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of each prompt and of each reply, [N]."""
        return np.array([*map(len, self.prompts)]), np.array([*map(len, self.replies)])


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    prompts: Prompts
    replies: Replies

    def to(self, device: torch.device) -> _Rows:
        return _Rows(self.prompts.to(device), self.replies.to(device))


class _Likelihood(nn.Module):
    """The loss of a batch; its state is what the supervised stage trains, and nothing frozen."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy.module

    def forward(self, rows: _Rows) -> Losses:
        loss = -self.policy(rows.prompts, rows.replies, values=False).logprobs.sum()
        tokens = int(rows.replies.mask.sum())
        zero = loss.new_zeros(())
        return Losses(loss, tokens, zero, len(rows.replies), {"nll": loss.detach()})

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # pyright: ignore
        # Checkpoints, and the best weights kept aside, need not hold a frozen base model.
        values = super().state_dict(*args, **kwargs)
        learns = {
            name for name, p in self.named_parameters(remove_duplicate=False) if p.requires_grad
        }
        return {name: value for name, value in values.items() if name in learns}


def supervise(
    policy: Policy,
    train: TokenPairs,
    dev: TokenPairs | None,
    *,
    settings: Training,
    out: Path,
    depends_on: Mapping[str, Any] | None = None,
    dev_batch: int = 64,
    blocks: Sequence[nn.Module] = (),
    progress: bool = True,
) -> Fitted:
    """Train a policy to give the replies of a corpus; the value head takes no part.

    Args:
        policy: What learns; it ends with the weights of the best evaluation.
        train: What it learns from.
        dev: What chooses the best weights; None takes the last ones.
        settings: How; `emotone.training.loop.fit` says what a run promises.
        out: Folder of the run.
        depends_on: What else the run depends on.
        dev_batch: Rows of a batch that is only measured.
        blocks: As for `fit`; a policy that was cut has what it learned, and answers nothing.
        progress: Whether to show progress.

    Raises:
        EmotoneError: As `emotone.training.loop.fit`.
    """
    lengths, dev_lengths = train.lengths(), None if dev is None else dev.lengths()
    parameters = trainable_parameters(policy.module)
    critic = [p for name, p in parameters.items() if name.startswith("value_head")]

    def batches(epoch: int) -> list[np.ndarray]:
        return plan(*lengths, settings.batch, seed_for(settings.seed, "plan"), epoch)

    def collate(data: TokenPairs, at: np.ndarray) -> _Rows:
        return _Rows(
            policy.prompts([data.prompts[i] for i in at]),
            policy.codec.batch([data.replies[i] for i in at]),
        )

    def dev_batches() -> Iterator[_Rows]:
        if dev is None or dev_lengths is None:
            return iter(())
        return (collate(dev, at) for at in plan(*dev_lengths, dev_batch, 0, 0))

    for parameter in critic:
        parameter.requires_grad_(False)
    try:
        return fit(
            _Likelihood(policy),
            train_plan=batches,
            collate=lambda at: collate(train, at),
            dev_batches=None if dev is None else dev_batches,
            settings=settings,
            out=out,
            depends_on=depends_on,
            blocks=blocks,
            progress=progress,
        )
    finally:
        for parameter in critic:
            parameter.requires_grad_(True)
        policy.eval()
