"""What makes a backfill wait: replicas that fall behind, a server at work. What cannot be seen makes it wait too."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Protocol

from greenroom.adapters.database.ledger import Ledger
from greenroom.adapters.database.target import Session, Target
from greenroom.errors import PortError
from greenroom.units import show_duration

_EVERY = 0.2
"""Seconds between two looks."""
_FORGOTTEN = 10_000
_WITHIN = 3.0


class Brake(Protocol):
    def holds(self) -> str:
        """Why to wait, "" for nothing."""

    def lacks(self) -> str:
        """Why the end must wait: what was done is not there yet. "" if it is."""

    def close(self) -> None: ...


class Beats:
    """The marks that we left in the database and when (by our steady clock): what a replica lacks shows how far it is
    behind, whatever the clocks of the servers say.
    """

    def __init__(self) -> None:
        self._marks: list[float] = []
        self._times: list[float] = []

    def left(self, mark: float, now: float) -> None:
        if not self._marks or mark > self._marks[-1]:
            self._marks.append(mark)
            self._times.append(now)
        if len(self._marks) > _FORGOTTEN:
            del self._marks[: _FORGOTTEN // 2], self._times[: _FORGOTTEN // 2]

    def lag(self, seen: float | None, now: float) -> float:
        """Of a replica that shows this mark: how long ago we left the first that it lacks."""
        first = bisect_right(self._marks, seen) if seen is not None else 0
        return now - self._times[first] if first < len(self._times) else 0.0


class Replica:
    """A `Brake`: one copy of the database, in which our own checkpoint is read."""

    def __init__(
        self, target: Target, ledger: tuple[str, str, int], beats: Beats, most: float, clock: Callable[[], float]
    ) -> None:
        self._target, self._row, self._beats, self._most, self._clock = target, ledger, beats, most, clock
        self._session: Session | None = None

    def holds(self) -> str:
        return self._behind(self._most)

    def lacks(self) -> str:
        return self._behind(0.0)

    def _behind(self, most: float) -> str:
        try:
            lag = self._beats.lag(self._mark(), self._clock())
        except PortError as error:
            self.close()
            return f"the replica {self._target.place} cannot be read: {error.message}"
        if lag <= most:
            return ""
        bound = f" (max_lag {show_duration(most)})" if most else ""
        return f"the replica {self._target.place} is {show_duration(lag)} behind{bound}"

    def _mark(self) -> float | None:
        if self._session is None:
            self._session = self._target.open("backfill: lag", patience=_WITHIN)
        service, name, number = self._row
        row = Ledger(self._session, service).filling(name, number)
        return row.touched_at if row is not None else None

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


class Load:
    """A `Brake`: how many sessions are at work."""

    def __init__(self, busy: Callable[[], int], most: int) -> None:
        self._busy, self._most = busy, most

    def holds(self) -> str:
        try:
            found = self._busy()
        except PortError as error:
            return f"the load cannot be seen: {error.message}"
        return f"{found} sessions are at work (max_load {self._most})" if found > self._most else ""

    def lacks(self) -> str:
        return ""

    def close(self) -> None: ...


class Throttle:
    """All brakes together, looked at now and then."""

    def __init__(self, brakes: Sequence[Brake], clock: Callable[[], float]) -> None:
        self._brakes, self._clock = brakes, clock
        self._next = float("-inf")
        self._reason = ""

    def reason(self) -> str:
        """Why to wait now, "" for nothing."""
        if self._clock() >= self._next:
            found = [brake.holds() for brake in self._brakes]
            self._reason = "; ".join(reason for reason in found if reason)
            self._next = self._clock() + _EVERY
        return self._reason

    def lacking(self) -> str:
        """Why not to say that all is done."""
        found = [brake.lacks() for brake in self._brakes]
        return "; ".join(reason for reason in found if reason)

    def close(self) -> None:
        for brake in self._brakes:
            brake.close()
