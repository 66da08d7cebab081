"""One runner at a time for each service of a database: a lock of the session that works, so that it ends with its work.

A runner that was killed leaves a session whose statement the server still carries out; the lock is free when that has ended.
It is polled: who waits for it inside the server has a transaction open, for whose end CONCURRENTLY waits (a deadlock).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from greenroom.adapters.database.ledger import Ledger
from greenroom.adapters.database.reading.shown import without_values
from greenroom.adapters.database.running.tell import Tell
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Dialect, Order
from greenroom.errors import PortError, Temporary

SILENT_AFTER = 60.0
"""Seconds after which a session that holds the lock and asks nothing is taken for dead: a runner asks more often."""
_POLL, _TELL_EVERY = 0.25, 10.0


def take(ledger: Ledger, order: Order, tell: Tell, *, silent_after: float = SILENT_AFTER) -> None:
    """Until the session ends. Whoever acts under a newer lease meanwhile ends the wait with `Permanent`."""
    began, told = time.monotonic(), 0.0
    while not _try(ledger.session, ledger.service):
        waited = time.monotonic() - began
        if waited - told > _TELL_EVERY or not told:
            told = waited or 0.001
            tell(f"waits for another runner: {_holder(ledger.session, ledger.service, _shown) or 'unknown'}")
        _end_silent(ledger, silent_after, tell)
        time.sleep(_POLL)
        ledger.fence(order)
    ledger.fence(order)


def _key(service: str) -> int:
    return int.from_bytes(sha256(f"greenroom runner {service}".encode()).digest()[:8], signed=True)


def _try(session: Session, service: str) -> bool:
    match session.dialect:
        case Dialect.POSTGRES:
            return bool(session.rows("SELECT pg_catalog.pg_try_advisory_lock(%s)", [_key(service)])[0][0])
        case Dialect.MYSQL:
            return session.rows("SELECT GET_LOCK(%s, 0)", [f"greenroom {_key(service)}"]) == [(1,)]
        case _:  # SQLite: whoever writes is alone, and each statement looks whether it is done
            return True


_HOLDER = """
    SELECT a.pid, coalesce(a.application_name, ''), coalesce(a.state, ''), coalesce(left(a.query, 120), ''),
        extract(epoch FROM clock_timestamp() - a.state_change)::double precision
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
        AND (l.classid::bigint << 32) | l.objid::bigint = %s
"""


_HOLDER_OF_MYSQL = """
    SELECT ID, CONCAT(USER, ' of ', DB), IF(COMMAND = 'Sleep', 'idle', 'active'), LEFT(COALESCE(INFO, ''), 120), TIME + 0E0
    FROM information_schema.PROCESSLIST WHERE ID = IS_USED_LOCK(%s)
"""


def _holders(session: Session, service: str) -> list[tuple[Any, ...]]:
    """Number, name, state, query, seconds since. SQLite has no sessions."""
    match session.dialect:
        case Dialect.POSTGRES:
            return session.rows(_HOLDER, [_key(service)])
        case Dialect.MYSQL:
            return session.rows(_HOLDER_OF_MYSQL, [f"greenroom {_key(service)}"])
        case _:
            return []


def _holder(session: Session, service: str, show: Callable[[tuple[object, ...]], str]) -> str:
    return "; ".join(show(row) for row in _holders(session, service))


def _shown(row: tuple[object, ...]) -> str:
    number, name, state, query, since = row
    if since is None:
        return str(row)
    return f"session {number} ({name}, {state or 'unknown'} for {since:.0f} s): {without_values(str(query))}"


def _end_silent(ledger: Ledger, silent_after: float, tell: Tell) -> None:
    """A machine that went away, a process that was stopped: its session sits idle, and keeps the lock for hours."""
    end = "KILL %s" if ledger.session.dialect is Dialect.MYSQL else "SELECT pg_catalog.pg_terminate_backend(%s)"
    for number, _, state, _, since in _holders(ledger.session, ledger.service):
        if state.startswith("idle") and since is not None and since > silent_after:
            try:
                ledger.session.rows(end, [number])
            except PortError as error:
                raise Temporary(
                    f"Another runner holds the lock and has said nothing for {since:.0f} s: session {number}.",
                    hint=f"End it: {end % number}.",
                ) from error
            tell(f"ended the session {number} of a runner that had said nothing for {since:.0f} s")
