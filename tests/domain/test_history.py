"""Windows over measurements: what is kept, and that what was judged once is judged the same a second later."""

from __future__ import annotations

from itertools import pairwise

from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.history import History
from greenroom.domain.model import Colour

BLUE, GREEN = Colour.BLUE, Colour.GREEN


def steady(seconds: float, tick: float = 0.25, rate: int = 100, begin: float = 0.0) -> History:
    """Both colours get `rate` requests a second; green from `begin` on."""
    history = History()
    for n in range(int(seconds / tick) + 1):
        at = n * tick
        green = round(max(0.0, at - begin) * rate)
        history = history.add(Measurement(at, "a", Figures(round(at * rate)), Figures(green)))
    return history


def test_a_bake_of_a_day_keeps_some_hundred_samples_and_all_its_requests() -> None:
    history = steady(86_400.0, tick=15.0)
    assert len(history.samples) < 400
    assert history.window(GREEN).requests == 8_640_000
    assert history.window(GREEN, 60.0).requests == 6000


def test_what_is_kept_is_dense_at_the_end() -> None:
    history = steady(600.0)
    ages = [history.samples[-1].at - sample.at for sample in history.samples]
    assert sum(age <= 7 for age in ages) == 29
    assert 30 <= sum(7 < age <= 40 for age in ages) <= 34
    gaps = [(a - b, a) for a, b in pairwise(ages[1:])]
    assert all(gap <= max(1.25, age / 10) for gap, age in gaps)


def test_a_sample_that_is_kept_late_was_kept_before() -> None:
    history, known = History(), set[float]()
    for n in range(1200):
        history = history.add(Measurement(n * 0.25, "a", Figures(n)))
        kept = {sample.at for sample in history.samples}
        assert kept <= known | {n * 0.25}
        known = kept


def test_the_first_request_is_remembered_and_not_what_was_before_the_base() -> None:
    history = steady(20.0, begin=5.0)
    assert 5.0 <= history.first[GREEN] <= 5.25
    counted = History().add(Measurement(0, "a", green=Figures(500))).add(Measurement(1, "a", green=Figures(500)))
    assert GREEN not in counted.first
    assert GREEN in counted.add(Measurement(2, "a", green=Figures(501))).first


def test_a_mark_whenever_the_requests_have_grown_by_half() -> None:
    history, looks = History(), []
    for n in range(200):
        history = history.add(Measurement(n * 0.1, "a", green=Figures(n * 10)))
        if GREEN in history.marks and (not looks or history.marks[GREEN].look != looks[-1][0]):
            looks.append((history.marks[GREEN].look, history.marks[GREEN].sample.green.requests))
    assert looks[:4] == [(1, 20), (2, 30), (3, 50), (4, 70)]
    assert BLUE not in history.marks


def test_blocks_are_whole_seconds_and_add_up() -> None:
    history = steady(300.0)
    blocks = history.blocks(BLUE, history.samples[0], history.samples[-1])
    assert 15 <= len(blocks) <= 40
    assert sum(block.requests for block in blocks) == 30_000
    short = history.blocks(BLUE, history.since(294.0), history.samples[-1])
    assert [block.requests for block in short] == [100] * 6


def test_shielded_failures_survive_windows_and_resets() -> None:
    history = History().add(Measurement(0, "a", green=Figures(100, 5, shielded=2)))
    history = history.add(Measurement(1, "a", green=Figures(200, 15, shielded=6)))
    history = history.add(Measurement(2, "b", green=Figures(10, 3, shielded=1)))
    assert history.window(GREEN) == Figures(110, 13, shielded=5)


def test_ft_50_buckets_that_appear_later_are_no_error() -> None:
    history = History().add(Measurement(0, "a"))
    history = history.add(Measurement(1, "a", green=Figures(3, 0, {}, ((5.0, 2), (float("inf"), 3)))))
    history = history.add(Measurement(2, "a", green=Figures(5, 0, {}, ((5.0, 3), (9.0, 4), (float("inf"), 5)))))
    assert history.window(GREEN).latency[-1] == (float("inf"), 5)
