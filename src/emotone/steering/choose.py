"""Keep the candidate that carries the emotion best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from emotone.steering.listen import Listener, listener_logprobs

#: How strictly the best candidate is preferred at full strength: a candidate whose log-probability
#: is 1 nat higher is e^SHARPNESS times likelier to be kept. At strength 0 all are alike, so that
#: intensity acts on the choice as smoothly as on the dose.
SHARPNESS = 4.0

#: The same for the log-probability that a candidate makes sense, at every intensity.
SENSE_SHARPNESS = 4.0

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
    sense: Sequence[Tensor] | None = None,
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
        sense: Log-probability that each candidate makes sense, of each row; None where nobody
            judges that.

    Returns:
        The index of the kept candidate of each row.
    """
    picks = [0] * len(prompts)
    scores = emotion_scores(model, tokenizer, listener, prompts, candidates, strengths)
    for i, value in enumerate(scores):
        logits = None if value is None else SHARPNESS * value
        if sense is not None and len(candidates[i]) > 1:
            logits = SENSE_SHARPNESS * sense[i] + (0.0 if logits is None else logits)
        if logits is not None:
            generator = torch.Generator().manual_seed(seeds[i])
            picks[i] = int(torch.multinomial(logits.softmax(0), 1, generator=generator))
    return picks


def emotion_scores(
    model: nn.Module,
    tokenizer: Any,
    listener: Listener | None,
    prompts: Sequence[list[int]],
    candidates: Sequence[Sequence[str]],
    strengths: Sequence[Mapping[str, float]],
) -> list[Tensor | None]:
    """Score how well each candidate carries its row's emotion.

    Args:
        model: The model, not steered.
        tokenizer: Its tokenizer.
        listener: What classifies the candidates; None scores nothing.
        prompts: Ids of each row's prompt.
        candidates: Replies of each row.
        strengths: Label -> strength in [-1, 1] of each row.

    Returns:
        For each row the sum over emotions of strength times log-probability in nats, one a
        candidate, far below all others for an empty one; None where there is nothing to score.
    """
    values: list[Tensor | None] = [None] * len(prompts)
    if listener is None:
        return values
    known = set(listener.labels)
    rows = [
        i
        for i, group in enumerate(candidates)
        if len(group) > 1 and any(k in known and v for k, v in strengths[i].items())
    ]
    pairs = [(prompts[i], text) for i in rows for text in candidates[i]]
    if not pairs:
        return values
    logprobs = listener_logprobs(model, tokenizer, listener, [(p, t or ".") for p, t in pairs])
    groups = logprobs.split([len(candidates[i]) for i in rows])
    for i, scores in zip(rows, groups, strict=True):
        group = candidates[i]
        value = torch.zeros(len(group))
        for label, strength in strengths[i].items():
            if label in known:
                value = value + strength * scores[:, listener.labels.index(label)]
        for j, text in enumerate(group):
            if not text.strip():
                value[j] = NO_REPLY
        values[i] = value
    return values
