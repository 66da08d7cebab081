"""What every helper asks first: which column is meant, and whether the new names are free."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from greenroom.adapters.database.target import Session
from greenroom.adapters.database.writing import catalogue, names
from greenroom.adapters.database.writing.catalogue import Column
from greenroom.adapters.database.writing.names import Quote
from greenroom.domain.schema import Dialect
from greenroom.errors import UsageError

_STEADY = {"now()", "CURRENT_TIMESTAMP", "LOCALTIMESTAMP", "CURRENT_DATE", "CURRENT_USER", "SESSION_USER"}
_NUMBER = r"\(?-?\d+(\.\d+)?\)?(::[\w\s.,()]+)?"
_CONSTANT = re.compile(rf"{_NUMBER}|true|false|'([^']|'')*'::[\w\s\".,\[\]()]+")


@contextmanager
def reading(session: Session, column: str) -> Iterator[tuple[Column, Quote]]:
    """The column, within a transaction in which the server writes all names with their schema. It changes nothing."""
    supported(session, column)
    where = names.place(column)
    quote = names.quoting(session)
    table = catalogue.table(session, where, quote)
    with session.transaction():
        session.run("SET LOCAL search_path TO pg_catalog")
        yield catalogue.column(session, table, where.column), quote


def supported(session: Session, column: str) -> None:
    """Raises `UsageError` where it is no PostgreSQL."""
    if session.dialect is not Dialect.POSTGRES:
        raise UsageError(
            f"this helper writes for PostgreSQL, and {column} is in a database of {session.dialect}",
            hint="docs/guides/migrations-mysql-sqlite.md says what there is; `greenroom db rename` writes for it too",
        )


def free(old: Column, *news: str) -> None:
    """Raises `UsageError` where the table has one of these columns, or one is named twice."""
    for i, new in enumerate(news):
        if new == old.name:
            raise UsageError(f"{old.table.written}.{old.name} has this name already", hint="name another one")
        if new in old.table.columns or new in news[:i]:
            raise UsageError(
                f"{old.table.written} has a column {new} already",
                hint="name another one; one that was left by an earlier try is dropped by a contract of its own",
            )


def steady(default: str) -> bool:
    """Within one transaction it always gives the same value, so that a trigger can tell whether a row has it."""
    return default in _STEADY or _CONSTANT.fullmatch(default) is not None
