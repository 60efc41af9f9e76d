"""Vectors for any chat model out of what comes with the package: no texts, no files, one call.

    D = argmin_D - sum_i log p(y_i | x_i; h_l + c_i D_{e_i,l}, every l) / sum_i |y_i|

over the posts of `everyday` with a reply in each emotion and mood. The model is frozen; a dose c_i
is drawn anew for each reply, so that D is good at every dose; a push begins at the last token of
the prompt, so that all replies to a post share one reading of it (`companion.pack`).

A mood of one's own needs a few texts in it (`define`). It is fitted alike, each text as a reply to
posts of everyday that it shares words with, so that it carries the mood and not the subjects.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from emotone.data import everyday
from emotone.data.everyday.nearest import Posts
from emotone.data.text import Lang
from emotone.emotions import EVERYDAY
from emotone.emotions.taxonomy import folded
from emotone.errors import DataError, UsageError, number_of
from emotone.identity import digest
from emotone.lm.chat import FRIENDS, prompt_ids
from emotone.models import chat_template_hash
from emotone.models.token_ids import text_ids
from emotone.steering.calibrate import Limits, SweepSettings, shipped_posts
from emotone.steering.card import VectorsCard
from emotone.steering.companion import CompanionSettings, Exchange, learn
from emotone.steering.dose import Curve
from emotone.steering.ears import NOTHING, Ears
from emotone.steering.fingerprint import fingerprint
from emotone.steering.layers import blocks
from emotone.steering.listen import Listener, train_listener
from emotone.steering.record import block_means, response_means
from emotone.steering.vectors import EmotionVectors

if TYPE_CHECKING:
    from emotone.models import CausalLM

#: Share of the depth where listeners read; the best for content, on rated replies left out.
LISTEN_AT = 0.7
#: Lines that a listener is taught on; each has about eight replies.
_TAUGHT = 260
#: Replies that tell how long activations are.
_MEASURED = 128
#: Fewer texts do not tell a mood from its subject.
FEWEST_TEXTS = 12
_NEUTRAL = str(EVERYDAY.neutral)
#: How a mood of one's own is fitted, and posts that each of its texts is read as a reply to.
_DEFINED = CompanionSettings(
    steps=32, batch=8, push_lr=0.02, warmup=4, linear=36, dose=(0.3, 1.2), save_every=32
)
_ANSWERED = 3
#: Posts that are read by the clock to tell the time in advance.
_PROBED = 8
#: Seconds that a token of the fit takes where a model has no head, and an answer of the sweep, as
#: multiples of those that reading one token takes: measured on SmolLM2-135M and Gemma 3 270M.
_STEP, _ANSWER = 2.5, 60.0
#: Emotions that a judge hears.
JUDGED = everyday.EMOTIONS[:7]
#: What is tried and allowed where dose is measured. Affection speaks of the user, not of the post's
#: subject, so replies may be less like the post. Similarity and known words are those of English.
SWEEPS: Mapping[Lang, SweepSettings] = {
    "en": SweepSettings((0.25, 0.5, 0.75, 1.0), (-0.25,), Limits(similarity=0.6)),
    "zh": SweepSettings((0.25, 0.5, 0.75, 1.0), (-0.25,), Limits(similarity=0.0, known=0.0)),
}


@dataclass(frozen=True, slots=True)
class MakeSettings:
    """How vectors are made.

    Args:
        steps: Steps of the fit.
        posts: Posts a step, each with all of its replies.
        rate: Greatest step size, in units of an activation's root mean square. Of it and its halves
            that is taken whose first step is the best; it falls to 0.
        dose: Least and greatest dose of a push.
        moods: Whether the ten further moods are made too.
        seed: Seed of the order of posts and of doses.
        save_every: Steps between checkpoints.
    """

    steps: int = 64
    posts: int = 8
    rate: float = 0.02
    dose: tuple[float, float] = (0.3, 1.2)
    moods: bool = True
    seed: int = 0
    save_every: int = 8


def make_vectors(
    lm: CausalLM,
    lang: Lang = "en",
    *,
    settings: MakeSettings | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EmotionVectors:
    """Make uncalibrated vectors and a listener for a chat model.

    Texts are of the splits that the labelling judge was not taught on, so that it may calibrate.

    Args:
        lm: The model; it is read, not changed.
        lang: Language of the contrast set.
        settings: See `MakeSettings`.
        checkpoint: Folder that keeps the state, so that a killed run goes on; None keeps none.
        progress: Called with (steps done, steps in all), of which the first read texts.

    Raises:
        Unsupported: If the blocks of the model are not found.
        EmotoneError: As `companion.learn`.
    """
    settings = settings or MakeSettings()
    lines = contrast(lang, moods=settings.moods)
    labels = [
        label
        for label in EVERYDAY.labels
        if label != EVERYDAY.neutral and any(label in line.replies for line in lines)
    ]
    system = FRIENDS[lang]
    passes = 0

    def reading(done: int, total: int) -> None:
        nonlocal passes
        passes = total
        if progress is not None:
            progress(done, total + settings.steps)

    def fitting(done: int, total: int) -> None:
        if progress is not None:
            progress(passes + done, passes + total)

    listener, norms = listener_of(lm, lines, system, progress=reading)
    lines = _visited(lines, settings)
    directions = learn(
        lm.model,
        lm.tokenizer,
        [Exchange(line.dialogue, line.replies) for line in lines],
        labels,
        norms,
        system=system,
        settings=CompanionSettings(
            steps=settings.steps,
            batch=settings.posts,
            push_lr=settings.rate,
            warmup=4,
            linear=settings.steps + 4,
            dose=settings.dose,
            seed=settings.seed,
            save_every=settings.save_every,
        ),
        low_rank=False,
        search=True,
        checkpoint=checkpoint,
        progress=fitting,
    )
    if untaught := [label for label, direction in directions.items() if not direction.any()]:
        raise DataError(
            f"no reply in {', '.join(untaught)} was among those of {settings.steps} steps; use more"
        )
    card = VectorsCard(
        model=lm.name,
        fingerprint=fingerprint(lm.model),
        chat_template=chat_template_hash(lm.tokenizer),
        system_prompt=system,
        positions="last",
        method="made",
        data=data_hash(lines),
        norms=tuple(round(float(n), 4) for n in norms),
        notes={"texts": f"everyday ({lang}), Apache-2.0", "nearest": nearest(directions, norms)},
    )
    return EmotionVectors(directions, card, listener)


def expected_seconds(
    lm: CausalLM, lang: Lang = "en", settings: MakeSettings | None = None
) -> float:
    """Tell how long making and calibrating vectors takes, from a first look at some texts.

    A few texts are read twice, the second time by the clock. What a token of the fit and an answer
    of the sweep cost beside one that is read (`_STEP`, `_ANSWER`) is a round figure, so that the
    time is one too; the bars tell better as soon as they move. A fit also makes logits, which cost
    as much more as the head is large beside the blocks.
    """
    settings = settings or MakeSettings()
    lines, system = contrast(lang, moods=settings.moods), FRIENDS[lang]

    def tokens(some: Sequence[everyday.Line]) -> int:
        """Count tokens, those of a post once for all of its replies."""
        return sum(
            len(prompt_ids(lm.tokenizer, line.dialogue, system))
            + sum(len(text_ids(lm.tokenizer, reply)) for reply in line.replies.values())
            for line in some
        )

    visited = _visited(lines, settings)
    pairs = [
        (prompt_ids(lm.tokenizer, line.dialogue, system), reply)
        for line in visited[:_PROBED]
        for reply in line.replies.values()
    ]
    last = len(blocks(lm.model)) - 1
    block_means(lm.model, lm.tokenizer, pairs, last)
    began = time.perf_counter()
    block_means(lm.model, lm.tokenizer, pairs, last)
    token = (time.perf_counter() - began) / tokens(visited[:_PROBED])
    taught = lines[:: max(1, len(lines) // _TAUGHT)]
    sweep = SWEEPS[lang]
    answers = len(shipped_posts(lang)) * len(JUDGED) * (len(sweep.doses) + len(sweep.negative))
    of_blocks = sum(p.numel() for block in blocks(lm.model) for p in block.parameters())
    head = lm.model.get_output_embeddings()
    of_head = sum(p.numel() for p in head.parameters()) if head is not None else 0
    step = _STEP * (1 + of_head / of_blocks)
    return token * (LISTEN_AT * tokens(taught) + step * tokens(visited) + _ANSWER * answers)


def data_hash(lines: Sequence[everyday.Line]) -> str:
    """Hash lines that something learned from, for its card."""
    return digest([[line.post, dict(line.replies)] for line in lines])


def contrast(lang: Lang, *, moods: bool = True) -> list[everyday.Line]:
    """Return the contrast set of a language: plain posts, and those of moods.

    None is of `train-b`, which the labelling judges are taught on.
    """
    return [
        line
        for line in everyday.lines(lang, splits=["train-a", "train-c"])
        if (moods if line.kind == "moods" else line.register == "plain" or line.kind == "history")
    ]


def _visited(lines: Sequence[everyday.Line], settings: MakeSettings) -> list[everyday.Line]:
    """Draw as many lines as a fit reads, each once: a third of moods, of which there are few."""
    rng = random.Random(settings.seed)
    moods = [line for line in lines if line.kind == "moods"]
    others = [line for line in lines if line.kind != "moods"]
    count = settings.steps * settings.posts
    drawn = rng.sample(moods, min(len(moods), count // 3))
    return drawn + rng.sample(others, min(len(others), count - len(drawn)))


def listener_of(
    lm: CausalLM,
    lines: Sequence[everyday.Line],
    system: str,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Listener, Tensor]:
    """Teach a listener on some of the lines, evenly drawn.

    Returns:
        The listener, and the median length of the model's activations, [L].
    """
    texts = [
        (prompt_ids(lm.tokenizer, line.dialogue, system), reply, label)
        for line in lines[:: max(1, len(lines) // _TAUGHT)]
        for label, reply in line.replies.items()
    ]
    pairs = [(prompt, reply) for prompt, reply, _ in texts]
    norms = response_means(lm.model, lm.tokenizer, pairs[:: max(1, len(pairs) // _MEASURED)]).norms
    block = round(LISTEN_AT * len(norms))
    means = block_means(lm.model, lm.tokenizer, pairs, block, progress=progress)
    return train_listener(means, [label for *_, label in texts], block=block), norms


def nearest(directions: Mapping[str, Tensor], norms: Tensor) -> dict[str, str]:
    """Say for each direction which other is nearest, and their cosine.

    Blocks are weighed by the length of their activations. Two emotions above .9 are one.
    """
    flat = {k: (v / norms[:, None].to(v)).flatten() for k, v in directions.items()}
    table: dict[str, str] = {}
    for label, own in flat.items():
        cosines = {
            other: float(torch.cosine_similarity(own, v, dim=0))
            for other, v in flat.items()
            if other != label
        }
        if cosines:
            other = max(cosines, key=cosines.__getitem__)
            table[label] = f"{other} {cosines[other]:.2f}"
    return table


def with_moods(vectors: EmotionVectors) -> EmotionVectors:
    """Give labels without a curve a straight one, up to the others' median dose at 100.

    No judge hears the further moods, so their doses are not measured; the card says so.
    """
    top = median(curve.dose(100.0) for curve in vectors.card.curves.values())
    farthest = max((curve.dose(-100.0) for curve in vectors.card.curves.values()), default=-0.25)
    straight = Curve(((-100.0, min(farthest, -0.01)), (0.0, 0.0), (100.0, top)))
    unheard = set(vectors.labels) - set(JUDGED)
    given = dict.fromkeys((k for k in vectors.labels if k in unheard), straight)
    measured = dict(vectors.card.measured)
    if given:
        measured["not heard"] = sorted(given)
    card = replace(vectors.card, curves={**given, **vectors.card.curves}, measured=measured)
    return replace(vectors, card=card)


# -- a mood of one's own --------------------------------------------------------------------------


def define(
    lm: CausalLM,
    vectors: EmotionVectors,
    name: str,
    texts: Sequence[str],
    lang: Lang = "en",
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[EmotionVectors, Ears]:
    """Make the vector of a mood from texts in it.

    Args:
        lm: The model of the vectors.
        vectors: Whose site, positions and prompt the mood takes.
        name: What the mood is called.
        texts: Replies in the mood, on many subjects.
        lang: Their language.
        progress: Called with (steps done, steps in all).

    Returns:
        The mood alone, uncalibrated, and the judge that may calibrate it: the model's own readout,
        taught on the mood's texts and neutral ones. It says how far a push goes, not whether people
        would hear the mood.

    Raises:
        DataError: If there are too few texts.
        UsageError: If the name is taken or cannot be written in a mix.
    """
    if len(set(texts)) < FEWEST_TEXTS:
        raise DataError(
            f"{number_of(len(set(texts)), 'text')} came; give {FEWEST_TEXTS} or more, on many"
            " subjects"
        )
    if name in vectors.labels or name in EVERYDAY.labels or name in EVERYDAY.aliases:
        raise UsageError(f"{name!r} is an emotion already; choose another name")
    if not name.replace("-", "").replace("_", "").isalpha() or folded(name) != name:
        raise UsageError(f"{name!r} cannot be a mood; use small letters, '-' and '_'")
    vectors.check_model(lm.model)
    system = vectors.card.system_prompt
    lines = [line for line in contrast(lang, moods=False) if _NEUTRAL in line.replies]
    posts = Posts([line for line in lines if line.kind != "history"])
    directions = learn(
        lm.model,
        lm.tokenizer,
        [
            Exchange(dialogue, {name: text})
            for text in texts
            for dialogue in [n.line.dialogue for n in posts.near(text, [], _ANSWERED)] or [NOTHING]
        ],
        [name],
        torch.tensor(vectors.card.norms),
        system=system,
        settings=_DEFINED,
        site=vectors.card.site,
        low_rank=False,
        search=True,
        progress=progress,
    )
    head = prompt_ids(lm.tokenizer, NOTHING, system)
    # As many neutral ones, so that none is likelier.
    neutral = [line.replies[_NEUTRAL] for line in lines][: len(texts)]
    block = round(LISTEN_AT * len(vectors.card.norms))
    states = block_means(lm.model, lm.tokenizer, [(head, t) for t in (*texts, *neutral)], block)
    known = [name] * len(texts) + [_NEUTRAL] * len(neutral)
    listener = train_listener(states, known, block=block)
    card = replace(
        vectors.card,
        method="defined",
        data=digest(list(texts)),
        curves={},
        measured={},
        notes={"texts": f"{len(texts)} texts of the user"},
    )
    return EmotionVectors(directions, card), Ears(lm, listener, system, f"listener of {name}")
