"""The clock by which one process paces itself. What must outlive it is timed by the journal's clock."""

from __future__ import annotations

import time


class SteadyClock:
    """`ports.Clock`: seconds since some moment, undisturbed by changes of the wall clock."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
