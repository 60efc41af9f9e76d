"""A study in one SQLite file: what is asked of whom, and every rating ever given.

Nothing in it is changed or deleted: taking a rating back adds a row. A rating is on the disk before
it is acknowledged (WAL, synchronous FULL).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from urllib.parse import quote

from emotone.errors import DataError, EmotoneError, RunError, UsageError, unknown_name
from emotone.files import check_writable, replacing
from emotone.human.design import Design, read_design
from emotone.human.draw import Unit
from emotone.human.migrations import STEPS, migrate
from emotone.human.plan import Plan

#: Longest wait for another writer.
BUSY_SECONDS = 5
_COLUMNS = tuple(field.name for field in fields(Unit))


class NotSaved(RunError):
    """The file cannot be written just now; what was acknowledged before is safe."""


@dataclass(frozen=True, slots=True)
class Study:
    """What a study file says of itself.

    Args:
        text: The design as TOML.
        lang: Language of the items.
        seed: Of every draw.
        contact: Whom raters ask.
        seconds: How long an item is thought to take.
        items_sha256: Digest of the items.
        created: When, in UTC.
    """

    text: str
    lang: str
    seed: int
    contact: str
    seconds: float
    items_sha256: str
    created: str

    @property
    def design(self) -> Design:
        """The design."""
        return read_design(self.text)


@dataclass(frozen=True, slots=True)
class Rater:
    """Somebody who rates."""

    id: int
    name: str


class Store:
    """An open study file; its threads take turns. Build it with `open_store`.

    Args:
        path: The file, for messages.
        db: The connection, which begins no transactions by itself.
    """

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self._db = db
        self._turn = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._turn:
            self._db.close()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give the connection, to read from."""
        with self._mine(), _sentences(self.path):
            yield self._db

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Give the connection in a transaction, which is on the disk when the block has ended.

        Raises:
            NotSaved: If the file is locked, cannot be written or has no room; nothing of the block
                is kept then.
        """
        with self._mine(), _sentences(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def _mine(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=BUSY_SECONDS):
            raise NotSaved(f"{self.path} is busy; try again in a few seconds")
        try:
            yield
        finally:
            self._turn.release()


def open_store(path: Path, *, write: bool = True) -> Store:
    """Open a study file, and bring its tables to today's.

    Args:
        path: The file.
        write: False reads a file that nobody may write, too.

    Raises:
        DataError: If it is not there, or is no study.
        NotSaved: If it is to be written and cannot be.
    """
    if not path.is_file():
        raise DataError(f"{path} is no file; `emotone study create` makes a study")
    # Whoever may write clears up what SQLite wrote ahead; only reading would leave it there.
    able = write or all(os.access(place, os.W_OK) for place in (path, path.parent))
    store = Store(path, _connect(path, "mode=rw" if able else "mode=ro"))
    try:
        with store.read() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                raise DataError(f"{path} is no study; `emotone study create` makes one")
            if write or version > len(STEPS):
                migrate(db, str(path))
        if write:
            with store.change():  # says now, not at the first rating, that it cannot be written
                pass
        elif version < len(STEPS):
            store.close()
            open_store(path).close()
            return open_store(path, write=False)
    except BaseException:
        store.close()
        raise
    return store


def create(
    path: Path, text: str, made: Plan, *, lang: str, seed: int, contact: str, seconds: float
) -> dict[str, str]:
    """Write a new study, whole or not at all.

    Args:
        path: The file, which must not be there.
        text: The design as TOML.
        made: Items and orders.
        lang: Language of the items.
        seed: Of every draw that made the plan.
        contact: Whom raters ask.
        seconds: How long an item is thought to take.

    Returns:
        Rater -> the secret of the rater's link, of which the file keeps only a hash.

    Raises:
        UsageError: If the file is there.
        DataError: If the place cannot be written.
    """
    for there in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        if there.exists():
            raise UsageError(f"{there} is there already; name another file, for ratings are kept")
    check_writable(path, keeps="what SQLite writes ahead")
    with replacing(path) as scratch:
        store = Store(path, _connect(scratch, "mode=rw"))
        with store, store.read() as db:
            migrate(db, str(path))
            db.execute("BEGIN")
            db.execute(
                "INSERT INTO study VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
                (text, lang, seed, contact, seconds, _digest(made.units), now()),
            )
            marks = ", ".join("?" * len(_COLUMNS))
            for number, unit in enumerate(made.units, 1):
                db.execute(f"INSERT INTO items VALUES (?, {marks})", (number, *astuple(unit)))
            tokens = add_orders(
                db, {r: [(unit + 1, flip) for unit, flip in own] for r, own in made.orders.items()}
            )
            db.execute("COMMIT")
            db.execute("PRAGMA journal_mode = WAL")
    return tokens


def add_orders(
    db: sqlite3.Connection, orders: Mapping[str, Sequence[tuple[int, bool]]]
) -> dict[str, str]:
    """Add raters with their orders.

    Args:
        db: Within a transaction.
        orders: Rater -> (number of the item, whether a pair's second reply stands first).

    Returns:
        Rater -> the secret of the rater's link.
    """
    tokens: dict[str, str] = {}
    for name, order in orders.items():
        tokens[name] = secrets.token_urlsafe(24)
        rater = add_rater(db, name, tokens[name])
        db.executemany(
            "INSERT INTO assignments VALUES (?, ?, ?, ?)",
            [(rater.id, place, item, int(flip)) for place, (item, flip) in enumerate(order, 1)],
        )
    return tokens


def add_rater(db: sqlite3.Connection, name: str, token: str | None) -> Rater:
    """Add a rater.

    Raises:
        UsageError: If the name is taken or empty.
    """
    if not name.strip():
        raise UsageError("a rater's name is empty; give each a name")
    if db.execute("SELECT 1 FROM raters WHERE name = ?", (name,)).fetchone():
        raise UsageError(f"a rater {name!r} is there already; give each a name of their own")
    hashed = None if token is None else _hash(token)
    row = db.execute(
        "INSERT INTO raters (name, token_sha256, created) VALUES (?, ?, ?)", (name, hashed, now())
    )
    return Rater(int(row.lastrowid or 0), name)


def study_of(store: Store) -> Study:
    """Read what the file says of itself."""
    with store.read() as db:
        row = db.execute(
            "SELECT design, lang, seed, contact, seconds, items_sha256, created FROM study"
        ).fetchone()
    if row is None:
        raise DataError(f"{store.path} holds no study; `emotone study create` makes one")
    return Study(*row)


def units_of(store: Store) -> dict[int, Unit]:
    """Read all items by their number.

    Raises:
        DataError: If they are not those that the study was created with.
    """
    with store.read() as db:
        rows = db.execute(f"SELECT id, {', '.join(_COLUMNS)} FROM items ORDER BY id").fetchall()
    units = {row[0]: Unit(*row[1:]) for row in rows}
    if _digest(units.values()) != study_of(store).items_sha256:
        raise DataError(f"the items of {store.path} were changed after the study was created")
    return units


def rater_of_token(store: Store, token: str) -> Rater | None:
    """Find who has a link; every guess takes the same time.

    Who was replaced by somebody else has none any more.
    """
    with store.read() as db:
        rows = db.execute(
            "SELECT id, name, token_sha256 FROM raters WHERE token_sha256 IS NOT NULL AND NOT"
            " EXISTS (SELECT 1 FROM events WHERE rater = raters.id AND kind = 'closed')"
        ).fetchall()
    given = _hash(token)
    matches = [Rater(row[0], row[1]) for row in rows if hmac.compare_digest(row[2], given)]
    return matches[0] if matches else None


def rater_of_name(store: Store, name: str) -> Rater:
    """Find a rater by name.

    Raises:
        UnknownName: If there is none.
    """
    with store.read() as db:
        rows = db.execute("SELECT id, name FROM raters ORDER BY id").fetchall()
    for row in rows:
        if row[1] == name:
            return Rater(*row)
    raise unknown_name("rater", name, [row[1] for row in rows])


def now() -> str:
    """The time in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    def connect(how: str) -> sqlite3.Connection:
        place = f"file:{quote(str(path.absolute()))}?{how}"
        db = sqlite3.connect(
            place, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("SELECT count(*) FROM sqlite_master")
        except BaseException:
            db.close()
            raise
        return db

    with _sentences(path):
        try:
            return connect(mode)
        except sqlite3.OperationalError:
            ahead = path.with_name(path.name + "-wal")
            if mode != "mode=ro" or (ahead.exists() and ahead.stat().st_size):
                raise
            return connect("mode=ro&immutable=1")  # in a folder where nothing can be written


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into one sentence."""
    try:
        yield
    except sqlite3.Error as error:
        raise _sentence(path, error) from error


def _sentence(path: Path, error: sqlite3.Error) -> EmotoneError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    safe = "what was acknowledged is safe"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return NotSaved(f"{path} is locked by another program; {safe}, try again in a few seconds")
    if code == sqlite3.SQLITE_FULL:
        return NotSaved(f"no room to write {path}; {safe}, make room on the disk")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return NotSaved(
            f"{path} cannot be written ({error}); {safe}, allow writing to it and its folder"
        )
    if code == sqlite3.SQLITE_IOERR:
        return NotSaved(f"the disk failed on {path} ({error}); {safe}, look at the disk")
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return DataError(f"{path} is no study file, or damaged ({error}); name another")
    return RunError(f"{path} cannot be used ({error})")


def _digest(units: Iterable[Unit]) -> str:
    rows = json.dumps([astuple(unit) for unit in units])
    return hashlib.sha256(rows.encode()).hexdigest()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
