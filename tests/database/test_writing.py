"""The rename helper on a real PostgreSQL: what its files make of a table while both versions write to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from greenroom.adapters.database.target import Session, of
from greenroom.adapters.database.writing import rename
from greenroom.domain.schema import Stage
from greenroom.errors import Refused, UsageError
from tests.database.renaming import NOWHERE, Version, at_once, carry_out, emptied, statements, until
from tests.rigs import postgres
from tests.rigs.postgres import Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]

USERS = """
CREATE TABLE users (id serial PRIMARY KEY, old text, other text, version int NOT NULL DEFAULT 1);
INSERT INTO users (old) SELECT 'first ' || n FROM generate_series(1, 40) n;
"""


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
        yield connection


@pytest.fixture
def session(cluster: Cluster, name: str) -> Iterator[Session]:
    opened = of(cluster.url(name)).open("helper")
    yield opened
    opened.close()


@pytest.fixture
def connect(cluster: Cluster, name: str) -> Callable[[], psycopg.Connection[Any]]:
    return lambda: cluster.connect(name)


def both(db: psycopg.Connection[Any], row: int) -> tuple[Any, Any]:
    [found] = db.execute("SELECT old, new FROM users WHERE id = %s", [row]).fetchall()
    return found


WRITES = {
    "old inserts": ("INSERT INTO users (id, old) VALUES (99, 'x')", 99, "x"),
    "new inserts": ("INSERT INTO users (id, new) VALUES (99, 'x')", 99, "x"),
    "old inserts nothing": ("INSERT INTO users (id) VALUES (99)", 99, None),
    "old inserts NULL": ("INSERT INTO users (id, old) VALUES (99, NULL)", 99, None),
    "new inserts NULL": ("INSERT INTO users (id, new) VALUES (99, NULL)", 99, None),
    "old updates": ("UPDATE users SET old = 'x' WHERE id = 1", 1, "x"),
    "new updates": ("UPDATE users SET new = 'x' WHERE id = 1", 1, "x"),
    "old empties": ("UPDATE users SET old = NULL WHERE id = 1", 1, None),
    "new empties": ("UPDATE users SET new = NULL WHERE id = 1", 1, None),
    "new sets the default": ("UPDATE users SET new = DEFAULT WHERE id = 1", 1, None),
    "neither": ("UPDATE users SET other = 'y' WHERE id = 1", 1, "first 1"),
    "old as it was": ("UPDATE users SET old = old WHERE id = 1", 1, "first 1"),
    "new as it was": ("UPDATE users SET new = new WHERE id = 1", 1, "first 1"),
    "both alike": ("UPDATE users SET old = 'x', new = 'x' WHERE id = 1", 1, "x"),
    "old upserts one that is there": (
        "INSERT INTO users (id, old) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET old = EXCLUDED.old", 1, "x",
    ),
    "new upserts one that is there": (
        "INSERT INTO users (id, new) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET new = EXCLUDED.new", 1, "x",
    ),
    "new upserts a new one": (
        "INSERT INTO users (id, new) VALUES (99, 'x') ON CONFLICT (id) DO UPDATE SET new = EXCLUDED.new", 99, "x",
    ),
    "old merges one that is there": (
        "MERGE INTO users u USING (VALUES (1, 'x')) s (i, v) ON u.id = s.i WHEN MATCHED THEN UPDATE SET old = s.v"
        " WHEN NOT MATCHED THEN INSERT (id, old) VALUES (s.i, s.v)", 1, "x",
    ),
    "new merges a new one": (
        "MERGE INTO users u USING (VALUES (99, 'x')) s (i, v) ON u.id = s.i WHEN MATCHED THEN UPDATE SET new = s.v"
        " WHEN NOT MATCHED THEN INSERT (id, new) VALUES (s.i, s.v)", 99, "x",
    ),
    "new moves a value": ("UPDATE users u SET new = s.new FROM users s WHERE u.id = 1 AND s.id = 2", 1, "first 2"),
}  # fmt: skip


@pytest.mark.parametrize("filled", [False, True], ids=["before the backfill", "after it"])
def test_whatever_is_written_both_columns_are_equal(
    db: psycopg.Connection[Any], session: Session, filled: bool
) -> None:
    db.execute(USERS)
    draft = rename(session, "users.old", "new", folder=NOWHERE)
    carry_out(session, draft, Stage.EXPAND)
    if filled:
        carry_out(session, draft, Stage.BACKFILL)
    unseen = {
        "new empties",
        "new sets the default",
        "new moves a value",
    }  # what the new version reads is NULL until then
    for case, (sql, row, value) in WRITES.items():
        if filled or case not in unseen:
            with db.transaction(force_rollback=True):
                db.execute(sql)
                assert both(db, row) == (value, value), case


@pytest.mark.parametrize("column", ["old", "new"])
def test_copy_and_prepared_statements_write_both(db: psycopg.Connection[Any], session: Session, column: str) -> None:
    db.execute(USERS)
    carry_out(session, rename(session, "users.old", "new", folder=NOWHERE), Stage.EXPAND)
    with db.cursor().copy(f"COPY users (id, {column}) FROM STDIN") as copy:
        copy.write_row((98, "x"))
        copy.write_row((99, None))
    for value in ("a", "b", "c"):
        db.execute(f"UPDATE users SET {column} = %s WHERE id = %s", [value, 1], prepare=True)
        assert both(db, 1) == (value, value)
    assert both(db, 98) == ("x", "x")
    assert both(db, 99) == (None, None)


def test_a_change_that_the_types_own_equality_does_not_see_is_not_lost(
    db: psycopg.Connection[Any], session: Session
) -> None:
    """1.0 = 1.00, and json has no equality at all."""
    db.execute(
        "CREATE TABLE users (id int PRIMARY KEY, price numeric, data json); INSERT INTO users VALUES (1, 1.0, '{}')"
    )
    for column in ("price", "data"):
        draft = rename(session, f"users.{column}", f"new_{column}", folder=NOWHERE)
        carry_out(session, draft, Stage.EXPAND)
        carry_out(session, draft, Stage.BACKFILL) if column == "price" else db.execute(
            "UPDATE users SET new_data = data"
        )
    db.execute("UPDATE users SET new_price = 1.00, new_data = '[1]'")
    [(price, data)] = db.execute("SELECT price::text, data::text FROM users").fetchall()
    assert (price, data) == ("1.00", "[1]")


def test_both_versions_write_at_once_through_the_whole_life(
    db: psycopg.Connection[Any], session: Session, connect: Callable[[], psycopg.Connection[Any]]
) -> None:
    """No error and no lost write from expand to contract; the old version stops before the contract, as it must."""
    db.execute(USERS.replace("old text", "old text NOT NULL DEFAULT 'none'"))
    before, after = Version("old", connect), Version("new", connect, prepared=True)
    draft = rename(session, "users.old", "new", folder=NOWHERE)
    with at_once((before, 2)):
        until(lambda: len(before.written) > 30, "the old version does not write")
        carry_out(session, draft, Stage.EXPAND)
        for low in range(1, 41, 10):
            session.run(
                "UPDATE users SET new = old WHERE id BETWEEN %s AND %s AND new IS DISTINCT FROM old", [low, low + 9]
            )
        session.run("UPDATE users SET new = old WHERE new IS DISTINCT FROM old")
        with at_once((after, 2)):
            seen = len(before.written) + 100
            until(lambda: len(before.written) > seen and len(after.written) > 100, "they do not write at once")
            for _ in range(50):
                assert db.execute("SELECT count(*) FROM users WHERE old IS DISTINCT FROM new").fetchone() == (0,)
    with at_once((after, 2)):
        carry_out(session, draft, Stage.CONTRACT)
        seen = len(after.written) + 50
        until(lambda: len(after.written) > seen, "the new version does not write after the contract")
    assert before.errors + after.errors == []
    written = before.written | after.written
    assert len(written) == len(before.written) + len(after.written), "two writes left the same version of a row"
    for row, version, value in db.execute("SELECT id, version, new FROM users").fetchall():
        last = max((v for r, v in written if r == row), default=0)
        assert version >= last
        if last:  # what came after the last told write changed another column
            assert value == written[row, last]


def test_between_any_two_statements_of_a_contract_the_new_version_writes(
    db: psycopg.Connection[Any], session: Session
) -> None:
    db.execute(
        "CREATE TABLE groups (name text PRIMARY KEY); INSERT INTO groups VALUES ('a'), ('b');"
        "CREATE TABLE users (id serial PRIMARY KEY, old text NOT NULL UNIQUE REFERENCES groups CHECK (old <> ''))"
    )
    draft = rename(session, "users.old", "new", folder=NOWHERE)
    carry_out(session, draft, Stage.EXPAND)
    carry_out(session, draft, Stage.BACKFILL)

    def write() -> None:
        with db.transaction(force_rollback=True):
            db.execute("INSERT INTO users (new) VALUES ('a')")
            db.execute("UPDATE users SET new = 'b'")
            db.execute("INSERT INTO users (new) VALUES ('b') ON CONFLICT (new) DO UPDATE SET new = 'a'")
            assert db.execute("SELECT new FROM users").fetchall() == [("a",)]

    carry_out(session, draft, Stage.CONTRACT, after_each=write)
    for wrong in ("NULL", "''", "'c'"):
        with pytest.raises(psycopg.errors.IntegrityError):
            db.execute(f"INSERT INTO users (new) VALUES ({wrong})")
    left = db.execute("SELECT count(*) FROM pg_proc WHERE proname LIKE 'zzzz%'").fetchone()
    assert left == (0,)


def test_pitfall_4_column_and_trigger_go_in_one_statement(db: psycopg.Connection[Any], session: Session) -> None:
    db.execute(USERS)
    draft = rename(session, "users.old", "new", folder=NOWHERE)
    carry_out(session, draft, Stage.EXPAND)
    with db.transaction(force_rollback=True):
        db.execute("ALTER TABLE users DROP COLUMN old")  # what a contract written by hand does
        with pytest.raises(psycopg.errors.UndefinedColumn), db.transaction():
            db.execute("INSERT INTO users (new) VALUES ('x')")
    dropping = [sql for sql in statements(draft, Stage.CONTRACT) if "DROP COLUMN" in sql]
    assert dropping == ["ALTER TABLE users DISABLE TRIGGER zzzz_greenroom_users_old, DROP COLUMN old"]
    session.run(dropping[0])
    db.execute("INSERT INTO users (new) VALUES ('x')")  # and here the runner may be killed


def test_pitfall_11_unique_where_null_is_a_value_among_others(db: psycopg.Connection[Any], session: Session) -> None:
    """Rows that are not filled yet are all NULL; the index that takes one NULL only must wait for them."""
    db.execute("CREATE TABLE users (id serial PRIMARY KEY, old text, CONSTRAINT one UNIQUE NULLS NOT DISTINCT (old))")
    db.execute("INSERT INTO users (old) VALUES ('a'), ('b'), (NULL)")
    with db.transaction(force_rollback=True), pytest.raises(psycopg.errors.UniqueViolation), db.transaction():
        db.execute("ALTER TABLE users ADD COLUMN new text; CREATE UNIQUE INDEX ON users (new) NULLS NOT DISTINCT")
    draft = rename(session, "users.old", "new", folder=NOWHERE)
    carry_out(session, draft, Stage.EXPAND)
    for wrong in ("(old) VALUES ('a')", "(new) VALUES ('a')", "(old) VALUES (NULL)", "(new) VALUES (NULL)"):
        with pytest.raises(psycopg.errors.UniqueViolation):
            db.execute(f"INSERT INTO users {wrong}")
    carry_out(session, draft, Stage.BACKFILL)
    db.execute("INSERT INTO users (new) VALUES ('b') ON CONFLICT (new) DO NOTHING")
    carry_out(session, draft, Stage.CONTRACT)
    for wrong in ("'a'", "NULL"):
        with pytest.raises(psycopg.errors.UniqueViolation):
            db.execute(f"INSERT INTO users (new) VALUES ({wrong})")
    found = db.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'users'::regclass AND contype = 'u'"
    ).fetchall()
    assert found == [("UNIQUE NULLS NOT DISTINCT (new)",)]


EVERYTHING = """
CREATE COLLATION odd (provider = icu, locale = 'de');
CREATE TABLE groups (name varchar(30) COLLATE odd PRIMARY KEY);
CREATE TABLE "Odd Table" (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant int NOT NULL,
  "Old ""Name" varchar(30) COLLATE odd NOT NULL DEFAULT 'it''s'
    CONSTRAINT "Old ""Name long" CHECK (length("Old ""Name") > 0),
  CONSTRAINT "u Old ""Name" UNIQUE (tenant, "Old ""Name"),
  FOREIGN KEY ("Old ""Name") REFERENCES groups ON UPDATE CASCADE ON DELETE SET DEFAULT
);
CREATE INDEX "USING (Old ""Name)" ON "Odd Table" (lower("Old ""Name") DESC NULLS LAST) INCLUDE (tenant)
  WITH (fillfactor = 70) WHERE "Old ""Name" <> '"Old ""Name"';
CREATE UNIQUE INDEX identity ON "Odd Table" ("Old ""Name", id);
CREATE STATISTICS related (dependencies, ndistinct) ON tenant, "Old ""Name" FROM "Odd Table";
ALTER TABLE "Odd Table" REPLICA IDENTITY USING INDEX identity, ALTER "Old ""Name" SET STATISTICS 250,
  ALTER "Old ""Name" SET (n_distinct = 7), ALTER "Old ""Name" SET STORAGE EXTERNAL;
COMMENT ON COLUMN "Odd Table"."Old ""Name" IS 'a \\ and a ''quote''';
COMMENT ON INDEX identity IS 'of rows';
GRANT SELECT ("Old ""Name") ON "Odd Table" TO pg_monitor WITH GRANT OPTION;
GRANT UPDATE ("Old ""Name"), INSERT ("Old ""Name") ON "Odd Table" TO PUBLIC;
"""
OF_THE_COLUMN = """
SELECT format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation::text, a.attnotnull, a.attstorage, a.attstattarget,
  a.attoptions, a.attacl::text[], pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum),
  (SELECT array_agg(pg_get_constraintdef(k.oid)) FROM pg_constraint k WHERE k.conrelid = a.attrelid),
  (SELECT array_agg(regexp_replace(pg_get_indexdef(i.indexrelid), '^.*? USING btree', '') || i.indisunique
    || i.indisreplident || coalesce(obj_description(i.indexrelid), ''))
    FROM pg_index i WHERE i.indrelid = a.attrelid),
  (SELECT array_agg(regexp_replace(pg_get_statisticsobjdef(oid), '^.* \\(', '')) FROM pg_statistic_ext)
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = '"Odd Table"'::regclass AND a.attname = %s
"""


def told(row: tuple[Any, ...], old: str = "", new: str = "") -> list[Any]:
    """Without the order in lists; with another name, but not in a string."""

    def named(text: str) -> str:
        return text.replace(old, new).replace(f"'\"{new}\"'", f"'\"{old}\"'") if old else text

    return [sorted(map(named, value)) if isinstance(value, list) else value for value in row]


def test_pitfall_11_what_the_old_column_had_the_new_one_has(db: psycopg.Connection[Any], session: Session) -> None:
    db.execute(EVERYTHING)
    old, new = 'Old "Name', "neuer Näme"
    [had] = db.execute(OF_THE_COLUMN, [old]).fetchall()
    draft = rename(session, '"Odd Table"."Old ""Name"', f'"{new}"', folder=NOWHERE)
    for stage in (Stage.EXPAND, Stage.BACKFILL, Stage.CONTRACT):
        carry_out(session, draft, stage)
    [has] = db.execute(OF_THE_COLUMN, [new]).fetchall()
    assert told(has) == told(had, 'Old ""Name', new)
    columns = db.execute("SELECT attname FROM pg_attribute WHERE attrelid = '\"Odd Table\"'::regclass AND attnum > 0")
    assert old not in [column for (column,) in columns]


def test_a_primary_key_and_its_sequence_get_the_new_name(db: psycopg.Connection[Any], session: Session) -> None:
    db.execute(USERS)
    draft = rename(session, "users.id", "number", folder=NOWHERE)
    carry_out(session, draft, Stage.EXPAND)
    carry_out(session, draft, Stage.BACKFILL)
    db.execute("INSERT INTO users (old) VALUES ('x')")
    carry_out(session, draft, Stage.CONTRACT)
    db.execute("INSERT INTO users (old) VALUES ('y')")
    assert db.execute("SELECT count(DISTINCT number), count(*), max(number) >= 42 FROM users").fetchone() == (
        42,
        42,
        True,
    )
    found = db.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'users'::regclass AND contype = 'p'"
    ).fetchall()
    assert found == [("PRIMARY KEY (number)",)]
    assert db.execute("SELECT pg_get_serial_sequence('users', 'number')").fetchone() == ("public.users_id_seq",)


REFUSED = {
    "not-a-plain-table": "CREATE TABLE t (id int PRIMARY KEY, old text) PARTITION BY RANGE (id)",
    "inherited": "CREATE TABLE t (id int PRIMARY KEY, old text); CREATE TABLE child () INHERITS (t)",
    "no-primary-key": "CREATE TABLE t (id int, old text)",
    "generated-column": "CREATE TABLE t (id int PRIMARY KEY, old int GENERATED ALWAYS AS (id * 2) STORED)",
    "identity-column": "CREATE TABLE t (id int PRIMARY KEY, old int GENERATED BY DEFAULT AS IDENTITY)",
    "constrained-domain": "CREATE DOMAIN d AS text CHECK (VALUE <> ''); CREATE TABLE t (id int PRIMARY KEY, old d)",
    "constraint-without-twin": "CREATE TABLE t (id int PRIMARY KEY, old text UNIQUE DEFERRABLE)",
    "referenced": "CREATE TABLE t (id int PRIMARY KEY, old text UNIQUE); CREATE TABLE u (t text REFERENCES t (old))",
    "rewrite-rule": "CREATE TABLE t (id int PRIMARY KEY, old text); CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING",
}
FUNCTION = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; "
TABLE = "CREATE TABLE t (id int PRIMARY KEY, old text); "
ACCEPTABLE = {
    "before-trigger:audit": f"{TABLE}{FUNCTION}CREATE TRIGGER audit BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
    "trigger-of-column:a": f"{TABLE}{FUNCTION}CREATE TRIGGER a AFTER UPDATE OF other ON t FOR EACH ROW EXECUTE FUNCTION f()",
    "dependent:public.v": f"{TABLE}CREATE VIEW v AS SELECT old FROM t",
    "dependent:p": f"{TABLE}CREATE POLICY p ON t USING (old = current_user)",
    "published-columns:pub": f"{TABLE}CREATE PUBLICATION pub FOR TABLE t (id, old)",
}


@pytest.mark.parametrize("rule", REFUSED)
def test_what_cannot_be_right_is_refused_with_the_way_out(
    db: psycopg.Connection[Any], session: Session, rule: str
) -> None:
    db.execute(REFUSED[rule])
    with pytest.raises(Refused, match=rf"\[{rule}") as refused:
        rename(session, "t.old", "new", folder=NOWHERE)
    assert "release" in str(refused.value) or "by hand" in str(refused.value)


@pytest.mark.parametrize("key", ACCEPTABLE)
def test_what_a_person_must_know_of_is_refused_until_it_is_accepted(
    db: psycopg.Connection[Any], session: Session, key: str
) -> None:
    db.execute(ACCEPTABLE[key].replace("UPDATE OF other", "UPDATE OF old"))
    with pytest.raises(Refused) as refused:
        rename(session, "t.old", "new", folder=NOWHERE)
    accepted = [word for word in refused.value.hint.split() if ":" in word and not word.endswith(":")]
    assert key in accepted
    draft = rename(session, "t.old", "new", folder=NOWHERE, accept=accepted)
    carry_out(session, draft, Stage.EXPAND)
    assert "-- First: " in draft.migration.scripts[Stage.CONTRACT].text
    with pytest.raises(UsageError, match="nothing here is called"):
        rename(session, "t.id", "newest", folder=NOWHERE, accept=["before-trigger:nobody"])


def test_what_may_matter_is_told(db: psycopg.Connection[Any], session: Session) -> None:
    db.execute(TABLE.replace("old text", "old text UNIQUE DEFAULT gen_random_uuid()::text"))
    db.execute(
        "CREATE PUBLICATION pub FOR TABLE t; CREATE FUNCTION g() RETURNS text LANGUAGE sql AS 'SELECT ''the old'''"
    )
    draft = rename(session, "t.old", "new", folder=NOWHERE)
    told = {concern.key for concern in draft.concerns}
    assert told == {
        "published:pub", "mentioned-in-function:public.g()", "computed-default", "two-unique-indexes:t_old_key",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("column", "new", "says"),
    [
        ("nobody.old", "new", "no table nobody"),
        ("users.nothing", "new", "no column nothing"),
        ("users.old", "other", "has a column other already"),
        ("users.old", "old", "this name already"),
        ("users", "new", "does not name a column"),
        ("users.old; DROP TABLE users", "new", "does not name a column"),
        ("users.old", "new; DROP TABLE users", "not the name of a column"),
        ("users.old", "n" * 64, "longer than 63 bytes"),
        ("users.old", '""', "not the name of a column"),
        ("users.old", "'new'", "not the name of a column"),
        ("a.b.c.d", "new", "does not name a column"),
        ('users."old', "new", "never ends"),
    ],
)
def test_bad_names_are_refused_with_the_way_out(
    db: psycopg.Connection[Any], session: Session, column: str, new: str, says: str
) -> None:
    db.execute(USERS)
    with pytest.raises(UsageError, match=says) as refused:
        rename(session, column, new, folder=NOWHERE)
    assert refused.value.hint


def test_a_second_rename_of_a_table_may_run_beside_the_first_but_not_of_the_same_column(
    db: psycopg.Connection[Any], session: Session
) -> None:
    db.execute(USERS)
    first = rename(session, "users.old", "new", folder=NOWHERE)
    carry_out(session, first, Stage.EXPAND)
    second = rename(session, "users.other", "another", folder=NOWHERE)
    carry_out(session, second, Stage.EXPAND)
    db.execute("INSERT INTO users (id, old, another) VALUES (99, 'x', 'y')")
    found = db.execute("SELECT old, new, other, another FROM users WHERE id = 99").fetchone()
    assert found == ("x", "x", "y", "y")
    for column in ("old", "new"):
        with pytest.raises(Refused, match="Contract that one first"):
            rename(session, f"users.{column}", "newest", folder=NOWHERE)


def test_the_helper_locks_nobody_out(db: psycopg.Connection[Any], session: Session) -> None:
    """It reads the catalogue while somebody holds the table for himself."""
    db.execute(USERS)
    with db.transaction():
        db.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
        assert rename(session, "users.old", "new", folder=NOWHERE).migration.scripts
