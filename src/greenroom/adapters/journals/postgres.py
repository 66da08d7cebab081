"""A journal in a PostgreSQL database that several machines share; `SELECT * FROM greenroom.entries` shows it to a person."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any

import psycopg

from greenroom.adapters.journals.database import CALL_WITHIN, Address, Link, check, damaged, make, missing_in
from greenroom.adapters.journals.machine import Machine, this_machine
from greenroom.domain import codec
from greenroom.domain.records import Entry, Record
from greenroom.errors import Conflict, JournalCorrupt, JournalUnusable, LeaseLost
from greenroom.ports import Lease, Owner

_SET_BACK = 1.0
"""Seconds that the server's clock may be behind what it said before: more than a measurement can be wrong."""

_LEASE = "epoch, owner, why, since, renewed, expires"
_LAST = "SELECT seq, at FROM greenroom.entries WHERE service = %s ORDER BY seq DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class _State:
    """What a transaction found, with the service's row locked. `epoch`: the newest that there was."""

    now: float
    last: int
    epoch: int
    lease: Lease | None


class PostgresJournal:
    """`ports.Journal` of one service. Safe for threads; several services share the database.

    Opening writes nothing, but for making schema and service where they are missing (`create`). With `create=False` a
    missing one is `JournalMissing`. An append that raised `JournalUnusable` is whole or absent: read before repeating it.
    What was lost is connected again by the next call. `patience`: seconds that a call may take, once connected.

    The clock is the server's, carried on between two calls by this machine's steady one. It never runs backwards, and
    what a lease or an entry was stamped with is never in its future. `clock`: the SQL of it.
    """

    def __init__(
        self,
        url: str,
        *,
        service: str,
        create: bool = True,
        machine: Machine | None = None,
        patience: float = CALL_WITHIN,
        clock: str = "pg_catalog.clock_timestamp()",
    ) -> None:
        self._address, self._service, self._sql_clock = Address(url), service, clock
        self._machine = machine or this_machine()
        self._reader, self._writer = Link(self._address, patience), Link(self._address, patience)
        self._clock, self._offset, self._latest = Lock(), 0.0, 0.0
        try:
            if create and not self._made():
                make(self._writer, self._address, service, clock)
            self.holder()  # which says what is wrong, and finds the time
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    def read(self, after: int = 0) -> Sequence[Entry]:
        query = "SELECT seq, at, epoch, body FROM greenroom.entries WHERE service = %s AND seq > %s ORDER BY seq"
        with self._reader.transaction() as db:
            self._time(db)
            rows = db.execute(query, [self._service, after]).fetchall()
        entries = [self._entry(*row) for row in rows]
        if entries and (entries[-1].seq - entries[0].seq != len(entries) - 1 or entries[0].seq != max(0, after) + 1):
            raise damaged(self._address, "entries are missing")
        if entries:
            self._not_before(entries[-1].at)
        return entries

    def append(self, records: Sequence[Record], *, expected: int, epoch: int | None = None) -> Sequence[Entry]:
        bodies = [codec.dumps(record) for record in records]
        with self._writer.transaction() as db:
            found = self._locked(db)
            if epoch is not None and (found.lease is None or found.lease.epoch != epoch):
                raise LeaseLost(f"The lease of epoch {epoch} is not the current one; {_held_by(found.lease)}.")
            if found.last != expected:
                raise Conflict(f"The journal is at {found.last}, not at {expected}.")
            entries = [
                Entry(seq, found.now, epoch or 0, codec.loads(body)) for seq, body in enumerate(bodies, expected + 1)
            ]
            self._insert(db, entries, bodies)
        self._not_before(found.now)
        return entries

    def claim(self, owner: Owner, ttl: float, *, why: str = "", force: bool = False) -> Lease:
        with self._writer.transaction() as db:
            found = self._locked(db)
            now, lease = found.now, found.lease
            if lease is not None and lease.owner.identity == owner.identity:
                granted = Lease(owner, lease.epoch, lease.since, now + max(0.0, ttl), why or lease.why)
            elif lease is not None and self._holds(lease, now) and (not force or ttl <= 0):
                return lease
            elif ttl <= 0:  # there is nothing of ours to give back
                return Lease(owner, found.epoch, now, now, why)
            else:
                granted = Lease(owner, found.epoch + 1, now, now + ttl, why)
            self._grant(db, now, granted)
        self._not_before(now)
        return granted

    def holder(self) -> Lease | None:
        with self._reader.transaction() as db:
            check(db, self._address)
            self._time(db)
            row = self._row(db, "")
            last = db.execute(_LAST, [self._service]).fetchall()
        self._not_before(max([row[4], *(at for _, at in last)]))
        lease = self._lease_of(row)
        return lease if lease is not None and self._holds(lease, self.now()) else None

    def now(self) -> float:
        with self._clock:
            self._latest = max(self._latest, self._machine.steady() + self._offset)
            return self._latest

    # --- inside a transaction ---------------------------------------------------------------------------------

    def _locked(self, db: psycopg.Connection[Any]) -> _State:
        """Everybody who writes for this service waits here for whoever is before him."""
        row = self._row(db, " FOR UPDATE")
        last = db.execute(_LAST, [self._service]).fetchall()
        seq, at = last[0] if last else (0, 0.0)
        now = max(self._time(db), row[4], at)
        return _State(now, seq, row[0], self._lease_of(row))

    def _row(self, db: psycopg.Connection[Any], locking: str) -> Any:
        rows = db.execute(
            f"SELECT {_LEASE} FROM greenroom.lease WHERE service = %s{locking}", [self._service]
        ).fetchall()
        if not rows:
            raise missing_in(self._address, self._service)
        return rows[0]

    def _grant(self, db: psycopg.Connection[Any], now: float, lease: Lease) -> None:
        owner = json.dumps(asdict(lease.owner)) if lease.expires > now else None
        db.execute(
            "UPDATE greenroom.lease SET epoch = %s, owner = %s, why = %s, since = %s, renewed = %s, expires = %s"
            " WHERE service = %s",
            [lease.epoch, owner, _text(lease.why), lease.since, now, lease.expires, self._service],
        )

    def _insert(self, db: psycopg.Connection[Any], entries: Sequence[Entry], bodies: Sequence[str]) -> None:
        """All rows by one statement."""
        db.execute(
            "INSERT INTO greenroom.entries (service, seq, time, at, epoch, release, kind, body)"
            " SELECT %s, seq, to_timestamp(at), at, epoch, release, kind, body FROM"
            " unnest(%s::bigint[], %s::float8[], %s::bigint[], %s::text[], %s::text[], %s::text[])"
            " AS row (seq, at, epoch, release, kind, body)",
            [
                self._service,
                [entry.seq for entry in entries],
                [entry.at for entry in entries],
                [entry.epoch for entry in entries],
                [_text(entry.record.release) for entry in entries],
                [type(entry.record).__name__.lower() for entry in entries],
                list(bodies),
            ],
        )

    def _made(self) -> bool:
        """Looks before it makes: who may only use the schema may not make it."""
        with self._reader.transaction() as db:
            if db.execute("SELECT to_regclass('greenroom.lease')").fetchall() == [(None,)]:
                return False
            return bool(db.execute("SELECT 1 FROM greenroom.lease WHERE service = %s", [self._service]).fetchall())

    # --- what was found ---------------------------------------------------------------------------------------

    def _holds(self, lease: Lease, now: float) -> bool:
        return lease.expires > now and self._machine.alive(lease.owner) is not False

    def _lease_of(self, row: Any) -> Lease | None:
        """The lease that was granted last and not given back; it may have expired."""
        epoch, owner, why, since, _, expires = row
        if owner is None:
            return None
        try:
            return Lease(Owner(**json.loads(owner)), epoch, since, expires, why)
        except (ValueError, TypeError) as error:
            raise damaged(self._address, f"the lease of {self._service}: {error}") from None

    def _entry(self, seq: int, at: float, epoch: int, body: str) -> Entry:
        try:
            return Entry(seq, at, epoch, codec.loads(body))
        except JournalCorrupt as error:
            raise damaged(self._address, f"entry {seq} of {self._service}: {error.message}") from None
        except JournalUnusable as error:
            raise type(error)(f"The {self._address}, entry {seq}: {error.message}", hint=error.hint) from None

    # --- the clock --------------------------------------------------------------------------------------------

    def _time(self, db: psycopg.Connection[Any]) -> float:
        """The server's time. One whose clock was set back goes on from where it was."""
        [(server,)] = db.execute(f"SELECT extract(epoch FROM {self._sql_clock})::double precision").fetchall()
        with self._clock:
            steady = self._machine.steady()
            known = steady + self._offset
            if server < known - _SET_BACK:
                return known
            self._offset = server - steady
            return float(server)

    def _not_before(self, floor: float) -> None:
        """Somebody has stamped something later than our time: go on from there."""
        with self._clock:
            self._offset = max(self._offset, floor - self._machine.steady())


def _held_by(lease: Lease | None) -> str:
    return f"{lease.owner.text} holds epoch {lease.epoch}" if lease is not None else "nobody holds it"


def _text(text: str) -> str:
    """As PostgreSQL can hold it."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
