"""PostgreSQL as a target, by psycopg 3."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import Any

from greenroom.adapters.database.target import LOCK_TIMEOUT, Lost, Session
from greenroom.domain.schema import Dialect
from greenroom.errors import Permanent, UsageError

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
except ImportError as missing:
    raise UsageError(
        f"migrations of a PostgreSQL database need psycopg, which cannot be imported: {missing}",
        hint="`pip install 'greenroom[database]'`",
    ) from missing

from greenroom.adapters.database.postgres_errors import refused, unreachable

CONNECT_WITHIN = 3
_IDLE = psycopg.pq.TransactionStatus.IDLE


class PostgresTarget:
    """`target.Target`."""

    dialect = Dialect.POSTGRES

    def __init__(self, url: str, *, copy: bool = False) -> None:
        given = _parsed(url)
        self._secrets = tuple(str(given[name]) for name in ("password", "sslpassword") if given.get(name))
        self._copy = copy
        host = given.get("host") or given.get("hostaddr") or os.environ.get("PGHOST") or "the local socket"
        port, user = given.get("port") or os.environ.get("PGPORT"), given.get("user") or os.environ.get("PGUSER")
        name = given.get("dbname") or os.environ.get("PGDATABASE") or user
        self.place = f"database {name} at {host}{f':{port}' if port else ''}{f' as {user}' if user else ''}"
        usual = {} if copy or "," not in str(host) else {"target_session_attrs": "read-write"}
        self._parameters: Mapping[str, Any] = {
            **usual,
            **given,
            "client_encoding": "UTF8",
            "connect_timeout": CONNECT_WITHIN,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
        }

    def open(self, purpose: str, *, patience: float = 0.0) -> Session:
        parameters = {**self._parameters, "application_name": f"greenroom {purpose}"[:63]}
        try:
            connection = psycopg.connect(autocommit=True, prepare_threshold=None, **parameters)
        except (psycopg.Error, OSError) as error:
            raise unreachable(self.place, error, self._secrets) from None
        session = PostgresSession(connection, self.place, self._secrets, patience)
        try:
            self._check(session, connection.info.backend_pid)
        except BaseException:
            session.close()
            raise
        return session

    def _check(self, session: PostgresSession, told: int) -> None:
        """A pool makes up the process id that it tells; sessions behind it share what we set and the locks that we take.

        Strings are read as the judge reads them, whatever the role or the database has set.
        """
        [(number, standby, read_only, _)] = session.rows(
            "SELECT pg_backend_pid(), pg_is_in_recovery(), current_setting('default_transaction_read_only'),"
            " set_config('standard_conforming_strings', 'on', false)"
        )
        if number != told and not self._copy:
            raise Permanent(
                f"The {self.place} is reached through a pool of connections (PgBouncer or the like), in which neither"
                " timeouts nor locks of a session can be trusted.",
                hint="Name the server itself in migrations.url, with its own port; the application may keep its pool.",
            )
        if standby and not self._copy:
            raise Permanent(
                f"The {self.place} is a standby: it cannot be written.", hint="Name the primary in migrations.url."
            )
        if read_only == "on" and not self._copy:
            raise Permanent(
                f"The {self.place} is read-only (default_transaction_read_only is on).",
                hint="If that is not on purpose: ALTER DATABASE … RESET default_transaction_read_only, or ALTER ROLE …;"
                " else name another role or server in migrations.url.",
            )


class PostgresSession:
    """`target.Session`."""

    dialect = Dialect.POSTGRES

    def __init__(
        self, connection: psycopg.Connection[Any], place: str, secrets: Sequence[str] = (), patience: float = 0.0
    ) -> None:
        self._connection, self._place, self._secrets, self._patience = connection, place, secrets, patience
        self.number = connection.info.backend_pid

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._said(sql):
            return self._connection.execute(sql, values or None).fetchall()

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """`binary` makes psycopg speak the extended protocol, in which the server takes one statement and no more."""
        with self._said(sql):
            return max(0, self._connection.execute(sql, values or None, binary=True).rowcount)

    @contextmanager
    def transaction(self, *, lock_timeout: float = LOCK_TIMEOUT, statement_timeout: float = 0.0) -> Iterator[None]:
        limits = {"lock_timeout": lock_timeout, "statement_timeout": statement_timeout}
        local = [f"SET LOCAL {name} = {_milliseconds(limit)}" for name, limit in limits.items()]
        with self._said(""):
            self._connection.execute("; ".join(["BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", *local]))
        try:
            yield
            with self._said(""):
                if self._connection.info.transaction_status is _IDLE:
                    raise Permanent("A statement ended the transaction that it ran in.")
                self._connection.execute("COMMIT")
        finally:
            if not self._connection.closed and self._connection.info.transaction_status is not _IDLE:
                with contextlib.suppress(psycopg.Error, OSError), self._watched():
                    self._connection.execute("ROLLBACK")

    def close(self) -> None:
        with contextlib.suppress(psycopg.Error, OSError):
            self._connection.close()

    @contextmanager
    def _said(self, sql: str) -> Iterator[None]:
        """The server's errors in our words."""
        try:
            with self._watched():
                yield
        except (psycopg.Error, OSError) as error:
            if self._connection.closed or self._connection.broken:
                self.close()
                raise _lost(self._place, error, self._secrets) from None
            raise refused(self._place, error, sql, self._secrets) from None

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """libpq waits for an answer without end; a connection whose server says nothing in time is cut."""
        if not self._patience or self._connection.closed:
            yield
            return
        with socket.socket(fileno=os.dup(self._connection.fileno())) as line:
            timer = Timer(self._patience, _cut, (line,))
            timer.daemon = True
            timer.start()
            try:
                yield
            finally:
                timer.cancel()


def _cut(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def _lost(place: str, error: BaseException, secrets: Sequence[str]) -> Lost:
    from greenroom.adapters.database.postgres_errors import said

    return Lost(
        f"The connection to the {place} was lost: {said(error, secrets)}.",
        hint="See that the server runs there; the next try looks at what was done.",
    )


def _milliseconds(seconds: float) -> int:
    """0 would mean no limit."""
    return max(1, round(seconds * 1000)) if seconds > 0 else 0


def _parsed(url: str) -> Mapping[str, Any]:
    """A password that is not written as it must be would be taken for a part of something else, and shown with it."""
    with contextlib.suppress(psycopg.Error):  # its text may hold parts of a password
        given = conninfo_to_dict(url)
        ports = str(given.get("port") or "0").split(",")
        if (
            all(port.isdecimal() or not port for port in ports)
            and "@" not in f"{given.get('host')}{given.get('dbname')}"
        ):
            return given
    raise UsageError(
        "migrations.url is no address of a PostgreSQL database",
        hint="write it like postgresql://user:password@host:5432/database; in a password %40 stands for @, %2F for /,"
        " %25 for %",
    )
