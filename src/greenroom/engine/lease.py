"""The lease: who may act. Claimed, renewed by a heartbeat, given back; lost means stop acting."""

from __future__ import annotations

import logging
import threading

from greenroom.errors import JournalError
from greenroom.ports import Journal, Lease, Owner

log = logging.getLogger(__name__)

TTL = 10.0
"""Seconds. Every port call is shorter, so who holds the lease at its start holds it at its end."""


class Keeper:
    """Holds the lease of one service. All times are the store's: our own clock may jump."""

    def __init__(self, journal: Journal, owner: Owner, ttl: float = TTL, why: str = "") -> None:
        self._journal, self._owner, self._ttl, self._why = journal, owner, ttl, why
        self._lock = threading.Lock()
        self._lease: Lease | None = None
        self._other: Lease | None = None

    @property
    def other(self) -> Lease | None:
        """Who held it when we last asked in vain."""
        return self._other

    def hold(self, at_least: float = 2 / 3) -> Lease | None:
        """Our lease with at least this part of its time left, claimed or renewed where needed; None: another's."""
        with self._lock:
            now = self._journal.now()
            if self._lease is not None and self._lease.expires - now >= self._ttl * at_least:
                return self._lease
            lease = self._journal.claim(self._owner, self._ttl, why=self._why)
            ours = lease.owner.identity == self._owner.identity
            self._lease, self._other = (lease, None) if ours else (None, lease)
            return self._lease

    def dropped(self) -> None:
        """It was found to be lost."""
        with self._lock:
            self._lease = None

    def give_back(self) -> None:
        """Others need not wait. Never raises: a lease that cannot be given back expires."""
        with self._lock:
            held, self._lease = self._lease, None
            if held is None:
                return
            try:
                self._journal.claim(self._owner, 0.0)
            except JournalError as error:
                log.warning("the lease could not be given back and will expire: %s", error)


class Heartbeat:
    """Renews a keeper's lease from a thread of its own, so that a slow port costs nothing."""

    def __init__(self, keeper: Keeper, every: float = TTL / 4) -> None:
        self._keeper, self._every = keeper, every
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="greenroom-heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._every * 2)

    def _beat(self) -> None:
        while not self._end.wait(self._every):
            try:
                self._keeper.hold()
            except JournalError as error:
                log.warning("the lease could not be renewed: %s", error)
