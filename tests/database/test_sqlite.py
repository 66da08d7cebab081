"""SQLite as a target: one file of both colours, one writer, all of a transaction or nothing."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.adapters.database.ledger import Ledger, Recorded
from greenroom.adapters.database.sqlite.target import SqliteSession, SqliteTarget
from greenroom.adapters.database.target import Blocked, Broken, of
from greenroom.domain.schema import Dialect, Order, Stage, Stand
from greenroom.errors import Permanent, Temporary, UsageError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as db:
        db.executescript("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO users VALUES (1, 'ann')")
    db.close()
    return path


def target(path: Path) -> SqliteTarget:
    return SqliteTarget(f"sqlite:///{path}")


@pytest.fixture
def session(file: Path) -> Iterator[SqliteSession]:
    opened = target(file).open("test")
    yield opened
    opened.close()


def together(session: SqliteSession, *statements: str) -> None:
    """In one transaction."""
    with session.transaction():
        for statement in statements:
            session.run(statement)


def test_the_address_names_a_file(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = of(f"sqlite:///{file}")
    assert (found.dialect, found.place) == (Dialect.SQLITE, f"database in {file}")
    monkeypatch.chdir(tmp_path)
    session = of("sqlite:///shop.db").open("test")
    assert session.rows("SELECT name FROM users") == [("ann",)]
    session.close()


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:///", "sqlite://host/shop.db", "sqlite:///a?x=1"]
)
def test_what_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        SqliteTarget(url)
    assert caught.value.hint


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="is not there"):
        target(tmp_path / "shop.bd").open("test")
    assert not list(tmp_path.iterdir())


def test_what_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("These are words, and more than a few of them, but no tables. " * 20)
    with pytest.raises(Permanent, match="no database, or damaged"):
        target(tmp_path / "text").open("test")
    with pytest.raises(Permanent, match="is no file"):
        target(tmp_path).open("test")


def test_a_file_that_cannot_be_written_is_said_at_once(tmp_path: Path, file: Path) -> None:
    """As root everything can be written, but for a file that was opened to be read."""
    copy = SqliteTarget(f"sqlite:///{file}", copy=True).open("test")
    with pytest.raises(Broken, match="readonly") as caught:
        copy.run("INSERT INTO users VALUES (2, 'bob')")
    assert "must be able to write" in caught.value.hint
    copy.close()


def test_percent_and_question_mark_are_ordinary_where_they_are_not_placeholders(session: SqliteSession) -> None:
    assert session.rows("SELECT '100%s', '?', '%%'") == [("100%s", "?", "%%")]
    assert session.rows("SELECT %s, '%%', 'a' LIKE 'a%%'", ["x"]) == [("x", "%", 1)]


def test_a_transaction_is_all_or_nothing_and_ddl_is_part_of_it(session: SqliteSession, file: Path) -> None:
    with pytest.raises(Broken, match="no such table"):
        together(session, "ALTER TABLE users ADD COLUMN email TEXT", "INSERT INTO nowhere VALUES (1)")
    assert session.rows("SELECT * FROM users") == [(1, "ann")]
    together(session, "ALTER TABLE users ADD COLUMN email TEXT")
    assert session.rows("SELECT * FROM users") == [(1, "ann", None)]


def test_a_statement_that_ends_the_transaction_is_noticed(session: SqliteSession) -> None:
    with pytest.raises(Permanent, match="ended the transaction"), session.transaction():
        session.run("COMMIT")


def test_two_statements_at_once_are_refused(session: SqliteSession) -> None:
    with pytest.raises(Broken, match="one statement at a time") as caught:
        session.run("DELETE FROM users; DROP TABLE users")
    assert "write them apart" in caught.value.hint
    assert session.rows("SELECT count(*) FROM users") == [(1,)]


def test_who_meets_a_writer_is_blocked_and_nothing_happens(session: SqliteSession, file: Path) -> None:
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(Blocked, match="another process is writing"), session.transaction(lock_timeout=0.02):
        raise AssertionError("it has begun")
    writer.execute("ROLLBACK")
    with session.transaction(lock_timeout=0.02):
        session.run("UPDATE users SET name = 'bob'")
    writer.close()


def test_it_waits_as_long_as_it_may_for_a_writer(session: SqliteSession, file: Path) -> None:
    writer = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.2, lambda: writer.execute("COMMIT"))
    timer.start()
    with session.transaction(lock_timeout=30.0):
        session.run("UPDATE users SET name = 'bob'")
    timer.join()
    writer.close()


def test_a_writer_that_never_ends_makes_it_unreachable_for_now(file: Path) -> None:
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Temporary, match="a writer that does not come to an end"):
        SqliteTarget(f"sqlite:///{file}", outside=0.05).open("test")
    writer.close()


def test_a_statement_that_takes_too_long_is_ended(session: SqliteSession) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    with pytest.raises(Broken, match="too long") as caught, session.transaction(statement_timeout=0.05):
        session.rows(endless)
    assert caught.value.code == "SQLITE_INTERRUPT"
    assert "statement_timeout" in caught.value.hint
    assert session.rows("SELECT count(*) FROM users") == [(1,)]


def test_foreign_keys_hold(session: SqliteSession) -> None:
    session.run("CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users)")
    with pytest.raises(Broken, match="FOREIGN KEY"):
        session.run("INSERT INTO orders VALUES (1, 17)")


def test_a_table_that_others_refer_to_is_not_dropped(session: SqliteSession) -> None:
    """With foreign keys on, SQLite deletes its rows first, and the others' with them; with them off, the others break."""
    session.run("CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users ON DELETE CASCADE)")
    session.run("INSERT INTO orders VALUES (1, 1)")
    with pytest.raises(Broken, match="orders refers to it") as caught:
        session.run('DROP TABLE IF EXISTS main."Users"')
    assert "first" in caught.value.hint
    assert session.rows("SELECT count(*) FROM orders") == [(1,)]
    session.run("DROP TABLE orders")
    session.run("DROP TABLE users")


def test_the_ledger_works(session: SqliteSession) -> None:
    ledger = Ledger(session, "shop")
    ledger.make()
    order = Order("shop", "r1", "2", "ann", 3, 0.0)
    with session.transaction():
        ledger.claim(order)
        ledger.begin(Recorded("0001", Stage.EXPAND, "c0ffee", "expand.sql", "SELECT 'ß'"), order)
        ledger.did("0001", Stage.EXPAND, 1, "c0ffee", 0.5)
    session.run("BEGIN")
    ledger.did("0001", Stage.EXPAND, 2, "c0ffee", 0.5)
    session.run("ROLLBACK")
    [row] = ledger.migrations()
    assert (row.state, row.text, row.by) == (Stand.RUNNING, "SELECT 'ß'", "ann")
    assert list(ledger.statements("0001", Stage.EXPAND)) == [1]
    with pytest.raises(Permanent, match="epoch 3"), session.transaction():
        ledger.claim(Order("shop", "r1", "2", "bob", 2, 0.0))


def test_two_processes_make_the_ledger_at_once(file: Path) -> None:
    errors: list[BaseException] = []

    def make() -> None:
        try:
            session = target(file).open("test")
            Ledger(session, "shop").make()
            session.close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    session = target(file).open("test")
    assert Ledger(session, "shop").made
    session.close()


@pytest.mark.real
def test_a_full_disk_is_said_and_nothing_is_half_done(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk], capture_output=True)
    if done.returncode:
        pytest.skip("no right to mount a tmpfs")
    try:
        db = sqlite3.connect(disk / "shop.db")
        db.executescript("PRAGMA journal_mode = WAL; CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
        db.close()
        session = target(disk / "shop.db").open("test")
        much = "INSERT INTO users SELECT NULL, hex(randomblob(100000)), ''"
        with pytest.raises(Temporary, match="full") as caught:
            together(session, "ALTER TABLE users ADD COLUMN email TEXT", much)
        assert "Free some space" in caught.value.hint
        assert session.rows("SELECT name FROM pragma_table_info('users')") == [("id",), ("name",)]
        session.close()
    finally:
        subprocess.run(["umount", disk], check=True, capture_output=True)
