"""What is seen of the running version and of the server before the schema is changed; on a real PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from greenroom.adapters.database.concern import Concern
from greenroom.adapters.database.probing import Premise, probe
from greenroom.adapters.database.probing.reading_all import copies_all, star
from greenroom.adapters.database.reading.shown import without_values
from greenroom.adapters.database.target import Session, of
from greenroom.domain.schema import Ruling
from tests.database.renaming import emptied, until
from tests.rigs.postgres import Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]

MORE = {"max_prepared_transactions": "5", "wal_level": "logical", "max_wal_senders": "4", "max_replication_slots": "4"}
USERS = Premise(["users"], long=0.05)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster(MORE)
    made.start()
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def name(cluster: Cluster) -> Iterator[str]:
    made = cluster.database()
    yield made
    cluster.drop(made)


@pytest.fixture
def db(cluster: Cluster, name: str) -> Iterator[psycopg.Connection[Any]]:
    with cluster.connect(name) as connection:
        emptied(connection)
        connection.execute("CREATE TABLE users (id int PRIMARY KEY, name text); INSERT INTO users VALUES (1, 'a')")
        yield connection


@pytest.fixture
def session(cluster: Cluster, name: str, db: psycopg.Connection[Any]) -> Iterator[Session]:
    opened = of(cluster.url(name)).open("probe")
    yield opened
    opened.close()


def of_rule(found: list[Concern], rule: str) -> list[Concern]:
    return [concern for concern in found if concern.rule == rule]


def test_a_quiet_database_has_one_thing_that_is_not_known(session: Session) -> None:
    found = probe(session, USERS)
    assert [concern.rule for concern in found] == ["select-star-unknown"]
    assert "pg_stat_statements" in found[0].reason
    assert probe(session, Premise(["users"], shape=False)) == []


def test_pitfall_2_who_asks_for_all_columns_is_named_before_a_column_is_added(
    db: psycopg.Connection[Any], session: Session, cluster: Cluster, name: str
) -> None:
    db.execute("CREATE EXTENSION pg_stat_statements; SELECT pg_stat_statements_reset()")
    with cluster.connect(name) as application:
        application.prepare_threshold = 1
        for _ in range(3):
            application.execute("SELECT * FROM users WHERE id = %s", [1]).fetchall()
        [concern] = probe(session, USERS)
        assert (concern.rule, concern.about, concern.ruling) == ("select-star", "users", Ruling.WARN)
        assert "SELECT * FROM users WHERE id = $1" in concern.reason
        assert "prepare_threshold=None" in concern.instead
        db.execute("ALTER TABLE users ADD COLUMN city text")
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="cached plan"):
            application.execute("SELECT * FROM users WHERE id = %s", [1]).fetchall()


def test_who_names_his_columns_is_not_named(db: psycopg.Connection[Any], session: Session) -> None:
    db.execute("CREATE EXTENSION pg_stat_statements; SELECT pg_stat_statements_reset()")
    db.execute("SELECT id, name FROM users")
    db.execute("SELECT count(*) FROM users")
    db.execute("SELECT * FROM pg_class LIMIT 1")
    assert probe(session, USERS) == []


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT * FROM users WHERE id = $1", True),
        ('select u.* from "users" u', True),
        ("SELECT DISTINCT * FROM public.users", True),
        ("SELECT a.id, u.* FROM a JOIN users u ON true", True),
        ("INSERT INTO users (id) VALUES ($1) RETURNING *", True),
        ("SELECT * FROM users WHERE name = 'cut in the mid", True),
        ("SELECT count(*) FROM users", False),
        ("SELECT 2 * id FROM users", False),
        ("SELECT * FROM shop.users", False),
        ("SELECT * FROM others", False),
        ("SELECT id FROM users -- SELECT * FROM users", False),
    ],
)
def test_which_statements_ask_for_all_columns(sql: str, found: bool) -> None:
    assert star(sql, "users") is found


@pytest.mark.parametrize(
    ("sql", "found"),
    [("COPY users FROM STDIN", True), ("copy public.users to stdout", True), ("COPY users (id) FROM STDIN", False),
     ("COPY (SELECT * FROM users) TO STDOUT", False), ("COPY others FROM STDIN", False)],
)  # fmt: skip
def test_which_copies_name_no_columns(sql: str, found: bool) -> None:
    assert copies_all(sql, "users") is found


def test_no_value_of_anybody_is_shown() -> None:
    shown = without_values("SELECT *  FROM users\nWHERE name = 'secret' AND card = 4111 AND note = $$x$$")
    assert shown == "SELECT * FROM users WHERE name = … AND card = … AND note = …"
    assert len(without_values("SELECT " + "a, " * 100)) == 80


def test_a_long_transaction_is_named_with_what_it_holds(
    db: psycopg.Connection[Any], session: Session, cluster: Cluster, name: str
) -> None:
    with cluster.connect(name) as other, other.transaction():
        other.execute("SET LOCAL application_name = 'reports'")
        other.execute("SELECT id FROM users WHERE name = 'secret'")
        pid = other.info.backend_pid
        until(lambda: bool(of_rule(probe(session, USERS), "long-transaction")), "it is not seen")
        [concern] = of_rule(probe(session, USERS), "long-transaction")
        assert concern.about == str(pid)
        for part in (f"Session {pid}", "reports", "holds users", "does nothing"):
            assert part in concern.reason
        assert "secret" not in concern.reason
        assert of_rule(probe(session, Premise(["others"], long=3600)), "long-transaction") == []
    assert of_rule(probe(session, USERS), "long-transaction") == []


def test_a_prepared_transaction_that_holds_the_table_refuses(db: psycopg.Connection[Any], session: Session) -> None:
    db.execute("BEGIN; UPDATE users SET name = 'b'; PREPARE TRANSACTION 'left over'")
    try:
        [concern] = of_rule(probe(session, USERS), "prepared-transaction")
        assert concern.ruling is Ruling.REFUSE
        assert "'left over'" in concern.reason
        [other] = of_rule(probe(session, Premise(["others"])), "prepared-transaction")
        assert other.ruling is Ruling.WARN
    finally:
        db.execute("ROLLBACK PREPARED 'left over'")


def test_a_vacuum_of_the_table_is_named(
    db: psycopg.Connection[Any], session: Session, cluster: Cluster, name: str
) -> None:
    db.execute(
        "INSERT INTO users SELECT n, repeat('x', 500) FROM generate_series(2, 20000) n; DELETE FROM users WHERE id > 1"
    )
    with cluster.connect(name) as other:
        other.execute("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1")
        other.pgconn.send_query(b"VACUUM users")
        until(lambda: bool(of_rule(probe(session, USERS), "vacuum")), "the vacuum is not seen")
        [concern] = of_rule(probe(session, USERS), "vacuum")
        assert str(other.info.backend_pid) in concern.reason
        other.cancel()
        with contextlib.suppress(psycopg.Error):
            while other.pgconn.get_result() is not None:
                pass


def test_a_table_near_wraparound_is_named(db: psycopg.Connection[Any], session: Session) -> None:
    """Its age is told against the age at which autovacuum begins to prevent it; the setting of the session is asked."""
    assert of_rule(probe(session, USERS), "wraparound-soon") == []
    db.execute("UPDATE pg_class SET relfrozenxid = ((txid_current() - 199000000 + 4294967296) % 4294967296)::text::xid"
               " WHERE relname = 'users'")  # fmt: skip
    [concern] = of_rule(probe(session, USERS), "wraparound-soon")
    assert "VACUUM (FREEZE) users" in concern.instead


def test_replication_is_named(db: psycopg.Connection[Any], session: Session) -> None:
    db.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    db.execute("SELECT pg_create_logical_replication_slot('forgotten', 'pgoutput')")
    try:
        found = probe(session, USERS)
        assert [concern.about for concern in of_rule(found, "published")] == ["everything/users"]
        assert [concern.about for concern in of_rule(found, "replication-slot")] == ["forgotten"]
        assert of_rule(probe(session, Premise(["others"])), "published") == []
    finally:
        db.execute("SELECT pg_drop_replication_slot('forgotten')")


def test_event_triggers_are_named(db: psycopg.Connection[Any], session: Session) -> None:
    db.execute("CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'")
    db.execute("CREATE EVENT TRIGGER watcher ON ddl_command_end EXECUTE FUNCTION watch()")
    [concern] = of_rule(probe(session, USERS), "event-trigger")
    assert "watcher" in concern.reason
    db.execute("ALTER EVENT TRIGGER watcher DISABLE")
    assert of_rule(probe(session, USERS), "event-trigger") == []


def test_sessions_of_a_colour_where_nothing_runs_are_named(
    db: psycopg.Connection[Any], session: Session, cluster: Cluster, name: str
) -> None:
    with contextlib.suppress(psycopg.errors.DuplicateObject):
        db.execute("CREATE ROLE shop_green LOGIN PASSWORD 'x'")
    roles = {"blue": "shop_blue", "green": "shop_green"}
    runs = Premise(["users"], roles=roles, colours={"blue": "41", "green": "42"})
    empty = Premise(["users"], roles=roles, colours={"blue": "41", "green": ""})
    with psycopg.connect(cluster.url(name, "shop_green", "x"), application_name="cron"):
        assert of_rule(probe(session, runs), "stray-sessions") == []
        [concern] = of_rule(probe(session, empty), "stray-sessions")
        assert "1 session of shop_green (cron" in concern.reason
    until(lambda: of_rule(probe(session, empty), "stray-sessions") == [], "the session stays")


def test_what_may_not_be_seen_is_said(db: psycopg.Connection[Any], cluster: Cluster, name: str) -> None:
    with contextlib.suppress(psycopg.errors.DuplicateObject):
        db.execute("CREATE ROLE small LOGIN PASSWORD 'x'")
    db.execute("CREATE EXTENSION pg_stat_statements; SELECT pg_stat_statements_reset()")
    db.execute("SELECT * FROM users")
    opened = of(cluster.url(name, "small", "x")).open("probe")
    try:
        found = probe(opened, USERS)
    finally:
        opened.close()
    assert {"select-star-unknown", "cannot-see-sessions"} <= {concern.rule for concern in found}
    assert all("pg_read_all_stats" in f"{concern.reason} {concern.instead}" for concern in found)


def test_probes_of_the_users_own_refuse_by_each_row(session: Session, db: psycopg.Connection[Any]) -> None:
    asked = ["SELECT 'version ' || id || ' prepares SELECT *' FROM users", "SELECT 1 WHERE false", "SELECT nothing"]
    found = probe(session, Premise(["users"], shape=False, own=[*asked, "DELETE FROM users RETURNING id"]))
    assert [(c.ruling, c.rule) for c in found] == [
        (Ruling.REFUSE, "own-probe"), (Ruling.WARN, "unknown"), (Ruling.WARN, "unknown"),
    ]  # fmt: skip
    assert "version 1 prepares SELECT *" in found[0].reason
    assert "read-only" in found[2].reason
    assert db.execute("SELECT count(*) FROM users").fetchone() == (1,)


def test_probes_wait_for_nobody(db: psycopg.Connection[Any], session: Session) -> None:
    with db.transaction():
        db.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        assert probe(session, USERS)
