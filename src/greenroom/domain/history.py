"""Measurements in order of time, and the windows between them.

What is kept is dense near the end and sparse before: everything of the last seconds, one sample a second of the last
minute, and fewer the older they are, so that a bake of a day costs no more than some hundred samples. A sample that is
kept among fewer was kept among more, too: a window that was judged is judged the same a second later.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeAlias

from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.model import Colour
from greenroom.domain.statistics import look_at

Buckets: TypeAlias = tuple[tuple[float, int], ...]

FIRST_LOOK = 20
"""Requests with which the first look is due; from then on one whenever they have grown by half."""

_CLOSE, _FINE = 7.0, 40.0
"""Seconds for which all samples are kept, and for which one a second is."""

_BLOCKS = 32
"""Of about so many blocks a window is made."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The sample at which a colour had enough requests for its next look. `look`: its number, from 1."""

    look: int
    sample: Measurement


@dataclass(frozen=True, slots=True)
class History:
    """Measurements as if the counters had never begun anew. The first one is kept as the base.

    `first`: when a colour was first seen to have requests since the base. `marks`: each colour's last one.
    """

    samples: tuple[Measurement, ...] = ()
    raw: Measurement | None = None
    first: Mapping[Colour, float] = field(default_factory=dict)
    marks: Mapping[Colour, Mark] = field(default_factory=dict)

    def add(self, measurement: Measurement) -> History:
        """With one more. A reset of the router's counters (another incarnation) continues where they were."""
        if not self.samples or self.raw is None:
            return History((measurement,), measurement)
        last = self.samples[-1]
        if measurement.at <= last.at:
            return self
        before = self.raw if measurement.incarnation == self.raw.incarnation else None
        blue = total(last.blue, difference(before.blue if before else Figures(), measurement.blue))
        green = total(last.green, difference(before.green if before else Figures(), measurement.green))
        added = replace(measurement, blue=blue, green=green)
        base = self.samples[0]
        samples = (base, *_thinned((*self.samples[1:], added), measurement.at))
        return History(samples, measurement, self._first(added), self._marks(added))

    def _first(self, added: Measurement) -> Mapping[Colour, float]:
        base, before = self.samples[0], self.samples[-1]
        begun = {c: before.at for c in Colour if added.of(c).requests > base.of(c).requests and c not in self.first}
        return {**self.first, **begun} if begun else self.first

    def _marks(self, added: Measurement) -> Mapping[Colour, Mark]:
        marks = dict(self.marks)
        for colour in Colour:
            look = look_at(added.of(colour).requests - self.samples[0].of(colour).requests, FIRST_LOOK)
            if look > (marks[colour].look if colour in marks else 0):
                marks[colour] = Mark(look, added)
        return marks

    def window(self, colour: Colour, seconds: float | None = None) -> Figures:
        """What happened in the last `seconds` (None: since the base)."""
        if len(self.samples) < 2:
            return Figures()
        last = self.samples[-1]
        start = self.samples[0] if seconds is None else self.until(last.at - seconds)
        return difference(start.of(colour), last.of(colour))

    def until(self, at: float) -> Measurement:
        """The last sample at or before that time; the base where there is none."""
        return next((s for s in reversed(self.samples) if s.at <= at), self.samples[0])

    def since(self, at: float) -> Measurement:
        """The first sample at or after that time; the last one where there is none."""
        return next((s for s in self.samples if s.at >= at), self.samples[-1])

    def blocks(self, colour: Colour, start: Measurement, end: Measurement) -> list[Figures]:
        """The window between two samples, cut into blocks of whole seconds, about as long as each other."""
        size = max(1.0, 2.0 ** math.ceil(math.log2(max(end.at - start.at, 1.0) / _BLOCKS)))
        edges = [start]
        for sample in self.samples:
            if start.at < sample.at < end.at and sample.at // size > edges[-1].at // size:
                edges.append(sample)
        edges.append(end)
        return [difference(a.of(colour), b.of(colour)) for a, b in pairwise(edges)]

    @property
    def span(self) -> float:
        return self.samples[-1].at - self.samples[0].at if self.samples else 0.0


def _thinned(samples: tuple[Measurement, ...], now: float) -> Iterable[Measurement]:
    """All of the last seconds; before them the first of every second, then of every two, four, eight, …"""
    before = -math.inf
    for sample in samples:
        age = now - sample.at
        size = 0.0 if age <= _CLOSE else 2.0 ** max(0, math.ceil(math.log2(age / _FINE)))
        if not size or before == -math.inf or before // size != sample.at // size:
            yield sample
        before = sample.at


def difference(before: Figures, after: Figures) -> Figures:
    """What was counted between the two."""
    return Figures(
        max(0, after.requests - before.requests),
        max(0, after.errors - before.errors),
        {k: max(0, v - before.statuses.get(k, 0)) for k, v in after.statuses.items()},
        _buckets(before.latency, after.latency),
        max(0, after.shielded - before.shielded),
    )


def _buckets(before: Buckets, after: Buckets) -> Buckets:
    if len(before) == len(after):
        pairs = list(zip(before, after, strict=True))
        if all(a[0] == b[0] for a, b in pairs):
            return tuple([(b[0], b[1] - a[1] if b[1] > a[1] else 0) for a, b in pairs])
    earlier = dict(before)
    return tuple((bound, max(0, n - earlier.get(bound, 0))) for bound, n in after)


def total(a: Figures, b: Figures) -> Figures:
    """Both together."""
    bounds = dict(a.latency)
    latency = tuple((bound, bounds.get(bound, 0) + n) for bound, n in b.latency) if b.latency else a.latency
    statuses = {k: a.statuses.get(k, 0) + b.statuses.get(k, 0) for k in {*a.statuses, *b.statuses}}
    return Figures(a.requests + b.requests, a.errors + b.errors, statuses, latency, a.shielded + b.shielded)


def quantile(figures: Figures, q: float) -> float | None:
    """The upper bound in ms of the bucket that holds the q-quantile; None without data."""
    all_ = figures.latency[-1][1] if figures.latency else 0
    if all_ == 0:
        return None
    return next(bound for bound, n in figures.latency if n >= q * all_)


def slower_than(figures: Figures, limit: float) -> tuple[int, int]:
    """(certainly slower than `limit` ms, all). A bucket that spans the limit counts as not slower."""
    all_ = figures.latency[-1][1] if figures.latency else 0
    within = next((n for bound, n in figures.latency if bound >= limit), all_)
    return all_ - within, all_
