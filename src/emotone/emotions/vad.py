"""Valence, arousal and dominance: where emotions lie, and which mix of them lies at a point.

    p(mix) = sum_e i_e / 100 v_e                                                `coordinates`
    i = argmin over 1 to 3 emotions, 0 <= i_e <= 100, of |p(i) - p|_w + cost     `nearest`

Valence is how pleasant, arousal how awake, dominance how much in control; each from -100 to 100,
and no emotion lies at 0. That emotions lie on a circle of valence and arousal is Russell 1980; the
third axis, which alone parts anger from fear, is Mehrabian and Russell 1974. Published norms are of
words and belong to their authors. `TABLE` is our own, set by hand in steps of 5, by these rules:

1. Russell's order around the circle holds: surprise and fear at the top, then anger and disgust on
   the unpleasant side, sadness and boredom below, calm at the bottom of the pleasant side, and joy
   above it.
2. Whoever acts on others is high in dominance (pride, anger), whoever suffers them low (fear,
   embarrassment, loneliness); whoever owes something is a little low (gratitude).
3. Surprise is nearly without valence, boredom only mildly unpleasant, and hope and curiosity are
   milder than joy, as they are about what is not there yet.

A named axis counts 1 in the distance, one that is not named UNNAMED and is asked to be 0, so that
"arousal:70" is surprise, neither pleasant nor unpleasant. Few parts that agree are heard better
than many that pull apart. So a further part costs WORTH points, what cancels out among the parts
(the sum of their lengths less the length of the sum) WASTE a point, and none may point away. Each
of the ten further moods costs MOOD, as no judge hears them and their doses are not measured.

Source: Russell 1980, "A circumplex model of affect"; Mehrabian and Russell 1974, "An approach to
environmental psychology".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

from emotone.emotions.sets import EVERYDAY
from emotone.emotions.taxonomy import Taxonomy
from emotone.errors import MixError

Point = tuple[float, float, float]

AXES = ("valence", "arousal", "dominance")

TABLE: Mapping[str, Point] = {
    "anger": (-60, 75, 45),
    "disgust": (-65, 35, 20),
    "fear": (-70, 70, -60),
    "joy": (85, 50, 40),
    "sadness": (-70, -40, -45),
    "surprise": (15, 80, -15),
    "love": (90, 20, 10),
    "calm": (55, -75, 30),
    "pride": (75, 40, 70),
    "gratitude": (75, -5, -25),
    "amusement": (65, 60, 15),
    "curiosity": (35, 45, 15),
    "hope": (60, 15, -10),
    "embarrassment": (-50, 40, -65),
    "loneliness": (-60, -35, -65),
    "jealousy": (-55, 55, -10),
    "boredom": (-30, -80, -10),
}
"""Label of `EVERYDAY` -> (valence, arousal, dominance): seven emotions, then the ten moods. Neutral
lies at 0 and is part of no mix."""
_EMOTIONS = tuple(TABLE)[:7]

#: Weight of an axis that is not named.
UNNAMED = 0.01
#: Cost in points of a further part, of a point that cancels out, and of a mood.
WORTH, WASTE, MOOD = 8.0, 0.3, 4.0
MOST_PARTS = 3
#: A mix must cost less than this share of the point's distance from 0, or the point has none.
NEARER = 0.8
#: Rounds of coordinate descent at most.
_ROUNDS = 50


def coordinates(intensities: Mapping[str, float], taxonomy: Taxonomy = EVERYDAY) -> Point:
    """Return where a mix lies; a part that the table does not know counts as nothing.

    Args:
        intensities: Label -> intensity in [-100, 100].
        taxonomy: Whose labels they are.

    Returns:
        Valence, arousal and dominance, each cut to [-100, 100].
    """
    places = {own: TABLE[label] for label, own in spelled(taxonomy).items() if label in TABLE}
    parts = [(places[k], value / 100) for k, value in intensities.items() if k in places]
    sums = [sum(share * place[axis] for place, share in parts) for axis in range(len(AXES))]
    valence, arousal, dominance = (max(-100.0, min(100.0, one)) for one in sums)
    return valence, arousal, dominance


def nearest(point: Mapping[str, float], taxonomy: Taxonomy = EVERYDAY) -> dict[str, float]:
    """Return the mix that lies nearest to a point, in at most three parts.

    Args:
        point: Axis -> value in [-100, 100]; one or more of `AXES`.
        taxonomy: The emotions to mix.

    Returns:
        Label -> intensity, a whole number from 1 to 100.

    Raises:
        MixError: If an axis is unknown or a value outside, the label set has no emotion with a
            place, or no emotion lies near the point.
    """
    for axis, value in point.items():
        if axis not in AXES:
            raise MixError(f"{axis!r} is no axis; use {', '.join(AXES)}")
        if not -100.0 <= value <= 100.0:
            raise MixError(
                f"{axis} {value:g} is outside -100 to 100; write a number in that range, such as"
                f" '{axis}:60'"
            )
    own = spelled(taxonomy)
    known = {label: place for label, place in TABLE.items() if label in own}
    if not known:
        raise MixError(
            f"no emotion of {taxonomy.name} has a place in valence and arousal; name the emotions,"
            f" such as '{taxonomy.labels[0]}:60'"
        )
    goal = tuple(point.get(axis, 0.0) for axis in AXES)
    weights = tuple(1.0 if axis in point else UNNAMED for axis in AXES)
    shares = _mix(goal, weights, known)
    whole = {own[label]: float(round(100 * share)) for label, share in shares.items()}
    mix = {label: value for label, value in whole.items() if value}
    if not mix:
        raise MixError(
            f"no emotion of {taxonomy.name} lies near {as_text(point)}; go farther from 0, or leave"
            " the emotion out for a reply without one"
        )
    return mix


def as_text(point: Mapping[str, float]) -> str:
    """Write a point as `nearest` takes it: "valence:-40 arousal:70"."""
    return " ".join(f"{axis}:{value:g}" for axis, value in point.items())


def spelled(taxonomy: Taxonomy) -> dict[str, str]:
    """Return label of `EVERYDAY` -> the label of a set that means the same, where it has one."""
    aliases = EVERYDAY.aliases
    by_alias = {aliases[own]: own for own in taxonomy.labels if own in aliases}
    return by_alias | {own: own for own in taxonomy.labels if own in EVERYDAY.labels}


def _mix(
    goal: Sequence[float], weights: Sequence[float], known: Mapping[str, Point]
) -> dict[str, float]:
    """Return label -> share in [0, 1] of the mix of the least cost; {} where none is better."""

    def length(place: Sequence[float]) -> float:
        return math.sqrt(_along(place, place, weights))

    def cost(shares: Mapping[str, float]) -> float:
        parts = [[share * v for v in known[label]] for label, share in shares.items()]
        total = [sum(axis) for axis in zip(*parts, strict=True)]
        far = length([g - t for g, t in zip(goal, total, strict=True)])
        lost = sum(map(length, parts)) - length(total)
        moods = sum(label not in _EMOTIONS for label in shares)
        return far + WORTH * (len(parts) - 1) + WASTE * lost + MOOD * moods

    towards = [label for label, place in known.items() if _along(place, goal, weights) > 0]
    mixes = [
        _shares(goal, weights, {label: known[label] for label in chosen})
        for count in range(1, MOST_PARTS + 1)
        for chosen in combinations(towards, count)
    ]
    # Of equal costs, to a hundredth of a point, the mix that asks least.
    nothing: dict[str, float] = {}
    best = min(mixes, key=lambda one: (round(cost(one), 2), sum(one.values())), default=nothing)
    return best if best and cost(best) < NEARER * length(goal) else {}


def _shares(
    goal: Sequence[float], weights: Sequence[float], places: Mapping[str, Point]
) -> dict[str, float]:
    """Fit the shares of some emotions, each in [0, 1], by coordinate descent."""
    shares = dict.fromkeys(places, 0.0)
    rest = list(goal)
    for _ in range(_ROUNDS if len(places) > 1 else 1):
        moved = 0.0
        for label, place in places.items():
            best = shares[label] + _along(place, rest, weights) / _along(place, place, weights)
            step = max(0.0, min(1.0, best)) - shares[label]
            shares[label] += step
            rest = [r - step * v for r, v in zip(rest, place, strict=True)]
            moved = max(moved, abs(step))
        if moved < 1e-3:
            break
    return shares


def _along(one: Sequence[float], other: Sequence[float], weights: Sequence[float]) -> float:
    return sum(w * a * b for w, a, b in zip(weights, one, other, strict=True))
