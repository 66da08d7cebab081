"""Migrations and backfills of a SQLite file: one transaction a statement, done once, whoever is killed; one writer."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.database.backfill import BackfillSettings, Outcome, Unfit, backfill
from greenroom.adapters.database.ledger import Ledger
from greenroom.adapters.database.running import Outcome as Expanded
from greenroom.adapters.database.running import Pace, expand
from greenroom.adapters.database.target import Broken, Target, of
from greenroom.domain.schema import Stage, Stand
from tests.rigs import backfilling
from tests.rigs.dying import Dying, Killed, Process
from tests.rigs.migrating import SERVICE, migration, order, together, until

NAME = "0007_new_preference"
EXPAND = """
ALTER TABLE users ADD COLUMN preference TEXT;
CREATE INDEX by_preference ON users (preference);
CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT);
INSERT INTO log (what) VALUES ('begun');
CREATE TRIGGER users_log AFTER INSERT ON users BEGIN INSERT INTO log (what) VALUES ('insert'); END;
"""


class Base:
    """One file with a table `users`, and what is done to it."""

    def __init__(self, path: Path, rows: int = 3, key: str = "id INTEGER PRIMARY KEY") -> None:
        self.path, self.url = path, f"sqlite:///{path}"
        self.said: list[str] = []
        self.sql(f"CREATE TABLE users (old TEXT, new, version INTEGER NOT NULL DEFAULT 0, {key})")
        self.sql("PRAGMA journal_mode = WAL")
        self.sql(
            "CREATE TRIGGER counted AFTER UPDATE OF old, new ON users BEGIN"
            " UPDATE users SET version = OLD.version + 1 WHERE rowid = NEW.rowid; END"
        )
        if rows:
            numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
            self.sql(f"{numbers} INSERT INTO users (id, old) SELECT i, 'likes ' || i FROM n")

    def sql(self, sql: str) -> list[tuple[Any, ...]]:
        with self.open() as db:
            return db.execute(sql).fetchall()

    def open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None, timeout=30, check_same_thread=False)

    def expand(self, text: str = EXPAND, target: Target | None = None, pace: Pace | None = None) -> Expanded:
        return expand(target or of(self.url), order(), [migration(expand=text)], self.said.append, pace=pace)

    def stand(self) -> tuple[Stand, list[Stand]]:
        session = of(self.url).open("test")
        try:
            ledger = Ledger(session, SERVICE)
            row = ledger.migration(NAME, Stage.EXPAND)
            assert row is not None
            return row.state, [one.state for one in ledger.statements(NAME, Stage.EXPAND).values()]
        finally:
            session.close()

    def shape(self) -> list[tuple[Any, ...]]:
        return self.sql("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE '%greenroom%' ORDER BY name")

    def fill(self, text: str = "UPDATE users SET new = old", file: str = "backfill.sql") -> Outcome:
        settings = BackfillSettings(max_batch=100)
        files = [backfilling.migration(text, file)]
        return backfill(of(self.url), order(), files, settings, self.said.append, sleep=lambda seconds: None)


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return Base(tmp_path / "shop.db")


# --- expand ---------------------------------------------------------------------------------------------------------


def test_a_file_is_carried_out_and_not_again(base: Base) -> None:
    assert base.expand().statements == 5
    assert base.expand().statements == 0
    assert base.sql("SELECT what FROM log") == [("begun",)]
    assert base.stand() == (Stand.DONE, [Stand.DONE] * 5)


def test_what_fails_is_undone_with_its_row_in_the_ledger(base: Base) -> None:
    with pytest.raises(Broken, match=r"expand.sql:2:1: .*no such table"):
        base.expand("ALTER TABLE users ADD COLUMN preference TEXT;\nINSERT INTO nowhere VALUES (1)")
    assert base.stand() == (Stand.RUNNING, [Stand.DONE])


def test_behind_a_writer_it_gives_up_and_says_so(base: Base) -> None:
    base.expand("ALTER TABLE users ADD COLUMN first TEXT")
    writer = base.open()
    writer.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, lambda: writer.execute("ROLLBACK"))
    release.start()  # the runner's own start needs to write; what follows does not
    try:
        done = expand(
            of(base.url), order(), [migration("0008_next", expand="ALTER TABLE users ADD b TEXT")], base.said.append
        )
    finally:
        release.join()
        writer.close()
    assert done.statements == 1


def test_users_write_between_its_statements(base: Base) -> None:
    stop, failures, writes = threading.Event(), [], [0]

    def use() -> None:
        with base.open() as db:
            while not stop.wait(0.002):  # SQLite is not fair: who asks without a pause keeps out everybody else
                try:
                    db.execute("INSERT INTO users (old) VALUES ('x')")
                    writes[0] += 1
                except sqlite3.Error as error:
                    failures.append(error)

    user = threading.Thread(target=use)
    user.start()
    try:
        base.expand()
    finally:
        stop.set()
        user.join()
    assert not failures
    assert base.sql("SELECT count(*) FROM users") == [(3 + writes[0],)]


def test_two_runners_do_it_once(base: Base) -> None:
    together(base.expand)
    assert base.sql("SELECT what FROM log") == [("begun",)]
    assert base.stand() == (Stand.DONE, [Stand.DONE] * 5)


def test_killed_between_any_two_calls(tmp_path: Path) -> None:
    """Wherever its runner dies, the next one brings it to the same end; the row that is inserted is there once."""
    model = Base(tmp_path / "model.db")
    counted = Dying(model.url)
    model.expand(target=counted)
    for at in range(1, counted.calls + 1, 3):
        base = Base(tmp_path / f"{at}.db")
        with pytest.raises(Killed):
            base.expand(target=Dying(base.url, at, after=at % 2 == 1))
        base.expand()
        assert base.shape() == model.shape(), at
        assert base.sql("SELECT what FROM log") == [("begun",)], at
        assert base.stand() == (Stand.DONE, [Stand.DONE] * 5), at


@pytest.mark.real
def test_a_runner_that_is_killed_in_the_middle_of_an_index(tmp_path: Path) -> None:
    base = Base(tmp_path / "shop.db", 300_000)
    text = "ALTER TABLE users ADD COLUMN first TEXT;\nCREATE INDEX by_old ON users (old, new, id, version);"
    runner = Process(base.url, text, tmp_path)
    until(lambda: "CREATE INDEX" in runner.said, "it builds the index")
    runner.kill()
    assert base.sql("PRAGMA integrity_check") == [("ok",)]
    base.expand(text)
    assert [row[1] for row in base.shape()].count("by_old") == 1
    assert base.stand() == (Stand.DONE, [Stand.DONE] * 2)


# --- backfills ------------------------------------------------------------------------------------------------------


def test_every_row_is_filled_once_and_not_again(tmp_path: Path) -> None:
    base = Base(tmp_path / "shop.db", 1_234)
    assert base.fill().done, base.said
    assert base.sql("SELECT version, count(*) FROM users GROUP BY 1") == [(1, 1_234)]
    assert base.sql("SELECT count(*) FROM users WHERE new IS NOT old") == [(0,)]
    assert base.fill().done
    assert base.sql("SELECT version, count(*) FROM users GROUP BY 1") == [(1, 1_234)]


@pytest.mark.parametrize("kind", ["TEXT", "TEXT COLLATE NOCASE", "INTEGER", "REAL", "NUMERIC", "BLOB", ""])
def test_values_of_every_kind_are_seen_to_be_equal(base: Base, kind: str) -> None:
    base.sql(f"ALTER TABLE users ADD COLUMN made {kind}")
    values = ["NULL", "'Dark'", "'dark'", "1", "1.5", "'1.0'", "x'00ff'", "''", "9007199254740993"]
    base.sql("DELETE FROM users")
    for i, value in enumerate(values):
        base.sql(f"INSERT INTO users (id, new, made) VALUES ({i}, {value}, 'DARK')")
    assert base.fill("UPDATE users SET made = new").done, base.said
    if not kind:
        assert base.sql("SELECT count(*) FROM users WHERE quote(made) IS NOT quote(new)") == [(0,)]


@pytest.mark.parametrize(
    ("key", "insert"),
    [
        ("id TEXT PRIMARY KEY NOT NULL", "INSERT INTO users (id) SELECT char(65 + i % 58) || i FROM n"),
        ("a INTEGER NOT NULL, b TEXT NOT NULL, PRIMARY KEY (a, b)", "INSERT INTO users (a, b) SELECT i % 7, i FROM n"),
        ("id INTEGER PRIMARY KEY", "INSERT INTO users (id) SELECT (i - 300) * 9007199254740993 / 300 FROM n"),
    ],
)
def test_any_key_is_walked(tmp_path: Path, key: str, insert: str) -> None:
    base = Base(tmp_path / "shop.db", 0, key)
    base.sql(f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) {insert}")
    base.sql("UPDATE users SET old = 'x'")
    assert base.fill().done, base.said
    assert base.sql("SELECT version, count(*) FROM users GROUP BY 1") == [(2, 500)]


@pytest.mark.parametrize(
    ("key", "insert", "problem"),
    [
        ("id TEXT PRIMARY KEY", "INSERT INTO users (id) VALUES (NULL)", "no primary key"),
        ("id BLOB PRIMARY KEY NOT NULL", "INSERT INTO users (id) VALUES (x'00')", "no primary key"),
        ("id INT PRIMARY KEY NOT NULL", "INSERT INTO users (id) VALUES ('seven')", "holds a value of the type text"),
    ],
)
def test_what_cannot_be_walked_is_refused(tmp_path: Path, key: str, insert: str, problem: str) -> None:
    base = Base(tmp_path / "shop.db", 0, key)
    base.sql(insert)
    with pytest.raises(Unfit, match=problem) as caught:
        base.fill()
    assert caught.value.hint


@pytest.mark.real
def test_no_write_is_lost_while_others_write(tmp_path: Path) -> None:
    base = Base(tmp_path / "shop.db", 3_000)
    base.sql(
        "CREATE TRIGGER follows AFTER UPDATE OF old ON users BEGIN UPDATE users SET new = NEW.old WHERE id = NEW.id; END"
    )
    stop, writes = threading.Event(), [0]

    def write() -> None:
        with base.open() as db:
            while not stop.is_set():
                db.execute(f"UPDATE users SET old = 'written {writes[0]}' WHERE id = {1 + writes[0] % 3000}")
                writes[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert base.fill().done, base.said
    finally:
        stop.set()
        writer.join()
    assert writes[0] > 0
    assert base.sql("SELECT count(*) FROM users WHERE new IS NOT old") == [(0,)]
