"""Preference training of a companion: of its own replies, rated by readers, the better first.

    D(y) = log p(y | x; W + B A, h_l + c D_{e,l}) - log p_0(y | x; the same before)
    L    = - mean over pairs y > z of one post and emotion of log sigmoid(beta (D(y) - D(z)))
           + anchor * mean over the best replies' tokens of -log p

p_0 is the companion before the training, so that it moves no further than the ratings ask. The
anchor keeps the best replies likely: the first term alone is content to make both less likely.

Source: Rafailov et al. 2023 (DPO), equation 7; the anchor is that of Pang et al. 2024 (iterative
reasoning preference optimization), equation 1, there on the better reply of each pair.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from emotone.errors import DataError
from emotone.identity import digest
from emotone.lm.chat import prompt_ids
from emotone.steering.companion import (
    CompanionSettings,
    Pupil,
    pack,
    reply_ids,
    row_of,
)
from emotone.steering.layers import Site
from emotone.training.adapters import Adapters
from emotone.training.settings import check_setting
from emotone.types import Dialogue


@dataclass(frozen=True, slots=True)
class Preference:
    """How strongly ratings act.

    Args:
        beta: How soon a difference to the companion before is enough.
        anchor: Weight of the likelihood of the best replies.
    """

    beta: float = 0.1
    anchor: float = 0.2

    def __post_init__(self) -> None:
        """Check ranges."""
        for name, right, allowed in (
            ("beta", self.beta > 0, "a number above 0"),
            ("anchor", self.anchor >= 0, "0 or more"),
        ):
            check_setting(self, "preference", name, right, allowed)


class Rated(NamedTuple):
    """A reply of the companion, and how good it is.

    Args:
        label: The emotion that was asked.
        dose: Dose of its displacement while the reply was written.
        reply: The reply.
        score: Higher is better; compared with other replies to the post in the same emotion.
    """

    label: str
    dose: float
    reply: str
    score: float


class _Post(NamedTuple):
    """A post with its rated replies as tokens.

    Args:
        prompt: Tokens of the prompt.
        replies: Row of the displacement, dose, and tokens of each reply.
        better: Places of the better reply of each pair.
        worse: Places of the worse one.
        best: Whether each reply is beaten by none of its emotion and beats one.
    """

    prompt: list[int]
    replies: list[tuple[int, float, list[int]]]
    better: list[int]
    worse: list[int]
    best: list[bool]


def prefer(
    model: nn.Module,
    tokenizer: Any,
    posts: Sequence[tuple[Dialogue, Sequence[Rated]]],
    labels: Sequence[str],
    norms: Tensor,
    *,
    system: str,
    settings: CompanionSettings,
    preference: Preference | None = None,
    start: Mapping[str, Tensor],
    site: Site = "resid",
    checkpoint: Path | None = None,
) -> dict[str, Tensor]:
    """Teach a companion to prefer the better of its own replies; its adapters change in place.

    Args:
        model: A causal language model with the companion's adapters.
        tokenizer: Its tokenizer, with a chat template.
        posts: What was answered, with the rated replies; posts whose replies are all alike teach
            nothing and are left out.
        labels: Emotions of the displacements.
        norms: Length of the model's activations, [L].
        system: System prompt.
        settings: As of `companion.learn`; its `dose` is not used.
        preference: See `Preference`.
        start: The companion's displacements, [L, d] each.
        site: Where in the block the displacement is added.
        checkpoint: Folder that keeps the state; None keeps none.

    Returns:
        Label -> displacement at dose 1, [L, d] float32.

    Raises:
        DataError: If no post has replies of which one is better.
    """
    preference = preference or Preference()
    read = [_read(tokenizer, prompt_ids(tokenizer, d, system), rated, labels) for d, rated in posts]
    read = [post for post in read if post.better]
    if not read:
        raise DataError("no post has two rated replies in an emotion of which one is better")
    pupil = Pupil.of(
        model, labels, norms, adapters=Adapters(), start=start, site=site, seed=settings.seed
    )
    filler = tokenizer.pad_token_id or 0
    with torch.no_grad():  # of one post at a time, as long as the companion is as it was
        before = [_logprobs(pupil.nats(pack([p[:2]], filler)), [p])[0] for p in read]

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        places = _places(len(read), settings, step)
        drawn = [read[i] for i in places]
        batch = pack([post[:2] for post in drawn], filler)
        nats = pupil.nats(batch)
        logprobs = _logprobs(nats, drawn)
        margins = torch.cat(
            [
                (now - before[i])[post.better] - (now - before[i])[post.worse]
                for i, post, now in zip(places, drawn, logprobs, strict=True)
            ]
        )
        lengths = torch.tensor([len(ids) for post in drawn for _, _, ids in post.replies])
        best = torch.tensor([b for post in drawn for b in post.best]).repeat_interleave(lengths)
        preferred = -nn.functional.logsigmoid(preference.beta * margins).mean()
        value = preferred + preference.anchor * nats[best.to(nats.device)].mean()
        right = (margins > 0).float().mean().item()
        return value, {"loss": value.item(), "preference": preferred.item(), "right": right}

    depends_on = {"posts": digest([tuple(post) for post in read]), "preference": str(preference)}
    return pupil.train(loss, settings, depends_on, checkpoint)


def _read(
    tokenizer: Any, prompt: list[int], rated: Sequence[Rated], labels: Sequence[str]
) -> _Post:
    rated = [r for r in rated if row_of(r.label, labels) is not None and r.reply.strip()]
    replies = [
        (
            row_of(r.label, labels) or 0,
            r.dose if r.label in labels else 0.0,
            reply_ids(tokenizer, r.reply),
        )
        for r in rated
    ]
    pairs = [
        (i, j)
        for i, better in enumerate(rated)
        for j, worse in enumerate(rated)
        if better.label == worse.label and better.score > worse.score
    ]
    beaten = {j for _, j in pairs}
    best = [i not in beaten and any(i == b for b, _ in pairs) for i in range(len(rated))]
    return _Post(prompt, replies, [b for b, _ in pairs], [w for _, w in pairs], best)


def _logprobs(nats: Tensor, posts: Sequence[_Post]) -> list[Tensor]:
    """Log-probability of each reply of each post, from the nats of all of their tokens."""
    lengths = [len(ids) for post in posts for _, _, ids in post.replies]
    sums = torch.stack([-part.sum() for part in nats.split(lengths)])
    return list(sums.split([len(post.replies) for post in posts]))


def _places(count: int, settings: CompanionSettings, step: int) -> list[int]:
    """Draw the posts of a step from (seed, step) alone; all come once before one comes again."""
    size = min(settings.batch, count)
    round_, place = divmod(step, count // size)
    order = random.Random(f"{settings.seed}/{round_}").sample(range(count), count)
    return order[place * size : (place + 1) * size]
