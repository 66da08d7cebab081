"""What every migrator promises, as tests: subclass `MigratorContract` and give it a `bench`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol

import pytest

from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.schema import Order, Ruling, SchemaState, Stage, Stand
from greenroom.errors import PortError
from greenroom.ports import Migrator

PATIENCE = 60.0
"""Seconds that a stage on the bench may take on a busy machine."""


class MigratorBench(Protocol):
    """What the contract needs to know of a migrator beside its port. Its database begins without any migration."""

    service: str

    def migrator(self) -> Migrator:
        """Each call as another process would make the same one."""

    def bring(self, kind: str) -> None:
        """The migrations that the next release comes with.

        `good`: one with an expand of several statements, a backfill, and nothing that is refused. `changed`: the same name
        with another expand. `harmful`: an expand that no running version could live with. `wrong`: files with a mistake
        that can be told without a server.
        """

    def schema(self) -> object:
        """Of users' tables, seen without the adapter; equal if nothing has changed."""

    def expanded(self) -> bool:
        """The expand of `good` is whole: seen without the adapter."""

    def filled(self) -> bool:
        """So is its backfill."""

    def hindered(self) -> AbstractContextManager[object]:
        """While it is entered, the first statement of `good`'s expand cannot get on, and is tried again."""

    def working(self) -> int:
        """How many processes are at work for the migrator, seen without it."""

    def kill(self) -> None:
        """End them as `kill -9` does."""

    def unreachable(self) -> Migrator:
        """One whose database is not there."""


class MigratorContract:
    """A subclass gives a fixture `bench` that returns a `MigratorBench`, fresh for each test."""

    @pytest.fixture
    def bench(self) -> MigratorBench:
        raise NotImplementedError("a subclass gives the bench")

    def test_looking_changes_nothing(self, bench: MigratorBench) -> None:
        before = bench.schema()
        bench.bring("good")
        assert bench.migrator().observe(bench.service) == SchemaState()
        ruled = bench.migrator().judge(tuple(Stage), order(bench))
        assert ruled
        assert all(one.file and one.ruling is not Ruling.REFUSE for one in ruled)
        assert bench.schema() == before

    def test_the_stages_come_to_their_end_and_are_recorded(self, bench: MigratorBench) -> None:
        bench.bring("good")
        for stage, done in ((Stage.EXPAND, bench.expanded), (Stage.BACKFILL, bench.filled)):
            assert drive(bench, stage).verdict is Verdict.PASS
            assert done()
        parts = {part.stage: part for part in bench.migrator().observe(bench.service).parts}
        assert {parts[stage].stand for stage in (Stage.EXPAND, Stage.BACKFILL)} == {Stand.DONE}
        assert (parts[Stage.EXPAND].release, parts[Stage.EXPAND].version, parts[Stage.EXPAND].by) == (
            "r-1",
            "42",
            "ann",
        )

    def test_what_is_done_is_not_done_again(self, bench: MigratorBench) -> None:
        bench.bring("good")
        drive(bench, Stage.EXPAND)
        before, state = bench.schema(), bench.migrator().observe(bench.service)
        assert drive(bench, Stage.EXPAND).verdict is Verdict.PASS
        assert drive(bench, Stage.EXPAND, order(bench, release="r-2", epoch=2)).verdict is Verdict.PASS
        assert bench.schema() == before
        assert bench.migrator().observe(bench.service) == state

    def test_a_refusal_says_where_and_leaves_the_schema(self, bench: MigratorBench) -> None:
        before = bench.schema()
        bench.bring("harmful")
        assert any(one.ruling is Ruling.REFUSE for one in bench.migrator().judge([Stage.EXPAND], order(bench)))
        finding = drive(bench, Stage.EXPAND)
        assert finding.verdict is Verdict.FAIL
        assert finding.reason
        assert all(line.isprintable() for line in (finding.reason, *finding.evidence))
        assert bench.schema() == before

    def test_what_has_changed_since_it_ran_is_refused(self, bench: MigratorBench) -> None:
        bench.bring("good")
        drive(bench, Stage.EXPAND)
        before = bench.schema()
        bench.bring("changed")
        assert drive(bench, Stage.EXPAND, order(bench, release="r-2", epoch=2)).verdict is Verdict.FAIL
        assert bench.schema() == before

    def test_mistakes_are_found_without_a_server(self, bench: MigratorBench) -> None:
        bench.bring("good")
        assert bench.migrator().problems() == []
        bench.bring("wrong")
        assert bench.migrator().problems()

    def test_a_release_keeps_what_it_was_asked_with(self, bench: MigratorBench) -> None:
        """Whatever the folder holds later, and whatever was kept for requests that were never written down."""
        bench.bring("harmful")
        bench.migrator().pin("r-1")
        bench.bring("good")
        pinned = bench.migrator().pin("r-1")
        bench.bring("harmful")
        bench.migrator().pin("r-1")
        assert drive(bench, Stage.EXPAND, order(bench, pinned=pinned)).verdict is Verdict.PASS
        assert bench.expanded()

    def test_who_comes_after_a_crash_goes_on_where_the_other_was(self, bench: MigratorBench) -> None:
        bench.bring("good")
        assert drive(bench, Stage.EXPAND, crashing=True).verdict is Verdict.PASS
        assert bench.expanded()

    def test_work_that_is_killed_is_begun_again(self, bench: MigratorBench) -> None:
        bench.bring("good")
        with bench.hindered():
            memo = begun(bench)
            bench.kill()
        assert drive(bench, Stage.EXPAND, memo=memo).verdict is Verdict.PASS
        assert bench.expanded()

    def test_it_is_begun_once_though_the_memo_was_lost(self, bench: MigratorBench) -> None:
        bench.bring("good")
        with bench.hindered():
            begun(bench)
            assert bench.migrator().advance(Stage.EXPAND, order(bench), None).verdict is Verdict.WAIT
            assert bench.working() == 1
            bench.migrator().withdraw(Stage.EXPAND, order(bench), None)

    def test_a_strange_memo_does_no_harm(self, bench: MigratorBench) -> None:
        bench.bring("good")
        for memo in ({}, {"starts": "many"}, {"job": {"pid": 1}}):
            assert bench.migrator().advance(Stage.EXPAND, order(bench), memo).verdict in (Verdict.PASS, Verdict.WAIT)
        assert drive(bench, Stage.EXPAND).verdict is Verdict.PASS

    def test_withdraw_ends_what_was_begun_and_may_be_said_twice(self, bench: MigratorBench) -> None:
        """The schema is as it was, or as a whole statement has left it; a later release goes on."""
        bench.bring("good")
        bench.migrator().withdraw(Stage.EXPAND, order(bench), None)
        with bench.hindered():
            memo = begun(bench)
            bench.migrator().withdraw(Stage.EXPAND, order(bench), memo)
            bench.migrator().withdraw(Stage.EXPAND, order(bench), memo)
            assert bench.working() == 0
        assert drive(bench, Stage.EXPAND, order(bench, release="r-2", epoch=2)).verdict is Verdict.PASS
        assert bench.expanded()

    def test_an_older_lease_changes_nothing_any_more(self, bench: MigratorBench) -> None:
        bench.bring("good")
        drive(bench, Stage.EXPAND, order(bench, release="r-2", epoch=2))
        state = bench.migrator().observe(bench.service)
        with suppress(PortError):
            assert drive(bench, Stage.BACKFILL, order(bench, epoch=1)).verdict is Verdict.FAIL
        assert not bench.filled()
        assert bench.migrator().observe(bench.service) == state

    def test_the_way_back_is_announced_and_taken_back(self, bench: MigratorBench) -> None:
        bench.bring("good")
        assert bench.migrator().hold(order(bench), True).verdict is Verdict.PASS
        drive(bench, Stage.EXPAND)
        for _ in range(2):
            assert bench.migrator().hold(order(bench), True).verdict is Verdict.PASS
            assert bench.migrator().hold(order(bench), False).verdict is Verdict.PASS

    def test_a_database_that_is_not_there(self, bench: MigratorBench) -> None:
        """Is looked at without an error, and is no reason to say that anything was done."""
        bench.bring("good")
        gone = bench.unreachable()
        assert gone.observe(bench.service).unseen
        assert not gone.observe(bench.service).parts
        assert gone.problems() == []
        with pytest.raises(PortError):
            gone.hold(order(bench), True)


def order(bench: MigratorBench, *, release: str = "r-1", epoch: int = 1, **more: Any) -> Order:
    colours = {"blue": "41", "green": "42"}
    return Order(bench.service, release, "42", "ann", epoch, 1_795_608_000.0, running="41", colours=colours, **more)


def begun(bench: MigratorBench) -> Document | None:
    """The expand is at work; the memo of who asked."""
    finding = bench.migrator().advance(Stage.EXPAND, order(bench), None)
    assert finding.verdict is Verdict.WAIT
    until(lambda: bench.working() == 1)
    return finding.memo


def drive(
    bench: MigratorBench,
    stage: Stage,
    given: Order | None = None,
    *,
    memo: Document | None = None,
    crashing: bool = False,
) -> Finding:
    """Ask until there is a verdict; with `crashing`, each time by somebody new."""
    migrator, given = bench.migrator(), given or order(bench)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        finding = migrator.advance(stage, given, memo)
        if finding.verdict is not Verdict.WAIT:
            return finding
        assert finding.again_after > 0, "WAIT says when to ask again"
        assert finding.reason
        memo = None if finding.memo is None else json.loads(json.dumps(finding.memo))
        migrator = bench.migrator() if crashing else migrator
        time.sleep(min(finding.again_after, 0.1))
    raise AssertionError(f"no verdict within {PATIENCE:g} s")


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to be")
