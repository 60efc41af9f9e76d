"""Replies of our own systems to posts of everyday, for readers to rate.

`python -m recipes.everyday.candidates en --out out/everyday` draws posts of every split, lets each
system below answer them in an emotion drawn for it, and writes `candidates-en.jsonl`, shuffled. A
system whose file is there already does not answer again. `python -m recipes.everyday.sheets` makes
the readers' sheets of it.

`--round 2 --out out/everyday-2` draws posts anew (a tenth were in the first round) for the settings
of the second round: one reply a post, cool and warm, pushed less, so that more of them make sense
and a judge of sense sees where sense begins.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from emotone import load
from emotone.data import everyday
from emotone.data.text import Lang
from emotone.door import mix_of
from emotone.files import replacing
from emotone.types import Decoding

#: Posts of each split, a round; a judge learns from one train split, and is tested on `test`.
POSTS: dict[int, dict[everyday.Split, int]] = {
    1: {"train-a": 95, "train-b": 95, "dev": 25, "test": 60},
    2: {"train-a": 270, "train-b": 270, "dev": 20, "test": 40},
}
EKMAN = ("anger", "disgust", "fear", "joy", "sadness", "surprise")
NLPCC = ("like", "sadness", "disgust", "anger", "happiness")
#: Posts answered at once, a round (it is part of what the seeds give).
PART = {1: 24, 2: 75}


@dataclass(frozen=True)
class Slot:
    """One way in which a reply comes to be: a system, its settings and decoding, an intensity."""

    name: str
    system: str
    settings: dict[str, Any] = field(default_factory=dict)
    decoding: dict[str, Any] = field(default_factory=dict)
    intensity: int = 100
    emotions: tuple[str, ...] = EKMAN


COOL = {"temperature": 0.45}
SLOTS: dict[tuple[Lang, int], tuple[Slot, ...]] = {
    ("en", 1): (
        Slot("steered", "steered", {"retrieve": 0}),
        Slot("steered-again", "steered", {"retrieve": 0}, decoding={"seed": 1000}),
        Slot("steered-60", "steered", {"candidates": 1}, {"temperature": 0.7}, 60),
        Slot("steered-40", "steered", {"candidates": 2, "retrieve": 0}, {"seed": 2000}, 40),
        Slot("told", "steered", {"told": True, "candidates": 2, "retrieve": 0}, {}, 60),
        Slot("prompted", "prompted"),
        Slot("ecm", "ecm", decoding={"strategy": "beam"}),
        Slot("emo_seq", "emo_seq"),
    ),
    ("en", 2): (
        Slot("steered-25", "steered", {"candidates": 1}, {"seed": 11}, 25),
        Slot("steered-cool", "steered", {"candidates": 1}, {**COOL, "seed": 12}, 70),
        Slot("told-plain", "steered", {"told": True, "candidates": 1}, {**COOL, "seed": 13}, 5),
        Slot("told-cool", "steered", {"told": True, "candidates": 1}, {**COOL, "seed": 14}, 40),
        Slot("told-warm", "steered", {"told": True, "candidates": 1}, {"seed": 15}, 30),
        Slot("prompted-cool", "prompted", {}, {**COOL, "seed": 16}),
        Slot("prompted-warm", "prompted", {}, {"temperature": 0.9, "seed": 17}),
    ),
    ("zh", 1): (
        Slot("ecm", "ecm", emotions=NLPCC),
        Slot("ecm-beam", "ecm", {}, {"strategy": "beam"}, emotions=NLPCC),
        Slot("ecm-sample", "ecm", {}, {"strategy": "sample", "temperature": 0.7}, emotions=NLPCC),
        Slot("emo_seq", "emo_seq", emotions=NLPCC),
        Slot("emo_seq-beam", "emo_seq", {}, {"strategy": "beam"}, emotions=NLPCC),
        Slot("gemma", "prompted", {"model": "gemma3-270m"}),
        Slot("gemma-again", "prompted", {"model": "gemma3-270m"}, {"seed": 1000}),
        Slot("gemma-warm", "prompted", {"model": "gemma3-270m"}, {"temperature": 0.9, "seed": 7}),
    ),
}


def posts(lang: Lang, number: int) -> Iterator[everyday.Line]:
    """Draw the posts of a round, half plain and half rich where a split has both."""
    draw = random.Random(f"everyday {lang}" + f" {number}" * (number > 1))
    for split, count in POSTS[number].items():
        plain = everyday.lines(lang, kinds=["plain"], splits=[split])
        rich = everyday.lines(lang, kinds=["rich"], splits=[split])
        some = draw.sample(plain, min(count // 2, len(plain)))
        yield from some
        yield from draw.sample(rich, count - len(some))


def answer(slot: Slot, lang: Lang, lines: list[everyday.Line], path: Path, size: int) -> None:
    """Let one slot answer all posts and write its rows."""
    # Both rounds were of the bare model.
    bare = {"companion": False, "candidates": 4} if slot.system == "steered" else {}
    settings = {**bare, **slot.settings}
    model = settings.pop("model", None)
    system = load(slot.system, **({} if model is None else {"model": model}), **settings)
    responder = system.speaking(lang)
    draw = random.Random(f"everyday {lang} {slot.name}")
    emotions = [draw.choice(slot.emotions) for _ in lines]
    mixes = [mix_of({e: slot.intensity}, responder.capabilities.taxonomy) for e in emotions]
    decoding = Decoding(**{"seed": len(slot.name) * 10_000, **slot.decoding})
    rows: list[dict[str, Any]] = []
    for start in range(0, len(lines), size):
        part = slice(start, start + size)
        replies = responder.reply(
            [line.dialogue for line in lines[part]],
            mixes[part],
            decoding=replace(decoding, seed=decoding.seed + start),
        )
        for line, emotion, reply in zip(lines[part], emotions[part], replies, strict=True):
            row = {"id": f"{line.id}/{slot.name}", "split": line.split, "post": line.post}
            rows.append({**row, "reply": reply.text, "system": slot.name, "emotion": emotion})
        print(slot.name, len(rows), flush=True)
    write_rows(path, rows)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines; a line ends with a line feed and nothing else."""
    return [json.loads(row) for row in path.read_text(encoding="utf-8").split("\n") if row]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write JSON lines."""
    with replacing(path) as scratch:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        scratch.write_text("".join(lines), encoding="utf-8")


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("lang", choices=["en", "zh"])
    args.add_argument("--round", type=int, default=1)
    args.add_argument("--out", type=Path, help="out/everyday, or out/everyday-N of a later round")
    given = args.parse_args()
    if given.out is None:
        given.out = Path("out/everyday" + f"-{given.round}" * (given.round > 1))
    given.out.mkdir(parents=True, exist_ok=True)
    if (given.lang, given.round) not in SLOTS:
        args.error(f"no systems for round {given.round} of {given.lang}; have {sorted(SLOTS)}.")
    drawn = list(posts(given.lang, given.round))
    rows: list[dict[str, Any]] = []
    for slot in SLOTS[given.lang, given.round]:
        path = given.out / f"{given.lang}-{slot.name}.jsonl"
        if not path.is_file():
            answer(slot, given.lang, drawn, path, PART[given.round])
        rows += read_rows(path)
    random.Random(0).shuffle(rows)
    write_rows(given.out / f"candidates-{given.lang}.jsonl", rows)


if __name__ == "__main__":
    main()
