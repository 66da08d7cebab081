"""Whole releases by DNS: the engine on a clock that nobody waits for, Route 53 with name servers that follow it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from greenroom.adapters.routers.route53 import Route53Router
from greenroom.domain.model import Colour, Split
from greenroom.domain.phases import Phase
from greenroom.domain.plan import Plan, Step
from greenroom.domain.records import Judged, Moved
from tests.engine.stage import Stage
from tests.rigs import aws_front
from tests.rigs import route53_stage as names

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("moto")]
PLAN = Plan(bake=30.0, keep_warm=0.0, drain=60.0, ready_within=20.0, checks=("smoke",))
TTL = 60.0


@pytest.fixture(scope="module")
def upstream() -> Iterator[tuple[str, int]]:
    with aws_front.moto() as address:
        yield address


@pytest.fixture
def zones(tmp_path: Path, upstream: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[names.Stage]:
    aws_front.nobody(monkeypatch)
    with names.Stage(tmp_path, upstream, ttl="60s", drain="60s", settle="60s", observe=None) as one:
        yield one


@pytest.fixture
def stage(zones: names.Stage) -> Stage:
    made = Stage(plan=PLAN)
    clock = made.clock.now
    router = Route53Router(zones.configured(), zones.place, now=clock, steady=clock, client=zones.client)
    made.adapters = replace(made.adapters, router=router)
    assert made.deploy("1.0", bake=0.0)
    assert made.until_ended().phase is Phase.SUCCEEDED, made.story()
    return made


def split_of(zones: names.Stage) -> tuple[int, int]:
    weights = zones.weights()
    return weights["greenroom-shop-blue"], weights["greenroom-shop-green"]


def seen_live(stage: Stage) -> list[tuple[float, int]]:
    """When the router was seen to serve what share of green."""
    found = []
    for entry in stage.journal.read():
        match entry.record:
            case Judged(subject="live", memo=memo):
                found.append((entry.at, int(memo["green"])))
    return found


def test_a_release_goes_no_faster_than_what_resolvers_remember(stage: Stage, zones: names.Stage) -> None:
    zones.calls()
    told: list[tuple[float, int]] = []
    seen = [0]
    began = stage.clock.now()
    stage.deploy("2.0", steps=PLAN_STEPS)

    def watch(_: Stage) -> bool:
        changes = zones.cloud.calls.count("ChangeResourceRecordSets")
        if changes > seen[0] and (green := split_of(zones)[1]) != (told[-1][1] if told else 0):
            told.append((stage.clock.now(), green))
        seen[0] = changes
        release = stage.service.release
        return release is not None and not release.running

    assert stage.run(900, watch), stage.story()
    assert stage.service.release is not None
    assert stage.service.release.phase is Phase.SUCCEEDED, stage.story()
    assert [green for _, green in told] == [10, 50, 100]
    live = [(at, green) for at, green in seen_live(stage) if at > began]
    assert [green for _, green in live] == [10, 50, 100]
    for (asked, _), (at, _) in zip(told, live, strict=True):
        assert at >= asked + TTL
    made = zones.calls()
    polls = [name for name in made if name in ("ListResourceRecordSets", "GetChange")]
    assert len(made) - len(polls) <= 60
    assert len(polls) <= (stage.clock.now() - began) / 5 + 60
    # What served before is kept until nobody can be led there any more, and for `drain` after that.
    end = live[-1][0]
    assert stage.run(600, lambda _: not stage.environment.observe(Colour.BLUE).present), stage.story()
    assert stage.clock.now() >= end + PLAN.drain


PLAN_STEPS = Plan(steps=(Step(10, 3.0), Step(50, 3.0), Step(100))).document()["steps"]


def test_a_rollback_is_over_when_the_last_answer_is_forgotten(stage: Stage, zones: names.Stage) -> None:
    stage.deploy("2.0")
    assert stage.run(400, stage.in_phase(Phase.BAKE)), stage.story()
    asked = stage.clock.now()
    stage.request("rollback")
    assert stage.run(10, lambda _: split_of(zones) == (100, 0)), stage.story()
    assert stage.until_ended().phase is Phase.ROLLED_BACK, stage.story()
    [at] = [at for at, green in seen_live(stage) if at > asked and green == 0]
    assert asked + TTL <= at <= asked + 2 * TTL + 10


def test_a_change_that_never_comes_into_sync_goes_back(stage: Stage, zones: names.Stage) -> None:
    stage.run(200)
    zones.cloud.held = True
    stage.deploy("2.0")
    assert stage.run(900, lambda one: one.in_phase(Phase.ROLLING_BACK)(one)), stage.story()
    why = [
        e.record.why for e in stage.journal.read() if isinstance(e.record, Moved) and e.record.to is Phase.ROLLING_BACK
    ]
    assert "PENDING" in why[-1] or "did not follow within" in why[-1]
    zones.cloud.held = False
    zones.cloud.bring()
    assert stage.until_ended().phase is Phase.ROLLED_BACK, stage.story()
    assert split_of(zones) == (100, 0)
    assert stage.adapters.router.observe().live == Split.all_to(Colour.BLUE)
