"""Is the candidate good? Judging of what the router counted; `readings` judges what other sources said.

Every limit is brought to one question: of `n` requests, were more than the allowed share `p` bad? For an error rate the
bad ones are errors; for a quantile like p99 they are the requests slower than the limit, of which 1 % is allowed.

With traffic on the candidate a rule fails as soon as chance cannot explain what a window shows: the Chernoff bound
`exp(-n · KL(k/n ‖ p))`, which is never below the true probability of `k` or more bad ones, falls under `SURE`. Windows
of 1, 5 and 30 seconds find what began just now, all of it finds what is small and lasting. At the end of a step or of the
bake, the plain share of all is compared with the limit. A `critical` rule needs no certainty: a window over the limit is
enough. A rule with `confidence` is compared with the baseline by `comparing`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from greenroom.domain import comparing
from greenroom.domain.figures import Figures
from greenroom.domain.history import History, quantile, slower_than
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.plan import Rule
from greenroom.domain.verdicts import no_data
from greenroom.domain.view import Standard, View
from greenroom.domain.wording import LATENCY, errors_of, line, name, percent, value

SURE = 1e-4
"""A single look raises a false alarm less often than this, for a candidate that is exactly at the limit."""

WINDOWS = (1.0, 5.0, 30.0)
"""Seconds."""

FLOOR = 0.01
"""Against a baseline without errors, a share of errors up to this is no difference."""


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


def unlikely(count: int, expected: float) -> bool:
    """Chance does not explain `count` events where `expected` are."""
    if expected <= 0.0:
        return count > 0
    if count == 0:
        return math.exp(-expected) < SURE
    return math.exp(-(count * math.log(count / expected) - count + expected)) < SURE


@dataclass(frozen=True, slots=True)
class _Limit:
    """A rule against one standard: at most `allowed` of the requests may be bad. `above`: ms, for latency."""

    rule: Rule
    allowed: float
    above: float | None
    text: str

    def count(self, figures: Figures) -> tuple[int, int]:
        return (figures.errors, figures.requests) if self.above is None else slower_than(figures, self.above)

    def broken(self, figures: Figures, *, plainly: bool) -> bool:
        bad, total = self.count(figures)
        if total < self.rule.min_requests:
            return False
        return improbable(bad, total, self.allowed) or (plainly and bad > self.allowed * total)


def judge(
    rules: Iterable[Rule], history: History, colour: Colour, usual: Standard | Figures | None, *, final: bool
) -> Finding:
    """FAIL as soon as it is sure; with `final` also by plain comparison, and by the policy for too little data.

    `usual`: what the candidate is compared with. WAIT: nothing wrong so far, or too little data. Rules that ask a
    source of their own are left to `readings`.
    """
    standard = usual if isinstance(usual, Standard) else Standard(figures=usual)
    view = View(history, colour, standard)
    scarce: list[str] = []
    for rule in rules:
        if rule.source:
            continue
        if text := _too_little(rule, view):
            match no_data(rule.no_data, final=final):
                case Verdict.FAIL:
                    return Finding(Verdict.FAIL, text)
                case Verdict.WAIT:
                    scarce.append(text)
            continue
        if reason := _broken(rule, history, colour, view, final=final):
            return Finding(Verdict.FAIL, reason, evidence=side_by_side(view, rule, colour))
    if not final:
        return Finding(Verdict.WAIT, scarce[0] if scarce else "")
    return Finding(Verdict.WAIT, scarce[0]) if scarce else Finding(Verdict.PASS, "")


def side_by_side(view: View, rule: Rule, colour: Colour) -> tuple[str, ...]:
    """Both colours' numbers, each in a line."""
    usual = view.usual(None)
    lines = (f"{colour}: {line(view.candidate(rule, None))}",)
    return (*lines, f"{colour.other}, the baseline: {line(usual[-1])}") if usual else lines


def _too_little(rule: Rule, view: View) -> str:
    """What is missing for a verdict; a rate of requests needs none."""
    if rule.metric == "request_rate":
        return ""
    found = view.candidate(rule, None).requests
    if found >= rule.min_requests:
        return ""
    warming = ", after its warm-up" if view.before(rule).requests else ""
    return f"{rule.metric}: {found} of the {rule.min_requests} requests that a verdict needs{warming}"


def _broken(rule: Rule, history: History, colour: Colour, view: View, *, final: bool) -> str:
    if rule.metric == "request_rate":
        return _frequency(rule, history, colour, view, final=final)
    reason = _over(rule, view, history.span, final=final)
    if not reason and rule.confidence is not None:
        reason = comparing.worse(rule, history, colour, view)
    if not reason or rule.metric not in LATENCY or not (before := view.before(rule)).requests:
        return reason
    q = quantile(before, int(rule.metric[1:]) / 100)
    return f"{reason}; not counted: {value(rule.metric, q or 0.0)} in its first {rule.warm_up:g} s"


def _over(rule: Rule, view: View, span: float, *, final: bool) -> str:
    if rule.max is None and (rule.max_ratio is None or rule.confidence is not None):
        return ""
    for seconds in (*WINDOWS, None):
        figures = view.candidate(rule, seconds)
        if not figures.requests:
            continue
        for limit in _limits(rule, view, seconds):
            if limit.broken(figures, plainly=rule.critical or (final and seconds is None)):
                over = "all its time with traffic" if seconds is None else f"the last {min(seconds, span):.3g} s"
                return f"{_figure(limit, figures)} over {over} ({limit.text})"
    return ""


def _limits(rule: Rule, view: View, seconds: float | None) -> Iterator[_Limit]:
    if rule.metric == "error_rate":
        if rule.max is not None:
            yield _Limit(rule, rule.max, None, f"limit {percent(rule.max)}")
    elif rule.max is not None:
        yield _Limit(rule, 1 - int(rule.metric[1:]) / 100, rule.max, f"limit {rule.max:g} ms")
    if rule.max_ratio is None or rule.confidence is not None:
        return
    limits = [_compared(rule, usual) for usual in view.usual(seconds) if usual.requests >= rule.min_requests]
    known = [limit for limit in limits if limit is not None]
    if known:
        yield max(known, key=lambda limit: (limit.allowed, limit.above or 0.0))


def _compared(rule: Rule, usual: Figures) -> _Limit | None:
    """The rule against what the baseline's users met."""
    assert rule.max_ratio is not None
    if rule.metric == "error_rate":
        rate = usual.errors / usual.requests
        allowed = min(1.0, max(FLOOR, rule.max_ratio * rate))
        text = f"baseline {percent(rate)}: {errors_of(usual)}, limit {percent(allowed)}"
        return _Limit(rule, allowed, None, text)
    q = int(rule.metric[1:]) / 100
    found = quantile(usual, q)
    if found is None or not math.isfinite(found):
        return None
    above = rule.max_ratio * found
    return _Limit(rule, 1 - q, above, f"baseline {found:g} ms of {usual.requests} requests, limit {above:g} ms")


def _figure(limit: _Limit, figures: Figures) -> str:
    if limit.above is None:
        return f"error rate {percent(figures.errors / figures.requests)}: {errors_of(figures)}"
    found = quantile(figures, 1 - limit.allowed)
    return f"{limit.rule.metric} {value(limit.rule.metric, found or 0.0)} of {figures.requests} requests"


def _frequency(rule: Rule, history: History, colour: Colour, view: View, *, final: bool) -> str:
    """Requests a second, since the present split: too few or too many of them."""
    if len(history.samples) < 2:
        return ""
    now, begin = history.samples[-1], view.begin
    for seconds in (*WINDOWS[1:], None):
        start = begin if seconds is None else history.until(now.at - seconds)
        if start.at < begin.at or now.at <= start.at or (seconds is None and now.at - start.at < WINDOWS[1]):
            continue
        count, span = now.of(colour).requests - start.of(colour).requests, now.at - start.at
        for limit, wrong in ((rule.min, -1), (rule.max, 1)):
            if limit is None or (count - limit * span) * wrong <= 0:
                continue
            if rule.critical or (final and seconds is None) or unlikely(count, limit * span):
                return f"{name(rule.metric)} {count / span:.3g}/s over {span:.3g} s (limit {limit:g}/s)"
    return ""


def figures_document(figures: Figures) -> dict[str, Any]:
    """For the journal; infinity is written as null."""
    latency = [[bound if math.isfinite(bound) else None, n] for bound, n in figures.latency]
    shielded = {"shielded": figures.shielded} if figures.shielded else {}
    return {
        "requests": figures.requests,
        "errors": figures.errors,
        "statuses": dict(figures.statuses),
        "latency": latency,
        **shielded,
    }


def figures_of(document: Mapping[str, Any] | None) -> Figures | None:
    if not document:
        return None
    latency = tuple((math.inf if bound is None else float(bound), int(n)) for bound, n in document.get("latency", ()))
    statuses, shielded = dict(document.get("statuses", {})), int(document.get("shielded", 0))
    return Figures(int(document["requests"]), int(document["errors"]), statuses, latency, shielded)


__all__ = (
    "History",
    "Standard",
    "figures_document",
    "figures_of",
    "improbable",
    "judge",
    "quantile",
    "slower_than",
)
