"""Moods over time: what a request asks for, turn by turn and within one reply.

A request is a text ("joy:60 + fear:20"), a mapping ({"joy": 60}), or a way from one mood to another
("joy:0 -> joy:80", or "joy:0 -> joy:80 @ 24" to be there at the 24th token). With a half-life, the
moods that earlier messages asked for still count:

    intensity_e = sum_k intensity_e,k 2^(-age_k / half_life)          ages in turns of the user

so that a conversation's mood is a function of its messages, and the server keeps nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from emotone.door import Note, asked_of, mix_of
from emotone.emotions import FULL, EmotionMix, MixText, Taxonomy
from emotone.errors import MixError
from emotone.judges.hearing import Hearing
from emotone.lm.batching import Row

ARROW = "->"
#: Parts a station from its place in tokens.
PLACE = "@"
#: Below this an intensity is nothing.
_LEAST = 0.5
#: Most stations of a way.
_FRAMES = 8
_COUNT = re.compile("[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class Feeling:
    """What a request asks for, its names not yet looked up.

    Args:
        frames: Stations of a reply, most often one; None stands for no emotion.
        places: Number of tokens at which each station is reached, None where none is named; () for
            none at all.
        earlier: What earlier messages asked for, and its weight.
    """

    frames: tuple[MixText | None, ...] = (None,)
    places: tuple[int | None, ...] = ()
    earlier: tuple[tuple[MixText, float], ...] = ()

    @property
    def hears(self) -> bool:
        """Whether the post must be heard."""
        return any(frame is not None and frame.auto is not None for frame in self.frames)

    def within(
        self, taxonomy: Taxonomy | None, note: Note | None, hearing: Hearing | None = None
    ) -> list[EmotionMix | None]:
        """Look the names up in a system's labels; one mix a frame.

        Args:
            taxonomy: The labels.
            note: Called with each alias.
            hearing: Hears the post for `auto`, which leaves nothing to later turns.

        Raises:
            UnknownName: If one is not there.
            MixError: If two names of a mix mean one emotion.
        """
        faded: Counter[str] = Counter()
        for text, weight in self.earlier:
            mix = None if text.auto else mix_of(text, taxonomy, note)
            for label, value in mix.intensities().items() if mix else ():
                faded[label] += value * weight  # pyright: ignore[reportArgumentType]
        mixes = [
            hearing.mix(asked_of(frame, taxonomy, note))
            if hearing
            else mix_of(frame, taxonomy, note)
            for frame in self.frames
        ]
        if not faded:
            return mixes
        return [_together(mix, faded, taxonomy) for mix in mixes]


def _together(
    mix: EmotionMix | None, faded: Mapping[str, float], taxonomy: Taxonomy | None
) -> EmotionMix | None:
    total = Counter(mix.intensities() if mix else {})
    for label, value in faded.items():
        total[label] += value  # pyright: ignore[reportArgumentType]
    parts = {k: max(-FULL, min(FULL, v)) for k, v in total.items() if abs(v) >= _LEAST}
    return mix_of(parts, taxonomy) if parts else None


def read(value: Any) -> Feeling:
    """Read the field `emotion`.

    Raises:
        MixError: If it is no mix, nor a way between mixes.
    """
    if value is None or value == "" or value == {}:
        return Feeling()
    if isinstance(value, Mapping):
        return Feeling((_text_of(value),))
    if not isinstance(value, str):
        raise MixError(
            f"the emotion is {value!r:.100}; give a text like 'joy:60 + fear:20', or a mapping like"
            ' {"joy": 60}'
        )
    stations = value.replace("→", ARROW).split(ARROW)
    if len(stations) > _FRAMES:
        raise MixError(f"the way has {len(stations)} stations; use {_FRAMES} or fewer")
    texts, signs, numbers = zip(*(station.partition(PLACE) for station in stations), strict=True)
    frames = tuple(None if t.strip() == "none" else MixText.read(t) for t in texts)
    return Feeling(frames, _places_of(signs, numbers) if any(signs) else ())


def _places_of(signs: Sequence[str], numbers: Sequence[str]) -> tuple[int | None, ...]:
    for sign, number in zip(signs, numbers, strict=True):
        if sign and not _COUNT.fullmatch(number.strip()):
            raise MixError(
                f"the place {number.strip()[:40]!r} of a station is no number of tokens; write it"
                " like 'joy:0 -> joy:80 @ 24'"
            )
    places = tuple(int(n) if sign else None for sign, n in zip(signs, numbers, strict=True))
    named = [place for place in places if place is not None]
    if len(places) < 2:
        raise MixError("a place in tokens was given without a way; write 'joy:0 -> joy:80 @ 24'")
    if any(b <= a for a, b in pairwise(named)) or (places[0] is None and 0 in named):
        raise MixError(
            f"the stations stand at {', '.join(map(str, named))} tokens; let the places rise,"
            " from a first station at 0"
        )
    return places


def spread(places: Sequence[int | None], count: int, end: float) -> list[float]:
    """Return the number of tokens at which each station of a way is reached.

    Args:
        places: Those that are named; () for none.
        count: Number of stations.
        end: Where the last one is reached if it has no place, or later where others stand there.
    """
    asked: list[float | None] = list(places) or [None] * count
    if asked[0] is None:
        asked[0] = 0.0
    if asked[-1] is None:
        asked[-1] = max(end, *(p + 1.0 for p in asked if p is not None))
    known = [i for i, place in enumerate(asked) if place is not None]
    return np.interp(range(count), known, [asked[i] for i in known]).tolist()  # pyright: ignore


def _text_of(value: Mapping[Any, Any]) -> MixText:
    for name, number in value.items():
        numeric = isinstance(number, int | float) and not isinstance(number, bool)
        if not (isinstance(name, str) and numeric and math.isfinite(number)):
            raise MixError(
                f"the emotion {str(name)[:40]!r} has the intensity {number!r:.40}; give names and"
                ' numbers, such as {"joy": 60}'
            )
    return MixText(tuple((name, float(number)) for name, number in value.items()))


def remembered(asked: Sequence[Feeling], half_life: float) -> Feeling:
    """Add to the last of some turns' moods what is left of the earlier ones.

    Args:
        asked: What each message of the user asked for, in order.
        half_life: Turns after which half is left.

    Raises:
        MixError: If it is not above 0.
    """
    if not half_life > 0:
        raise MixError(f"the half-life is {half_life}; give turns, a number above 0")
    *before, last = asked
    earlier = [
        (text, 0.5 ** ((len(before) - i) / half_life))
        for i, feeling in enumerate(before)
        if (text := feeling.frames[-1]) is not None
    ]
    return replace(last, earlier=tuple(earlier))


def between(
    frames: Sequence[Mapping[str, float]], places: Sequence[float], at: float
) -> dict[str, float]:
    """Return the doses at a place of the reply, in a line between those of its stations.

    Args:
        frames: Label -> dose.
        places: Number of tokens at which each is reached, rising.
        at: Number of tokens.
    """
    if len(frames) == 1:
        return dict(frames[0])
    labels = dict.fromkeys(label for frame in frames for label in frame)
    rows = {k: [frame.get(k, 0.0) for frame in frames] for k in labels}
    return {k: float(np.interp(at, places, row)) for k, row in rows.items()}


class Guard:
    """Watches a reply for loops and lowers its dose when one begins.

    A push that is too strong for a text shows as repetition, and as a next token that is certain
    again and again, which in sampled prose it is not.
    """

    #: Tokens over which certainty is averaged, and of rest after the dose was lowered.
    SPAN = 12
    #: Mean entropy of prose written at full dose is above 1 nat; of a loop it is near 0.
    CERTAIN = 0.05
    #: A sequence of so many tokens that comes for the third time is a loop.
    LOOP = 3

    def __init__(self) -> None:
        self.scale = 1.0
        self.times = 0
        self._entropies: list[float] = []
        self._rest = 0

    def look(self, row: Row) -> bool:
        """Take a row's last token; tell whether the dose was lowered for what follows."""
        self._entropies = [*self._entropies[-self.SPAN + 1 :], row.entropy]
        if self._rest > 0:
            self._rest -= 1
            return False
        if not (self._certain() or _loops(row.draft.ids, self.LOOP)):
            return False
        self.scale, self.times, self._rest = self.scale / 2, self.times + 1, self.SPAN
        return True

    def _certain(self) -> bool:
        full = len(self._entropies) == self.SPAN
        return full and sum(self._entropies) / self.SPAN < self.CERTAIN


def _loops(ids: list[int], size: int) -> bool:
    last = ids[-size:]
    return len(ids) >= 3 * size and sum(
        ids[i : i + size] == last for i in range(len(ids) - size + 1)
    ) >= 3  # fmt: skip
