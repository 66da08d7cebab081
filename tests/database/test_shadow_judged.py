"""What was rehearsed is judged: harm that hides from whoever reads, and blocks that do none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from greenroom.adapters.database.judging import Context, Schema, created, judge
from greenroom.adapters.database.judging.rule import Example
from greenroom.adapters.database.judging.rules import rehearsed
from greenroom.adapters.database.reading import split
from greenroom.adapters.database.shadow.rehearsal import Shadow
from greenroom.adapters.database.shadow.schema import of_text
from greenroom.domain.schema import Dialect, Ruled, Ruling, Stage
from tests.rigs import postgres
from tests.rigs.postgres import Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]

SCHEMA = """
CREATE TYPE mood AS ENUM ('low', 'high');
CREATE TABLE users (id bigserial PRIMARY KEY, name text, code varchar(10), n int NOT NULL DEFAULT 1, feels mood);
CREATE TABLE orders (id bigserial PRIMARY KEY, buyer bigint REFERENCES users, status text DEFAULT 'new');
CREATE INDEX users_both ON users (name, code);
CREATE VIEW names AS SELECT name FROM users;
CREATE FUNCTION tidy_up() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DROP VIEW names; END $$;
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER note BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION noted();
CREATE FUNCTION gone() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ BEGIN IF TG_TAG = 'CREATE SCHEMA' THEN DROP VIEW names; END IF; END $$;
CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION gone();
"""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


@pytest.fixture(scope="module")
def shadow(cluster: Cluster) -> Iterator[Shadow]:
    with Shadow(cluster.url("postgres")) as made:
        yield made


def judged(
    shadow: Shadow, sql: str, stage: Stage = Stage.EXPAND, before: str = "", schema: str = SCHEMA
) -> list[Ruled]:
    postgresql = Dialect.POSTGRES
    statements, applied = split(sql, postgresql, "file.sql"), split(before, postgresql, "before.sql")
    facts = shadow.rehearse(statements, of_text(schema, "schema.sql"), applied)
    context = Context(
        postgresql,
        "41",
        Schema(split(schema, postgresql)),
        applied,
        {statement.number: fact for statement, fact in zip(statements, facts, strict=True)},
        created(applied, postgresql),
    )
    return judge(statements, stage, context)


def block(body: str) -> str:
    return f"DO $$ BEGIN {body}; END $$"


HIDDEN = {
    "IF EXISTS (SELECT FROM users) THEN DROP TABLE orders; END IF": "depends-on-place",
    "UPDATE users SET n = 2": "depends-on-place",
    "IF current_user = 'deploy' THEN DROP TABLE orders; END IF": "depends-on-place",
    "IF now() < '2026-01-01' THEN DROP TABLE orders; END IF": "depends-on-place",
    "PERFORM setval('users_id_seq', 1)": "depends-on-place",
    "PERFORM set_config('lock_timeout', '0', false)": "session-setting",
    "LOCK TABLE users": "lock-table",
    "ALTER SEQUENCE users_id_seq RESTART": "change-sequence",
    "REVOKE SELECT ON users FROM greenroom_shadow": "revoke",
    "ALTER TABLE orders DISABLE TRIGGER note": "switch-trigger",
    "DROP TRIGGER note ON orders": "drop-trigger",
    "ALTER TABLE users ENABLE ROW LEVEL SECURITY": "row-security",
    "ALTER TYPE mood RENAME VALUE 'low' TO 'down'": "change-type-definition",
    "CREATE RULE r AS ON INSERT TO users DO INSTEAD NOTHING": "create-rule",
    "ALTER TABLE users ALTER n TYPE bigint": "rewrite-table",
    "ALTER TABLE users ADD CHECK (n > 0) NOT VALID": "check-breaks-writes",
    "ALTER TABLE users ADD CHECK (n < 9)": "scan-under-lock",
    "CREATE UNIQUE INDEX ON users (name)": "unique-breaks-writes",
    "ALTER TABLE users ALTER name SET NOT NULL": "set-not-null",
    "ALTER TABLE users ADD x int NOT NULL": "add-not-null-column",
    "ALTER TABLE users ADD y int DEFAULT 1 NOT NULL; ALTER TABLE users ALTER y DROP DEFAULT": "add-not-null-column",
    "ALTER TABLE users DROP n; ALTER TABLE users ADD n int NOT NULL DEFAULT 1": "drop-column",
    "ALTER TABLE users RENAME name TO called": "rename-column",
    "INSERT INTO orders DEFAULT VALUES; DROP VIEW names": "drop-view",
    "DROP TABLE orders; CREATE TABLE orders (id bigserial PRIMARY KEY)": "drop-table",
    "ALTER TABLE orders RENAME TO purchases": "rename-table",
    "EXECUTE 'DROP TA' || 'BLE purchases'": "drop-table",
    "COMMIT": "server-refuses",
}


def test_harm_that_blocks_hide_is_refused(shadow: Shadow) -> None:
    """Each in a line of its own."""
    found = judged(shadow, ";\n".join(map(block, HIDDEN)))
    for line, (body, rule) in enumerate(HIDDEN.items(), 1):
        refused = {one.rule for one in found if one.line == line and one.ruling is Ruling.REFUSE}
        assert rule in refused, f"{body}: {refused}"
        assert rule == "server-refuses" or "not-understood" not in refused, body


def test_a_block_that_reaches_beyond_the_database_is_refused(shadow: Shadow) -> None:
    assert "server-wide" in {one.rule for one in judged(shadow, block("EXECUTE 'CREATE ROLE somebody'"))}


PLAIN = {
    "CREATE TABLE IF NOT EXISTS users (other int)": "already-there",
    "ALTER TABLE users ADD COLUMN IF NOT EXISTS n bigint": "already-there",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS users_both ON users (n)": "already-there",
    "SELECT tidy_up()": "drop-view",
    'ALTER TABLE U&"\\0075sers" DROP COLUMN U&"\\006eame"': "drop-column",
    "ALTER TABLE users ADD COLUMN x nothing_of_this_name": "server-refuses",
}


def test_harm_of_plain_statements_is_refused(shadow: Shadow) -> None:
    found = judged(shadow, ";\n".join(PLAIN))
    for line, (sql, rule) in enumerate(PLAIN.items(), 1):
        refused = {one.rule for one in found if one.line == line and one.ruling is Ruling.REFUSE}
        assert rule in refused, f"{sql}: {refused}"


def test_what_an_event_trigger_does_counts(shadow: Shadow) -> None:
    assert "drop-view" in {one.rule for one in judged(shadow, "CREATE SCHEMA harmless")}


HARMLESS = [
    "IF to_regclass('carts') IS NULL THEN CREATE TABLE carts (id int); CREATE INDEX ON carts (id); END IF",
    "BEGIN CREATE TYPE mood AS ENUM ('low'); EXCEPTION WHEN duplicate_object THEN NULL; END",
    "ALTER TABLE users ADD x int; ALTER TABLE users ADD CONSTRAINT y CHECK (x > 0) NOT VALID",
    "EXECUTE format('COMMENT ON TABLE %I IS %L', 'users', 'people')",
]


def test_blocks_that_do_no_harm_are_allowed(shadow: Shadow) -> None:
    found = judged(shadow, ";\n".join(map(block, HARMLESS)))
    assert [(one.ruling, one.rule) for one in found] == [(Ruling.ALLOW, "")] * len(HARMLESS)


def test_a_block_may_be_worth_a_warning(shadow: Shadow) -> None:
    [one] = judged(shadow, block("ALTER TABLE orders ALTER status SET DEFAULT 'open'"))
    assert (one.ruling, one.rule) == (Ruling.WARN, "change-default")


def test_what_this_release_has_made_may_change(shadow: Shadow) -> None:
    add = "ALTER TABLE users ADD COLUMN nick text"
    rename = block("ALTER TABLE users RENAME nick TO alias")
    assert [one.ruling for one in judged(shadow, f"{add}; {rename}")] == [Ruling.ALLOW, Ruling.ALLOW]
    assert [one.ruling for one in judged(shadow, rename, before=add)] == [Ruling.ALLOW]


# --- contract and backfill ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("ALTER TABLE orders DROP COLUMN status", ""),
        ("EXECUTE 'DROP TABLE ' || 'orders'", ""),
        ("EXECUTE 'DROP TABLE us' || 'ers CASCADE'", "takes-more"),
        ("DROP TABLE users CASCADE", "takes-more"),  # the foreign key of orders, and a view
        ("ALTER TABLE users DROP COLUMN code", "takes-more"),  # an index that is about name, too
        ("ALTER TABLE orders RENAME TO purchases", "rename-table"),
        ("ALTER TABLE users ADD CHECK (n > 0)", "scan-under-lock"),
    ],
)
def test_a_block_in_contract(shadow: Shadow, body: str, rule: str) -> None:
    found = judged(shadow, block(body), Stage.CONTRACT)
    refused = {one.rule for one in found if one.ruling is Ruling.REFUSE}
    assert (rule in refused) if rule else not refused, found


def test_contract_does_not_drop_what_expand_made(shadow: Shadow) -> None:
    add = "ALTER TABLE users ADD COLUMN nick text"
    [one] = judged(shadow, block("ALTER TABLE users DROP nick"), Stage.CONTRACT, before=add)
    assert (one.ruling, one.rule) == (Ruling.REFUSE, "contract-drops-new")


def test_a_block_in_backfill_stays_what_nobody_can_cut(shadow: Shadow) -> None:
    assert [one.rule for one in judged(shadow, block("UPDATE users SET n = 2"), Stage.BACKFILL)] == ["not-understood"]


# --- what is said of it -------------------------------------------------------------------------------------------


def test_the_locks_are_those_that_were_seen(shadow: Shadow) -> None:
    [one] = judged(shadow, block("EXECUTE 'ALTER TABLE us' || 'ers ADD x int'"))
    assert one.locks == ("ACCESS EXCLUSIVE on users: keeps out reads and writes",)


def test_the_reason_names_the_running_version_and_the_place(shadow: Shadow) -> None:
    first, *others = judged(shadow, f"{block('ALTER TABLE orders DROP status')};\nALTER TABLE users\n  ADD COLUM x int")
    assert first.reason.startswith("Version 41 may still use `orders.status`")
    assert any("PostgreSQL refuses it, file.sql:3:15: syntax error" in one.reason for one in others)


def test_somebody_may_answer_for_what_was_seen(shadow: Shadow) -> None:
    directive = "-- greenroom: allow drop-column by ann: nobody reads it\n"
    [one] = judged(shadow, directive + block("ALTER TABLE orders DROP status"))
    assert (one.ruling, one.rule, one.override) == (Ruling.WARN, "drop-column", "ann: nobody reads it")


def test_after_a_failure_the_rest_is_read_only(shadow: Shadow) -> None:
    found = judged(shadow, f"ALTER TABLE nothing ADD x int; {block('NULL')}")
    assert found[-1].rule == "not-understood"


@pytest.mark.parametrize("rule", rehearsed.RULES, ids=lambda rule: rule.id)
def test_examples_of_the_rules(shadow: Shadow, rule: rehearsed.Rule) -> None:
    def rules(example: Example) -> set[str]:
        found = judged(shadow, example.sql, example.stage, example.before, example.schema)
        return {one.rule for one in found if one.ruling is Ruling.REFUSE}

    assert rule.id in rules(rule.refused)
    assert rules(rule.allowed) == set()
