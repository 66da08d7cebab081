"""How long does it take to judge a migration? 200 generated files, without and with a rehearsal on a shadow database.

Each file is judged as `greenroom db check` judges it: cut into statements, read, rehearsed, ruled. The schema has 80 tables
with 10 columns each. It is read by the first file, and made a template by the first that is rehearsed: told apart.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter

from bench.common import Goal, Result, main, plain
from greenroom.adapters.database.checking import check
from greenroom.demo.table import columns, quantile
from greenroom.domain.schema import Dialect, Ruled, Ruling, Stage
from tests.rigs.postgres import Cluster

FILES, TABLES = 200, 80
STATIC, REHEARSED = 100.0, 1000.0
"""Milliseconds a file, at most."""

SHADOWS = {"shared_buffers": "128MB", "fsync": "off", "full_page_writes": "off"}
"""As a server that only makes shadows may be run: nothing on it is worth keeping. With fsync they wait for the disk."""


def run(quick: bool) -> Result:
    schema, files = made(TABLES), generated(20 if quick else FILES)
    [cold], _ = timed(files[:1], schema, "")
    static, without = timed(files, schema, "")
    with_server, first = Cluster(SHADOWS), 0.0
    try:
        with_server.start()
        url = with_server.url("postgres")
        [first], _ = timed(files[:1], schema, url)
        shadowed, rehearsed = timed(files, schema, url)
    finally:
        with_server.end()
    ways = {"read": static, "read and rehearsed": shadowed}
    rows = [[way, *(f"{plain(value)} ms" for value in spread(times))] for way, times in ways.items()]
    text = "\n".join([
        f"{len(files)} files, {sum(len(found) for found in without)} rulings, a schema of {TABLES} tables; a file took",
        "",
        columns(["", "median", "p99", "most"], rows),
        "",
        f"The first file, which imports what judges and reads the schema: {plain(cold)} ms; the first that is rehearsed,",
        f"which makes the template of that schema: {plain(first)} ms. The shadow server runs without fsync.",
        "",
        columns(["worst ruling of a file", *Ruling], [[way, *counted(found)] for way, found in
                (("read", without), ("read and rehearsed", rehearsed))]),
    ])  # fmt: skip
    goals = [
        Goal("a file, read, p99", quantile(static, 0.99), STATIC, "ms"),
        Goal("a file, read and rehearsed, p99", quantile(shadowed, 0.99), REHEARSED, "ms"),
    ]
    data = {
        "read": static,
        "rehearsed": shadowed,
        "first_read": cold,
        "first": first,
        "files": len(files),
        "tables": TABLES,
    }
    return Result("judging", goals, text, data)


def timed(files: list[tuple[Stage, str]], schema: str, shadow: str) -> tuple[list[float], list[list[Ruled]]]:
    """Milliseconds and rulings, file by file."""
    times, found = [], []
    for number, (stage, text) in enumerate(files):
        began = time.perf_counter()
        found.append(check(text, f"{number:04}/{stage}.sql", stage, Dialect.POSTGRES, schema=schema, shadow=shadow))
        times.append((time.perf_counter() - began) * 1000)
    return times, found


def spread(times: list[float]) -> list[float]:
    return [quantile(times, 0.5), quantile(times, 0.99), max(times)]


def counted(found: list[list[Ruled]]) -> list[str]:
    worst = Counter(Ruling.worst([one.ruling for one in rulings]) for rulings in found)
    return [str(worst[ruling]) for ruling in Ruling]


def made(tables: int) -> str:
    """What `pg_dump --schema-only` would write of it."""
    parts = ["CREATE TYPE public.state AS ENUM ('new', 'open', 'done');"]
    for number in range(tables):
        table = f"public.table_{number}"
        parts.append(
            f"CREATE TABLE {table} (id bigint NOT NULL, name text NOT NULL, code varchar(20), amount numeric(10,2),"
            " state public.state DEFAULT 'new', note text, owner bigint, made_at timestamptz DEFAULT now() NOT NULL,"
            " seen_at timestamp, flags integer DEFAULT 0 NOT NULL);"
        )
        parts.append(f"ALTER TABLE ONLY {table} ADD CONSTRAINT table_{number}_pkey PRIMARY KEY (id);")
        parts.append(f"CREATE INDEX table_{number}_code ON {table} USING btree (code);")
        if number:
            key = f"FOREIGN KEY (owner) REFERENCES public.table_{number - 1}(id)"
            parts.append(f"ALTER TABLE ONLY {table} ADD CONSTRAINT table_{number}_owner {key};")
    parts += [f"CREATE VIEW public.view_{n} AS SELECT id, name FROM public.table_{n};" for n in range(0, tables, 4)]
    return "\n\n".join(parts)


EXPAND = (
    "ALTER TABLE {table} ADD COLUMN nick_{n} text",
    "ALTER TABLE {table} ADD COLUMN level_{n} integer NOT NULL DEFAULT 1",
    "CREATE INDEX CONCURRENTLY idx_{n} ON {table} (made_at)",
    "CREATE TABLE extra_{n} (id bigint PRIMARY KEY, owner bigint, note text)",
    "ALTER TABLE {table} ALTER COLUMN code TYPE varchar(40)",
    "ALTER TABLE {table} ALTER COLUMN amount TYPE double precision",
    "CREATE INDEX idx_{n} ON {table} (note)",
    "ALTER TABLE {table} DROP COLUMN note",
    "ALTER TABLE {table} RENAME COLUMN flags TO marks_{n}",
    "ALTER TYPE state ADD VALUE 'state_{n}'",
    "DO $$ BEGIN IF to_regclass('more_{n}') IS NULL THEN CREATE TABLE more_{n} (id int); END IF; END $$",
    "DO $$ BEGIN EXECUTE 'ALTER TABLE {table} DROP COLUMN seen' || '_at'; END $$",
    "CREATE FUNCTION f_{n}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
    "COMMENT ON TABLE {table} IS 'number {n}'",
)
CONTRACT = ("ALTER TABLE {table} DROP COLUMN seen_at", "DROP INDEX CONCURRENTLY {table}_code", "DROP VIEW {view}")


def generated(count: int) -> list[tuple[Stage, str]]:
    """The same ones each time. One to four statements; none of a file hinders another of it."""
    chosen = random.Random(5)
    files = []
    for number in range(count):
        stage = Stage.CONTRACT if number % 5 == 4 else Stage.EXPAND
        patterns = CONTRACT if stage is Stage.CONTRACT else EXPAND
        picked = chosen.sample(patterns, chosen.randint(1, min(4, len(patterns))))
        table = chosen.randrange(0, TABLES, 4)
        texts = [
            one.format(table=f"table_{table}", view=f"view_{table}", n=f"{number}_{i}") for i, one in enumerate(picked)
        ]
        files.append((stage, ";\n".join(texts) + ";\n"))
    return files


if __name__ == "__main__":
    sys.exit(main(run))
