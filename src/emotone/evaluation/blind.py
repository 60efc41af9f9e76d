"""Blind reading: a sheet of replies whose systems nobody sees, and what readers said of them.

A sheet has one reply a line: the post, the emotion that was asked, the reply. Which system wrote it
stands in a key beside the sheet, and lines written by hand are mixed in, so that a reader's scale
can be seen. Readers rate by Emo-Seq's criteria, and whether the reply turns against the user.

Source: Wei et al. 2019 (Emo-Seq), section 4.4 and Table 2, for emotion and content. Blame is ours.
"""

from __future__ import annotations

import csv
import io
import json
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from emotone.data import everyday
from emotone.data.reading import whole_text
from emotone.emotions import EVERYDAY, FULL, TAXONOMIES, EmotionMix
from emotone.errors import DataError, UsageError, number_of
from emotone.evaluation.records import read_examples, read_replies_files
from emotone.files import replacing, write_json
from emotone.identity import digest
from emotone.metrics.agreement import cohen
from emotone.metrics.base import mean_stats
from emotone.metrics.pooling import Estimate
from emotone.metrics.significance import interval
from emotone.types import Example, Reply

#: What readers give, and the values of each.
CRITERIA: Mapping[str, tuple[int, ...]] = {"emotion": (0, 1), "content": (0, 1, 2), "blame": (0, 1)}
#: The criteria in words, as they stand above a sheet.
WORDS = {
    "emotion": "1 if the reply has the asked emotion, so that you would hear it without being"
    " told; else 0",
    "content": "2 if it is fluent and a sensible answer to this post; 1 if it is partly so, or"
    " fits any post; 0 if it is off the post or no proper language",
    "blame": "1 if it blames or insults the person who wrote the post; else 0",
}
HAND = "written by hand"
COLUMNS = ("id", "post", "asked", "reply", *CRITERIA)


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a sheet, and what its reader is not told.

    Args:
        id: Name of the line.
        post: The post, with the turns before it.
        asked: The emotion that was asked.
        reply: The reply.
        system: What wrote it.
        source: Name of the example.
    """

    id: str
    post: str
    asked: str
    reply: str
    system: str
    source: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reader gave one line: values of `CRITERIA`."""

    id: str
    reader: str
    emotion: int
    content: int
    blame: int


@dataclass(frozen=True, slots=True)
class SystemFigures:
    """What readers heard in one system, each a mean over posts with an interval of 95 %.

    Args:
        system: The system.
        lines: Lines that somebody rated.
        emotion: Share of replies with the asked emotion.
        content: Mean content, 0 to 2.
        both: Share with the asked emotion and content 2.
        blame: Share that blames or insults the user.
    """

    system: str
    lines: int
    emotion: Estimate
    content: Estimate
    both: Estimate
    blame: Estimate


def items(
    systems: Mapping[str, Sequence[tuple[Example, Reply]]],
    by_hand: Sequence[Example] = (),
    *,
    posts: int = 0,
    lines: int = 0,
    seed: int = 0,
) -> list[Item]:
    """Draw the lines of a sheet in the order of the sheet.

    Args:
        systems: Replies by the name of their system.
        by_hand: Examples whose own replies are mixed in, each in its emotion.
        posts: So many of the posts that all systems answered, the same for all; 0 for all.
        lines: At most so many lines of each system, drawn at random; 0 for all.
        seed: Of the draw and of the order.

    Raises:
        UsageError: If no post is answered by all systems.
    """
    draw = random.Random(seed)
    shared = set.intersection(*({e.id for e, _ in pairs} for pairs in systems.values()))
    if not shared:
        raise UsageError("no post is answered by all systems; give replies to the same examples")
    # A post that was answered in several emotions may be an example for each, and is one post.
    first = next(iter(systems.values()))
    post_of = {e.id: _shown(e) for e, _ in first if e.id in shared}
    named = list(dict.fromkeys(post_of[name] for name in sorted(shared)))
    drawn = set(draw.sample(named, posts) if 0 < posts < len(named) else named)
    chosen = {name for name, post in post_of.items() if post in drawn}
    rows: list[tuple[str, Example, str, str]] = []
    for system, pairs in systems.items():
        own = [
            (system, example, "none" if reply.emotion is None else str(reply.emotion), reply.text)
            for example, reply in pairs
            if example.id in chosen
        ]
        rows += draw.sample(own, lines) if 0 < lines < len(own) else own
    rows += [(HAND, e, str(e.emotion or "none"), e.reply) for e in by_hand if e.reply is not None]
    draw.shuffle(rows)
    return [
        Item(f"{n:04d}", _shown(example), asked, text, system, example.id)
        for n, (system, example, asked, text) in enumerate(rows, 1)
    ]


def write_sheet(drawn: Sequence[Item], sheet: Path, key: Path) -> None:
    """Write the sheet (.csv or .jsonl) and the key that a reader must not see.

    Raises:
        UsageError: If the sheet's name ends otherwise, or the key is the sheet.
    """
    if sheet.suffix not in (".csv", ".jsonl"):
        raise UsageError(f"the sheet is {sheet.name}; give a name that ends in .csv or .jsonl")
    if sheet == key:
        raise UsageError("sheet and key are one file; give the key a name of its own")
    rows: list[dict[str, Any]] = [
        {"id": i.id, "post": i.post, "asked": i.asked, "reply": i.reply} | dict.fromkeys(CRITERIA)
        for i in drawn
    ]
    with replacing(sheet) as scratch:
        if sheet.suffix == ".csv":
            out = io.StringIO()
            writer = csv.DictWriter(out, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
            # The mark at the beginning tells spreadsheets that it is UTF-8.
            scratch.write_text(out.getvalue(), encoding="utf-8-sig", newline="")
        else:
            texts = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            scratch.write_text("".join(texts), encoding="utf-8")
    lines = [asdict(item) for item in drawn]
    write_json(key, {"sheet": digest(lines), "lines": lines})


def read_key(path: Path) -> list[Item]:
    """Read the key of a sheet.

    Raises:
        DataError: If it is no key, or was changed.
    """
    try:
        whole = json.loads(whole_text(path))
        lines, kept = whole["lines"], whole["sheet"]
        drawn = [Item(**line) for line in lines]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no key of a sheet; `emotone blind sheet` writes one") from error
    if kept != digest(lines):
        raise DataError(f"{path} was changed after it was written; make the sheet anew")
    return drawn


def read_ratings(path: Path, drawn: Sequence[Item]) -> list[Reading]:
    """Read one reader's ratings: the sheet filled in, or lines of id and criteria only.

    Lines without any value were not rated and are left out. The reader is the file's name.

    Raises:
        DataError: If a line is not of this sheet, occurs twice or is filled in by half, or a value
            is none of the criterion's.
    """
    known = {i.id: i for i in drawn}
    readings: dict[str, Reading] = {}
    for number, row in rated_rows(path):
        where = f"{path}, line {number}"
        name = str(row.get("id", "")).strip()
        name = name.zfill(4) if name.isdigit() else name  # spreadsheets make 7 of 0007
        if name not in known:
            raise DataError(f"{where}: no line {name!r} is in the sheet; give the sheet's own key")
        if "reply" in row and str(row["reply"]).strip() != known[name].reply.strip():
            raise DataError(
                f"{where}: the reply is not that of the sheet; give the sheet's own key"
            )
        if name in readings:
            raise DataError(f"{where}: {name} is rated twice; leave one of the two")
        values = {c: _value(row.get(c), c, where) for c in CRITERIA}
        empty = [c for c, value in values.items() if value is None]
        if len(empty) == len(values):
            continue
        if empty:
            raise DataError(f"{where}: {name} has no {' and no '.join(empty)}; give all or none")
        readings[name] = Reading(name, path.stem, **{c: int(v or 0) for c, v in values.items()})
    return list(readings.values())


def figures(
    drawn: Sequence[Item], readings: Sequence[Reading], *, rounds: int = 1000, seed: int = 0
) -> list[SystemFigures]:
    """Average over lines, of several readers first over these; intervals are over posts.

    Args:
        drawn: The lines of the sheet.
        readings: What readers gave.
        rounds: Draws of each interval.
        seed: Of the draws.

    Raises:
        DataError: If nothing was rated.
    """
    if not readings:
        raise DataError("no line is rated; fill in emotion, content and blame")
    by_line: dict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        by_line[reading.id].append(reading)
    by_system: dict[str, list[Item]] = defaultdict(list)
    for item in drawn:
        if item.id in by_line:
            by_system[item.system].append(item)
    rows: list[SystemFigures] = []
    for system in sorted(by_system, key=lambda name: (name == HAND, name)):
        own = by_system[system]
        # The post and not the example: a post answered in several emotions is one draw.
        groups = [item.post for item in own]

        def mean(values: Sequence[float], share: bool, groups: list[str] = groups) -> Estimate:
            stats = mean_stats(values, share=share)
            low, high = interval(stats, groups=groups, rounds=rounds, seed=seed)
            return Estimate(stats.value(), low, high)

        def of(value: Any, own: list[Item] = own) -> list[float]:
            return [float(np.mean([value(r) for r in by_line[i.id]])) for i in own]

        rows.append(
            SystemFigures(
                system,
                len(own),
                mean(of(lambda r: r.emotion), True),
                mean(of(lambda r: r.content), False),
                mean(of(lambda r: r.emotion == 1 and r.content == 2), True),
                mean(of(lambda r: r.blame), True),
            )
        )
    return rows


def agreement(readings: Sequence[Reading]) -> list[dict[str, Any]]:
    """How far each two readers agree over the lines that both rated.

    Returns:
        For each pair of readers with a common line: their names, number of lines, and for each
        criterion Cohen's kappa (content with quadratic weights) and the share of equal values;
        kappa is None where one value was given throughout. Of several pairs, a last row has the
        lines of all together.

    Source: Cohen 1960; Cohen 1968 for the weights.
    """
    by_reader: dict[str, dict[str, Reading]] = defaultdict(dict)
    for reading in readings:
        by_reader[reading.reader][reading.id] = reading
    common: dict[tuple[str, ...], list[tuple[Reading, Reading]]] = {}
    for one, other in combinations(sorted(by_reader), 2):
        both = sorted(by_reader[one].keys() & by_reader[other].keys())
        if both:
            common[one, other] = [(by_reader[one][i], by_reader[other][i]) for i in both]
    if len(common) > 1:
        common["all",] = [twice for rows in common.values() for twice in rows]
    pairs: list[dict[str, Any]] = []
    for readers, twice in common.items():
        row: dict[str, Any] = {"readers": list(readers), "lines": len(twice)}
        for criterion, values in CRITERIA.items():
            first = [int(getattr(a, criterion)) for a, _ in twice]
            second = [int(getattr(b, criterion)) for _, b in twice]
            kappa = cohen_kappa(first, second, values)
            equal = float(np.mean(np.equal(first, second)))
            row[criterion] = {"kappa": None if math.isnan(kappa) else kappa, "equal": equal}
        pairs.append(row)
    return pairs


def cohen_kappa(first: Sequence[int], second: Sequence[int], values: Sequence[int]) -> float:
    """Cohen's kappa with quadratic weights, which for two values is the plain one.

    Args:
        first: Values of one reader, [N].
        second: Values of the other, [N].
        values: All possible values.

    Returns:
        1 for full agreement, 0 for chance; NaN where both gave one value throughout.
    """
    return cohen(np.array([first, second], np.float64).T, values).value()


def markdown(rows: Sequence[SystemFigures], pairs: Sequence[Mapping[str, Any]] = ()) -> str:
    """Write figures and agreement as Markdown."""
    text = "| system | lines | emotion | content (0 to 2) | both right | blames the user |\n"
    text += "|---|---|---|---|---|---|\n"
    for row in rows:
        cells = [_cell(e) for e in (row.emotion, row.content, row.both, row.blame)]
        text += f"| {row.system} | {row.lines} | {' | '.join(cells)} |\n"
    for pair in pairs:
        parts = [
            f"{c} {'not defined' if pair[c]['kappa'] is None else format(pair[c]['kappa'], '.2f')}"
            f" ({pair[c]['equal']:.2f} equal)"
            for c in CRITERIA
        ]
        who = "All pairs" if len(pair["readers"]) == 1 else " and ".join(pair["readers"])
        text += f"\n{who}, {number_of(pair['lines'], 'line')}: kappa of {', '.join(parts)}.\n"
    return text


def systems_of(paths: Sequence[Path]) -> dict[str, list[tuple[Example, Reply]]]:
    """Read replies and part them by what wrote them.

    A system is named by system and model; where two files have the same, by their file too.

    Raises:
        DataError: If a file cannot be read.
    """
    files = {path: read_replies_files([path]) for path in paths}
    wrote = {path: {(r.system, r.model) for _, r in pairs} for path, pairs in files.items()}
    systems: dict[str, list[tuple[Example, Reply]]] = {}
    for path, pairs in files.items():
        for example, reply in pairs:
            own = (reply.system, reply.model)
            twice = sum(own in others for others in wrote.values()) > 1
            name = f"{reply.system}, {reply.model}" + (f", {path}" if twice else "")
            systems.setdefault(name, []).append((example, reply))
    return systems


def by_hand(
    systems: Mapping[str, Sequence[tuple[Example, Reply]]],
    count: int,
    path: Path | None = None,
    *,
    seed: int = 0,
) -> list[Example]:
    """Draw lines written by hand, in the languages and the emotions of the replies.

    Args:
        systems: The replies among which they are put.
        count: How many.
        path: Examples with replies; None takes the test lines of everyday.
        seed: Of the draw.

    Raises:
        DataError: If the file has fewer such lines.
    """
    replies = [pair for pairs in systems.values() for pair in pairs]
    langs = {example.lang for example, _ in replies}
    asked = {e for _, r in replies if r.emotion is not None for e, _ in r.emotion.parts}
    sets = {emotion.taxonomy for emotion in asked}
    if path is not None:
        lines = list(read_examples(whole_text(path).split("\n"), str(path)))
    else:
        lines = [
            Example(f"{line.id}-{label}", line.dialogue, emotion, text, line.lang)
            for line in everyday.lines(kinds=["rich", "plain", "history"], splits=["test"])
            for label, text in line.replies.items()
            for emotion in _asked_as(label, sets)
        ]
    fit = [
        e
        for e in lines
        if e.reply is not None
        and e.lang in langs
        and (e.emotion is None or {part for part, _ in e.emotion.parts} <= asked)
    ]
    if len(fit) < count:
        raise DataError(
            f"{number_of(len(fit), 'line')} written by hand are in the replies' language and"
            f" emotions where {count} are asked; ask for fewer with --by-hand"
        )
    return random.Random(seed).sample(fit, count)


def _asked_as(label: str, sets: Iterable[str]) -> list[EmotionMix]:
    """An emotion of everyday in the label sets that were asked."""
    emotion = EVERYDAY.parse(label)
    asked = [EVERYDAY.map_to(emotion, TAXONOMIES[name]) for name in sorted(sets)]
    return [EmotionMix(((one, FULL),)) for one in asked]


def _cell(estimate: Estimate) -> str:
    ends = "" if math.isnan(estimate.low) else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{estimate.value:.2f}{ends}"


def _shown(example: Example) -> str:
    posts = example.dialogue.posts
    if len(posts) == 1:
        return posts[0].text
    return "\n".join(f"{post.speaker}: {post.text}" for post in posts)


def rated_rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Read the rows of a sheet that was filled in, with the number of each line.

    Raises:
        DataError: If a line is no object of JSON.
    """
    text = whole_text(path)
    if path.suffix == ".csv":
        return list(enumerate(csv.DictReader(io.StringIO(text)), 2))
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}: not a JSON object; write one a line")
        rows.append((number, row))
    return rows


def _value(given: Any, criterion: str, where: str) -> int | None:
    if given is None or str(given).strip() == "":
        return None
    text = str(given).strip()
    allowed = CRITERIA[criterion]
    if text not in {str(v) for v in allowed}:
        listed = " or ".join(map(str, allowed))
        raise DataError(f"{where}: {criterion} is {given!r}; use {listed}")
    return int(text)
