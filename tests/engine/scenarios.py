"""The plays of the fault matrix. Each begins with version 1.0 live, unless it says otherwise, and has an end that is
right when nothing goes wrong; with faults, any sound end is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from greenroom.domain.model import Colour, Split, Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.phases import Phase
from greenroom.domain.plan import MIGRATING, Gate, Plan, Step, When
from greenroom.domain.schema import Stage as SchemaStage
from greenroom.testing.world import Behaviour
from tests.engine.stage import PLAN, STEPS, Stage, findings

SHORT = replace(PLAN, bake=2.0, keep_warm=12.0, drain=2.0, ready_within=6.0)
MIGRATES = replace(SHORT, gates=MIGRATING)
SUCCEEDED, ABORTED, ROLLED_BACK, FAILED = Phase.SUCCEEDED, Phase.ABORTED, Phase.ROLLED_BACK, Phase.FAILED


@dataclass(frozen=True)
class Play:
    """`end`, `live`: the phase and version when nothing goes wrong. `losses`: the play itself loses
    requests; `outage`: for so many seconds at most, when nothing goes wrong."""

    name: str
    act: Callable[[Stage], None]
    end: Phase
    live: str
    plan: Plan = SHORT
    first: bool = False
    losses: bool = False
    outage: float = 0.0


def release(stage: Stage) -> None:
    stage.deploy("2.0")
    stage.until_ended()


def first_release(stage: Stage) -> None:
    stage.deploy("1.0")
    stage.until_ended()


def happy(stage: Stage) -> None:
    release(stage)
    stage.run(20.0)


def failing_check(stage: Stage) -> None:
    stage.check.answers = findings("wait", "wait", "fail")
    release(stage)


def never_healthy(stage: Stage) -> None:
    stage.world.behaviours["2.0"] = Behaviour(healthy_after=None)
    release(stage)


def cannot_build(stage: Stage) -> None:
    stage.world.behaviours["2.0"] = Behaviour(builds_in=2.0, build_fails="pip said no")
    release(stage)


def bad_in_bake(stage: Stage) -> None:
    stage.world.behaviours["2.0"] = Behaviour(errors=0.5)
    release(stage)


def dies_in_bake(stage: Stage) -> None:
    stage.world.behaviours["2.0"] = Behaviour(dies_after=3.0 + 2 * stage.lag)
    release(stage)


def aborted_by_hand(stage: Stage) -> None:
    stage.check.answers = findings("wait")
    stage.when(stage.in_phase(Phase.CHECKS), lambda: stage.request("abort"))
    release(stage)


def rolled_back_by_hand(stage: Stage) -> None:
    """After it has succeeded; where it ended otherwise there is nothing to ask for."""
    release(stage)
    stage.request("rollback")
    stage.until_ended()


def rolled_back_in_shift(stage: Stage) -> None:
    stage.when(lambda s: bool((r := s.engine.service.running) and r.step == 1), lambda: stage.request("rollback"))
    release(stage)


def paused(stage: Stage) -> None:
    def resume_later() -> None:
        stage.request("pause")
        stage.world.after(30.0, lambda: None)
        until = stage.clock.now() + 30.0
        stage.when(lambda s: s.clock.now() >= until, lambda: stage.request("resume"))

    stage.when(stage.in_phase(Phase.BAKE), resume_later)
    release(stage)


def promoted(stage: Stage) -> None:
    stage.when(stage.in_phase(Phase.BAKE), lambda: stage.request("promote"))
    release(stage)


def stranger_in_bake(stage: Stage) -> None:
    """Somebody moves the route; a person puts it back, as often as it takes."""

    def move() -> None:
        stage.world.stranger_sets(Split(50, 50))
        stage.when(lambda s: bool(s.engine.service.drift), lambda: stage.request("reconcile"))

    stage.when(stage.in_phase(Phase.BAKE), move)
    release(stage)


def steps(stage: Stage) -> None:
    release(stage)


def reboot(stage: Stage) -> None:
    """In the middle of the bake. Later the rest of the world comes back on other ports."""
    stage.when(stage.in_phase(Phase.BAKE), stage.world.reboot)
    release(stage)
    stage.run(20.0)


def reboot_when_idle(stage: Stage) -> None:
    release(stage)
    stage.world.reboot()
    stage.run(40.0)


def supervisor_dies(stage: Stage) -> None:
    release(stage)
    stage.world.supervisor_killed()
    stage.run(40.0)


def down(stage: Stage) -> None:
    release(stage)
    stage.request("down")
    stage.run(20.0)


def gated(stage: Stage) -> None:
    """Every gate lets it wait a little."""
    for gate in stage.gates.values():
        gate.answers = findings("wait", "wait", "pass")
    release(stage)


def gate_closed(stage: Stage) -> None:
    stage.gates["artefact"].answers = findings("wait", "fail")
    release(stage)


def bake_gate_fails(stage: Stage) -> None:
    stage.gates["bake"].answers = findings("wait", "fail")
    release(stage)


def approved(stage: Stage) -> None:
    """By a person, as soon as one is waited for: the gate opens when it hears of it."""
    gate = stage.gates["people"]
    gate.answers = lambda case, memo: Finding(Verdict.PASS if case.approvals else Verdict.WAIT, "a person", 1.0)
    stage.when(lambda s: s.waiting() == "people", lambda: stage.request("promote"))
    release(stage)


def kept_failed(stage: Stage) -> None:
    """What was rolled back stays to be looked at, and then goes."""
    bad_in_bake(stage)
    stage.run(5.0)
    assert stage.faults.plan or stage.world.groups[Colour.GREEN], stage.story()
    stage.run(30.0)
    assert stage.faults.plan or not stage.world.groups[Colour.GREEN], stage.story()


def rehearsal(stage: Stage) -> None:
    stage.run(20.0)  # what was warm is gone
    plan = replace(stage.plan, steps=(Step(1, 2.0), Step(100)), rehearsal=True)
    stage.request("rehearse", version="1.0", plan=plan.document(), definition={"v": "1.0"})
    stage.until_ended()


GATES = tuple(Gate(str(when), when) for when in When)
PEOPLE = (Gate("people", When.APPROVE, people=True),)
BESIDE = replace(SHORT, steps=(Step(0, 2.0), *STEPS), mirrors={"smoke": 10}, first=("x-staff", "yes"), shield=True)


def contracted(stage: Stage) -> None:
    """The old may go once nobody can need it: asked for as soon as that is allowed."""
    release(stage)
    stage.run(40.0)
    stage.request("contract")
    stage.run(20.0, lambda s: s.service.contract is not None and not s.service.contract.open)


def contract_or_back(stage: Stage) -> None:
    """Both are asked for again and again: one of them is refused, whichever comes first."""
    release(stage)
    stage.request("retire")
    stage.request("contract")
    stage.request("rollback")
    stage.run(40.0)


def contract_and_release(stage: Stage) -> None:
    """A release begins while a contract is at work."""
    stage.run(20.0)  # nothing is warm any more
    stage.migrator.asks = 1000
    stage.request("contract")
    stage.run(1.0)
    stage.migrator.asks = 1
    release(stage)


def expand_refused(stage: Stage) -> None:
    stage.migrator.refused[SchemaStage.EXPAND] = "expand.sql:3: 1.0 still writes users.name"
    release(stage)


def backfill_aborted(stage: Stage) -> None:
    stage.migrator.asks = 1000
    stage.when(stage.in_phase(Phase.EXPAND), lambda: setattr(stage.migrator, "asks", 1))
    stage.when(stage.in_phase(Phase.BACKFILL), lambda: stage.request("abort"))
    release(stage)


PLAYS = (
    Play("first", first_release, SUCCEEDED, "1.0", first=True),
    Play("happy", happy, SUCCEEDED, "2.0"),
    Play("failing-check", failing_check, ABORTED, "1.0"),
    Play("never-healthy", never_healthy, ABORTED, "1.0"),
    Play("cannot-build", cannot_build, ABORTED, "1.0"),
    Play("bad-in-bake", bad_in_bake, ROLLED_BACK, "1.0"),
    Play("dies-in-bake", dies_in_bake, ROLLED_BACK, "1.0", replace(SHORT, bake=30.0), losses=True, outage=1.0),
    Play("abort", aborted_by_hand, ABORTED, "1.0"),
    Play("rollback-later", rolled_back_by_hand, ROLLED_BACK, "1.0"),
    Play("rollback-in-shift", rolled_back_in_shift, ROLLED_BACK, "1.0", replace(SHORT, steps=STEPS)),
    Play("pause", paused, SUCCEEDED, "2.0"),
    Play("promote", promoted, SUCCEEDED, "2.0", replace(SHORT, bake=600.0)),
    Play("stranger", stranger_in_bake, SUCCEEDED, "2.0", replace(SHORT, bake=8.0)),
    Play("steps", steps, SUCCEEDED, "2.0", replace(SHORT, steps=STEPS)),
    Play("reboot", reboot, ROLLED_BACK, "1.0", losses=True, outage=2.0),
    Play("reboot-idle", reboot_when_idle, SUCCEEDED, "2.0", losses=True, outage=3.5),
    Play("supervisor", supervisor_dies, SUCCEEDED, "2.0"),
    Play("down", down, SUCCEEDED, "", losses=True),
    Play("gates", gated, SUCCEEDED, "2.0", replace(SHORT, gates=GATES)),
    Play("gate-closed", gate_closed, ABORTED, "1.0", replace(SHORT, gates=GATES)),
    Play("bake-gate", bake_gate_fails, ROLLED_BACK, "1.0", replace(SHORT, bake=20.0, gates=GATES)),
    Play("approval", approved, SUCCEEDED, "2.0", replace(SHORT, gates=PEOPLE)),
    Play("beside", release, SUCCEEDED, "2.0", BESIDE),
    Play("beside-back", rolled_back_in_shift, ROLLED_BACK, "1.0", BESIDE),
    Play("kept-failed", kept_failed, ROLLED_BACK, "1.0", replace(SHORT, keep_failed=15.0)),
    Play("migrating", release, SUCCEEDED, "2.0", MIGRATES),
    Play("contract", contracted, SUCCEEDED, "2.0", MIGRATES),
    Play("contract-auto", happy, SUCCEEDED, "2.0", replace(MIGRATES, contracts=True)),
    Play("contract-or-back", contract_or_back, SUCCEEDED, "2.0", MIGRATES),
    Play("contract-release", contract_and_release, SUCCEEDED, "2.0", MIGRATES),
    Play("expand-refused", expand_refused, ABORTED, "1.0", MIGRATES),
    Play("backfill-abort", backfill_aborted, ABORTED, "1.0", MIGRATES),
    Play("migrated-back", rolled_back_by_hand, ROLLED_BACK, "1.0", MIGRATES),
    Play("rehearsal", rehearsal, ROLLED_BACK, "1.0"),
)


def perform(play: Play, stage: Stage) -> None:
    """The play, and then calm: what was promised warm has ended, what is left over is gone."""
    if not play.first:
        stage.established()
    play.act(stage)
    stage.run(30.0)
    stage.assert_sound(float("inf") if play.losses else 0.0)
