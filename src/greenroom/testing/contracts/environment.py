"""What every environment promises, as tests: subclass `EnvironmentContract` and give it a `bench`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, Protocol

import pytest

from greenroom.domain.model import Colour, EnvironmentSpec, EnvironmentStatus, Health, Role
from greenroom.errors import Permanent, Temporary
from greenroom.ports import ActionKey, Environment

BLUE, GREEN = Colour.BLUE, Colour.GREEN
IDLE, ACTIVE = Role.IDLE, Role.ACTIVE
KEY = ActionKey("r-1", "start", 0, "apply", "blue", 0)


class EnvironmentBench(Protocol):
    """What the contract needs to know of an environment beside its port. The witness goes round the adapter.

    Each release consists of two replicas of a routed process and one worker, which only the active colour runs and
    which takes a moment to end.
    """

    def open(self) -> Environment:
        """The same environment, as another process would see it."""

    def spec(self, version: str, role: Role, *, sweep: bool = False) -> EnvironmentSpec:
        """A release of this version. `broken` is one whose processes can never start."""

    def wait(self, until: Callable[[], bool], what: str) -> None:
        """Let time pass until this holds; fails, saying `what`, if it does not within a generous time."""

    def replicas(self, colour: Colour) -> frozenset[str]:
        """The routed replicas that are alive in the world, orphans included; the names differ after a restart."""

    def workers(self) -> frozenset[str]:
        """The workers that are alive in the world, of both colours, orphans included."""

    def worker_twice(self) -> bool:
        """Two workers were ever alive at the same instant."""

    def kill_supervisor(self) -> bool | None:
        """Whatever watches the processes dies without a word; the processes do not. False: that is not to be had."""

    def reboot(self) -> bool | None:
        """Everything dies, the state on disk stays. True: what watches the processes has brought back what was live."""


class EnvironmentContract:
    """A subclass gives a fixture `bench` that returns an `EnvironmentBench`, fresh for each test."""

    ROUTED, WORKERS = 2, 1
    """What a release of the bench consists of. An environment that runs nothing in the background says so here."""

    one_door: ClassVar[bool] = False
    """All replicas of a colour are behind one endpoint, which they do not make: a target group."""

    @pytest.fixture
    def bench(self) -> EnvironmentBench:
        raise NotImplementedError("a subclass gives the bench")

    @pytest.fixture
    def environment(self, bench: EnvironmentBench) -> Environment:
        return bench.open()

    def test_what_is_applied_becomes_ready_on_its_colour_only(
        self, bench: EnvironmentBench, environment: Environment
    ) -> None:
        assert not environment.observe(BLUE).present
        environment.apply(BLUE, bench.spec("1", IDLE), KEY)
        status = ready(bench, environment, BLUE, IDLE)
        assert (status.release, status.version) == (bench.spec("1", IDLE).release, "1")
        assert len(bench.replicas(BLUE)) == self.ROUTED
        assert len(status.endpoints) == len(set(status.endpoints)) == (1 if self.one_door else self.ROUTED)
        assert not bench.workers()
        assert not environment.observe(GREEN).present
        assert ready(bench, bench.open(), BLUE, IDLE).endpoints == status.endpoints

    def test_the_same_again_changes_nothing(self, bench: EnvironmentBench, environment: Environment) -> None:
        environment.apply(BLUE, bench.spec("1", ACTIVE), KEY)
        before = ready(bench, environment, BLUE, ACTIVE)
        alive, workers = bench.replicas(BLUE), bench.workers()
        for each in (environment, bench.open()):
            each.apply(BLUE, bench.spec("1", ACTIVE), KEY)
            each.apply(BLUE, bench.spec("1", ACTIVE, sweep=True), KEY)
        after = ready(bench, environment, BLUE, ACTIVE)
        assert (bench.replicas(BLUE), bench.workers(), after.endpoints) == (alive, workers, before.endpoints)

    def test_a_role_that_changes_moves_only_the_worker(self, bench: EnvironmentBench, environment: Environment) -> None:
        environment.apply(BLUE, bench.spec("1", IDLE), KEY)
        ready(bench, environment, BLUE, IDLE)
        alive = bench.replicas(BLUE)
        environment.apply(BLUE, bench.spec("1", ACTIVE), KEY)
        ready(bench, environment, BLUE, ACTIVE)
        assert len(bench.workers()) == self.WORKERS
        environment.apply(BLUE, bench.spec("1", IDLE), KEY)
        self._idle_means_that_no_worker_lives(bench, environment, BLUE)
        assert bench.replicas(BLUE) == alive
        assert environment.observe(BLUE).ready

    def test_the_worker_follows_the_traffic_and_is_never_there_twice(
        self, bench: EnvironmentBench, environment: Environment
    ) -> None:
        environment.apply(BLUE, bench.spec("1", ACTIVE), KEY)
        environment.apply(GREEN, bench.spec("2", IDLE), KEY)
        ready(bench, environment, BLUE, ACTIVE)
        ready(bench, environment, GREEN, IDLE)
        for here, there, version_here, version_there in ((BLUE, GREEN, "1", "2"), (GREEN, BLUE, "2", "1")):
            environment.apply(here, bench.spec(version_here, IDLE), KEY)
            self._idle_means_that_no_worker_lives(bench, environment, here)
            environment.apply(there, bench.spec(version_there, ACTIVE), KEY)
            ready(bench, environment, there, ACTIVE)
            assert len(bench.workers()) == self.WORKERS
        assert not bench.worker_twice()

    def _idle_means_that_no_worker_lives(
        self, bench: EnvironmentBench, environment: Environment, colour: Colour
    ) -> None:
        def ended() -> bool:
            status = environment.observe(colour)
            if status.role is IDLE:
                assert not bench.workers(), "it said idle while its worker lived"
            return status.role is IDLE

        bench.wait(ended, f"{colour} is idle")

    def test_another_release_takes_the_place_of_the_first(
        self, bench: EnvironmentBench, environment: Environment
    ) -> None:
        environment.apply(BLUE, bench.spec("1", ACTIVE), KEY)
        ready(bench, environment, BLUE, ACTIVE)
        old = bench.replicas(BLUE)
        status = brought(bench, environment, BLUE, bench.spec("2", ACTIVE))
        bench.wait(lambda: not bench.replicas(BLUE) & old, "the first release has ended")
        assert (status.version, environment.observe(BLUE)) == ("2", status)
        assert (len(bench.replicas(BLUE)), len(bench.workers())) == (self.ROUTED, self.WORKERS)
        assert not bench.worker_twice()

    def test_what_is_removed_is_present_until_all_of_it_has_ended(
        self, bench: EnvironmentBench, environment: Environment
    ) -> None:
        environment.remove(BLUE, KEY)  # nothing is there
        environment.apply(BLUE, bench.spec("1", ACTIVE), KEY)
        ready(bench, environment, BLUE, ACTIVE)
        environment.remove(BLUE, KEY)

        def gone() -> bool:
            status = environment.observe(BLUE)
            assert not status.ready
            if not status.present:
                assert not bench.replicas(BLUE), "it said absent while replicas lived"
                assert not bench.workers(), "it said absent while its worker lived"
            return not status.present

        bench.wait(gone, "it is gone")
        environment.remove(BLUE, KEY)
        assert environment.observe(BLUE) == EnvironmentStatus(BLUE)

    def test_what_was_removed_can_be_applied_again_at_once(
        self, bench: EnvironmentBench, environment: Environment
    ) -> None:
        environment.apply(BLUE, bench.spec("1", ACTIVE), KEY)
        ready(bench, environment, BLUE, ACTIVE)
        environment.remove(BLUE, KEY)
        brought(bench, environment, BLUE, bench.spec("1", ACTIVE))
        bench.wait(lambda: len(bench.workers()) == self.WORKERS, "one worker works")
        assert not bench.worker_twice()

    def test_what_can_never_start_says_why(self, bench: EnvironmentBench, environment: Environment) -> None:
        environment.apply(BLUE, bench.spec("broken", IDLE), KEY)
        bench.wait(lambda: environment.observe(BLUE).failed != "", "it says that it failed")
        status = environment.observe(BLUE)
        assert status.present
        assert not status.ready
        assert not any(member.health is Health.HEALTHY for member in status.members)
        environment.remove(BLUE, KEY)
        bench.wait(lambda: not environment.observe(BLUE).present, "it can be removed")

    def test_ft_6_after_the_death_of_the_supervisor_fresh_replicas_stand_beside_the_orphans(
        self, bench: EnvironmentBench, environment: Environment
    ) -> None:
        environment.apply(BLUE, bench.spec("1", ACTIVE), KEY)
        before = ready(bench, environment, BLUE, ACTIVE)
        orphans, old_worker = bench.replicas(BLUE), bench.workers()
        self._kill_supervisor(bench)
        status = bench.open().observe(BLUE)
        assert set(before.endpoints) <= set(status.leftovers)
        assert (status.members, status.ready) == ((), False)
        assert bench.replicas(BLUE) == orphans

        environment.apply(BLUE, bench.spec("1", ACTIVE), KEY)
        status = ready(bench, environment, BLUE, ACTIVE)
        assert orphans < bench.replicas(BLUE), "the orphans may still have traffic"
        assert not set(status.endpoints) & set(before.endpoints)
        assert set(before.endpoints) <= set(status.leftovers)
        assert len(bench.workers()) == self.WORKERS
        assert not bench.workers() & old_worker

        environment.apply(BLUE, bench.spec("1", ACTIVE, sweep=True), KEY)
        bench.wait(lambda: not environment.observe(BLUE).leftovers, "nothing is left over")
        bench.wait(lambda: not bench.replicas(BLUE) & orphans, "the orphans have ended")
        assert ready(bench, environment, BLUE, ACTIVE).endpoints == status.endpoints
        assert not bench.worker_twice()

    def _kill_supervisor(self, bench: EnvironmentBench) -> None:
        if bench.kill_supervisor() is False:
            pytest.skip("what watches the processes cannot die without them")

    def test_orphans_are_removed_too(self, bench: EnvironmentBench, environment: Environment) -> None:
        environment.apply(BLUE, bench.spec("1", ACTIVE), KEY)
        ready(bench, environment, BLUE, ACTIVE)
        self._kill_supervisor(bench)
        environment.remove(BLUE, KEY)
        bench.wait(lambda: environment.observe(BLUE) == EnvironmentStatus(BLUE), "it is gone")
        assert not bench.replicas(BLUE)
        assert not bench.workers()

    def test_ft_6_after_a_reboot_nothing_is_taken_for_alive(
        self, bench: EnvironmentBench, environment: Environment
    ) -> None:
        environment.apply(BLUE, bench.spec("1", ACTIVE), KEY)
        ready(bench, environment, BLUE, ACTIVE)
        brought_back = bench.reboot()
        again = bench.open()
        if not brought_back:
            assert (again.observe(BLUE).members, again.observe(BLUE).leftovers) == ((), ())
            again.apply(BLUE, bench.spec("1", ACTIVE), KEY)
        status = ready(bench, again, BLUE, ACTIVE)
        assert (len(bench.replicas(BLUE)), len(bench.workers())) == (self.ROUTED, self.WORKERS)
        again.apply(BLUE, bench.spec("1", ACTIVE), KEY)
        assert ready(bench, again, BLUE, ACTIVE).endpoints == status.endpoints

    def test_ft_6_what_was_stopped_on_purpose_stays_so_after_a_reboot(
        self, bench: EnvironmentBench, environment: Environment
    ) -> None:
        environment.apply(BLUE, bench.spec("1", ACTIVE), KEY)
        environment.apply(GREEN, bench.spec("2", IDLE), KEY)
        ready(bench, environment, BLUE, ACTIVE)
        ready(bench, environment, GREEN, IDLE)
        environment.remove(GREEN, KEY)
        bench.wait(lambda: not environment.observe(GREEN).present, "green is gone")
        bench.reboot()
        brought(bench, bench.open(), BLUE, bench.spec("1", ACTIVE))
        assert not bench.open().observe(GREEN).present
        assert not bench.replicas(GREEN)

    def test_ft_51_who_acts_under_an_older_lease_is_refused(self, bench: EnvironmentBench) -> None:
        leader, sleeper = bench.open(), bench.open()
        leader.apply(BLUE, bench.spec("1", IDLE), replace(KEY, epoch=7))
        with pytest.raises(Permanent):
            sleeper.remove(BLUE, replace(KEY, epoch=6))
        with pytest.raises(Permanent):
            sleeper.apply(BLUE, bench.spec("1", ACTIVE), replace(KEY, epoch=6))
        bench.wait(lambda: leader.observe(BLUE).ready, "the leader's replicas are ready")
        assert leader.observe(BLUE).role is IDLE


def brought(
    bench: EnvironmentBench, environment: Environment, colour: Colour, spec: EnvironmentSpec
) -> EnvironmentStatus:
    """Apply it until it is ready, again whenever the engine would: what waits for its predecessor's end is missing."""

    def apply() -> None:
        with contextlib.suppress(Temporary):  # it did not happen, and may be tried again
            environment.apply(colour, spec, KEY)

    def done() -> bool:
        status = environment.observe(colour)
        lacking = status.release != spec.release or not status.members or status.unfinished
        lacking = lacking or status.role not in (None, spec.role)
        if lacking:
            apply()
        return not lacking and status.ready

    apply()
    bench.wait(done, f"{spec.version} is ready on {colour}")
    return ready(bench, environment, colour, spec.role)


def ready(bench: EnvironmentBench, environment: Environment, colour: Colour, role: Role) -> EnvironmentStatus:
    """Wait until it is, in this role."""
    found: list[EnvironmentStatus] = []

    def is_ready() -> bool:
        found[:] = [environment.observe(colour)]
        return found[0].ready and found[0].role is role

    try:
        bench.wait(is_ready, f"{colour} is ready and {role}")
    except AssertionError as error:
        raise AssertionError(f"{error}; seen last: {found[0]}") from None
    return found[0]
