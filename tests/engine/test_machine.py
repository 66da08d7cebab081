"""Random lives of a service: releases, people, strangers, deaths and crashes in any order, found by Hypothesis."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from greenroom.domain.model import Split
from greenroom.domain.phases import Status
from greenroom.domain.plan import MIGRATING
from greenroom.domain.status import status_of
from greenroom.testing.faults import Fault
from greenroom.testing.world import Behaviour
from tests.engine.scenarios import SHORT
from tests.engine.stage import STEPS, Stage, findings

behaviours = st.builds(
    Behaviour,
    builds_in=st.sampled_from([0.0, 1.0]),
    build_fails=st.sampled_from(["", "", "", "no"]),
    healthy_after=st.sampled_from([0.0, 0.4, 3.0, None]),
    dies_after=st.sampled_from([None, None, None, 4.0, 12.0]),
    cannot_start=st.sampled_from(["", "", "", "", "not executable"]),
    errors=st.sampled_from([0.0, 0.0, 0.0, 0.005, 0.5, 1.0]),
    worker_stops_in=st.sampled_from([0.0, 0.3, 5.0]),
)
answers = st.sampled_from([("pass",), ("pass",), ("wait", "pass"), ("wait",), ("fail",), ("unknown",)])


class Lives(RuleBasedStateMachine):
    """Whatever happens, the referee has nothing to say, and when all is calm the record agrees with the world."""

    @initialize(
        lag=st.sampled_from([0.0, 3.0]),
        looks=st.sampled_from([0, 2]),
        known=st.booleans(),
        steps=st.booleans(),
        schema=st.sampled_from([None, False, True]),
    )
    def begin(self, lag: float, looks: int, known: bool, steps: bool, schema: bool | None) -> None:
        """`schema`: whether releases bring migrations along, and the old goes unasked."""
        plan = replace(SHORT, steps=STEPS) if steps else SHORT
        plan = plan if schema is None else replace(plan, gates=MIGRATING, contracts=schema)
        self.stage = Stage(plan=plan, lag=lag, lag_looks=looks, dead_is_known=known)
        self.stage.clock.sleep(1.0)
        self.versions = 0

    @rule(behaviour=behaviours, check=answers)
    def deploy(self, behaviour: Behaviour, check: tuple[str, ...]) -> None:
        self.versions += 1
        version = f"{self.versions}.0"
        self.stage.world.behaviours[version] = behaviour
        self.stage.check.answers = findings(*check)
        self.stage.deploy(version)

    @rule()
    def a_release_goes_well(self) -> None:
        """Most do; and only behind one that did, the deeper states lie."""
        self.deploy(Behaviour(), ("pass",))
        self.stage.run(40.0, lambda stage: stage.service.running is None)

    @rule(verb=st.sampled_from(["promote", "pause", "resume", "abort", "rollback", "retire", "reconcile", "contract"]))
    def ask(self, verb: str) -> None:
        self.stage.request(verb)

    @rule(really=st.sampled_from([False, False, True]))
    def down(self, really: bool) -> None:
        if really:
            self.stage.request("down")

    @rule()
    def accept(self) -> None:
        self.stage.request("reconcile", accept=True)

    @rule(seconds=st.sampled_from([0.1, 0.5, 2.0, 8.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.stage.run(seconds)

    @rule(seconds=st.sampled_from([0.2, 1.0, 5.0]))
    def second_thoughts(self, seconds: float) -> None:
        """A release that went well is taken back by hand."""
        self.a_release_goes_well()
        self.stage.request("rollback")
        self.stage.run(seconds)

    @rule(boundary=st.one_of(st.integers(0, 12), st.integers(12, 150)), fault=st.sampled_from([*Fault]))
    def something_goes_wrong(self, boundary: int, fault: Fault) -> None:
        faults = self.stage.faults
        faults.plan[len(faults.boundaries) + boundary] = fault

    @rule(blue=st.sampled_from([0, 30, 100]))
    def a_stranger(self, blue: int) -> None:
        if self.stage.world.plane.told is not None:
            self.stage.world.stranger_sets(Split(blue, 100 - blue))
            self.stage.run(2.5)  # long enough to be seen; what comes and goes between two looks nobody can know of

    @rule()
    def reboot(self) -> None:
        self.stage.world.reboot()

    @rule()
    def the_supervisor_dies(self) -> None:
        self.stage.world.supervisor_killed()

    @invariant()
    def no_harm(self) -> None:
        if hasattr(self, "stage"):
            self.stage.world.settle()
            assert not self.stage.world.violations, f"{self.stage.world.violations}\n{self.stage.story()}"

    def teardown(self) -> None:
        """A person puts things right: then there is an end, and it is a sound one."""
        if not hasattr(self, "stage"):
            return
        stage = self.stage
        stage.faults.plan.clear()
        stage.check.answers = findings("pass")
        for _ in range(4):
            stage.run(60.0)
            stage.request("reconcile")
            stage.request("resume")
        stage.run(200.0)
        release = stage.service.running
        if release is not None and status_of(stage.service, release, stage.clock.now()) is Status.STUCK:
            stage.request("reconcile", accept=True)  # there is nothing to go back to: a person takes it as it is
            stage.run(60.0)
        if stage.service.running is not None and stage.service.drift:
            stage.request("abort")  # what the route should lead to is gone for good: a person gives the release up
            stage.run(60.0)
        self.no_harm()
        service = stage.service
        assert service.running is None, f"no end: {stage.engine.decision}\n{stage.story()}"
        healthy = service.active is not None and not service.down and _can_serve(stage, service.active.version)
        if healthy:
            assert service.active is not None
            assert stage.serves() == service.active.version, stage.story()


def _can_serve(stage: Stage, version: str) -> bool:
    behaviour = stage.world.behaviour(version)
    return behaviour.healthy_after is not None and behaviour.dies_after is None and not behaviour.cannot_start


def live(examples: int, steps: int, **more: Any) -> None:
    logging.disable(logging.CRITICAL)
    try:
        run_state_machine_as_test(
            Lives,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                **more,
            ),
        )
    finally:
        logging.disable(logging.NOTSET)


def test_random_lives() -> None:
    """The same lives at every run: what is found by chance is found in the soak."""
    live(40, 15, derandomize=True, database=None)


@pytest.mark.soak
def test_many_random_lives() -> None:
    live(20000, 40)
