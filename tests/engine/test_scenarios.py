"""Given, when, then: the numbered failures of others, played through the engine on a fake clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from greenroom.domain.commands import Allowed, Not
from greenroom.domain.model import Colour, Split, Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.phases import Phase, Status
from greenroom.domain.records import Judged, Moved
from greenroom.domain.status import status_of
from greenroom.errors import Permanent, Temporary
from greenroom.testing.fakes import FakeCheck
from greenroom.testing.faults import Fault, Faults
from greenroom.testing.world import Behaviour
from tests.engine.scenarios import SHORT
from tests.engine.stage import PLAN, Stage, findings


def status(stage: Stage) -> Status:
    release = stage.service.release
    assert release is not None
    return status_of(stage.service, release, stage.clock.now())


def reasons(stage: Stage) -> str:
    release = stage.service.release
    assert release is not None
    return release.failure


def test_ft_2_the_route_is_the_truth_and_what_users_get_is_never_removed() -> None:
    stage = Stage(plan=SHORT)
    stage.established()
    stage.deploy("2.0")
    stage.until_ended()
    # when somebody sends the users back to the warm colour, behind our back, and its time is over
    stage.world.stranger_sets(Split.all_to(Colour.BLUE))
    stage.run(60.0)
    # then it is not removed, the record does not pretend, and nothing was put back by itself
    assert stage.serves() == "1.0"
    assert "somebody else" in stage.service.drift
    assert stage.service.active is not None
    assert stage.service.active.version == "2.0"
    assert not stage.world.violations
    # when a person takes the route over, then the record follows it
    assert isinstance(stage.request("reconcile", accept=True), Allowed)
    stage.run(60.0)
    assert stage.service.active.version == "1.0"
    stage.assert_sound()


def test_ft_20_drift_before_the_shift_stops_the_release_and_is_put_back_only_when_told() -> None:
    stage = Stage(plan=SHORT)
    stage.established()
    stage.check.answers = findings("wait", "wait", "wait", "pass")
    stage.when(stage.in_phase(Phase.CHECKS), lambda: stage.world.stranger_sets(Split(40, 60)))
    stage.deploy("2.0")
    stage.run(30.0)
    assert status(stage) is Status.PAUSED
    assert stage.world.plane.live is not None
    assert stage.world.plane.live.split == Split(40, 60)
    stage.request("reconcile")
    assert stage.until_ended().phase is Phase.SUCCEEDED
    assert stage.serves() == "2.0"


def test_ft_7_a_route_that_could_not_be_set_is_never_called_live() -> None:
    stage = Stage(plan=SHORT)
    stage.established()
    apply = stage.router.apply

    def refusing(spec: object, key: object) -> None:
        if spec.split == Split.all_to(Colour.GREEN):  # type: ignore[attr-defined]
            raise Permanent("the proxy refused its configuration")
        apply(spec, key)  # type: ignore[arg-type]

    stage.router.apply = refusing  # type: ignore[method-assign]
    stage.deploy("2.0")
    stage.run(120.0)
    assert stage.service.active is not None
    assert stage.service.active.version == "1.0"
    assert stage.serves() == "1.0"
    assert not [
        e for e in stage.journal.read() if isinstance(e.record, Moved) and e.record.to is Phase.BAKE and e.seq > 40
    ]
    # and there is a way out of it
    stage.request("rollback")
    assert stage.until_ended().phase is Phase.ROLLED_BACK
    stage.assert_sound()


@pytest.mark.parametrize("errors", [0.02, 1.0])
def test_ft_49_a_failing_analysis_takes_the_traffic_back_at_once(errors: float) -> None:
    stage = Stage(plan=replace(PLAN, bake=600.0))
    stage.established()
    stage.world.behaviours["2.0"] = Behaviour(errors=errors)
    stage.deploy("2.0")
    begun = stage.clock.now()
    assert stage.until_ended().phase is Phase.ROLLED_BACK
    assert "error rate" in reasons(stage)
    assert stage.clock.now() - begun < (4.0 if errors == 1.0 else 60.0)
    stage.run(30.0)
    assert stage.serves() == "1.0"
    stage.assert_sound()


def test_ft_49_when_nothing_can_be_measured_the_bake_does_not_end_well() -> None:
    stage = Stage(plan=SHORT)
    stage.established()
    stage.when(stage.in_phase(Phase.BAKE), lambda: setattr(stage.analyser, "failing", Temporary("no answer")))
    stage.deploy("2.0")
    stage.run(120.0)
    release = stage.service.release
    assert release is not None
    assert release.phase is Phase.BAKE
    assert status(stage) is Status.STUCK
    # then a person decides, or the measurements come back
    stage.analyser.failing = None
    assert stage.until_ended().phase is Phase.SUCCEEDED
    stage.assert_sound()


@pytest.mark.parametrize(
    ("policy", "end"), [("pass", Phase.SUCCEEDED), ("fail", Phase.ROLLED_BACK), ("wait", Phase.BAKE)]
)
def test_ft_50_no_data_is_its_own_answer_with_its_own_policy(policy: str, end: Phase) -> None:
    stage = Stage(plan=SHORT)
    stage.established()
    stage.world.rate = 0.1
    stage.deploy("2.0", rules=[{"metric": "error_rate", "max": 0.01, "no_data": policy}])
    stage.run(60.0)
    release = stage.service.release
    assert release is not None
    assert release.phase is end
    if end is Phase.BAKE:
        stage.request("promote")
        assert stage.until_ended().phase is Phase.SUCCEEDED
    stage.assert_sound()


def test_ft_51_an_engine_that_wakes_up_late_cannot_move_traffic() -> None:
    """Frozen just before it shifts; its successor is told to abort and removes the candidate."""
    boundaries = Stage(plan=SHORT)
    boundaries.established()
    boundaries.deploy("2.0")
    boundaries.until_ended()
    shifts = [n for n, name in enumerate(boundaries.faults.boundaries) if name == "router.apply"]
    stage = Stage(plan=SHORT, faults=Faults({shifts[1]: Fault.STALLED}))
    stage.established()
    frozen: list[str] = []

    def abort() -> None:
        frozen.append(stage.owner.identity)
        stage.request("rollback")

    stage.when(lambda s: bool(s.rivals) and s.in_phase(Phase.SHIFT)(s), abort)
    stage.deploy("2.0")
    assert stage.until_ended().phase is Phase.ROLLED_BACK
    stage.run(30.0)
    assert frozen
    assert stage.faults.hit
    assert stage.serves() == "1.0"
    stage.assert_sound()


@pytest.mark.parametrize("verb", ["artefact.apply", "environment.apply", "router.apply", "router.observe", "check.ask"])
def test_ft_52_an_hour_of_failures_writes_less_than_200_records(verb: str) -> None:
    stage = Stage(plan=replace(PLAN, ready_within=7200.0, build_within=7200.0))
    stage.established()
    before = len(stage.journal.read())
    port, method = verb.split(".")
    adapter = getattr(stage, port)

    def failing(*_: object) -> None:
        raise Temporary("throttled", retry_after=0.1)

    setattr(adapter, method, failing)
    stage.deploy("2.0")
    seconds = 900.0 if port == "router" else 3600.0  # the router is looked at five times a second
    stage.run(seconds)
    assert len(stage.journal.read()) - before < seconds / 18
    assert stage.serves() == "1.0"
    delattr(adapter, method)
    assert stage.until_ended().phase in (Phase.SUCCEEDED, Phase.ABORTED)
    stage.assert_sound()


def test_ft_53_a_pause_does_not_count_and_promote_is_heard() -> None:
    stage = Stage(plan=PLAN)
    stage.established()
    stage.check.answers = findings("wait", "wait", "pass")
    stage.when(stage.in_phase(Phase.CHECKS), lambda: stage.request("pause"))
    stage.deploy("2.0")
    stage.run(900.0)
    assert status(stage) is Status.PAUSED
    stage.request("resume")
    stage.run(60.0, stage.in_phase(Phase.BAKE))
    stage.request("pause")
    stage.run(900.0)
    assert status(stage) is Status.PAUSED
    stage.request("promote")
    assert stage.until_ended(10.0).phase is Phase.SUCCEEDED
    stage.assert_sound()


def test_ft_57_abort_and_rollback_are_refused_where_they_would_lie() -> None:
    stage = Stage(plan=SHORT)
    stage.established()
    assert isinstance(stage.request("abort"), Not)
    stage.deploy("2.0")
    stage.run(60.0, stage.in_phase(Phase.BAKE))
    assert isinstance(stage.request("abort"), Not)
    assert isinstance(stage.request("rollback"), Allowed)
    assert stage.until_ended().phase is Phase.ROLLED_BACK
    assert status(stage) is Status.ROLLED_BACK


def test_ft_31_a_broken_baseline_does_not_keep_the_repair_out() -> None:
    stage = Stage(plan=SHORT)
    stage.world.behaviours["1.0"] = Behaviour(dies_after=30.0)
    stage.established()
    stage.run(60.0)
    assert stage.serves() == ""
    stage.deploy("1.1")
    assert stage.until_ended().phase is Phase.SUCCEEDED
    assert stage.serves() == "1.1"


def test_many_releases_in_a_minute_do_not_slow_the_way_back() -> None:
    """Doing and undoing in a circle becomes ever slower; what people ask for is no circle."""
    stage = Stage(plan=replace(SHORT, bake=0.5, keep_warm=60.0), worker=False)
    stage.established()
    for number in range(2, 14):
        stage.deploy(f"{number}.0")
        assert stage.until_ended().phase is Phase.SUCCEEDED
        asked = stage.clock.now()
        stage.request("rollback")
        assert stage.run(30.0, lambda s: s.serves() == "1.0")
        assert stage.clock.now() - asked < 0.5, f"release {number}"
        stage.until_ended()
    stage.assert_sound()


def test_a_watch_that_fails_twice_takes_the_traffic_back_without_any_users() -> None:
    stage = Stage(plan=replace(PLAN, bake=60.0, watches=("public",)))
    stage.established()
    stage.world.rate = 0.0
    answers = [Finding(Verdict.PASS), Finding(Verdict.FAIL, "503"), Finding(Verdict.PASS), Finding(Verdict.FAIL, "503")]
    stage.watches["public"] = FakeCheck("public", answers)
    stage.deploy("2.0")
    begun = stage.clock.now()
    assert stage.until_ended().phase is Phase.ROLLED_BACK
    assert "public: 503" in reasons(stage)
    assert 3.0 <= stage.clock.now() - begun < 10.0
    stage.assert_sound()


def test_a_check_that_cannot_answer_for_a_moment_is_asked_again() -> None:
    stage = Stage(plan=SHORT)
    stage.established()
    troubles = [Temporary("busy", retry_after=0.1)] * 3

    def answer(*_: object) -> Finding:
        if troubles:
            raise troubles.pop()
        return Finding(Verdict.PASS)

    stage.check.answers = answer
    stage.deploy("2.0")
    assert stage.until_ended().phase is Phase.SUCCEEDED
    stage.assert_sound()


def test_an_error_that_nobody_foresaw_does_nothing_and_is_waited_out() -> None:
    from greenroom.domain.decide import decide

    broken = [True]

    def deciding(*args: object) -> object:
        if broken[0]:
            raise ZeroDivisionError("a bug")
        return decide(*args)  # type: ignore[arg-type]

    stage = Stage(plan=replace(SHORT, build_within=3600.0), deciding=deciding)
    broken[0] = False
    stage.established()
    broken[0] = True
    stage.deploy("2.0")
    before = len(stage.journal.read())
    turns: list[float] = []
    for _ in range(30):
        turns.append(stage.turn())
        stage.clock.sleep(turns[-1])
    assert len(stage.journal.read()) == before
    assert min(turns[5:]) >= 5.0
    assert stage.engine.trouble == "ZeroDivisionError: a bug"
    broken[0] = False
    assert stage.until_ended().phase is Phase.SUCCEEDED


def test_a_full_disk_under_the_journal_stops_nothing_that_serves() -> None:
    stage = Stage(plan=SHORT)
    stage.established()
    stage.deploy("2.0")
    stage.run(60.0, stage.in_phase(Phase.BAKE))
    stage.journal.broken = "the disk is full"
    for _ in range(30):
        stage.clock.sleep(stage.turn())
    assert stage.serves() == "2.0"
    stage.journal.broken = ""
    assert stage.until_ended().phase is Phase.SUCCEEDED
    stage.assert_sound()


def test_stuck_is_written_down_once_and_so_is_the_end_of_it() -> None:
    stage = Stage(plan=SHORT)
    stage.established()
    stage.deploy("2.0")
    stage.run(60.0, stage.in_phase(Phase.BAKE))
    observe = stage.router.observe

    def blind() -> object:
        raise Temporary("no answer")

    stage.router.observe = blind  # type: ignore[method-assign, assignment]
    stage.run(200.0)
    assert status(stage) is Status.STUCK
    stage.router.observe = observe  # type: ignore[method-assign]
    stage.until_ended()
    told = [
        e.record.verdict for e in stage.journal.read() if isinstance(e.record, Judged) and e.record.subject == "stuck"
    ]
    assert told == [Verdict.UNKNOWN, Verdict.PASS]
    stage.assert_sound()
