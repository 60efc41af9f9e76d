"""How metrics are called, in which order they stand, and what is better."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from emotone.types import MECHANISMS


@dataclass(frozen=True, slots=True)
class Known:
    """What a report says about a metric.

    Args:
        title: Name for people.
        group: Heading that it stands under.
        better: Which way is better; "" where neither is.
        digits: Digits after the point.
        share: Whether it lies in [0, 1], so that a bar has a natural end.
    """

    title: str
    group: str
    better: Literal["up", "down", ""] = "up"
    digits: int = 3
    share: bool = True


_E, _M, _F, _D, _O, _L = "Emotion", "Empathy", "Fluency", "Diversity", "Overlap", "Form"

KNOWN: dict[str, Known] = {
    "emotion_accuracy": Known("Emotion accuracy", _E),
    "emotion_macro_f1": Known("Emotion macro-F1", _E),
    "asked_share": Known("Asked emotion, share of replies", _E),
    "asked_probability": Known("Asked emotion, mean probability", _E),
    "emotional_share": Known("Emotional replies", _E, ""),
    "emp_f1": Known("Empathy F1, weighted", _M),
    "emp_macro_f1": Known("Empathy macro-F1", _M),
    "emp_accuracy": Known("Empathy accuracy", _M),
    "perplexity": Known("Perplexity of references", _F, "down", 2, False),
    "ecm_perplexity": Known("Perplexity of references, mean over sentences", _F, "down", 2, False),
    "bits_per_character": Known("Bits per character of references", _F, "down", 3, False),
    "reply_perplexity": Known("Perplexity of replies", _F, "down", 2, False),
    "reply_ecm_perplexity": Known(
        "Perplexity of replies, mean over sentences", _F, "down", 2, False
    ),
    "reply_bits_per_character": Known("Bits per character of replies", _F, "down", 3, False),
    "repeated_4": Known("Repeated 4-grams", _F, "down", 3, False),
    "language_drift": Known("Replies in another language", _F, "down", 3, False),
    "distinct_1": Known("Distinct-1", _D, "up", 4),
    "distinct_2": Known("Distinct-2", _D, "up", 4),
    "distinct_1_char": Known("Distinct-1, characters", _D, "up", 4),
    "distinct_2_char": Known("Distinct-2, characters", _D, "up", 4),
    "reply_distinct_1": Known("Distinct-1 within a reply", _D),
    "reply_distinct_2": Known("Distinct-2 within a reply", _D),
    "self_bleu": Known("Self-BLEU", _D, "down", 2, False),
    "commonest_share": Known("Share of the commonest reply", _D, "down", 4, False),
    "bleu": Known("BLEU", _O, "up", 2, False),
    "chrf": Known("chrF", _O, "up", 2, False),
    "rouge_l": Known("ROUGE-L", _O),
    "greedy_match": Known("Greedy token match", _O),
    "similarity_reference": Known("Similarity to the reference", _O),
    "topic_reference": Known("Similarity to the reference, less to others", _O),
    "topic_post": Known("Similarity to the post, less to others", _O, ""),
    "similarity_post": Known("Similarity to the post", _O, ""),
    "similarity_neutral": Known("Similarity to the plain reply", _O),
    "length_words": Known("Length, words", _L, "", 1, False),
    "length_characters": Known("Length, characters", _L, "", 1, False),
}

_LAST_WORDS = (*MECHANISMS, "floor")


def known(name: str) -> Known:
    """Return what is known of a metric; one from outside stands under "Other" by its own name."""
    if name in KNOWN:
        return KNOWN[name]
    stem, _, last = name.rpartition("_")
    if stem in KNOWN and last in _LAST_WORDS:
        tail = "of the commonest level" if last == "floor" else last
        return Known(f"{KNOWN[stem].title}, {tail}", _M, "" if last == "floor" else "up")
    return Known(name.replace("_", " "), "Other", "", 3, False)


def in_order(names: Iterable[str]) -> list[str]:
    """Sort metrics as `KNOWN` has them, others after them by name."""
    rank = {name: i for i, name in enumerate(KNOWN)}

    def place(name: str) -> tuple[int, str]:
        stem = name.rpartition("_")[0]
        return (rank.get(name, rank.get(stem, len(rank))), name)

    return sorted(set(names), key=place)


def shown(value: float | None, digits: int) -> str:
    """Write a number with a fixed number of digits; "-" for one that is not defined."""
    if value is None or value != value:
        return "-"
    if abs(value) >= 1e16:  # three hundred digits would say no more
        return f"{value:.3g}"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text  # no minus before a mere 0
