"""Keep the candidate that carries the emotion best and makes most sense."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from emotone.steering.listen import Listener
from emotone.steering.record import block_means

#: How strictly the best candidate is preferred at full strength: a candidate whose log-probability
#: is 1 nat higher is e^SHARPNESS times likelier to be kept. At strength 0 all are alike, so that
#: intensity acts on the choice as smoothly as on the dose.
SHARPNESS = 4.0

#: The same for the log of the content that is expected of a candidate, at every intensity. The
#: readout is unsure of itself, so its values are close together: below 8 half of what it knows is
#: lost, above 16 there is little more to gain (docs/decisions/0027).
SENSE_SHARPNESS = 16.0

#: The same among replies by hand, whose content is told more surely.
HAND_SHARPNESS = 32.0

#: What readers find in the best of a few own candidates, as a share of what is read off it: it was
#: chosen for being overrated (1.10 read off, .82 found, 140 posts; docs/decisions/0031). Replies by
#: hand, told by other features, are not overrated.
FOUND = 0.75

#: Score of an empty candidate: below that of any reply.
NO_REPLY = -1e9


def choose(
    model: nn.Module,
    tokenizer: Any,
    listener: Listener | None,
    prompts: Sequence[list[int]],
    candidates: Sequence[Sequence[str]],
    strengths: Sequence[Mapping[str, float]],
    seeds: Sequence[int],
    sense: Sequence[Tensor] | Listener | None = None,
    by_hand: Sequence[Tensor] | None = None,
) -> list[int]:
    """Choose one candidate a row.

    Args:
        model: The model, not steered.
        tokenizer: Its tokenizer.
        listener: What classifies the candidates; None takes the first one.
        prompts: Ids of each row's prompt.
        candidates: Replies of each row.
        strengths: Label -> strength in [-1, 1] of each row.
        seeds: Seed of each row's choice.
        sense: Log of the expected content of each candidate of each row, as a share of the most,
            or what reads it off the model; None where nobody judges that.
        by_hand: The same of replies that were written by hand in the emotion that is wanted of each
            row, which are not among the candidates: no candidate has more of it than they.

    Returns:
        The index of the kept candidate of each row; those by hand count after the others.
    """
    picks = [0] * len(prompts)
    states = CandidateStates(model, tokenizer, prompts, candidates)
    if isinstance(sense, Listener):
        sense = sense_scores(states, sense)
    scores = emotion_scores(states, listener, strengths)
    for i, value in enumerate(scores):
        logits = None if value is None else SHARPNESS * value
        if sense is not None and len(candidates[i]) > 1:
            logits = SENSE_SHARPNESS * sense[i] + (0.0 if logits is None else logits)
        if by_hand is not None and len(by_hand[i]):
            most = 0.0 if value is None else SHARPNESS * value.max()
            own = torch.zeros(len(candidates[i])) if logits is None else logits
            best = by_hand[i].max()
            hand = SENSE_SHARPNESS * (best - math.log(FOUND)) + HAND_SHARPNESS * (by_hand[i] - best)
            logits = torch.cat([own, most + hand])
        if logits is not None:
            generator = torch.Generator().manual_seed(seeds[i])
            picks[i] = int(torch.multinomial(logits.softmax(0), 1, generator=generator))
    return picks


class CandidateStates:
    """The model's mean activations over candidates, which several listeners read.

    Args:
        model: The model, not steered.
        tokenizer: Its tokenizer.
        prompts: Ids of each row's prompt.
        candidates: Replies of each row.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        prompts: Sequence[list[int]],
        candidates: Sequence[Sequence[str]],
    ) -> None:
        self.candidates = candidates
        self._model, self._tokenizer, self._prompts = model, tokenizer, prompts
        self._means: dict[tuple[int, int], Tensor] = {}

    def at(self, block: int, rows: Sequence[int]) -> list[Tensor]:
        """Return the states of some rows' candidates at a block, [n_i, d] each; read once."""
        unread = [i for i in rows if (block, i) not in self._means]
        pairs = [(self._prompts[i], text or ".") for i in unread for text in self.candidates[i]]
        if pairs:
            means = block_means(self._model, self._tokenizer, pairs, block)
            parts = means.split([len(self.candidates[i]) for i in unread])
            self._means |= {(block, i): part for i, part in zip(unread, parts, strict=True)}
        return [self._means[block, i] for i in rows]


def sense_scores(states: CandidateStates, sense: Listener) -> list[Tensor]:
    """Return the log of the expected content of each row's candidates, as a share of the most.

    Args:
        states: Of the candidates; a row with one is not read and scores 0.
        sense: Tells contents apart, whose labels are numbers.
    """
    scores = [torch.zeros(len(group)) for group in states.candidates]
    rows = [i for i, group in enumerate(states.candidates) if len(group) > 1]
    content = torch.tensor([float(label) for label in sense.labels])
    for i, means in zip(rows, states.at(sense.block, rows), strict=True):
        expected = sense.logprobs(means).exp() @ content / content.max()
        scores[i] = expected.clamp_min(1e-6).log()
        for j, text in enumerate(states.candidates[i]):
            if not text.strip():
                scores[i][j] = NO_REPLY
    return scores


def emotion_scores(
    states: CandidateStates,
    listener: Listener | None,
    strengths: Sequence[Mapping[str, float]],
) -> list[Tensor | None]:
    """Score how well each candidate carries its row's emotion.

    Args:
        states: Of the candidates.
        listener: What classifies the candidates; None scores nothing.
        strengths: Label -> strength in [-1, 1] of each row.

    Returns:
        For each row the sum over emotions of strength times log-probability in nats, one a
        candidate, far below all others for an empty one; None where there is nothing to score.
    """
    candidates = states.candidates
    values: list[Tensor | None] = [None] * len(candidates)
    if listener is None:
        return values
    known = set(listener.labels)
    rows = [
        i
        for i, group in enumerate(candidates)
        if len(group) > 1 and any(k in known and v for k, v in strengths[i].items())
    ]
    for i, means in zip(rows, states.at(listener.block, rows), strict=True):
        scores, group = listener.logprobs(means), candidates[i]
        value = torch.zeros(len(group))
        for label, strength in strengths[i].items():
            if label in known:
                value = value + strength * scores[:, listener.labels.index(label)]
        for j, text in enumerate(group):
            if not text.strip():
                value[j] = NO_REPLY
        values[i] = value
    return values
