"""Several hosts: proven on all before the first switches, and back on all if one does not follow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from greenroom.domain.commands import Allowed, Not
from greenroom.domain.model import Colour, Split
from greenroom.domain.phases import Phase, Status
from greenroom.domain.status import route_of, sentence, status_document, status_of
from greenroom.errors import Permanent
from greenroom.testing.faults import CRASHES, Fault, Faults
from greenroom.testing.world import Behaviour
from tests.engine.fleet import Fleet
from tests.engine.scenarios import SHORT
from tests.engine.stage import STEPS, findings
from tests.engine.test_matrix import spread

GREEN = Split.all_to(Colour.GREEN)
BLUE_LIVE, GREEN_LIVE = str(Split.all_to(Colour.BLUE)), str(GREEN)
STEPWISE = replace(SHORT, steps=STEPS)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def ready(**settings: Any) -> Fleet:
    fleet = Fleet(**{"plan": SHORT, **settings})
    fleet.established()
    return fleet


def status(fleet: Fleet) -> Status:
    release = fleet.service.release
    assert release is not None
    return status_of(fleet.service, release, fleet.clock.now())


def stuck(fleet: Fleet, phase: Phase) -> bool:
    """Let it go on until the release is stuck in this phase."""
    return fleet.run(300.0, lambda s: fleet.in_phase(phase)(s) and status(fleet) is Status.STUCK)


def told(fleet: Fleet) -> str:
    """The sentence that a person reads of the release."""
    release = fleet.service.release
    assert release is not None
    return sentence(fleet.service, release)


def cut_when_told(fleet: Fleet, split: Split, first: str, lost: str) -> None:
    """As soon as `first` was told this split, the way to `lost` is cut."""

    def then(machine: str, what: str) -> None:
        plane = fleet.worlds[machine].plane
        if (machine, what) == (first, "router.apply") and plane.told is not None and plane.told.split == split:
            fleet.wires.cut.add(lost)
            fleet.wires.then = lambda machine, what: None

    fleet.wires.then = then


def refusing(fleet: Fleet, name: str, split: Split) -> None:
    """This host's router refuses to be told such a split."""
    world = fleet.worlds[name]
    tell = world.tell

    def refuse(spec: object, epoch: int, **more: bool) -> None:
        if spec.split == split:  # type: ignore[attr-defined]
            raise Permanent("the configuration was refused")
        tell(spec, epoch, **more)  # type: ignore[arg-type]

    world.tell = refuse  # type: ignore[method-assign, assignment]


# --- before the first switch ------------------------------------------------------------------------------------------


def test_all_hosts_are_proven_before_the_first_one_switches() -> None:
    fleet = ready()
    fleet.worlds["app3"].behaviours["2.0"] = Behaviour(healthy_after=4.0)
    fleet.check.answers = findings("wait", "wait", "pass")
    fleet.deploy("2.0")
    begun = fleet.clock.now()
    fleet.run(60.0, lambda s: bool(fleet.shown(Colour.GREEN)))
    assert fleet.clock.now() - begun >= 4.0
    assert len(fleet.check.asked) == 4
    assert fleet.until_ended().phase is Phase.SUCCEEDED
    assert fleet.serves() == "2.0"
    fleet.run(30.0)
    fleet.assert_sound()


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(build_fails="no space left on device"),
        Behaviour(cannot_start="the image is for another platform"),
        Behaviour(healthy_after=None),
    ],
    ids=["make", "start", "health"],
)
def test_one_host_that_cannot_be_prepared_stops_it_before_any_traffic_moved(behaviour: Behaviour) -> None:
    fleet = ready()
    fleet.worlds["app2"].behaviours["2.0"] = behaviour
    fleet.deploy("2.0")
    assert fleet.until_ended().phase is Phase.ABORTED
    reason = behaviour.build_fails or behaviour.cannot_start or "not healthy within"
    assert reason in told(fleet)
    assert "app2" in told(fleet) or not (behaviour.build_fails or behaviour.cannot_start)
    assert fleet.shown(Colour.GREEN) == set()
    fleet.run(30.0)
    assert fleet.serves() == "1.0"
    assert all(world.groups[Colour.GREEN] is None for world in fleet.worlds.values())
    fleet.assert_sound()


@pytest.mark.parametrize("phase", [Phase.BUILD, Phase.START, Phase.CHECKS])
def test_a_host_that_is_lost_before_the_shift_aborts_it_in_time(phase: Phase) -> None:
    fleet = ready(plan=replace(SHORT, build_within=30.0))
    for world in fleet.worlds.values():
        world.behaviours["2.0"] = Behaviour(builds_in=2.0)
    fleet.check.answers = findings(*["wait"] * 40, "pass")
    fleet.when(fleet.in_phase(phase), lambda: fleet.wires.cut.add("app2"))
    fleet.deploy("2.0")
    begun = fleet.clock.now()
    assert fleet.until_ended().phase is Phase.ABORTED
    assert fleet.clock.now() - begun < 120.0
    assert "app2: cannot be reached" in told(fleet)
    assert fleet.shown(Colour.GREEN) == set()
    # what is left over there is removed as soon as it can be
    fleet.wires.cut.clear()
    fleet.run(30.0)
    assert all(world.groups[Colour.GREEN] is None for world in fleet.worlds.values())
    assert fleet.serves() == "1.0"
    fleet.assert_sound()


# --- in the middle of it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [SHORT, STEPWISE], ids=["at once", "in steps"])
def test_one_router_that_refuses_the_switch_takes_all_back(plan: object) -> None:
    fleet = ready(plan=plan)
    refusing(fleet, "app2", GREEN)
    fleet.deploy("2.0")
    fleet.run(60.0, lambda s: fleet.live("app1") == GREEN_LIVE)
    assert fleet.live("app2") != GREEN_LIVE
    assert fleet.service.active is not None
    assert fleet.service.active.version == "1.0"  # not all were seen to serve it: it is not called live
    assert fleet.until_ended().phase is Phase.ROLLED_BACK
    assert fleet.serves() == "1.0"
    fleet.run(30.0)
    fleet.assert_sound()


def test_a_host_that_is_lost_in_the_middle_and_comes_back_ends_as_the_others_did() -> None:
    fleet = ready()
    cut_when_told(fleet, GREEN, "app1", "app2")
    fleet.deploy("2.0")
    fleet.run(60.0, lambda s: bool(fleet.wires.cut))
    assert [fleet.live(name) for name in fleet.names] == [GREEN_LIVE, BLUE_LIVE, GREEN_LIVE]
    assert fleet.run(100.0, lambda s: fleet.live("app1") == fleet.live("app3") == BLUE_LIVE)
    assert stuck(fleet, Phase.ROLLING_BACK)
    assert "app2: cannot be reached" in told(fleet)
    fleet.wires.cut.clear()
    assert fleet.until_ended().phase is Phase.ROLLED_BACK
    assert fleet.serves() == "1.0"
    fleet.run(30.0)
    fleet.assert_sound()


def test_a_host_that_was_switched_and_then_lost_is_put_back_when_it_returns() -> None:
    fleet = ready(worker=False)
    cut_when_told(fleet, GREEN, "app2", "app2")
    fleet.deploy("2.0")
    fleet.run(300.0, lambda s: fleet.in_phase(Phase.ROLLING_BACK)(s) and fleet.live("app1") == BLUE_LIVE)
    assert [fleet.live(name) for name in fleet.names] == [BLUE_LIVE, GREEN_LIVE, BLUE_LIVE]
    fleet.run(20.0)
    assert fleet.worlds["app2"].groups[Colour.GREEN] is not None  # its users are served by what is kept there
    fleet.wires.cut.clear()
    assert fleet.until_ended().phase is Phase.ROLLED_BACK
    assert fleet.serves() == "1.0"
    fleet.assert_sound()


def test_a_rollback_by_hand_does_not_wait_for_a_host_that_is_lost() -> None:
    fleet = ready(plan=replace(SHORT, bake=600.0))
    fleet.deploy("2.0")
    fleet.run(60.0, fleet.in_phase(Phase.BAKE))
    fleet.wires.cut.add("app2")
    fleet.run(1.0)
    asked = fleet.clock.now()
    assert isinstance(fleet.request("rollback"), Allowed)
    assert fleet.run(10.0, lambda s: fleet.live("app1") == fleet.live("app3") == BLUE_LIVE)
    assert fleet.clock.now() - asked < 1.0
    fleet.wires.cut.clear()
    assert fleet.until_ended().phase is Phase.ROLLED_BACK
    fleet.run(30.0)
    fleet.assert_sound()


def test_a_host_that_is_lost_for_good_is_left_behind_by_a_person() -> None:
    """Stuck says why; the way out is `reconcile --accept`, and then a release without that host."""
    fleet = ready(worker=False)  # what the lost host still runs is nobody's any more
    cut_when_told(fleet, GREEN, "app1", "app2")
    fleet.deploy("2.0")
    assert stuck(fleet, Phase.ROLLING_BACK)
    assert isinstance(fleet.request("deploy", version="3.0", plan={}, definition={}), Not)
    assert isinstance(fleet.request("reconcile", accept=True), Allowed)
    assert fleet.until_ended().phase is Phase.ROLLED_BACK
    assert fleet.service.active is not None
    assert fleet.service.active.version == "1.0"
    assert not fleet.service.drift
    fleet.run(5.0)
    fleet.on("app1", "app3")
    fleet.deploy("3.0")
    assert fleet.until_ended().phase is Phase.SUCCEEDED
    fleet.run(30.0)
    assert fleet.serves_on("app1", "app3") == "3.0"
    assert not [world.violations for world in fleet.worlds.values() if world.violations]


# --- routers on hosts of their own --------------------------------------------------------------------------------------

APART: dict[str, Any] = {"names": ("app1", "app2"), "proxies": ("lb1", "lb2")}


def test_routers_apart_lead_to_all_hosts() -> None:
    fleet = ready(**APART)
    fleet.deploy("2.0")
    assert fleet.until_ended().phase is Phase.SUCCEEDED
    assert fleet.serves() == "2.0"
    fleet.run(30.0)
    assert all(world.groups[Colour.BLUE] is None for world in fleet.apps.values())
    fleet.request("rollback")
    fleet.assert_sound()


def test_one_router_apart_that_refuses_takes_all_back() -> None:
    fleet = ready(**APART)
    refusing(fleet, "lb2", GREEN)
    fleet.deploy("2.0")
    assert fleet.until_ended().phase is Phase.ROLLED_BACK
    assert fleet.shown(Colour.GREEN) == {"lb1"}
    assert fleet.serves() == "1.0"
    fleet.run(30.0)
    fleet.assert_sound()


def test_a_router_apart_that_is_lost_in_the_middle_ends_as_the_other_did() -> None:
    fleet = ready(**APART)
    cut_when_told(fleet, GREEN, "lb1", "lb1")
    fleet.deploy("2.0")
    assert fleet.run(200.0, lambda s: fleet.in_phase(Phase.ROLLING_BACK)(s) and fleet.live("lb2") == BLUE_LIVE)
    fleet.run(100.0)
    assert fleet.live("lb1") == GREEN_LIVE
    assert all(world.groups[Colour.GREEN] is not None for world in fleet.apps.values())
    fleet.wires.cut.clear()
    assert fleet.until_ended().phase is Phase.ROLLED_BACK
    fleet.run(30.0)
    fleet.assert_sound()


def test_an_application_host_that_is_lost_for_good_does_not_hold_up_the_way_back() -> None:
    fleet = ready(plan=replace(SHORT, bake=600.0), **APART)
    fleet.deploy("2.0")
    fleet.run(60.0, fleet.in_phase(Phase.BAKE))
    fleet.wires.cut.add("app2")
    fleet.run(30.0)
    fleet.request("rollback")
    assert fleet.run(5.0, lambda s: fleet.live("lb1") == fleet.live("lb2") == BLUE_LIVE)
    assert stuck(fleet, Phase.ROLLING_BACK)
    assert isinstance(fleet.request("reconcile", accept=True), Allowed)
    assert fleet.until_ended().phase is Phase.ROLLED_BACK
    assert fleet.service.active is not None
    assert fleet.service.active.version == "1.0"
    fleet.wires.cut.clear()
    fleet.run(60.0)
    assert fleet.serves() == "1.0"
    fleet.assert_sound()


# --- afterwards -------------------------------------------------------------------------------------------------------


def test_a_host_that_cannot_be_seen_in_the_bake_is_neither_well_nor_ill() -> None:
    fleet = ready(plan=replace(SHORT, bake=20.0))
    fleet.deploy("2.0")
    fleet.run(60.0, fleet.in_phase(Phase.BAKE))
    fleet.wires.cut.add("app2")
    assert stuck(fleet, Phase.BAKE)
    fleet.run(30.0)
    assert stuck(fleet, Phase.BAKE)
    assert "app2: cannot be reached" in told(fleet)
    assert {fleet.live(name) for name in fleet.names} == {GREEN_LIVE}
    fleet.wires.cut.clear()
    assert fleet.until_ended().phase is Phase.SUCCEEDED
    fleet.run(30.0)
    fleet.assert_sound()


def test_a_candidate_that_dies_where_we_can_see_it_goes_back_though_another_host_is_lost() -> None:
    fleet = ready(plan=replace(SHORT, bake=600.0))
    fleet.worlds["app1"].behaviours["2.0"] = Behaviour(dies_after=30.0)
    fleet.deploy("2.0")
    fleet.run(60.0, fleet.in_phase(Phase.BAKE))
    fleet.wires.cut.add("app2")
    fleet.run(60.0, lambda s: fleet.live("app1") == fleet.live("app3") == BLUE_LIVE)
    assert fleet.in_phase(Phase.ROLLING_BACK)(fleet)
    assert fleet.live("app2") == GREEN_LIVE


def test_when_nothing_is_released_a_lost_host_changes_nothing_and_is_told_of() -> None:
    fleet = ready()
    fleet.deploy("2.0")
    fleet.until_ended()
    fleet.wires.cut.add("app2")
    fleet.run(20.0)
    service, seen = fleet.engine.service, fleet.engine.seen
    assert seen is not None
    assert not service.drift
    assert route_of(service, seen, fleet.clock.now()) == "unknown"
    document = status_document("shop", service, seen, fleet.clock.now(), lock=None, problems=[])
    assert document["environments"]["green"]["state"] == "unknown"
    assert "app2: cannot be reached" in document["environments"]["green"]["detail"]
    assert service.unseen is not None
    fleet.wires.cut.clear()
    fleet.run(30.0)
    assert route_of(fleet.engine.service, fleet.engine.seen, fleet.clock.now()) == "in_sync"
    assert fleet.engine.service.unseen is None
    assert all(world.groups[Colour.BLUE] is None for world in fleet.worlds.values())
    fleet.assert_sound()


def test_one_lost_host_does_not_keep_new_addresses_from_the_others() -> None:
    fleet = ready()
    fleet.wires.cut.add("app2")
    fleet.run(5.0)
    fleet.worlds["app1"].reboot()
    assert fleet.run(60.0, lambda s: fleet.serves_on("app1") == "1.0")
    fleet.wires.cut.clear()
    fleet.run(30.0)
    fleet.assert_sound(lost=float("inf"))


def test_a_host_more_gets_what_is_live_before_the_release_begins_on_it() -> None:
    fleet = ready()
    fleet.add("app4")
    fleet.names = (*fleet.names, "app4")
    fleet.on(*fleet.names)
    fleet.deploy("2.0")
    assert fleet.until_ended().phase is Phase.SUCCEEDED
    assert fleet.serves() == "2.0"
    fleet.run(30.0)
    fleet.assert_sound()


def test_the_first_release_on_several_hosts_and_down() -> None:
    fleet = Fleet(plan=SHORT)
    fleet.deploy("1.0")
    assert fleet.until_ended().phase is Phase.SUCCEEDED
    fleet.request("down")
    fleet.run(30.0)
    assert all(not world.plane.running for world in fleet.worlds.values())
    assert all(world.groups[Colour.BLUE] is None for world in fleet.worlds.values())
    fleet.assert_sound()


# --- killed between two hosts -----------------------------------------------------------------------------------------


def forward(fleet: Fleet) -> None:
    fleet.deploy("2.0")
    fleet.until_ended()
    fleet.run(20.0)


def there_and_back(fleet: Fleet) -> None:
    fleet.when(fleet.in_phase(Phase.BAKE), lambda: fleet.request("rollback"))
    forward(fleet)


def failing(fleet: Fleet) -> None:
    fleet.check.answers = findings("wait", "fail")
    forward(fleet)


TWO: dict[str, Any] = {"names": ("app1", "app2")}
PLAYS = {"forward": (forward, "2.0"), "back": (there_and_back, "1.0"), "abort": (failing, "1.0")}


def deeds(play: Callable[[Fleet], None], serves: str, **settings: Any) -> list[int]:
    """The calls by which a member is changed, when nothing goes wrong."""
    fleet = ready(**settings)
    play(fleet)
    assert fleet.serves() == serves
    fleet.assert_sound()
    return [n for n, name in enumerate(fleet.faults.boundaries) if name.split(".")[-1] in ("apply", "remove")]


def injected(
    play: Callable[[Fleet], None], faults: dict[int, Fault], *, dead_is_known: bool = True, **settings: Any
) -> None:
    fleet = Fleet(plan=SHORT, faults=Faults(faults), dead_is_known=dead_is_known, **settings)
    try:
        fleet.established()
        play(fleet)
        fleet.run(30.0)
        fleet.assert_sound()
        assert fleet.serves() in ("1.0", "2.0"), fleet.story()
    except AssertionError as error:
        what = ", ".join(f"{fault} at {n}" for n, fault in faults.items())
        raise AssertionError(f"{what}: {error}") from error


@pytest.mark.parametrize("name", PLAYS)
def test_killed_before_or_after_any_change_of_any_host_the_next_engine_goes_on(name: str) -> None:
    play, serves = PLAYS[name]
    for n in deeds(play, serves, **TWO):
        for fault in CRASHES:
            injected(play, {n: fault}, dead_is_known=n % 2 == 0, **TWO)


@pytest.mark.parametrize("name", PLAYS)
def test_any_fault_of_any_host_harms_nobody(name: str) -> None:
    play, serves = PLAYS[name]
    pairs = [(n, fault) for n in deeds(play, serves) for fault in Fault if fault not in CRASHES]
    for n, fault in spread(pairs, 20, name):
        injected(play, {n: fault}, dead_is_known=n % 3 != 0)


@pytest.mark.parametrize("name", PLAYS)
def test_any_fault_of_any_router_apart_harms_nobody(name: str) -> None:
    play, serves = PLAYS[name]
    pairs = [(n, fault) for n in deeds(play, serves, **APART) for fault in Fault]
    for n, fault in spread(pairs, 20, name):
        injected(play, {n: fault}, dead_is_known=n % 3 != 0, **APART)


@pytest.mark.soak
@pytest.mark.parametrize("name", PLAYS)
@pytest.mark.parametrize("settings", [{}, APART], ids=["own", "apart"])
def test_every_fault_of_every_host(name: str, settings: dict[str, Any]) -> None:
    play, serves = PLAYS[name]
    for n in deeds(play, serves, **settings):
        for fault in Fault:
            injected(play, {n: fault}, dead_is_known=n % 3 != 0, **settings)
