"""The tests behind `confidence`, against sums that anybody can do, and against each other."""

from __future__ import annotations

import math
import random
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.domain.statistics import (
    GROWTH,
    binomial_tail,
    clopper_pearson,
    design_effect,
    look_at,
    more_often,
    normal_tail,
    rank_sum,
    spent,
)


def summed(least: int, n: int, p: float) -> float:
    return math.fsum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(least, n + 1))


@given(st.integers(0, 120), st.integers(0, 120), st.floats(0.001, 0.999))
def test_the_binomial_tail_is_the_sum_of_its_terms(least: int, n: int, p: float) -> None:
    assert binomial_tail(least, n, p) == pytest.approx(summed(least, n, p), rel=1e-9, abs=1e-13)


def test_the_binomial_tail_of_a_million() -> None:
    assert binomial_tail(500_000, 1_000_000, 0.5) == pytest.approx(0.5 + 0.0004, abs=1e-4)
    assert 0.0 <= binomial_tail(900_000, 1_000_000, 0.5) < 1e-300
    assert binomial_tail(100_000, 1_000_000, 0.5) == 1.0


def test_the_edges_of_the_binomial_tail() -> None:
    assert binomial_tail(0, 5, 0.1) == 1.0
    assert binomial_tail(6, 5, 0.9) == 0.0
    assert binomial_tail(1, 5, 0.0) == 0.0
    assert binomial_tail(5, 5, 1.0) == 1.0


def test_more_often_by_hand() -> None:
    """Five errors of as many requests, none at the baseline: each was as likely the other's."""
    assert more_often(5, 100, 0, 100) == pytest.approx(0.5**5)
    assert more_often(5, 100, 0, 100, ratio=2.0) == pytest.approx((2 / 3) ** 5)
    assert more_often(5, 300, 0, 100) == pytest.approx(0.75**5)
    assert more_often(0, 100, 50, 100) == 1.0
    assert more_often(5, 100, 0, 0) == 1.0


def test_what_comes_in_bunches_counts_for_less() -> None:
    assert more_often(50, 100, 0, 100, spread=10.0) == pytest.approx(0.5**5)
    assert more_often(50, 100, 1, 100, spread=10.0) == pytest.approx(summed(5, 6, 0.5)), "rounded for the candidate"


def permuted(ours: list[float], usual: list[float]) -> float:
    """The share of all ways to deal these values in which the first sample ranks at least as high."""
    values = ours + usual

    def larger(chosen: tuple[int, ...]) -> float:
        mine = [values[i] for i in chosen]
        rest = [v for i, v in enumerate(values) if i not in chosen]
        return sum((a > b) + (a == b) / 2 for a in mine for b in rest)

    ways = [larger(chosen) for chosen in combinations(range(len(values)), len(ours))]
    return sum(way >= larger(tuple(range(len(ours)))) - 1e-9 for way in ways) / len(ways)


@pytest.mark.parametrize("seed", range(12))
def test_the_rank_sum_agrees_with_all_permutations(seed: int) -> None:
    dice = random.Random(seed)
    ours = [float(dice.randint(1, 6)) + seed % 3 for _ in range(8)]
    usual = [float(dice.randint(1, 6)) for _ in range(8)]
    bins = sorted({*ours, *usual})
    found = rank_sum([ours.count(b) for b in bins], [usual.count(b) for b in bins])
    assert found == pytest.approx(permuted(ours, usual), abs=0.02)


def test_the_rank_sum_without_any_difference_or_data() -> None:
    assert rank_sum([10], [10]) == 1.0
    assert rank_sum([], []) == 1.0
    assert rank_sum([0, 0], [3, 4]) == 1.0
    assert rank_sum([50, 50], [50, 50]) == pytest.approx(0.5, abs=0.01)


def test_the_normal_tail() -> None:
    assert normal_tail(0) == 0.5
    assert normal_tail(1.959964) == pytest.approx(0.025, rel=1e-5)
    assert normal_tail(8) == pytest.approx(6.2e-16, rel=0.01)


def test_independent_blocks_have_little_design_effect_and_a_burst_has_much() -> None:
    dice = random.Random(3)
    even = [(100, sum(dice.random() < 0.1 for _ in range(100)) / 100) for _ in range(30)]
    assert 1.0 <= design_effect(even, 0.09) < 2.5
    assert design_effect([(100, 0.0)] * 9 + [(100, 1.0)], 0.09) > 50
    assert design_effect([(100, 0.3)], 0.21) == 1.0
    assert design_effect([(100, 1.0)] * 5, 0.0) == 1.0


def test_all_looks_together_spend_no_more_than_there_is() -> None:
    assert sum(spent(look) for look in range(1, 100_000)) < 1.0
    assert spent(1) == 0.5


def test_a_look_is_due_whenever_the_data_have_grown_by_half() -> None:
    due = [n for n in range(1, 1000) if look_at(n, 20) > look_at(n - 1, 20)]
    assert due[:4] == [20, 30, 45, 68]
    assert all(after / before < GROWTH + 0.04 for before, after in pairwise(due))
    assert look_at(19, 20) == 0


def test_the_false_alarms_of_all_looks_together_keep_their_promise() -> None:
    """A sequence of looks at data without any difference, stopped at the first alarm: as rare as was asked for."""
    dice = random.Random(11)
    alarms, runs, allowed = 0, 1500, 0.1
    for _ in range(runs):
        bad = [0, 0]
        looked = 0
        for n in range(1, 400):
            for side in (0, 1):
                bad[side] += dice.random() < 0.1
            if look_at(n, 20) > looked:
                looked = look_at(n, 20)
                if more_often(bad[0], n, bad[1], n) <= allowed * spent(looked):
                    alarms += 1
                    break
    low, _ = clopper_pearson(alarms, runs, 0.99)
    assert low <= allowed
    assert alarms > 0, "a test that never alarms would keep any promise"


def test_the_interval_of_clopper_and_pearson() -> None:
    assert clopper_pearson(0, 100) == (0.0, pytest.approx(0.036217, abs=1e-6))
    assert clopper_pearson(5, 100) == (pytest.approx(0.016432, abs=1e-6), pytest.approx(0.112835, abs=1e-6))
    assert clopper_pearson(100, 100)[1] == 1.0
