"""The routers of several hosts as one route: what it says, and who is told what."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from greenroom.adapters.envoy.settings import EnvoySettings
from greenroom.adapters.routers.envoy import EnvoyRouter
from greenroom.adapters.several.router import SeveralRouters
from greenroom.adapters.several.side_by_side import Pool, SideBySide
from greenroom.domain.model import Backend, Colour, Endpoint, First, Mirror, Routing, RoutingSpec, Split
from greenroom.domain.phases import Phase
from greenroom.errors import Permanent, PortError, Temporary, Uncertain
from greenroom.ports import ActionKey, Capability, Facts, Place

BLUE, GREEN = Colour.BLUE, Colour.GREEN
ALL_BLUE, ALL_GREEN = Split.all_to(BLUE), Split.all_to(GREEN)
NAMES = ("app1", "app2", "app3")
AWAY = Temporary("cannot be reached: timed out")


class OneRouter:
    """A router in memory. `lost`: how it cannot be reached; `refuses`: why it is not told anything."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.WEIGHTS, Capability.HOSTS})

    def __init__(self, name: str) -> None:
        self.name = name
        self.routing = Routing(running=False)
        self.lost: Exception | None = None
        self.refuses: Exception | None = None
        self.gate: threading.Event | None = None
        self.tellings: list[RoutingSpec] = []

    def observe(self) -> Routing:
        if self.lost is not None:
            raise self.lost
        return self.routing

    def apply(self, spec: RoutingSpec, key: ActionKey) -> None:
        if self.gate is not None:
            assert self.gate.wait(30)
        if self.lost or self.refuses:
            raise self.lost or self.refuses  # type: ignore[misc]
        if key.epoch < self.routing.epoch:
            raise Permanent("told under a newer lease")
        self.tellings.append(spec)
        revision = f"{len(self.tellings)}-{self.name}"
        self.routing = Routing(True, spec, spec.split, revision, revision, key.epoch, {BLUE: 1, GREEN: 2})

    def remove(self) -> None:
        if self.lost is not None:
            raise self.lost
        self.routing = Routing(running=False)

    def reach(self, test: bool = False) -> tuple[str, Mapping[str, str]]:
        return f"http://{self.name}", {"x-test": "1"} if test else {}

    def inspect(self, colour: Colour) -> Mapping[str, Facts]:
        return {"upstream": Facts({"keepalive": "32"})}


class Fleet:
    def __init__(self, own: bool = True, pool: Pool | None = None) -> None:
        self.members = {name: OneRouter(name) for name in NAMES}
        self.router = SeveralRouters(self.members, own, pool)

    def tell(self, split: Split, phase: str = Phase.SHIFT, *, epoch: int = 1, **more: Any) -> None:
        self.router.apply(spec(split, **more), ActionKey("r-2", phase, 0, "route", str(split), 0, epoch))

    def splits(self) -> list[Split | None]:
        return [m.routing.told.split if m.routing.told else None for m in self.members.values()]


def backend(release: str, port: int, names: tuple[str, ...] = NAMES) -> Backend:
    return Backend(tuple(Endpoint("127.0.0.1", port, name) for name in names), release, release)


def spec(split: Split, *, names: tuple[str, ...] = NAMES, test: Colour | None = None, port: int = 1) -> RoutingSpec:
    return RoutingSpec(split, backend("r-1", port, names), backend("r-2", 2, names), test)


# --- what is seen -----------------------------------------------------------------------------------------------------


def test_told_to_all_it_is_live_and_what_was_told_is_one_again() -> None:
    fleet = Fleet()
    nothing = fleet.router.observe()
    assert (nothing.running, nothing.told, nothing.detail, nothing.unfinished) == (False, None, "", False)
    fleet.tell(ALL_BLUE, test=GREEN)
    seen = fleet.router.observe()
    assert seen.settled
    assert (seen.told, seen.live, seen.epoch) == (spec(ALL_BLUE, test=GREEN), ALL_BLUE, 1)
    assert seen.holding == {BLUE: 3, GREEN: 6}
    assert (seen.unfinished, seen.unseen, seen.detail) == (False, (), "")


def test_each_is_told_of_its_own_host_only_as_that_host_sees_it() -> None:
    fleet = Fleet()
    fleet.tell(ALL_BLUE)
    for member in fleet.members.values():
        assert member.tellings[-1].blue == Backend((Endpoint("127.0.0.1", 1),), "r-1", "r-1")


def test_routers_apart_are_told_of_all_and_of_which_machine_each_is() -> None:
    fleet = Fleet(own=False)
    fleet.tell(ALL_BLUE)
    assert all(member.tellings[-1] == spec(ALL_BLUE) for member in fleet.members.values())
    assert fleet.router.observe().told == spec(ALL_BLUE)


@pytest.mark.parametrize("own", [True, False])
def test_hosts_that_differ_are_unfinished_and_nothing_is_live(own: bool) -> None:
    fleet = Fleet(own)
    fleet.tell(ALL_BLUE)
    before = fleet.router.observe().revision
    fleet.members["app2"].refuses = Permanent("nginx -t: unexpected }")
    with pytest.raises(Permanent, match=r"app2: nginx -t: unexpected }; done on app1, app3"):
        fleet.tell(ALL_GREEN)
    seen = fleet.router.observe()
    assert seen.told == spec(ALL_GREEN)
    assert seen.live is None
    assert seen.unfinished
    assert not seen.settled
    assert seen.revision != before
    assert "app2: was told blue 100 · green 0, serves blue 100 · green 0" in seen.detail
    assert "app1, app3: was told blue 0 · green 100" in seen.detail


def test_the_newest_is_what_was_told_under_the_newest_lease() -> None:
    fleet = Fleet()
    fleet.tell(ALL_GREEN, epoch=4)
    one = fleet.members["app3"]
    one.apply(replace(spec(ALL_BLUE, names=("",))), ActionKey("r-2", Phase.ROLLING_BACK, 0, "route", "", 0, 5))
    seen = fleet.router.observe()
    assert seen.told == spec(ALL_BLUE)  # with what the others know of the same releases
    assert (seen.epoch, seen.unfinished) == (5, True)


def test_a_split_that_is_told_and_not_yet_live_on_one_is_not_live() -> None:
    fleet = Fleet()
    fleet.tell(ALL_BLUE)
    fleet.tell(ALL_GREEN)
    slow = fleet.members["app2"]
    slow.routing = replace(slow.routing, live=ALL_BLUE, live_revision="1-app2")
    seen = fleet.router.observe()
    assert (seen.told, seen.live, seen.settled, seen.unfinished) == (spec(ALL_GREEN), None, False, False)
    slow.routing = replace(slow.routing, live=ALL_GREEN)  # the same split, of an earlier telling
    assert not fleet.router.observe().settled


def test_one_that_does_not_run_or_was_never_told_is_finished_by_telling() -> None:
    for routing in (Routing(running=False, told=spec(ALL_BLUE, names=("",))), Routing(running=False)):
        fleet = Fleet()
        fleet.tell(ALL_BLUE)
        fleet.members["app2"].routing = routing
        seen = fleet.router.observe()
        assert (seen.running, seen.live, seen.unfinished, seen.settled) == (True, None, True, False)
        assert seen.told is not None
        assert seen.told.split == ALL_BLUE


def test_ft_4_one_that_somebody_changed_makes_it_unreadable() -> None:
    fleet = Fleet()
    fleet.tell(ALL_BLUE)
    member = fleet.members["app2"]
    member.routing = replace(member.routing, told=None, detail="changed by somebody else: route.conf")
    seen = fleet.router.observe()
    assert (seen.told, seen.live, seen.unfinished) == (None, None, False)
    assert seen.detail == "app2: changed by somebody else: route.conf"
    fleet.tell(ALL_BLUE)  # telling anew is how it is repaired
    assert fleet.router.observe().settled


def test_one_that_cannot_be_seen_is_named_and_nothing_is_called_live() -> None:
    fleet = Fleet()
    fleet.tell(ALL_BLUE)
    fleet.members["app2"].lost = AWAY
    seen = fleet.router.observe()
    assert (seen.running, seen.live, seen.settled, seen.unfinished) == (True, None, False, False)
    assert seen.told == spec(ALL_BLUE, names=("app1", "app3"))
    assert seen.unseen == ("app2: cannot be reached: timed out",)
    assert "app2: cannot be reached: timed out" in seen.detail


def test_what_was_told_is_unknown_where_only_silent_hosts_could_know() -> None:
    fleet = Fleet()
    fleet.members["app2"].lost = AWAY
    with pytest.raises(Temporary, match="app2: cannot be reached"):
        fleet.router.observe()


# --- who is told ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [AWAY, Permanent("the host key is not the known one"), OSError("what")])
def test_nothing_is_switched_while_one_cannot_be_reached(lost: Exception) -> None:
    fleet = Fleet()
    fleet.tell(ALL_BLUE)
    fleet.members["app2"].lost = lost
    with pytest.raises(Temporary, match=r"app2: .*nothing was switched"):
        fleet.tell(ALL_GREEN)
    assert fleet.splits() == [ALL_BLUE] * 3
    fleet.members["app2"].lost = None
    fleet.tell(ALL_GREEN)
    assert fleet.router.observe().settled


@pytest.mark.parametrize("phase", [Phase.ROLLING_BACK, Phase.ABORTING, "idle"])
def test_going_back_does_not_wait_for_a_host_that_is_lost(phase: str) -> None:
    fleet = Fleet()
    fleet.tell(ALL_GREEN)
    fleet.members["app2"].lost = AWAY
    with pytest.raises(Uncertain, match=r"app2: cannot be reached: timed out; done on app1, app3"):
        fleet.tell(ALL_BLUE, phase)
    assert fleet.splits() == [ALL_BLUE, ALL_GREEN, ALL_BLUE]


def test_new_addresses_reach_those_that_can_be_reached() -> None:
    fleet = Fleet()
    fleet.tell(ALL_BLUE)
    fleet.members["app2"].lost = AWAY
    with pytest.raises(Uncertain, match="app2: cannot be reached"):
        fleet.tell(ALL_BLUE, names=("app1", "app3"), port=9)
    assert [m.tellings[-1].blue.endpoints[0].port for m in fleet.members.values()] == [9, 1, 9]


def test_no_router_is_told_to_send_users_to_nowhere() -> None:
    fleet = Fleet()
    fleet.tell(ALL_BLUE)
    with pytest.raises(Temporary, match=r"app2: has no replica of green.*nothing was switched"):
        fleet.tell(ALL_GREEN, names=("app1", "app3"))
    assert fleet.splits() == [ALL_BLUE] * 3
    with pytest.raises(Uncertain, match="app2: has no replica of blue"):
        fleet.tell(ALL_BLUE, Phase.ROLLING_BACK, names=("app1", "app3"))
    assert fleet.members["app2"].tellings == [spec(ALL_BLUE, names=("",))]


def test_who_goes_first_moves_users_too() -> None:
    fleet, staff = Fleet(), First("x-staff", "", GREEN)
    fleet.tell(ALL_BLUE)
    told = replace(spec(ALL_BLUE), first=staff, mirror=Mirror(GREEN, 10), shield=GREEN)
    key = ActionKey("r-2", Phase.SHIFT, 0, "route", "router", 0, 1)
    fleet.members["app2"].lost = AWAY
    with pytest.raises(Temporary, match="nothing was switched on any host"):
        fleet.router.apply(told, key)
    fleet.members["app2"].lost = None
    nowhere = replace(told, green=backend("r-2", 2, ("app1", "app2")))
    with pytest.raises(Temporary, match="app3: has no replica of green"):
        fleet.router.apply(nowhere, key)
    assert fleet.splits() == [ALL_BLUE] * 3
    fleet.router.apply(told, key)
    assert fleet.router.observe().told == told
    # One that knows less of it than the others has not been told.
    fleet.members["app2"].apply(replace(told, shield=None), key)
    assert not fleet.router.observe().settled


def test_ft_51_an_older_lease_switches_none_of_them() -> None:
    fleet = Fleet()
    fleet.tell(ALL_BLUE, epoch=3)
    one = fleet.members["app3"]
    one.routing = replace(one.routing, epoch=4)
    with pytest.raises(Permanent, match="app3: was told something under a newer lease"):
        fleet.tell(ALL_GREEN, epoch=3)
    assert fleet.splits() == [ALL_BLUE] * 3


def test_each_host_has_an_action_of_its_own() -> None:
    keys: list[str] = []

    class Noting(OneRouter):
        def apply(self, spec: RoutingSpec, key: ActionKey) -> None:
            keys.append(key.target)

    router = SeveralRouters({name: Noting(name) for name in NAMES}, own=True)
    router.apply(spec(ALL_BLUE), ActionKey("r-2", "shift", 0, "route", "100-0", 0, 1))
    assert sorted(keys) == ["100-0@app1", "100-0@app2", "100-0@app3"]


@contextmanager
def hanging(member: OneRouter) -> Iterator[threading.Event]:
    gate = member.gate = threading.Event()
    try:
        yield gate
    finally:
        gate.set()


def test_a_switch_that_hangs_on_one_host_is_not_lost_sight_of() -> None:
    """It lands after the others went back: until then nothing is called live, and then it is seen, and finished."""
    fleet = Fleet(pool=SideBySide(act_within=0.5))
    fleet.tell(ALL_BLUE)
    slow = fleet.members["app2"]
    with hanging(slow) as gate:
        with pytest.raises(Uncertain, match=r"app2: no answer within .* done on app1, app3"):
            fleet.tell(ALL_GREEN)
        slow.gate = None
        with pytest.raises(Uncertain, match=r"app2: it is still busy.*done on app1, app3"):
            fleet.tell(ALL_BLUE, Phase.ROLLING_BACK)
        seen = fleet.router.observe()
        assert fleet.splits() == [ALL_BLUE] * 3  # so it looks; and yet
        assert not seen.settled
        assert seen.live is None
        assert "app2: still being told" in seen.detail
        gate.set()
        landed = threading.Event()
        while fleet.splits() != [ALL_BLUE, ALL_GREEN, ALL_BLUE]:
            assert not landed.wait(0.01)
    while not (seen := fleet.router.observe()).unfinished:
        assert not landed.wait(0.01)
    assert seen.told == spec(ALL_BLUE)
    fleet.tell(ALL_BLUE, Phase.ROLLING_BACK)
    assert fleet.router.observe().settled


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_removed_on_all_or_it_says_where_not() -> None:
    fleet = Fleet()
    fleet.tell(ALL_BLUE)
    fleet.members["app2"].lost = AWAY
    with pytest.raises(Uncertain, match="app2: cannot be reached"):
        fleet.router.remove()
    fleet.members["app2"].lost = None
    assert fleet.router.observe().running
    fleet.router.remove()
    assert not fleet.router.observe().running


def test_it_is_reached_by_way_of_the_first_and_shows_what_each_runs_with() -> None:
    fleet = Fleet()
    assert fleet.router.reach(test=True) == ("http://app1", {"x-test": "1"})
    assert set(fleet.router.inspect(BLUE)) == {"app1/upstream", "app2/upstream", "app3/upstream"}
    assert fleet.router.capabilities == OneRouter.capabilities


def test_a_real_router_keeps_the_machine_of_what_it_was_told(tmp_path: Path) -> None:
    """Where routers stand apart from the applications, what was told must come back as it was."""
    settings = EnvoySettings(listen="127.0.0.1:18080")  # type: ignore[arg-type]
    routers = {
        n: EnvoyRouter(settings, Place("shop", tmp_path / "greenroom.yaml", tmp_path / n)) for n in ("lb1", "lb2")
    }
    router = SeveralRouters(routers, own=False)
    try:
        router.apply(spec(ALL_BLUE), ActionKey("r-2", "shift", 0, "route", "100-0", 0, 1))
    except PortError as error:
        raise AssertionError(f"it can be told without running: {error}") from error
    assert router.observe().told == spec(ALL_BLUE)
