"""The connection of a backfill: made again when it is lost, and what was undone done again, for as long as that may help."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

from greenroom.adapters.database.backfill.grammar import Server
from greenroom.adapters.database.backfill.pace import backing_off
from greenroom.adapters.database.ledger import Ledger
from greenroom.adapters.database.running.lookout import Watch
from greenroom.adapters.database.running.tell import Tell
from greenroom.adapters.database.target import Blocked, Broken, Lost, Session, Target
from greenroom.errors import PortError, Temporary

T = TypeVar("T")
_ANSWERS_WITHIN = 120.0
TOO_LONG = "57014"
"""The server's code for a statement that was cancelled, or took longer than it may."""


class Link:
    """Of one runner. `tries`: how often in a row something may fail before it is given up. `lock`: taken by each session."""

    def __init__(
        self,
        target: Target,
        service: str,
        server: Server,
        tries: int,
        tell: Tell,
        lock: Callable[[Ledger], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._target, self.service, self._server, self._tries = target, service, server, tries
        self._tell, self._lock = tell, lock
        self.clock, self._sleep = clock, sleep
        self._session: Session | None = None
        self._offset, self._last, self.patience = 0.0, 0.0, 1.0

    @property
    def session(self) -> Session:
        if self._session is None:
            self._session = self._locked()
        return self._session

    def _locked(self) -> Session:
        """A new one. Where the lock cannot be had there is none: nothing is ever done without it."""
        session = self._target.open("backfill", patience=_ANSWERS_WITHIN)
        try:
            ledger = Ledger(session, self.service)
            self._lock(ledger)
            self.patience = self._server.patience(session)
            self._offset = ledger.now() - self.clock()
        except BaseException:
            session.close()
            raise
        return session

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.session, self.service)

    def _watch(self) -> Watch | None:
        """Who is in our way, once there is a session that can be in somebody's queue."""
        return None if self._session is None else Watch(self._target, self._session.number, self._tell)

    def mark(self) -> float:
        """The server's time, and more than the last one."""
        _ = self.session
        self._last = max(self._last + 1e-6, self._offset + self.clock())
        return self._last

    def sleep(self, seconds: float) -> None:
        self._sleep(seconds)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def keep(self, do: Callable[[], T], smaller: Callable[[], None] = lambda: None) -> T:
        """What `do` gives, which is all or nothing and may be repeated. `smaller`: others were in its way."""
        tries, watch = 0, None
        try:
            while True:
                try:
                    with watch.over() if watch is not None else nullcontext():
                        return do()
                except (Temporary, Lost, Broken) as error:
                    tries += 1
                    if tries >= self._tries or isinstance(error, Broken) and error.code != TOO_LONG:
                        raise _named(error, watch) from None
                    if isinstance(error, Blocked | Broken):
                        smaller()
                        watch = watch or self._watch()
                    else:
                        self._tell(f"waits for the database: {error.message}")
                        self.close()
                self.sleep(backing_off(tries, random.random()))
        finally:
            if watch is not None:
                watch.close()


def _named(error: PortError, watch: Watch | None) -> PortError:
    """Who stood in the way at last."""
    if watch is None or not watch.seen or not isinstance(error, Blocked):
        return error
    hint = (
        "End that session, or wait until it has ended; what was done stays done, and the next try goes on from there."
    )
    return Blocked(f"{error.message}; in the way: {watch.seen[0]}", code=error.code, hint=hint)
