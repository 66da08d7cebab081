"""Migrations for tests: a database that wants one, and a target whose sessions die at any call one likes.

A `Mortal` target cuts the line and ends its runner as `kill -9` does, after the call with the given number. What its runner
would have done afterwards reaches no server.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from greenroom.adapters.database.ledger import Ledger
from greenroom.adapters.database.postgres import PostgresSession
from greenroom.adapters.database.running import Outcome, Pace, expand
from greenroom.adapters.database.target import LOCK_TIMEOUT, Lost, Session, of
from greenroom.domain.schema import Migration, Order, Script, Stage
from tests.rigs.postgres import Cluster

Result = TypeVar("Result")
SERVICE = "shop"
PATIENCE = 30.0
_USED: dict[int, list[str]] = {}
_ROLES = itertools.count(1)


def order(release: str = "r-1", version: str = "42", epoch: int = 1, **more: Any) -> Order:
    return Order(SERVICE, release, version, "ann", epoch, 0.0, running="41", **more)


def migration(name: str = "0007_new_preference", **texts: str) -> Migration:
    """`expand="…"`, `contract="…"`."""
    scripts = {Stage(stage): Script(f"migrations/{name}/{stage}.sql", text) for stage, text in texts.items()}
    return Migration(name, scripts)


def until(true: Callable[[], object], what: object) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.01)


def together(work: Callable[[], Result], times: int = 2) -> list[Result]:
    """Several at the same time, each in a thread of its own: what they came to."""
    with ThreadPoolExecutor(times) as runners:
        begun = [runners.submit(work) for _ in range(times)]
        return [one.result(PATIENCE) for one in begun]


class Base:
    """One database with a table `users`, and what is done to it."""

    def __init__(self, cluster: Cluster, rows: int = 0, name: str = "") -> None:
        self.cluster, self.name = cluster, name or cluster.database()
        self.url = cluster.url(self.name)
        self.target = of(self.url)
        self.said: list[str] = []
        self.sql("CREATE TABLE users (id bigint PRIMARY KEY, old text)")
        if rows:
            self.sql(f"INSERT INTO users SELECT g, 'likes ' || g FROM generate_series(1, {rows}) g")

    @classmethod
    @contextmanager
    def lent(cls, cluster: Cluster, rows: int = 0) -> Iterator[Base]:
        """A database that was used before and is empty: to make one takes longer than most tests."""
        used = _USED.setdefault(cluster.port, [])
        made = cls(cluster, rows, used.pop() if used else "")
        yield made
        others = f"datname = '{made.name}' AND pid <> pg_backend_pid()"
        made.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        made.sql("DROP SCHEMA IF EXISTS greenroom CASCADE; DROP SCHEMA public CASCADE")
        made.sql("CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC")
        used.append(made.name)

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        with self.cluster.connect(self.name) as db:
            cursor = db.execute(text)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def expand(self, *migrations: Migration, given: Order | None = None, pace: Pace | None = None) -> Outcome:
        return expand(self.target, given or order(), migrations, self.said.append, pace=pace)

    def role(self, options: str = "") -> tuple[str, str]:
        """A new one, with no rights; its name, and its address of this database."""
        name = f"role_{next(_ROLES)}"
        self.sql(f"CREATE ROLE {name} LOGIN PASSWORD 'x' {options}")
        return name, self.cluster.url(self.name, name, "x")

    def columns(self, table: str = "users") -> list[str]:
        query = (
            f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped"
        )
        return [name for (name,) in self.sql(f"{query} ORDER BY attnum")]

    def indexes(self) -> dict[str, bool]:
        """By name: whether it is valid."""
        return dict(
            self.sql(
                "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
                " WHERE i.indrelid = 'users'::regclass"
            )
        )

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        session = self.target.open("test")
        try:
            yield Ledger(session, SERVICE)
        finally:
            session.close()

    @contextmanager
    def application(self, name: str = "report") -> Iterator[Any]:
        """A session of somebody else's."""
        with self.cluster.connect(self.name) as db:
            db.execute(f"SET application_name = '{name}'")
            yield db


class Killed(BaseException):
    """As `kill -9`: nothing that Greenroom catches."""


class Mortal:
    """`target.Target`. Its runner's sessions die right after call `at`, counted over all of them.

    Counted is what leaves a trace on the server: statements outside of a transaction, and the ends of transactions. To die
    before one of them, or within a transaction, is to die after the one before; `every` counts all calls nevertheless.
    `survives`: only the line is cut, and the runner lives on.
    """

    def __init__(self, url: str, at: int = 0, *, survives: bool = False, every: bool = False) -> None:
        self._target = of(url)
        self.dialect, self.place = self._target.dialect, self._target.place
        self.at, self.survives, self.every, self.calls = at, survives, every, 0

    def open(self, purpose: str, *, patience: float = 0.0) -> Session:
        session = self._target.open(purpose, patience=patience)
        assert isinstance(session, PostgresSession)
        return _MortalSession(self, session) if purpose.startswith("runner") else session


class _MortalSession:
    def __init__(self, owner: Mortal, session: PostgresSession) -> None:
        self._owner, self._session, self._inside = owner, session, False
        self.dialect, self.number = session.dialect, session.number

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        found = self._session.rows(sql, values)
        self._done(self._owner.every)
        return found

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        touched = self._session.run(sql, values)
        self._done(self._owner.every or not self._inside)
        return touched

    @contextmanager
    def transaction(self, *, lock_timeout: float = LOCK_TIMEOUT, statement_timeout: float = 0.0) -> Iterator[None]:
        with self._session.transaction(lock_timeout=lock_timeout, statement_timeout=statement_timeout):
            self._inside = True
            try:
                yield
            finally:
                self._inside = False
        self._done(True)

    def close(self) -> None:
        self._session.close()

    def _done(self, counts: bool) -> None:
        self._owner.calls += counts
        if not counts or self._owner.calls != self._owner.at:
            return
        connection = self._session._connection
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
        raise Lost("the line was cut") if self._owner.survives else Killed
