"""The tables of a study file, as numbered steps; `PRAGMA user_version` counts those that were done.

A step is never changed once it was published; what has to change becomes a new step.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from emotone.errors import DataError

_APPEND_ONLY = """
CREATE TRIGGER {table}_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} are only appended to'); END;
"""

STEPS: tuple[str, ...] = (
    """
CREATE TABLE study (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    design TEXT NOT NULL,           -- TOML
    lang TEXT NOT NULL CHECK (lang IN ('en', 'zh')),
    seed INTEGER NOT NULL,
    contact TEXT NOT NULL,
    seconds REAL NOT NULL,          -- how long an item is thought to take
    items_sha256 TEXT NOT NULL,
    created TEXT NOT NULL
) STRICT;
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('reply', 'hand', 'check')),
    post TEXT NOT NULL,
    asked TEXT NOT NULL,
    taxonomy TEXT NOT NULL,
    emotion TEXT NOT NULL,
    reply TEXT NOT NULL,
    system TEXT NOT NULL,
    source TEXT NOT NULL,
    other_reply TEXT NOT NULL,
    other_system TEXT NOT NULL,
    expected INTEGER
) STRICT;
CREATE TABLE raters (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    token_sha256 BLOB UNIQUE,       -- NULL where ratings were only imported
    created TEXT NOT NULL
) STRICT;
CREATE TABLE assignments (
    rater INTEGER NOT NULL REFERENCES raters (id),
    place INTEGER NOT NULL,         -- from 1, in the order of the rater
    item INTEGER NOT NULL REFERENCES items (id),
    flipped INTEGER NOT NULL CHECK (flipped IN (0, 1)),  -- whether the second system stands first
    PRIMARY KEY (rater, place),
    UNIQUE (rater, item)
) STRICT, WITHOUT ROWID;
CREATE TABLE ratings (
    id INTEGER PRIMARY KEY,
    rater INTEGER NOT NULL,
    item INTEGER NOT NULL,
    key TEXT NOT NULL,              -- given by the client, so that nothing is counted twice
    kind TEXT NOT NULL CHECK (kind IN ('rate', 'skip', 'undo')),
    answer TEXT NOT NULL,           -- JSON: criterion -> value, as it was given
    reason TEXT NOT NULL,
    note TEXT NOT NULL,
    seconds REAL,                   -- as the client measured
    at TEXT NOT NULL,
    UNIQUE (rater, key),
    FOREIGN KEY (rater, item) REFERENCES assignments (rater, item)
) STRICT;
CREATE INDEX ratings_of_item ON ratings (rater, item, id);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    rater INTEGER NOT NULL REFERENCES raters (id),
    kind TEXT NOT NULL,             -- consent, practised, pause, resume, closed
    note TEXT NOT NULL,
    at TEXT NOT NULL
) STRICT;
"""
    + "".join(
        _APPEND_ONLY.format(table=table, verb=verb)
        for table in ("study", "items", "ratings", "events")
        for verb in ("UPDATE", "DELETE")
    ),
)


def migrate(db: sqlite3.Connection, where: str, steps: Sequence[str] = STEPS) -> None:
    """Bring the tables of a file to today's, each step whole or not at all.

    Args:
        db: A connection that begins no transactions by itself.
        where: The file, for messages.
        steps: All steps.

    Raises:
        DataError: If the file was written by a later emotone.
    """
    done = int(db.execute("PRAGMA user_version").fetchone()[0])
    if done > len(steps):
        raise DataError(
            f"{where} was written by a later emotone (step {done} where this one knows"
            f" {len(steps)}); install the newest"
        )
    for number in range(done, len(steps)):
        db.executescript(f"BEGIN;{steps[number]}PRAGMA user_version = {number + 1};COMMIT;")
