"""The rehearsal on SQLite: would this version of it take the statement? In memory, on the schema without rows.

What a statement does beside that is not looked at: what nobody could read stays refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from greenroom.adapters.database.reading import Statement, change, changes, split
from greenroom.adapters.database.shadow.facts import Facts, Failure
from greenroom.domain.schema import Dialect
from greenroom.errors import UsageError

SEEN = "SQLite takes it; what it does is judged by reading"
_STAYS = (change.Opaque, change.Session, change.Server, change.Maintenance)
_DENIED = (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA)


class Shadow:
    """In this process's memory, and gone with it. `place`: for people."""

    place = "a copy of the schema in memory"

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        # Whatever a file holds, it reaches no other file from here.
        self._connection.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_DENY if action in _DENIED else sqlite3.SQLITE_OK
        )

    def __enter__(self) -> Shadow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def rehearse(self, statements: Sequence[Statement], schema: str, applied: Sequence[Statement]) -> list[Facts]:
        """One for each statement, in order. After one that fails the others are not run; none is where the schema needs what
        only the application's own SQLite has (a collation, a function). `UsageError` if one of `applied` does not run.
        """
        for statement in filter(_runs, split(schema, Dialect.SQLITE, "the schema")):
            if failure := self._run(statement):
                skipped = f"the schema does not run in memory: {failure.message}"
                return [Facts(one.number, skipped=skipped) for one in statements]
        for statement in filter(_runs, applied):
            if failure := self._run(statement):
                raise UsageError(
                    f"{statement.place()}: this is said to have run before, and does not run on the shadow:"
                    f" {failure.message}",
                    hint="see that schema and earlier files belong together, in their order",
                )
        found: list[Facts] = []
        why = ""
        for statement in statements:
            failure = self._run(statement) if not why and _runs(statement) else None
            found.append(Facts(statement.number, error=failure, skipped="" if failure else why or SEEN))
            if failure is not None:
                why = f"statement {statement.number}, in line {statement.line}, fails before it"
        return found

    def _run(self, statement: Statement) -> Failure | None:
        try:
            self._connection.execute(statement.sql).fetchall()
        except (sqlite3.Error, sqlite3.Warning) as error:
            code = str(getattr(error, "sqlite_errorname", "") or "SQLITE_ERROR")
            return Failure(str(error), code, statement.line, statement.column)
        return None


def _runs(statement: Statement) -> bool:
    return not any(isinstance(one, _STAYS) for one in changes(statement, Dialect.SQLITE))
