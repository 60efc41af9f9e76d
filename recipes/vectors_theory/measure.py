"""Measures of the paper's theory on a model, with posts that have a reply in each emotion.

    s_e(alpha) = mean over posts x of  log p(y_e | x; h + alpha EV) / |y_e|
                                     - log p(y_neutral | x; h + alpha EV) / |y_neutral|

It is what an emotion vector is to raise, needs no judge and no sampling, and is
smooth in alpha, so that a Taylor argument can be held against it.

Source: Dong et al. 2025 (arXiv 2502.04075), the claims of its theory as quoted in a review.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emotone.data import everyday
from emotone.files import write_json
from emotone.identity import digest
from emotone.lm.batch import pad_pairs
from emotone.lm.chat import FRIEND, NO_SYSTEM, prompt_ids
from emotone.models import CausalLM
from emotone.models.token_ids import text_ids
from emotone.steering.dose import Doses
from emotone.steering.fit import displaced, frozen
from emotone.steering.layers import blocks, site_module
from emotone.steering.mood import Mood
from emotone.steering.record import response_means
from emotone.steering.vectors import EmotionVectors

EMOTIONS = ("anger", "disgust", "fear", "joy", "sadness")
NEUTRAL = "neutral"
#: Multiples at which a line is fitted to the score; it is small what lies within.
SMALL = (-0.5, -0.25, 0.0, 0.25, 0.5)
#: Multiples beyond, of which the table of the paper is made.
LARGE = (-1.0, 1.0, 2.0, 4.0)
#: Multiples at which two vectors are added, and which are.
MIXED = (0.5, 1.0)
PAIRS = (("anger", "disgust"), ("fear", "sadness"), ("joy", "sadness"))


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """A model with vectors, and the posts that they are measured on.

    Args:
        lm: The model, adapted where the vectors need it.
        vectors: The vectors.
        lines: Posts with a reply in each emotion and a neutral one.
        place: File of the likelihoods read so far, so that a killed run goes on; None for none.
    """

    lm: CausalLM
    vectors: EmotionVectors
    lines: Sequence[everyday.Line]
    place: Path | None = None
    known: dict[str, float] = field(default_factory=dict[str, float], repr=False)

    def prompts(self) -> list[list[int]]:
        """Return what the model reads before each reply."""
        named = self.vectors.card.system_prompt or FRIEND
        system = "" if named == NO_SYSTEM else named
        return [prompt_ids(self.lm.tokenizer, line.dialogue, system) for line in self.lines]

    def loglik(self, label: str, doses: Doses) -> float:
        """Return the mean over posts of the log-likelihood a token of the replies in an emotion."""
        identity = [self.vectors.digest(), [line.post for line in self.lines], label]
        key = digest([*identity, sorted(doses.items())])
        if not self.known and self.place is not None and self.place.exists():
            self.known.update(json.loads(self.place.read_text(encoding="utf-8")))
        if key not in self.known:
            mood = Mood(self.lm, self.vectors)
            replies = [line.replies[label] for line in self.lines]
            nats = mood.nats(self.prompts(), [doses] * len(replies), replies)
            self.known[key] = float(np.mean([-total / tokens for total, tokens in nats]))
            if self.place is not None:
                write_json(self.place, self.known)
        return self.known[key]

    def score(self, label: str, doses: Doses) -> float:
        """Return s_e at doses."""
        return self.loglik(label, doses) - self.loglik(NEUTRAL, doses)


def linearity(bench: Bench, label: str) -> dict[str, Any]:
    """Fit a line to s_e over small multiples, and follow it beyond.

    Returns:
        The scores by multiple, the slope, R2 of the small ones, R2 of one line through all, the
        multiple up to which the score rises from 0 on, and whether it is lower at -1 than at 0.
    """
    alphas = sorted({*SMALL, *LARGE})
    scores = [bench.score(label, {label: a} if a else {}) for a in alphas]
    near = [i for i, a in enumerate(alphas) if a in SMALL]
    slope, _ = np.polyfit([alphas[i] for i in near], [scores[i] for i in near], 1)
    from_0 = [(a, s) for a, s in zip(alphas, scores, strict=True) if a >= 0]
    top = 0.0
    for (_, lower), (a, higher) in pairwise(from_0):
        if higher <= lower:
            break
        top = a
    return {
        "scores": {f"{a:g}": round(s, 4) for a, s in zip(alphas, scores, strict=True)},
        "slope": round(float(slope), 4),
        "r2_small": r_squared([alphas[i] for i in near], [scores[i] for i in near]),
        "r2_all": r_squared(alphas, scores),
        "rises_to": top,
        "lower_at_-1": scores[0] < from_0[0][1],
    }


def r_squared(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the share of the variance of y that a line in x explains."""
    slope, level = np.polyfit(x, y, 1)
    rest = np.asarray(y) - (slope * np.asarray(x) + level)
    spread = np.asarray(y) - np.mean(y)
    return round(float(1 - (rest**2).sum() / (spread**2).sum()), 4)


def additivity(bench: Bench) -> dict[str, Any]:
    """Hold what a mix of two does to both scores against the sum of what each does alone.

    Returns:
        By multiple: the slope through 0 of the mix's effect on that sum (1 where they add up), the
        mean of |mix - sum| over that of |sum|, and the effects.
    """
    found: dict[str, Any] = {}
    plain = {label: bench.score(label, {}) for label in EMOTIONS}
    for alpha in MIXED:
        rows: list[tuple[str, str, float, float]] = []
        for one, other in PAIRS:
            for label in (one, other):
                alone = [bench.score(label, {k: alpha}) - plain[label] for k in (one, other)]
                both = bench.score(label, {one: alpha, other: alpha}) - plain[label]
                rows.append((f"{one} + {other}", label, sum(alone), both))
        summed, mixed = (np.array([row[i] for row in rows], float) for i in (2, 3))
        found[f"{alpha:g}"] = {
            "slope": round(float(summed @ mixed / (summed @ summed)), 4),
            "gap": round(float(np.abs(mixed - summed).mean() / np.abs(summed).mean()), 4),
            "effects": [
                {"mix": m, "score": e, "sum": round(s, 4), "mixed": round(b, 4)}
                for m, e, s, b in rows
            ],
        }
    return found


def fisher(bench: Bench) -> dict[str, dict[str, float]]:
    """Compare each vector with the Fisher direction of its emotion against neutral, block by block.

        w_l = S_l^-1 (mean of e - mean of neutral)        S_l: shrunk covariance within emotions

    In whitened states, S^-1/2 h, the Fisher direction is the whitened mean difference, so vectors
    are whitened too and compared there. Halves of the posts give the cosine of two such directions
    with each other, which is the most that any vector could reach on them.

    Returns:
        Emotion -> means over blocks: `raw` cosine with the mean difference, `whitened` cosine with
        the Fisher direction, `halves` of that with itself, and the `positive` share of blocks where
        the vector points its way.

    Source: Ledoit and Wolf 2004 for the shrinkage.
    """
    prompts, site = bench.prompts(), bench.vectors.card.site
    states: dict[str, np.ndarray] = {}
    for label in (*EMOTIONS, NEUTRAL):
        texts = [(p, x.replies[label]) for p, x in zip(prompts, bench.lines, strict=True)]
        means = response_means(bench.lm.model, bench.lm.tokenizer, texts, site=site).means
        states[label] = means.double().numpy()
    table: dict[str, dict[str, list[float]]] = {}
    for block in range(states[NEUTRAL].shape[1]):
        here = {label: rows[:, block] for label, rows in states.items()}
        whiten = whitener(list(here.values()))
        for label in EMOTIONS:
            own = bench.vectors[label][block].double().numpy()
            if not own.any():
                continue
            difference = here[label] - here[NEUTRAL]
            halves = [whiten @ difference[i::2].mean(0) for i in (0, 1)]
            values = {
                "raw": cosine(own, difference.mean(0)),
                "whitened": cosine(whiten @ own, whiten @ difference.mean(0)),
                "halves": cosine(*halves),
                "positive": float((whiten @ own) @ (whiten @ difference.mean(0)) > 0),
            }
            for name, value in values.items():
                table.setdefault(label, {}).setdefault(name, []).append(value)
    return {
        label: {name: round(float(np.mean(v)), 4) for name, v in columns.items()}
        for label, columns in table.items()
    }


def whitener(groups: Sequence[np.ndarray]) -> np.ndarray:
    """Return S^-1/2 of the covariance within groups of states [N, d], shrunk, as [d, d]."""
    from sklearn.covariance import LedoitWolf

    centred = np.concatenate([rows - rows.mean(0) for rows in groups])
    covariance = LedoitWolf(assume_centered=True).fit(centred).covariance_
    values, axes = np.linalg.eigh(covariance)
    return axes @ np.diag(values.clip(1e-12) ** -0.5) @ axes.T


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Return the cosine of two vectors."""
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def projections(bench: Bench) -> dict[str, dict[str, float]]:
    """Project each vector on the gradients of the replies' log-likelihood by the displacement.

        g = d/dD mean of log p(y | x; h + D) a token, at D = 0                       [L, d]

    Returns:
        Emotion -> `neutral` and `own`, the first-order change of the log-likelihood of the neutral
        and of the emotion's replies at one times the vector, and `cosine_neutral`, `cosine_own`
        with the two gradients. A random vector's cosine has mean 0 and the deviation `chance`.
    """
    neutral = gradient(bench, NEUTRAL)
    table: dict[str, dict[str, float]] = {}
    for label in EMOTIONS:
        vector, own = bench.vectors[label].double(), gradient(bench, label)
        moved = vector.norm(dim=-1) > 0
        table[label] = {
            "neutral": round(float((neutral * vector).sum()), 4),
            "own": round(float((own * vector).sum()), 4),
            "cosine_neutral": round(_flat_cosine(neutral[moved], vector[moved]), 4),
            "cosine_own": round(_flat_cosine(own[moved], vector[moved]), 4),
            "chance": round(float(vector[moved].numel() ** -0.5), 4),
        }
    return table


def _flat_cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0))


def gradient(bench: Bench, label: str) -> Tensor:
    """Return the gradient of `Bench.loglik` by a displacement at the vectors' site, [L, d] float64.

    It acts where the vectors do: on all columns, or from the last of the prompt on.
    """
    tokenizer: Any = bench.lm.tokenizer
    model = bench.lm.model
    device = next(model.parameters()).device
    ends = [
        [*text_ids(tokenizer, line.replies[label]), tokenizer.eos_token_id] for line in bench.lines
    ]
    pairs = list(zip(bench.prompts(), ends, strict=True))
    # Padded on the right, as the likelihood is read.
    ids, mask, of_reply = pad_pairs(pairs, tokenizer.pad_token_id or 0, left=False)
    before = torch.roll(of_reply, -1, dims=1)  # columns whose next token is of the reply
    before[:, -1] = False
    steered = mask if bench.vectors.card.positions == "all" else before | of_reply
    columns = steered[..., None].to(device, torch.float32)
    modules = [site_module(model, block, bench.vectors.card.site) for block in blocks(model)]
    width = next(iter(bench.vectors.directions.values())).shape[1]
    push = torch.zeros(len(modules), width, device=device, requires_grad=True)
    with frozen(model), displaced(modules, lambda block: push[block] * columns):
        inner: Any = model.base_model
        states = inner(
            input_ids=ids.to(device), attention_mask=mask.long().to(device), use_cache=False
        ).last_hidden_state
        head: Any = model.get_output_embeddings()
        logits = head(states[before.to(device)]).float()
        gold = ids[:, 1:][before[:, :-1]].to(device)
        nats = nn.functional.cross_entropy(logits, gold, reduction="none")
        tokens = before.sum(1)
        weights = torch.repeat_interleave(1.0 / tokens, tokens) / len(pairs)
        (-(nats * weights.to(device)).sum()).backward()
    if push.grad is None:
        raise RuntimeError("no gradient reached the displacement")
    return push.grad.double().cpu()


def measure(bench: Bench, more: Bench) -> dict[str, Any]:
    """Measure all claims.

    Args:
        bench: Posts for likelihoods and gradients, which cost most.
        more: More posts, for the covariance.
    """
    card = bench.vectors.card
    scored: Mapping[str, Any] = {label: linearity(bench, label) for label in EMOTIONS}
    return {
        "vectors": bench.vectors.digest(),
        "method": card.method,
        "site": card.site,
        "positions": card.positions,
        "posts": len(bench.lines),
        "posts_fisher": len(more.lines),
        "linear": scored,
        "additive": additivity(bench),
        "fisher": fisher(more),
        "semantic": projections(bench),
    }
