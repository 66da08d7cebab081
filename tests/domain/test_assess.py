from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.domain.assess import History, figures_document, figures_of, improbable, judge, quantile, slower_than
from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.plan import Rule

ERRORS = Rule("error_rate", max=0.10)


def history(*samples: tuple[float, int, int], incarnation: str = "a") -> History:
    """(at, requests, errors) of green, cumulative."""
    made = History()
    for at, requests, errors in samples:
        made = made.add(Measurement(at, incarnation, green=Figures(requests, errors)))
    return made


def latency(*buckets: tuple[float, int]) -> Figures:
    return Figures(buckets[-1][1], 0, {}, buckets)


def test_a_burst_of_errors_is_found_within_the_second() -> None:
    seen = history((0, 0, 0), (9, 1800, 0), (10, 2000, 0), (10.2, 2040, 40), (10.4, 2080, 80))
    found = judge([ERRORS], seen, Colour.GREEN, None, final=False)
    assert found.verdict is Verdict.FAIL
    assert "error rate" in found.reason
    assert "limit 10 %" in found.reason


def test_a_candidate_at_a_fifth_of_the_limit_is_never_accused() -> None:
    dice = random.Random(7)
    seen, requests, errors = History(), 0, 0
    for tick in range(3000):
        requests += 40
        errors += sum(dice.random() < 0.02 for _ in range(40))
        seen = seen.add(Measurement(tick * 0.2, "a", green=Figures(requests, errors)))
        assert judge([ERRORS], seen, Colour.GREEN, None, final=False).verdict is not Verdict.FAIL
    assert judge([ERRORS], seen, Colour.GREEN, None, final=True).verdict is Verdict.PASS


def test_a_small_lasting_excess_is_found_at_the_end_of_the_bake() -> None:
    seen = history((0, 0, 0), (60, 1000, 110))
    assert judge([ERRORS], seen, Colour.GREEN, None, final=False).verdict is Verdict.WAIT
    assert judge([ERRORS], seen, Colour.GREEN, None, final=True).verdict is Verdict.FAIL


def test_against_the_baseline() -> None:
    rule = Rule("error_rate", max_ratio=3.0)
    seen = history((0, 0, 0), (60, 1000, 100))
    assert judge([rule], seen, Colour.GREEN, Figures(1000, 50), final=True).verdict is Verdict.PASS
    assert judge([rule], seen, Colour.GREEN, Figures(1000, 20), final=True).verdict is Verdict.FAIL
    few = history((0, 0, 0), (60, 1000, 9))
    assert judge([rule], few, Colour.GREEN, Figures(1000, 0), final=True).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("policy", "verdict"), [("pass", Verdict.PASS), ("fail", Verdict.FAIL), ("wait", Verdict.WAIT)]
)
def test_ft_50_too_little_data_has_a_policy_of_its_own(policy: str, verdict: Verdict) -> None:
    rule = Rule("error_rate", max=0.1, min_requests=50, no_data=policy)
    for samples in ([], [(0.0, 0, 0)], [(0.0, 0, 0), (5.0, 10, 10)]):
        seen = history(*samples)
        assert judge([rule], seen, Colour.GREEN, None, final=True).verdict is verdict
        assert judge([rule], seen, Colour.GREEN, None, final=False).verdict is Verdict.WAIT


def test_ft_50_a_reset_of_the_counters_is_not_a_drop() -> None:
    seen = history((0, 100, 0), (1, 200, 0))
    seen = seen.add(Measurement(2, "b", green=Figures(30, 3)))
    assert seen.window(Colour.GREEN) == Figures(130, 3)


def test_ft_50_a_late_measurement_is_left_out() -> None:
    seen = history((0, 0, 0), (2, 100, 0), (1, 50, 50))
    assert seen.window(Colour.GREEN) == Figures(100, 0)


def test_latency_rules_count_the_slow_ones() -> None:
    slow = latency((10.0, 900), (100.0, 950), (math.inf, 1000))
    assert quantile(slow, 0.95) == 100.0
    assert slower_than(slow, 100.0) == (50, 1000)
    assert slower_than(slow, 50.0) == (50, 1000)
    made = History().add(Measurement(0, "a")).add(Measurement(10, "a", green=slow))
    assert judge([Rule("p99", max=100.0)], made, Colour.GREEN, None, final=True).verdict is Verdict.FAIL
    assert judge([Rule("p90", max=100.0)], made, Colour.GREEN, None, final=True).verdict is Verdict.PASS
    baseline = latency((10.0, 1000), (100.0, 1000), (math.inf, 1000))
    assert judge([Rule("p99", max_ratio=2.0)], made, Colour.GREEN, baseline, final=True).verdict is Verdict.FAIL


def test_windows_forget_what_is_past() -> None:
    seen = history(*[(float(t), t * 100, 50 if t else 0) for t in range(60)])
    assert seen.window(Colour.GREEN, 5.0) == Figures(500, 0)
    assert seen.window(Colour.GREEN).errors == 50


@given(st.integers(1, 5000), st.integers(0, 5000), st.floats(0, 1))
def test_improbable_is_calm_at_the_limit_and_monotonous(total: int, bad: int, allowed: float) -> None:
    bad = min(bad, total)
    if bad / total <= allowed:
        assert not improbable(bad, total, allowed)
    if bad < total and improbable(bad, total, allowed):
        assert improbable(bad + 1, total, allowed)


def test_figures_travel_through_the_journal() -> None:
    figures = Figures(10, 1, {"2xx": 9, "5xx": 1}, ((5.0, 8), (math.inf, 10)))
    assert figures_of(figures_document(figures)) == figures
    assert figures_of({}) is None
