"""Judges, encoders and models for metrics; opened only where a metric needs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emotone.errors import EmotoneError, Unsupported
from emotone.evaluation.remember import (
    remember_embed,
    remember_emotion,
    remember_empathy,
    remember_sense,
)
from emotone.metrics import Instruments, RunFacts, build, spec
from emotone.metrics.instruments import Need, lacking
from emotone.protocols import Spread

#: What to say where a need of a metric is not met, and opening it did not say why.
_ABSENT: Mapping[Need, str] = {
    "emotion": "there is no judge of emotion",
    "sense": "there is no judge of sense",
    "empathy": "there is no judge of empathy",
    "embed": "there is no sentence encoder",
    "embed_tokens": "there is no encoder of tokens",
    "plain": "there are no replies without an emotion beside those with one",
    "perplexity": "no model for the fluency of replies was named (--fluency-model)",
}
#: Encoder of English sentences for similarity.
_ENCODER = "minilm"
#: Word vectors of the zoo, of which those of Chinese sentences are made.
_WORDS = "zh-words"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which judges and models to open.

    Args:
        metrics: Names of the metrics that are to be measured.
        lang: Language of the replies, "en" or "zh".
        strict: Whether an instrument that is missing is an error; else its metrics are left out.
        judge: Judge of emotion; None takes the language's own.
        empathy_judge: Judge of empathy; None takes "empathy-score".
        sense_judge: Judge of sense; None takes the language's own.
        fluency_model: Language model for the perplexity of replies; None measures none.
        device: Where that model runs.
        cache: Folder of remembered labels; None remembers for this run only.
        spread: How batches of texts are judged.
    """

    metrics: tuple[str, ...]
    lang: str = "en"
    strict: bool = False
    judge: str | None = None
    empathy_judge: str | None = None
    sense_judge: str | None = None
    fluency_model: str | None = None
    device: str = "auto"
    cache: Path | None = None
    spread: Spread = map


@dataclass(frozen=True, slots=True)
class Opened:
    """Instruments that could be opened.

    Args:
        instruments: For the metrics.
        judges: Name of each judge -> hashes of the data it was trained on.
        missing: What could not be opened -> why.
    """

    instruments: Instruments
    judges: dict[str, dict[str, str]]
    missing: dict[Need, str] = field(default_factory=dict[Need, str])


def open_instruments(wanted: Wanted) -> Opened:
    """Open the judges and models that some metric needs.

    Raises:
        EmotoneError: If one that was asked for by name, or any with `strict`, cannot be opened.
        UnknownName: If there is no such metric.
    """
    from emotone.data.text import tokens

    needed = {need for name in wanted.metrics for need in spec(name).needs}
    missing: dict[Need, str] = {}

    def opened(need: Need, make: Callable[[Wanted], Any], *, named: bool = False) -> Any:
        if need not in needed:
            return None
        try:
            return make(wanted)
        except EmotoneError as error:
            if wanted.strict or named:
                raise
            missing[need] = str(error)
            return None

    emotion = opened("emotion", _emotion, named=wanted.judge is not None)
    empathy = opened("empathy", _empathy, named=wanted.empathy_judge is not None)
    sense = opened("sense", _sense, named=wanted.sense_judge is not None)
    embed = opened("embed", _embed)
    embed_tokens = opened("embed_tokens", _embed_tokens)
    fluency = None
    if wanted.fluency_model is not None:
        fluency = opened("perplexity", _fluency, named=True)
    judges: dict[str, dict[str, str]] = {}
    if emotion is not None:
        judges[emotion.name] = _data(emotion)
        emotion = remember_emotion(emotion, wanted.cache, wanted.spread)
    if empathy is not None:
        judges[empathy.name] = _data(empathy)
        empathy = remember_empathy(empathy, wanted.cache, wanted.spread)
    if sense is not None:
        judges[sense.name] = _data(sense)
        sense = remember_sense(sense, wanted.cache, wanted.spread)
    return Opened(
        Instruments(
            emotion=emotion,
            sense=sense,
            empathy=empathy,
            embed=None if embed is None else remember_embed(embed),
            embed_name=getattr(embed, "name", _ENCODER),
            embed_tokens=embed_tokens,
            tokens=tokens,
            tokens_name="words(en),rjieba(zh)",
            perplexity=None if fluency is None else fluency.counts,
            perplexity_name="unnamed" if fluency is None else fluency.name,
        ),
        judges,
        missing,
    )


def measurable(
    names: Sequence[str], opened: Opened, facts: RunFacts
) -> tuple[list[str], dict[str, list[str]]]:
    """Part metrics into those that can be measured of a run, and the others by reason."""
    can: list[str] = []
    left_out: dict[str, list[str]] = {}
    for name in names:
        lacks = lacking(spec(name).needs, opened.instruments, facts)
        if lacks:
            reason = opened.missing.get(lacks[0], _ABSENT[lacks[0]])
        else:
            try:
                build(name, opened.instruments, facts)
            except Unsupported as error:  # a library that is not here, or a judge of another kind
                reason = str(error)
            else:
                can.append(name)
                continue
        left_out.setdefault(reason, []).append(name)
    return can, left_out


def _emotion(wanted: Wanted) -> Any:
    from emotone.judges import open_judge

    return open_judge(wanted.judge or f"{wanted.lang}-score")


def _sense(wanted: Wanted) -> Any:
    from emotone.judges import open_sense, sense_judge_of

    judge = open_sense(wanted.sense_judge or sense_judge_of(wanted.lang))
    if judge.card.lang != wanted.lang:
        raise Unsupported(
            f"{judge.card.name} judges replies in {judge.card.lang!r}, and these are in"
            f" {wanted.lang!r}; name another with --sense-judge"
        )
    return judge


def _empathy(wanted: Wanted) -> Any:
    from emotone.judges import open_identifier

    return open_identifier(wanted.empathy_judge or "empathy-score")


def _embed(wanted: Wanted) -> Any:
    if wanted.lang == "zh":
        from emotone.data.text import segment
        from emotone.models.word_encoder import load_word_encoder

        return load_word_encoder(_WORDS, segment)
    from emotone.models.embed import sentence_embedder

    _check_encoder(wanted.lang)
    return sentence_embedder(_ENCODER)


def _embed_tokens(wanted: Wanted) -> Any:
    from emotone.models.embed import token_embedder

    _check_encoder(wanted.lang)
    return token_embedder(_ENCODER)


def _check_encoder(lang: str) -> None:
    if lang != "en":
        # Its vocabulary knows a few Chinese characters and none of their sense.
        raise Unsupported(f"the encoder {_ENCODER} reads English only, and the replies are {lang}")


def _fluency(wanted: Wanted) -> Any:
    from emotone.evaluation.perplexity import fluency_of

    return fluency_of(wanted.fluency_model or "", device=wanted.device)


def _data(judge: Any) -> dict[str, str]:
    return dict(getattr(getattr(judge, "card", None), "data", None) or {})
