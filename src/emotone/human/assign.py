"""Who rates which unit, and in which order.

Every unit goes to the same number of raters, every rater gets the same number of units up to one,
and of every stratum (system and emotion) about the same number. Of several raters who could have a
unit, those get it who saw its post least and rated least with each other: so everybody's scale is
tied to everybody's.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from emotone.errors import UsageError

T = TypeVar("T", bound=Hashable)


def assign(
    posts: Sequence[str], raters: Sequence[T], each: int, *, seed: int
) -> dict[T, list[int]]:
    """Give every unit to `each` different raters.

    A unit always goes to who has fewest so far, so two raters' numbers never differ by more than
    one, nor by more than two in any run of units, such as a stratum.

    Args:
        posts: Post of each unit, the units of a stratum side by side, [N].
        raters: The raters.
        each: Raters of a unit.
        seed: Of the draw.

    Returns:
        Rater -> places of the units in `posts`, in no order that raters should see.

    Raises:
        UsageError: If there are fewer raters than a unit needs, or one is named twice.
    """
    if len(set(raters)) < len(raters):
        twice = next(rater for rater in raters if raters.count(rater) > 1)
        raise UsageError(f"rater {twice!r} is named twice; give each a name of their own")
    if not 1 <= each <= len(raters):
        raise UsageError(
            f"{each} ratings an item came for {len(raters)} raters; each item needs so many"
            " different ones, so give more by --raters or ask for fewer by --ratings-per-item"
        )
    draw = random.Random(f"{seed}:assign")
    given: dict[T, list[int]] = {rater: [] for rater in raters}
    seen: Counter[tuple[T, str]] = Counter()
    together: Counter[tuple[T, T]] = Counter()
    for unit, post in enumerate(posts):
        chosen: list[T] = []
        for _ in range(each):
            ranks = {
                r: (
                    len(given[r]),
                    seen[r, post],
                    sum(together[r, c] for c in chosen),
                    draw.random(),
                )
                for r in raters
                if r not in chosen
            }
            rater = min(ranks, key=ranks.__getitem__)
            together.update(pair for c in chosen for pair in ((rater, c), (c, rater)))
            chosen.append(rater)
        for rater in chosen:
            given[rater].append(unit)
            seen[rater, post] += 1
    return given


def in_order(
    own: Sequence[int], posts: Mapping[int, str], checks: Sequence[int], *, seed: str
) -> list[int]:
    """Put a rater's units in an order of their own, with checks spread among them.

    No post stands twice in a row where that can be avoided. Each check stands somewhere in its own
    stretch of the order, all stretches equally long, never first.

    Args:
        own: The rater's units.
        posts: Unit -> post.
        checks: Units that check attention, in any order.
        seed: The rater's own.
    """
    draw = random.Random(seed)
    rest = draw.sample(list(own), len(own))
    order: list[int] = []
    while rest:
        last = posts[order[-1]] if order else None
        turn = next((i for i, unit in enumerate(rest) if posts[unit] != last), 0)
        order.append(rest.pop(turn))
    stretch = len(order) / max(1, len(checks))
    places = [int(n * stretch + draw.uniform(0.2, 1) * stretch) for n in range(len(checks))]
    turns = zip(places, draw.sample(list(checks), len(checks)), strict=True)
    for place, check in sorted(turns, reverse=True):  # from the end, so that places stay
        order.insert(max(1, place), check)
    return order
