"""The study file: what was acknowledged is there, whatever happens to the process or the disk."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from emotone.errors import DataError, UnknownName, UsageError
from emotone.human import store as stores
from emotone.human.invite import add_raters, replace_rater
from emotone.human.migrations import STEPS, migrate
from emotone.human.plan import Plan
from emotone.human.ratings import Act, Conflict, answers, progress, save, state_of, tell
from emotone.human.store import (
    NotSaved,
    Rater,
    Store,
    open_store,
    rater_of_name,
    rater_of_token,
    study_of,
    units_of,
)
from unit.human import simulated

WRITING = Path(__file__).with_name("writing.py")
GOOD = {"emotion": 1, "content": 2, "blame": 0}


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    path, tokens, _ = simulated.study(tmp_path, posts=3, raters=4, hand=2)
    return path, tokens


@pytest.fixture
def store(made: tuple[Path, dict[str, str]]) -> Iterator[Store]:
    with open_store(made[0]) as opened:
        yield opened


@pytest.fixture
def rater(store: Store) -> Rater:
    first = rater_of_name(store, "r01")
    tell(store, first, "consent")
    return first


def rows(path: Path, what: str = "*", table: str = "ratings") -> list[tuple]:
    with sqlite3.connect(path) as db:
        found = db.execute(f"SELECT {what} FROM {table} ORDER BY 1").fetchall()
    db.close()
    return found


# -- what raters do ------------------------------------------------------------------------------


def test_an_answer_is_given_once_and_comes_back(store: Store, rater: Rater):
    units = units_of(store)
    first = state_of(store, rater, units)
    assert (first.place, first.done) == (1, 0)
    save(store, rater, Act("rate", "k", 1, GOOD, seconds=3.0))
    save(store, rater, Act("rate", "k", 1, GOOD, seconds=4.0))
    assert state_of(store, rater, units).place == 2
    [answer] = answers(store)
    assert (answer.rater, answer.values, answer.seconds) == ("r01", GOOD, 3.0)
    assert len(rows(store.path)) == 1, "the same key is the same answer"
    with pytest.raises(Conflict, match=r"key 'k' was used for something else"):
        save(store, rater, Act("rate", "k", 2, GOOD))
    with pytest.raises(Conflict, match="answered already"):
        save(store, rater, Act("rate", "other", 1, GOOD))
    with pytest.raises(DataError, match="no item stands at place 999"):
        save(store, rater, Act("rate", "x", 999, GOOD))
    assert len(rows(store.path)) == 1


def test_what_is_taken_back_is_asked_again_and_stays_in_the_file(store: Store, rater: Rater):
    units = units_of(store)
    save(store, rater, Act("rate", "a", 1, GOOD))
    save(store, rater, Act("skip", "b", 2, reason="upsetting", note="no"))
    assert state_of(store, rater, units).done == 2
    save(store, rater, Act("undo", "c"))
    save(store, rater, Act("undo", "c"))
    assert state_of(store, rater, units).place == 2, "one key takes back once"
    save(store, rater, Act("undo", "d"))
    assert state_of(store, rater, units).place == 1
    assert state_of(store, rater, units).practised, "whoever has rated has practised"
    with pytest.raises(Conflict, match="nothing to take back"):
        save(store, rater, Act("undo", "e"))
    assert answers(store) == []
    save(store, rater, Act("rate", "f", 1, GOOD | {"content": 0}))
    assert [a.values["content"] for a in answers(store)] == [0]
    assert [row[0] for row in rows(store.path, "kind")].count("rate") == 2
    assert len(rows(store.path)) == 5, "nothing is ever deleted"


def test_nothing_is_saved_before_the_consent(store: Store):
    with pytest.raises(Conflict, match="consent"):
        save(store, rater_of_name(store, "r02"), Act("rate", "k", 1, GOOD))
    assert rows(store.path) == []


@pytest.mark.parametrize("table", ["ratings", "events", "items", "study"])
def test_rows_are_only_appended(store: Store, rater: Rater, table: str):
    save(store, rater, Act("rate", "k", 1, GOOD))
    with sqlite3.connect(store.path) as db:
        for verb in (f"DELETE FROM {table}", f"UPDATE {table} SET id = id + 1"):
            with pytest.raises(sqlite3.IntegrityError, match=f"{table} are only appended to"):
                db.execute(verb)
    db.close()


def test_a_link_is_one_raters_and_is_kept_only_as_a_hash(made: tuple[Path, dict[str, str]]):
    path, tokens = made
    assert len(set(tokens.values())) == 4
    assert all(len(token) >= 22 for token in tokens.values()), "128 bits and more"
    with open_store(path) as store:
        for name, token in tokens.items():
            found = rater_of_token(store, token)
            assert found is not None
            assert found.name == name
            for guess in (token[:-1], token + "A", token.swapcase(), "", "\udcff"):
                assert rater_of_token(store, guess) is None
    assert not any(token.encode() in path.read_bytes() for token in tokens.values())


def test_a_new_rater_takes_over_what_another_left(store: Store, rater: Rater):
    units = units_of(store)
    before = {row["rater"]: row for row in progress(store)}
    save(store, rater, Act("rate", "k", 1, GOOD))
    tokens = replace_rater(store, "r01", "anna")
    after = {row["rater"]: row for row in progress(store)}
    assert after["anna"]["total"] == before["r01"]["total"] - 1
    assert after["r01"]["replaced"]
    anna = rater_of_token(store, tokens["anna"])
    assert anna is not None
    assert state_of(store, anna, units).total == after["anna"]["total"]
    assert [a.rater for a in answers(store)] == ["r01"], "what r01 gave stays"
    with pytest.raises(UnknownName, match="unknown rater 'r9'"):
        replace_rater(store, "r9", "ben")
    with pytest.raises(UsageError, match="'anna' is there already"):
        replace_rater(store, "r02", "anna")


def test_a_replaced_rater_has_no_link_any_more(made: tuple[Path, dict[str, str]]):
    path, tokens = made
    with open_store(path) as store:
        replace_rater(store, "r02", "ben")
        assert rater_of_token(store, tokens["r02"]) is None
        assert rater_of_token(store, tokens["r03"]) is not None


def test_more_raters_get_the_items_that_fewest_have(store: Store):
    tokens = add_raters(store, ["x", "y"], items=10)
    assert set(tokens) == {"x", "y"}
    with store.read() as db:
        own = db.execute(
            "SELECT raters.name, item, role FROM assignments JOIN raters ON raters.id = rater"
            " JOIN items ON items.id = item WHERE raters.name IN ('x', 'y')"
        ).fetchall()
    shown = [(name, item) for name, item, role in own if role != "check"]
    assert len(shown) == 20
    assert len({item for _, item in shown}) == 20, "each to one of them"
    assert {name for name, _, role in own if role == "check"} == {"x", "y"}


# -- the file ------------------------------------------------------------------------------------


def test_a_study_is_never_written_over(made: tuple[Path, dict[str, str]], tmp_path: Path):
    path, _ = made
    before = path.read_bytes()
    with open_store(path) as store:
        study, units = study_of(store), tuple(units_of(store).values())
    plan = Plan(units, {"r01": ((0, False),)})
    with pytest.raises(UsageError, match="is there already"):
        stores.create(path, study.text, plan, lang="en", seed=0, contact="", seconds=1.0)
    ahead = tmp_path / "new.db-wal"
    ahead.touch()
    with pytest.raises(UsageError, match=r"new.db-wal is there already"):
        stores.create(tmp_path / "new.db", study.text, plan, lang="en", seed=0, contact="",
                      seconds=1.0)  # fmt: skip
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if "part" in p.name] == []


def test_the_file_says_how_it_is_written(store: Store):
    with store.read() as db:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        modes = [db.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    assert modes == ["wal", 2, 1, 5000]
    assert study_of(store).lang == "en"


def test_items_that_were_changed_are_refused(store: Store):
    with sqlite3.connect(store.path) as db:
        db.execute("DROP TRIGGER items_UPDATE")
        db.execute("UPDATE items SET system = 'mine' WHERE id = 3")
    db.close()
    with pytest.raises(DataError, match=r"items of .* were changed"):
        units_of(store)


def test_other_files_are_refused(tmp_path: Path):
    text, empty, foreign = tmp_path / "a.db", tmp_path / "b.db", tmp_path / "c.db"
    text.write_text("not a database, but long enough to be read as one" * 40, encoding="utf-8")
    empty.touch()
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    for path in (text, empty, foreign):
        for write in (True, False):
            with pytest.raises(DataError, match="is no study"):
                open_store(path, write=write)
    assert empty.stat().st_size == 0
    with pytest.raises(DataError, match="is no file"):
        open_store(tmp_path / "none.db")


def test_steps_are_numbered_and_done_once(made: tuple[Path, dict[str, str]]):
    path, _ = made
    db = sqlite3.connect(path, isolation_level=None)
    assert db.execute("PRAGMA user_version").fetchone() == (len(STEPS),)
    more = (*STEPS, "CREATE TABLE later (x INTEGER) STRICT;")
    migrate(db, "study", more)
    migrate(db, "study", more)
    assert db.execute("PRAGMA user_version").fetchone() == (len(STEPS) + 1,)
    assert db.execute("SELECT count(*) FROM items").fetchone()[0] > 40
    bad = (*more, "CREATE TABLE half (x INTEGER) STRICT; CREATE TABLE half (x INTEGER) STRICT;")
    with pytest.raises(sqlite3.OperationalError):
        migrate(db, "study", bad)
    db.rollback()
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
    assert "half" not in tables, "a step is whole or not at all"
    db.close()
    with pytest.raises(DataError, match="written by a later emotone"):
        open_store(path)


# -- when the world fails ------------------------------------------------------------------------


def test_a_full_disk_loses_nothing_and_is_said(store: Store, rater: Rater):
    save(store, rater, Act("rate", "before", 1, GOOD))
    with store.read() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
    note = "n" * 1000
    with pytest.raises(NotSaved, match=r"no room to write .*make room"):
        for place in range(2, 30):
            save(store, rater, Act("skip", f"k{place}", place, reason="other", note=note))
    there = {row[0] for row in rows(store.path, "key")}
    assert "before" in there
    assert len(there) == len(answers(store)), "what was refused is not there, the rest is"
    with store.read() as db:
        db.execute("PRAGMA max_page_count = 1000000")
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    place = state_of(store, rater, units_of(store)).place
    save(store, rater, Act("rate", "after", place, GOOD))
    assert "after" in {row[0] for row in rows(store.path, "key")}


def test_a_locked_file_is_waited_for_and_then_said(
    store: Store, rater: Rater, monkeypatch: pytest.MonkeyPatch
):
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with store.read() as db:
        db.execute("PRAGMA busy_timeout = 200")
    began = time.monotonic()
    with pytest.raises(NotSaved, match="locked by another program"):
        save(store, rater, Act("rate", "k", 1, GOOD))
    assert time.monotonic() - began >= 0.2
    assert rows(store.path) == []
    other.execute("COMMIT")
    other.close()
    save(store, rater, Act("rate", "k", 1, GOOD))
    assert len(rows(store.path)) == 1
    monkeypatch.setattr(stores, "BUSY_SECONDS", 0.1)
    with store.read(), pytest.raises(NotSaved, match="is busy"), store.change():
        pass


def test_a_file_that_may_only_be_read_is_read_and_not_written(
    made: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
):
    path, _ = made
    with open_store(path) as store:
        first = rater_of_name(store, "r01")
        tell(store, first, "consent")
        save(store, first, Act("rate", "k", 1, GOOD))
        with store.read() as db:
            db.execute("PRAGMA query_only = ON")
        with pytest.raises(NotSaved, match=r"cannot be written .*allow writing"):
            save(store, first, Act("rate", "l", 2, GOOD))
    path.chmod(0o444)
    path.parent.chmod(0o555)
    monkeypatch.setattr(os, "access", lambda *_: False)  # the superuser may write all the same
    try:
        with open_store(path, write=False) as store:
            assert [a.values for a in answers(store)] == [GOOD]
            with pytest.raises(NotSaved, match="cannot be written"):
                save(store, first, Act("rate", "l", 2, GOOD))
    finally:
        path.parent.chmod(0o755)


@pytest.mark.slow
def test_what_was_acknowledged_survives_kills_among_writers(tmp_path: Path):
    """Ten times; `python -m bench.study kills` does it 200 times, over HTTP."""
    path, tokens, _ = simulated.study(tmp_path, posts=40, raters=4, hand=0)
    draw = random.Random(5)
    acknowledged: list[tuple[str, str]] = []
    for _ in range(10):
        child = subprocess.Popen(
            [sys.executable, str(WRITING), str(path), *tokens.values()],
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        lines = [child.stdout.readline()]  # the raters are at it
        time.sleep(draw.uniform(0.0, 0.15))
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.read().splitlines()
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
        acknowledged += [tuple(line.decode().split()[:2]) for line in lines if line.strip()]
        there = rows(path, "raters.name, ratings.key", "ratings JOIN raters ON raters.id = rater")
        assert len(there) == len(set(there)), "nothing is there twice"
        assert set(acknowledged) <= set(there), "what was acknowledged is there"
        assert rows(path, "*", "pragma_integrity_check") == [("ok",)]
    assert len(acknowledged) > 50
