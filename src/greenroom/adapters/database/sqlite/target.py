"""SQLite as a target: one file, which both colours have open, on one machine.

`sqlite:////srv/shop/shop.db` is /srv/shop/shop.db, `sqlite:///shop.db` is shop.db in the folder of the file that says so.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from greenroom.adapters.database.sqlite.errors import refused, unreachable
from greenroom.adapters.database.target import LOCK_TIMEOUT, Broken
from greenroom.domain.schema import Dialect
from greenroom.errors import Permanent, UsageError

OUTSIDE = 5.0

_STEPS = 10_000
"""Steps of SQLite's machine between two looks at the time."""

_DROP_TABLE = re.compile(
    r"""(?ix) \s* DROP \s+ TABLE \s+ (?: IF \s+ EXISTS \s+ )? (?: main \s* \. \s* )?
    ( "[^"]+" | `[^`]+` | \[[^\]]+\] | '[^']+' | \w+ )"""
)
_PLACEHOLDER = re.compile(r"%(.)", re.DOTALL)


class SqliteTarget:
    """`target.Target`. The file must be there: a mistyped name would otherwise become an empty database.

    `outside`: seconds that a statement outside of a transaction waits for the writer that is at work.
    """

    dialect = Dialect.SQLITE

    def __init__(self, url: str, *, copy: bool = False, outside: float = OUTSIDE) -> None:
        self.path = _path(url)
        self._copy, self._outside = copy, outside
        self.place = f"database in {self.path}"

    def open(self, purpose: str, *, patience: float = 0.0) -> SqliteSession:
        mode = "ro" if self._copy else "rw"
        try:
            connection = sqlite3.connect(
                f"file:{quote(str(self.path.absolute()))}?mode={mode}",
                uri=True,
                timeout=self._outside,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise unreachable(self.place, self.path, error) from None
        session = SqliteSession(connection, self.place, patience, self._outside)
        try:
            session.check(self.path, write=not self._copy)
        except BaseException:
            session.close()
            raise
        return session


class SqliteSession:
    """`target.Session`. Foreign keys are checked (`PRAGMA foreign_keys = ON`), which SQLite by itself does not."""

    dialect = Dialect.SQLITE
    number = 0

    def __init__(
        self, connection: sqlite3.Connection, place: str, patience: float = 0.0, outside: float = OUTSIDE
    ) -> None:
        self._connection, self._place, self._patience, self._outside = connection, place, patience, outside
        self._end = 0.0

    def check(self, path: Path, *, write: bool) -> None:
        """That it is a database, and one that can be written."""
        try:
            self._connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
            if write:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.execute("ROLLBACK")
            self._connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error as error:
            raise unreachable(self._place, path, error) from None

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._said():
            return self._connection.execute(*_placed(sql, values)).fetchall()

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        with self._said():
            self._spare(sql)
            cursor = self._connection.execute(*_placed(sql, values))
            cursor.fetchall()  # a statement with RETURNING has done its work only when all was read
            return max(0, cursor.rowcount)

    def _spare(self, sql: str) -> None:
        """DROP TABLE deletes the rows first, and with them what refers to them; without foreign keys it leaves that behind
        broken.
        """
        if (found := _DROP_TABLE.match(sql)) is None:
            return
        name = found[1][1:-1] if found[1][0] in "\"`['" else found[1]
        query = (
            "SELECT m.name FROM sqlite_master m, pragma_foreign_key_list(m.name) f"
            " WHERE m.type = 'table' AND lower(f.\"table\") = lower(?) AND lower(m.name) <> lower(?)"
        )
        if others := self._connection.execute(query, (name, name)).fetchall():
            raise Broken(
                f"{name} cannot be dropped: {others[0][0]} refers to it, and would lose its rows or be broken",
                hint=f"Drop {others[0][0]} first, or the column of it that refers to {name}.",
            )

    @contextmanager
    def transaction(self, *, lock_timeout: float = LOCK_TIMEOUT, statement_timeout: float = 0.0) -> Iterator[None]:
        """The one writer from its first moment on: what waits for a lock is its beginning, never a statement in it."""
        self._busy(lock_timeout)
        try:
            with self._said():
                self._connection.execute("BEGIN IMMEDIATE")
            try:
                with self._limit(statement_timeout):
                    yield
                if not self._connection.in_transaction:
                    raise Permanent("A statement ended the transaction that it ran in.")
                with self._said():
                    self._connection.execute("COMMIT")
            finally:
                with contextlib.suppress(sqlite3.Error):  # also where it was closed meanwhile
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
        finally:
            self._busy(self._outside)

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _busy(self, seconds: float) -> None:
        with contextlib.suppress(sqlite3.ProgrammingError):  # it was closed meanwhile
            self._connection.execute(f"PRAGMA busy_timeout = {max(1, round(seconds * 1000))}")

    @contextmanager
    def _limit(self, seconds: float) -> Iterator[None]:
        self._end = monotonic() + seconds if seconds > 0 else 0.0
        try:
            yield
        finally:
            self._end = 0.0

    @contextmanager
    def _said(self) -> Iterator[None]:
        """SQLite's errors in our words. It knows neither limits of time nor signals: now and then it is asked to stop."""
        ends = [end for end in (self._end, monotonic() + self._patience if self._patience > 0 else 0.0) if end]
        interrupted: list[BaseException] = []

        def stop() -> bool:
            try:
                return bool(ends) and monotonic() > min(ends)
            except BaseException as error:  # a signal arrives here; raised, it would be lost
                interrupted.append(error)
                return True

        self._connection.set_progress_handler(stop, _STEPS)
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning) as error:
            if interrupted:
                raise interrupted[0] from None
            raise refused(self._place, error) from None
        finally:
            with contextlib.suppress(sqlite3.ProgrammingError):
                self._connection.set_progress_handler(None, 0)


def _placed(sql: str, values: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """`%s` as `?`; `%%` as `%`. Without values `%` is an ordinary character."""
    if not values:
        return sql, ()
    return _PLACEHOLDER.sub(lambda found: {"s": "?", "%": "%"}.get(found[1], found[0]), sql), tuple(values)


def _path(url: str) -> Path:
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if parts.netloc or not path or path == ":memory:":
        raise UsageError(
            "migrations.url is no address of a SQLite database",
            hint="write it like sqlite:////srv/shop/shop.db (four slashes) or, from the folder of greenroom.yaml,"
            " sqlite:///shop.db; one in memory is nobody else's",
        )
    if parts.query:
        raise UsageError(
            "migrations.url: the address of a SQLite database has no options", hint="leave out what follows the `?`"
        )
    return Path(path)
