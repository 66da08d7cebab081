"""From a source, or from the environment, to a reading of both versions that the analysis can judge."""

from __future__ import annotations

import math
import time

from greenroom.domain import expressions
from greenroom.domain.figures import Reading
from greenroom.domain.model import Colour
from greenroom.errors import PortError
from greenroom.ports import About, Consuming, Source, Usage


class SourceGauge:
    """`engine.world.Gauge` over a `ports.Source`. `expression`: what must hold of its values, "" for nothing."""

    def __init__(self, source: Source, expression: str = "") -> None:
        self._source, self._expression = source, expression

    def read(self, candidate: About, baseline: About | None) -> Reading:
        try:
            ours = _number(self._source.value(candidate))
            theirs = _number(self._source.value(baseline)) if baseline is not None else None
        except PortError as error:
            return Reading(0.0, problem=error.message)
        return Reading(0.0, ours, theirs, self._holds(ours, theirs))

    def _holds(self, candidate: float | None, baseline: float | None) -> bool | None:
        """None where it cannot be said: there is no expression, or no number for a name in it."""
        return expressions.holds(self._expression, candidate, baseline) if self._expression else None


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


class UsageSource:
    """`ports.Source` over an environment: `cpu` in cores (between two looks), `memory` in bytes, a replica each."""

    def __init__(self, environment: Consuming) -> None:
        self._environment = environment
        self._last: dict[Colour, tuple[float, str, Usage]] = {}

    def value(self, about: About) -> float | None:
        used, now = self._environment.usage(about.colour), time.monotonic()
        if used is None or not used.replicas:
            return None
        if about.metric == "memory":
            return used.memory / used.replicas
        before = self._last.get(about.colour)
        self._last[about.colour] = (now, about.release, used)
        if before is None or before[1] != about.release or now <= before[0]:
            return None
        spent = used.cpu_seconds - before[2].cpu_seconds
        # After the restart of a replica less was spent in all: that says nothing.
        return spent / (now - before[0]) / used.replicas if spent >= 0 else None
