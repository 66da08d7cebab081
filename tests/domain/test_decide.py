from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from greenroom.domain.actions import Apply, Ask, Do, Make, Move, Note, Remove, Route, Wait
from greenroom.domain.assess import History
from greenroom.domain.decide import decide
from greenroom.domain.figures import Figures, Measurement
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
    Split,
    Verdict,
)
from greenroom.domain.observation import Need, Seen, Watched
from greenroom.domain.opinion import Finding
from greenroom.domain.phases import Phase
from greenroom.domain.plan import Rule, Step
from greenroom.domain.records import Finished, Judged, Outcome, Requested, Started
from greenroom.domain.routes import Scene
from greenroom.domain.routes import backend as routed_backend
from greenroom.domain.status import status_document
from tests.domain.world import ALL_BLUE, ALL_GREEN, BLUE, ENDPOINT, GREEN, Story, backend, look, serving, up

OLD = up(BLUE, "r-0001", "1", Role.ACTIVE)
NEW = up(GREEN, "r-0002", "2")
NEW_STARTING = up(GREEN, "r-0002", "2", health=Health.STARTING).members


def second(*phases: Phase, **plan: Any) -> Story:
    """Version 1 is live on blue; version 2 is being released on green."""
    return Story().succeed("1").deploy("2", **plan).move(*phases)


def together(
    split: Split = ALL_BLUE, blue: EnvironmentStatus = OLD, green: EnvironmentStatus = NEW, **more: Any
) -> Seen:
    test = more.pop("test", None)
    return look(serving(split, blue=backend(blue), green=backend(green), test=test), blue, green, **more)


def acts(story: Story, seen: Seen, now: float | None = None) -> object:
    """The action decided on, or the decision where that is none."""
    decision = decide(story.service, seen, story.now if now is None else now)
    return decision.action if isinstance(decision, Do) else decision


def to(story: Story, seen: Seen, now: float | None = None) -> Phase | None:
    decision = decide(story.service, seen, story.now if now is None else now)
    return decision.record.to if isinstance(decision, Move) else None


def test_the_artefact_is_made_once_and_a_failure_aborts() -> None:
    story = second()
    for state, expected in ((Making.ABSENT, Make), (Making.MAKING, Wait)):
        seen = together(green=EnvironmentStatus(GREEN), artefact=ArtefactStatus(state))
        assert isinstance(acts(story, seen), expected)
    assert to(story, together(green=EnvironmentStatus(GREEN))) is Phase.START
    failed = together(green=EnvironmentStatus(GREEN), artefact=ArtefactStatus(Making.FAILED, detail="exit 1"))
    assert to(story, failed) is Phase.ABORTING


def test_the_candidate_starts_idle_and_the_test_route_opens_when_it_is_healthy() -> None:
    story = second(Phase.START)
    action = acts(story, together(green=EnvironmentStatus(GREEN)))
    assert isinstance(action, Apply)
    assert (action.colour, action.spec.role, action.spec.release) == (GREEN, Role.IDLE, "r-0002")
    starting = up(GREEN, "r-0002", "2", health=Health.STARTING)
    assert isinstance(acts(story, together(green=starting)), Wait)
    opened = acts(story, together())
    assert isinstance(opened, Route)
    assert (opened.spec.split, opened.spec.test) == (ALL_BLUE, GREEN)
    assert to(story, together(test=GREEN)) is Phase.CHECKS


def test_ft_15_a_slow_start_has_the_time_that_the_file_gives() -> None:
    story = second(Phase.START, ready_within=60.0)
    starting = together(green=up(GREEN, "r-0002", "2", health=Health.STARTING))
    assert to(story, starting, story.now + 59) is None
    assert to(story, starting, story.now + 61) is Phase.ABORTING


def test_checks_are_asked_in_turn_and_one_failure_ends_it() -> None:
    story = second(Phase.START, Phase.CHECKS, checks=("a", "b"))
    seen = together(test=GREEN)
    assert acts(story, seen) == Ask("a", None)
    story.add(Judged("r-0002", "check:a", Verdict.PASS))
    assert acts(story, seen) == Ask("b", None)
    story.add(Judged("r-0002", "check:b", Verdict.WAIT, "", {"job": 1}))
    assert acts(story, seen) == Ask("b", {"job": 1})
    good, bad = replace_story(story), replace_story(story)
    assert to(good.add(Judged("r-0002", "check:b", Verdict.PASS)), seen) is Phase.SHIFT
    for verdict in (Verdict.FAIL, Verdict.UNKNOWN):
        assert to(replace_story(bad).add(Judged("r-0002", "check:b", verdict)), seen) is Phase.ABORTING


def replace_story(story: Story) -> Story:
    copy = Story()
    copy.service, copy.now = story.service, story.now
    return copy


def test_the_switch_counts_when_it_was_observed() -> None:
    story = second(Phase.START, Phase.CHECKS, Phase.SHIFT)
    action = acts(story, together(test=GREEN))
    assert isinstance(action, Route)
    assert (action.spec.split, action.spec.test) == (ALL_GREEN, None)
    told = together(ALL_GREEN)
    assert told.routing is not None
    for lag in (
        replace(told.routing, live=ALL_BLUE),
        replace(told.routing, live=None),
        replace(told.routing, revision="8"),
    ):
        assert isinstance(acts(story, replace(told, routing=lag)), Wait)
    noted = decide(story.service, told, story.now)
    assert isinstance(noted, Note)
    assert noted.record.subject == "live"


def test_workers_the_old_ones_stop_before_the_new_ones_start() -> None:
    story = second(Phase.START, Phase.CHECKS, Phase.SHIFT).live(ALL_GREEN)
    stop = acts(story, together(ALL_GREEN))
    assert isinstance(stop, Apply)
    assert (stop.colour, stop.spec.role) == (BLUE, Role.IDLE)
    for role in (Role.ACTIVE, None):
        action = acts(story, together(ALL_GREEN, blue=replace(OLD, role=role)))
        assert not (isinstance(action, Apply) and action.spec.role is Role.ACTIVE)
    start = acts(story, together(ALL_GREEN, blue=replace(OLD, role=Role.IDLE)))
    assert isinstance(start, Apply)
    assert (start.colour, start.spec.role) == (GREEN, Role.ACTIVE)
    both = together(ALL_GREEN, replace(OLD, role=Role.IDLE), replace(NEW, role=Role.ACTIVE))
    assert to(story, both) is Phase.BAKE


def baking(**plan: Any) -> tuple[Story, Seen]:
    story = second(Phase.START, Phase.CHECKS, Phase.SHIFT, **plan).live(ALL_GREEN).move(Phase.BAKE)
    return story, together(ALL_GREEN, replace(OLD, role=Role.IDLE), replace(NEW, role=Role.ACTIVE))


def test_the_bake_ends_by_time_or_by_promote() -> None:
    story, seen = baking(bake=30.0)
    assert to(story, seen, story.now + 29) is None
    assert to(story, seen, story.now + 31) is Phase.SUCCEEDED
    assert to(story.ask("promote"), seen) is Phase.SUCCEEDED


def errors(seen: Seen, requests: int, bad: int) -> Seen:
    history = History().add(Measurement(0, "a")).add(Measurement(5, "a", green=Figures(requests, bad)))
    return replace(seen, history=history)


def test_ft_49_a_failed_analysis_rolls_back_and_an_unreadable_one_never_succeeds() -> None:
    story, seen = baking(bake=30.0, rules=(Rule("error_rate", max=0.1),))
    assert to(story, errors(seen, 200, 100)) is Phase.ROLLING_BACK
    blind = replace(seen, unseen={Need.MEASUREMENT: "no answer"})
    noted = decide(story.service, blind, story.now + 31)
    assert isinstance(noted, Note)
    story.add(noted.record)
    assert isinstance(decide(story.service, blind, story.now + 3600), Wait)


def test_ft_48_a_candidate_that_loses_its_health_goes_back() -> None:
    story, seen = baking(bake=30.0)
    dead = replace(seen, green=up(GREEN, "r-0002", "2", Role.ACTIVE, Health.UNHEALTHY))
    noted = decide(story.service, dead, story.now)
    assert isinstance(noted, Note)
    assert to(story.add(noted.record), dead) is Phase.ROLLING_BACK


def test_a_watch_counts_when_it_fails_twice_in_a_row() -> None:
    story, seen = baking(watches=("home",))
    bad = Finding(Verdict.FAIL, "status 500")
    assert to(story, replace(seen, watches={"home": Watched(bad, 0, 1)})) is None
    assert to(story, replace(seen, watches={"home": Watched(bad, 0, 2)})) is Phase.ROLLING_BACK


def test_ft_53_a_pause_counts_against_no_deadline_and_promote_works_in_it() -> None:
    story, seen = baking(bake=30.0)
    story.ask("pause")
    assert to(story, seen, story.now + 5000) is None
    story.add(Requested("resume", "ada", "", "r-0002"), at=story.now + 5000)
    assert to(story, seen, story.now + 20) is None
    assert to(story, seen, story.now + 31) is Phase.SUCCEEDED
    paused, seen = baking(bake=30.0)
    assert to(paused.ask("pause").ask("promote"), seen) is Phase.SUCCEEDED


def test_ft_53_a_failure_in_a_pause_still_goes_back() -> None:
    story, seen = baking(rules=(Rule("error_rate", max=0.1),))
    assert to(story.ask("pause"), errors(seen, 200, 100)) is Phase.ROLLING_BACK


def test_rolling_back_is_traffic_first_then_workers() -> None:
    story, seen = baking()
    story.ask("rollback")
    assert to(story, seen) is Phase.ROLLING_BACK
    story.move(Phase.ROLLING_BACK)
    action = acts(story, seen)
    assert isinstance(action, Route)
    assert action.spec.split == ALL_BLUE
    back = together(ALL_BLUE, replace(OLD, role=Role.IDLE), replace(NEW, role=Role.ACTIVE))
    story.live(ALL_BLUE)
    stop = acts(story, back)
    assert isinstance(stop, Apply)
    assert (stop.colour, stop.spec.role) == (GREEN, Role.IDLE)
    start = acts(story, together(ALL_BLUE, replace(OLD, role=Role.IDLE)))
    assert isinstance(start, Apply)
    assert (start.colour, start.spec.role) == (BLUE, Role.ACTIVE)
    assert to(story, together()) is Phase.ROLLED_BACK


def test_ft_30_traffic_does_not_go_back_to_what_does_not_serve() -> None:
    story, seen = baking()
    story.ask("rollback").move(Phase.ROLLING_BACK)
    gone = replace(seen, blue=EnvironmentStatus(BLUE))
    action = acts(story, gone)
    assert isinstance(action, Apply)
    assert action.colour is BLUE
    sick = replace(seen, blue=up(BLUE, "r-0001", "1", Role.IDLE, Health.UNHEALTHY))
    assert isinstance(acts(story, sick), Wait)


def test_a_router_that_knows_how_long_it_takes_is_waited_for() -> None:
    story = second(Phase.START, Phase.CHECKS, Phase.SHIFT)
    told = serving(ALL_GREEN, blue=backend(OLD), green=backend(NEW))
    slow = look(replace(told, live=None, live_revision="", settles_at=story.now + 120), OLD, NEW)
    assert isinstance(acts(story, slow, story.now + 61), Wait)
    assert isinstance(acts(story, slow, story.now + 179), Wait)
    assert to(story, slow, story.now + 181) is Phase.ROLLING_BACK
    silent = look(replace(told, live=None, live_revision=""), OLD, NEW)
    assert to(story, silent, story.now + 61) is Phase.ROLLING_BACK


def test_steps_hold_wait_for_approval_and_go_on() -> None:
    plan = {"steps": (Step(5, hold=120.0), Step(50, approval=True), Step(100))}
    story = second(Phase.START, Phase.CHECKS, Phase.SHIFT, **plan).live(Split.share(GREEN, 5))
    seen = together(Split.share(GREEN, 5))
    assert to(story, seen, story.now + 119) is None
    moved = decide(story.service, seen, story.now + 121)
    assert isinstance(moved, Move)
    assert (moved.record.to, moved.record.step) == (Phase.SHIFT, 1)
    story.add(moved.record).live(Split.share(GREEN, 50))
    half = together(Split.share(GREEN, 50))
    assert to(story, half, story.now + 9999) is None
    assert to(story.ask("promote"), half) is Phase.SHIFT


def test_ft_2_nothing_is_stopped_that_the_router_still_uses() -> None:
    story = second(Phase.START).move(Phase.ABORTING)
    routed = [
        together(ALL_GREEN),
        replace(together(), routing=None, unseen={Need.ROUTING: "no answer"}),
        replace(together(), routing=replace(serving(ALL_BLUE), live=ALL_GREEN)),
        replace(together(), routing=Routing(running=True, told=None, live=None)),
    ]
    for seen in routed:
        for _ in range(4):
            decision = decide(story.service, seen, story.now)
            assert not (isinstance(decision, Do) and isinstance(decision.action, Remove))
            if isinstance(decision, Note):
                story.add(decision.record)


def test_a_colour_is_taken_out_of_the_router_and_drained_before_it_stops() -> None:
    story = Story().succeed("1").succeed("2", keep_warm=1.0, drain=30.0)
    old, new = replace(OLD, role=Role.IDLE), replace(NEW, role=Role.ACTIVE)
    out = acts(story, together(ALL_GREEN, old, new), story.now + 5)
    assert isinstance(out, Route)
    assert out.spec.blue.endpoints == ()
    gone = look(serving(ALL_GREEN, green=backend(new)), old, new)
    assert gone.routing is not None
    holding = replace(gone, routing=replace(gone.routing, holding={BLUE: 2}))
    assert isinstance(acts(story, holding, story.now + 5), Wait)
    assert acts(story, holding, story.now + 60) == Remove(BLUE)
    assert acts(story, gone, story.now + 5) == Remove(BLUE)


def test_a_warm_version_makes_room_for_the_next_release_without_a_circle() -> None:
    """Once it is out of the router it stays out: the baseline's new endpoints may be told, its own no more."""
    story = Story().succeed("1").succeed("2", keep_warm=3600.0, drain=30.0).deploy("3").move(Phase.START)
    old, new = replace(OLD, role=Role.IDLE), replace(NEW, role=Role.ACTIVE)
    out = acts(story, together(ALL_GREEN, old, new))
    assert isinstance(out, Route)
    assert out.spec == RoutingSpec(ALL_GREEN, green=backend(new))
    assert acts(story, look(serving(ALL_GREEN, green=backend(new)), old, new)) == Remove(BLUE)
    moved = replace(new, members=tuple(replace(m, endpoint=Endpoint("127.0.0.1", 9)) for m in new.members))
    again = acts(story, look(serving(ALL_GREEN, green=backend(new)), old, moved))
    assert isinstance(again, Route)
    assert again.spec == RoutingSpec(ALL_GREEN, green=backend(moved))


def test_what_is_warm_stays_until_its_time() -> None:
    story = Story().succeed("1").succeed("2", keep_warm=100.0)
    seen = together(ALL_GREEN, replace(OLD, role=Role.IDLE), replace(NEW, role=Role.ACTIVE))
    assert isinstance(acts(story, seen), Wait)
    again = acts(story, look(serving(ALL_GREEN, green=backend(NEW)), green=replace(NEW, role=Role.ACTIVE)))
    assert isinstance(again, Apply)
    assert (again.colour, again.spec.role) == (BLUE, Role.IDLE)


def test_ft_6_fresh_replicas_then_their_ports_then_the_orphans() -> None:
    story = Story().succeed("1")
    stale = serving(ALL_BLUE, blue=backend(OLD))
    orphans = EnvironmentStatus(BLUE, "r-0001", "1", None, (), OLD.endpoints)
    start = acts(story, look(stale, blue=orphans))
    assert isinstance(start, Apply)
    assert not start.spec.sweep
    fresh = replace(
        OLD, members=(replace(OLD.members[0], endpoint=Endpoint("127.0.0.1", 5001)),), leftovers=OLD.endpoints
    )
    told = acts(story, look(stale, blue=fresh))
    assert isinstance(told, Route)
    assert told.spec.blue.endpoints == fresh.endpoints
    story.add(Finished("-", "route", "-/idle/0/route/100-0/0", Outcome.DONE))
    served = look(serving(ALL_BLUE, blue=backend(fresh)), blue=fresh)
    assert isinstance(acts(story, served), Wait)  # what the orphans still answer is not cut off
    story.add(Judged("", "route", Verdict.FAIL, "somebody moved it"), at=story.now + 29.0)
    story.add(Judged("", "route", Verdict.PASS, "and back"))
    assert isinstance(acts(story, served, story.now + 2.0), Wait)  # nor what somebody else took from them just now
    swept = acts(story, served, story.now + 31.0)
    assert isinstance(swept, Apply)
    assert swept.spec.sweep


@pytest.mark.parametrize("phase", [Phase.START, Phase.CHECKS, Phase.SHIFT])
def test_ft_20_a_route_moved_by_somebody_else_stops_the_release_until_a_person_chooses(phase: Phase) -> None:
    path = [Phase.START, Phase.CHECKS, Phase.SHIFT]
    story = second(*path[: path.index(phase) + 1])
    moved = together(Split(40, 60))
    noted = decide(story.service, moved, story.now)
    assert isinstance(noted, Note)
    assert noted.record.subject == "route"
    story.add(noted.record)
    assert isinstance(acts(story, moved), Wait)
    put_back = acts(story.ask("reconcile"), moved)
    assert isinstance(put_back, Route)
    assert put_back.spec.split == ALL_BLUE


def test_drift_in_the_steady_state_is_said_put_back_or_accepted() -> None:
    story = Story().succeed("1").succeed("2", keep_warm=9000.0)
    old, new = replace(OLD, role=Role.IDLE), replace(NEW, role=Role.ACTIVE)
    moved = together(ALL_BLUE, old, new)
    noted = decide(story.service, moved, story.now)
    assert isinstance(noted, Note)
    story.add(noted.record)
    assert isinstance(acts(story, moved), Wait)
    back = replace_story(story).ask("reconcile")
    action = acts(back, moved)
    assert isinstance(action, Route)
    assert action.spec.split == ALL_GREEN
    accepted = decide(story.ask("reconcile", accept=True).service, moved, story.now)
    assert isinstance(accepted, Note)
    story.add(accepted.record)
    assert story.service.active is not None
    assert (story.service.active.version, story.service.drift) == ("1", "")


def test_ft_4_what_the_router_was_told_is_gone_or_unreadable() -> None:
    story = Story().succeed("1")
    damaged = look(Routing(running=True, told=None, live=ALL_BLUE, detail="told.json is damaged"), blue=OLD)
    noted = decide(story.service, damaged, story.now)
    assert isinstance(noted, Note)
    assert "damaged" in noted.record.reason


def test_ft_31_a_broken_baseline_does_not_stop_its_fix() -> None:
    story = second(Phase.START)
    key = "r-0002/start/0/apply/blue:r-0001:active/1"
    story.add(Started("r-0002", "apply", key), Finished("r-0002", "apply", key, Outcome.PERMANENT, "gone"))
    seen = look(serving(ALL_BLUE, blue=backend(OLD)), EnvironmentStatus(BLUE), EnvironmentStatus(GREEN))
    action = acts(story, seen)
    assert isinstance(action, Apply)
    assert action.colour is GREEN


def test_a_first_release_that_fails_with_traffic_keeps_it_and_says_failed() -> None:
    story = Story().deploy("1").move(Phase.START, Phase.CHECKS, Phase.SHIFT).live(ALL_BLUE).move(Phase.BAKE)
    sick = up(BLUE, "r-0001", "1", Role.ACTIVE, Health.UNHEALTHY)
    seen = look(serving(ALL_BLUE, blue=backend(sick)), sick)
    noted = decide(story.service, seen, story.now)
    assert isinstance(noted, Note)
    assert to(story.add(noted.record), seen) is Phase.FAILED


def test_a_crash_is_not_a_failure() -> None:
    story = second(Phase.START)
    for n in range(9):
        story.add(Started("r-0002", "apply", f"r-0002/start/0/apply/green:r-0002:idle/{n}"))
    assert isinstance(acts(story, together(green=EnvironmentStatus(GREEN))), Apply)


def test_down_stops_the_router_first() -> None:
    story = Story().succeed("1").add(Requested("down", "ada"))
    action = acts(story, look(serving(ALL_BLUE, blue=backend(OLD)), OLD))
    assert getattr(action, "verb", "") == "unroute"
    assert acts(story, look(blue=OLD)) == Remove(BLUE)
    assert isinstance(acts(story, look()), Wait)


def test_the_told_spec_is_the_whole() -> None:
    story = Story().succeed("1")
    assert isinstance(acts(story, look(serving(ALL_BLUE, blue=backend(OLD)), OLD)), Wait)
    partial = look(Routing(True, RoutingSpec(ALL_BLUE), ALL_BLUE, "7", "7"), OLD)
    action = acts(story, partial)
    assert isinstance(action, Route)
    assert action.spec.backend(Colour.BLUE).endpoints == OLD.endpoints


@pytest.mark.parametrize("split", [ALL_BLUE, ALL_GREEN])
def test_what_was_being_told_when_somebody_died_is_told_to_its_end(split: Split) -> None:
    """Told and never handed over: nobody else would do it, in whatever phase."""
    story = Story().succeed("1").deploy("2").move(Phase.START, Phase.CHECKS, Phase.SHIFT)
    blue, green = up(BLUE, "r-0001", "1", Role.ACTIVE), up(GREEN, "r-0002", "2")
    whole = serving(split, blue=backend(blue), green=backend(green))
    torn = replace(whole, live_revision="6", unfinished=True)
    if split == ALL_BLUE:
        story.move(Phase.BAKE).ask("rollback").move(Phase.ROLLING_BACK)
    decision = decide(story.service, look(torn, blue, green), story.now)
    assert decision == Do(Route(torn.told), "finish what the router was being told")
    settled = replace(whole, unfinished=True)
    assert not isinstance(decide(story.service, look(settled, blue, green), story.now), Do)


@pytest.mark.parametrize("again", ["resume", "deploy"])
def test_after_down_the_router_is_told_anew(again: str) -> None:
    """It was told nothing since: that is no drift, and nothing that a person must look at."""
    story = Story().succeed("1").add(Requested("down", "ada"))
    gone = Routing(running=False, detail="nothing was told yet")
    assert status_document("shop", story.service, look(gone), 0.0, lock=None, problems=[])["route"] == "in_sync"
    if again == "deploy":
        story.deploy("2")
    else:
        story.add(Requested("resume", "ada"))
    assert isinstance(acts(story, look(gone)), Apply)
    action = acts(story, look(gone, OLD))
    assert isinstance(action, Route)
    assert action.spec.split == ALL_BLUE


def test_a_dead_supervisor_is_not_the_candidates_fault() -> None:
    """Its orphans serve on, or everything died at once: it is started again, and goes back only if that takes too long."""
    story, seen = baking(bake=600.0)
    orphans = replace(up(GREEN, "r-0002", "2", Role.ACTIVE), members=(), leftovers=(ENDPOINT[GREEN],))
    nothing = EnvironmentStatus(GREEN)
    for look_now in (
        replace(seen, green=orphans),
        replace(seen, green=nothing, blue=EnvironmentStatus(BLUE)),
    ):
        noted = decide(story.service, look_now, story.now)
        assert isinstance(noted, Note)
        later = Story()
        later.service, later.now = story.service, story.now
        later.add(noted.record)
        assert isinstance(acts(later, look_now), Apply)
        fresh = replace(look_now, green=replace(look_now.green or nothing, members=NEW_STARTING))
        assert not isinstance(decide(later.service, fresh, later.now + 20), Move)
        assert to(later, fresh, later.now + 61) is Phase.ROLLING_BACK
    gone = replace(seen, green=nothing)
    noted = decide(story.service, gone, story.now)
    assert isinstance(noted, Note)
    assert to(story.add(noted.record), gone) is Phase.ROLLING_BACK


def test_with_a_journal_that_was_begun_anew_nothing_is_put_back_to_nowhere() -> None:
    """The old one was lost while something served: `reconcile` must not switch that off."""
    story = Story().deploy("2")
    seen = look(serving(ALL_GREEN, green=backend(NEW)), green=NEW)
    noted = decide(story.service, seen, story.now)
    assert isinstance(noted, Note)
    story.add(noted.record).ask("reconcile")
    assert isinstance(decide(story.service, seen, story.now), Wait)
    story.ask("abort").move(Phase.ABORTING)
    assert to(story, seen) is Phase.ABORTED


def test_an_abort_before_the_start_leaves_what_is_warm() -> None:
    story = Story().succeed("1").succeed("2").deploy("3").move(Phase.ABORTING)
    active = replace(NEW, role=Role.ACTIVE)
    seen = look(serving(ALL_GREEN, blue=backend(OLD), green=backend(NEW)), replace(OLD, role=Role.IDLE), active)
    assert to(story, seen) is Phase.ABORTED


def test_after_a_reboot_the_route_learns_of_the_replica_that_serves_while_another_starts_on_its_port_of_before() -> (
    None
):
    """Known: 4001 and 4011. Back so far: 4001, which only starts, and 5011 in the place of 4011, which serves."""
    known = Backend((ENDPOINT[BLUE], Endpoint("127.0.0.1", 4011)), "1", "r-0001")
    starting = Member("web", 0, Health.STARTING, ENDPOINT[BLUE])
    well = Member("web", 1, Health.HEALTHY, Endpoint("127.0.0.1", 5011))
    status = EnvironmentStatus(BLUE, "r-0001", "1", Role.ACTIVE, (starting, well))
    story = Story().succeed("1")
    scene = Scene(story.service, look(serving(ALL_BLUE, blue=known), status), story.now)
    assert well.endpoint in routed_backend(scene, BLUE, ALL_BLUE).endpoints
    # While a known one serves, or what an earlier supervisor left, nothing changes.
    alive = replace(status, members=(replace(starting, health=Health.HEALTHY), replace(well, health=Health.STARTING)))
    assert routed_backend(replace(scene, seen=replace(scene.seen, blue=alive)), BLUE, ALL_BLUE) == known
    left = replace(status, leftovers=(Endpoint("127.0.0.1", 4011),))
    assert routed_backend(replace(scene, seen=replace(scene.seen, blue=left)), BLUE, ALL_BLUE) == known
