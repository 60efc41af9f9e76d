"""The plan of a study: every rater's items in order, and what that costs and gives."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

from emotone.human.assign import assign, in_order
from emotone.human.design import Criterion, Design
from emotone.human.draw import Unit, checks

#: Items between two checks of attention, about.
CHECK_EVERY = 25
#: Seconds for consent, instructions and one practice item.
BEFORE, PRACTICE = 60, 20
#: Shares of the variance of one rating: between replies, between raters, and what is left. Assumed,
#: for a forecast; a first report of your own says better.
REPLIES, RATERS, REST = 0.4, 0.05, 0.55


@dataclass(frozen=True, slots=True)
class Plan:
    """Who rates what.

    Args:
        units: All items, checks at the end.
        orders: Rater -> (place in `units`, whether a pair's second reply stands first), in order.
    """

    units: tuple[Unit, ...]
    orders: Mapping[str, tuple[tuple[int, bool], ...]]


def plan(
    design: Design, shown: Sequence[Unit], raters: Sequence[str], each: int, *, lang: str, seed: int
) -> Plan:
    """Assign the units to raters and put checks among them; in pairs each side comes as often.

    Args:
        design: Has the words of the checks.
        shown: The units, in strata.
        raters: Names.
        each: Ratings of a unit.
        lang: Language of the checks.
        seed: Of every draw.

    Raises:
        UsageError: If there are fewer raters than ratings of a unit.
    """
    given = assign([unit.post for unit in shown], list(raters), each, seed=seed)
    most = max(map(len, given.values()), default=0)
    lines = checks(design, shown, math.ceil(most / CHECK_EVERY), lang=lang, seed=seed)
    extra = range(len(shown), len(shown) + len(lines))
    coin = random.Random(f"{seed}:sides")
    side = [coin.random() < 0.5 for _ in shown]
    posts = dict(enumerate(unit.post for unit in shown))
    times: Counter[int] = Counter()
    orders: dict[str, tuple[tuple[int, bool], ...]] = {}
    for rater, own in given.items():
        flipped = {
            unit: bool(shown[unit].other_reply) and side[unit] ^ (times[unit] % 2 == 1)
            for unit in own
        }
        times.update(own)
        order = in_order(own, posts, extra, seed=f"{seed}:{rater}")
        orders[rater] = tuple((unit, flipped.get(unit, False)) for unit in order)
    return Plan((*shown, *lines), orders)


def cost(design: Design, made: Plan, *, seconds: float, width: float | None) -> dict[str, Any]:
    """Say what a plan costs and how exact its figures will be.

    Half the width of an interval of 95 % is t times the square root of
    sd² (`REPLIES` / items + `RATERS` / raters + `REST` / ratings), items and ratings of one system,
    where sd is that of a criterion whose values come equally often: 0.5 for 0 and 1, 0.82 for 0 to
    2, 1.41 for 1 to 5, and t is Student's at one degree of freedom less than raters. This is a
    forecast by assumption; the intervals of a report assume none of the shares.

    Args:
        design: Has criteria and practice.
        made: The plan.
        seconds: An item takes so long.
        width: Half the width that is wanted; None asks nothing.

    Returns:
        `items`, `ratings`, `raters`, `items_a_rater`, `minutes_a_rater`, `hours`, and for each
        criterion the `half_width` that the plan gives and, where a width is wanted, the raters
        needed (None where no number of raters is enough) and the items needed of each system.
    """
    loads = [len(order) for order in made.orders.values()]
    longest = minutes(design, max(loads, default=0), seconds)
    shown = [u for u in made.units if u.role == "reply"]
    of_system = min(Counter((u.system, u.other_system) for u in shown).values(), default=0)
    rated = [made.units[unit] for order in made.orders.values() for unit, _ in order]
    each = sum(u.role == "reply" for u in rated) / max(1, len(shown))
    forecast: dict[str, Any] = {}
    for criterion in design.criteria:
        row: dict[str, Any] = {"half_width": half_width(criterion, of_system, len(loads), each)}
        if width is not None:
            row["raters_needed"] = raters_needed(criterion, of_system, each, width)
            row["items_needed"] = items_needed(criterion, len(loads), each, width)
        forecast[criterion.name] = row
    return {
        "items": len(made.units),
        "ratings": sum(loads),
        "raters": len(loads),
        "items_a_rater": max(loads, default=0),
        "minutes_a_rater": math.ceil(longest),
        "hours": round(longest * len(loads) / 60, 1),
        "criteria": forecast,
    }


def minutes(design: Design, items: int, seconds: float) -> float:
    """How long a rater with so many items takes, with all that comes before."""
    return (BEFORE + PRACTICE * len(design.practice) + seconds * items) / 60


def spread(criterion: Criterion) -> float:
    """Standard deviation of a criterion whose values come equally often."""
    return float(np.std(criterion.values))


def half_width(criterion: Criterion, items: int, raters: int, each: float) -> float:
    """Half the width of the interval of one system's mean; see `cost`.

    Args:
        criterion: Says the spread.
        items: Items of the system.
        raters: Raters in all, two or more.
        each: Ratings of an item.
    """
    if items < 2 or raters < 2 or not each:
        return math.inf
    variance = REPLIES / items + RATERS / raters + REST / (items * each)
    return _quantile(raters) * spread(criterion) * math.sqrt(variance)


def raters_needed(criterion: Criterion, items: int, each: float, width: float) -> int | None:
    """Fewest raters for half a width, with so many items; None where a thousand are too few."""
    several = range(max(2, math.ceil(each)), 1001)
    return next((n for n in several if half_width(criterion, items, n, each) <= width), None)


def items_needed(criterion: Criterion, raters: int, each: float, width: float) -> int | None:
    """Fewest items of a system for half a width; None where the raters are too few."""
    if raters < 2 or not each:
        return None
    left = (width / _quantile(raters) / spread(criterion)) ** 2 - RATERS / raters
    return math.ceil((REPLIES + REST / each) / left) if left > 0 else None


def _quantile(raters: int) -> float:
    return float(student.ppf(0.975, raters - 1))
