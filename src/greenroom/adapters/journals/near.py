"""A journal that is far away and asked by several at once: the log is kept at hand, and fetched on now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Lock

from greenroom.domain.records import Entry, Record
from greenroom.errors import JournalError
from greenroom.ports import Journal, Lease, Owner


class NearJournal:
    """`ports.Journal` over another one, for all threads of a process.

    Entries never change, so what was read is kept. What another process writes is seen `pace` seconds later at most; what
    this one writes, at once; and after a refused write everything is. Who holds the lease is told as `pace` seconds ago:
    to decide between engines `claim` is there, which asks every time, as `append` does.
    """

    def __init__(self, far: Journal, pace: float, *, steady: Callable[[], float] = time.monotonic) -> None:
        self._far, self._pace, self._steady = far, pace, steady
        self._reading, self._asking = Lock(), Lock()
        self._entries: list[Entry] = []
        self._from: int | None = None
        self._read_at = self._held_at = float("-inf")
        self._lease: Lease | None = None

    def read(self, after: int = 0) -> Sequence[Entry]:
        after = max(0, after)
        with self._reading:
            began = self._steady()
            if self._from is None or after < self._from:
                self._entries, self._from, self._read_at = list(self._far.read(after)), after, began
            elif began - self._read_at >= self._pace:
                self._keep(self._far.read(self._last(self._from)))
                self._read_at = began
            return [entry for entry in self._entries if entry.seq > after]

    def append(self, records: Sequence[Record], *, expected: int, epoch: int | None = None) -> Sequence[Entry]:
        try:
            written = self._far.append(records, expected=expected, epoch=epoch)
        except JournalError:  # it may be written all the same, or others were first
            with self._reading:
                self._read_at = float("-inf")
            raise
        with self._reading:
            self._keep(written)
        return written

    def claim(self, owner: Owner, ttl: float, *, why: str = "", force: bool = False) -> Lease:
        lease = self._far.claim(owner, ttl, why=why, force=force)
        with self._asking:
            self._held_at = float("-inf")
        return lease

    def holder(self) -> Lease | None:
        with self._asking:
            began = self._steady()
            if began - self._held_at >= self._pace:
                self._lease, self._held_at = self._far.holder(), began
            return self._lease

    def now(self) -> float:
        return self._far.now()

    def _keep(self, entries: Sequence[Entry]) -> None:
        """What follows on what is here. A gap is left to the next read."""
        if self._from is None:
            return
        for entry in entries:
            if entry.seq == self._last(self._from) + 1:
                self._entries.append(entry)
            elif entry.seq > self._last(self._from):
                self._read_at = float("-inf")

    def _last(self, begin: int) -> int:
        return self._entries[-1].seq if self._entries else begin
