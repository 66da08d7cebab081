"""The numbers: what was counted and measured by colour. Pure values; `assess` judges them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from greenroom.domain.model import Colour


@dataclass(frozen=True, slots=True)
class Figures:
    """Counters of users' requests to one colour since the router started, never of test traffic.

    `errors`: answers 5xx, requests that got no answer, and `shielded`: those that failed here and were then answered by
    the other colour. `latency`: (upper bound in ms, requests at most that slow), cumulative and ascending, the last
    bound infinite.
    """

    requests: int = 0
    errors: int = 0
    statuses: Mapping[str, int] = field(default_factory=dict)
    latency: tuple[tuple[float, int], ...] = ()
    shielded: int = 0


@dataclass(frozen=True, slots=True)
class Measurement:
    """`incarnation` changes when the counters began anew: a reset is not a drop. `at`: seconds on a steady clock.

    `mirrored`: what the copies of users' requests met, at whatever colour they are sent to.
    """

    at: float
    incarnation: str
    blue: Figures = Figures()
    green: Figures = Figures()
    mirrored: Figures = Figures()

    def of(self, colour: Colour) -> Figures:
        return self.blue if colour is Colour.BLUE else self.green


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer of a source that is asked for a value: a metric's, or a query's, for candidate and baseline.

    None: no data (an empty answer, NaN). `holds`: what the rule's expression said, None without one. `problem`: why the
    source could not be asked, "" if it was. `at`: seconds on a steady clock.
    """

    at: float
    candidate: float | None = None
    baseline: float | None = None
    holds: bool | None = None
    problem: str = ""
