"""A journal in one SQLite file on the machine of the router; `sqlite3 journal.db` shows it to a person."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from greenroom.adapters.journals import store
from greenroom.adapters.journals.machine import Machine, this_machine
from greenroom.domain import codec
from greenroom.domain.records import Entry, Record
from greenroom.errors import Conflict, JournalCorrupt, JournalUnusable, LeaseLost, UsageError
from greenroom.ports import Lease, Owner


class SqliteJournal:
    """`ports.Journal` in a file. Safe for threads; each process opens its own.

    Opening writes nothing, but for making the file where it is missing (`create`). With `create=False` a missing one
    is `JournalMissing`. An append that raised `JournalUnusable` is whole or absent: read before repeating it.
    `busy`: seconds to wait for another writer.

    The clock is the machine's time since its boot, anchored to the wall clock once a boot. It never runs backwards,
    and what a lease or an entry was stamped with is never in its future: a lease ends after its ttl at the latest.
    """

    def __init__(
        self,
        path: Path,
        *,
        service: str = "",
        create: bool = True,
        busy: float = 5.0,
        machine: Machine | None = None,
    ) -> None:
        self._machine = machine or this_machine()
        self._reading, self._writing = Lock(), Lock()
        self._clock = Lock()
        self._anchor: float = self._machine.wall() - self._machine.steady()
        if create:
            self._make(path, service, busy)
        self._store = store.Store(path, busy)
        try:
            self._check(service)
            self._find_anchor()
        except BaseException:
            self._store.close()
            raise

    def close(self) -> None:
        with self._reading, self._writing:
            self._store.close()

    def read(self, after: int = 0) -> Sequence[Entry]:
        with self._reading:
            rows = self._store.query("SELECT seq, at, epoch, body FROM entries WHERE seq > ? ORDER BY seq", after)
        entries = [self._entry(*row) for row in rows]
        if entries and (entries[-1].seq - entries[0].seq != len(entries) - 1 or entries[0].seq != max(0, after) + 1):
            raise store.damaged(self._store.path, "entries are missing")
        if entries:
            self._not_before(entries[-1].at)
        return entries

    def append(self, records: Sequence[Record], *, expected: int, epoch: int | None = None) -> Sequence[Entry]:
        bodies = [codec.dumps(record) for record in records]
        with self._writing, self._store.transaction() as db:
            lease = self._lease(db)
            if epoch is not None and (lease is None or lease.epoch != epoch):
                raise LeaseLost(f"The lease of epoch {epoch} is not the current one; {_held_by(lease)}.")
            last, now = self._last(db), self._now(db)
            if last != expected:
                raise Conflict(f"The journal is at {last}, not at {expected}.")
            entries = [
                Entry(seq, now, epoch or 0, codec.loads(body)) for seq, body in enumerate(bodies, start=expected + 1)
            ]
            db.executemany(
                "INSERT INTO entries (seq, time, at, epoch, release, kind, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (e.seq, _text(now), now, e.epoch, _utf8(e.record.release), type(e.record).__name__.lower(), body)
                    for e, body in zip(entries, bodies, strict=True)
                ],
            )
        return entries

    def claim(self, owner: Owner, ttl: float, *, why: str = "", force: bool = False) -> Lease:
        with self._writing, self._store.transaction() as db:
            now, lease = self._now(db), self._lease(db)
            if lease is not None and lease.owner.identity == owner.identity:
                return self._grant(
                    db, now, Lease(owner, lease.epoch, lease.since, now + max(0.0, ttl), why or lease.why)
                )
            if lease is not None and self._holds(lease, now) and (not force or ttl <= 0):
                return lease
            [(epoch,)] = db.execute("SELECT epoch FROM lease").fetchall()
            if ttl <= 0:  # there is nothing of ours to give back
                return Lease(owner, epoch, now, now, why)
            return self._grant(db, now, Lease(owner, epoch + 1, now, now + ttl, why))

    def holder(self) -> Lease | None:
        with self._reading:
            [row] = self._store.query(_LEASE)
        self._not_before(row[4])
        lease = self._lease_of(row)
        return lease if lease is not None and self._holds(lease, self.now()) else None

    def now(self) -> float:
        return self._machine.steady() + self._anchor

    def _holds(self, lease: Lease, now: float) -> bool:
        return lease.expires > now and self._machine.alive(lease.owner) is not False

    def _grant(self, db: sqlite3.Connection, now: float, lease: Lease) -> Lease:
        db.execute(
            "UPDATE lease SET epoch = ?, owner = ?, why = ?, since = ?, renewed = ?, expires = ?",
            (
                lease.epoch,
                json.dumps(asdict(lease.owner)) if lease.expires > now else None,
                _utf8(lease.why),
                lease.since,
                now,
                lease.expires,
            ),
        )
        return lease

    def _lease(self, db: sqlite3.Connection) -> Lease | None:
        """The lease that was granted last and not given back; it may have expired."""
        [row] = db.execute(_LEASE).fetchall()
        return self._lease_of(row)

    def _lease_of(self, row: Any) -> Lease | None:
        epoch, owner, why, since, _, expires = row
        if owner is None:
            return None
        try:
            return Lease(Owner(**json.loads(owner)), epoch, since, expires, why)
        except (ValueError, TypeError) as error:
            raise store.damaged(self._store.path, f"the lease: {error}") from None

    def _entry(self, seq: int, at: float, epoch: int, body: str) -> Entry:
        try:
            return Entry(seq, at, epoch, codec.loads(body))
        except JournalCorrupt as error:
            raise store.damaged(self._store.path, f"entry {seq}: {error.message}") from None
        except JournalUnusable as error:
            raise type(error)(f"{self._store.path}, entry {seq}: {error.message}", hint=error.hint) from None

    def _last(self, db: sqlite3.Connection) -> int:
        [(last,)] = db.execute("SELECT coalesce(max(seq), 0) FROM entries").fetchall()
        return int(last)

    # The file

    def _make(self, path: Path, service: str, busy: float) -> None:
        def anchor(db: sqlite3.Connection) -> None:
            db.execute("INSERT INTO clock VALUES (?, ?)", (self._machine.boot, self._anchor))

        try:
            if not path.exists():
                store.make(path, service, busy, anchor)
        except (sqlite3.Error, OSError) as error:
            raise store.unusable(path, error) from error

    def _check(self, service: str) -> None:
        meta = dict(self._store.query("SELECT name, value FROM meta"))
        found = meta.get("format", "")
        if not found.isdecimal():
            raise store.damaged(self._store.path, "it names no format")
        if int(found) > store.FORMAT:
            raise store.newer(self._store.path, found)
        other = meta.get("service", "")
        if service and other and service != other:
            raise UsageError(
                f"{self._store.path} is the journal of the service {other!r}, not of {service!r}.",
                hint="Give each service a folder of its own (state_dir).",
            )

    # The clock

    def _find_anchor(self) -> None:
        """When this boot began: as stored, else by the wall clock; not before what the store has already seen."""
        stored = self._store.query(_ANCHOR, self._machine.boot)
        if stored:
            self._anchor = stored[0][0]
        [(floor,)] = self._store.query(_FLOOR)
        self._not_before(floor)

    def _now(self, db: sqlite3.Connection) -> float:
        """The time of a transaction. From then on all processes of this boot have the same anchor."""
        stored = db.execute(_ANCHOR, (self._machine.boot,)).fetchall()
        if stored:
            self._raise_anchor(stored[0][0])
        [(floor,)] = db.execute(_FLOOR).fetchall()
        self._not_before(floor)
        if not stored or stored[0][0] != self._anchor:
            db.execute("INSERT OR REPLACE INTO clock VALUES (?, ?)", (self._machine.boot, self._anchor))
        return max(self.now(), float(floor))

    def _not_before(self, floor: float) -> None:
        """Another machine, or an earlier boot with a clock that was ahead, has been here: go on from there."""
        if floor > self.now():
            self._raise_anchor(floor - self._machine.steady())

    def _raise_anchor(self, anchor: float) -> None:
        with self._clock:
            self._anchor = max(self._anchor, anchor)


_LEASE = "SELECT epoch, owner, why, since, renewed, expires FROM lease"
_ANCHOR = "SELECT anchor FROM clock WHERE boot = ?"
_FLOOR = "SELECT max((SELECT renewed FROM lease), coalesce((SELECT at FROM entries ORDER BY seq DESC LIMIT 1), 0))"


def _held_by(lease: Lease | None) -> str:
    return f"{lease.owner.text} holds epoch {lease.epoch}" if lease is not None else "nobody holds it"


def _text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
