"""The time of a store that has no clock to ask, as heard in the `Date` of its answers."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from threading import Lock

from greenroom.errors import Permanent

_DRIFT = 2e-4
"""Seconds a second that this machine's count may differ from the true one: more than any does."""


class Heard:
    """A clock that is never set, by nobody: seconds since 1970 as the answering servers have them.

    `Date` gives whole seconds, at some moment between sending and receiving. Each answer narrows where the true time can
    be; between two, this machine's steady count goes on. It never runs backwards, also if the servers' clocks do.
    """

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady, self._lock = steady, Lock()
        self._low, self._high, self._at = 0.0, 0.0, 0.0  # of the true time less the steady count; when that was known
        self._latest = 0.0

    def hear(self, date: str, sent: float) -> None:
        """An answer has come, to what was sent when the steady count was `sent`."""
        try:
            second = parsedate_to_datetime(date).timestamp()
        except ValueError:
            raise Permanent(
                f"What answers there does not tell the time: Date is {date!r}.",
                hint="Something between this machine and AWS changes its answers.",
            ) from None
        with self._lock:
            received = self._steady()
            low, high = second - received, second + 1 - sent
            if not self._latest:
                self._low, self._high = low, high
            else:
                self._narrow(low, high, _DRIFT * (received - self._at))
            self._at = received
            self._latest = max(self._latest, received + (self._low + self._high) / 2)

    def not_before(self, floor: float) -> None:
        """Somebody has stamped something with this time. If it can not be later than that, it goes on from there."""
        with self._lock:
            steady = self._steady()
            if floor > steady + self._high:
                self._low = self._high = floor - steady
            self._latest = max(self._latest, floor)

    def now(self) -> float:
        """Half a second off at most, once something was heard."""
        with self._lock:
            self._latest = max(self._latest, self._steady() + (self._low + self._high) / 2)
            return self._latest

    def earliest(self) -> float:
        """It is not earlier than this: what ends by this has ended for everybody."""
        with self._lock:
            return self._steady() + self._low

    def _narrow(self, low: float, high: float, drifted: float) -> None:
        if low > self._high + drifted:
            self._low, self._high = low, high  # later than we thought
        elif high >= self._low - drifted:
            self._low, self._high = max(low, self._low - drifted), min(high, self._high + drifted)
        # else their clocks were set back: ours goes on from where it was
