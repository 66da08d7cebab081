"""The judge against traffic of which the truth is known: how often it accuses a good release, how fast it finds a bad one.

The same seeds at every run, so that a short version can stand in every run of the tests; `make soak` does ten thousand.
The table beside other tools' values is made by `python -m bench judge`.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pytest

from bench.judge import AT_ONCE, GUIDE, RULES, accused
from bench.simulated import CANDIDATE, FAULTS, Fault, Release, bad, counted, good, played
from greenroom.config.schema import DEFAULT_RULES
from greenroom.domain.model import Colour
from greenroom.domain.plan import Rule
from greenroom.domain.statistics import clopper_pearson

SHORT, LONG = range(50_000, 50_040), range(10_000)


def test_forty_good_releases_are_not_accused() -> None:
    assert {seed: found for seed in SHORT if (found := accused(seed))} == {}


@pytest.mark.soak
@pytest.mark.timeout(14_400)
def test_of_ten_thousand_good_releases_at_most_one_in_a_hundred_is_accused() -> None:
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(accused, LONG, chunksize=20))
    for rules in RULES:
        count = sum(rules in one for one in found)
        assert clopper_pearson(count, len(found))[1] <= 0.01, (rules, count)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("fault", "within", "answers"),
    [(FAULTS[0], 0.8, 200), (FAULTS[1], 6.2, 80), (FAULTS[2], 6.2, 1300), (FAULTS[3], 0.8, 200)],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_a_bad_release_is_found(seed: int, fault: Fault, within: float, answers: int) -> None:
    outcome = played(counted(bad(seed, fault)), AT_ONCE)
    assert outcome.at is not None
    assert outcome.at <= within
    assert outcome.bad <= answers


@pytest.mark.parametrize("fault", [FAULTS[0], FAULTS[3]], ids=lambda fault: fault.name)
def test_without_any_analysis_in_the_file_a_broken_release_is_found_too(fault: Fault) -> None:
    outcome = played(counted(bad(1, fault)), DEFAULT_RULES)
    assert outcome.at is not None
    assert outcome.at <= 0.8


def test_what_is_slow_after_its_warm_up_is_found_and_what_only_warms_up_is_not() -> None:
    patient = tuple(replace(rule, warm_up=30.0) for rule in GUIDE)
    cold = replace(good(1), rate=200.0, before=30.0, steps=((1.0, 50.0),), warm_up=(8.0, 6.0), common=(), own={})
    assert played(counted(cold), patient).at is None
    assert played(counted(cold), AT_ONCE).at is not None, "or the warm-up would not have to be told apart"
    outcome = played(counted(replace(cold, fault=FAULTS[2])), patient)
    assert outcome.at is not None
    assert 30 < outcome.at <= 37
    assert "not counted" in outcome.reason


def test_what_goes_bad_late_in_the_bake_is_found() -> None:
    late = replace(FAULTS[2], after=80.0)
    release = replace(bad(2, late), steps=((1.0, 120.0),))
    outcome = played(counted(release, 0.5), GUIDE)
    assert outcome.at is not None
    assert 80 < outcome.at <= 92


def test_the_same_seed_is_the_same_release() -> None:
    assert counted(good(7)).measurements == counted(good(7)).measurements
    assert counted(good(7)).measurements[-1] != counted(good(8)).measurements[-1]


def test_the_simulated_router_counts_what_was_sent() -> None:
    """The truth that the simulations know, seen in the counters: shares, errors, and how slow it was."""
    release = Release(3, rate=400.0, before=20.0, steps=((0.25, 40.0),), errors=0.02, tail=0.0, sigma=0.1, median=44.0)
    last = counted(release).measurements[-1]
    blue, green = last.of(Colour.BLUE), last.of(CANDIDATE)
    assert green.requests == pytest.approx(0.25 * 400 * 40, rel=0.05)
    assert blue.requests == pytest.approx(400 * 20 + 0.75 * 400 * 40, rel=0.05)
    assert green.errors == pytest.approx(0.02 * green.requests, rel=0.4)
    assert green.latency[-1][1] == green.requests
    within = dict(green.latency)
    assert within[30.0] < 0.05 * green.requests
    assert within[75.0] > 0.95 * green.requests


def test_the_known_truth_matters_more_than_the_rules() -> None:
    """The same noise with a margin that the fault does not reach: not accused; with one that it does: found."""
    mild = Fault("1.6 times as slow", slower=1.6)
    seen = counted(replace(bad(4, mild), warm_up=(0.0, 1.0)), 0.5)
    wide = Rule("p50", max_ratio=2.5, confidence=0.999)
    assert played(seen, [wide]).at is None
    assert played(seen, [replace(wide, max_ratio=1.1)]).at is not None
