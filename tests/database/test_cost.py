"""How long a statement may take, told before: in honest words, and near what it takes on a real table."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from greenroom.adapters.database.costing import REFERENCE, Kind, Work, measured, priced, sizes, works
from greenroom.adapters.database.costing.priced import about
from greenroom.adapters.database.costing.speed import Table
from greenroom.adapters.database.reading import split
from greenroom.adapters.database.reading.changes import changes
from greenroom.adapters.database.shadow.facts import Difference, Facts
from greenroom.adapters.database.target import Session, of
from greenroom.domain.schema import Dialect, Ruled, Ruling
from tests.rigs import postgres
from tests.rigs.postgres import Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]

ROWS = 300_000
FACTOR = 4.0
BIG = Table("public.users", 12 * 10**9, 15 * 10**9, 80_000_000, 3)
ONE = Ruled("m/expand.sql", 1, "SELECT 1", Ruling.ALLOW)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


@pytest.fixture
def db(cluster: Cluster) -> Iterator[psycopg.Connection[Any]]:
    name = cluster.database()
    with cluster.connect(name) as connection:
        yield connection
    cluster.drop(name)


@pytest.fixture
def session(cluster: Cluster, db: psycopg.Connection[Any]) -> Iterator[Session]:
    opened = of(cluster.url(db.info.dbname)).open("cost")
    yield opened
    opened.close()


def test_a_prediction_is_near_what_it_takes(db: psycopg.Connection[Any], session: Session) -> None:
    """Each within a factor of four, measured at the same time on the same busy machine; the best of three goes counts."""
    db.execute(
        "CREATE TABLE users AS SELECT n AS id, md5(n::text) AS name, n % 1000 AS age, repeat('x', 60) AS filler"
        f" FROM generate_series(1, {ROWS}) n"
    )
    db.execute("ALTER TABLE users ADD PRIMARY KEY (id); ANALYZE users")
    cases = {
        Kind.SCAN: "ALTER TABLE users ADD CHECK (age >= 0)",
        Kind.BUILD: "CREATE INDEX ON users (name)",
        Kind.REWRITE: "ALTER TABLE users ALTER COLUMN age TYPE bigint",
        Kind.UPDATE: "UPDATE users SET filler = filler || 'y'",
    }
    for kind, sql in cases.items():
        tried = []
        for _ in range(3):
            table = sizes(session)["users"]
            assert table.rows is not None
            assert abs(table.rows - ROWS) < ROWS / 10
            said = measured(session, table).seconds(Work(kind, "users"), table)
            began = time.monotonic()
            with db.transaction(force_rollback=True):
                db.execute(sql)
                took = time.monotonic() - began
            tried.append((round(said, 3), round(took, 3)))
            if took / FACTOR <= said <= took * FACTOR:
                break
        else:
            pytest.fail(f"{kind}: said and took, in seconds: {tried}")


def test_what_was_never_analysed_is_not_known(db: psycopg.Connection[Any], session: Session) -> None:
    db.execute("CREATE TABLE users (id int); INSERT INTO users SELECT generate_series(1, 10000)")
    db.execute("SELECT pg_stat_force_next_flush()")
    db.execute("SELECT pg_stat_reset_single_table_counters('users'::regclass)")
    table = sizes(session)["users"]
    assert table.rows is None
    assert table.bytes > 300_000
    told = priced(ONE, [Work(Kind.SCAN, "users")], {"users": table}, large=1)
    assert "never analysed" in told.reason
    assert told.rows is None
    assert told.seconds is not None
    db.execute("ANALYZE users; CREATE SCHEMA shop; CREATE TABLE shop.empty ()")
    found = sizes(session)
    assert found["users"].rows == 10_000
    assert found["shop.empty"].rows == 0


def test_measuring_changes_nothing_and_has_an_end(db: psycopg.Connection[Any], session: Session) -> None:
    db.execute("CREATE TABLE users (id int); INSERT INTO users SELECT generate_series(1, 10000); ANALYZE users")
    table = sizes(session)["users"]
    assert measured(session, table).measured
    db.execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
    slow = measured(session, table)
    db.execute("ROLLBACK")
    assert slow.read == pytest.approx(20 * REFERENCE.read)


def test_a_large_table_is_warned_about_with_the_time() -> None:
    told = priced(ONE, [Work(Kind.REWRITE, "users")], {"users": BIG})
    assert (told.ruling, told.rule) == (Ruling.WARN, "large-table")
    assert (told.rows, told.bytes) == (80_000_000, 15 * 10**9)
    assert "users (15 GB, 80 million rows): about" in told.reason
    assert priced(ONE, [Work(Kind.REWRITE, "users")], {"users": BIG}, large=10**12).ruling is Ruling.ALLOW
    refused = Ruled("f", 1, "x", Ruling.REFUSE, "alter-type", "No.")
    dearer = priced(refused, [Work(Kind.REWRITE, "users")], {"users": BIG})
    assert (dearer.ruling, dearer.rule) == (Ruling.REFUSE, "alter-type")
    assert dearer.reason.startswith("No. It writes every row")


def test_what_touches_only_the_catalogue_has_no_price() -> None:
    assert priced(ONE, [], {"users": BIG}) is ONE
    assert priced(ONE, [Work(Kind.SCAN, "elsewhere")], {"users": BIG}) is ONE


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.1, "less than a second"), (0.9, "up to 2 s"), (10, "about 5 to 20 s"), (200, "about 2 to 7 min"),
        (480, "about 4 to 16 min"), (9000, "about 1 to 5 h"), (400_000, "about 56 to 220 h"),
    ],
)  # fmt: skip
def test_times_are_as_sure_as_they_are(seconds: float, words: str) -> None:
    assert about(seconds) == words


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("ALTER TABLE users ADD COLUMN city text", ()),
        ("CREATE INDEX CONCURRENTLY i ON users (name)", (Work(Kind.BUILD, "users", True),)),
        ("CREATE INDEX i ON users (name)", (Work(Kind.BUILD, "users"),)),
        ("ALTER TABLE users VALIDATE CONSTRAINT c", (Work(Kind.SCAN, "users"),)),
        ("ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0)", (Work(Kind.SCAN, "users"),)),
        ("ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0) NOT VALID", ()),
        ("ALTER TABLE users ADD CONSTRAINT c UNIQUE (name)", (Work(Kind.BUILD, "users"),)),
        ("ALTER TABLE users ADD CONSTRAINT c UNIQUE USING INDEX i", ()),
        ("ALTER TABLE users ALTER COLUMN age TYPE bigint", (Work(Kind.REWRITE, "users"),)),
        ("UPDATE users SET city = name", (Work(Kind.UPDATE, "users"),)),
    ],
)
def test_what_a_statement_does_is_read_from_its_text(sql: str, found: tuple[Work, ...]) -> None:
    [statement] = split(sql, Dialect.POSTGRES)
    assert works(changes(statement, Dialect.POSTGRES)) == found


def test_a_rehearsal_knows_better_than_the_text() -> None:
    [statement] = split("ALTER TABLE users ALTER COLUMN name TYPE text", Dialect.POSTGRES)
    read = changes(statement, Dialect.POSTGRES)
    assert works(read, Facts(1)) == ()
    assert works(read, Facts(1, skipped="an earlier one failed")) == (Work(Kind.REWRITE, "users"),)
    added = Difference("index", "i", "users", None, {})
    seen = Facts(1, scans=("users", "groups"), differences=(added,), autocommit=True)
    assert works(read, seen) == (Work(Kind.BUILD, "users", True), Work(Kind.SCAN, "groups"))
    assert works(read, Facts(1, rewrites=("users",), scans=("users",), differences=(added,))) == (
        Work(Kind.REWRITE, "users"),
    )
