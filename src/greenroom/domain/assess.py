"""Is the candidate good? Judging of measurements that others made.

Every rule is brought to one question: of `n` requests, were more than the allowed share `p` bad? For an error rate the
bad ones are errors; for a quantile like p99 they are the requests slower than the limit, of which 1 % is allowed.

During the bake a rule fails as soon as chance cannot explain what a window shows: the Chernoff bound
`exp(-n · KL(k/n ‖ p))`, which is never below the true probability of `k` or more bad ones, falls under `SURE`. Windows
of 1, 5 and 30 seconds find what began just now, the whole bake finds what is small and lasting. At the end of the bake,
the plain share of the whole bake is compared with the limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.plan import Rule

SURE = 1e-4
"""A single look raises a false alarm less often than this, for a candidate that is exactly at the limit."""

WINDOWS = (1.0, 5.0, 30.0)
"""Seconds."""

FLOOR = 0.01
"""Against a baseline without errors, a share of errors up to this is no difference."""

_KEPT, _CLOSE = 40.0, 7.0
"""Seconds for which samples are kept, and for which all of them are."""


@dataclass(frozen=True, slots=True)
class History:
    """Measurements in order of time, as if the counters had never begun anew. The first one is kept as the base."""

    samples: tuple[Measurement, ...] = ()
    raw: Measurement | None = None

    def add(self, measurement: Measurement) -> History:
        """With one more. A reset of the router's counters (another incarnation) continues where they were."""
        if not self.samples or self.raw is None:
            return History((measurement,), measurement)
        last = self.samples[-1]
        if measurement.at <= last.at:
            return self
        before = self.raw if measurement.incarnation == self.raw.incarnation else None
        blue = _sum(last.blue, _difference(before.blue if before else Figures(), measurement.blue))
        green = _sum(last.green, _difference(before.green if before else Figures(), measurement.green))
        samples = (*self.samples, replace(measurement, blue=blue, green=green))
        return History((samples[0], *_thinned(samples[1:], measurement.at)), measurement)

    def window(self, colour: Colour, seconds: float | None = None) -> Figures:
        """What happened in the last `seconds` (None: since the base)."""
        if len(self.samples) < 2:
            return Figures()
        last = self.samples[-1]
        start = self.samples[0]
        if seconds is not None:
            start = next((s for s in reversed(self.samples) if s.at <= last.at - seconds), self.samples[0])
        return _difference(start.of(colour), last.of(colour))

    @property
    def span(self) -> float:
        return self.samples[-1].at - self.samples[0].at if self.samples else 0.0


def _thinned(samples: tuple[Measurement, ...], now: float) -> Iterable[Measurement]:
    """All of the last seconds; before them one a second, which the long windows need no more of."""
    second: float | None = None
    for sample in samples:
        if sample.at < now - _KEPT or (sample.at < now - _CLOSE and int(sample.at) == second):
            continue
        second = int(sample.at)
        yield sample


def _difference(before: Figures, after: Figures) -> Figures:
    earlier = dict(before.latency)
    return Figures(
        max(0, after.requests - before.requests),
        max(0, after.errors - before.errors),
        {k: max(0, v - before.statuses.get(k, 0)) for k, v in after.statuses.items()},
        tuple((bound, max(0, n - earlier.get(bound, 0))) for bound, n in after.latency),
    )


def _sum(a: Figures, b: Figures) -> Figures:
    bounds = dict(a.latency)
    latency = tuple((bound, bounds.get(bound, 0) + n) for bound, n in b.latency) if b.latency else a.latency
    statuses = {k: a.statuses.get(k, 0) + b.statuses.get(k, 0) for k in {*a.statuses, *b.statuses}}
    return Figures(a.requests + b.requests, a.errors + b.errors, statuses, latency)


def improbable(bad: int, total: int, allowed: float) -> bool:
    """Chance does not explain `bad` of `total` where a share of `allowed` is permitted."""
    if total <= 0 or bad <= 0 or bad / total <= allowed:
        return False
    if allowed <= 0.0:
        return True
    share = bad / total
    divergence = share * math.log(share / allowed)
    if share < 1.0:
        divergence += (1.0 - share) * math.log((1.0 - share) / (1.0 - allowed))
    return math.exp(-total * divergence) < SURE


def quantile(figures: Figures, q: float) -> float | None:
    """The upper bound in ms of the bucket that holds the q-quantile; None without data."""
    total = figures.latency[-1][1] if figures.latency else 0
    if total == 0:
        return None
    return next(bound for bound, n in figures.latency if n >= q * total)


def slower_than(figures: Figures, limit: float) -> tuple[int, int]:
    """(certainly slower than `limit` ms, all). A bucket that spans the limit counts as not slower."""
    total = figures.latency[-1][1] if figures.latency else 0
    within = next((n for bound, n in figures.latency if bound >= limit), total)
    return total - within, total


@dataclass(frozen=True, slots=True)
class _Limit:
    """A rule against one standard: at most `allowed` of the requests may be bad. `above`: ms, for latency."""

    rule: Rule
    allowed: float
    above: float | None
    text: str

    def count(self, figures: Figures) -> tuple[int, int]:
        return (figures.errors, figures.requests) if self.above is None else slower_than(figures, self.above)


def _limits(rule: Rule, baseline: Figures | None) -> Iterable[_Limit]:
    if rule.metric == "error_rate":
        if rule.max is not None:
            yield _Limit(rule, rule.max, None, f"limit {_percent(rule.max)}")
        if rule.max_ratio is not None and baseline is not None and baseline.requests >= rule.min_requests:
            rate = baseline.errors / baseline.requests
            allowed = min(1.0, max(FLOOR, rule.max_ratio * rate))
            yield _Limit(rule, allowed, None, f"baseline {_percent(rate)}, limit {_percent(allowed)}")
        return
    q = int(rule.metric[1:]) / 100
    if rule.max is not None:
        yield _Limit(rule, 1 - q, rule.max, f"limit {rule.max:g} ms")
    if rule.max_ratio is not None and baseline is not None and baseline.requests >= rule.min_requests:
        usual = quantile(baseline, q)
        if usual is not None and math.isfinite(usual):
            above = rule.max_ratio * usual
            yield _Limit(rule, 1 - q, above, f"baseline {usual:g} ms, limit {above:g} ms")


def judge(rules: Iterable[Rule], history: History, colour: Colour, baseline: Figures | None, *, final: bool) -> Finding:
    """FAIL as soon as it is sure; with `final` also by plain comparison, and by the policy for too little data.

    `baseline` is what the version before did in its own last window. WAIT: nothing wrong so far, or too little data.
    """
    scarce: list[str] = []
    windows = {seconds: history.window(colour, seconds) for seconds in (*WINDOWS, None)}
    whole = windows[None]
    for rule in rules:
        if whole.requests < rule.min_requests:
            text = f"{rule.metric}: {whole.requests} of the {rule.min_requests} requests that a verdict needs"
            if final and rule.no_data == "fail":
                return Finding(Verdict.FAIL, text)
            if rule.no_data == "wait" or not final:
                scarce.append(text)
            continue
        for limit in _limits(rule, baseline):
            reason = _broken(limit, windows, history.span, final=final)
            if reason:
                return Finding(Verdict.FAIL, reason)
    if not final:
        return Finding(Verdict.WAIT, scarce[0] if scarce else "")
    return Finding(Verdict.WAIT, scarce[0]) if scarce else Finding(Verdict.PASS, "")


def _broken(limit: _Limit, windows: Mapping[float | None, Figures], span: float, *, final: bool) -> str:
    for seconds, figures in windows.items():
        bad, total = limit.count(figures)
        if total < limit.rule.min_requests:
            continue
        if improbable(bad, total, limit.allowed) or (final and seconds is None and bad > limit.allowed * total):
            over = "the whole bake" if seconds is None else f"the last {min(seconds, span):.3g} s"
            return f"{_figure(limit, figures, bad, total)} over {over} ({limit.text})"
    return ""


def _figure(limit: _Limit, figures: Figures, bad: int, total: int) -> str:
    if limit.above is None:
        return f"error rate {_percent(bad / total)}: {bad} of {total} requests"
    value = quantile(figures, 1 - limit.allowed)
    return f"{limit.rule.metric} {value:g} ms of {total} requests"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def figures_document(figures: Figures) -> dict[str, Any]:
    """For the journal; infinity is written as null."""
    latency = [[bound if math.isfinite(bound) else None, n] for bound, n in figures.latency]
    return {
        "requests": figures.requests,
        "errors": figures.errors,
        "statuses": dict(figures.statuses),
        "latency": latency,
    }


def figures_of(document: Mapping[str, Any] | None) -> Figures | None:
    if not document:
        return None
    latency = tuple((math.inf if bound is None else float(bound), int(n)) for bound, n in document.get("latency", ()))
    return Figures(int(document["requests"]), int(document["errors"]), dict(document.get("statuses", {})), latency)
