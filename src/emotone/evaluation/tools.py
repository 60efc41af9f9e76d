"""What metrics are given: judges, encoders, segmenters; opened only where a metric needs them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotone.errors import DataError, EmotoneError, Unsupported
from emotone.evaluation.neutral import with_neutral
from emotone.evaluation.summaries import Pair

if TYPE_CHECKING:
    from emotone.metrics import Tools

#: Fields of `Tools` that a metric may need, and what to say where one is not at hand.
_TOOLS: Mapping[str, str] = {
    "emotion": "there is no judge of emotion",
    "empathy": "there is no judge of empathy",
    "embed": "there is no sentence encoder",
    "embed_tokens": "there is no encoder of tokens",
    "neutral": "there are no replies without an emotion beside those with one",
    "perplexity": "no model for the fluency of replies was named (--fluency-model)",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which judges and models to open.

    Args:
        metrics: Names of the metrics that are to be had.
        lang: Language of the replies, "en" or "zh".
        strict: Whether a tool that is missing is an error; else its metrics are left out.
        judge: Judge of emotion; None takes the language's own.
        empathy_judge: Judge of empathy; None takes "empathy-score".
        fluency_model: Language model for the perplexity of replies; None measures none.
        device: Where that model runs.
        cache: Folder of remembered labels; None remembers for this run only.
    """

    metrics: tuple[str, ...]
    lang: str = "en"
    strict: bool = False
    judge: str | None = None
    empathy_judge: str | None = None
    fluency_model: str | None = None
    device: str = "auto"
    cache: Path | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """Tools that are at hand.

    Args:
        tools: For the metrics.
        judges: Name of each judge -> hashes of the data it was trained on.
        missing: Tool -> why it is not at hand.
    """

    tools: Tools
    judges: dict[str, dict[str, str]]
    missing: dict[str, str] = field(default_factory=dict[str, str])


def open_tools(wanted: Wanted) -> Opened:
    """Open the judges and models that some metric needs.

    Raises:
        EmotoneError: If one that was asked for by name, or any with `strict`, cannot be opened.
    """
    from emotone.data.text import tokens
    from emotone.evaluation.remember import remember_embed, remember_emotion, remember_empathy
    from emotone.metrics import Tools

    needed: set[str] = set()
    for name in wanted.metrics:
        try:
            needed |= needs(name)
        except Unsupported:
            if wanted.strict:
                raise
    made: dict[str, Any] = {"tokens": tokens, "tokens_name": "words(en),rjieba(zh)"}
    judges: dict[str, dict[str, str]] = {}
    missing: dict[str, str] = {}

    def have(tool: str, make: Callable[[Wanted], Any], *, named: bool) -> Any:
        if tool not in needed:
            return None
        try:
            return make(wanted)
        except EmotoneError as error:
            if wanted.strict or named:
                raise
            missing[tool] = str(error)
            return None

    emotion = have("emotion", _emotion, named=wanted.judge is not None)
    if emotion is not None:
        made["emotion"] = remember_emotion(emotion, wanted.cache)
        judges[emotion.name] = _data(emotion)
    empathy = have("empathy", _empathy, named=wanted.empathy_judge is not None)
    if empathy is not None:
        made["empathy"] = remember_empathy(empathy, wanted.cache)
        judges[made["empathy"].name] = _data(empathy)
    embed = have("embed", _embed, named=False)
    if embed is not None:
        encoder = getattr(embed, "name", _ENCODER)
        made |= {"embed": remember_embed(embed), "embed_name": encoder}
    tokens_of = have("embed_tokens", _embed_tokens, named=False)
    if tokens_of is not None:
        made |= {"embed_tokens": tokens_of, "embed_name": _ENCODER}
    if wanted.fluency_model is not None:
        fluency = have("perplexity", _fluency, named=True)
        if fluency is not None:
            made |= {"perplexity": fluency.counts, "perplexity_name": fluency.name}
    return Opened(Tools(**made), judges, missing)


def usable(
    names: Sequence[str], opened: Opened, pairs: Sequence[Pair]
) -> tuple[list[str], dict[str, list[str]]]:
    """Part metrics into those that can be had for these replies, and the others by reason."""
    from emotone import metrics

    tools = with_neutral(opened.tools, pairs)
    kept: list[str] = []
    left_out: dict[str, list[str]] = {}
    for name in names:
        try:
            lacks = [tool for tool in sorted(needs(name)) if getattr(tools, tool) is None]
            if not lacks:
                metrics.build(name, tools)
                kept.append(name)
                continue
            reason = opened.missing.get(lacks[0], _TOOLS[lacks[0]])
        except Unsupported as error:  # a library that is not here, or a judge of another kind
            reason = str(error)
        left_out.setdefault(reason, []).append(name)
    return kept, left_out


def needs(name: str) -> frozenset[str]:
    """Find which tools a metric cannot do without, by leaving out one at a time.

    Raises:
        Unsupported: If it cannot be had with every tool, as where a library is missing.
        UnknownName: If there is no such metric.
    """
    from emotone import metrics

    every = _everything()
    metrics.build(name, every)
    lacks: set[str] = set()
    for tool in _TOOLS:
        try:
            metrics.build(name, dataclasses.replace(every, **{tool: None}))
        except Unsupported:
            lacks.add(tool)
    return frozenset(lacks)


def _everything() -> Tools:
    """Tools that are all there and never used: what a metric says when it is built."""
    from emotone.emotions import EKMAN
    from emotone.metrics import Tools

    def unused(*_: Any) -> Any:
        raise DataError("this tool stands for another one and measures nothing")

    @dataclasses.dataclass(frozen=True)
    class Judge:
        name: str = "any"
        taxonomy: Any = EKMAN
        classify: Any = unused
        identify: Any = unused

    judge: Any = Judge()
    return Tools(
        emotion=judge,
        empathy=judge,
        embed=unused,
        embed_tokens=unused,
        neutral={},
        perplexity=unused,
    )


#: Encoder of English sentences for similarity.
_ENCODER = "minilm"
#: Word vectors of the zoo, of which those of Chinese sentences are made.
_WORDS = "zh-words"


def _emotion(wanted: Wanted) -> Any:
    from emotone.judges import open_judge

    return open_judge(wanted.judge or f"{wanted.lang}-score")


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
