"""What every analyser promises, as tests: subclass `AnalyserContract` and give it a `bench`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

import pytest

from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.model import Colour
from greenroom.errors import Temporary
from greenroom.ports import Analyser, Capability

PATIENCE = 60.0
"""Seconds within which the figures follow the requests, on a busy machine."""
BLUE, GREEN = Colour.BLUE, Colour.GREEN


class AnalyserBench(Protocol):
    """What the contract needs to know beside the port. All users go to blue, the test route leads to green."""

    def analyser(self) -> Analyser:
        """Each call as another process would make it."""

    def request(self, status: int = 200, *, ms: int = 0, test: bool = False) -> None:
        """One request, answered with this status, after so many milliseconds; returns when it is answered."""

    def unanswered(self) -> None:
        """One request of a user to blue that gets no answer from it."""

    def restart(self) -> None:
        """What counts is started anew."""

    def stop(self) -> None:
        """What counts is stopped."""

    def pause(self) -> None:
        """Let a little time pass."""

    # The rest is asked for only where the analyser has the capability.

    def copy(self) -> None:
        """From now on all requests of users are copied to green. MIRROR."""

    def shielded(self, requests: int) -> None:
        """So many requests of users fail on blue and are answered by green; blue is as it was when it returns. SHIELD."""


class AnalyserContract:
    """A subclass gives a fixture `bench` that returns an `AnalyserBench`, fresh for each test."""

    @pytest.fixture
    def bench(self) -> AnalyserBench:
        raise NotImplementedError("a subclass gives the bench")

    def test_each_request_of_a_user_is_counted_once(self, bench: AnalyserBench) -> None:
        for status in (200, 200, 200, 404, 500, 503):
            bench.request(status)
        bench.unanswered()
        for status in (200, 500):
            bench.request(status, test=True)
        seen = measured(bench, lambda seen: seen.blue.requests >= 7)
        assert seen.blue.requests == 7
        assert seen.blue.errors == 3
        assert (seen.blue.statuses["200"], seen.blue.statuses["404"], seen.blue.statuses["500"]) == (3, 1, 1)
        assert (seen.green.requests, seen.green.errors) == (0, 0)

    def test_the_same_counters_have_the_same_name_and_never_shrink(self, bench: AnalyserBench) -> None:
        bench.request()
        first = measured(bench, lambda seen: seen.blue.requests == 1)
        bench.request()
        second = measured(bench, lambda seen: seen.blue.requests == 2)
        assert first.incarnation == second.incarnation != ""
        assert first.at < second.at

    def test_counters_that_began_anew_say_so(self, bench: AnalyserBench) -> None:
        bench.request()
        before = measured(bench, lambda seen: seen.blue.requests == 1)
        bench.restart()
        bench.request()
        after = measured(bench, lambda seen: seen.incarnation != before.incarnation)
        assert after.blue.requests <= 1

    def test_latencies_are_cumulative(self, bench: AnalyserBench) -> None:
        if Capability.LATENCY not in bench.analyser().capabilities:
            return
        for _ in range(3):
            bench.request()
        bench.request(ms=400)
        latency = measured(bench, lambda seen: counted(seen.blue) == 4).blue.latency
        bounds, counts = zip(*latency, strict=True)
        assert list(bounds) == sorted(set(bounds))
        assert bounds[-1] == math.inf
        assert list(counts) == sorted(counts)
        assert max(count for bound, count in latency if bound <= 300) == 3
        assert next(count for bound, count in latency if bound >= 30_000) == 4

    def test_copies_are_counted_apart(self, bench: AnalyserBench) -> None:
        if Capability.MIRROR not in bench.analyser().capabilities:
            return
        bench.request()
        bench.copy()
        for status in (200, 200, 404, 503):
            bench.request(status)
        bench.request(test=True)
        seen = measured(bench, lambda seen: counted(seen.mirrored) == 4 and counted(seen.blue) == 5)
        assert (seen.mirrored.requests, seen.mirrored.errors) == (4, 1)
        assert dict(seen.mirrored.statuses) == {"200": 2, "404": 1, "503": 1}
        assert (seen.blue.requests, seen.green.requests) == (5, 0)

    def test_what_the_other_colour_had_to_answer_counts_against_this_one(self, bench: AnalyserBench) -> None:
        if Capability.SHIELD not in bench.analyser().capabilities:
            return
        bench.request()
        bench.shielded(20)
        bench.request()
        seen = measured(bench, lambda seen: seen.blue.requests >= 22 and counted(seen.blue) >= 2)
        assert (seen.blue.requests, seen.blue.errors, seen.blue.shielded) == (22, 20, 20)
        assert (dict(seen.blue.statuses), counted(seen.blue)) == ({"200": 2}, 2)
        assert (seen.green.requests, seen.green.errors) == (0, 0)

    def test_no_data_is_no_measurement(self, bench: AnalyserBench) -> None:
        bench.stop()
        with pytest.raises(Temporary):
            bench.analyser().measure()


def counted(figures: Figures) -> int:
    return figures.latency[-1][1] if figures.latency else 0


def measured(bench: AnalyserBench, true: Callable[[Measurement], bool]) -> Measurement:
    """What is measured when it has come true."""
    analyser = bench.analyser()
    deadline = time.monotonic() + PATIENCE
    while not true(seen := analyser.measure()):
        assert time.monotonic() < deadline, seen
        bench.pause()
    return seen
