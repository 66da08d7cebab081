"""A clock that stands still until somebody sleeps."""

from __future__ import annotations


class FakeClock:
    """`ports.Clock`: `sleep` advances it and returns at once."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self.started = start
        self._now = start

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += max(0.0, seconds)

    @property
    def elapsed(self) -> float:
        return self._now - self.started
