"""Who is in the way: looked up by a connection of its own while the statement waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event, Thread
from typing import Protocol

from greenroom.adapters.database.running.tell import Tell
from greenroom.adapters.database.target import Session, Target
from greenroom.domain.schema import Dialect
from greenroom.errors import PortError
from greenroom.units import show_duration

LONGEST = 160
"""Characters of a query that are shown."""
_TELL_EVERY = 10.0


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session that holds what is needed. `age`: of its transaction, in seconds, None if not known.

    `mark`: names this transaction among all, "" if not known. `who`: user, application, address; `query`: its last one,
    without the values in it.
    """

    number: int
    who: str = ""
    query: str = ""
    age: float | None = None
    state: str = ""
    mark: str = ""

    def __str__(self) -> str:
        since = f", its transaction is {show_duration(self.age)} old" if self.age is not None else ""
        state = f", {self.state}" if self.state else ""
        query = f": {' '.join(self.query.split())}" if self.query else ""
        return f"session {self.number} ({self.who or 'unknown'}{since}{state}){query}"


class Lookout(Protocol):
    """What a dialect's server can tell; nothing where it cannot."""

    def blockers(self, session: Session, number: int) -> list[Blocker]:
        """Of whom this session waits for, at this moment."""

    def stays(self, session: Session, blockers: Sequence[Blocker]) -> bool:
        """One of these transactions is known to go on."""

    def long(self, session: Session, older: float) -> list[Blocker]:
        """Transactions of others in this database, older than so many seconds, the oldest first."""


class Blind:
    """Where the server tells nothing of its sessions."""

    def blockers(self, session: Session, number: int) -> list[Blocker]:
        return []

    def stays(self, session: Session, blockers: Sequence[Blocker]) -> bool:
        return False

    def long(self, session: Session, older: float) -> list[Blocker]:
        return []


def of(dialect: Dialect) -> Lookout:
    match dialect:
        case Dialect.POSTGRES:
            from greenroom.adapters.database.running.postgres_lookout import PostgresLookout

            return PostgresLookout()
        case Dialect.MYSQL:
            from greenroom.adapters.database.mysql.lookout import MysqlLookout

            made: Lookout = MysqlLookout()
            return made
        case _:
            return Blind()


class Watch:
    """Looks for whoever is in the way of one session. Its own connection is made when it is first needed; without one
    (too many clients, say) it sees nothing."""

    def __init__(self, target: Target, number: int, tell: Tell) -> None:
        self._target, self._number, self._tell = target, number, tell
        self._lookout = of(target.dialect)
        self._session: Session | None = None
        self.seen: list[Blocker] = []

    def over(self) -> _Looking:
        """While it is entered, it looks; `seen` is what it saw last."""
        self.seen = []
        return _Looking(self)

    def look(self) -> None:
        if (session := self._open()) is None:
            return
        try:
            self.seen = self._lookout.blockers(session, self._number) or self.seen
        except PortError:
            self.close()

    def stays(self) -> bool:
        """Who was seen last is known to be there still."""
        if not self.seen or (session := self._open()) is None:
            return False
        try:
            return self._lookout.stays(session, self.seen)
        except PortError:
            self.close()
            return False

    def warn(self, older: float) -> None:
        """Long transactions are named before anything waits for them."""
        if (session := self._open()) is None:
            return
        try:
            for one in self._lookout.long(session, older)[:5]:
                self._tell(f"a long transaction may be in the way: {one}")
        except PortError:
            self.close()

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _open(self) -> Session | None:
        try:
            self._session = self._session or self._target.open("watch", patience=5.0)
        except PortError:
            return None
        return self._session

    def tell_of(self, seconds: float) -> None:
        if self.seen:
            self._tell(f"has waited for {show_duration(seconds)}; in the way: {self.seen[0]}")


class _Looking:
    """A thread that looks often at first, and seldom at what takes long."""

    def __init__(self, watch: Watch) -> None:
        self._watch, self._over = watch, Event()
        self._thread = Thread(target=self._look, name="greenroom-watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self._watch

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        wait, total, told = 0.01, 0.0, 0.0
        while not self._over.wait(wait):
            total += wait
            self._watch.look()
            if total - told >= _TELL_EVERY:
                told = total
                self._watch.tell_of(total)
            wait = min(wait * 1.5, 1.0)
