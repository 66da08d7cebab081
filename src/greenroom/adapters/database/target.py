"""The database that both colours share: how it is reached, and the ways in which it says no.

A `Target` is an address, a `Session` one connection to it. What goes wrong is one of these:

    Temporary           it is down, is starting, has too many clients: nothing happened
    ├── Full            its disk is full, or it has no memory for this: undone, and not worth another try at once
    └── Blocked         another session stands in the way (lock timeout, deadlock, serialisation): undone, may be tried again
    Permanent           wrong password, no such database, a read-only copy, a pool of connections: nothing happened
    └── Broken          the server refuses the SQL, or a right is missing: undone
    Uncertain
    └── Lost            the connection went away: look before you repeat
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from greenroom.domain.schema import Dialect
from greenroom.errors import Permanent, Temporary, Uncertain, UsageError

LOCK_TIMEOUT = 0.2
"""Seconds that a statement waits for a lock, since whoever comes after it waits behind it."""


class Blocked(Temporary):
    """Another session stands in the way; what was asked is undone. `code`: the server's own, as 55P03."""

    def __init__(self, message: str, *, code: str = "", hint: str = "") -> None:
        super().__init__(message, retry_after=1.0, hint=hint)
        self.code = code


class Full(Temporary):
    """The server has no room for this; what was asked is undone."""


class Broken(Permanent):
    """The server refuses this SQL. `position`: the character of it, from 1, where it says the trouble is; 0: it does not."""

    def __init__(self, message: str, *, code: str = "", position: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.position = position


class Lost(Uncertain):
    """The connection is gone. What was not yet committed is undone; what was being committed may be done."""


class Session(Protocol):
    """One connection, of one thread. After `Lost` it is good for nothing but `close`."""

    dialect: Dialect
    number: int
    """By which the server calls it (a process id, a connection id), 0 where it has none."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a query answers. `%s` stands for a value in every dialect; without values `%` is an ordinary character."""

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Carry out one statement (two are refused): how many rows it touched. Committed at once outside `transaction`."""

    def transaction(
        self, *, lock_timeout: float = LOCK_TIMEOUT, statement_timeout: float = 0.0
    ) -> AbstractContextManager[None]:
        """All of it or nothing. Both limits, in seconds (0: none), hold for this transaction, whatever was set before."""

    def close(self) -> None: ...


class Target(Protocol):
    dialect: Dialect
    place: str
    """For people: `database shop at db.example:5432 as deploy`. No password."""

    def open(self, purpose: str, *, patience: float = 0.0) -> Session:
        """A connection, which the server lists as `greenroom PURPOSE`. `patience`: a call that takes longer is `Lost`, 0:
        none is. Raises `Temporary` or `Permanent`, with the way out.
        """


def dialect_of(url: str) -> Dialect:
    """By the address alone. `UsageError` if it is none of a database that Greenroom knows."""
    match url.partition("://")[0].lower() if "://" in url else "":
        case "postgres" | "postgresql":
            return Dialect.POSTGRES
        case "mysql" | "mariadb":
            return Dialect.MYSQL
        case "sqlite":
            return Dialect.SQLITE
    raise UsageError(
        "migrations.url is no address of a database that Greenroom knows",
        hint="write it like postgresql://user:password@host:5432/database, mysql://user:password@host/database or"
        " sqlite:///path/to/file.db; in a password %40 stands for @, %2F for /, %25 for %",
    )


def beside(url: str, folder: Path) -> str:
    """The same address; a path in it that does not begin at the root (only SQLite has one) begins at this folder."""
    kind, _, path = url.partition(":///")
    if dialect_of(url) is not Dialect.SQLITE or not path or path == ":memory:" or unquote(path).startswith("/"):
        return url
    return f"{kind}:///{str(folder.absolute()).translate(_SPECIAL)}/{path}"


_SPECIAL = {ord(mark): f"%{ord(mark):02X}" for mark in "%?#"}


def of(url: str, *, copy: bool = False) -> Target:
    """The target of an address. `copy`: it may be one that cannot be written, as a standby."""
    match dialect_of(url):
        case Dialect.POSTGRES:
            from greenroom.adapters.database.postgres import PostgresTarget

            return PostgresTarget(url, copy=copy)
        case Dialect.MYSQL:
            from greenroom.adapters.database.mysql.target import MysqlTarget

            return MysqlTarget(url, copy=copy)
        case Dialect.SQLITE:
            from greenroom.adapters.database.sqlite.target import SqliteTarget

            return SqliteTarget(url, copy=copy)
