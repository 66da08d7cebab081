"""The rehearsal on a real MariaDB, and on SQLite in memory: what the server itself refuses is known before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from greenroom.adapters.database.checking import check
from greenroom.adapters.database.mysql.target import MysqlTarget
from greenroom.adapters.database.reading import split
from greenroom.adapters.database.shadow.elsewhere import rehearsed
from greenroom.adapters.database.shadow.facts import Facts
from greenroom.adapters.database.shadow.mysql import Shadow
from greenroom.domain.schema import Dialect, Ruling, Stage
from greenroom.errors import Permanent, UsageError
from tests.rigs import mariadb
from tests.rigs.mariadb import Server

MYSQL = pytest.mark.xdist_group("mariadb")
SHADOWS = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE 'greenroom_shadow_%'"
SCHEMA = """
CREATE TABLE parents (id int PRIMARY KEY) ENGINE=InnoDB;
CREATE TABLE users (id int PRIMARY KEY, name varchar(40), up int, FOREIGN KEY (up) REFERENCES parents (id)) ENGINE=InnoDB;
"""
OF_SQLITE = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE);"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with mariadb.shared() as made:
        yield made


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    name = server.database()
    yield server.url(name)
    server.drop(name)


def seen(url: str, sql: str, dialect: Dialect = Dialect.MYSQL, schema: str = SCHEMA, applied: str = "") -> list[Facts]:
    return rehearsed(url, dialect, split(sql, dialect, "expand.sql"), schema, split(applied, dialect, "earlier.sql"))


def errors(found: list[Facts]) -> list[Any]:
    return [one.error and one.error.message for one in found]


# --- MariaDB --------------------------------------------------------------------------------------------------------


@MYSQL
@pytest.mark.real
def test_what_the_server_can_do_online_passes_and_nothing_is_left_there(server: Server, url: str) -> None:
    found = seen(
        url, "ALTER TABLE users ADD COLUMN plan int; CREATE INDEX by_plan ON users (plan); UPDATE users SET plan = 1"
    )
    assert errors(found) == [None, None, None]
    assert server.run(SHADOWS) == []


@MYSQL
@pytest.mark.real
def test_what_it_cannot_do_online_is_told_and_the_rest_is_not_run(url: str) -> None:
    first, second, third = seen(
        url, "ALTER TABLE users ADD a int; ALTER TABLE users MODIFY name text; ALTER TABLE users ADD b int"
    )
    assert (first.error, third.error) == (None, None)
    assert second.error is not None
    assert "asked for INSTANT and INPLACE" in second.error.message
    assert "fails before it" in third.skipped


@MYSQL
@pytest.mark.real
def test_what_the_release_itself_makes_may_be_copied(url: str) -> None:
    sql = "CREATE TABLE notes (id int PRIMARY KEY, a int) ENGINE=InnoDB; ALTER TABLE notes MODIFY a bigint"
    assert errors(seen(url, sql)) == [None, None]


@MYSQL
@pytest.mark.real
@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("ALTER TABLE users ADD COLUMN name int", "Duplicate column"),
        ("CREATE INDEX i ON nowhere (a)", "doesn't exist"),
        ("ALTER TABLE users ADD COLUMN x nonsense(3)", "Unknown data type"),
    ],
)
def test_what_the_server_refuses_is_refused_by_the_judge(url: str, sql: str, problem: str) -> None:
    found = check(sql, "expand.sql", Stage.EXPAND, Dialect.MYSQL, schema=SCHEMA, shadow=url)
    assert Ruling.worst([one.ruling for one in found]) is Ruling.REFUSE
    assert problem in " ".join(str(error) for error in errors(seen(url, sql)))


@MYSQL
@pytest.mark.real
@pytest.mark.parametrize(
    "sql",
    [
        "DROP DATABASE mysql",
        "SET GLOBAL read_only = 1",
        "CREATE USER eve",
        "ALTER TABLE mysql.user ADD x int",
        "FLUSH LOGS",
    ],
)
def test_what_is_about_more_than_the_shadow_is_never_run(server: Server, url: str, sql: str) -> None:
    assert errors(seen(url, sql)) == [None]
    assert server.run("SELECT @@read_only, (SELECT count(*) FROM mysql.user WHERE user = 'eve')") == [(0, 0)]
    found = check(sql, "expand.sql", Stage.EXPAND, Dialect.MYSQL, schema=SCHEMA, shadow=url)
    assert Ruling.worst([one.ruling for one in found]) is Ruling.REFUSE


@MYSQL
@pytest.mark.real
def test_a_schema_that_does_not_run_is_said(url: str) -> None:
    with pytest.raises(UsageError, match=r"earlier.sql:1:1: .*doesn't exist"):
        seen(url, "ALTER TABLE users ADD a int", applied="ALTER TABLE nowhere ADD a int")


@MYSQL
@pytest.mark.real
def test_a_shadow_of_a_run_that_died_is_swept_and_one_in_use_is_not(server: Server, url: str) -> None:
    server.run("CREATE DATABASE greenroom_shadow_dead")
    with Shadow(url) as one, Shadow(url) as other:
        one.rehearse([], SCHEMA, [])
        other.rehearse([], SCHEMA, [])
        assert len(server.run(SHADOWS)) == 2
    assert server.run(SHADOWS) == []


@MYSQL
@pytest.mark.real
def test_without_the_right_to_make_databases_it_is_named(server: Server, url: str) -> None:
    name = url.rpartition("/")[2]
    server.run("CREATE OR REPLACE USER poor@'127.0.0.1'", f"GRANT ALL ON {name}.* TO poor@'127.0.0.1'")
    poor = MysqlTarget(server.url(name, "poor", ""))
    assert poor.place
    with pytest.raises(Permanent, match="does not let us make databases") as caught:
        seen(server.url(name, "poor", ""), "ALTER TABLE users ADD a int")
    assert "GRANT" in caught.value.hint


# --- SQLite ---------------------------------------------------------------------------------------------------------


def test_sqlite_takes_what_it_takes() -> None:
    sql = "ALTER TABLE users ADD COLUMN plan TEXT; CREATE INDEX by_plan ON users (plan); UPDATE users SET plan = 'x'"
    assert errors(seen("", sql, Dialect.SQLITE, OF_SQLITE)) == [None, None, None]


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("ALTER TABLE users DROP COLUMN name", "UNIQUE"),
        ("CREATE INDEX i ON users (mood)", "no such column: mood"),
    ],
)
def test_what_sqlite_refuses_is_known_before(sql: str, problem: str) -> None:
    [error] = errors(seen("", sql, Dialect.SQLITE, OF_SQLITE))
    assert problem in str(error)
    found = check(sql, "contract.sql", Stage.CONTRACT, Dialect.SQLITE, schema=OF_SQLITE, shadow="sqlite:///any.db")
    assert Ruling.worst([one.ruling for one in found]) is Ruling.REFUSE


def test_a_schema_that_needs_the_application_is_not_rehearsed() -> None:
    schema = OF_SQLITE + "CREATE TABLE words (word TEXT COLLATE swiss UNIQUE);"
    [fact] = seen("", "ALTER TABLE users ADD COLUMN plan TEXT", Dialect.SQLITE, schema)
    assert "no such collation" in fact.skipped


def test_no_file_is_reached_from_the_rehearsal(tmp_path: Any) -> None:
    sql = f"ATTACH '{tmp_path}/other.db' AS other; PRAGMA journal_mode = WAL; VACUUM INTO '{tmp_path}/copy.db'"
    seen("", sql, Dialect.SQLITE, OF_SQLITE)
    assert list(tmp_path.iterdir()) == []
