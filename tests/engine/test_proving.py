"""Gates, people, copies of requests, who goes first, the shield, what is kept, and the drill: through the engine."""

from __future__ import annotations

from dataclasses import replace

from greenroom.domain.commands import Allowed, Not
from greenroom.domain.events import event_of
from greenroom.domain.figures import Reading
from greenroom.domain.model import Colour, Event, Mirror, RoutingSpec, Split, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.domain.phases import Phase, Status
from greenroom.domain.plan import SCHEMA, Gate, Plan, Rule, Step, When
from greenroom.domain.release import Service
from greenroom.domain.replay import fold
from greenroom.domain.status import sentence, status_of
from greenroom.errors import Permanent
from greenroom.ports import About
from greenroom.testing.world import Behaviour
from tests.engine.scenarios import SHORT
from tests.engine.stage import STEPS, Stage, findings


def staged(plan: Plan) -> Stage:
    stage = Stage(plan=plan)
    stage.established()
    return stage


def gated(*gates: Gate) -> Stage:
    return staged(replace(SHORT, gates=gates))


def failure(stage: Stage) -> str:
    release = stage.service.release
    assert release is not None
    return release.failure


def status(stage: Stage) -> Status:
    release = stage.service.release
    assert release is not None
    return status_of(stage.service, release, stage.clock.now())


def events(stage: Stage) -> list[Event]:
    service, found = Service(), []
    for entry in stage.journal.read():
        before, service = service, fold(service, entry)
        if event := event_of("shop", before, entry, service):
            found.append(event)
    return found


def told(stage: Stage) -> list[RoutingSpec]:
    """Everything that the router is told from now on."""
    specs: list[RoutingSpec] = []
    tell = stage.world.tell
    stage.world.tell = lambda spec, epoch, **more: (specs.append(spec), tell(spec, epoch, **more))[1]  # type: ignore[func-returns-value, method-assign, misc]
    return specs


# --- gates ------------------------------------------------------------------------------------------------------------


def test_each_stage_asks_its_gates_and_knows_what_there_is_by_then() -> None:
    asked = [when for when in When if when not in SCHEMA]  # those are the migrator's
    stage = gated(*(Gate(str(when), when) for when in asked))
    met: dict[str, tuple[Phase, Case]] = {}
    for name, gate in stage.gates.items():

        def answer(case: Case, memo: object, name: str = name) -> Finding:
            met[name] = (stage.engine.service.release.phase, case)  # type: ignore[union-attr]
            return Finding(Verdict.PASS)

        gate.answers = answer
    stage.deploy("2.0")
    assert stage.until_ended().phase is Phase.SUCCEEDED
    phases = {name: phase for name, (phase, _) in met.items()}
    assert phases == {
        "source": Phase.GATES,
        "artefact": Phase.START,
        "approve": Phase.APPROVE,
        "bake": Phase.BAKE,
    }
    source, artefact, approve, bake = (met[str(when)][1] for when in asked)
    assert (source.url, source.artefact, "idle_url" in source.variables) == ("", "", False)
    assert (artefact.url, artefact.artefact) == ("", "artefacts/r-0002")
    assert approve.headers
    assert "idle_url" in approve.variables
    assert bake.headers == {}
    assert bake.public
    assert {case.by for _, case in met.values()} == {"ann"}


def test_a_closed_gate_stops_the_release_before_anything_was_made() -> None:
    stage = gated(Gate("secrets", When.SOURCE))
    stage.gates["secrets"].answers = findings("wait", "fail")
    stage.deploy("2.0")
    assert stage.until_ended().phase is Phase.ABORTED
    assert failure(stage).startswith("gate secrets: answer 1")
    assert "artefacts/r-0002" not in str(stage.artefact.made)
    assert "r-0002" not in stage.artefact.made


def test_who_could_not_look_opens_no_gate() -> None:
    for verdict in ("unknown", None):
        stage = gated(Gate("scan", When.ARTEFACT))
        gate = stage.gates["scan"]
        if verdict is None:

            def broken(case: Case, memo: object) -> Finding:
                raise Permanent("the scanner is not there")

            gate.answers = broken
        else:
            gate.answers = findings(verdict)
        stage.deploy("2.0")
        assert stage.until_ended().phase is Phase.ABORTED
        assert "gate scan" in failure(stage)
        assert "could not be" in failure(stage)


def test_a_gate_that_only_notifies_stops_nothing_and_is_told() -> None:
    stage = gated(Gate("zap", When.BAKE, notify_only=True), Gate("blind", When.BAKE))
    stage.gates["zap"].answers = findings("wait", "fail")
    stage.gates["blind"].answers = findings("unknown")
    stage.deploy("2.0")
    assert stage.until_ended().phase is Phase.SUCCEEDED
    warned = [event.text for event in events(stage) if event.kind == "warned"]
    assert len(warned) == 2
    assert any("zap" in text for text in warned)


def test_ft_26_a_failing_gate_of_the_bake_takes_the_traffic_back_and_the_way_back_asks_no_gate() -> None:
    """A rollback that ran the same hooks as the deploy failed the same way."""
    stage = gated(Gate("zap", When.BAKE), Gate("lint", When.SOURCE))
    stage.gates["zap"].answers = findings("wait", "fail")
    stage.deploy("2.0", bake=60.0)
    stage.run(400.0, lambda s: (r := s.service.release) is not None and r.phase is Phase.ROLLING_BACK)
    asked = [len(gate.asked) for gate in stage.gates.values()]
    assert stage.until_ended().phase is Phase.ROLLED_BACK
    assert [len(gate.asked) for gate in stage.gates.values()] == asked
    assert stage.serves() == "1.0"


def test_a_gate_that_runs_is_ended_with_the_release() -> None:
    stage = gated(Gate("slow", When.SOURCE))
    stage.gates["slow"].answers = findings("wait")
    stage.deploy("2.0")
    stage.run(2.0)
    stage.request("abort")
    assert stage.until_ended().phase is Phase.ABORTED
    assert stage.gates["slow"].withdrawn == ["r-0002"]


def test_an_override_is_kept_with_its_reason_and_the_gate_is_not_asked() -> None:
    stage = gated(Gate("freeze", When.SOURCE))
    stage.gates["freeze"].answers = findings("fail")
    plan = stage.plan.document()
    stage.request("deploy", version="2.0", plan=plan, definition={}, overrides={"freeze": "the shop is down"})
    release = stage.until_ended()
    assert release.phase is Phase.SUCCEEDED
    assert not stage.gates["freeze"].asked
    assert release.judged["gate:freeze"].reason == "overridden by ann: the shop is down"


# --- people -----------------------------------------------------------------------------------------------------------


def test_a_person_is_waited_for_and_told_what_for() -> None:
    stage = gated(Gate("release manager", When.APPROVE, people=True))
    gate = stage.gates["release manager"]
    gate.answers = lambda case, memo: Finding(
        Verdict.PASS if len(case.approvals) == 2 else Verdict.WAIT, f"{len(case.approvals)} of 2", 0.5
    )
    stage.deploy("2.0")
    stage.run(30.0, lambda s: status(s) is Status.WAITING_APPROVAL)
    release = stage.service.release
    assert release is not None
    assert sentence(stage.service, release) == "release manager: 0 of 2"
    assert stage.serves() == "1.0"
    assert [event.kind for event in events(stage)].count("waiting_approval") == 1
    for _ in range(2):
        answer = stage.request("promote", groups=["ops"])
        assert isinstance(answer, Allowed)
    assert stage.until_ended().phase is Phase.SUCCEEDED
    said = gate.asked[-1][0].approvals
    assert [(one.by, one.groups) for one in said] == [("ann", ("ops",)), ("ann", ("ops",))]


def test_nothing_can_be_approved_where_nobody_is_waited_for() -> None:
    stage = gated(Gate("lint", When.SOURCE))
    stage.gates["lint"].answers = findings("wait")
    stage.deploy("2.0")
    stage.run(2.0)
    answer = stage.request("promote")
    assert isinstance(answer, Not)
    assert "nothing waits for an approval" in answer.text


def test_ft_53_the_time_that_people_take_counts_against_no_deadline() -> None:
    stage = gated(Gate("people", When.APPROVE, people=True))
    stage.gates["people"].answers = lambda case, memo: Finding(
        Verdict.PASS if case.approvals else Verdict.WAIT, "somebody", 1.0
    )
    stage.deploy("2.0")
    stage.run(3600.0)
    assert status(stage) is Status.WAITING_APPROVAL
    assert isinstance(stage.request("promote"), Allowed)
    assert stage.until_ended().phase is Phase.SUCCEEDED


# --- beside the split -------------------------------------------------------------------------------------------------


def test_requests_are_copied_only_while_their_check_is_asked() -> None:
    stage = staged(replace(SHORT, mirrors={"smoke": 25}))
    specs = told(stage)
    copied: list[Mirror | None] = []

    def answer(case: Case, memo: object) -> Finding:
        copied.append(stage.world.plane.told.mirror if stage.world.plane.told else None)
        return Finding(Verdict.PASS if len(copied) > 2 else Verdict.WAIT, "", 0.5)

    stage.check.answers = answer
    stage.deploy("2.0")
    assert stage.until_ended().phase is Phase.SUCCEEDED
    assert copied == [Mirror(Colour.GREEN, 25)] * 3
    assert [spec.mirror for spec in specs if spec.split == Split.all_to(Colour.GREEN)] == [None] * len(
        [spec for spec in specs if spec.split == Split.all_to(Colour.GREEN)]
    )


def test_who_goes_first_and_the_shield_are_there_while_traffic_moves_and_not_after() -> None:
    stage = staged(replace(SHORT, steps=(Step(0, 2.0), *STEPS), first=("x-staff", "yes"), shield=True))
    specs = told(stage)
    stage.deploy("2.0")
    assert stage.until_ended().phase is Phase.SUCCEEDED
    stage.run(5.0)
    firsts = [spec.split.green for spec in specs if spec.first is not None]
    assert sorted(set(firsts)) == [0, 10, 50]
    assert {spec.shield for spec in specs if spec.split.green in (10, 50)} == {Colour.GREEN}
    assert specs[-1].split == Split.all_to(Colour.GREEN)
    assert (specs[-1].first, specs[-1].shield) == (None, None)


def test_a_step_says_what_share_it_really_was() -> None:
    stage = staged(replace(SHORT, steps=STEPS))
    stage.deploy("2.0")
    stage.until_ended()
    whys = [getattr(entry.record, "why", "") for entry in stage.journal.read()]
    assert any("10 % was good: 10 % of" in why for why in whys), whys


# --- after it failed --------------------------------------------------------------------------------------------------


def test_what_was_rolled_back_is_kept_for_its_time_with_the_numbers_of_both() -> None:
    stage = staged(replace(SHORT, keep_failed=600.0))
    stage.world.behaviours["2.0"] = Behaviour(errors=0.5)
    stage.deploy("2.0")
    assert stage.until_ended().phase is Phase.ROLLED_BACK
    stage.run(500.0)
    assert stage.world.groups[Colour.GREEN] is not None
    moved = [entry.record for entry in stage.journal.read() if getattr(entry.record, "to", "") == Phase.ROLLING_BACK]
    figures = moved[0].facts["figures"]  # type: ignore[union-attr]
    assert figures["candidate"]["errors"] > 0
    assert figures["baseline"]["errors"] == 0
    stage.run(200.0)
    assert stage.world.groups[Colour.GREEN] is None
    stage.assert_sound()


def test_ft_31_a_fix_takes_the_place_of_what_is_kept() -> None:
    stage = staged(replace(SHORT, keep_failed=600.0))
    stage.world.behaviours["2.0"] = Behaviour(errors=0.5)
    stage.deploy("2.0")
    assert stage.until_ended().phase is Phase.ROLLED_BACK
    stage.deploy("2.1")
    assert stage.until_ended().phase is Phase.SUCCEEDED
    assert stage.serves() == "2.1"


def test_ft_29_while_the_candidate_is_not_well_the_baseline_keeps_running_and_serving() -> None:
    stage = staged(SHORT)
    specs = told(stage)
    stage.world.behaviours["2.0"] = Behaviour(healthy_after=None)
    stage.deploy("2.0")
    assert stage.until_ended().phase is Phase.ABORTED
    assert {spec.split for spec in specs} <= {Split.all_to(Colour.BLUE)}
    assert stage.world.groups[Colour.BLUE] is not None
    assert stage.serves() == "1.0"
    assert stage.world.lost == 0


def test_ft_46_every_bad_release_meets_its_deadline_not_only_the_first() -> None:
    stage = staged(SHORT)
    for number in range(2, 6):
        version = f"{number}.0"
        stage.world.behaviours[version] = Behaviour(healthy_after=None)
        begun = stage.clock.now()
        stage.deploy(version)
        release = stage.until_ended()
        assert (release.version, release.phase) == (version, Phase.ABORTED)
        assert "not healthy within 6 s" in release.failure
        assert stage.clock.now() - begun < 6 + SHORT.drain + 10
    assert stage.serves() == "1.0"


# --- the drill --------------------------------------------------------------------------------------------------------


def test_a_rehearsal_goes_there_and_back() -> None:
    stage = staged(replace(SHORT, keep_warm=0.0))
    specs = told(stage)
    plan = replace(stage.plan, steps=(Step(1, 5.0), Step(100)), rehearsal=True)
    answer = stage.request("rehearse", version="", plan=plan.document(), definition={})
    assert isinstance(answer, Allowed)
    release = stage.until_ended()
    assert release.phase is Phase.ROLLED_BACK
    assert release.rehearsed
    assert release.version == "1.0"
    assert release.took_back is not None
    assert {spec.split.green for spec in specs} == {0, 1}
    assert stage.serves() == "1.0"
    assert "rehearsed" in [event.kind for event in events(stage)]


def test_a_rehearsal_does_not_take_the_place_of_what_is_warm() -> None:
    stage = staged(replace(SHORT, keep_warm=600.0))
    stage.deploy("2.0")
    stage.until_ended()
    plan = replace(stage.plan, rehearsal=True)
    answer = stage.request("rehearse", version="", plan=plan.document(), definition={})
    assert isinstance(answer, Not)
    assert "warm" in answer.text


# --- sources ----------------------------------------------------------------------------------------------------------


class Gauge:
    """Says what it is told to; remembers what it was asked about."""

    def __init__(self, candidate: float | None, problem: str = "") -> None:
        self.candidate, self.problem = candidate, problem
        self.asked: list[tuple[About, About | None]] = []

    def read(self, candidate: About, baseline: About | None) -> Reading:
        self.asked.append((candidate, baseline))
        return Reading(0.0, self.candidate, 1.0, None, self.problem)


def test_a_source_over_its_limit_takes_the_traffic_back() -> None:
    rule = Rule("", max=5.0, source="queue", every=2.0, failures=3, query="depth")
    stage = staged(replace(SHORT, bake=60.0, rules=(rule,)))
    gauge = Gauge(9.0)
    stage.adapters = replace(stage.adapters, gauges={"queue": gauge}, name="shop")
    stage.deploy("2.0")
    assert stage.until_ended().phase is Phase.ROLLED_BACK
    assert "queue" in failure(stage) or "9" in failure(stage)
    assert len(gauge.asked) == 3
    candidate, baseline = gauge.asked[0]
    assert (candidate.version, candidate.query, candidate.service) == ("2.0", "depth", "shop")
    assert baseline is not None
    assert baseline.version == "1.0"


def test_ft_32_a_source_that_cannot_be_asked_is_neither_good_nor_bad() -> None:
    rule = Rule("", max=5.0, source="queue", every=2.0, query="depth", no_data="ignore")
    stage = staged(replace(SHORT, rules=(rule,)))
    stage.adapters = replace(stage.adapters, gauges={"queue": Gauge(None, "connection refused")}, name="shop")
    stage.deploy("2.0")
    stage.run(30.0)
    assert (status(stage), stage.serves()) == (Status.BAKING, "2.0")
    # when it stays so, somebody is told, and a person decides
    stage.run(90.0)
    assert status(stage) is Status.STUCK
    assert "connection refused" in next(event.text for event in events(stage) if event.kind == "stuck")
    assert isinstance(stage.request("promote"), Allowed)
    assert stage.until_ended().phase is Phase.SUCCEEDED
