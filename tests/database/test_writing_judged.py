"""What the helpers write is what the judge allows, rehearsal and all; other types, and several columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from greenroom.adapters.database.backfill import BackfillSettings, backfill
from greenroom.adapters.database.contracting import ContractSettings, contract
from greenroom.adapters.database.judgement import judged
from greenroom.adapters.database.running import expand
from greenroom.adapters.database.settings import SqlSettings
from greenroom.adapters.database.target import Session, of
from greenroom.adapters.database.writing import Draft, rename, retype, split
from greenroom.domain.model import Verdict
from greenroom.domain.schema import Order, Ruling, Stage
from greenroom.errors import Refused, UsageError
from tests.database.renaming import NOWHERE, carry_out, emptied
from tests.rigs import postgres
from tests.rigs.postgres import Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]

ORDER = Order("shop", "r1", "42", "ann", 1, 0.0, running="41")
SHOP = """
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE groups (name text PRIMARY KEY);
CREATE TABLE "User" (id serial PRIMARY KEY, tenant int NOT NULL, "userName" varchar(40) NOT NULL DEFAULT 'nobody'
  REFERENCES groups CHECK (length("userName") > 0), age int NOT NULL DEFAULT 0, price numeric(8,2), mood mood, name text,
  UNIQUE (tenant, "userName"));
CREATE INDEX ON "User" (lower("userName")) WHERE age > 0;
CREATE TABLE users (id serial PRIMARY KEY, old text UNIQUE NULLS NOT DISTINCT, at timestamptz DEFAULT now());
ALTER TABLE users REPLICA IDENTITY FULL;
"""
SPLIT = {
    "by": "split_part(name, ' ', 1), nullif(split_part(\"User\".name, ' ', 2), '')",
    "back": "concat_ws(' ', first_name, last_name)",
}


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
def url(cluster: Cluster, name: str) -> str:
    with cluster.connect(name) as db:
        emptied(db)
        db.execute(SHOP)
    return cluster.url(name)


@pytest.fixture
def session(url: str) -> Iterator[Session]:
    opened = of(url).open("helper")
    yield opened
    opened.close()


@pytest.fixture
def db(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def drafts(session: Session) -> dict[str, Draft]:
    return {
        "rename": rename(session, '"User"."userName"', '"loginName"', folder=NOWHERE),
        "rename where NULL is a value": rename(session, "users.old", "new", folder=NOWHERE),
        "rename with a default of the moment": rename(session, "users.at", "made_at", folder=NOWHERE),
        "rename of a key": rename(session, "users.id", "number", folder=NOWHERE),
        "wider": retype(session, '"User".age', "bigint", folder=NOWHERE),
        "text": retype(session, '"User"."userName"', "text", to='"userText"', folder=NOWHERE),
        "rounding": retype(session, '"User".price', "numeric(12,4)", folder=NOWHERE),
        "enum": retype(session, '"User".mood', "text", folder=NOWHERE),
        "split": split(session, '"User".name', ["first_name", "last_name"], folder=NOWHERE, **SPLIT),
        "one way": split(
            session, '"User".name', ["first_name", "last_name"], by=SPLIT["by"], one_way=True, folder=NOWHERE
        ),
    }


@pytest.mark.parametrize("shadow", [False, True], ids=["read", "rehearsed"])
def test_no_statement_of_a_helper_is_refused(cluster: Cluster, url: str, session: Session, shadow: bool) -> None:
    """Several goes, since some of them change the same columns, or columns of one index."""
    settings = SqlSettings(url=url, shadow=cluster.url("postgres") if shadow else "")
    apart = (["wider"], ["rename of a key", "text", "one way"])
    made = drafts(session)
    for cases in (*apart, [case for case in made if not any(case in group for group in apart)]):
        found = judged(settings, list(Stage), ORDER, [made[case].migration for case in cases])
        assert len(found) >= 7 * len(cases)
        refused = [(one.file, one.sql, one.rule, one.reason) for one in found if one.ruling is Ruling.REFUSE]
        assert refused == []


def test_the_whole_life_by_those_who_carry_it_out(db: psycopg.Connection[Any], url: str, session: Session) -> None:
    """Judged, run, filled, hidden, dropped: by what a release uses, with the soft drop between."""
    db.execute("""INSERT INTO groups VALUES ('ann'), ('bob'), ('nobody')""")
    db.execute("""INSERT INTO "User" (tenant, "userName") VALUES (1, 'ann'), (2, 'bob')""")
    draft = rename(session, '"User"."userName"', '"loginName"', folder=NOWHERE)
    target, migrations, told = of(url), [draft.migration], list[str]()
    both = replace(ORDER, colours={"blue": "41", "green": "42"})
    assert expand(target, both, migrations, told.append).statements >= 4
    db.execute("""INSERT INTO "User" (tenant, "loginName") VALUES (3, 'bob')""")
    assert backfill(target, both, migrations, BackfillSettings(), told.append).done
    alone = replace(both, running="42", gone="41", colours={"blue": "", "green": "42"}, baked=True, now=1000.0)
    alone = replace(alone, overrides={"evidence": "all of the code was read"})
    settings = ContractSettings(
        soft_drop="60s",  # type: ignore[arg-type]
        evidence=(),
    )
    db.execute("SET application_name = 'shop green 42'")
    session.close()
    found = contract(target, alone, migrations, settings, told.append)
    assert found.verdict is Verdict.WAIT, found
    write = """UPDATE "User" SET "loginName" = 'ann'; INSERT INTO "User" (tenant, "loginName") VALUES (%d, 'bob')"""
    db.execute(write % 4)
    found = contract(target, replace(alone, now=2000.0), migrations, settings, told.append)
    assert found.verdict is Verdict.PASS, found
    db.execute(write % 5)
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.execute("""INSERT INTO "User" (tenant, "loginName") VALUES (5, 'bob')""")
    query = (
        """SELECT attname FROM pg_attribute WHERE attrelid = '"User"'::regclass AND attnum > 0 AND NOT attisdropped"""
    )
    assert {"userName", "loginName"} & {column for (column,) in db.execute(query)} == {"loginName"}


def test_a_wider_type_is_equal_whoever_writes_and_loud_beyond_the_old_one(
    db: psycopg.Connection[Any], session: Session
) -> None:
    db.execute("INSERT INTO groups VALUES ('nobody')")
    draft = retype(session, '"User".age', "bigint", to="years", folder=NOWHERE)
    carry_out(session, draft, Stage.EXPAND)
    db.execute('INSERT INTO "User" (tenant, age) VALUES (1, 7)')
    db.execute("""UPDATE "User" SET years = 8; INSERT INTO "User" (tenant, years) VALUES (2, 9)""")
    db.execute('INSERT INTO "User" (tenant) VALUES (3)')
    assert db.execute('SELECT age, years FROM "User" ORDER BY id').fetchall() == [(8, 8), (9, 9), (0, 0)]
    with pytest.raises(psycopg.errors.NumericValueOutOfRange):
        db.execute('UPDATE "User" SET years = 3000000000')
    carry_out(session, draft, Stage.BACKFILL)
    carry_out(session, draft, Stage.CONTRACT)
    db.execute('UPDATE "User" SET years = 3000000000 WHERE tenant = 1')
    with pytest.raises(psycopg.errors.NotNullViolation):
        db.execute('UPDATE "User" SET years = NULL')


def test_what_would_be_rounded_or_cut_is_refused_and_not_lost(db: psycopg.Connection[Any], session: Session) -> None:
    db.execute("INSERT INTO groups VALUES ('nobody')")
    carry_out(session, retype(session, '"User".price', "numeric", folder=NOWHERE), Stage.EXPAND)
    carry_out(session, retype(session, '"User"."userName"', "text", to="login", folder=NOWHERE), Stage.EXPAND)
    db.execute('INSERT INTO "User" (tenant, price_numeric) VALUES (1, 1.25)')
    with pytest.raises(psycopg.errors.NumericValueOutOfRange, match="the version before this one could not hold"):
        db.execute('UPDATE "User" SET price_numeric = 1.255')
    with pytest.raises(psycopg.errors.StringDataRightTruncation):
        db.execute('UPDATE "User" SET login = %s', ["x" * 41])
    found = db.execute('SELECT price::text, price_numeric::text, login FROM "User"').fetchone()
    assert found == ("1.25", "1.25", "nobody")


def test_the_users_own_way_between_two_types(db: psycopg.Connection[Any], session: Session) -> None:
    with pytest.raises(Refused, match="lossy-type"):
        retype(session, "users.old", "int", folder=NOWHERE)
    draft = retype(
        session,
        "users.old",
        "int",
        to="number",
        by="CAST(substr(old, 3) AS int)",
        back="'n-' || number",
        folder=NOWHERE,
    )
    db.execute("INSERT INTO users (old) VALUES ('n-1')")
    carry_out(session, draft, Stage.EXPAND)
    db.execute("INSERT INTO users (number) VALUES (2); INSERT INTO users (old) VALUES ('n-3')")
    db.execute("UPDATE users SET old = 'n-4' WHERE number = 3; UPDATE users SET number = 5 WHERE number = 2")
    found = db.execute("SELECT old, number FROM users ORDER BY id").fetchall()
    assert found == [("n-1", None), ("n-5", 5), ("n-4", 4)]
    assert "number: CAST(substr(old, 3) AS int)" in draft.migration.scripts[Stage.BACKFILL].text


def test_a_split_follows_whoever_writes_and_keeps_what_cannot_be_told_apart(
    db: psycopg.Connection[Any], session: Session
) -> None:
    db.execute("INSERT INTO groups VALUES ('nobody')")
    carry_out(session, drafts(session)["split"], Stage.EXPAND)
    db.execute("""INSERT INTO "User" (tenant, name) VALUES (1, 'Ada Lovelace')""")
    db.execute("""INSERT INTO "User" (tenant, first_name, last_name) VALUES (2, 'Anna Maria', 'Berg')""")
    db.execute("""UPDATE "User" SET age = 5; UPDATE "User" SET name = name, age = 6""")
    query = 'SELECT name, first_name, last_name FROM "User" ORDER BY tenant'
    assert db.execute(query).fetchall() == [
        ("Ada Lovelace", "Ada", "Lovelace"), ("Anna Maria Berg", "Anna Maria", "Berg"),
    ]  # fmt: skip
    db.execute(
        """UPDATE "User" SET last_name = NULL WHERE tenant = 1; UPDATE "User" SET name = 'C D' WHERE tenant = 2"""
    )
    assert db.execute(query).fetchall() == [("Ada", "Ada", None), ("C D", "C", "D")]


def test_a_split_without_a_way_back_is_two_releases(db: psycopg.Connection[Any], session: Session) -> None:
    """The first one's version reads the new columns and writes the old one; the second's writes the new ones."""
    db.execute("INSERT INTO groups VALUES ('nobody')")
    with pytest.raises(Refused, match="in two releases"):
        split(session, '"User".name', ["first_name", "last_name"], by=SPLIT["by"], folder=NOWHERE)
    draft = drafts(session)["one way"]
    carry_out(session, draft, Stage.EXPAND)
    db.execute("""INSERT INTO "User" (tenant, name) VALUES (1, 'Ada Lovelace')""")  # the first
    db.execute("""INSERT INTO "User" (tenant, first_name) VALUES (2, 'Bob')""")  # the second
    db.execute("""UPDATE "User" SET last_name = 'Byron' WHERE tenant = 1""")
    db.execute("""UPDATE "User" SET name = name, age = 7""")  # the first, which did not see the change
    query = 'SELECT name, first_name, last_name FROM "User" ORDER BY tenant'
    assert db.execute(query).fetchall() == [("Ada Lovelace", "Ada", "Byron"), (None, "Bob", None)]
    carry_out(session, draft, Stage.CONTRACT)
    db.execute("""INSERT INTO "User" (tenant, first_name) VALUES (3, 'Eve')""")


@pytest.mark.parametrize(
    ("news", "by", "back", "says"),
    [
        (["a"], "name, name", "a", "1 columns and 2 expressions"),
        (["a", "b"], "name, nobody", "a", "does not exist"),
        (["a"], "name;", "a", "must be an expression"),
        (["a"], "(SELECT name)", "a", "must be an expression"),
        (["a"], "name", "a || name", "--back names name"),
        (["a"], "name", "a || c", "does not exist"),
        (["a", "a"], "name, name", "a", "a column a already"),
        (["age"], "name", "age", "a column age already"),
        (["a"], "users_own_function(name)", "a", "does not exist"),
    ],
)
def test_bad_expressions_are_refused(session: Session, news: list[str], by: str, back: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        split(session, '"User".name', news, by=by, back=back, folder=NOWHERE)
    assert refused.value.hint


@pytest.mark.parametrize("kind", ["nothing", "int; DROP TABLE users", "varchar(", "'int'", "int) AS x, (1", ""])
def test_bad_types_are_refused(session: Session, kind: str) -> None:
    with pytest.raises(UsageError):
        retype(session, '"User".age', kind, to="years", folder=NOWHERE)


def test_the_guide_shows_what_is_written(db: psycopg.Connection[Any], session: Session) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "rename.md").read_text()
    table, *shown = re.findall(r"```sql\n(.*?)```", guide, re.DOTALL)
    db.execute("DROP TABLE users")
    db.execute(table)
    draft = rename(session, "users.old_preference", "preference", folder=NOWHERE)
    assert shown == [draft.migration.scripts[stage].text for stage in Stage]
    assert draft.concerns == ()
