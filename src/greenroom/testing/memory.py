"""A journal in memory that keeps every promise of the port: for tests of whatever needs a journal, and fast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import RLock

from greenroom.domain import codec
from greenroom.domain.records import Entry, Record
from greenroom.errors import Conflict, JournalUnusable, LeaseLost
from greenroom.ports import Clock, Lease, Owner


class MemoryJournal:
    """Whoever shares this object shares the journal, as processes share a file.

    `clock` is the store's clock. `dead(owner)`: this holder is provably dead. While `broken` is set, every call but
    `now` fails with it (a full disk, say).
    """

    def __init__(self, clock: Clock, dead: Callable[[Owner], bool] = lambda _: False) -> None:
        self._clock, self._dead = clock, dead
        self._entries: list[Entry] = []
        self._lease: Lease | None = None
        self._epoch = 0
        self._latest = 0.0
        self._lock = RLock()
        self.broken = ""

    def read(self, after: int = 0) -> Sequence[Entry]:
        with self._lock:
            self._usable()
            return self._entries[max(0, after) :]

    def append(self, records: Sequence[Record], *, expected: int, epoch: int | None = None) -> Sequence[Entry]:
        with self._lock:
            self._usable()
            if epoch is not None and (self._lease is None or self._lease.epoch != epoch):
                raise LeaseLost(f"The lease of epoch {epoch} is not the current one.")
            last = len(self._entries)
            if last != expected:
                raise Conflict(f"The journal is at {last}, not at {expected}.")
            # Through the codec, as every real journal does: what is not JSON is found here, and nothing is shared.
            stored = [codec.loads(codec.dumps(record)) for record in records]
            now = self.now()
            fresh = [Entry(seq, now, epoch or 0, record) for seq, record in enumerate(stored, last + 1)]
            self._entries.extend(fresh)
            return fresh

    def claim(self, owner: Owner, ttl: float, *, why: str = "", force: bool = False) -> Lease:
        with self._lock:
            self._usable()
            now, lease = self.now(), self._lease
            if lease is not None and lease.owner.identity == owner.identity:
                self._lease = replace(lease, owner=owner, expires=now + ttl, why=why or lease.why) if ttl > 0 else None
                return self._lease or replace(lease, expires=now)
            if (holder := self.holder()) is not None and not force:
                return holder
            if ttl <= 0:  # there is nothing of ours to give back
                return holder or Lease(owner, self._epoch, now, now, why)
            self._epoch += 1
            self._lease = Lease(owner, self._epoch, now, now + ttl, why)
            return self._lease

    def holder(self) -> Lease | None:
        with self._lock:
            self._usable()
            lease = self._lease
            return lease if lease is not None and lease.expires > self.now() and not self._dead(lease.owner) else None

    def now(self) -> float:
        with self._lock:
            self._latest = max(self._latest, self._clock.now())
            return self._latest

    def _usable(self) -> None:
        if self.broken:
            raise JournalUnusable(self.broken)
