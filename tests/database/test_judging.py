"""Judging without a server: ways round the rules, what is known of a release, who answers for a statement, what is said."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from greenroom.adapters.database.judging import Context, Example, Schema, Size, created, judge
from greenroom.adapters.database.judging.rule import SHOP
from greenroom.adapters.database.reading import Unreadable, split
from greenroom.adapters.database.reading.tokens import Tokens
from greenroom.adapters.database.schemas import SearchPath
from greenroom.adapters.database.shadow.facts import Facts, Lock
from greenroom.domain.schema import Dialect, Ruled, Ruling, Stage
from tests.database.corpus.cases import base, cases
from tests.database.examples import judged

POSTGRES = Dialect.POSTGRES
NEW = "ALTER TABLE users ADD COLUMN preference text"
REFUSED = (Path(__file__).parent / "refused.sql").read_text(encoding="utf-8").split("\n\n")[1:]


def ruling(sql: str, stage: Stage = Stage.EXPAND, before: str = "", schema: str = SHOP) -> tuple[Ruling, set[str]]:
    found = judged(Example(sql, stage, schema, before))
    return Ruling.worst([ruled.ruling for ruled in found]), {ruled.rule for ruled in found if ruled.rule}


@pytest.mark.parametrize("sql", REFUSED, ids=lambda sql: " ".join(sql.split())[:60])
def test_ways_round_the_rules_are_refused(sql: str) -> None:
    assert ruling(sql)[0] is Ruling.REFUSE


@pytest.mark.parametrize("sql", REFUSED, ids=lambda sql: " ".join(sql.split())[:60])
def test_and_where_no_schema_is_known(sql: str) -> None:
    assert ruling(sql, schema="")[0] is Ruling.REFUSE


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE IF NOT EXISTS carts (id bigint PRIMARY KEY); CREATE INDEX carts_idx ON carts (id); DROP TABLE carts",
        "CREATE TABLE carts (id bigint); ALTER TABLE carts ADD CONSTRAINT c CHECK (id > 0), ADD PRIMARY KEY (id)",
        "CREATE TABLE carts (id bigint); ALTER TABLE carts RENAME TO baskets; ALTER TABLE baskets DROP COLUMN id",
        "CREATE TABLE carts AS SELECT id FROM users; UPDATE carts SET id = 2; DELETE FROM carts; TRUNCATE carts",
        f"{NEW}; ALTER TABLE users RENAME preference TO choice; ALTER TABLE users DROP COLUMN choice",
        f"{NEW}; ALTER TABLE users ALTER COLUMN preference SET DEFAULT 'none'",
        f"{NEW}; ALTER TABLE users ADD CONSTRAINT p CHECK (preference IN ('a', 'b')) NOT VALID",
        f"{NEW} NOT NULL DEFAULT 'a'; ALTER TABLE users ADD CONSTRAINT p CHECK (preference IN ('a', 'b')) NOT VALID",
        f"{NEW}; ALTER TABLE users ADD CONSTRAINT p CHECK (preference IS NULL OR length(preference) < 9) NOT VALID",
        f"{NEW}; CREATE UNIQUE INDEX CONCURRENTLY p ON users (lower(preference), age)",
        f"{NEW}; COMMENT ON COLUMN users.preference IS 'DROP TABLE users'; ANALYZE users; GRANT SELECT ON users TO shop",
        "CREATE FUNCTION twice(integer) RETURNS integer LANGUAGE sql AS 'SELECT 2 * $1'; DROP FUNCTION twice(integer)",
        "CREATE VIEW loud AS SELECT upper(email) FROM users; CREATE OR REPLACE VIEW loud AS SELECT 1; DROP VIEW loud",
        "CREATE TYPE size AS ENUM ('s'); ALTER TYPE size ADD VALUE 'm'; ALTER TABLE users ADD COLUMN size size",
        "SELECT count(*), max(age) FROM users WHERE email = 'drop table users'",
    ],
)
def test_what_the_release_made_is_its_own(sql: str) -> None:
    assert ruling(sql) == (Ruling.ALLOW, set())


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("DROP TABLE users", "drop-table"),
        ("UPDATE users SET age = 1", "rows-in-expand"),
        ("ALTER TABLE users ALTER age SET NOT NULL", "set-not-null"),
    ],
)
def test_several_phases_in_one_file(sql: str, rule: str) -> None:
    """What is right elsewhere is refused here, and told where it belongs."""
    found = judged(Example(f"{NEW}; {sql}"))
    assert [one.ruling for one in found] == [Ruling.ALLOW, Ruling.REFUSE]
    assert found[1].rule == rule
    assert ".sql" in found[1].instead


def test_pitfall_1_a_check_that_the_old_version_breaks() -> None:
    check = "ALTER TABLE users ADD CONSTRAINT p CHECK (preference IS NOT NULL) NOT VALID"
    assert ruling(f"{NEW}; {check}") == (Ruling.REFUSE, {"check-breaks-writes"})
    assert ruling(check, Stage.CONTRACT, NEW) == (Ruling.ALLOW, set())


def test_pitfall_4_the_column_goes_before_its_trigger() -> None:
    trigger = (
        f"{NEW}; CREATE FUNCTION sync() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.preference := NEW.old_preference;"
        " RETURN NEW; END $$; CREATE TRIGGER sync BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION sync()"
    )
    drop = "ALTER TABLE users DROP COLUMN old_preference"
    assert ruling(f"{drop}; DROP TRIGGER sync ON users", Stage.CONTRACT, trigger)[1] == {"column-before-trigger"}
    assert ruling(drop, Stage.CONTRACT, trigger)[1] == {"column-before-trigger"}
    assert ruling(f"DROP TRIGGER sync ON users; {drop}", Stage.CONTRACT, trigger)[0] is Ruling.ALLOW
    together = "ALTER TABLE users DISABLE TRIGGER sync, DROP COLUMN old_preference; DROP TRIGGER sync ON users"
    assert ruling(together, Stage.CONTRACT, trigger)[0] is Ruling.ALLOW


def test_pitfall_5_a_default_that_is_taken_away() -> None:
    both = f"{NEW} NOT NULL DEFAULT 'a'; ALTER TABLE users ALTER COLUMN preference DROP DEFAULT"
    assert ruling(both) == (Ruling.REFUSE, {"drop-default"})


@pytest.mark.parametrize(
    "sql", ["SET lock_timeout = 0", "SET LOCAL statement_timeout = 0", "RESET ALL", "COMMIT", "BEGIN"]
)
@pytest.mark.parametrize("stage", Stage)
def test_pitfall_6_timeouts_and_transactions_are_not_the_users(sql: str, stage: Stage) -> None:
    assert ruling(sql, stage)[0] is Ruling.REFUSE


def test_pitfall_11_unique_with_nulls_that_collide() -> None:
    index = "CREATE UNIQUE INDEX CONCURRENTLY p ON users (preference) NULLS NOT DISTINCT"
    assert ruling(f"{NEW}; {index}") == (Ruling.REFUSE, {"unique-breaks-writes"})


def test_pitfall_12_contract_drops_what_the_release_made_or_more_than_it_names() -> None:
    assert ruling("ALTER TABLE users DROP COLUMN preference", Stage.CONTRACT, NEW)[1] == {"contract-drops-new"}
    unsure = "ALTER TABLE users ADD COLUMN IF NOT EXISTS preference text"
    assert ruling("ALTER TABLE users DROP COLUMN preference", Stage.CONTRACT, unsure)[1] == {"contract-drops-new"}
    assert ruling("DROP TABLE users CASCADE", Stage.CONTRACT)[1] == {"cascade"}


def test_a_contract_for_a_column_that_never_was_there() -> None:
    assert ruling("ALTER TABLE users DROP COLUMN older", Stage.CONTRACT) == (Ruling.REFUSE, {"unknown-object"})
    assert ruling("ALTER TABLE users DROP COLUMN IF EXISTS older", Stage.CONTRACT) == (Ruling.WARN, {"unknown-object"})
    assert ruling("ALTER TABLE users DROP COLUMN IF EXISTS older", Stage.EXPAND) == (Ruling.REFUSE, {"unknown-object"})


def _judge(sql: str, context: Context, stage: Stage = Stage.EXPAND) -> list[Ruled]:
    return judge(split(sql, POSTGRES, "m/expand.sql"), stage, context)


def test_an_override_lets_one_rule_of_one_statement_go() -> None:
    sql = "-- greenroom: allow drop-index by Ann Lee: nobody scans it\nDROP INDEX a;\nDROP INDEX b CASCADE;"
    first, *second = _judge(sql, Context(POSTGRES))
    assert (first.ruling, first.rule, first.override) == (Ruling.WARN, "drop-index", "Ann Lee: nobody scans it")
    assert {(one.ruling, one.rule, one.override) for one in second} == {
        (Ruling.REFUSE, "drop-index", ""),
        (Ruling.REFUSE, "cascade", ""),
    }
    found = _judge("-- greenroom: allow cascade: known\nDROP INDEX b CASCADE", Context(POSTGRES))
    assert [(one.rule, one.ruling) for one in found] == [("drop-index", Ruling.REFUSE), ("cascade", Ruling.WARN)]


def test_an_override_of_no_rule_is_an_error_with_its_place() -> None:
    with pytest.raises(Unreadable) as caught:
        _judge("SELECT 1;\n-- greenroom: allow drop-colum: it is old\nALTER TABLE a DROP b", Context(POSTGRES))
    assert caught.value.message.startswith("m/expand.sql:3:1: there is no rule `drop-colum`")
    assert "drop-column" in caught.value.hint


def test_the_reason_speaks_of_the_running_version_and_of_what_is_known_of_it() -> None:
    sql = "ALTER TABLE users DROP COLUMN old_preference"
    [unknown] = _judge(sql, Context(POSTGRES))
    [known] = _judge(sql, Context(POSTGRES, "41"))
    [seen] = _judge(sql, Context(POSTGRES, "41", uses={"users.old_preference": "17 calls today"}))
    assert unknown.reason.startswith("The running version may still use `users.old_preference`")
    assert known.reason.startswith("Version 41 may still use `users.old_preference`")
    assert seen.reason.startswith("Version 41 still uses `users.old_preference`")


def test_locks_and_sizes_are_told() -> None:
    context = Context(POSTGRES, sizes={"users": Size(10**6, 2 * 10**9)})
    [allowed] = _judge("ALTER TABLE public.users ADD COLUMN a text", context)
    assert allowed.ruling is Ruling.ALLOW
    assert allowed.locks == ("ACCESS EXCLUSIVE on users: keeps out reads and writes",)
    assert (allowed.rows, allowed.bytes) == (10**6, 2 * 10**9)


def test_what_is_not_understood_names_the_place() -> None:
    [found] = _judge("ALTER TABEL users DROP a", Context(POSTGRES))
    assert found.rule == "not-understood"
    assert found.reason.startswith("At m/expand.sql:1:7: `TABEL` is not understood here")


def test_tables_of_other_schemas_are_found_by_their_names_alone() -> None:
    schema = Schema(split("CREATE TABLE shop.users (id int, name text); CREATE TABLE other.carts (id int)", POSTGRES))
    context = Context(POSTGRES, schema=schema)
    assert [one.rule for one in _judge("ALTER TABLE users DROP name", context)] == ["drop-column"]
    assert [one.rule for one in _judge("ALTER TABLE users ADD COLUMN a text", context)] == [""]
    assert [one.rule for one in _judge("ALTER TABLE baskets ADD COLUMN a text", context)] == ["unknown-object"]


BOTH = Schema(split("CREATE TABLE app.users (id int); CREATE TABLE public.orders (id int)", POSTGRES))


@pytest.mark.parametrize(
    "moves",
    [
        "-- greenroom: allow session-setting: known\nSET search_path = public",
        "-- greenroom: allow session-setting: known\nSET SCHEMA 'public'",
        "-- greenroom: allow session-setting: known\nDISCARD ALL",
        "CREATE SCHEMA mine",
        "GRANT USAGE ON SCHEMA mine TO deploy",
    ],
)
def test_behind_what_changes_the_search_path_names_have_a_schema(moves: str) -> None:
    context = Context(POSTGRES, schema=BOTH, path=SearchPath(("app", "public"), ("mine",), True))
    found = _judge(f"{moves};\nALTER TABLE users ADD COLUMN a int;\nALTER TABLE app.users ADD COLUMN b int", context)
    refused = {one.sql: one.rule for one in found if one.ruling is Ruling.REFUSE}
    assert refused == {"ALTER TABLE users ADD COLUMN a int": "ambiguous-name"}
    assert "m/expand.sql" in next(one.reason for one in found if one.rule == "ambiguous-name")


def test_types_are_those_of_the_search_path() -> None:
    schema = Schema(
        split(
            "CREATE TABLE app.users (id int); CREATE TYPE public.mood AS ENUM ('a'); CREATE DOMAIN app.age AS int",
            POSTGRES,
        )
    )
    context = Context(POSTGRES, schema=schema, path=SearchPath(("app", "public"), (), True))
    for kind, rule in (
        ("mood", ""),
        ("public.mood", ""),
        ("mood[]", ""),
        ("age", "domain-column"),
        ("app.mood", "domain-column"),
    ):
        assert [one.rule for one in _judge(f"ALTER TABLE users ADD COLUMN a {kind}", context)] == [rule], kind


def test_what_is_read_and_what_the_rehearsal_saw_are_the_same_table() -> None:
    context = Context(POSTGRES, schema=BOTH, path=SearchPath(("app", "public"), (), True))
    for seen, rules in (("users", set()), ("public.users", {"ambiguous-name"})):
        facts = {1: Facts(1, locks=(Lock(seen, "ACCESS EXCLUSIVE"),))}
        found = _judge("ALTER TABLE users ADD COLUMN a int", replace(context, facts=facts))
        assert {one.rule for one in found if one.ruling is Ruling.REFUSE} == rules


def test_created_names_what_a_release_makes() -> None:
    sql = (
        f"CREATE TABLE carts (id int); {NEW}; CREATE INDEX CONCURRENTLY i ON users (age); CREATE TYPE t AS ENUM ('a');"
        " CREATE TABLE IF NOT EXISTS maybe (id int); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    )
    assert created(split(sql, POSTGRES), POSTGRES) == {"carts", "users.preference", "index i", "type t", "function f"}


@pytest.mark.parametrize("dialect", Dialect)
def test_whatever_is_written_is_judged(dialect: Dialect) -> None:
    """The corpus with words lost, doubled and exchanged: judging it ends, with a ruling for every statement."""
    chance = random.Random(5)
    schema = Schema(split(base(dialect), dialect))
    pool = [
        [token.text for token in Tokens(sql, dialect)]
        for case in cases(dialect)
        for sql in _readable(case.sql, dialect)
    ]
    words = [word for statement in pool for word in statement]
    for _ in range(500):
        text = list(chance.choice(pool))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(text) + 1)
            text[at : at + chance.randint(0, 2)] = chance.sample(words, chance.randint(0, 2))
        for statements in [split(sql, dialect) for sql in _readable((" ".join(text),), dialect)]:
            for stage in Stage:
                found = judge(statements, stage, Context(dialect, "41", chance.choice([None, schema])))
                assert len(found) >= len(statements)


def _readable(texts: tuple[str, ...], dialect: Dialect) -> list[str]:
    found = []
    for text in texts:
        try:
            split(text, dialect)
        except Unreadable:
            continue
        found.append(text)
    return found
