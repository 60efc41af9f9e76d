"""Ratings as files: all that was ever given, out of a study and into one, and from blind sheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from emotone.errors import DataError, EmotoneError, UsageError
from emotone.evaluation import blind
from emotone.files import replacing
from emotone.human.store import Store, add_rater, now, rater_of_name, study_of, units_of

_COLUMNS = (
    "rater", "key", "at", "kind", "counts", "item", "source", "system", "other_system", "asked",
    "role", "flipped", "reason", "note", "seconds",
)  # fmt: skip
_TEXTS = ("post", "reply", "other_reply")
#: What a spreadsheet would run as a formula; such a cell gets an apostrophe in front.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


def export(store: Store, path: Path, *, texts: bool = False, without: Sequence[str] = ()) -> int:
    """Write every rating ever given, one a line, to .csv or .jsonl.

    Args:
        store: The study.
        path: The file.
        texts: Whether posts and replies are written too, which may be lines of a corpus.
        without: Raters who want to be left out.

    Returns:
        Number of lines.

    Raises:
        UsageError: If the name ends otherwise.
        UnknownName: If nobody has a name of `without`.
        DataError: If the place cannot be written.
    """
    if path.suffix not in (".csv", ".jsonl"):
        raise UsageError(f"the file is {path.name}; give a name that ends in .csv or .jsonl")
    gone = {rater_of_name(store, name).name for name in without}
    rows = [row for row in _rows(store, texts) if row["rater"] not in gone]
    names = [c.name for c in study_of(store).design.criteria]
    with replacing(path) as scratch:
        if path.suffix == ".jsonl":
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            scratch.write_text("".join(lines), encoding="utf-8", newline="\n")
        else:
            out = io.StringIO()
            writer = csv.DictWriter(out, [*_COLUMNS, *names, *(_TEXTS if texts else ())])
            writer.writeheader()
            writer.writerows({k: _cell(v) for k, v in row.items()} for row in rows)
            # The mark at the beginning tells spreadsheets that it is UTF-8.
            scratch.write_text(out.getvalue(), encoding="utf-8-sig", newline="")
    return len(rows)


def _rows(store: Store, texts: bool) -> Iterator[dict[str, Any]]:
    units = units_of(store)
    names = [c.name for c in study_of(store).design.criteria]
    with store.read() as db:
        rows = db.execute(
            "SELECT raters.name, r.key, r.at, r.kind, r.id = (SELECT max(id) FROM ratings AS later"
            " WHERE later.rater = r.rater AND later.item = r.item) AND r.kind != 'undo', r.item,"
            " a.flipped, r.reason, r.note, r.seconds, r.answer FROM ratings AS r"
            " JOIN raters ON raters.id = r.rater"
            " JOIN assignments AS a ON a.rater = r.rater AND a.item = r.item ORDER BY r.id"
        ).fetchall()
    for rater, key, at, kind, counts, item, flipped, reason, note, seconds, answer in rows:
        unit, values = units[item], json.loads(answer)
        cells = (
            rater, key, at, kind, counts, item, unit.source, unit.system, unit.other_system,
            unit.asked, unit.role, flipped, reason, note, seconds,
        )  # fmt: skip
        row = dict(zip(_COLUMNS, cells, strict=True)) | {n: values.get(n) for n in names}
        yield row | ({name: getattr(unit, name) for name in _TEXTS} if texts else {})


def take(store: Store, path: Path) -> tuple[int, int]:
    """Take ratings from a file of `export` into the study of the same items.

    What is there already, by rater and key, is left as it is. Raters who are not there are added,
    without a link.

    Returns:
        Number of ratings taken, and of those that were there.

    Raises:
        DataError: If a line is of another study or no rating; nothing is taken then.
    """
    rows: list[dict[str, Any]] = []
    for number, line in blind.rated_rows(path):
        row = {k: _text(v) for k, v in line.items()} if path.suffix == ".csv" else line
        rows.append(row | {"where": f"{path}, line {number}"})
    return _put(store, rows)


def take_sheets(store: Store, key: Path, sheets: Sequence[Path]) -> tuple[int, int]:
    """Take what readers gave on blind sheets; each sheet is one reader's, named by its file.

    Raises:
        DataError: If a line of the sheet is no item of the study, or a sheet is not the key's.
    """
    drawn = blind.read_key(key)
    known = {(u.post, u.asked, u.reply, u.system): n for n, u in units_of(store).items()}
    number = {i.id: known.get((i.post, i.asked, i.reply, i.system)) for i in drawn}
    rows: list[dict[str, Any]] = []
    for sheet in sheets:
        for reading in blind.read_ratings(sheet, drawn):
            where = f"{sheet}, line {reading.id}"
            if number[reading.id] is None:
                raise DataError(f"{where} is no item of {store.path}; create it with --key {key}")
            values = {c: getattr(reading, c) for c in blind.CRITERIA}
            row = {"rater": reading.reader, "key": f"sheet:{reading.id}", "kind": "rate"}
            rows.append(row | values | {"item": number[reading.id], "where": where})
    return _put(store, rows)


def _put(store: Store, rows: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    units, design = units_of(store), study_of(store).design
    taken = there = 0
    with store.change() as db:
        raters = dict(db.execute("SELECT name, id FROM raters").fetchall())
        for row in rows:
            where = row["where"]
            try:
                name, key, kind = str(row["rater"]), str(row["key"]), str(row["kind"])
                item, flipped = int(row["item"]), int(row.get("flipped") or 0)
                unit = units[item]
                seconds = None if row.get("seconds") in (None, "") else float(row["seconds"])
                if kind not in ("rate", "skip", "undo") or flipped not in (0, 1):
                    raise ValueError(kind)
            except (KeyError, ValueError, TypeError) as error:
                raise DataError(f"{where}: no rating of this study ({error!r})") from error
            for field in ("source", "system", "other_system", "asked"):
                if row.get(field) not in (None, getattr(unit, field)):
                    raise DataError(
                        f"{where}: {field} of item {item} is {row[field]!r}, in {store.path}"
                        f" {getattr(unit, field)!r}; give ratings of the same study"
                    )
            values: dict[str, int] = {}
            if kind == "rate":
                try:
                    given = {c.name: int(row[c.name]) for c in design.criteria}
                    values = design.check_values(given)
                except (KeyError, ValueError, TypeError, EmotoneError) as error:
                    raise DataError(
                        f"{where}: not an answer to every criterion ({error})"
                    ) from error
            if name not in raters:
                raters[name] = add_rater(db, name, None).id
            rater, answer = raters[name], json.dumps(values)
            earlier = db.execute(
                "SELECT item, kind, answer FROM ratings WHERE rater = ? AND key = ?", (rater, key)
            ).fetchone()
            if earlier is not None:
                if earlier != (item, kind, answer):
                    raise DataError(f"{where}: {name} gave something else under {key!r} here")
                there += 1
                continue
            db.execute(
                "INSERT OR IGNORE INTO assignments SELECT ?, coalesce(max(place), 0) + 1, ?, ?"
                " FROM assignments WHERE rater = ?",
                (rater, item, flipped, rater),
            )
            sides = "SELECT flipped FROM assignments WHERE rater = ? AND item = ?"
            if db.execute(sides, (rater, item)).fetchone() != (flipped,):
                raise DataError(f"{where}: {name} saw the two replies in the other order here")
            text = {field: str(row.get(field) or "") for field in ("reason", "note", "at")}
            db.execute(
                "INSERT INTO ratings (rater, item, key, kind, answer, reason, note, seconds, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (rater, item, key, kind, answer, text["reason"], text["note"], seconds,
                 text["at"] or now()),
            )  # fmt: skip
            taken += 1
    return taken, there


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _text(value: Any) -> Any:
    return value[1:] if isinstance(value, str) and value.startswith("'") else value
