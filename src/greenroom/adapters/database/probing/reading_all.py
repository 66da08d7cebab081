"""Who reads or writes all columns of a table without naming them, as far as the server tells what it was asked.

A statement that the driver prepared on the server (psycopg does after five times, JDBC too) and that says `SELECT *` fails
once a column is added or dropped: "cached plan must not change result type". Which statements are prepared nobody can see
from outside: `pg_prepared_statements` shows a session its own. So whoever is seen to ask for all columns is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from greenroom.adapters.database.concern import Concern, warn
from greenroom.adapters.database.reading.shown import readable, without_values
from greenroom.adapters.database.reading.tokens import Kind, Token
from greenroom.adapters.database.target import Broken, Session

MASKED = "<insufficient privilege>"
_EXTENSION = """
SELECT quote_ident(n.nspname) FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'
"""
_COUNTED = """
SELECT coalesce(r.rolname, ''), s.query, sum(s.calls)::bigint FROM {schema}.pg_stat_statements s
LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.userid
WHERE s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
AND (s.query ~ '[*]' OR s.query ~* '^\\s*copy' OR s.query LIKE %s) GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 5000
"""
_RUNNING = """
SELECT coalesce(usename, ''), query, 1 FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name NOT LIKE %s AND query <> ''
"""
_SILENCE = (
    "Let the application name its columns, or switch server-side prepared statements off (psycopg: prepare_threshold=None;"
    " JDBC: prepareThreshold=0) in a release before this one."
)
_FEW = 3


def reading_all(session: Session, tables: Sequence[str], full: Mapping[str, str]) -> Iterator[Concern]:
    """`tables`: as they are named to people. `full`: with their schemas, of those that are there."""
    found, unseen = _texts(session)
    for table in tables:
        name = full.get(table, table)
        stars = [f"{_short(text)} ({who}, {count} times)" for who, text, count in found if star(text, name)]
        if stars:
            yield warn(
                "select-star",
                f"All columns of {table} are read without their names: {_some(stars)}. Where the driver has prepared such a"
                " statement on the server, it fails once a column is added or dropped.",
                _SILENCE,
                about=table,
            )
        copies = [f"{_short(text)} ({who})" for who, text, _ in found if copies_all(text, name)]
        if copies:
            yield warn(
                "copy-all",
                f"COPY of {table} without a list of columns was seen: {_some(copies)}. Its data have one column too few once"
                " a column is added.",
                f"Write COPY {table} (column, …) in a release before this one.",
                about=table,
            )
    if unseen and tables:
        yield warn(
            "select-star-unknown",
            f"Whether the running version asks for SELECT * of {', '.join(tables)} is not known: {unseen}.",
            "See its code, or its driver's settings: a column more breaks SELECT * where it was prepared on the server.",
        )


def _texts(session: Session) -> tuple[list[tuple[str, str, int]], str]:
    """Who asked what how often, without our own sessions; and why that is not all, "" if it is as much as can be had."""
    running = session.rows(_RUNNING, ["greenroom %"])
    why, counted = "", []
    schema = session.rows(_EXTENSION)
    if not schema:
        why = "the extension pg_stat_statements, which would have counted it, is not in this database"
    else:
        try:
            counted = session.rows(_COUNTED.format(schema=schema[0][0]), [f"{MASKED}%"])
        except Broken as error:
            why = f"pg_stat_statements cannot be read ({error.message})"
    found = [(str(who), str(text), int(count)) for who, text, count in [*counted, *running]]
    if any(text.startswith(MASKED) for _, text, _ in found):
        why = "this role may not see what others ask (GRANT pg_read_all_stats TO it)"
    return found, why


def star(sql: str, table: str) -> bool:
    """`SELECT *` or `SELECT t.*` in a statement that names the table."""
    tokens = readable(sql)
    if not _names(tokens, table):
        return False
    for i, token in enumerate(tokens):
        before = tokens[i - 1] if i else None
        if token.text == "*" and before is not None:
            listed = before.word in ("SELECT", "ALL", "DISTINCT", "RETURNING") or before.text in (".", ",")
            after = tokens[i + 1] if i + 1 < len(tokens) else None
            if listed and (after is None or after.text in (",", ")", ";") or after.word in ("FROM", "INTO")):
                return True
    return False


def copies_all(sql: str, table: str) -> bool:
    tokens = readable(sql)
    if not tokens or tokens[0].word != "COPY" or not _names(tokens[:4], table):
        return False
    return next((t.text for t in tokens[1:] if t.text == "(" or t.word in ("FROM", "TO")), "(") != "("


def _names(tokens: Sequence[Token], table: str) -> bool:
    schema, _, name = table.rpartition(".")
    for i, token in enumerate(tokens):
        if _bare(token) == name:
            qualified = i > 1 and tokens[i - 1].text == "."
            if not qualified or _bare(tokens[i - 2]) == (schema or "public"):
                return True
    return False


def _bare(token: Token) -> str:
    if token.kind is Kind.WORD:
        return token.text.lower()
    return token.text[1:-1].replace('""', '"') if token.kind is Kind.NAME else ""


def _short(sql: str) -> str:
    return re.sub(r"\s+", " ", without_values(sql))


def _some(found: Sequence[str]) -> str:
    return "; ".join(found[:_FEW]) + (f"; and {len(found) - _FEW} more" if len(found) > _FEW else "")
