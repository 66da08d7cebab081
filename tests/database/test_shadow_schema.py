"""The schema of a shadow: written by `pg_dump`, read from the target, or wrong in one of the ways in which it can be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from greenroom.adapters.database.reading import split
from greenroom.adapters.database.shadow import schema as schemas
from greenroom.adapters.database.shadow.facts import Facts
from greenroom.adapters.database.shadow.rehearsal import Shadow
from greenroom.adapters.database.shadow.schema import Source, of_target, of_text
from greenroom.adapters.database.shadow.sizes import sizes
from greenroom.adapters.database.target import of
from greenroom.domain.schema import Dialect
from greenroom.errors import Permanent, UsageError
from tests.rigs import postgres
from tests.rigs.postgres import PASSWORD, Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]

RICH = """
CREATE SCHEMA greenroom; CREATE TABLE greenroom.migration (id int);
CREATE SCHEMA shop;
CREATE EXTENSION pg_trgm;
CREATE TYPE mood AS ENUM ('low', 'high');
CREATE DOMAIN amount AS numeric(10, 2) CHECK (VALUE >= 0);
CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, feels mood);
CREATE INDEX users_name ON users USING gin (name gin_trgm_ops);
CREATE TABLE shop.orders (id bigserial, buyer bigint REFERENCES users, paid amount, at date NOT NULL)
    PARTITION BY RANGE (at);
CREATE TABLE shop.orders_2026 PARTITION OF shop.orders FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE VIEW names AS SELECT name FROM users;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM users;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
ALTER TABLE users OWNER TO nobody;
RETURN NEW; END $$;
CREATE TRIGGER touched BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON users USING (true);
CREATE FUNCTION audit() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN NULL; END';
CREATE EVENT TRIGGER audited ON ddl_command_end EXECUTE FUNCTION audit();
CREATE PUBLICATION everything FOR TABLE users;
GRANT SELECT ON users TO public;
"""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


@pytest.fixture(scope="module")
def shadow(cluster: Cluster) -> Iterator[Shadow]:
    with Shadow(cluster.url("postgres")) as made:
        yield made


@pytest.fixture(scope="module")
def target(cluster: Cluster) -> Iterator[str]:
    name = cluster.database()
    with cluster.connect(name) as db:
        db.execute(RICH.encode())
        db.execute("INSERT INTO users (name) SELECT 'somebody ' || n FROM generate_series(1, 1000) n; ANALYZE")
        db.execute(f"ALTER DATABASE {name} SET search_path = shop, public")
    yield cluster.url(name)
    cluster.drop(name)


def source(url: str) -> Source:
    with closing(of(url).open("schema")) as session:
        return of_target(url, session, of(url).place)


def rehearsed(shadow: Shadow, sql: str, schema: Source) -> list[Facts]:
    return shadow.rehearse(split(sql, Dialect.POSTGRES, "expand.sql"), schema)


def test_the_schema_of_a_rich_target(shadow: Shadow, target: str) -> None:
    found = source(target)
    assert (found.version, found.path.schemas) == (shadow.version, ("shop", "public"))
    assert "greenroom.migration" not in found.text
    assert "somebody" not in found.text
    facts = rehearsed(
        shadow,
        "ALTER TABLE orders ADD x int; ALTER TABLE users ALTER feels TYPE text; REFRESH MATERIALIZED VIEW counted;"
        " DROP EXTENSION pg_trgm CASCADE; REVOKE SELECT ON users FROM public",
        found,
    )
    assert all(one.seen for one in facts), facts
    assert {d.name for d in facts[0].differences} == {"orders.x", "orders_2026.x"}
    assert facts[1].rewrites == ("public.users",)
    assert {(d.kind, d.name) for d in facts[3].differences} == {
        ("extension", "pg_trgm"),
        ("index", "public.users_name"),
    }
    assert [(d.kind, d.name, d.removed) for d in facts[4].differences] == [
        ("privilege", "public on public.users", True)
    ]


def test_rows_and_bytes_are_estimated(target: str) -> None:
    with closing(of(target).open("sizes")) as session:
        found = sizes(session)
    assert found["public.users"].rows == 1000
    assert found["public.users"].bytes > 100_000
    assert found["orders_2026"].rows == 0
    assert "greenroom.migration" not in found


def test_the_password_is_in_no_argument(target: str, tmp_path: Path) -> None:
    """A pg_dump of ours writes down how it was called."""
    program = tmp_path / "pg_dump"
    written = f'echo "$@" > {tmp_path}/called; echo "$PGPASSWORD" > {tmp_path}/told; echo "SELECT 1;"'
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "pg_dump 99.1" && exit\n{written}\n')
    program.chmod(0o755)
    with closing(of(target).open("schema")) as session:
        of_target(target, session, "there", programs=[program])
    assert PASSWORD not in (tmp_path / "called").read_text()
    assert "--schema-only" in (tmp_path / "called").read_text()
    assert (tmp_path / "told").read_text().strip() == PASSWORD


def test_a_pg_dump_that_is_too_old_or_missing(tmp_path: Path) -> None:
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n")
    old.chmod(0o755)
    with pytest.raises(Permanent, match=r"is PostgreSQL 15, and this machine has only pg_dump 9") as found:
        schemas.program(15, "database shop", [old])
    assert "postgresql-client-15" in found.value.hint
    assert "--schema" in found.value.hint
    with pytest.raises(Permanent, match="this machine has no pg_dump"):
        schemas.program(15, "database shop", [])


def test_a_role_that_may_not_read_every_table(cluster: Cluster, target: str) -> None:
    with cluster.connect("postgres") as db:
        db.execute("CREATE ROLE shortsighted LOGIN PASSWORD 'word'")
    url = cluster.url(target.rpartition("/")[2], "shortsighted", "word")
    with pytest.raises(Permanent, match="permission denied for schema shop") as found:
        source(url)
    assert "pg_read_all_data" in found.value.hint
    assert "--schema" in found.value.hint


# --- files --------------------------------------------------------------------------------------------------------


DUMPED = """--
-- PostgreSQL database dump
--
\\restrict abcDEF
-- Dumped from database version {version}.3
SET statement_timeout = 0;
SET a_setting_of_a_newer_version = 0;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE SCHEMA public;
CREATE EXTENSION IF NOT EXISTS plpgsql WITH SCHEMA pg_catalog;
COMMENT ON EXTENSION plpgsql IS 'PL/pgSQL';
CREATE TABLE public.users (id integer NOT NULL);
ALTER TABLE public.users OWNER TO somebody_elsewhere;
ALTER TABLE ONLY public.users ADD CONSTRAINT users_pkey PRIMARY KEY (id);
GRANT SELECT ON TABLE public.users TO somebody_elsewhere;
ALTER DEFAULT PRIVILEGES FOR ROLE somebody_elsewhere GRANT SELECT ON TABLES TO somebody_elsewhere;
\\unrestrict abcDEF
"""


def test_a_file_of_pg_dump_with_owners_of_elsewhere(shadow: Shadow) -> None:
    schema = of_text(DUMPED.replace("{version}", str(shadow.version)), "schema.sql")
    assert schema.version == shadow.version
    [facts] = rehearsed(shadow, "ALTER TABLE users ADD x int", schema)
    assert [difference.name for difference in facts.differences] == ["users.x"]


def test_a_file_with_data() -> None:
    with pytest.raises(UsageError, match=r"schema.sql:2: the file holds data") as found:
        of_text("CREATE TABLE users (id int);\nCOPY public.users (id) FROM stdin;\n1\n\\.\n", "schema.sql")
    assert "--schema-only" in found.value.hint


@pytest.mark.parametrize(
    ("text", "problem", "way"),
    [
        (
            "CREATE TABLE a ();\nCREATE TABLE b (id in);",
            "schema.sql:2:20: syntax error",
            "empty database",
        ),
        ("CREATE TABLE a (id int", r"schema.sql:1:16: \( is never closed", "close it"),
        ("CREATE EXTENSION nothing_like_this;", 'extension "nothing_like_this" is not available', "Install"),
        (
            "CREATE TABLE a (); CREATE POLICY p ON a TO missing_role;",
            'role "missing_role" does not exist',
            "CREATE ROLE",
        ),
        ("SELECT 'half", r"schema.sql:1:8: ", ""),
    ],
)
def test_a_file_that_makes_no_schema(shadow: Shadow, text: str, problem: str, way: str) -> None:
    with pytest.raises((Permanent, UsageError), match=problem) as found:
        rehearsed(shadow, "SELECT 1", of_text(text, "schema.sql"))
    assert way in found.value.hint


def test_what_a_file_does_to_the_whole_server_is_left_out(cluster: Cluster, shadow: Shadow) -> None:
    text = "CREATE ROLE made_by_a_dump; CREATE DATABASE made_by_a_dump; CREATE TABLE users (id int);"
    [facts] = rehearsed(shadow, "DROP TABLE users", of_text(text, "schema.sql"))
    assert facts.seen
    with cluster.connect("postgres") as db:
        assert not db.execute("SELECT FROM pg_roles WHERE rolname = 'made_by_a_dump'").fetchall()
        assert not db.execute("SELECT FROM pg_database WHERE datname = 'made_by_a_dump'").fetchall()


def test_a_schema_that_needs_a_superuser(cluster: Cluster) -> None:
    with cluster.connect("postgres") as db:
        db.execute("CREATE ROLE humble LOGIN CREATEDB PASSWORD 'word'")
    text = (
        "CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER e ON sql_drop"
    )
    schema = of_text(f"{text} EXECUTE FUNCTION f();", "schema.sql")
    with Shadow(cluster.url("postgres", "humble", "word")) as shadow, pytest.raises(Permanent) as found:
        rehearsed(shadow, "SELECT 1", schema)
    assert "superuser" in found.value.hint
