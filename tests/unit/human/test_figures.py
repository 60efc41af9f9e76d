"""Figures of simulated studies: they find what is known, with intervals that cover."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from statsmodels.stats.multitest import multipletests

from emotone.errors import DataError
from emotone.human import judged
from emotone.human.figures import findings
from emotone.human.findings import Findings, read_findings, write_findings
from emotone.human.intervals import crossed, holm
from emotone.human.ratings import Act, save, state_of, tell
from emotone.human.store import Store, open_store, rater_of_name, units_of
from emotone.metrics.base import mean_stats
from emotone.metrics.significance import interval
from unit.human import simulated

Answers = Callable[[str, str, str], dict[str, int] | None]


def rate(store: Store, names: list[str], answer: Answers, seconds: float = 6.0) -> None:
    """Answer everything; None skips."""
    units = units_of(store)
    for name in names:
        rater = rater_of_name(store, name)
        tell(store, rater, "consent")
        while (state := state_of(store, rater, units)).unit is not None:
            values = answer(name, state.unit.post, state.unit.reply)
            kind = "skip" if values is None else "rate"
            reason = "other" if values is None else ""
            key = f"{kind}-{state.place}"
            save(store, rater, Act(kind, key, state.place, values or {}, reason, seconds=seconds))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """Six raters: one fails the checks, one skips what is long, one gives one answer."""
    folder = tmp_path_factory.mktemp("study")
    path, tokens, world = simulated.study(folder, posts=4, raters=6, hand=4, seed=3)

    def answer(name: str, post: str, reply: str) -> dict[str, int] | None:
        if name == "r06":
            return {"emotion": 1, "content": 1, "blame": 1}
        values = world.values(name, post, reply)
        if (post, reply) not in world.chances and name == "r01":
            return values | {"content": 2}
        if name == "r02" and "joy" in reply:
            return None
        return values

    with open_store(path) as store:
        rate(store, list(tokens), answer)
        return findings(store, rounds=100)


def test_raters_are_described(study: Findings):
    raters = {r.name: r for r in study.raters}
    assert raters["r01"].failed == raters["r01"].checks > 0
    assert raters["r01"].flags[0].startswith("failed")
    assert raters["r02"].skipped > 0
    assert raters["r03"].flags == ()
    assert raters["r03"].seconds == 6.0
    assert "the same answer throughout" in raters["r06"].flags
    high = {b.question: b.value for b in raters["r06"].bias}
    assert high["blame"] > 0.5, "r06 blames always, the others hardly ever"
    assert any("r01 failed" in note and "kept" in note for note in study.notes)


def test_a_study_is_written_and_read(study: Findings, tmp_path: Path):
    write_findings(study, tmp_path / "study.json")
    assert read_findings(tmp_path / "study.json") == study
    row = json.loads((tmp_path / "study.json").read_text("utf-8"))
    for broken in (row | {"format": 9}, row | {"cells": 3}, [], row | {"new": 1}):
        (tmp_path / "bad.json").write_text(json.dumps(broken), encoding="utf-8")
        with pytest.raises(DataError, match="no result of a study"):
            read_findings(tmp_path / "bad.json")


def test_means_are_those_of_the_ratings(tmp_path: Path):
    path, tokens, world = simulated.study(tmp_path, posts=3, raters=5, each=2, hand=2, seed=1)
    with open_store(path) as store:
        rate(store, list(tokens), world.values)
        found = findings(store, rounds=50)
        units = units_of(store)
        with store.read() as db:
            given = db.execute("SELECT item, answer FROM ratings").fetchall()
    for cell in found.cells:
        own = [
            json.loads(answer)
            for item, answer in given
            if units[item].system == cell.system
            and units[item].role != "check"
            and cell.emotion in ("", units[item].emotion)
        ]
        if cell.question == "both":
            values = [v["emotion"] == 1 and v["content"] == 2 for v in own]
        else:
            values = [v[cell.question] for v in own]
        assert cell.number.value == pytest.approx(np.mean(values))
        assert cell.number.n == len(own)
        assert cell.number.low <= cell.number.value <= cell.number.high
    assert {c.emotion for c in found.cells} == {"", *simulated.EMOTIONS}
    assert found.systems[-1] == "written by hand"


def test_who_failed_the_checks_is_left_out_only_on_demand(tmp_path: Path):
    path, tokens, world = simulated.study(tmp_path, posts=3, raters=4, each=3, hand=0)

    def answer(name: str, post: str, reply: str) -> dict[str, int]:
        good = world.values(name, post, reply)
        return {"emotion": 1, "content": 2, "blame": 0} if name == "r04" else good

    with open_store(path) as store:
        rate(store, list(tokens), answer)
        kept, left = findings(store, rounds=20), findings(store, rounds=20, exclude_failed=True)
    assert kept.ratings > left.ratings
    assert [r.excluded for r in left.raters] == [False, False, False, True]
    assert any("r04 failed" in note and "left out" in note for note in left.notes)


def test_nothing_rated_is_said(tmp_path: Path):
    path, _, _ = simulated.study(tmp_path, posts=2, raters=3, hand=0)
    with open_store(path) as store, pytest.raises(DataError, match="is rated yet"):
        findings(store)


def test_preferences_are_turned_to_the_system_whatever_side_it_stood_on(tmp_path: Path):
    from emotone.evaluation import blind
    from emotone.human import draw, plan, store
    from emotone.human.design import design_text, read_design

    text = design_text("ab")
    design = read_design(text)
    systems = blind.systems_of(simulated.replies(tmp_path, 6))
    shown = draw.units(blind.items(systems, seed=0), design, [])
    assert len(shown) == 3 * 30
    made = plan.plan(design, shown, ["a", "b", "c"], 2, lang="en", seed=0)
    path = tmp_path / "ab.db"
    store.create(path, text, made, lang="en", seed=0, contact="us", seconds=5.0)
    size = {"9": 3, "8": 2, "7": 1}  # the last word of a reply is the length of its system's name
    with open_store(path) as opened:
        units = units_of(opened)
        for name in "abc":
            rater = rater_of_name(opened, name)
            tell(opened, rater, "consent")
            while (state := state_of(opened, rater, units)).unit is not None:
                unit = state.unit
                sides = [unit.reply, unit.other_reply][:: -1 if state.flipped else 1]
                first, second = (size.get(side.rpartition(" ")[2], 0) for side in sides)
                value = unit.expected if unit.role == "check" else 1 if first > second else 2
                save(opened, rater, Act("rate", str(state.place), state.place,
                                        {"preference": int(value or 0)}))  # fmt: skip
        found = findings(opened, rounds=50)
    won = {(t.system[:5], t.other[:5]): t.difference.value for t in found.tests}
    assert won == {
        ("brill", "middl"): 1.0,
        ("brill", "plodd"): 1.0,
        ("middl", "plodd"): 1.0,
    }
    assert all(t.p is not None and t.p <= 0.05 for t in found.tests)
    assert all(a.number.value in (None, 1.0) for a in found.agreement)
    assert {c.number.value for c in found.cells} == {1.0}
    assert all(abs(r.bias[0].value or 0) < 0.2 for r in found.raters), "no side is preferred"


# -- statistics ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_holm_is_that_of_statsmodels():
    draw = random.Random(0)
    for n in (1, 2, 7, 30):
        p = [draw.random() ** 2 for _ in range(n)]
        assert holm(p) == pytest.approx(list(multipletests(p, method="holm")[1]), abs=1e-12)
    assert holm([]) == []
    assert np.isnan(holm([0.01, float("nan")])[1])
    assert holm([0.01, float("nan")])[0] == 0.01


def ratings(seed: int, posts: int, raters: int, spread: tuple[float, float, float]):
    """Values of 5 replies a post with 3 raters each; posts, raters and noise have a spread."""
    draw = np.random.default_rng(seed)
    post = np.repeat(np.arange(posts), 15)
    rater = np.concatenate([draw.permutation(raters)[:3] for _ in range(posts * 5)])
    of_post, of_rater = draw.normal(0, spread[0], posts), draw.normal(0, spread[1], raters)
    values = of_post[post] + of_rater[rater] + draw.normal(0, spread[2], len(post))
    return values, [f"p{i}" for i in post], [f"r{i}" for i in rater]


@pytest.mark.parametrize(
    ("posts", "raters", "spread"),
    [(40, 12, (0.5, 0.1, 1.0)), (20, 12, (0.3, 0.4, 0.8)), (30, 4, (0.3, 0.2, 0.8))],
)
def test_intervals_cover_over_posts_and_raters(
    posts: int, raters: int, spread: tuple[float, float, float]
):
    covered = over_posts = 0
    for seed in range(100):
        values, post, rater = ratings(seed, posts, raters, spread)
        low, high = crossed(mean_stats(values), post, rater, rounds=200, seed=seed)
        covered += low <= 0 <= high
        low, high = interval(mean_stats(values), groups=post, rounds=200, seed=seed)
        over_posts += low <= 0 <= high
    assert covered >= 90, "95 are meant; fewer than 90 of 100 come by chance once in 90 times"
    if spread[1] >= 0.2:
        assert over_posts < 75, "over posts alone, raters are forgotten"


def test_an_interval_of_one_rater_is_over_posts():
    values, post, _ = ratings(0, 20, 3, (0.5, 0.0, 1.0))
    alone = crossed(mean_stats(values), post, ["me"] * len(post), rounds=100)
    assert alone == interval(mean_stats(values), groups=post, rounds=100)
    low, high = crossed(mean_stats([0.0] * 30, share=True), post[:30], ["a", "b"] * 15)
    assert low == 0
    assert 0 < high < 1


# -- judges --------------------------------------------------------------------------------------


def test_correlations_are_those_of_scipy_and_change_with_weights():
    draw = np.random.default_rng(0)
    x = draw.integers(0, 4, 50).astype(float)
    y = x + draw.normal(0, 1, 50)
    ranked, linear = judged.RankStats(x, y), judged.pearson(x, y)
    assert ranked.value() == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    assert linear.value() == pytest.approx(pearsonr(x, y).statistic, abs=1e-12)
    times = draw.integers(0, 3, 50)
    again = np.repeat(np.arange(50), times)
    assert ranked.value(times) == pytest.approx(spearmanr(x[again], y[again]).statistic, abs=1e-12)
    assert linear.value(times) == pytest.approx(pearsonr(x[again], y[again]).statistic, abs=1e-9)
    assert np.isnan(judged.RankStats(x, np.ones(50)).value())


def test_judges_are_put_beside_raters(tmp_path: Path):
    path, tokens, world = simulated.study(tmp_path, posts=4, raters=4, hand=2)
    emotion, sense = tmp_path / "emotion.jsonl", tmp_path / "sense.jsonl"
    source = tmp_path / "brilliant.jsonl"
    replies = [json.loads(line) for line in source.read_text("utf-8").splitlines()]
    rows = []
    for row in replies:
        asked = row["emotion"].partition(":")[0]
        sure = world.chances[row["dialogue"][0]["text"], row["text"]][0]
        scores = dict.fromkeys(("anger", "disgust", "fear", "joy", "sadness"), 0.0) | {asked: sure}
        label = asked if sure > 0.68 else "neutral"
        rows.append({"id": row["id"], "text": row["text"], "label": label, "scores": scores,
                     "judge": "ear-1"})  # fmt: skip
    emotion.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    said = [{"id": r["id"], "content": 1.4, "sense": 0.5, "judge": "sense-1"} for r in replies]
    sense.write_text("\n".join(map(json.dumps, said)), encoding="utf-8")
    labels = [judged.read_labels(str(emotion)), judged.read_labels(f"{sense}={source}")]

    def answer(name: str, post: str, reply: str) -> dict[str, int]:
        sure = world.chances.get((post, reply), (0, 0, 0))[0]
        return world.values(name, post, reply) | {"emotion": int(sure > 0.68)}

    with open_store(path) as store:
        rate(store, list(tokens), answer)
        found = findings(store, labels, rounds=50)
    by = {(c.judge, c.measure): c for c in found.judges}
    assert by["ear-1", "spearman"].number.n == 20
    assert by["ear-1", "pearson"].number.value > 0.5
    assert by["ear-1", "kappa"].number.value == 1.0
    assert by["sense-1", "pearson"].number.value is None, "a judge that says one thing"
    assert {c.question for c in found.judges} == {"emotion", "content"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "no label"),
        ('{"id": "a", "judge": "j"}', "neither a label nor content"),
        ('{"id": "a", "content": 1, "judge": "j"}', "no reply; give the replies too"),
        ("", "holds no label"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(line: str, told: str, tmp_path: Path):
    (tmp_path / "l.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(DataError, match=told):
        judged.read_labels(str(tmp_path / "l.jsonl"))


def test_labels_of_other_replies_are_refused(tmp_path: Path):
    path, tokens, world = simulated.study(tmp_path, posts=2, raters=3, hand=0)
    row = {"id": "e0", "text": "foreign", "label": "joy", "scores": {"joy": 1}, "judge": "ear"}
    (tmp_path / "l.jsonl").write_text(json.dumps(row), encoding="utf-8")
    with open_store(path) as store:
        rate(store, list(tokens), world.values)
        with pytest.raises(DataError, match="ear judged 0 replies of the study"):
            findings(store, [judged.read_labels(str(tmp_path / "l.jsonl"))], rounds=20)
    with pytest.raises(DataError, match=r"1 lines and .* 10 replies"):
        judged.read_labels(f"{tmp_path / 'l.jsonl'}={tmp_path / 'plodder.jsonl'}")


def test_asked_emotions_are_found_in_the_judges_own_labels():
    from emotone.emotions import EKMAN
    from emotone.human.draw import Unit

    unit = Unit("reply", "p", "happiness:100", "nlpcc", "happiness", "r", "s", "e")
    assert judged._in_set(unit, EKMAN.labels) == "joy"
    assert judged._in_set(unit, ["happiness", "x"]) == "happiness"
    assert judged._in_set(unit, ["x"]) is None
    assert asdict(unit)["taxonomy"] == "nlpcc"
