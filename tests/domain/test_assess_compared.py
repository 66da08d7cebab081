"""Candidate and baseline side by side: ratios, certainty, warm-up, critical rules, shielded failures, rates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from greenroom.domain.assess import Standard, figures_document, figures_of, judge
from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.history import History
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.plan import Rule

BLUE, GREEN = Colour.BLUE, Colour.GREEN
BOUNDS = (10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, math.inf)

Second = Callable[[float], tuple[int, int, float]]
"""At this moment: requests a second, errors of a hundred, ms that they take (the slowest of a hundred ten times that)."""


def counted(second: Second, at: float, tick: float, before: Figures) -> Figures:
    rate, errors, ms = second(at)
    n = round((at + tick) * rate) - round(at * rate)
    wrong = round((at + tick) * rate * errors / 100) - round(at * rate * errors / 100)
    slow = round((at + tick) * rate / 100) - round(at * rate / 100)
    known = dict(before.latency) or dict.fromkeys(BOUNDS, 0)
    latency = tuple((b, known[b] + (n - slow) * (ms <= b) + slow * (10 * ms <= b)) for b in BOUNDS)
    return Figures(before.requests + n, before.errors + wrong, {}, latency)


def seen(blue: Second, green: Second, seconds: float, tick: float = 0.25) -> History:
    history = History().add(Measurement(0.0, "a"))
    ours, theirs = Figures(), Figures()
    for n in range(int(seconds / tick)):
        theirs, ours = counted(blue, n * tick, tick, theirs), counted(green, n * tick, tick, ours)
        history = history.add(Measurement((n + 1) * tick, "a", theirs, ours))
    return history


def shifted(at: float, good: Second, then: Second) -> tuple[Second, Second]:
    """The baseline's and the candidate's, all traffic being switched at that time."""
    nothing = (0, 0, 1.0)
    return (lambda t: good(t) if t < at else nothing), (lambda t: then(t) if t >= at else nothing)


def good(_: float) -> tuple[int, int, float]:
    return 200, 1, 20.0


def slow(_: float) -> tuple[int, int, float]:
    return 200, 1, 100.0


def failing(_: float) -> tuple[int, int, float]:
    return 200, 5, 20.0


def switched(then: Second, rule: Rule, *, after: float = 6.0, before: float = 30.0, final: bool = False) -> Finding:
    history = seen(*shifted(before, good, then), before + after)
    return judge([rule], history, GREEN, Standard(BLUE, False, after, None), final=final)


def beside(theirs: Second, ours: Second, rule: Rule, *, seconds: float = 12.0, final: bool = False) -> Finding:
    history = seen(theirs, ours, seconds)
    return judge([rule], history, GREEN, Standard(BLUE, True, seconds, None), final=final)


SURE = [
    Rule("error_rate", max_ratio=1.5, confidence=0.999),
    Rule("p50", max_ratio=1.5, confidence=0.999),
    Rule("p99", max_ratio=1.5, confidence=0.999),
]


@pytest.mark.parametrize("rule", SURE, ids=lambda rule: rule.metric)
def test_an_equal_candidate_is_not_accused(rule: Rule) -> None:
    assert switched(good, rule, final=True).verdict is Verdict.PASS
    assert beside(good, good, rule, final=True).verdict is Verdict.PASS


@pytest.mark.parametrize(("rule", "then"), [(SURE[0], failing), (SURE[1], slow), (SURE[2], slow)], ids=lambda v: "")
def test_a_worse_candidate_is_found_and_the_reason_says_how_sure_it_is(rule: Rule, then: Second) -> None:
    for found, when in ((switched(then, rule), "before the switch"), (beside(good, then, rule), "over the same time")):
        assert found.verdict is Verdict.FAIL
        assert found.reason.startswith("error rate 5" if rule.metric == "error_rate" else f"{rule.metric} ")
        assert f"{when}: " in found.reason
        assert "than 1.5 × the baseline, sure to " in found.reason
        assert found.evidence[0].startswith("green: ")
        assert found.evidence[1].startswith("blue, the baseline: 1 % errors")


def test_a_margin_is_a_margin() -> None:
    wide = [replace(SURE[0], max_ratio=8.0), replace(SURE[1], max_ratio=8.0), replace(SURE[2], max_ratio=8.0)]
    for rule, then in zip(wide, (failing, slow, slow), strict=True):
        assert switched(then, rule, after=20.0).verdict is Verdict.WAIT


def test_without_a_ratio_any_difference_counts_if_it_is_sure() -> None:
    rule = Rule("error_rate", confidence=0.999)
    assert beside(good, lambda t: (200, 2, 20.0), rule, seconds=8.0).verdict is Verdict.WAIT
    history = seen(good, lambda t: (200, 2, 20.0), 60.0)
    looks = [
        judge([rule], _until(history, at), GREEN, Standard(BLUE, True, at, None), final=False).verdict
        for at in range(20, 60)
    ]
    assert Verdict.FAIL in looks


def _until(history: History, at: float) -> History:
    made = History()
    for sample in history.samples:
        if sample.at <= at:
            made = made.add(sample)
    return made


def test_a_burst_that_hits_both_is_not_the_candidates_fault() -> None:
    def hiccup(t: float) -> tuple[int, int, float]:
        return (200, 60, 20.0) if 5.0 <= t < 6.0 else (200, 1, 20.0)

    plain = Rule("error_rate", max_ratio=2.0)
    for seconds in (5.5, 6.0, 7.0, 12.0):
        assert beside(hiccup, hiccup, plain, seconds=seconds).verdict is not Verdict.FAIL
        assert beside(hiccup, hiccup, SURE[0], seconds=seconds).verdict is not Verdict.FAIL
    assert beside(good, hiccup, plain, seconds=6.0).verdict is Verdict.FAIL


def test_one_bunch_of_errors_does_not_make_it_sure() -> None:
    """Thirty failures within a tenth of a second are one event, not thirty."""

    def bunch(t: float) -> tuple[int, int, float]:
        return (200, 60, 20.0) if 8.0 <= t < 8.25 else (200, 1, 20.0)

    for seconds in range(9, 24):
        assert beside(good, bunch, SURE[0], seconds=float(seconds)).verdict is not Verdict.FAIL


def test_what_began_late_is_found_by_the_last_seconds() -> None:
    def late(t: float) -> tuple[int, int, float]:
        return (200, 1, 20.0) if t < 300 else (200, 1, 200.0)

    rule = SURE[1]
    history, found_at = seen(good, late, 300.0, tick=0.5), 0.0
    theirs, ours = history.samples[-1].blue, history.samples[-1].green
    for n in range(60):
        at = 300 + n * 0.5
        theirs, ours = counted(good, at, 0.5, theirs), counted(late, at, 0.5, ours)
        history = history.add(Measurement(at + 0.5, "a", theirs, ours))
        standard = Standard(BLUE, True, at + 0.5, None)
        if judge([rule], history, GREEN, standard, final=False).verdict is Verdict.FAIL:
            found_at = at + 0.5
            break
    assert 300 < found_at <= 312


def test_the_baselines_window_is_as_long_as_the_candidates_before_the_switch() -> None:
    """It was bad an hour ago; what counts is what it was like of late."""

    def recovered(t: float) -> tuple[int, int, float]:
        return (200, 20, 20.0) if t < 60 else (200, 1, 20.0)

    history = seen(*shifted(120.0, recovered, failing), 130.0)
    found = judge([SURE[0]], history, GREEN, Standard(BLUE, False, 10.0, None), final=False)
    assert found.verdict is Verdict.FAIL
    assert "baseline 1 %" in found.reason


def test_where_the_measurements_do_not_reach_back_the_journal_does() -> None:
    history = seen(lambda t: (0, 0, 1.0), failing, 6.0)
    kept = Figures(6000, 60, {}, tuple((b, 6000) for b in BOUNDS))
    standard = Standard(BLUE, False, 6.0, kept)
    found = judge([SURE[0]], history, GREEN, standard, final=False)
    assert found.verdict is Verdict.FAIL
    assert "baseline 1 % (60 of 6000 requests)" in found.reason
    assert judge([SURE[0]], history, GREEN, replace(standard, figures=None), final=True).verdict is Verdict.PASS


def test_ft_50_a_baseline_without_traffic_leaves_the_absolute_limits() -> None:
    nothing: Second = lambda t: (0, 0, 1.0)  # noqa: E731
    for rule in (*SURE, Rule("error_rate", max_ratio=2.0), Rule("p99", max_ratio=2.0)):
        assert beside(nothing, failing, rule, final=True).verdict is Verdict.PASS
        limited = replace(rule, max=0.01 if rule.metric == "error_rate" else 10.0)
        assert beside(nothing, failing, limited, final=True).verdict is Verdict.FAIL


def warming(t: float) -> tuple[int, int, float]:
    return (200, 1, 100.0) if t < 35 else (200, 1, 20.0)


def test_a_warm_up_is_told_apart_from_being_slow() -> None:
    limit = Rule("p50", max=50.0)
    assert switched(warming, limit, after=4.0).verdict is Verdict.FAIL
    patient = replace(limit, warm_up=6.0)
    early = switched(warming, patient, after=4.0)
    assert early.verdict is Verdict.WAIT
    assert early.reason == "p50: 0 of the 50 requests that a verdict needs, after its warm-up"
    assert switched(warming, patient, after=12.0, final=True).verdict is Verdict.PASS
    found = switched(slow, patient, after=12.0)
    assert found.verdict is Verdict.FAIL
    assert found.reason.endswith("; not counted: 100 ms in its first 6 s")
    assert switched(slow, replace(SURE[1], warm_up=6.0), after=12.0).reason.endswith("in its first 6 s")


def test_errors_count_from_the_first_request() -> None:
    rule = Rule("error_rate", max=0.01, warm_up=60.0)
    assert switched(lambda t: (200, 100, 20.0), rule, after=1.0).verdict is Verdict.FAIL


def test_a_critical_rule_needs_no_certainty() -> None:
    rule = Rule("error_rate", max=0.04)
    assert switched(failing, rule, after=2.0).verdict is Verdict.WAIT
    assert switched(failing, replace(rule, critical=True), after=2.0).verdict is Verdict.FAIL
    assert switched(failing, replace(rule, critical=True, min_requests=500), after=2.0).verdict is Verdict.WAIT


def test_shielded_failures_count_and_are_told() -> None:
    history = History().add(Measurement(0, "a"))
    history = history.add(Measurement(5, "a", green=Figures(1000, 200, {}, (), 150)))
    found = judge([Rule("error_rate", max=0.1)], history, GREEN, None, final=False)
    assert found.verdict is Verdict.FAIL
    assert "error rate 20 %: 200 of 1000 requests, 150 of them shielded" in found.reason
    kept = Figures(10, 3, {"5xx": 3}, (), 2)
    assert figures_of(figures_document(kept)) == kept


@pytest.mark.parametrize(
    ("rule", "rate", "verdict"),
    [
        (Rule("request_rate", min=10.0), 20, Verdict.PASS),
        (Rule("request_rate", min=10.0), 1, Verdict.FAIL),
        (Rule("request_rate", min=10.0), 0, Verdict.FAIL),
        (Rule("request_rate", max=100.0), 90, Verdict.PASS),
        (Rule("request_rate", max=100.0), 200, Verdict.FAIL),
    ],
)
def test_too_few_and_too_many_requests(rule: Rule, rate: int, verdict: Verdict) -> None:
    ours: Second = lambda t: (rate, 0, 10.0)  # noqa: E731
    found = beside(good, ours, rule, final=True)
    assert found.verdict is verdict
    if verdict is Verdict.FAIL:
        assert "request rate" in found.reason
        assert beside(good, ours, rule).verdict is Verdict.FAIL, "and not only at the end"


def test_few_requests_in_the_first_second_are_chance() -> None:
    rule = Rule("request_rate", min=10.0)
    assert beside(good, lambda t: (5, 0, 10.0), rule, seconds=1.0).verdict is Verdict.WAIT
