"""Releases that never happened: users' requests with known truth, as the router would have counted them.

What makes latencies hard to judge is in them: a log-normal middle, a heavy tail, bursts that hit both versions and bursts
of one alone (a garbage collection), a slow drift of both, errors now and then, a fresh version that has to warm up. The
same seed gives the same release.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from greenroom.domain.assess import Standard, judge
from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.history import History
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.plan import Rule

BOUNDS: tuple[int, ...] = (
    1,
    2,
    3,
    5,
    7,
    10,
    15,
    20,
    25,
    30,
    40,
    50,
    60,
    75,
    100,
    125,
    150,
    200,
    250,
    300,
    400,
    500,
    600,
    750,
    1000,
)
BOUNDS += (1250, 1500, 2000, 2500, 3000, 4000, 5000, 7500, 10000, 15000, 20000, 30000, 60000, 300000)
"""Of the router's histogram, in ms."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Burst:
    """For a while this share of the requests takes so many times as long."""

    at: float
    seconds: float
    times: float
    share: float


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a bad version, from so many seconds after its first request on.

    `errors`: the share that fails. `slower`: how many times as long the others take. `down`, `up`: seconds of a crash
    loop, in which everything fails while it is down.
    """

    name: str
    errors: float = 0.0
    slower: float = 1.0
    down: float = 0.0
    up: float = 0.0
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Release:
    """`steps`: (share of the candidate, seconds), after `before` seconds in which the baseline has it all."""

    seed: int
    rate: float = 200.0
    before: float = 30.0
    steps: tuple[tuple[float, float], ...] = ((1.0, 60.0),)
    median: float = 40.0
    sigma: float = 0.6
    tail: float = 0.01
    weight: float = 2.0
    errors: float = 0.002
    drift: tuple[float, float, float] = (0.15, 300.0, 0.0)
    common: tuple[Burst, ...] = ()
    own: dict[Colour, tuple[Burst, ...]] = field(default_factory=dict)
    warm_up: tuple[float, float] = (0.0, 1.0)
    fault: Fault = Fault("good")

    @property
    def seconds(self) -> float:
        return sum(seconds for _, seconds in self.steps)


def good(seed: int) -> Release:
    """A release without fault, with its own mixture of everything that is noise."""
    dice = np.random.default_rng(seed)
    beside = dice.random() < 0.5
    steps = ((float(dice.choice([0.1, 0.25, 0.5])), 30.0), (1.0, 30.0)) if beside else ((1.0, 60.0),)
    release = Release(
        seed,
        rate=float(np.exp(dice.uniform(math.log(20), math.log(400)))),
        before=float(dice.uniform(5, 60)),
        steps=steps,
        median=float(np.exp(dice.uniform(math.log(5), math.log(200)))),
        sigma=float(dice.uniform(0.3, 0.9)),
        tail=float(dice.uniform(0, 0.03)),
        weight=float(dice.uniform(1.3, 3)),
        errors=float(dice.uniform(0, 0.005)),
        drift=(float(dice.uniform(0, 0.2)), float(dice.uniform(60, 600)), float(dice.uniform(0, 6.3))),
        warm_up=(float(dice.uniform(0, 3)), float(dice.uniform(2, 5))),
    )
    begin, end = -release.before, release.seconds
    own = {colour: tuple(_bursts(dice, begin, end, 30.0, (0.1, 1.0), (1.5, 5.0))) for colour in Colour}
    return replace(release, common=tuple(_bursts(dice, begin, end, 60.0, (0.5, 5.0), (1.2, 3.0))), own=own)


def bad(seed: int, fault: Fault) -> Release:
    """A release at 200 requests a second with a fault, in the same noise: all traffic at once."""
    noise = good(seed)
    return replace(noise, rate=200.0, before=30.0, steps=((1.0, 60.0),), fault=fault)


FAULTS = (
    Fault("all answers fail", errors=1.0),
    Fault("5 % of the answers fail", errors=0.05),
    Fault("5 times as slow", slower=5.0),
    Fault("crash loop", down=3.0, up=1.0),
)


def _bursts(
    dice: np.random.Generator,
    begin: float,
    end: float,
    every: float,
    long: tuple[float, float],
    times: tuple[float, float],
) -> Iterator[Burst]:
    for _ in range(dice.poisson((end - begin) / every)):
        at = float(dice.uniform(begin, end))
        yield Burst(at, float(dice.uniform(*long)), float(dice.uniform(*times)), float(dice.uniform(0.3, 1.0)))


@dataclass(frozen=True, slots=True)
class Counted:
    """By moment: the candidate's share, the router's counters of both colours, when the present share began."""

    release: Release
    measurements: tuple[Measurement, ...]
    bad: tuple[int, ...]
    """Of the candidate's requests until that moment, how many a user would call bad: failed, or slow by the fault."""

    def stages(self) -> Iterator[tuple[float, float, float]]:
        """(begin, end, share) of each step."""
        at = 0.0
        for share, seconds in self.release.steps:
            yield at, at + seconds, share
            at += seconds


BASELINE, CANDIDATE = Colour.BLUE, Colour.GREEN


def counted(release: Release, tick: float = 0.2) -> Counted:
    dice = np.random.default_rng([release.seed, 1])
    edges = np.arange(-release.before, release.seconds + tick / 2, tick)
    middles = edges[:-1] + tick / 2
    shares = np.zeros(len(middles))
    at = 0.0
    for share, seconds in release.steps:
        shares[(middles >= at) & (middles < at + seconds)] = share
        at += seconds
    columns = {}
    harmed = np.zeros(len(middles), dtype=np.int64)
    for colour, part in ((BASELINE, 1 - shares), (CANDIDATE, shares)):
        numbers = dice.poisson(release.rate * tick * part)
        when = np.repeat(middles, numbers)
        place = np.repeat(np.arange(len(middles)), numbers)
        times = _latencies(release, colour, when, dice)
        failed = _failures(release, colour, when, dice)
        bins = np.searchsorted(np.asarray(BOUNDS, dtype=float), times)
        table = np.bincount(place * (len(BOUNDS) + 1) + bins, minlength=len(middles) * (len(BOUNDS) + 1))
        latency = table.reshape(len(middles), -1).cumsum(axis=0).cumsum(axis=1)
        errors = np.bincount(place, weights=failed, minlength=len(middles)).cumsum().astype(int)
        columns[colour] = (numbers.cumsum(), errors, latency)
        if colour is CANDIDATE:
            slow = release.fault.slower > 1 and bool(release.fault.name)
            hurt = failed | (when >= release.fault.after if slow else False)
            harmed = np.bincount(place, weights=hurt, minlength=len(middles)).cumsum().astype(int)
    bounds = (*map(float, BOUNDS), math.inf)
    figures = {colour: _figures(bounds, *columns[colour]) for colour in columns}
    moments = edges[1:].tolist()
    zero = tuple((bound, 0) for bound in bounds)
    first = Measurement(float(edges[0]), "a", Figures(latency=zero), Figures(latency=zero))
    rows = zip(moments, figures[BASELINE], figures[CANDIDATE], strict=True)
    return Counted(
        release, (first, *(Measurement(t, "a", blue, green) for t, blue, green in rows)), (0, *harmed.tolist())
    )


def _figures(bounds: Sequence[float], requests: Array, errors: Array, latency: Array) -> list[Figures]:
    rows = zip(requests.tolist(), errors.tolist(), latency.tolist(), strict=True)
    return [Figures(n, wrong, {}, tuple(zip(bounds, row, strict=True))) for n, wrong, row in rows]


def _latencies(release: Release, colour: Colour, when: Array, dice: np.random.Generator) -> Array:
    times = release.median * np.exp(release.sigma * dice.standard_normal(len(when)))
    tail = dice.random(len(when)) < release.tail
    times[tail] *= 2 * (1 + dice.pareto(release.weight, int(tail.sum())))
    size, period, phase = release.drift
    times *= 1 + size * np.sin(2 * math.pi * when / period + phase)
    for burst in (*release.common, *release.own.get(colour, ())):
        hit = (when >= burst.at) & (when < burst.at + burst.seconds) & (dice.random(len(when)) < burst.share)
        times[hit] *= burst.times
    if colour is CANDIDATE:
        strength, fades = release.warm_up
        times *= 1 + strength * np.exp(-np.maximum(when, 0) / fades)
        times[when >= release.fault.after] *= release.fault.slower
    return np.minimum(times, 299_000)


def _failures(release: Release, colour: Colour, when: Array, dice: np.random.Generator) -> NDArray[np.bool_]:
    failed = dice.random(len(when)) < release.errors
    fault = release.fault
    if colour is not CANDIDATE:
        return failed
    ill = when >= fault.after
    failed |= ill & (dice.random(len(when)) < fault.errors)
    if fault.down:
        failed |= ill & ((when - fault.after) % (fault.down + fault.up) < fault.down)
    return failed


@dataclass(frozen=True, slots=True)
class Outcome:
    """`at`: seconds after the candidate's first request, None where nothing was found. `bad`: answers until then."""

    at: float | None
    reason: str = ""
    bad: int = 0


def played(seen: Counted, rules: Sequence[Rule], every: int = 1) -> Outcome:
    """What Greenroom's judge says of it, looking at every (every n-th) measurement, and at the end of each step."""
    history = History()
    stages = list(seen.stages())
    for index, measurement in enumerate(seen.measurements):
        last = index + 1 == len(seen.measurements)
        if index % every and not last:
            continue
        history = history.add(measurement)
        at = measurement.at
        now = next(((b, e, s) for b, e, s in stages if b < at <= e + 1e-6), None)
        if now is None:
            continue
        begin, end, share = now
        standard = Standard(BASELINE, share < 1, at - begin)
        final = last or at >= end - 1e-6
        found = judge(rules, history, CANDIDATE, standard, final=final)
        if found.verdict is Verdict.FAIL:
            return Outcome(at, found.reason, seen.bad[index])
    return Outcome(None, "", seen.bad[-1])
