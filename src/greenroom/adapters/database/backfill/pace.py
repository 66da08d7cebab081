"""How many rows the next batch has, how long to wait before it, and how far it all is. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

FIRST = 1_000
"""Rows of the first batch of all."""

_GROW, _SHRINK = 1.5, 0.5
_REMEMBERED = 20.0
"""Seconds that a rate is made of."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`target`: seconds that a batch should take. `share`: of the time in which batches run."""

    target: float
    most: int
    share: float = 1.0
    batch: int = FIRST

    def __post_init__(self) -> None:
        object.__setattr__(self, "batch", max(1, min(self.batch, self.most)))

    def after(self, rows: int, seconds: float) -> Pace:
        """A batch of so many rows took so long. One that was not full says nothing about bigger ones."""
        factor = max(_SHRINK, min(_GROW, self.target / max(seconds, 1e-6)))
        if rows < self.batch and factor > 1:
            return self
        return replace(self, batch=max(1, round(self.batch * factor + (0.5 if factor > 1 else 0))))

    def blocked(self) -> Pace:
        """Others hold rows of this batch: a smaller one meets fewer of them, and holds fewer from them."""
        return replace(self, batch=max(1, self.batch // 2))

    def pause(self, seconds: float) -> float:
        """Before the next batch, when the last took so long. Where even few rows take long, the server has other work."""
        slow = seconds - 2 * self.target if self.batch <= FIRST // 10 else 0.0
        return seconds * (1 / self.share - 1) + max(0.0, slow)


class Meter:
    """How fast it lately went, pauses and all."""

    def __init__(self, now: float) -> None:
        self._seen: deque[tuple[float, int]] = deque([(now, 0)])
        self._rows = 0

    def add(self, now: float, rows: int) -> None:
        self._rows += rows
        self._seen.append((now, self._rows))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _REMEMBERED:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Rows a second, 0 if nothing was done yet."""
        (begun, before), (now, after) = self._seen[0], self._seen[-1]
        return (after - before) / (now - begun) if now > begun else 0.0


def left(rows: int, of: int, rate: float) -> float | None:
    """Seconds; None where nobody can say: nothing moves, or there are more rows than were expected."""
    return (of - rows) / rate if rate > 0 and of > rows else None


def backing_off(tries: int, random: float) -> float:
    """Seconds until the next try after so many failed ones: longer and longer, up to 2 s. `random`: from 0 to 1."""
    return float(min(2.0, 0.02 * 2 ** min(tries, 10))) * (0.5 + random / 2)


def told(rows: int, of: int, rate: float) -> str:
    """For people."""
    seconds = left(rows, of, rate)
    end = f", about {_long(seconds)} left" if seconds is not None else ""
    about = f"of about {of:,} rows" if of > rows else "rows, more than was expected"
    return f"{rows:,} {about}, {rate:,.0f} a second{end}"


def _long(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
