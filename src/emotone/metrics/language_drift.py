"""Share of replies not in the requested language, by script and, for English, function words.

A reply is in Chinese if at least half of its letters are Han and none is kana or hangul. It is in
English if at least half of its letters are ASCII and, from six words on, at least one word in
twelve is among the commonest English function words. A reply without a letter does not count.
Short replies in another language of the Latin script pass; so does a mixture with enough English.
"""

from __future__ import annotations

import re

from emotone.metrics.base import Measure, mean_stats
from emotone.metrics.instruments import Instruments, RunFacts
from emotone.metrics.spec import FLUENCY, Spec
from emotone.protocols import Metric

_LISTED = (
    "the and to that it it's its you you're your this not but they what can i i'm i'd i'll i've my "
    "from with be been being one had if there their which about get got when how them our has "
    "would could should more him his some than only just know like don't didn't can't that's too "
    "very did does are have for is of we think really much good sounds feel must who why where "
    "she because out up down all any every thing things something make"
)
#: Words that few English sentences do without; those of many other languages of the script
#: ("me", "do", "was", "so", "a", "in", "as") are left out.
FUNCTION_WORDS = frozenset(_LISTED.split())
LONG = 6
SHARE = 1 / 12

_HAN = re.compile(r"[㐀-䶿一-鿿豈-﫿\U00020000-\U0003134f]")
_JAPANESE_KOREAN = re.compile(r"[぀-ヿㇰ-ㇿ가-힯ᄀ-ᇿ]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def drifts(text: str, lang: str) -> bool | None:
    """Tell whether a text is not in the language "en" or "zh"; None where it has no letter."""
    letters = sum(c.isalpha() for c in text)
    if not letters:
        return None
    if lang == "zh":
        return len(_HAN.findall(text)) * 2 < letters or bool(_JAPANESE_KOREAN.search(text))
    if sum(c.isalpha() and c.isascii() for c in text) * 2 < letters:
        return True
    words = [w.lower().replace("’", "'") for w in _WORD.findall(text)]
    known = sum(w in FUNCTION_WORDS for w in words)
    return len(words) >= LONG and known < len(words) * SHARE


def _drift(instruments: Instruments, facts: RunFacts) -> Metric:
    return Measure(
        "language_drift",
        "name:language_drift|rule:script+function_words|v:1",
        lambda pairs: mean_stats(
            [None if (d := drifts(r.text, e.lang)) is None else float(d) for e, r in pairs],
            share=True,
        ),
    )


METRICS = (
    Spec(
        name="language_drift",
        make=_drift,
        title="Replies in another language",
        group=FLUENCY,
        better="down",
        measures="replies not in the requested language, by script and English function words",
        range="0 to 1",
        misleads="short replies in another language of the Latin script pass",
    ),
)
