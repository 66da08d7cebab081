"""A release that is over, judged by other rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.simulated import FAULTS, bad, counted, good
from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.plan import Rule
from greenroom.domain.recording import Sample, replayed

GREEN = Colour.GREEN
LOOSE, TIGHT = Rule("error_rate", max=0.5), Rule("error_rate", max=0.02)


def kept(*parts: tuple[float, int, int, int]) -> list[Sample]:
    """(the candidate's share, seconds, requests a second of each, errors a second of the candidate)."""
    at, blue, green = 1000.0, Figures(), Figures()
    samples = [Sample(at, 0.0, Measurement(at - 900, "a", blue, green))]
    for share, seconds, rate, errors in parts:
        for _ in range(seconds):
            at += 1
            blue = Figures(blue.requests + rate, blue.errors)
            green = Figures(green.requests + (rate if share else 0), green.errors + errors)
            samples.append(Sample(at, share, Measurement(at - 900, "a", blue, green)))
    return samples


def test_when_and_why_it_would_have_gone_back() -> None:
    samples = kept((0.0, 5, 100, 0), (5.0, 10, 100, 0), (50.0, 10, 100, 10), (100.0, 10, 100, 10))
    found = replayed([TIGHT], samples, GREEN)
    assert (found.verdict, found.share) == (Verdict.FAIL, 50.0)
    assert 10 <= found.after <= 13
    assert "error rate" in found.reason
    assert found.evidence[0].startswith("green: ")


def test_looser_rules_would_have_let_it_pass() -> None:
    samples = kept((0.0, 5, 100, 0), (5.0, 10, 100, 0), (100.0, 10, 100, 10))
    found = replayed([LOOSE], samples, GREEN)
    assert (found.verdict, found.after, found.share) == (Verdict.PASS, 19.0, 100.0)


def test_the_end_of_a_step_is_judged_as_one() -> None:
    """Just over the limit, which chance explains: it counts when there will be no more data."""
    samples = kept((0.0, 5, 100, 0), (5.0, 6, 100, 3), (100.0, 5, 100, 3))
    found = replayed([TIGHT], samples, GREEN)
    assert (found.verdict, found.share, found.after) == (Verdict.FAIL, 5.0, 5.0)


@pytest.mark.parametrize("samples", [[], kept((0.0, 5, 100, 0))])
def test_ft_50_nothing_kept_is_unknown_and_not_good(samples: list[Sample]) -> None:
    assert replayed([TIGHT], samples, GREEN).verdict is Verdict.UNKNOWN


def test_a_share_that_was_not_seen_is_no_other_share() -> None:
    samples = kept((0.0, 5, 100, 0), (5.0, 10, 100, 0))
    samples[8] = replace(samples[8], share=None)
    assert replayed([TIGHT], samples, GREEN).after == 9.0


def test_a_reset_of_the_counters_in_between() -> None:
    samples = kept((0.0, 5, 100, 0), (100.0, 10, 100, 0))
    again = [replace(s, measurement=replace(s.measurement, incarnation="b", green=Figures(50))) for s in samples[12:]]
    assert replayed([TIGHT], [*samples[:12], *again], GREEN).verdict is Verdict.PASS


def test_a_first_release_has_nothing_to_compare_with() -> None:
    samples = kept((0.0, 5, 100, 0), (100.0, 10, 100, 10))
    rule = Rule("error_rate", max_ratio=1.0, confidence=0.999)
    assert replayed([rule], samples, GREEN, baseline=False).verdict is Verdict.PASS
    assert replayed([rule], samples, GREEN).verdict is Verdict.FAIL


def test_a_sample_a_second_is_enough_for_the_comparison() -> None:
    rules = [Rule("p50", max_ratio=2.0, confidence=0.999)]
    for release, verdict in ((bad(3, FAULTS[2]), Verdict.FAIL), (replace(good(3), rate=200.0), Verdict.PASS)):
        seen = counted(replace(release, steps=((1.0, 30.0),)), 1.0)
        samples = [Sample(5000 + m.at, 0.0 if m.at <= 0 else 100.0, m) for m in seen.measurements]
        assert replayed(rules, samples, GREEN).verdict is verdict
