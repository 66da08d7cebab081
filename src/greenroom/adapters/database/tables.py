"""Greenroom's own tables in the database that it changes: made once and whole, by whoever comes first."""

from __future__ import annotations

import time
from typing import assert_never

from greenroom.adapters.database.grammar import GRAMMARS, Grammar
from greenroom.adapters.database.target import Broken, Session
from greenroom.domain.schema import Dialect
from greenroom.errors import Permanent, Temporary

FORMAT = 1
TABLES = ("migration", "statement", "backfill", "release", "hidden", "watched", "ledger")
"""The last is made last: where it is, all are."""

_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_MAKING = 7_233_910_028
"""The advisory lock of who makes them."""
_WITHIN = 5.0


def columns(grammar: Grammar, table: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Names with their types, and the primary key. `…_at` is in seconds since 1970, NULL: not yet."""
    key, text, whole, real = grammar.key, grammar.text, grammar.whole, grammar.real
    stage = {"service": f"{key} NOT NULL", "name": f"{key} NOT NULL", "stage": f"{key} NOT NULL"}
    match table:
        case "migration":
            kept = {"checksum": key, "file": text, "text": text, "state": key, "release": text, "version": text}
            more = {"by": text, "overrides": text}
            times = {"begun_at": real, "done_at": real}
            return {**stage, **{name: f"{kind} NOT NULL" for name, kind in (kept | more).items()}, **times}, tuple(
                stage
            )
        case "statement":
            kept = {"number": whole, "checksum": key, "state": key, "took": real}
            return {**stage, **{name: f"{kind} NOT NULL" for name, kind in kept.items()}, "done_at": real}, (
                *stage,
                "number",
            )
        case "backfill":
            part = {"service": f"{key} NOT NULL", "name": f"{key} NOT NULL", "number": f"{whole} NOT NULL"}
            place = {"lower": text, "upper": text, "at": text}
            counts = {"rows": whole, "of": whole, "batch": whole, "rate": real, "state": key}
            times = {"begun_at": real, "touched_at": real, "verified_at": real}
            return {**part, **place, **{name: f"{kind} NOT NULL" for name, kind in counts.items()}, **times}, tuple(
                part
            )
        case "release":
            kept = {"release": text, "version": text, "epoch": whole, "state": key, "by": text, "at": real}
            return {"service": f"{key} NOT NULL"} | {n: f"{kind} NOT NULL" for n, kind in kept.items()}, ("service",)
        case "hidden":  # by a contract, and how each is put back
            part = {"service": f"{key} NOT NULL", "name": f"{key} NOT NULL", "number": f"{whole} NOT NULL"}
            kept = {"kind": key, "table": text, "what": text, "hidden": text, "undo": text, "by": text, "at": real}
            return part | {name: f"{kind} NOT NULL" for name, kind in kept.items()}, tuple(part)
        case "watched":  # what the server had counted when a contract last looked
            part = {"service": f"{key} NOT NULL", "name": f"{key} NOT NULL"}
            return {**part, "body": f"{text} NOT NULL", "at": f"{real} NOT NULL"}, tuple(part)
        case "ledger":
            return {"name": f"{key} NOT NULL", "value": f"{text} NOT NULL"}, ("name",)
    raise AssertionError(table)


def made(session: Session) -> bool:
    """They are there, in a format that this Greenroom knows; else `Permanent`."""
    grammar = GRAMMARS[session.dialect]
    table = grammar.table("ledger")
    match session.dialect:
        case Dialect.POSTGRES:
            there = session.rows("SELECT 1 WHERE pg_catalog.to_regclass(%s) IS NOT NULL", [table])
        case Dialect.MYSQL:
            there = session.rows(
                "SELECT 1 FROM information_schema.tables WHERE table_schema = database() AND table_name = %s", [table]
            )
        case Dialect.SQLITE:
            there = session.rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = %s", [table])
        case _:
            assert_never(session.dialect)
    if not there:
        return False
    found = session.rows(f"SELECT {grammar.quote('value')} FROM {table} WHERE {grammar.quote('name')} = 'format'")
    if not found:
        return False
    if not str(found[0][0]).isdecimal() or int(found[0][0]) > FORMAT:
        raise Permanent(
            f"The ledger of migrations in this database has format {found[0][0]}; this Greenroom knows {FORMAT}.",
            hint="A newer Greenroom wrote it: use that one, or a newer one.",
        )
    return True


def make(session: Session) -> None:
    """All of them, where they are not. `Permanent` names the rights that are missing."""
    try:
        if not made(session):
            _make(session)
    except Broken as error:
        if missing := missing_rights(session):
            raise _without(missing) from error
        raise Permanent(f"The ledger of migrations cannot be made: {error.message}", hint=error.hint) from error
    if missing := missing_rights(session):
        raise _without(missing)


def _without(missing: list[str]) -> Permanent:
    return Permanent(
        f"The role in migrations.url lacks rights for Greenroom's own tables: {'; '.join(missing)}.",
        hint="GRANT them; or let who may make a schema do it once: CREATE SCHEMA greenroom AUTHORIZATION the role.",
    )


def _make(session: Session) -> None:
    """Where DDL can be undone, by one transaction of one maker at a time; elsewhere each statement may be repeated."""
    if not GRAMMARS[session.dialect].transactional:
        for sql in statements(session.dialect):
            session.run(sql)
        return
    end = time.monotonic() + _WITHIN
    while True:
        with session.transaction(lock_timeout=2.0, statement_timeout=_WITHIN):
            if session.dialect is not Dialect.POSTGRES or _alone(session):
                if not made(session):
                    for sql in statements(session.dialect):
                        session.run(sql)
                return
        if time.monotonic() > end:
            raise Temporary("Another session has been making Greenroom's own tables for some seconds.", retry_after=2.0)
        time.sleep(0.05)  # never a wait inside the server: who waits there is in the way of CONCURRENTLY


def _alone(session: Session) -> bool:
    return session.rows("SELECT pg_catalog.pg_try_advisory_xact_lock(%s)", [_MAKING]) == [(True,)]


def statements(dialect: Dialect) -> list[str]:
    grammar = GRAMMARS[dialect]
    made = []
    if dialect is Dialect.POSTGRES:
        made.append(
            "DO $$ BEGIN IF pg_catalog.to_regnamespace('greenroom') IS NULL THEN CREATE SCHEMA greenroom; END IF; END $$"
        )
    for table in TABLES:
        kinds, key = columns(grammar, table)
        body = ", ".join(f"{grammar.quote(name)} {kind}" for name, kind in kinds.items())
        keys = ", ".join(grammar.quote(name) for name in key)
        made.append(
            f"CREATE TABLE IF NOT EXISTS {grammar.table(table)} ({body}, PRIMARY KEY ({keys})){grammar.options}"
        )
    return [
        *made,
        grammar.insert_new(grammar.table("ledger"), ["name"], ["value"]).replace("%s, %s", f"'format', '{FORMAT}'"),
    ]


def missing_rights(session: Session) -> list[str]:
    """What this role may not do with Greenroom's own tables. Only PostgreSQL is asked; others say it when it is tried."""
    if session.dialect is not Dialect.POSTGRES:
        return []
    [(database, there, may_make)] = session.rows(
        "SELECT current_database(), pg_catalog.to_regnamespace('greenroom') IS NOT NULL,"
        " pg_catalog.has_database_privilege(current_database(), 'CREATE')"
    )
    if not there:
        return [] if may_make else [f"CREATE on the database {database}"]
    [(may_use, may_make)] = session.rows(
        "SELECT pg_catalog.has_schema_privilege('greenroom', 'USAGE'),"
        " pg_catalog.has_schema_privilege('greenroom', 'CREATE')"
    )
    if not may_use:
        return ["USAGE on the schema greenroom"]
    found = dict(
        session.rows(
            "SELECT relname, oid FROM pg_catalog.pg_class WHERE relnamespace = 'greenroom'::pg_catalog.regnamespace"
            " AND relkind = 'r'"
        )
    )
    if not may_make and not set(TABLES) <= set(found):
        return ["CREATE on the schema greenroom"]
    missing = []
    for table in TABLES:
        if table in found:
            asked = ", ".join(f"pg_catalog.has_table_privilege({found[table]}::pg_catalog.oid, '{r}')" for r in _RIGHTS)
            [may] = session.rows(f"SELECT {asked}")
            lacks = [right for right, yes in zip(_RIGHTS, may, strict=True) if not yes]
            missing += [f"{', '.join(lacks)} on greenroom.{table}"] if lacks else []
    return missing
