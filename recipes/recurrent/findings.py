"""Sentences that follow from the numbers: whether the papers' ordering and the goals are met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from recipes.compare.table import shown, side
from recipes.recurrent.folders import MAIN
from recipes.recurrent.names import COLUMNS, DECODINGS, default

#: Accuracy that ECM's paper reports, and the largest share of one reply that is let pass.
ACCURACY = 0.77
COMMONEST = 0.05
#: Metric -> its name and whether higher is better.
ORDERED = {
    "perplexity": ("perplexity", False),
    "distinct_1": ("Distinct-1", True),
    "distinct_2": ("Distinct-2", True),
}
#: Best first, as in table 4 of the Emo-Seq paper.
ORDER = ("emo_seq", "ecm", "a_seq2seq")

Results = Mapping[str, Any]


def findings(results: Results, titles: Mapping[str, str]) -> list[str]:
    """List what the numbers of one language say, as Markdown items."""
    facts = results["runs"].values()
    main = [f for f in facts if MAIN.get(f["system"]) == f["plain"]]
    sizes: dict[str, dict[str, Mapping[str, Any]]] = {}
    for fact in main:
        sizes.setdefault(fact["size"], {}).setdefault(fact["system"], fact)
    lines: list[str] = []
    for systems in (of_size for _, of_size in sorted(sizes.items()) if set(of_size) == set(ORDER)):
        pairs = systems["ecm"]["pairs"]
        trained = "" if pairs is None else f"Trained on {pairs:,} pairs: "
        rows = [systems[s]["row"] for s in ORDER]
        for key in ORDERED:
            part = results["perplexity"] if key == "perplexity" else default(results)
            if sentence := _ordering(part, rows, titles, key):
                lines.append(f"- {trained}{sentence}")
    whole = {f["row"] for f in main if not f["size"]}
    for decoding, part in results["decodings"].items():
        for row in (r for r in titles if r in whole and r in part["rows"]):
            goals = "; ".join(_goals(row, part["rows"][row]["numbers"]))
            lines.append(f"- {titles[row]}, {DECODINGS[decoding]}: {goals}.")
    return lines or ["- Nothing to compare yet."]


def _ordering(part: Results, rows: list[str], titles: Mapping[str, str], key: str) -> str:
    """Say whether the paper's order of the three systems, best first, holds in one metric."""
    name, up = ORDERED[key]
    values = [part["rows"].get(row, {}).get("numbers", {}).get(key) for row in rows]
    if any(v is None or v["value"] is None for v in values):
        return ""
    steps: list[str] = []
    right = clear = True
    for better, worse in pairwise(rows):
        number = part["differences"].get(f"{better} - {worse}", {}).get(key)
        if number is None or number["value"] is None:
            return ""
        is_better = number["value"] != 0 and (number["value"] > 0) == up
        apart = side(number) != 0
        right, clear = right and is_better, clear and apart
        word = (
            ("better than" if is_better else "worse than") if apart else "not distinguishable from"
        )
        between = shown(number, COLUMNS[key][1], sign="+")
        steps.append(f"{titles[better]} is {word} {titles[worse]} ({between})")
    verdict = "does not hold"
    if right:
        verdict = "holds" if clear else "holds in the values, but not beyond their intervals"
    order = " over ".join(titles[row] for row in rows)
    return f"the papers' ordering in {name} ({order}) {verdict}: {'; '.join(steps)}."


def _goals(row: str, numbers: Mapping[str, Any]) -> Iterator[str]:
    """Say of one system which goals it meets."""
    accuracy = numbers.get("emotion_accuracy", {}).get("value")
    if accuracy is not None and row.startswith("a_seq2seq"):
        yield f"emotion accuracy {accuracy:.3f} (chance)"
    elif accuracy is not None:
        verb = "meets" if accuracy >= ACCURACY else "misses"
        yield f"emotion accuracy {accuracy:.3f} {verb} the goal of {ACCURACY}"
    topic = numbers.get("topic_reference", {}).get("low")
    if topic is not None:
        yield "on topic" if topic > 0 else "not shown to be on topic"
    share = numbers.get("commonest_share", {}).get("value")
    if share is not None:
        where = "within" if share <= COMMONEST else "above"
        yield f"commonest reply {share:.1%}, {where} the limit of {COMMONEST:.0%}"
