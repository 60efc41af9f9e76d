"""Sentences that follow from the numbers: whether the papers' ordering and the goals are met."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recipes.recurrent.compare import MAIN
from recipes.recurrent.names import COLUMNS, DECODINGS, shown

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


def findings(found: Mapping[str, Any], titles: Mapping[str, str]) -> list[str]:
    """List what the numbers of one language say, as Markdown items."""
    lines: list[str] = []
    scored = found["decodings"].get("default") or next(iter(found["decodings"].values()), None)
    for rows in _mains(found):
        said = _size(found, rows["ecm"])
        for key, (name, up) in ORDERED.items():
            part = found["perplexity"] if key == "perplexity" else scored
            if part is not None and (sentence := _ordering(part, rows, titles, key, name, up)):
                lines.append(f"- {said}{sentence}")
    first = {f["row"] for f in found["runs"].values() if not f["size"]}
    for decoding, part in found["decodings"].items():
        for row in (r for r in titles if r in first and r in part["rows"] and _is_main(found, r)):
            said = _goals(row, part["rows"][row]["numbers"])
            lines.append(f"- {titles[row]}, {DECODINGS[decoding]}: {said}.")
    return lines or ["- Nothing to compare yet."]


def _mains(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """The rows of the three systems, for each size that all three were trained on."""
    sizes: dict[str, dict[str, str]] = {}
    for fact in found["runs"].values():
        if _is_main(found, fact["row"]):
            sizes.setdefault(fact["size"], {})[fact["system"]] = fact["row"]
    return [sizes[s] for s in sorted(sizes) if set(sizes[s]) == set(ORDER)]


def _is_main(found: Mapping[str, Any], row: str) -> bool:
    return any(
        f["row"] == row and MAIN.get(f["system"]) == f["plain"] for f in found["runs"].values()
    )


def _size(found: Mapping[str, Any], row: str) -> str:
    pairs = next(f["pairs"] for f in found["runs"].values() if f["row"] == row)
    return "" if pairs is None else f"Trained on {pairs:,} pairs: "


def _ordering(
    part: Mapping[str, Any],
    rows: Mapping[str, str],
    titles: Mapping[str, str],
    key: str,
    name: str,
    up: bool,
) -> str:
    """Say whether the paper's order of the three systems holds in one metric."""
    steps: list[str] = []
    values = [part["rows"].get(rows[s], {}).get("numbers", {}).get(key) for s in ORDER]
    if any(v is None or v["value"] is None for v in values):
        return ""
    right = clear = True
    for better, worse in (("emo_seq", "ecm"), ("ecm", "a_seq2seq")):
        number = part["differences"].get(f"{rows[better]} - {rows[worse]}", {}).get(key)
        if number is None or number["value"] is None:
            return ""
        better_is = (number["value"] > 0) == up and number["value"] != 0
        apart = number["low"] is not None and number["low"] * number["high"] > 0
        right, clear = right and better_is, clear and apart
        word = "better than" if better_is else "worse than"
        if not apart:
            word = "not told apart from"
        between = shown(number, COLUMNS[key][1], sign="+")
        steps.append(f"{titles[rows[better]]} is {word} {titles[rows[worse]]} ({between})")
    order = " over ".join(titles[rows[s]] for s in ORDER)
    verdict = "does not hold"
    if right:
        verdict = "holds" if clear else "holds in the values, but not beyond their intervals"
    return f"the papers' ordering in {name} ({order}) {verdict}: {'; '.join(steps)}."


def _goals(row: str, numbers: Mapping[str, Any]) -> str:
    """Say of one system which goals it meets."""
    said: list[str] = []
    accuracy = numbers.get("emotion_accuracy", {"value": None})
    if accuracy["value"] is not None:
        value = f"emotion accuracy {accuracy['value']:.3f}"
        if row.startswith("a_seq2seq"):
            said.append(f"{value} (chance)")
        else:
            met = "meets" if accuracy["value"] >= ACCURACY else "misses"
            said.append(f"{value} {met} the goal of {ACCURACY}")
    topic = numbers.get("topic_reference", {"low": None})
    if topic["low"] is not None:
        said.append("on topic" if topic["low"] > 0 else "not shown to be on topic")
    share = numbers.get("commonest_share", {"value": None})
    if share["value"] is not None:
        met = "within" if share["value"] <= COMMONEST else "above"
        said.append(f"commonest reply {share['value']:.1%}, {met} the limit of {COMMONEST:.0%}")
    return "; ".join(said)
