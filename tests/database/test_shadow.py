"""Statements rehearsed on a shadow of a real PostgreSQL: what they lock, scan, rewrite and change, however they say it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from threading import Thread

import psycopg
import pytest

from greenroom.adapters.database.reading import split
from greenroom.adapters.database.shadow.facts import Facts
from greenroom.adapters.database.shadow.forbidden import why_not
from greenroom.adapters.database.shadow.living import Living, breaks
from greenroom.adapters.database.shadow.rehearsal import Shadow
from greenroom.adapters.database.shadow.schema import Source, of_text
from greenroom.domain.schema import Dialect
from greenroom.errors import Permanent, Temporary, UsageError
from tests.rigs import postgres
from tests.rigs.postgres import Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]

SCHEMA = of_text(
    """
CREATE TYPE mood AS ENUM ('low', 'high');
CREATE TABLE users (id bigserial PRIMARY KEY, name text, code varchar(10), n int NOT NULL DEFAULT 1, at timestamp,
                    feels mood);
CREATE TABLE orders (id bigserial PRIMARY KEY, buyer bigint REFERENCES users);
CREATE INDEX users_code ON users (code);
CREATE VIEW names AS SELECT name FROM users;
CREATE SCHEMA shop;
CREATE TABLE shop."Odd Name" (id int PRIMARY KEY, "drop table" text);
""",
    "schema.sql",
)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


@pytest.fixture(scope="module")
def shadow(cluster: Cluster) -> Iterator[Shadow]:
    with Shadow(cluster.url("postgres"), patience=0.5) as made:
        yield made


def rehearsed(shadow: Shadow, sql: str, schema: Source = SCHEMA, applied: str = "") -> list[Facts]:
    before = split(applied, Dialect.POSTGRES, "earlier.sql")
    return shadow.rehearse(split(sql, Dialect.POSTGRES, "expand.sql"), schema, before)


def one(shadow: Shadow, sql: str) -> Facts:
    [facts] = rehearsed(shadow, sql)
    assert facts.seen, facts
    return facts


def held(facts: Facts, kind: str = "table") -> dict[str, str]:
    return {lock.relation: lock.mode for lock in facts.locks if lock.kind == kind}


def changed(facts: Facts) -> set[str]:
    return {f"{'+' if d.added else '-' if d.removed else '~'}{d.kind} {d.name}" for d in facts.differences}


def shadows(cluster: Cluster, prefix: str = "greenroom_shadow_run_") -> list[str]:
    with cluster.connect("postgres") as db:
        rows = db.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [prefix]).fetchall()
    return [name for (name,) in rows]


# --- what is seen -------------------------------------------------------------------------------------------------


def test_a_column_is_added(shadow: Shadow) -> None:
    facts = one(shadow, "ALTER TABLE users ADD COLUMN x int NOT NULL DEFAULT 3")
    [difference] = facts.differences
    assert (difference.kind, difference.name, difference.table, difference.added) == (
        "column",
        "users.x",
        "users",
        True,
    )
    assert difference.after is not None
    assert (difference.after["type"], difference.after["not null"], difference.after["default"]) == (
        "integer",
        True,
        "3",
    )
    assert held(facts) == {"users": "ACCESS EXCLUSIVE"}
    assert str(facts.locks[0]) == "ACCESS EXCLUSIVE on users: keeps out reads and writes"
    assert (facts.rewrites, facts.scans, facts.writes, facts.autocommit) == ((), (), (), False)


REWRITES = [
    "ALTER TABLE users ADD COLUMN x timestamptz DEFAULT clock_timestamp()",
    "ALTER TABLE users ALTER n TYPE bigint",
    "ALTER TABLE users ALTER at TYPE timestamptz",  # in UTC it would need no rewrite
    "ALTER TABLE users ADD COLUMN y bigint GENERATED ALWAYS AS (n * 2) STORED",
    "DO $$ BEGIN EXECUTE 'CLUS' || 'TER users USING users_pkey'; END $$",
]


def test_rewrites_are_seen(shadow: Shadow) -> None:
    for facts in rehearsed(shadow, ";\n".join(REWRITES)):
        assert facts.rewrites == ("users",)
        assert held(facts)["users"] == "ACCESS EXCLUSIVE"


def test_a_wider_type_rewrites_nothing_though_its_index_has_a_new_oid(shadow: Shadow) -> None:
    facts = one(shadow, "ALTER TABLE users ALTER code TYPE varchar(20)")
    assert (facts.rewrites, facts.rebuilt, facts.scans) == ((), (), ())
    assert changed(facts) == {"~column users.code"}


SCANS = {
    "ALTER TABLE users ALTER name SET NOT NULL": "ACCESS EXCLUSIVE",
    "ALTER TABLE users ADD CHECK (n > 0)": "ACCESS EXCLUSIVE",
    "CREATE INDEX ON users (n)": "SHARE",
    "ALTER TABLE users ADD FOREIGN KEY (id) REFERENCES orders": "SHARE ROW EXCLUSIVE",
}


def test_scans_under_a_lock_are_seen(shadow: Shadow) -> None:
    for facts, mode in zip(rehearsed(shadow, ";\n".join(SCANS)), SCANS.values(), strict=True):
        assert "users" in facts.scans
        assert held(facts)["users"] == mode


def test_a_constraint_that_is_not_validated_scans_nothing(shadow: Shadow) -> None:
    added, validated = rehearsed(
        shadow, "ALTER TABLE users ADD CONSTRAINT c CHECK (n > 0) NOT VALID; ALTER TABLE users VALIDATE CONSTRAINT c"
    )
    assert added.scans == ()
    [difference] = added.differences
    assert difference.after is not None
    assert difference.after["validated"] is False
    assert validated.scans == ("users",)
    assert held(validated) == {"users": "SHARE UPDATE EXCLUSIVE"}
    assert validated.differences[0].changed("validated")


def test_what_is_written_and_what_is_changed(shadow: Shadow) -> None:
    insert, update, delete, read = rehearsed(
        shadow,
        "INSERT INTO users (name) VALUES ('a'); UPDATE orders SET buyer = 1; DELETE FROM users; SELECT * FROM users",
    )
    assert (insert.writes, insert.changes) == (("users",), ())
    assert (update.writes, update.changes) == (("orders",), ("orders",))
    assert delete.changes == ("users",)
    assert (read.writes, read.scans) == ((), ("users",))


def test_an_index_is_built_concurrently_outside_of_a_transaction(shadow: Shadow) -> None:
    facts = one(shadow, "CREATE INDEX CONCURRENTLY i ON users (n)")
    assert facts.autocommit
    assert held(facts) == {"users": "SHARE UPDATE EXCLUSIVE"}
    assert changed(facts) == {"+index i"}


DIFFERENCES = {
    "CREATE TABLE IF NOT EXISTS users (other int)": set(),
    "CREATE INDEX IF NOT EXISTS users_code ON users (n)": set(),
    "COMMENT ON TABLE users IS 'people'": set(),
    "ALTER TYPE mood ADD VALUE 'middle'": {"~type mood"},
    "ALTER TABLE orders DROP CONSTRAINT orders_buyer_fkey": {"-constraint orders.orders_buyer_fkey"},
    "ALTER TABLE users ENABLE ROW LEVEL SECURITY": {"~table users"},
    "CREATE POLICY p ON users USING (true)": {"+policy users.p"},
    "GRANT SELECT ON users TO public": {"+privilege public on users"},
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'": {"+function f()"},
    "CREATE RULE r AS ON INSERT TO users DO INSTEAD NOTHING": {"+rule users.r"},
    "CREATE CAST (mood AS int) WITH INOUT": {"+other cast (public.mood AS integer)"},
    "ALTER TABLE users RENAME name TO called": {"-column users.name", "+column users.called", "~view names"},
    "DO $$ BEGIN ALTER TABLE users DROP code; ALTER TABLE users ADD code varchar(10); END $$": {
        "-index users_code",
        "~column users.code",
    },
    "ALTER TABLE users DROP called CASCADE": {"-column users.called", "-view names"},
    "DO $$ BEGIN EXECUTE 'DROP TA' || 'BLE orders'; END $$": {"-table orders", "-sequence orders_id_seq"},
    'ALTER TABLE shop."Odd Name" DROP "drop table"': {"-column shop.Odd Name.drop table"},
    'DROP TABLE "shop"."Odd Name"': {"-table shop.Odd Name"},
    "ALTER SEQUENCE users_id_seq INCREMENT 2": {"~sequence users_id_seq"},
}


def test_differences_of_the_catalogue_are_seen(shadow: Shadow) -> None:
    facts = rehearsed(shadow, ";\n".join(DIFFERENCES))
    assert [fact.error for fact in facts if not fact.seen] == []
    assert dict(zip(DIFFERENCES, map(changed, facts), strict=True)) == DIFFERENCES


def test_a_replaced_function_and_a_trigger(shadow: Shadow) -> None:
    made, replaced, trigger, disabled = rehearsed(
        shadow,
        """CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f();
        ALTER TABLE users DISABLE TRIGGER t""",
    )
    assert changed(made) == {"+function f()"}
    assert replaced.differences[0].changed("hash")
    assert changed(trigger) == {"+trigger users.t"}
    assert disabled.differences[0].changed("enabled")


def test_an_event_trigger_changes_what_others_do(cluster: Cluster, shadow: Shadow) -> None:
    """It was there before; what it drops is seen like everything else."""
    schema = of_text(
        SCHEMA.text
        + """CREATE FUNCTION gone() RETURNS event_trigger LANGUAGE plpgsql AS
             $$ BEGIN EXECUTE 'DROP VIEW IF EXISTS names'; END $$;
             CREATE EVENT TRIGGER e ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION gone();""",
        "schema.sql",
    )
    [facts] = rehearsed(shadow, "CREATE TABLE harmless (id int)", schema)
    assert "-view names" in changed(facts)


def test_earlier_files_come_first(shadow: Shadow) -> None:
    [facts] = rehearsed(shadow, "ALTER TABLE users DROP COLUMN x", applied="ALTER TABLE users ADD COLUMN x int")
    assert changed(facts) == {"-column users.x"}


# --- what goes wrong ----------------------------------------------------------------------------------------------


def test_a_failure_has_its_place_and_stops_the_rest(shadow: Shadow) -> None:
    first, second, third = rehearsed(
        shadow, "ALTER TABLE users ADD COLUMN a int;\n\nALTER TABLE users\n  ADD COLUM b int;\nSELECT 1"
    )
    assert first.seen
    assert second.error is not None
    assert (second.error.line, second.error.column, second.error.sqlstate) == (4, 15, "42601")
    assert second.error.message == 'syntax error at or near "int"'
    assert third.skipped == "statement 2, in line 3, fails before it"


@pytest.mark.parametrize("sql", ["COMMIT", "ROLLBACK AND CHAIN"])
def test_a_statement_must_not_end_the_transaction(shadow: Shadow, sql: str) -> None:
    [facts] = rehearsed(shadow, sql)
    assert facts.error is not None
    assert "ends the transaction" in facts.error.message


@pytest.mark.parametrize(
    "sql",
    [
        "DO $$ BEGIN LOOP END LOOP; END $$",
        "SET statement_timeout = 0; SELECT pg_sleep(60)",
    ],
)
def test_a_statement_that_never_ends_is_ended(shadow: Shadow, sql: str) -> None:
    began = time.monotonic()
    facts = rehearsed(shadow, sql)[-1]
    assert facts.error is not None
    assert "come to an end" in facts.error.message
    assert time.monotonic() - began < 30
    assert one(shadow, "SELECT 1").seen


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER SYSTEM SET work_mem = '1GB'",
        "CREATE ROLE somebody",
        "ALTER /* quite */ USER ann SUPERUSER",
        "DROP DATABASE postgres",
        "CREATE TABLESPACE t LOCATION '/tmp'",
        "COPY users TO '/tmp/users'",
        "COPY users TO PROGRAM 'cat'",
        "COPY (SELECT 1) TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/x')",
        "SELECT dblink('host=elsewhere', 'DROP TABLE users')",
        "SET ROLE ann",
        "SET SESSION AUTHORIZATION ann",
        "RESET SESSION AUTHORIZATION",
        "SELECT set_config ( 'role', 'ann', false)",
        "SELECT pg_terminate_backend(1)",
        "LOAD 'auto_explain'",
        "DO $$ BEGIN EXECUTE 'ALTER SYSTEM SET work_mem = 1'; END $$",
        "DO $$ BEGIN RESET\nROLE; END $$",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN COPY users TO '/tmp/users'; END $$",
        "CREATE FUNCTION f() RETURNS int AS 'x', 'y' LANGUAGE c",
    ],
)
def test_what_reaches_beyond_the_shadow_is_found(sql: str) -> None:
    [statement] = split(sql, Dialect.POSTGRES)
    assert why_not(statement)


def test_what_reaches_beyond_the_shadow_is_not_run(shadow: Shadow) -> None:
    first, second = rehearsed(shadow, "DO $$ BEGIN EXECUTE 'ALTER SYSTEM SET work_mem = 1'; END $$; SELECT 1")
    assert first.error is not None
    assert first.error.message == "it is not run on a shadow, since it changes the settings of the whole server"
    assert second.skipped


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO users (name) VALUES ('ALTER SYSTEM SET x')",
        "CREATE TABLE role (role text); ALTER TABLE role DROP role",
        "COMMENT ON TABLE users IS 'SET ROLE ann, then COPY'",
        "CREATE TABLE copy (load int)",
    ],
)
def test_what_only_sounds_so_is_run(sql: str) -> None:
    assert not any(why_not(statement) for statement in split(sql, Dialect.POSTGRES))


def test_the_role_that_rehearses_may_do_little(shadow: Shadow) -> None:
    """Words put together at run time go past the first fence; the server is the second."""
    for sql in (
        "DO $$ BEGIN EXECUTE 'ALTER SYS' || 'TEM SET work_mem = 1'; END $$",
        "DO $$ BEGIN EXECUTE 'CREATE RO' || 'LE somebody'; END $$",
        "DO $$ BEGIN EXECUTE 'CO' || 'PY users TO ''/tmp/users'''; END $$",
    ):
        [facts] = rehearsed(shadow, sql)
        assert facts.error is not None
        assert facts.error.sqlstate == "42501" or "privilege" in facts.error.message or "25001" in facts.error.sqlstate


def test_a_missing_role_is_not_held_against_the_statement(shadow: Shadow) -> None:
    granted, added = rehearsed(shadow, "GRANT SELECT ON users TO reporting; ALTER TABLE users ADD COLUMN x int")
    assert granted.skipped == "the shadow server has no role reporting"
    assert added.seen


def test_without_a_schema_the_way_out_is_said(shadow: Shadow) -> None:
    [facts] = rehearsed(shadow, "ALTER TABLE users ADD COLUMN x int", Source())
    assert facts.error is not None
    assert "--schema" in facts.error.hint


def test_earlier_files_that_do_not_run_are_named(shadow: Shadow) -> None:
    with pytest.raises(UsageError, match=r"earlier.sql:2:1: .* does not run on the shadow: relation \"nowhere\""):
        rehearsed(shadow, "SELECT 1", applied="SELECT 1;\nALTER TABLE nowhere ADD x int")


def test_a_schema_of_another_version_is_refused(shadow: Shadow) -> None:
    with pytest.raises(Permanent, match=r"is PostgreSQL \d+, and schema.sql comes from 9:") as found:
        rehearsed(shadow, "SELECT 1", of_text("-- Dumped from database version 9.6.1", "schema.sql"))
    assert "version 9" in found.value.hint


# --- shadows come and go ------------------------------------------------------------------------------------------


def test_nothing_is_left(cluster: Cluster, shadow: Shadow) -> None:
    one(shadow, "ALTER TABLE users ADD COLUMN x int")
    assert shadows(cluster) == []


def test_the_template_is_made_once(cluster: Cluster, shadow: Shadow) -> None:
    one(shadow, "SELECT 1")
    before = templates(cluster)
    one(shadow, "SELECT 2")
    with Shadow(cluster.url("postgres")) as other:
        one(other, "SELECT 3")
    assert templates(cluster) == before


def templates(cluster: Cluster) -> dict[str, int]:
    with cluster.connect("postgres") as db:
        rows = db.execute("SELECT datname, oid FROM pg_database WHERE datname LIKE 'greenroom_shadow_of_%'").fetchall()
    return dict(rows)


def test_the_oldest_templates_make_room(cluster: Cluster) -> None:
    with Shadow(cluster.url("postgres"), templates=1) as shadow:
        for number in range(2):
            rehearsed(shadow, "SELECT 1", of_text(f"CREATE TABLE t{number} ()", "schema.sql"))
            assert len(templates(cluster)) == 1


def test_leftovers_of_dead_runs_are_swept_and_nothing_else(cluster: Cluster) -> None:
    url = cluster.url("postgres")
    dead = Shadow(url)
    left = dead._server.create("template0")
    alive = Shadow(url)
    kept = alive._server.create("template0")
    stranger = f"{left[:-8]}00000000"  # looks like ours, but carries another digest
    with cluster.connect("postgres") as db:
        db.execute(f"CREATE DATABASE {stranger}")
        pid = dead._server._db.info.backend_pid
        dead.close()
        while db.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]).fetchall():
            time.sleep(0.01)
        Shadow(url).close()
        names = {name for (name,) in db.execute("SELECT datname FROM pg_database").fetchall()}
        db.execute(f"DROP DATABASE {stranger}")
    assert left not in names
    assert {kept, stranger} <= names
    alive._server.drop(kept)
    alive.close()


def test_two_runs_at_once(cluster: Cluster) -> None:
    """Both need a template that is not there yet."""
    found: list[object] = []
    schema = of_text("CREATE TABLE users (id int PRIMARY KEY); -- raced", "schema.sql")

    def run() -> None:
        try:
            with Shadow(cluster.url("postgres")) as mine:
                found.extend(rehearsed(mine, "DROP TABLE users", schema)[0].of("table"))
        except Exception as error:
            found.append(error)

    threads = [Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [getattr(difference, "name", difference) for difference in found] == ["users"] * 4
    assert shadows(cluster) == []


def test_a_role_that_may_only_make_databases_is_enough(cluster: Cluster) -> None:
    url = somebody(cluster, "maker", "CREATEDB")
    with Shadow(url) as shadow:
        [facts] = rehearsed(shadow, "ALTER TABLE users ADD COLUMN x int")
    assert changed(facts) == {"+column users.x"}


def test_a_role_that_may_not_is_told_how(cluster: Cluster) -> None:
    with pytest.raises(Permanent, match="does not let powerless make databases") as found:
        Shadow(somebody(cluster, "powerless", ""))
    assert "ALTER ROLE powerless CREATEDB" in found.value.hint


def somebody(cluster: Cluster, name: str, rights: str) -> str:
    with cluster.connect("postgres") as db:
        if not db.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchall():
            db.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'word' {rights}")
    return cluster.url("postgres", name, "word")


def test_a_server_that_is_down_and_a_wrong_password(cluster: Cluster) -> None:
    with pytest.raises(Temporary, match=r"shadow server at 127\.0\.0\.1:1 as ann cannot be reached") as down:
        Shadow("postgresql://ann:s3cret@127.0.0.1:1/postgres")
    with pytest.raises(Permanent, match="does not let us in") as wrong:
        Shadow(cluster.url("postgres", password="s3cret"))
    for found in (down, wrong):
        assert "s3cret" not in f"{found.value} {found.value.hint}"
        assert "migrations.url" not in found.value.hint
    with pytest.raises(UsageError, match="address of the shadow server"):
        Shadow("postgresql://ann:p@ss@host/x")


# --- the running version ------------------------------------------------------------------------------------------


def test_statements_of_the_running_version_are_tried_on_both_sides(cluster: Cluster) -> None:
    says = ["SELECT name FROM users", "INSERT INTO users (id) VALUES (1)", "SELECT nothing FROM users"]
    before, after = opened(cluster), opened(cluster)
    with before, after:
        after.execute("ALTER TABLE users DROP COLUMN name CASCADE; ALTER TABLE users ADD must int NOT NULL")
        found = breaks(before, after, says)
    assert [broken.sql for broken in found] == says[:2]


def test_a_session_that_prepared_its_statements_before(cluster: Cluster) -> None:
    with opened(cluster) as db:
        old = Living(db, ["SELECT * FROM users", "SELECT id FROM users", "UPDATE users SET n = 2 WHERE id = 3"])
        assert old.broken() == []
        db.execute("ALTER TABLE users ADD COLUMN x int")
        [broken] = old.broken()
    assert (broken.sql, broken.prepared) == ("SELECT * FROM users", True)
    assert "cached plan" in broken.message


def opened(cluster: Cluster) -> psycopg.Connection[Sequence[object]]:
    db = cluster.connect(cluster.database())
    db.execute(SCHEMA.text.encode())
    return db


def test_a_server_that_can_only_be_read(cluster: Cluster) -> None:
    url = cluster.url("postgres") + "?options=-c%20default_transaction_read_only%3Don"
    with pytest.raises(Permanent, match="is a standby or read-only") as found, Shadow(url) as shadow:
        rehearsed(shadow, "SELECT 1", of_text("CREATE TABLE never_made ()", "schema.sql"))
    assert "can be written" in found.value.hint


def test_a_server_that_dies_in_the_middle(cluster: Cluster) -> None:
    with Shadow(cluster.url("postgres"), patience=30) as shadow:
        one(shadow, "SELECT 1")

        def end_it() -> None:
            with cluster.connect("postgres") as db:
                ask = "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(20)' AND state = 'active'"
                while not (found := db.execute(ask).fetchall()):
                    time.sleep(0.02)
                db.execute("SELECT pg_terminate_backend(%s)", [shadow._server._db.info.backend_pid])
                db.execute("SELECT pg_terminate_backend(%s)", [found[0][0]])

        thread = Thread(target=end_it)
        thread.start()
        with pytest.raises(Temporary, match="shadow server"):
            rehearsed(shadow, "SELECT pg_sleep(20)")
        thread.join(30)
    with Shadow(cluster.url("postgres")):
        assert shadows(cluster) == []
