"""What every check promises, as tests: subclass `CheckContract` and give it a `bench`."""

from __future__ import annotations

import json
import time
from typing import Protocol

import pytest

from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Check

PATIENCE = 60.0
"""Seconds that a check on the bench may take on a busy machine."""


class CheckBench(Protocol):
    """What the contract needs to know of a check beside its port."""

    def check(self, opinion: Verdict) -> Check:
        """A check that comes to PASS or FAIL; each call as another process would make the same one."""

    def endless(self) -> Check | None:
        """One that stays at WAIT for minutes; None if this kind of check never begins anything that lasts."""

    def case(self) -> Case: ...

    def begun(self) -> int:
        """How often the world was really asked (a job started, a request received), seen without the adapter."""

    def running(self) -> int:
        """How much of what was begun is still there, seen without the adapter."""


class CheckContract:
    """A subclass gives a fixture `bench` that returns a `CheckBench`, fresh for each test."""

    @pytest.fixture
    def bench(self) -> CheckBench:
        raise NotImplementedError("a subclass gives the bench")

    def test_it_comes_to_a_verdict(self, bench: CheckBench) -> None:
        assert _drive(bench, Verdict.PASS).verdict is Verdict.PASS
        assert bench.begun() == 1

    def test_a_failure_says_why_in_one_line(self, bench: CheckBench) -> None:
        finding = _drive(bench, Verdict.FAIL)
        assert finding.verdict is Verdict.FAIL
        assert finding.reason
        for line in (finding.reason, *finding.evidence):
            assert line.replace("\t", " ").isprintable()
            assert len(line) <= 1000

    def test_who_comes_after_a_crash_goes_on_where_the_other_was(self, bench: CheckBench) -> None:
        assert _drive(bench, Verdict.PASS, crashing=True).verdict is Verdict.PASS
        assert bench.begun() == 1

    def test_it_is_begun_once_though_the_memo_was_lost(self, bench: CheckBench) -> None:
        check = bench.endless()
        if check is None:
            return
        try:
            assert check.ask(bench.case(), None).verdict is Verdict.WAIT
            again = bench.endless()
            assert again is not None
            assert again.ask(bench.case(), None).verdict is Verdict.WAIT
            _until(lambda: bench.begun() == 1)
        finally:
            check.withdraw(bench.case(), None)

    def test_a_strange_memo_does_no_harm(self, bench: CheckBench) -> None:
        for memo in ({}, {"tries": "many"}, {"job": {"pid": 1}}, {"job": {"pid": 2**40, "started": 0, "boot": ""}}):
            check = bench.check(Verdict.PASS)
            assert check.ask(bench.case(), memo).verdict in (Verdict.PASS, Verdict.WAIT)
            check.withdraw(bench.case(), memo)

    def test_withdraw_ends_what_was_begun_and_may_be_said_twice(self, bench: CheckBench) -> None:
        check = bench.endless() or bench.check(Verdict.PASS)
        check.withdraw(bench.case(), None)
        finding = check.ask(bench.case(), None)
        check.withdraw(bench.case(), finding.memo)
        check.withdraw(bench.case(), finding.memo)
        assert bench.running() == 0

    def test_its_name_is_always_the_same(self, bench: CheckBench) -> None:
        names = {bench.check(Verdict.PASS).name for _ in range(3)}
        assert len(names) == 1
        assert all(names)


def _drive(bench: CheckBench, opinion: Verdict, *, crashing: bool = False) -> Finding:
    """Ask until there is a verdict; with `crashing`, each time by somebody new with the memo out of the journal."""
    check, case, memo = bench.check(opinion), bench.case(), None
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        finding = check.ask(case, memo)
        if finding.verdict is not Verdict.WAIT:
            return finding
        assert finding.again_after > 0, "WAIT says when to ask again"
        memo = _journalled(finding.memo)
        check = bench.check(opinion) if crashing else check
        time.sleep(min(finding.again_after, 0.05))
    raise AssertionError(f"no verdict within {PATIENCE:g} s")


def _journalled(memo: Document | None) -> Document | None:
    return None if memo is None else dict(json.loads(json.dumps(memo)))


def _until(true: object) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if callable(true) and true():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to be")
