"""A machine of several that cannot be seen: neither well nor ill, never called ready, and never waited for without end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from greenroom.domain.actions import Apply, Do, Move, Note, Remove, Route, Wait
from greenroom.domain.decide import decide
from greenroom.domain.model import (
    ArtefactStatus,
    Backend,
    Colour,
    Endpoint,
    EnvironmentStatus,
    Health,
    Making,
    Member,
    Role,
    Routing,
    RoutingSpec,
    Verdict,
)
from greenroom.domain.observation import Need, Seen
from greenroom.domain.phases import Phase
from greenroom.domain.records import Judged
from greenroom.domain.routes import Scene, active_role
from greenroom.domain.status import status_document
from tests.domain.world import ALL_BLUE, ALL_GREEN, BLUE, GREEN, Story, look

WHY = "app2: cannot be reached"
AWAY = Member("", 0, Health.UNKNOWN, routed=False, detail=WHY, machine="app2")


def on(
    colour: Colour, release: str, role: Role | None = Role.IDLE, *hosts: str, health: Health = Health.HEALTHY
) -> EnvironmentStatus:
    members = tuple(
        Member("web", 1, health, Endpoint("127.0.0.1", 4001 if colour is BLUE else 4002, host), machine=host)
        for host in hosts or ("app1", "app2")
    )
    return EnvironmentStatus(colour, release, release[-1], role, members)


def blind(status: EnvironmentStatus) -> EnvironmentStatus:
    """The same, with app2 out of sight."""
    members = tuple(m for m in status.members if m.machine != "app2")
    return replace(status, role=None, members=(*members, AWAY), detail=WHY)


OLD, NEW = on(BLUE, "r-0001", Role.ACTIVE), on(GREEN, "r-0002")


def routing(split: Any, *, unseen: bool = False, without: Colour | None = None) -> Routing:
    blue = Backend() if without is BLUE else backend(OLD)
    spec = RoutingSpec(split, blue, Backend() if without is GREEN else backend(NEW))
    if unseen:
        return Routing(True, spec, None, "5", "5", unseen=(WHY,), detail=WHY)
    return Routing(True, spec, split, "5", "5")


def backend(status: EnvironmentStatus) -> Backend:
    return Backend(status.endpoints, status.version or "", status.release or "")


def second(*phases: Phase, **plan: Any) -> Story:
    return Story().succeed("1").deploy("2", **plan).move(*phases)


def noted(story: Story) -> Story:
    """That app2 cannot be seen stands in the journal."""
    return story.add(Judged(story.release.id, "look", Verdict.UNKNOWN, WHY))


def after(story: Story, seen: Seen, seconds: float) -> object:
    decision = decide(story.service, seen, story.now + seconds)
    if isinstance(decision, Do):
        return decision.action
    return (decision.record.to, decision.record.why) if isinstance(decision, Move) else decision


SHIFT = (Phase.START, Phase.CHECKS, Phase.SHIFT)


def test_it_is_written_down_once_and_so_is_the_end_of_it() -> None:
    story = second(Phase.START)
    decision = decide(story.service, look(routing(ALL_BLUE, unseen=True), blind(OLD), blind(NEW)), story.now)
    assert isinstance(decision, Note)
    assert (decision.record.subject, decision.record.reason) == ("look", WHY)
    noted(story)
    again = decide(story.service, look(routing(ALL_BLUE), OLD, NEW), story.now)
    assert isinstance(again, Note)
    assert again.record.verdict == "pass"


def test_with_traffic_a_machine_out_of_sight_is_no_reason_to_go_back() -> None:
    story = noted(second(*SHIFT, bake=5.0, ready_within=5.0).live(ALL_GREEN).move(Phase.BAKE))
    seen = look(routing(ALL_GREEN), blind(OLD), blind(replace(NEW, role=Role.ACTIVE)))
    for seconds in (1.0, 10_000.0):
        assert isinstance(after(story, seen, seconds), Wait), seconds
    story.ask("promote")
    assert after(story, seen, 1.0) == (Phase.SUCCEEDED, "promoted by hand")


def test_with_traffic_what_is_seen_to_be_ill_goes_back_all_the_same() -> None:
    story = noted(second(*SHIFT, bake=600.0).live(ALL_GREEN).move(Phase.BAKE))
    ill = blind(on(GREEN, "r-0002", Role.ACTIVE, "app1", "app2", "app3"))
    first = replace(ill.members[0], health=Health.UNHEALTHY)
    seen = look(routing(ALL_GREEN), OLD, replace(ill, members=(first, *ill.members[1:])))
    note = decide(story.service, seen, story.now)
    assert isinstance(note, Note)
    story.add(note.record)
    to, why = after(story, seen, 60.0)  # type: ignore[misc]
    assert to is Phase.ROLLING_BACK
    assert "not healthy" in why


def test_before_any_traffic_it_ends_the_release_in_time() -> None:
    story = noted(second(Phase.START, Phase.CHECKS, Phase.SHIFT))
    seen = look(routing(ALL_BLUE, unseen=True), blind(OLD), blind(NEW))
    note = decide(story.service, seen, story.now)
    assert isinstance(note, Note)
    story.add(note.record)
    to, why = after(story, seen, 100.0)  # type: ignore[misc]
    assert to is Phase.ROLLING_BACK
    assert WHY in why


@pytest.mark.parametrize("status", [None, ArtefactStatus(Making.MAKING, detail=WHY)], ids=["all", "one"])
def test_an_artefact_that_cannot_be_seen_everywhere_is_waited_for_in_vain_for_a_while(status: Any) -> None:
    story = noted(second(build_within=50.0))
    unseen = {} if status else {Need.ARTEFACT: WHY}
    route = routing(ALL_BLUE, unseen=True, without=GREEN)
    seen = look(route, blind(OLD), EnvironmentStatus(GREEN), artefact=status, unseen=unseen)
    assert isinstance(after(story, seen, 10.0), Wait)
    to, why = after(story, seen, 60.0)  # type: ignore[misc]
    assert to is Phase.ABORTING
    assert WHY in why


def test_a_colour_that_cannot_be_seen_at_all_does_not_start_for_ever() -> None:
    story = noted(second(Phase.START, ready_within=20.0))
    seen = Seen(blue=OLD, routing=routing(ALL_BLUE), unseen={Need.GREEN: WHY})
    assert isinstance(after(story, seen, 10.0), Wait)
    assert after(story, seen, 30.0) == (Phase.ABORTING, f"green could not be seen for 20 s: {WHY}")
    story.ask("pause")
    assert isinstance(after(story, seen, 30.0), Wait)


def test_aborting_ends_though_what_is_left_there_cannot_be_removed_yet() -> None:
    story = noted(second(Phase.START, Phase.ABORTING, drain=5.0))
    seen = look(routing(ALL_BLUE, unseen=True), blind(OLD), blind(NEW))
    assert isinstance(after(story, seen, 30.0), Wait)
    to, why = after(story, seen, 70.0)  # type: ignore[misc]
    assert to is Phase.ABORTED
    assert "cleared later" in why
    # and later it is, once the routers can be seen not to use it
    story.move(Phase.ABORTED)
    noted(story)
    assert isinstance(
        after(story, look(routing(ALL_BLUE, unseen=True, without=GREEN), blind(OLD), blind(NEW)), 1.0), Wait
    )
    assert after(story, look(routing(ALL_BLUE, without=GREEN), blind(OLD), blind(NEW)), 1.0) == Remove(GREEN)


def test_what_is_gone_where_we_can_see_is_not_gone_where_we_cannot() -> None:
    story = noted(Story().succeed("1", keep_warm=0.0))
    empty = EnvironmentStatus(GREEN, members=(AWAY,), detail=WHY)
    decision = after(story, look(routing(ALL_BLUE, without=GREEN), OLD, empty), 100.0)
    assert isinstance(decision, Wait)
    assert decision.why == f"green may still run: {WHY}"


def test_no_worker_starts_beside_one_that_may_run_out_of_sight() -> None:
    story = second(*SHIFT).live(ALL_GREEN)
    idle = replace(OLD, role=Role.IDLE)
    gone = EnvironmentStatus(BLUE, members=(AWAY,))  # where we can see; a worker may live on out of sight
    for blue, role in (
        (idle, Role.ACTIVE),
        (EnvironmentStatus(BLUE), Role.ACTIVE),
        (blind(idle), Role.IDLE),
        (gone, Role.IDLE),
    ):
        scene = Scene(story.service, look(routing(ALL_GREEN), blue, NEW), story.now)
        assert active_role(scene, GREEN) is role


def test_machines_that_differ_are_applied_again() -> None:
    story = Story().succeed("1")
    seen = look(routing(ALL_BLUE), replace(OLD, role=None, unfinished=True), EnvironmentStatus(GREEN))
    action = after(story, seen, 1.0)
    assert isinstance(action, Apply)
    assert (action.colour, action.spec.release) == (BLUE, "r-0001")


def test_the_others_learn_what_is_new_while_one_is_out_of_sight() -> None:
    story = noted(Story().succeed("1", keep_warm=600.0))
    hosts = ("app1", "app2", "app3")
    before = on(BLUE, "r-0001", Role.ACTIVE, *hosts)
    moved = [replace(m, endpoint=Endpoint("127.0.0.1", 9, "app1")) for m in before.members if m.machine == "app1"]
    now = blind(replace(before, members=(*moved, *before.members[1:])))
    told = RoutingSpec(ALL_BLUE, backend(before))
    action = after(story, look(Routing(True, told, None, "5", "5", unseen=(WHY,)), now), 1.0)
    assert isinstance(action, Route)
    assert [(e.machine, e.port) for e in action.spec.blue.endpoints] == [("app1", 9), ("app2", 4001), ("app3", 4001)]


def test_the_way_back_is_accepted_by_a_person_where_one_is_lost_for_good() -> None:
    story = noted(second(*SHIFT).live(ALL_GREEN).move(Phase.BAKE, Phase.ROLLING_BACK))
    seen = look(routing(ALL_BLUE, unseen=True), blind(OLD), blind(NEW))
    assert isinstance(after(story, seen, 1.0), Wait)
    story.ask("reconcile", accept=True)
    decision = decide(story.service, seen, story.now)
    assert isinstance(decision, Move)
    assert decision.record.to is Phase.ROLLED_BACK
    assert WHY in decision.record.why
    story.add(decision.record)
    assert story.service.running is None
    assert story.service.active is not None
    assert (story.service.active.version, story.service.active.colour) == ("1", BLUE)


def test_a_route_that_did_not_go_back_is_accepted_as_it_is() -> None:
    story = noted(second(*SHIFT).live(ALL_GREEN).move(Phase.BAKE, Phase.ROLLING_BACK))
    story.ask("reconcile", accept=True)
    to, _ = after(story, look(routing(ALL_GREEN, unseen=True), blind(OLD), blind(NEW)), 0.0)  # type: ignore[misc]
    assert to is Phase.FAILED


def test_status_says_unknown_and_names_the_machine() -> None:
    story = noted(Story().succeed("1"))
    seen = look(routing(ALL_BLUE, unseen=True), blind(OLD))
    document = status_document("shop", story.service, seen, story.now, lock=None, problems=[])
    blue = document["environments"]["blue"]
    assert (blue["state"], blue["detail"], document["route"]) == ("unknown", WHY, "unknown")
    assert [m["machine"] for m in blue["members"]] == ["app1", "app2"]
    ill = replace(blind(OLD).members[0], health=Health.UNHEALTHY)
    seen = look(routing(ALL_BLUE, unseen=True), replace(blind(OLD), members=(ill, AWAY)))
    document = status_document("shop", story.service, seen, story.now, lock=None, problems=[])
    assert document["environments"]["blue"]["state"] == "unhealthy"
