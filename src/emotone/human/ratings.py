"""What raters do: give an answer, skip, take it back; and where each of them is."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emotone.errors import DataError, UsageError
from emotone.human.draw import Unit
from emotone.human.store import Rater, Store, now

#: What may be told beside ratings.
EVENTS = ("consent", "practised", "pause", "resume")
#: The newest row of each item of a rater says how it stands.
_NEWEST = (
    "(SELECT max(id) FROM ratings AS later WHERE later.rater = r.rater AND later.item = r.item)"
)


class Conflict(UsageError):
    """What a rater does cannot be, as things stand."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something a rater does.

    Args:
        kind: "rate", "skip" or "undo", which takes back the last that was not taken back.
        key: Name of the act, given by the client; the same key is the same act.
        place: Of the item in the rater's order, from 1; of no account to "undo".
        values: Criterion -> value, for "rate".
        reason: Why it is skipped.
        note: The same in the rater's words.
        seconds: How long it took, as the client measured.
    """

    kind: str
    key: str
    place: int = 0
    values: Mapping[str, int] = field(default_factory=dict[str, int])
    reason: str = ""
    note: str = ""
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class State:
    """Where a rater is.

    Args:
        consented: Whether the consent was accepted.
        practised: Whether practice is over.
        done: Items answered or skipped.
        total: All items.
        place: Of the next one; 0 where there is none.
        flipped: Whether the second reply of the pair stands first.
        unit: The next one; None where there is none.
    """

    consented: bool
    practised: bool
    done: int
    total: int
    place: int
    flipped: bool
    unit: Unit | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What counts of a rater on an item: the newest that was not taken back.

    Args:
        rater: Name.
        item: Number of the item.
        flipped: Whether the second reply of the pair stood first.
        kind: "rate" or "skip".
        values: Criterion -> value, as it was given.
        reason: Why it was skipped.
        seconds: How long it took; None where nobody measured.
    """

    rater: str
    item: int
    flipped: bool
    kind: str
    values: Mapping[str, int]
    reason: str
    seconds: float | None


def state_of(store: Store, rater: Rater, units: Mapping[int, Unit]) -> State:
    """Say where a rater is, and what comes next: the first item without an answer."""
    with store.read() as db:
        rows = db.execute(
            "SELECT a.place, a.item, a.flipped, (SELECT kind FROM ratings AS r WHERE"
            " r.rater = a.rater AND r.item = a.item ORDER BY id DESC LIMIT 1)"
            " FROM assignments AS a WHERE a.rater = ? ORDER BY a.place",
            (rater.id,),
        ).fetchall()
        told = {
            kind for (kind,) in db.execute("SELECT kind FROM events WHERE rater = ?", (rater.id,))
        }
    left = [row for row in rows if row[3] in (None, "undo")]
    place, item, flipped, _ = left[0] if left else (0, 0, 0, None)
    done = len(rows) - len(left)
    return State(
        "consent" in told,
        "practised" in told or any(row[3] is not None for row in rows),
        done,
        len(rows),
        place,
        bool(flipped),
        units.get(item),
    )


def save(store: Store, rater: Rater, act: Act) -> None:
    """Put an act on the disk; done twice with one key, it is there once.

    Raises:
        Conflict: If the consent is missing, the key was used for another act, the item is answered,
            or there is nothing to take back.
        DataError: If no item stands at the place.
        NotSaved: If the file cannot be written.
    """
    with store.change() as db:
        if not db.execute(
            "SELECT 1 FROM events WHERE rater = ? AND kind = 'consent'", (rater.id,)
        ).fetchone():
            raise Conflict("the consent is not accepted yet; accept it first")
        earlier = db.execute(
            "SELECT kind, item, answer, reason, note FROM ratings WHERE rater = ? AND key = ?",
            (rater.id, act.key),
        ).fetchone()
        item = _last(db, rater) if act.kind == "undo" else _at(db, rater, act.place)
        answer = json.dumps(dict(act.values))
        if earlier is not None:
            same = earlier[0] == act.kind and (
                act.kind == "undo" or earlier == (act.kind, item, answer, act.reason, act.note)
            )
            if not same:
                raise Conflict(f"the key {act.key!r} was used for something else; take a new one")
            return
        if act.kind == "undo" and item is None:
            raise Conflict("there is nothing to take back")
        if act.kind != "undo" and _stands(db, rater, item) in ("rate", "skip"):
            raise Conflict("the item is answered already; take that back first")
        db.execute(
            "INSERT INTO ratings (rater, item, key, kind, answer, reason, note, seconds, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                rater.id,
                item,
                act.key,
                act.kind,
                answer,
                act.reason,
                act.note,
                act.seconds,
                now(),
            ),
        )


def tell(store: Store, rater: Rater, kind: str, note: str = "") -> None:
    """Put an event of a rater on the disk; consent and practice are told once.

    Raises:
        NotSaved: If the file cannot be written.
    """
    with store.change() as db:
        add_event(db, rater, kind, note)


def add_event(db: sqlite3.Connection, rater: Rater, kind: str, note: str = "") -> None:
    """Add an event within a transaction."""
    if kind in ("consent", "practised", "closed") and (
        db.execute("SELECT 1 FROM events WHERE rater = ? AND kind = ?", (rater.id, kind)).fetchone()
    ):
        return
    db.execute(
        "INSERT INTO events (rater, kind, note, at) VALUES (?, ?, ?, ?)",
        (rater.id, kind, note, now()),
    )


def answers(store: Store) -> list[Answer]:
    """Read every answer that counts, in the order in which they were given."""
    with store.read() as db:
        rows = db.execute(
            "SELECT raters.name, r.item, a.flipped, r.kind, r.answer, r.reason, r.seconds"
            " FROM ratings AS r JOIN raters ON raters.id = r.rater"
            " JOIN assignments AS a ON a.rater = r.rater AND a.item = r.item"
            f" WHERE r.kind != 'undo' AND r.id = {_NEWEST} ORDER BY r.id"
        ).fetchall()
    return [
        Answer(name, item, bool(flipped), kind, json.loads(values), reason, seconds)
        for name, item, flipped, kind, values, reason, seconds in rows
    ]


def progress(store: Store) -> list[dict[str, Any]]:
    """Say how far each is: `rater`, items `done` of `total`, if `replaced`, the `last` time."""
    with store.read() as db:
        rows = db.execute(
            "SELECT raters.name, (SELECT count(*) FROM ratings AS r WHERE r.rater = raters.id AND"
            f" r.kind != 'undo' AND r.id = {_NEWEST}), (SELECT count(*) FROM assignments WHERE"
            " rater = raters.id), EXISTS (SELECT 1 FROM events WHERE rater = raters.id AND kind ="
            " 'closed'), (SELECT max(at) FROM ratings WHERE rater = raters.id) FROM raters"
            " ORDER BY raters.id"
        ).fetchall()
    names = ("rater", "done", "total", "replaced", "last")
    return [dict(zip(names, row, strict=True)) | {"replaced": bool(row[3])} for row in rows]


def _at(db: sqlite3.Connection, rater: Rater, place: int) -> int:
    row = db.execute(
        "SELECT item FROM assignments WHERE rater = ? AND place = ?", (rater.id, place)
    ).fetchone()
    if row is None:
        raise DataError(f"no item stands at place {place}; ask for the next one")
    return row[0]


def _last(db: sqlite3.Connection, rater: Rater) -> int | None:
    row = db.execute(
        f"SELECT item FROM ratings AS r WHERE rater = ? AND kind != 'undo' AND id = {_NEWEST}"
        " ORDER BY id DESC LIMIT 1",
        (rater.id,),
    ).fetchone()
    return None if row is None else row[0]


def _stands(db: sqlite3.Connection, rater: Rater, item: int | None) -> str | None:
    row = db.execute(
        "SELECT kind FROM ratings WHERE rater = ? AND item = ? ORDER BY id DESC LIMIT 1",
        (rater.id, item),
    ).fetchone()
    return None if row is None else row[0]
