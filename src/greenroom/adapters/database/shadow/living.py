"""The running version, as its SQL: does it still work once a migration has run? For tests, which know that SQL.

old = Living(db, ["SELECT * FROM users", "INSERT INTO users (id, name) VALUES (1, 'a')"])
…the migration runs, in another session…
old.broken()
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Broken:
    """`prepared`: only a session that had prepared it before the change fails; a new one would not."""

    sql: str
    message: str
    prepared: bool = False
    sqlstate: str = ""


class Living:
    """A session of the running version that was there before the change: it has prepared all that it says.

    Each statement is tried and undone, so none sees what another wrote. `db`: in autocommit, for nobody else; DML and
    queries only. Raises `ValueError` if one does not work even now.
    """

    def __init__(self, db: Connection, statements: Sequence[str]) -> None:
        self._db, self._statements = db, list(statements)
        for number, sql in enumerate(self._statements):
            if found := _tried(db, sql):
                raise ValueError(f"{sql!r} does not work before the change either: {found.diag.message_primary}")
            db.execute(f"PREPARE greenroom_living_{number} AS {sql}".encode())

    def broken(self) -> list[Broken]:
        """What fails now: said anew, or by what was prepared."""
        found = []
        for number, sql in enumerate(self._statements):
            anew, prepared = _tried(self._db, sql), _tried(self._db, f"EXECUTE greenroom_living_{number}")
            error = anew or prepared
            if error is not None:
                message = error.diag.message_primary or str(error)
                found.append(Broken(sql, message, anew is None, error.sqlstate or ""))
        return found


def breaks(before: Connection, after: Connection, statements: Sequence[str]) -> list[Broken]:
    """Which of the statements work on the schema `before` and fail on the one `after`; both connections in autocommit.

    What does not work before is not counted. Sessions that were open all the time need `Living`.
    """
    found = []
    for sql in statements:
        if _tried(before, sql) is None and (error := _tried(after, sql)) is not None:
            found.append(Broken(sql, error.diag.message_primary or str(error), False, error.sqlstate or ""))
    return found


def _tried(db: Connection, sql: str) -> psycopg.Error | None:
    """Constraints that would be looked at later are looked at now."""
    try:
        with db.transaction(force_rollback=True):
            db.execute(sql.encode())
            db.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except psycopg.Error as error:
        return error
    return None
