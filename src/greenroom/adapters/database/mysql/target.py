"""MySQL and MariaDB as a target, by PyMySQL."""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import Any

from greenroom.adapters.database.mysql.address import Address, parsed
from greenroom.adapters.database.target import LOCK_TIMEOUT
from greenroom.domain.schema import Dialect
from greenroom.errors import Permanent, UsageError

try:
    import pymysql
    from pymysql.constants import CLIENT, SERVER_STATUS
except ImportError as missing:
    raise UsageError(
        f"migrations of a MySQL or MariaDB database need PyMySQL, which cannot be imported: {missing}",
        hint="`pip install 'greenroom[mysql]'`",
    ) from missing

from greenroom.adapters.database.mysql.errors import is_lost, lost, refused, unreachable

CONNECT_WITHIN = 3.0
OUTSIDE = 5.0
"""Seconds that a statement outside of a transaction waits for a lock."""

_OTHER_SQL = {
    "ANSI",
    "ANSI_QUOTES",
    "DB2",
    "IGNORE_SPACE",
    "MAXDB",
    "MSSQL",
    "NO_BACKSLASH_ESCAPES",
    "ORACLE",
    "POSTGRESQL",
}
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}


class MysqlTarget:
    """`target.Target`. A cluster of Galera is refused: its DDL stops every node, and its locks are one node's."""

    dialect = Dialect.MYSQL

    def __init__(self, url: str, *, copy: bool = False) -> None:
        self._address = parsed(url)
        self._copy = copy
        self.place = self._address.place

    def open(self, purpose: str, *, patience: float = 0.0) -> MysqlSession:
        session = MysqlSession(self._address, f"greenroom {purpose}", patience)
        try:
            if not self._copy:
                self._check(session)
            session.prepare()
        except BaseException:
            session.close()
            raise
        return session

    def _check(self, session: MysqlSession) -> None:
        """A proxy makes up the number that it tells; sessions behind it share what we set and the locks that we take."""
        [(number, read_only)] = session.rows("SELECT CONNECTION_ID(), @@GLOBAL.read_only OR @@GLOBAL.innodb_read_only")
        if number != session.told:
            raise Permanent(
                f"The {self.place} is reached through a proxy (ProxySQL, MaxScale or the like), in which neither timeouts"
                " nor locks of a session can be trusted.",
                hint="Name the server itself in migrations.url, with its own port; the application may keep its proxy.",
            )
        if read_only:
            raise Permanent(
                f"The {self.place} is read-only.",
                hint="If it is a replica, name the primary in migrations.url; if not: SET GLOBAL read_only = OFF.",
            )
        if session.rows("SHOW VARIABLES LIKE 'wsrep_on'") in [[("wsrep_on", "ON")]]:
            raise Permanent(
                f"The {self.place} is a node of a Galera cluster, in which a change of the schema stops all nodes.",
                hint="Change it by the cluster's own way (rolling schema upgrade), or by pt-online-schema-change.",
            )


class MysqlSession:
    """`target.Session`. Rows touched are rows found, changed or not, as in other databases."""

    dialect = Dialect.MYSQL

    def __init__(self, address: Address, name: str, patience: float = 0.0) -> None:
        self._address, self._patience = address, patience
        self._place, self._secrets = address.place, address.secrets
        self._connection = _unconnected(address, name)
        self._line: socket.socket | None = None
        try:
            line = _reached(address)
            self._line = socket.socket(fileno=os.dup(line.fileno()))  # TLS takes the other one over
            with self._watched(CONNECT_WITHIN):
                self._connection.connect(line)
        except (pymysql.MySQLError, OSError, RuntimeError) as error:
            self.close()
            raise unreachable(self._place, error, self._secrets) from None
        self.told = self.number = int(self._connection.thread_id())
        self.mariadb = "mariadb" in str(self._connection.get_server_info()).lower()

    def prepare(self) -> None:
        """What holds for its life. READ COMMITTED: batches lock no gaps. Strict: a value that does not fit is no value.

        SQL is read as the server reads it by default, which is how Greenroom has read the files.
        """
        self.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        [(modes,)] = self.rows("SELECT @@SESSION.sql_mode")
        kept = [mode for mode in str(modes).split(",") if mode and mode not in _OTHER_SQL]
        self.run("SET SESSION sql_mode = %s", [",".join([*kept, "STRICT_ALL_TABLES"])])
        self._limit(OUTSIDE, 0.0)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._said(), self._connection.cursor() as cursor:
            cursor.execute(sql, tuple(values) or None)
            return list(cursor.fetchall())

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        with self._said(), self._connection.cursor() as cursor:
            return max(0, int(cursor.execute(sql, tuple(values) or None)))

    @contextmanager
    def transaction(self, *, lock_timeout: float = LOCK_TIMEOUT, statement_timeout: float = 0.0) -> Iterator[None]:
        """Limits are whole seconds here, at least one. DDL in it commits it, which is said at its end."""
        with self.limits(lock_timeout=lock_timeout, statement_timeout=statement_timeout):
            self.run("START TRANSACTION READ WRITE")
            try:
                yield
                if not self._within():
                    raise Permanent("A statement ended the transaction that it ran in.")
                self.run("COMMIT")
            finally:
                if self._connection.open and self._within():
                    with contextlib.suppress(Exception):
                        self.run("ROLLBACK")

    @contextmanager
    def limits(self, *, lock_timeout: float = LOCK_TIMEOUT, statement_timeout: float = 0.0) -> Iterator[None]:
        """The limits of a transaction, for what cannot be in one."""
        self._limit(lock_timeout, statement_timeout)
        try:
            yield
        finally:
            if self._connection.open:
                with contextlib.suppress(Exception):
                    self._limit(OUTSIDE, 0.0)

    def close(self) -> None:
        with contextlib.suppress(pymysql.MySQLError, OSError), self._watched(CONNECT_WITHIN):
            if self._connection.open:
                self._connection.close()
        if self._line is not None:
            self._line.close()
            self._line = None

    def _limit(self, lock_timeout: float, statement_timeout: float) -> None:
        """MariaDB limits any statement; MySQL only those that read."""
        wait = max(1, math.ceil(lock_timeout)) if lock_timeout > 0 else 31_536_000
        timed = f"max_statement_time = {statement_timeout:f}" if self.mariadb else "max_execution_time = "
        if not self.mariadb:
            timed += str(max(1, round(statement_timeout * 1000)) if statement_timeout > 0 else 0)
        self.run(f"SET SESSION lock_wait_timeout = {wait}, innodb_lock_wait_timeout = {wait}, {timed}")

    def _within(self) -> bool:
        return bool(self._connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)

    @contextmanager
    def _said(self) -> Iterator[None]:
        """The server's errors in our words."""
        try:
            with self._watched(self._patience):
                yield
        except (pymysql.MySQLError, OSError) as error:
            if is_lost(error) or not self._connection.open:
                self.close()
                raise lost(self._place, error, self._secrets) from None
            raise refused(self._place, error, self._secrets) from None
        except BaseException:  # interrupted: the server would go on with what nobody waits for
            self._give_up()
            raise

    def _give_up(self) -> None:
        number = self.number
        self.close()
        with contextlib.suppress(Exception):
            other = MysqlSession(self._address, "greenroom end", CONNECT_WITHIN)
            try:
                other.run(f"KILL {number}")
            finally:
                other.close()

    @contextmanager
    def _watched(self, patience: float) -> Iterator[None]:
        """A connection whose server says nothing in time is cut."""
        if not patience or self._line is None:
            yield
            return
        timer = Timer(patience, _cut, (self._line,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _unconnected(address: Address, name: str) -> Any:
    return pymysql.Connection(
        **address.parameters,
        charset="utf8mb4",
        client_flag=CLIENT.FOUND_ROWS,
        autocommit=True,
        program_name=name[:63],
        defer_connect=True,
    )


def _reached(address: Address) -> socket.socket:
    """Made here, not by PyMySQL: a peer that is gone must be noticed while a statement runs for hours."""
    given = address.parameters
    if given.get("unix_socket"):
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.settimeout(CONNECT_WITHIN)
        try:
            line.connect(given["unix_socket"])
        except OSError:
            line.close()
            raise
        return line
    line = socket.create_connection((given["host"], given["port"]), CONNECT_WITHIN)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return line


def _cut(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
