"""What is seen of something that must not be asked often."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from greenroom.errors import Temporary

T = TypeVar("T")

PACE = 5.0
"""Seconds between two looks at the same thing in AWS while nothing is done to it."""


class Glance(Generic[T]):
    """The last answer, at most `pace` seconds old. Safe for threads: who comes while it is asked waits for that answer.

    Of what could not be had nothing is kept, but that AWS wants to be left alone for a while (`Temporary.retry_after`).
    """

    def __init__(
        self, ask: Callable[[], T], pace: float = PACE, *, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask, self._pace, self._steady = ask, pace, steady
        self._lock = Lock()
        self._round = 0
        self._seen: tuple[int, float, T] | None = None
        self._refused: tuple[float, Temporary] | None = None

    def see(self) -> T:
        """Raises what asking raises."""
        with self._lock:
            began, now_round = self._steady(), self._round
            if self._seen is not None and self._seen[0] == now_round and began - self._seen[1] < self._pace:
                return self._seen[2]
            if self._refused is not None and began < self._refused[0]:
                until, why = self._refused
                raise Temporary(why.message, retry_after=until - began, hint=why.hint)
            self._seen = self._refused = None
            try:
                answer = self._ask()
            except Temporary as error:
                self._refused = began + error.retry_after, error
                raise
            self._seen = now_round, began, answer
            return answer

    def anew(self) -> None:
        """What was asked before this is nothing to who comes after it. Never waits."""
        self._round += 1
