"""Make emotion vectors, three ways behind one function."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from emotone.emotions import EKMAN
from emotone.errors import ConfigError, DataError
from emotone.lm.batch import pad
from emotone.lm.chat import NO_SYSTEM, prompt_ids
from emotone.models import chat_template_hash
from emotone.steering.card import VectorsCard
from emotone.steering.estimate import ESTIMATES, Estimate, direction
from emotone.steering.fingerprint import fingerprint
from emotone.steering.fit import FitSettings, Progress, fit, label_of
from emotone.steering.layers import Site
from emotone.steering.listen import Listener, train_listener
from emotone.steering.positions import Positions
from emotone.steering.record import ResponseMeans, response_means
from emotone.steering.vectors import EmotionVectors
from emotone.types import Example

if TYPE_CHECKING:
    from emotone.models import CausalLM

Method = Literal["answers", "reading", "fitted"]
METHODS: tuple[Method, ...] = ("answers", "reading", "fitted")

#: What the model is told for `answers`; the paper's own wording is not published.
EMOTIONAL = "Reply with strong {label}, as someone who feels {label} right now."
NEUTRAL = "Reply in a calm, factual way, without any emotion."

#: The label of texts without emotion.
_NEUTRAL = str(EKMAN.neutral)


@dataclass(frozen=True, slots=True)
class ExtractSettings:
    """How vectors are made.

    Args:
        method: `answers`, the paper: the model answers each post under an emotional and under a
            neutral instruction, and the mean difference of its response activations is taken.
            `reading`: the mean over labelled texts, read as the assistant's answer, minus that
            of neutral ones. `fitted`: see `emotone.steering.fit`.
        system: System prompt of the replies to be steered; "" leaves it to `steered`, and "none"
            to the chat template.
        site: Where in the block to read and to add.
        window: For averages: first and last block to use, as fractions of the depth.
        positions: Which columns the vectors are to act on.
        scaled: For averages: give each block an equal share of `total`; without, a vector is the
            difference as it is, as in the paper.
        base: For averages: add the mean over emotions as a vector of its own, named "base".
        centre: For averages: subtract the mean over emotions, which tells them apart better.
        estimate: For `reading`: what is taken for the direction that tells an emotion from neutral
            texts (`steering.estimate`). Where there are none, the other emotions stand for them.
        denoise: For averages: remove this many main directions of neutral text.
        total: For averages: sum over blocks of the push at dose 1, in activation lengths.
        tokens: For `answers`: longest answer, in tokens.
        seed: Seed of sampled answers.
        fit: For `fitted`.
    """

    method: Method = "fitted"
    system: str = ""
    site: Site = "resid"
    window: tuple[float, ...] = (0.13, 0.86)
    positions: Positions = "all"
    scaled: bool = True
    base: bool = False
    centre: bool = True
    estimate: Estimate = "mean"
    denoise: int = 0
    total: float = 0.5
    tokens: int = 40
    seed: int = 0
    fit: FitSettings = field(default_factory=FitSettings)

    def __post_init__(self) -> None:
        """Check relations between fields."""
        if self.method not in METHODS:
            raise ConfigError(f"method is {self.method!r}; use one of {', '.join(METHODS)}")
        if self.estimate not in ESTIMATES:
            raise ConfigError(f"estimate is {self.estimate!r}; use one of {', '.join(ESTIMATES)}")
        if self.estimate != "mean" and (self.method != "reading" or not self.scaled):
            raise ConfigError(
                f"estimate is {self.estimate!r} with method {self.method!r}; it is for scaled"
                " averages of the method 'reading'"
            )
        if len(self.window) != 2 or not 0 <= self.window[0] < self.window[1] <= 1:
            raise ConfigError(f"window is {self.window}; use two rising fractions in [0, 1]")


#: Settings by name. `paper`: what Dong et al. 2025 do, as far as they say it.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": {
        "method": "answers",
        "system": NO_SYSTEM,
        "site": "attn_out",
        "positions": "last",
        "scaled": False,
        "base": True,
    },
}


def extract(
    lm: CausalLM,
    examples: Sequence[Example],
    *,
    settings: ExtractSettings | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> EmotionVectors:
    """Make uncalibrated vectors for every emotion that the examples carry.

    Args:
        lm: A chat model; it is read, not changed. Its name goes into the card.
        examples: `answers` needs dialogues (their own emotion, or none for all emotions);
            `reading` and `fitted` need dialogues with one emotion and a reply. Replies labelled
            neutral serve as the reference of `reading`.
        settings: See `ExtractSettings`.
        checkpoint: For `fitted`: folder that lets a killed run go on.
        progress: Called with (steps done, steps in all).

    Returns:
        Vectors without dose curves; `emotone.systems.steered.calibrate_vectors` measures those.

    Raises:
        DataError: If there is nothing to make vectors from, or they are all zero.
    """
    model, tokenizer = lm.model, lm.tokenizer
    settings = settings or ExtractSettings()
    labels = _labels(examples)
    listener: Listener | None = None
    if settings.method == "answers":
        differences, activations = _answer_differences(
            model, tokenizer, examples, labels, settings, progress
        )
        norms = _norms(activations)
        directions = shaped(differences, norms, activations[1], settings)
    else:
        by_label = text_activations(model, tokenizer, examples, labels, settings)
        norms = _norms(list(by_label.values()))
        listener = _trained_listener(by_label)
        if settings.method == "reading":
            differences = text_differences(by_label, labels, settings.estimate)
            directions = shaped(differences, norms, by_label.get(_NEUTRAL), settings)
        else:
            directions = fit(
                model,
                tokenizer,
                examples,
                labels,
                norms,
                site=settings.site,
                settings=settings.fit,
                checkpoint=checkpoint,
                progress=progress,
            )
    void = [label for label, direction in directions.items() if not direction.any()]
    if void:
        raise DataError(
            f"the vectors of {', '.join(void)} are all zero, since their replies differ from no"
            " others; add neutral replies, or a second emotion"
        )
    judges = sorted({judge for example in examples for judge in example.judges})
    card = VectorsCard(
        model=lm.name,
        fingerprint=fingerprint(model),
        chat_template=chat_template_hash(tokenizer),
        system_prompt=settings.system,
        site=settings.site,
        positions=settings.positions,
        method=settings.method,
        data=data_hash(examples),
        norms=tuple(round(float(n), 4) for n in norms),
        notes={"judges": judges} if judges else {},  # so that they do not score the replies
    )
    return EmotionVectors(directions, card, listener)


def _system(settings: ExtractSettings) -> str:
    return "" if settings.system == NO_SYSTEM else settings.system


def data_hash(examples: Sequence[Example]) -> str:
    """Hash the texts and emotions of examples, in order."""
    digest = hashlib.sha256()
    for e in examples:
        row = [[p.text for p in e.dialogue.posts], str(e.emotion), e.reply]
        digest.update(json.dumps(row, ensure_ascii=False).encode())
    return digest.hexdigest()[:16]


def _labels(examples: Sequence[Example]) -> list[str]:
    seen = {label for e in examples if (label := _label(e)) is not None}
    seen.discard(_NEUTRAL)
    if not seen:
        raise DataError('no example carries an emotion; label them, such as "emotion": "joy"')
    order = {label: i for i, label in enumerate(EKMAN.labels)}
    return sorted(seen, key=lambda label: (order.get(label, len(order)), label))


def _label(example: Example) -> str | None:
    """Return the label of an example: of its reply, else of its post, as in EmotionQuery."""
    emotion = example.dialogue.posts[-1].emotion
    return label_of(example) or (None if emotion is None else emotion.label)


def _norms(activations: Sequence[ResponseMeans]) -> Tensor:
    """Return the median length of an activation per block over groups of texts, [L]."""
    return torch.stack([group.norms for group in activations]).median(0).values


def _answer_differences(
    model: nn.Module,
    tokenizer: Any,
    examples: Sequence[Example],
    labels: Sequence[str],
    settings: ExtractSettings,
    progress: Progress | None,
) -> tuple[dict[str, Tensor], list[ResponseMeans]]:
    """Return the emotion vectors of the paper, [L, d] each, as differences of mean activations.

        EV_e,l = mean over q of h_l(q | emotional) - mean over q of h_l(q | neutral)

    h_l(q | instruction) is block l's mean activation over the tokens of the model's own answer to
    post q under an instruction (`EMOTIONAL` or `NEUTRAL`).

    Returns:
        Label -> EV_e; and the activations of emotional and neutral answers in turn, label by label.

    Source: Dong et al. 2025 (arXiv 2502.04075), the definition of an emotion vector.
    """
    differences: dict[str, Tensor] = {}
    activations: list[ResponseMeans] = []
    system = _system(settings)
    for i, label in enumerate(labels):
        posts = [e for e in examples if _label(e) in (None, label)]
        for instruction in (EMOTIONAL.format(label=label), NEUTRAL):
            prompts = [
                prompt_ids(tokenizer, e.dialogue, f"{system} {instruction}".strip()) for e in posts
            ]
            answers = _sample(model, tokenizer, prompts, settings)
            pairs = [(p, a) for p, a in zip(prompts, answers, strict=True) if a]
            if not pairs:
                raise DataError(f"the model gave no answers for {label}; use other posts")
            activations.append(response_means(model, tokenizer, pairs, site=settings.site))
        emotional, neutral = activations[-2:]
        differences[label] = emotional.means.mean(0) - neutral.means.mean(0)
        if progress:
            progress(i + 1, len(labels))
    return differences, activations


def text_activations(
    model: nn.Module,
    tokenizer: Any,
    examples: Sequence[Example],
    labels: Sequence[str],
    settings: ExtractSettings,
) -> dict[str, ResponseMeans]:
    """Return the activations of the examples' replies by label, neutral last if there are any."""
    groups: dict[str, list[tuple[list[int], str]]] = {label: [] for label in labels}
    neutral: list[tuple[list[int], str]] = []
    for e in examples:
        if e.reply is None:
            continue
        pair = (prompt_ids(tokenizer, e.dialogue, _system(settings)), e.reply)
        label = label_of(e) or _NEUTRAL
        groups.get(label, neutral).append(pair)
    missing = [label for label, pairs in groups.items() if not pairs]
    if missing:
        raise DataError(f"no replies for {', '.join(missing)}; give examples with a reply")
    return {
        label: response_means(model, tokenizer, pairs, site=settings.site)
        for label, pairs in {**groups, _NEUTRAL: neutral}.items()
        if pairs
    }


def text_differences(
    by_label: Mapping[str, ResponseMeans], labels: Sequence[str], estimate: Estimate = "mean"
) -> dict[str, Tensor]:
    """Return the direction of each emotion from neutral texts to its own, [L, d].

    Without neutral texts it starts from those of all emotions, each of which counts alike.
    """
    neutral = by_label.get(_NEUTRAL)
    if neutral is not None:
        origin = neutral.means
    elif estimate == "mean":
        origin = torch.stack([by_label[label].means.mean(0) for label in labels])
    else:
        origin = torch.cat([by_label[label].means for label in labels])
    return {label: direction(by_label[label].means, origin, estimate) for label in labels}


def _trained_listener(by_label: Mapping[str, ResponseMeans]) -> Listener | None:
    """Train a listener at half the depth, where emotion is read best; None for one emotion."""
    if len(by_label) < 2:
        return None
    block = next(iter(by_label.values())).means.shape[1] // 2
    means = torch.cat([group.means[:, block] for group in by_label.values()])
    labels = [label for label, group in by_label.items() for _ in range(len(group.means))]
    return train_listener(means, labels, block=block)


@torch.inference_mode()
def _sample(
    model: nn.Module, tokenizer: Any, prompts: Sequence[list[int]], settings: ExtractSettings
) -> list[str]:
    """Return an answer to each prompt, stripped.

    With transformers' own loop and one random state for all rows, unlike replies of systems
    (docs/decisions/0003): other random numbers would give other vectors than those made so far.
    """
    device = next(model.parameters()).device
    filler = tokenizer.pad_token_id or 0
    answers: list[str] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        for start in range(0, len(prompts), 32):
            ids, mask = pad(prompts[start : start + 32], filler, left=True)
            out = model.generate(  # pyright: ignore
                input_ids=ids.to(device),
                attention_mask=mask.long().to(device),
                do_sample=True,
                temperature=0.7,
                top_p=0.9,
                max_new_tokens=settings.tokens,
                pad_token_id=filler,
            )
            answers += tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)
    return [a.strip() for a in answers]


def shaped(
    differences: Mapping[str, Tensor],
    norms: Tensor,
    neutral: ResponseMeans | None,
    settings: ExtractSettings,
) -> dict[str, Tensor]:
    """Turn mean differences into displacements: centred, denoised, of one relative length a block.

    A difference of residual states at block l already holds that of block l - 1, so adding it at
    full length in every block would count it many times; each block gets an equal share instead.
    """
    if settings.base:
        differences = {**differences, "base": torch.stack(list(differences.values())).mean(0)}
    if not settings.scaled:
        return dict(differences)
    if settings.centre and len(differences) > 1:
        base = torch.stack(list(differences.values())).mean(0)
        differences = {label: v - base for label, v in differences.items()}
    if settings.denoise and neutral is not None:
        differences = {
            label: _without(v, neutral.means, settings.denoise) for label, v in differences.items()
        }
    depth = len(norms)
    first, last = (round(f * (depth - 1)) for f in settings.window)
    share = torch.zeros(depth)
    share[first : last + 1] = settings.total / (last + 1 - first)
    return {
        label: v / v.norm(dim=-1, keepdim=True).clamp_min(1e-12) * (share * norms)[:, None]
        for label, v in differences.items()
    }


def _without(direction: Tensor, neutral: Tensor, count: int) -> Tensor:
    """Project the main directions of neutral texts [N, L, d] out of a direction [L, d]."""
    out = direction.clone()
    for block in range(direction.shape[0]):
        states = neutral[:, block] - neutral[:, block].mean(0)
        _, _, axes = torch.linalg.svd(states, full_matrices=False)
        axes = axes[:count]
        out[block] -= axes.T @ (axes @ out[block])
    return out
