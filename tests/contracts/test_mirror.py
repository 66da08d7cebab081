"""The check `mirror` keeps the contract of its port, and judges what was counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from greenroom.adapters.checks.mirror import MirrorCheck
from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.errors import Temporary
from greenroom.ports import Check, Place
from greenroom.testing.contracts.check import CheckContract

PLACE = Place("shop", Path("/srv/greenroom.yaml"), Path("/srv/.greenroom"))
CASE = Case("r-7", "2", Colour.GREEN, "http://127.0.0.1:1", public="http://127.0.0.1:2")
BOUNDS = (1.0, 5.0, 10.0, 20.0, 50.0, 100.0, float("inf"))


def figures(requests: int, errors: int = 0, refused: int = 0, ms: float = 5.0, slow: int = 0) -> Figures:
    """`slow` of them took 90 ms, the others at most `ms`."""
    latency = tuple((b, (0 if b < ms else requests - slow if b < 90 else requests)) for b in BOUNDS)
    statuses = {"200": requests - errors - refused, "404": refused, "500": errors}
    return Figures(requests, errors, {code: n for code, n in statuses.items() if n}, latency)


class Counting:
    """An analyser whose time goes on by a second with each look; nothing else is counted than what it is given."""

    capabilities = frozenset()

    def __init__(self, copies: Figures, live: Figures, seconds: float = 1.0) -> None:
        self.at, self.incarnation, self.looks, self._seconds = 1000.0, "one", 0, seconds
        self._before = {"blue": figures(500, 3), "mirrored": figures(7, 2)}
        self._since = {"blue": live, "mirrored": copies}

    def measure(self) -> Measurement:
        self.looks += 1
        self.at += self._seconds
        now = self._before
        if self.looks > 1:
            now = {name: _sum(before, self._since[name]) for name, before in self._before.items()}
        return Measurement(self.at, self.incarnation, blue=now["blue"], mirrored=now["mirrored"])


def _sum(a: Figures, b: Figures) -> Figures:
    statuses: Mapping[str, int] = {c: a.statuses.get(c, 0) + b.statuses.get(c, 0) for c in {*a.statuses, *b.statuses}}
    latency = tuple((bound, n + m) for (bound, n), (_, m) in zip(a.latency, b.latency, strict=True))
    return Figures(a.requests + b.requests, a.errors + b.errors, statuses, latency)


def asked(copies: Figures, live: Figures, **settings: Any) -> Finding:
    check = MirrorCheck(MirrorCheck.Settings(duration="3s", **settings), PLACE, Counting(copies, live))
    memo = None
    for _ in range(10):
        finding = check.ask(CASE, memo)
        if finding.verdict is not Verdict.WAIT:
            return finding
        memo = finding.memo
    raise AssertionError("no verdict")


class Bench:
    """It begins nothing in the world: one window of counters is all that there is, seen by how often they were read."""

    def __init__(self) -> None:
        self._counting = Counting(figures(100), figures(1000), 0.5)
        self._bad = Counting(figures(100, 100), figures(1000), 0.5)

    def check(self, opinion: Verdict) -> Check:
        counting = self._counting if opinion is Verdict.PASS else self._bad
        return MirrorCheck(MirrorCheck.Settings(duration="2s"), PLACE, counting)

    def endless(self) -> Check | None:
        return None

    def case(self) -> Case:
        return CASE

    def begun(self) -> int:
        return (self._counting.looks - 1) // 4

    def running(self) -> int:
        return 0


class TestMirror(CheckContract):
    @pytest.fixture
    def bench(self) -> Bench:
        return Bench()


GOOD = figures(1000, 1, 20)


@pytest.mark.parametrize(
    ("copies", "live", "settings", "verdict", "text"),
    [
        (figures(100, 0, 2), GOOD, {}, Verdict.PASS, "copies: 0 % errors (0 of 100 requests), p50 5 ms"),
        (figures(100, 1), GOOD, {}, Verdict.PASS, "users: 0.1 % errors (1 of 1000 requests), p50 5 ms"),
        (figures(100, 5), GOOD, {}, Verdict.FAIL, "5 of 100 copies failed: more than 1 %"),
        (figures(100, 40), figures(1000, 400), {"max_error_rate": "50%"}, Verdict.PASS, "40 %"),
        (figures(100, 40), figures(1000, 50), {"max_error_rate": "50%"}, Verdict.FAIL, "40 % of the copies failed"),
        (figures(100, 0, 90), GOOD, {}, Verdict.FAIL, "90 % of the copies were refused (4xx), of users' requests 2 %"),
        (figures(100, 0, 0, 50.0), GOOD, {}, Verdict.FAIL, "p50 of the copies 50 ms, of users' requests 5 ms"),
        (figures(100, 0, 0, 10.0), GOOD, {}, Verdict.PASS, "p50 10 ms"),
        (figures(100, slow=20), GOOD, {}, Verdict.FAIL, "p99 of the copies 100 ms, of users' requests 5 ms"),
        (figures(100, slow=20), figures(1000, slow=200), {}, Verdict.PASS, "p99 100 ms"),
        (figures(100, slow=20), GOOD, {"max_ratio": 20}, Verdict.PASS, "p99 100 ms"),
        (figures(49), GOOD, {}, Verdict.UNKNOWN, "49 of the 50 copies that a verdict needs, in 3 s"),
        (figures(0), GOOD, {"no_data": "ignore"}, Verdict.PASS, "0 of the 50 copies"),
        (figures(0), GOOD, {"no_data": "fail"}, Verdict.FAIL, "0 of the 50 copies"),
        (figures(4, 1), GOOD, {"min_requests": 4}, Verdict.FAIL, "1 of 4 copies failed"),
    ],
)
def test_what_was_counted_is_judged(
    copies: Figures, live: Figures, settings: dict[str, Any], verdict: Verdict, text: str
) -> None:
    finding = asked(copies, live, **settings)
    assert (finding.verdict, text in finding.reason) == (verdict, True), finding
    if verdict is Verdict.FAIL and copies.requests:
        assert [line.partition(":")[0] for line in finding.evidence] == ["copies", "users"]


def test_progress_is_shown_and_the_memo_stays_the_same() -> None:
    check = MirrorCheck(MirrorCheck.Settings(duration="30s"), PLACE, Counting(figures(12), GOOD))
    first = check.ask(CASE, None)
    second = check.ask(CASE, first.memo)
    assert (first.reason, second.reason) == ("0 copies, 0 s of 30s", "12 copies, 1 s of 30s")
    assert first.memo == second.memo


def test_counters_that_began_anew_begin_the_time_anew_and_not_for_ever() -> None:
    counting = Counting(figures(100), GOOD)
    check = MirrorCheck(MirrorCheck.Settings(duration="2s"), PLACE, counting)
    finding = check.ask(CASE, None)
    for number in range(3):
        counting.incarnation = f"again-{number}"
        finding = check.ask(CASE, finding.memo)
        assert (finding.verdict, finding.reason) == (Verdict.WAIT, "0 copies, 0 s of 2s")
    counting.incarnation = "and again"
    finding = check.ask(CASE, finding.memo)
    assert finding.verdict is Verdict.UNKNOWN
    assert "started again and again" in finding.reason


def test_where_nothing_is_live_there_is_nothing_to_copy() -> None:
    counting = Counting(figures(0), figures(0))
    finding = MirrorCheck(MirrorCheck.Settings(), PLACE, counting).ask(replace(CASE, public=""), None)
    assert (finding.verdict, counting.looks) == (Verdict.PASS, 0)


def test_a_router_that_cannot_be_read_is_no_verdict() -> None:
    class Dead(Counting):
        def measure(self) -> Measurement:
            raise Temporary("the proxy does not answer")

    with pytest.raises(Temporary):
        MirrorCheck(MirrorCheck.Settings(), PLACE, Dead(GOOD, GOOD)).ask(CASE, None)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"share": 10}, "10 has no unit"),
        ({"share": "0.5%"}, "write whole percents, from 1% to 100%"),
        ({"share": 0}, "0% cannot be copied"),
        ({"duration": 30}, "30 has no unit"),
        ({"max_ratio": 0.5}, "greater than or equal to 1"),
        ({"no_data": "pass"}, "'unknown', 'ignore' or 'fail'"),
        ({"shares": "1%"}, "Extra inputs"),
    ],
)
def test_what_is_wrong_is_said(document: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        MirrorCheck.Settings.model_validate(document)
    assert text in str(caught.value)
