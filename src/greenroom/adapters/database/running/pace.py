"""How long a statement waits for its locks, how often it is tried, and how long is waited in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

FIRST_WAIT, LONGEST_WAIT = 0.1, 10.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. `lock_timeout`: the longest that an attempt waits for a lock, for whoever comes later waits behind it.

    The first ones wait for `shortest` only: less is seldom lost by that than users notice of more. `statement_timeout`:
    0 for none.
    """

    lock_timeout: float = 0.2
    tries: int = 15
    statement_timeout: float = 0.0
    shortest: float = 0.05

    def patience(self, attempt: int, longer: bool) -> float:
        """The lock timeout of an attempt, from 1. `longer`: what was in the way before is over soon each time, so that to
        wait a little longer may be all that is needed; behind a transaction that stays, it would only hold up others."""
        shortest = min(self.shortest, self.lock_timeout)
        return min(self.lock_timeout, shortest * 2 ** (attempt - 1)) if longer else shortest

    def pause(self, attempt: int, chance: Callable[[], float]) -> float:
        """After a failed attempt, from 1: doubled each time, and never the same for two who meet."""
        return float(min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)) * (0.5 + chance() / 2))
