"""Compute what a study found: means of systems, tests, agreement, raters, judges beside them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import median

import numpy as np

from emotone.errors import DataError, number_of
from emotone.evaluation.blind import HAND
from emotone.evaluation.groups import in_order
from emotone.evaluation.scores import Number
from emotone.human import judged
from emotone.human.design import Design
from emotone.human.draw import Unit
from emotone.human.findings import (
    Agreement,
    Bias,
    Cell,
    Correlation,
    Findings,
    Question,
    RaterRow,
    Test,
    known,
    number,
)
from emotone.human.intervals import ROUNDS, crossed, holm
from emotone.human.ratings import Answer, answers
from emotone.human.store import Store, rater_of_name, study_of, units_of
from emotone.metrics import agreement
from emotone.metrics.base import SumStats, mean_of, mean_stats
from emotone.metrics.significance import interval, paired_test

#: Share of failed checks from which a rater is flagged, and may be left out.
FAILED = 0.5
#: Random swaps of a paired test.
SWAPS = 10_000
#: Seconds an item below which nobody reads.
FAST = 2.0


@dataclass(frozen=True, slots=True)
class _Rated:
    """One rating that counts: item, rater, and criterion -> value.

    Of pairs the value is 1 where the unit's first system is better, 0.5 where neither is; `first`
    has the same for the reply that stood first.
    """

    item: int
    rater: str
    values: Mapping[str, float]
    first: Mapping[str, float]


def findings(
    store: Store,
    labels: Sequence[judged.Labels] = (),
    *,
    exclude_failed: bool = False,
    without: Sequence[str] = (),
    rounds: int = ROUNDS,
    seed: int = 0,
) -> Findings:
    """Compute what a study found so far.

    Args:
        store: The study.
        labels: What judges said of its replies.
        exclude_failed: Whether raters who failed half or more of their checks are left out.
        without: Raters who want to be left out; nothing at all is said of them.
        rounds: Resamples of each interval.
        seed: Of the resamples.

    Raises:
        DataError: If nothing was rated.
        UnknownName: If nobody has a name of `without`.
    """
    gone = {rater_of_name(store, name).name for name in without}
    study, units = study_of(store), units_of(store)
    given = [answer for answer in answers(store) if answer.rater not in gone]
    design = study.design
    failing = {
        name for name, (seen, failed) in _checks(given, units).items() if failed >= FAILED * seen
    }
    out = failing if exclude_failed else set[str]()
    rated = [
        _Rated(a.item, a.rater, _values(a, design), _values(replace(a, flipped=False), design))
        for a in given
        if a.kind == "rate" and units[a.item].role != "check"
    ]
    kept = [r for r in rated if r.rater not in out]
    if not kept:
        raise DataError(f"nothing in {store.path} is rated yet; send the links to the raters")
    questions = _questions(design, kept)
    work = _Work(units, questions, rounds, seed)
    tests = work.preferences(kept) if design.kind == "pair" else work.tests(kept)
    corrected = map(known, holm([math.nan if t.p is None else t.p for t in tests]))
    notes = [
        f"{name} failed half or more of the checks and is {'left out' if name in out else 'kept'}."
        for name in sorted(failing)
    ]
    shown = {number for number, unit in units.items() if unit.role != "check"}
    if unrated := shown - {r.item for r in kept}:
        notes.append(f"{number_of(len(unrated), 'item')} of {len(shown)} are not rated yet.")
    replies = [u for u in units.values() if u.role == "reply"]
    systems = sorted({name for u in replies for name in (u.system, u.other_system)} - {""})
    if any(unit.role == "hand" for unit in units.values()):
        systems.append(HAND)
    return Findings(
        design.title.en.strip(),
        design.kind,
        study.lang,
        study.seed,
        study.items_sha256,
        study.created,
        len(shown),
        len(kept),
        tuple(systems),
        tuple(in_order({u.emotion for u in replies})),
        questions,
        tuple(work.cells(kept)),
        tuple(replace(t, holm=h) for t, h in zip(tests, corrected, strict=True)),
        tuple(work.agreement(kept)),
        tuple(_raters(given, rated, units, design, out)),
        tuple(work.beside(kept, labels)),
        tuple(notes),
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """What every figure needs."""

    units: Mapping[int, Unit]
    questions: Sequence[Question]
    rounds: int
    seed: int

    def cells(self, kept: Sequence[_Rated]) -> list[Cell]:
        """Means of each system over all emotions and in each; lines by hand only over all."""
        groups: dict[tuple[str, str, str], list[_Rated]] = defaultdict(list)
        for rating in kept:
            unit = self.units[rating.item]
            groups[unit.system, unit.other_system, ""].append(rating)
            if unit.role == "reply":
                groups[unit.system, unit.other_system, unit.emotion].append(rating)
        ranked = sorted(groups, key=lambda g: (g[0] == HAND, g[0], g[1], g[2] != ""))
        return [
            Cell(question.name, *group, self._mean(groups[group], question))
            for question in self.questions
            for group in ranked
        ]

    def _mean(self, own: Sequence[_Rated], question: Question) -> Number:
        values = [r.values[question.name] for r in own]
        return self._crossed(mean_stats(values, share=question.share), own, question)

    def _crossed(self, stats: SumStats, own: Sequence[_Rated], question: Question) -> Number:
        posts = [self.units[r.item].post for r in own]
        ends = crossed(stats, posts, [r.rater for r in own], rounds=self.rounds, seed=self.seed)
        low, high = (min(max(end, question.low), question.high) for end in ends)
        return number(stats.value(), low, high, len(own))

    def tests(self, kept: Sequence[_Rated]) -> list[Test]:
        """Compare every two systems on what both were rated on."""
        of_system: dict[str, dict[tuple[str, str], list[_Rated]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for rating in kept:
            unit = self.units[rating.item]
            if unit.role == "reply":
                of_system[unit.system][unit.source, unit.asked].append(rating)
        return [
            self._test(question, (a, of_system[a]), (b, of_system[b]))
            for question in self.questions
            for a, b in combinations(sorted(of_system), 2)
        ]

    def _test(
        self,
        question: Question,
        one: tuple[str, Mapping[tuple[str, str], Sequence[_Rated]]],
        two: tuple[str, Mapping[tuple[str, str], Sequence[_Rated]]],
    ) -> Test:
        shared = sorted(one[1].keys() & two[1].keys())
        sides = [
            [[r.values[question.name] for r in side[1][k]] for k in shared] for side in (one, two)
        ]
        a, b = (mean_stats([float(np.mean(v)) for v in side]) for side in sides)
        posts = [self.units[one[1][key][0].item].post for key in shared]
        p = paired_test(a, b, rounds=SWAPS, seed=self.seed, groups=posts).p if shared else math.nan
        own = [(r, side) for side, of in enumerate((one[1], two[1])) for k in shared for r in of[k]]
        rows = np.zeros((len(own), 4))
        for row, (rating, side) in zip(rows, own, strict=True):
            row[2 * side : 2 * side + 2] = rating.values[question.name], 1.0
        stats = SumStats(rows, lambda s: mean_of(s[..., :2]) - mean_of(s[..., 2:]))
        span = question.high - question.low
        wide = Question(question.name, question.title, -span, span, False)
        found = self._crossed(stats, [r for r, _ in own], wide) if own else Number(None)
        difference = Number(found.value, found.low, found.high, len(shared))
        return Test(question.name, one[0], two[0], difference, known(p), None)

    def preferences(self, kept: Sequence[_Rated]) -> list[Test]:
        """Test for every two systems whether one is preferred: by random swaps of its sides."""
        groups: dict[tuple[str, str], list[_Rated]] = defaultdict(list)
        for rating in kept:
            unit = self.units[rating.item]
            if unit.role == "reply":
                groups[unit.system, unit.other_system].append(rating)
        tests: list[Test] = []
        for question in self.questions:
            for (one, two), own in sorted(groups.items()):
                won = np.array([r.values[question.name] for r in own])
                posts = [self.units[r.item].post for r in own]
                p = paired_test(
                    mean_stats(won), mean_stats(1 - won), rounds=SWAPS, seed=self.seed, groups=posts
                ).p
                wide = Question(question.name, question.title, -1.0, 1.0, False)
                found = self._crossed(mean_stats(2 * won - 1), own, wide)
                tests.append(Test(question.name, one, two, found, known(p), None))
        return tests

    def agreement(self, kept: Sequence[_Rated]) -> list[Agreement]:
        """Measure how far raters agree, with intervals over posts."""
        items = sorted({r.item for r in kept})
        names = sorted({r.rater for r in kept})
        place = {item: i for i, item in enumerate(items)}, {name: i for i, name in enumerate(names)}
        posts = [self.units[i].post for i in items]
        rows: list[Agreement] = []
        for question in self.questions:
            matrix = np.full((len(items), len(names)), np.nan)
            for r in kept:
                matrix[place[0][r.item], place[1][r.rater]] = r.values[question.name]
            values = np.unique(matrix[~np.isnan(matrix)])
            several = int(((~np.isnan(matrix)).sum(1) >= 2).sum())
            for measure, stats in (
                ("fleiss", agreement.fleiss(matrix, values)),
                ("cohen", agreement.cohen(matrix, values)),
                ("alpha", agreement.krippendorff(matrix, values, "ordinal")),
            ):
                value = stats.value() if len(names) > 1 else math.nan
                ends = interval(stats, groups=posts, rounds=self.rounds, seed=self.seed)
                rows.append(Agreement(question.name, measure, number(value, *ends, several)))
        return rows

    def beside(self, kept: Sequence[_Rated], labels: Sequence[judged.Labels]) -> list[Correlation]:
        """Put each judge beside the raters' means of items."""
        rows: list[Correlation] = []
        for each in labels:
            names = [q.name for q in self.questions]
            criterion = next((c for c in judged.BESIDE[each.kind] if c in names), None)
            if criterion is None:
                raise DataError(
                    f"{each.judge} judges {each.kind}, and the study asks for {', '.join(names)};"
                    f" give labels of what it asks"
                )
            given: dict[int, list[float]] = defaultdict(list)
            for r in kept:
                if self.units[r.item].role == "reply":
                    given[r.item].append(r.values[criterion])
            means = {item: float(np.mean(v)) for item, v in sorted(given.items())}
            items, measures = judged.compared(each, criterion, means, self.units)
            if not measures:
                raise DataError(
                    f"{each.judge} judged {number_of(len(items), 'reply', 'replies')} of the study;"
                    " give labels of the replies that the study was made from"
                )
            posts = [self.units[i].post for i in items]
            for measure, stats in measures.items():
                ends = interval(stats, groups=posts, rounds=self.rounds, seed=self.seed)
                found = number(stats.value(), *ends, len(items))
                rows.append(Correlation(criterion, each.judge, measure, found))
        return rows


def _values(answer: Answer, design: Design) -> dict[str, float]:
    """Values of an answer, as `_Rated` has them."""
    if design.kind == "pair":
        better, worse = (2, 1) if answer.flipped else (1, 2)
        first = {better: 1.0, 0: 0.5, worse: 0.0}
        return {name: first[value] for name, value in answer.values.items()}
    values: dict[str, float] = dict(answer.values)
    if set(values) >= {"emotion", "content"}:
        best = {c.name: c.values[-1] for c in design.criteria}
        values["both"] = float(all(values[c] == best[c] for c in ("emotion", "content")))
    return values


def _questions(design: Design, kept: Sequence[_Rated]) -> tuple[Question, ...]:
    questions = [
        Question(
            c.name,
            c.title.en,
            *((0.0, 1.0) if design.kind == "pair" else (float(c.values[0]), float(c.values[-1]))),
            c.values == (0, 1),
        )
        for c in design.criteria
    ]
    if "both" in kept[0].values and "both" not in {q.name for q in questions}:
        questions.append(Question("both", "Both right", 0.0, 1.0, True))
    return tuple(questions)


def _checks(given: Sequence[Answer], units: Mapping[int, Unit]) -> dict[str, tuple[int, int]]:
    """Rater -> checks seen, and those that were not answered as they say."""
    counted: dict[str, tuple[int, int]] = {}
    for answer in given:
        expected = units[answer.item].expected
        if units[answer.item].role == "check" and expected is not None:
            seen, failed = counted.get(answer.rater, (0, 0))
            right = answer.kind == "rate" and set(answer.values.values()) == {expected}
            counted[answer.rater] = seen + 1, failed + (not right)
    return counted


def _raters(
    given: Sequence[Answer],
    rated: Sequence[_Rated],
    units: Mapping[int, Unit],
    design: Design,
    out: set[str],
) -> list[RaterRow]:
    checks = _checks(given, units)
    names = [c.name for c in design.criteria]
    of_item: dict[int, list[_Rated]] = defaultdict(list)
    of_rater: dict[str, list[_Rated]] = {a.rater: [] for a in given}
    for r in rated:
        of_item[r.item].append(r)
        of_rater[r.rater].append(r)
    rows: list[RaterRow] = []
    for name, own in sorted(of_rater.items()):
        bias: list[Bias] = []
        for criterion in names:
            if design.kind == "pair":
                off = [r.first[criterion] - 0.5 for r in own]
            else:
                off = [
                    r.values[criterion] - float(np.mean([o.values[criterion] for o in others]))
                    for r in own
                    if (others := [o for o in of_item[r.item] if o.rater != name])
                ]
            bias.append(Bias(criterion, float(np.mean(off)) if off else None))
        seen, failed = checks.get(name, (0, 0))
        times = [a.seconds for a in given if a.rater == name and a.seconds is not None]
        middle = median(times) if times else None
        flags = [f"failed {failed} of {seen} checks"] if seen and failed >= FAILED * seen else []
        if middle is not None and middle < FAST:
            flags.append(f"median below {FAST:g} s")
        if len(own) >= 10 and all(len({r.values[c] for r in own}) == 1 for c in names):
            flags.append("the same answer throughout")
        skipped = sum(a.rater == name and a.kind == "skip" for a in given)
        rows.append(
            RaterRow(
                name,
                len(own),
                skipped,
                middle,
                seen,
                failed,
                tuple(bias),
                tuple(flags),
                name in out,
            )
        )
    return rows
