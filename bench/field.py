"""What others would have done with the traffic that a release of `bench.rollback` met: simulated by their documented rules.

A recorded release ends with its rollback, after a second or two. So what its users met is taken to go on as it was: at
each look of theirs so many requests are drawn with the shares of failed and of slow ones that it had. All users are on the
candidate, from the first second on, and theirs is the first look that their interval allows; neither Prometheus' scrape
nor Kubernetes' own time is counted.

- Flagger's documentation (Metrics Analysis; How it works): `interval: 1m`, `threshold: 5`, success rate at least 99 % and
  p99 at most 500 ms over one minute.
- Argo Rollouts' documentation (Analysis): `interval: 5m`, success rate at least 95 % by `irate` (the last
  two scrapes, 15 s), `failureLimit: 3`: the fourth failure ends it. `failureLimit: 0` is the default where none is written.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

PATIENCE = 1560.0
"""Seconds after which it counts as not found."""


@dataclass(frozen=True, slots=True)
class Series:
    """What a bad release did to its users: shares of the requests, and how many came a second."""

    rate: float
    failed: float
    over_half_a_second: float
    bad: float
    """Failed, or slowed down."""


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    interval: float
    window: float
    failures: int
    wrong: Callable[[float, float], bool]
    """Of the shares that failed, and that took more than 500 ms."""

    def found(self, series: Series, dice: random.Random) -> tuple[float, int] | None:
        """After how many seconds, and bad answers; None if never."""
        count, at = 0, self.interval
        n = round(series.rate * self.window)
        while at <= PATIENCE:
            count += self.wrong(_drawn(n, series.failed, dice), _drawn(n, series.over_half_a_second, dice))
            if count >= self.failures:
                return at, round(series.rate * at * series.bad)
            at += self.interval
        return None


TOOLS = (
    Tool("Flagger (1m, threshold 5)", 60.0, 60.0, 5, lambda failed, slow: failed > 0.01 or slow > 0.01),
    Tool("Argo Rollouts (5m, failureLimit 0)", 300.0, 15.0, 1, lambda failed, _slow: failed > 0.05),
    Tool("Argo Rollouts (5m, failureLimit 3)", 300.0, 15.0, 4, lambda failed, _slow: failed > 0.05),
)


def _drawn(n: int, share: float, dice: random.Random) -> float:
    """The share that is seen of so many."""
    return sum(dice.random() < share for _ in range(n)) / n if n else 0.0
