"""The rehearsal where it is not PostgreSQL's: what the server itself refuses is known before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

from greenroom.adapters.database.reading import Statement
from greenroom.adapters.database.shadow.facts import Facts
from greenroom.domain.schema import Dialect
from greenroom.errors import UsageError


def rehearsed(
    url: str, dialect: Dialect, statements: Sequence[Statement], schema: str, applied: Sequence[Statement]
) -> list[Facts]:
    """In the order of the statements. `url`: of MySQL's shadow server; SQLite needs none."""
    match dialect:
        case Dialect.MYSQL:
            from greenroom.adapters.database.shadow.mysql import Shadow as OnMysql

            with OnMysql(url) as server:
                return server.rehearse(statements, schema, applied)
        case Dialect.SQLITE:
            from greenroom.adapters.database.shadow.sqlite import Shadow as InMemory

            with InMemory() as memory:
                return memory.rehearse(statements, schema, applied)
    raise UsageError(f"{dialect} is rehearsed by another module", hint="this is a fault of Greenroom: please report it")
