"""Readers' sheets of machine replies, and the ratings that ship with everyday.

`python -m recipes.everyday.sheets write en` parts `out/everyday/candidates-en.jsonl` into sheets
for readers (`emotone blind` says how they are read), each with lines written by hand among them,
and one sheet more that reads a tenth of them again. `python -m recipes.everyday.sheets read en`
joins what the readers gave into `ratings-en.jsonl` of the corpus, and prints agreement and figures;
ratings of other rounds (`--out out/everyday-2`) stay there.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

from emotone.data import everyday
from emotone.data.text import Lang, text_key
from emotone.evaluation import blind
from recipes.everyday.candidates import write_rows

#: Lines of a sheet, and lines written by hand beside them.
SHEET = 440
BY_HAND = 20
AGAIN = 0.1


def write(lang: Lang, out: Path, length: int) -> None:
    """Write the sheets, so many machine lines in each, and their one key."""
    draw = random.Random(f"sheets {lang}")
    rows = [
        json.loads(t)
        for t in (out / f"candidates-{lang}.jsonl").read_text("utf-8").strip().split("\n")
    ]
    candidates: dict[str, dict[str, Any]] = {}
    for row in rows:  # a short reply that two systems gave to one post is read once
        candidates.setdefault(text_key(row["post"] + row["reply"] + row["emotion"]), row)
    drawn = [
        blind.Item("", r["post"], r["emotion"], r["reply"], r["system"], r["id"])
        for r in candidates.values()
        if r["reply"].strip()
    ]
    hand = [
        blind.Item("", line.post, label, text, blind.HAND, f"{line.id}-{label}")
        for line in everyday.lines(lang, kinds=["plain", "rich"], splits=["dev"])
        for label, text in line.replies.items()
        if label in everyday.EMOTIONS[:6]
    ]
    drawn += draw.sample(hand, BY_HAND * -(-len(drawn) // length))
    draw.shuffle(drawn)
    drawn = [
        blind.Item(f"{n:04d}", i.post, i.asked, i.reply, i.system, i.source)
        for n, i in enumerate(drawn, 1)
    ]
    key = out / f"key-{lang}.json"
    size = length + BY_HAND
    for number, start in enumerate(range(0, len(drawn), size), 1):
        path = out / f"sheet-{lang}-{number}.jsonl"
        blind.write_sheet(drawn[start : start + size], path, key)
    again = draw.sample(drawn, round(AGAIN * len(drawn)))
    blind.write_sheet(again, out / f"sheet-{lang}-again.jsonl", key)
    blind.write_sheet(drawn, out / f"sheet-{lang}.jsonl", key)
    print(len(drawn), "lines in", out)


def read(lang: Lang, out: Path) -> None:
    """Join the readers' files, `read-en-*.jsonl`, into the ratings of the corpus."""
    drawn = blind.read_key(out / f"key-{lang}.json")
    splits = {
        row["id"]: row["split"]
        for row in map(
            json.loads, (out / f"candidates-{lang}.jsonl").read_text("utf-8").strip().split("\n")
        )
    }
    readings = [
        reading
        for path in sorted(out.glob(f"read-{lang}-*.jsonl"))
        for reading in blind.read_ratings(path, drawn)
    ]
    by_line: dict[str, list[blind.Reading]] = {}
    for reading in readings:  # the second reading of a tenth is named "again", and comes last
        by_line.setdefault(reading.id, []).append(reading)
    rows: list[dict[str, Any]] = []
    for item in drawn:
        if item.id not in by_line or item.system == blind.HAND:
            continue
        first, *others = sorted(by_line[item.id], key=lambda r: "again" in r.reader)
        row: dict[str, Any] = {
            "id": item.source, "split": splits[item.source], "post": item.post,
            "reply": item.reply, "system": item.system, "emotion": item.asked,
            "heard": first.emotion, "content": first.content, "blame": first.blame,
        }  # fmt: skip
        if others:
            row["again"] = [others[0].emotion, others[0].content, others[0].blame]
        rows.append(row)
    path = everyday.HOME / f"ratings-{lang}.jsonl"
    own = {row["id"] for row in rows}
    rows += [
        r
        for r in map(json.loads, path.read_text("utf-8").strip().split("\n"))
        if r["id"] not in own
    ]
    write_rows(path, sorted(rows, key=lambda row: row["id"]))
    print(blind.markdown(blind.figures(drawn, readings), blind.agreement(readings)))


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("what", choices=["write", "read"])
    args.add_argument("lang", choices=["en", "zh"])
    args.add_argument("--out", type=Path, default=Path("out/everyday"))
    args.add_argument("--lines", type=int, default=SHEET, help="machine lines of a sheet")
    given = args.parse_args()
    if given.what == "write":
        write(given.lang, given.out, given.lines)
    else:
        read(given.lang, given.out)


if __name__ == "__main__":
    main()
