"""A column that moves to another table, in two releases; on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from greenroom.adapters.database.backfill import BackfillSettings, backfill
from greenroom.adapters.database.judgement import judged
from greenroom.adapters.database.running import expand
from greenroom.adapters.database.settings import SqlSettings
from greenroom.adapters.database.target import Session, of
from greenroom.adapters.database.writing import Draft, move
from greenroom.domain.schema import Order, Ruling, Stage
from greenroom.errors import Refused, UsageError
from tests.database.renaming import NOWHERE, Version, at_once, carry_out, emptied, until
from tests.rigs import postgres
from tests.rigs.postgres import Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]

ORDER = Order("shop", "r1", "42", "ann", 1, 0.0, running="41", colours={"blue": "41", "green": "42"})
USERS = """
CREATE TABLE users (id serial PRIMARY KEY, city text, other text, version int NOT NULL DEFAULT 1);
INSERT INTO users (city) SELECT nullif('city ' || n, 'city 7') FROM generate_series(1, 20) n;
CREATE TABLE addresses (id serial PRIMARY KEY, user_id int UNIQUE REFERENCES users ON DELETE CASCADE, street text);
"""
SAME = "SELECT count(*) FROM users u LEFT JOIN addresses a ON a.user_id = u.id WHERE u.city IS DISTINCT FROM a.city"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


@pytest.fixture(scope="module")
def name(cluster: Cluster) -> Iterator[str]:
    made = cluster.database()
    yield made
    cluster.drop(made)


@pytest.fixture
def db(cluster: Cluster, name: str) -> Iterator[psycopg.Connection[Any]]:
    with cluster.connect(name) as connection:
        emptied(connection)
        connection.execute(USERS)
        yield connection


@pytest.fixture
def session(cluster: Cluster, name: str, db: psycopg.Connection[Any]) -> Iterator[Session]:
    opened = of(cluster.url(name)).open("helper")
    yield opened
    opened.close()


@pytest.fixture
def connect(cluster: Cluster, name: str) -> Callable[[], psycopg.Connection[Any]]:
    return lambda: cluster.connect(name)


def moved(session: Session, **more: Any) -> Draft:
    return move(session, "users.city", "addresses.city", by="user_id", folder=NOWHERE, **more)


def test_the_other_table_follows_from_expand_to_contract(
    db: psycopg.Connection[Any], session: Session, cluster: Cluster, name: str,
    connect: Callable[[], psycopg.Connection[Any]],
) -> None:  # fmt: skip
    """The version before writes all the time, and later the first of the two releases, which writes the same column."""
    db.execute("INSERT INTO addresses (user_id, street) VALUES (1, 'here'), (7, 'there')")
    draft = moved(session, accept=["rows-by-trigger:addresses"])
    before, told = Version("city", connect), list[str]()
    with at_once((before, 3), rows=20):
        expand(of(cluster.url(name)), ORDER, [draft.migration], told.append)
        assert backfill(of(cluster.url(name)), ORDER, [draft.migration], BackfillSettings(), told.append).done
        seen = len(before.written) + 50
        until(lambda: len(before.written) > seen, "nobody writes")
        for _ in range(20):
            assert db.execute(SAME).fetchone() == (0,)
    assert before.errors == []
    assert db.execute("SELECT street FROM addresses WHERE user_id = 1").fetchone() == ("here",)
    db.execute("UPDATE addresses SET city = 'of the second release' WHERE user_id = 1")
    db.execute("UPDATE users SET other = 'the first one touches the row' WHERE id = 1")
    assert db.execute("SELECT city FROM addresses WHERE user_id = 1").fetchone() == ("of the second release",)
    carry_out(session, draft, Stage.CONTRACT)
    db.execute("INSERT INTO users (other) VALUES ('x'); UPDATE users SET other = 'y'")


@pytest.mark.parametrize(
    ("write", "city"),
    [
        ("UPDATE users SET city = 'x' WHERE id = 1", "x"),
        ("UPDATE users SET city = NULL WHERE id = 1", None),
        ("DELETE FROM users WHERE id = 1; INSERT INTO users (id, city) VALUES (1, 'y')", "y"),
        ("INSERT INTO users (id, city) VALUES (1, 'z') ON CONFLICT (id) DO UPDATE SET city = EXCLUDED.city", "z"),
    ],
)
def test_each_write_of_the_old_column_arrives(
    db: psycopg.Connection[Any], session: Session, write: str, city: str | None
) -> None:
    carry_out(session, moved(session), Stage.EXPAND)
    db.execute("UPDATE users SET city = 'before' WHERE id = 1")
    db.execute(write)
    assert db.execute("SELECT city FROM addresses WHERE user_id = 1").fetchone() == (city,)


def test_the_application_needs_no_right_on_the_other_table(db: psycopg.Connection[Any], session: Session) -> None:
    db.execute("DO $$ BEGIN CREATE ROLE plain; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$")
    db.execute("GRANT SELECT, UPDATE ON users TO plain")
    carry_out(session, moved(session), Stage.EXPAND)
    with db.transaction():
        db.execute("SET LOCAL ROLE plain")
        db.execute("UPDATE users SET city = 'x' WHERE id = 1")
    assert db.execute("SELECT city FROM addresses WHERE user_id = 1").fetchone() == ("x",)


@pytest.mark.parametrize("shadow", [False, True], ids=["read", "rehearsed"])
def test_no_statement_of_a_move_is_refused(cluster: Cluster, name: str, session: Session, shadow: bool) -> None:
    settings = SqlSettings(url=cluster.url(name), shadow=cluster.url("postgres") if shadow else "")
    found = judged(settings, list(Stage), ORDER, [moved(session).migration])
    assert [(one.sql, one.rule, one.reason) for one in found if one.ruling is Ruling.REFUSE] == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("ALTER TABLE addresses DROP CONSTRAINT addresses_user_id_key", "not-unique"),
        ("ALTER TABLE addresses ADD COLUMN country text NOT NULL", "row-cannot-be-made"),
        ("INSERT INTO addresses (user_id) VALUES (1)", "rows-by-trigger"),
        ("ALTER TABLE addresses DROP CONSTRAINT addresses_user_id_fkey, ADD FOREIGN KEY (user_id) REFERENCES users",
         "delete-would-fail"),
        ("ALTER TABLE addresses DROP CONSTRAINT addresses_pkey", "not-a-plain-table"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused(db: psycopg.Connection[Any], session: Session, change: str, rule: str) -> None:
    db.execute(change)
    with pytest.raises(Refused, match=rf"\[{rule}"):
        moved(session)


@pytest.mark.parametrize(
    ("to", "by"),
    [("addresses.street", "user_id"), ("addresses.city", "owner"), ("users.town", "id"), ("nobody.city", "x")],
)
def test_names_that_do_not_fit_are_refused(session: Session, to: str, by: str) -> None:
    with pytest.raises(UsageError) as refused:
        move(session, "users.city", to, by=by, folder=NOWHERE)
    assert refused.value.hint
