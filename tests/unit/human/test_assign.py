"""Who rates what: every item as often, every rater as much, and in an order of their own."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotone.errors import UsageError
from emotone.human.assign import assign, in_order
from emotone.human.design import design_text, read_design
from emotone.human.draw import Unit
from emotone.human.plan import CHECK_EVERY, cost, half_width, items_needed, plan, raters_needed

SEEDS = st.integers(0, 10**6)


@given(
    strata=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    raters=st.integers(1, 9),
    each=st.integers(1, 9),
    seed=SEEDS,
)
def test_every_item_gets_its_raters_and_every_rater_a_fair_share(
    strata: list[int], raters: int, each: int, seed: int
):
    each = min(each, raters)
    kinds = [kind for kind, size in enumerate(strata) for _ in range(size)]
    posts = [f"post {i % 5}" for i in range(len(kinds))]
    given_ = assign(posts, list(range(raters)), each, seed=seed)
    times = Counter(unit for own in given_.values() for unit in own)
    assert times == dict.fromkeys(range(len(posts)), each)
    for own in given_.values():
        assert len(own) == len(set(own)), "nobody rates a thing twice"
    loads = [len(own) for own in given_.values()]
    assert max(loads) - min(loads) <= 1
    for kind in set(kinds):
        shares = [sum(kinds[unit] == kind for unit in own) for own in given_.values()]
        assert max(shares) - min(shares) <= 2
    assert given_ == assign(posts, list(range(raters)), each, seed=seed)


def test_raters_are_tied_to_each_other_and_posts_are_spread():
    posts = [f"post {i % 20}" for _ in range(3) for i in range(100)]
    given_ = assign(posts, list(range(12)), 3, seed=1)
    own = {rater: set(units) for rater, units in given_.items()}
    common = [len(own[a] & own[b]) for a in own for b in own if a < b]
    assert min(common) >= 8, "every two raters share items, so that their scales can be compared"
    for units in given_.values():
        times = Counter(posts[unit] for unit in units)
        assert max(times.values()) - min(times.values()) <= 3


def test_more_ratings_than_raters_are_refused():
    with pytest.raises(UsageError, match=r"4 ratings an item came for 3 raters"):
        assign(["a"], [1, 2, 3], 4, seed=0)
    with pytest.raises(UsageError, match="0 ratings an item"):
        assign(["a"], [1, 2, 3], 0, seed=0)


@given(n=st.integers(1, 60), kinds=st.integers(2, 9), checks=st.integers(0, 3), seed=SEEDS)
def test_an_order_holds_everything_once_and_no_post_twice_in_a_row(
    n: int, kinds: int, checks: int, seed: int
):
    posts = dict(enumerate(f"post {i % kinds}" for i in range(n)))
    lines = range(n, n + checks)
    order = in_order(list(posts), posts, lines, seed=str(seed))
    assert sorted(order) == [*posts, *lines]
    assert order[0] < n, "a check is never the first"
    shown = [posts[unit] for unit in order if unit < n]
    left = {i: Counter(shown[i:]) for i in range(n)}
    for i, (one, other) in enumerate(pairwise(shown), 1):
        assert one != other or set(left[i]) == {one}, "only where nothing else is left"


def test_every_rater_has_an_order_of_their_own():
    posts = {n: f"post {n}" for n in range(200)}
    anna, ben = (in_order(range(200), posts, [], seed=f"0:{name}") for name in ("anna", "ben"))
    assert anna == in_order(range(200), posts, [], seed="0:anna")
    for order in (anna, ben, [anna.index(unit) for unit in ben]):
        rising = sum(a < b for a, b in pairwise(order))
        assert 75 < rising < 125, "neither the order of the file nor that of the other rater"


def unit(n: int, system: str = "a", rival: str = "") -> Unit:
    return Unit("reply", f"p{n}", "joy:100", "ekman", "joy", f"r{n}", system, f"e{n}", rival, rival)


def test_a_plan_has_checks_about_every_25_items_and_an_order_for_each_rater():
    design = read_design(design_text("emo-seq"))
    made = plan(design, [unit(n) for n in range(200)], ["a", "b", "c"], 3, lang="zh", seed=3)
    checks = [n for n, each in enumerate(made.units) if each.role == "check"]
    assert len(checks) == 8
    assert all("注意力" in made.units[n].reply or "请都选 1" in made.units[n].reply for n in checks)
    assert len(set(made.orders.values())) == 3, "all have all items, each in another order"
    for order in made.orders.values():
        at = [i for i, (n, _) in enumerate(order) if n in checks]
        assert len(at) == len(checks), "everybody sees every check"
        assert max(b - a for a, b in pairwise(at)) <= 2 * CHECK_EVERY
    again = plan(design, [unit(n) for n in range(200)], ["a", "b", "c"], 3, lang="zh", seed=3)
    assert made == again
    assert made != plan(
        design, [unit(n) for n in range(200)], ["a", "b", "c"], 3, lang="zh", seed=4
    )


def test_each_side_of_a_pair_comes_first_as_often():
    design = read_design(design_text("ab"))
    made = plan(design, [unit(n, "a", "b") for n in range(50)], list("abcd"), 4, lang="en", seed=0)
    flips = Counter(flip for order in made.orders.values() for n, flip in order if n < 50)
    assert flips == {True: 100, False: 100}


def test_what_a_plan_costs():
    design = read_design(design_text("emo-seq"))
    made = plan(design, [unit(n) for n in range(100)], [f"r{n}" for n in range(12)], 3,
                lang="en", seed=0)  # fmt: skip
    said = cost(design, made, seconds=12.0, width=0.15)
    assert (said["items"], said["ratings"], said["raters"]) == (101, 312, 12)
    assert said["items_a_rater"] == 26
    assert said["minutes_a_rater"] == 8, "26 items of 12 s, 60 s before and 4 of practice at 20 s"
    row = said["criteria"]["emotion"]
    # t(11) = 2.20099; 0.5 * sqrt(0.4/100 + 0.05/12 + 0.55/300) = 0.05
    assert row["half_width"] == pytest.approx(2.20099 * 0.05, rel=1e-5)
    assert half_width(design.criteria[0], 100, row["raters_needed"], 3) <= 0.15
    assert half_width(design.criteria[0], 100, row["raters_needed"] - 1, 3) > 0.15
    assert half_width(design.criteria[0], row["items_needed"], 12, 3) <= 0.15
    assert half_width(design.criteria[0], row["items_needed"] - 1, 12, 3) > 0.15
    assert raters_needed(design.criteria[0], 4, 1, 0.01) is None
    assert items_needed(design.criteria[0], 3, 3, 0.01) is None
