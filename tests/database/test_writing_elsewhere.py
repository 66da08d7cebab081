"""`greenroom db rename` on a real MariaDB and on SQLite: both columns equal while both versions write, whoever it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.adapters.database.checking import check
from greenroom.adapters.database.mysql.target import MysqlTarget
from greenroom.adapters.database.reading import split
from greenroom.adapters.database.target import Broken, Session, of
from greenroom.adapters.database.writing import rename
from greenroom.domain.schema import Dialect, Ruling, Stage
from greenroom.errors import Refused, UsageError
from tests.rigs import mariadb
from tests.rigs.mariadb import Server

MYSQL = [pytest.mark.real, pytest.mark.xdist_group("mariadb")]
OF_MYSQL = (
    "CREATE TABLE users (id int PRIMARY KEY, old varchar(20), age int, UNIQUE KEY by_old (old, age)) ENGINE=InnoDB"
)
OF_SQLITE = "CREATE TABLE users (id INTEGER PRIMARY KEY, old TEXT, age INTEGER)"
UNLIKE = {
    Dialect.MYSQL: "NOT (CAST(old AS BINARY) <=> CAST(new AS BINARY))",
    Dialect.SQLITE: "quote(old) IS NOT quote(new)",
}
VALUES = ["NULL", "'dark'", "'Dark'", "'dark '", "''", "'light'"]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with mariadb.shared() as made:
        yield made


@pytest.fixture(params=[pytest.param("mysql", marks=MYSQL), "sqlite"])
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Session]:
    if request.param == "sqlite":
        path = tmp_path / "shop.db"
        with sqlite3.connect(path) as db:
            db.execute(OF_SQLITE)
            db.execute("CREATE UNIQUE INDEX by_old ON users (old, age)")
        made: Session = of(f"sqlite:///{path}").open("test")
        yield made
        made.close()
        return
    server = request.getfixturevalue("server")
    name = server.database()
    server.run(OF_MYSQL, database=name)
    made = MysqlTarget(server.url(name)).open("test")
    yield made
    made.close()
    server.drop(name)


def written(session: Session, folder: Path) -> dict[Stage, str]:
    draft = rename(session, "users.old", "new", folder=folder)
    return {stage: script.text for stage, script in draft.migration.scripts.items()}


def run(session: Session, text: str) -> None:
    for statement in split(text, session.dialect):
        session.run(statement.sql)


def test_its_files_are_allowed_and_do_what_they_say(session: Session, tmp_path: Path) -> None:
    files = written(session, tmp_path)
    session.run("INSERT INTO users (id, old, age) VALUES (1, 'Dark', 7), (3, 'light', 7)")
    indexed = f"{OF_SQLITE}; CREATE UNIQUE INDEX by_old ON users (old, age)"
    schema = f"{OF_MYSQL if session.dialect is Dialect.MYSQL else indexed};"
    applied: list[tuple[str, str]] = []
    for stage in (Stage.EXPAND, Stage.BACKFILL, Stage.CONTRACT):
        found = check(files[stage], f"{stage}.sql", stage, session.dialect, schema=schema, applied=applied)
        assert Ruling.worst([one.ruling for one in found]) is not Ruling.REFUSE, found
        applied.append((f"{stage}.sql", files[stage]))
        run(session, files[stage])
        schema, applied = (schema, applied) if stage is not Stage.CONTRACT else (schema, [])
    assert session.rows("SELECT id, age, new FROM users ORDER BY id") == [(1, 7, "Dark"), (3, 7, "light")]
    with pytest.raises(Broken):
        session.run("INSERT INTO users (id, new, age) VALUES (2, 'light', 7)")


@pytest.mark.parametrize("column", ["old", "new"])
def test_whoever_writes_both_are_equal(session: Session, tmp_path: Path, column: str) -> None:
    session.run("INSERT INTO users (id, old) VALUES (1, 'before')")
    run(session, written(session, tmp_path)[Stage.EXPAND])
    for i, value in enumerate(VALUES, 10):
        session.run(f"INSERT INTO users (id, {column}) VALUES ({i}, {value})")
        for other in VALUES:
            session.run(f"UPDATE users SET {column} = {other}, age = {i} WHERE id = {i}")
            assert session.rows(f"SELECT count(*) FROM users WHERE id = {i} AND {UNLIKE[session.dialect]}") == [(0,)]
            assert session.rows(f"SELECT count(*) FROM users WHERE id = {i} AND {_is(session, 'new', other)}") == [(1,)]
    session.run("UPDATE users SET old = 'after' WHERE id = 1")
    assert session.rows("SELECT new FROM users WHERE id = 1") == [("after",)]


def _is(session: Session, column: str, value: str) -> str:
    if session.dialect is Dialect.MYSQL:
        return f"CAST({column} AS BINARY) <=> CAST({value} AS BINARY)"
    return f"quote({column}) IS quote({value})"


writes = st.lists(
    st.tuples(
        st.sampled_from(["insert", "update", "replace"]),
        st.sampled_from(["old", "new", "age"]),
        st.sampled_from(VALUES),
    )
)


@settings(max_examples=60)
@given(writes, st.booleans())
def test_any_sequence_of_writes_keeps_them_equal_on_sqlite(does: list[tuple[str, str, str]], recursive: bool) -> None:
    """Whether the application lets triggers call themselves or not; the last value that was written counts."""
    files = _of_sqlite()
    with sqlite3.connect(":memory:", isolation_level=None) as db:
        db.execute(OF_SQLITE)
        db.execute(f"PRAGMA recursive_triggers = {'ON' if recursive else 'OFF'}")
        for statement in split(files, Dialect.SQLITE):
            db.execute(statement.sql)
        for what, column, value in does:
            value = "7" if column == "age" else value
            if what == "update":
                db.execute(f"UPDATE users SET {column} = {value}")
            else:
                word = "INSERT OR REPLACE" if what == "replace" else "INSERT OR IGNORE"
                db.execute(f"{word} INTO users (id, {column}) VALUES (1, {value})")
            assert db.execute(f"SELECT count(*) FROM users WHERE {UNLIKE[Dialect.SQLITE]}").fetchall() == [(0,)]
            if what == "update" and column != "age":
                assert db.execute(f"SELECT count(*) FROM users WHERE quote(new) IS NOT quote({value})").fetchall() == [
                    (0,)
                ]


_CACHE: list[str] = []


def _of_sqlite() -> str:
    if not _CACHE:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "shop.db"
            with sqlite3.connect(path) as db:
                db.execute(OF_SQLITE)
            made = of(f"sqlite:///{path}").open("test")
            _CACHE.append(rename(made, "users.old", "new", folder=Path(folder)).migration.scripts[Stage.EXPAND].text)
            made.close()
    return _CACHE[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("CREATE TABLE other (id INTEGER PRIMARY KEY, old VARCHAR(20) NOT NULL)", "NOT NULL, has a default"),
        ("CREATE TABLE other (id INTEGER PRIMARY KEY, old VARCHAR(20) DEFAULT 'x')", "NOT NULL, has a default"),
        ("CREATE TABLE other (id INTEGER, old VARCHAR(20) PRIMARY KEY)", "NOT NULL, has a default|key"),
        ("CREATE TABLE other (id INTEGER PRIMARY KEY, old INTEGER CHECK (old > 0))", "A key, a CHECK"),
    ],
)
def test_what_cannot_be_right_is_refused_with_the_way_out(
    session: Session, tmp_path: Path, change: str, reason: str
) -> None:
    session.run(change)
    with pytest.raises(Refused, match=reason) as caught:
        rename(session, "other.old", "new", folder=tmp_path)
    assert "let the new version write both" in caught.value.message


def test_a_table_with_triggers_of_its_own_is_refused(session: Session, tmp_path: Path) -> None:
    body = "SET NEW.age = 1" if session.dialect is Dialect.MYSQL else "BEGIN SELECT 1; END"
    row = "FOR EACH ROW " if session.dialect is Dialect.MYSQL else ""
    session.run(f"CREATE TRIGGER mine BEFORE INSERT ON users {row}{body}")
    with pytest.raises(Refused, match="has triggers already, mine"):
        rename(session, "users.old", "new", folder=tmp_path)


@pytest.mark.parametrize(
    "named",
    [("users.nothing", "new"), ("nowhere.old", "new"), ("old", "new"), ("users.old", "age"), ("users.old", "a b")],
)
def test_names_that_mean_nothing(session: Session, tmp_path: Path, named: tuple[Any, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        rename(session, named[0], named[1], folder=tmp_path)
    assert caught.value.hint
