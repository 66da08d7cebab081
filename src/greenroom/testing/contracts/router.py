"""What every router promises, as tests: subclass `RouterContract` and give it a `bench`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

import pytest

from greenroom.domain.model import Backend, Colour, First, Mirror, Routing, RoutingSpec, Split
from greenroom.errors import Permanent, PortError
from greenroom.ports import ActionKey, Capability, Router

PATIENCE = 60.0
"""Seconds within which a router on the bench follows, on a busy machine."""
SWITCHES = 40
BLUE, GREEN = Colour.BLUE, Colour.GREEN


@dataclass(frozen=True)
class Server:
    """Who answered a request."""

    colour: Colour
    version: str


@dataclass(frozen=True)
class Reply:
    """What a user got: `by`: from whom, None if from neither colour. `cookie`: the one that it sets, as it is sent back."""

    status: int
    by: Colour | None = None
    cookie: str = ""


@dataclass
class Failing:
    """Something that answers everything with 500. `received`: how often, by method."""

    backend: Backend
    received: Counter[str]


class Load(Protocol):
    """Clients that never stop. `failed`: requests without a right answer; `late(since, until, wanted)`: requests sent
    within this time (`time.monotonic`) that were not answered by the wanted colour.
    """

    @property
    def failed(self) -> list[str]: ...

    def late(self, since: float, until: float, wanted: Colour) -> list[str]: ...


class Held(Protocol):
    """An open connection, like a WebSocket."""

    def answers(self) -> Server:
        """Who answers on it now; raises if it is cut."""

    def close(self) -> None: ...


class RouterBench(Protocol):
    """What the contract needs to know of a router beside its port."""

    def router(self) -> Router:
        """Each call as another process would make it."""

    def backend(self, colour: Colour) -> Backend:
        """Something that answers, fresh at each call, with a version of its own."""

    def pause(self) -> None:
        """Let a little time pass."""

    def ask(self, test: bool = False) -> Server | None:
        """Who answers one request, asked at the data plane; None: nobody."""

    def shares(self, requests: int) -> Mapping[Colour, int]:
        """Who answers so many requests."""

    def load(self) -> AbstractContextManager[Load]: ...

    def hold(self) -> Held | None:
        """Open a connection that stays; None if this data plane knows none."""

    def stall(self) -> bool:
        """From now on the data plane does not learn what is told, until it is killed. False: not to be had."""

    def meddle(self) -> bool:
        """Change what the router was told, behind its back. False: not to be had."""

    def demanding(self) -> Router | None:
        """A router with a setting that the data plane refuses; None: not to be had."""

    def kill(self) -> None:
        """Kill the data plane; what keeps it running starts it again."""

    # The rest is asked for only where the router has the capability.

    def send(self, method: str = "GET", headers: Mapping[str, str] | None = None) -> Reply:
        """One request of a user. FIRST, SHIELD, MIRROR, STICKY."""

    def failing(self, colour: Colour) -> Failing:
        """SHIELD, MIRROR."""

    def sticky(self) -> Router | None:
        """A router that keeps users on their colour; None if this one cannot be made so any more. STICKY."""


class RouterContract:
    """A subclass gives a fixture `bench` that returns a `RouterBench`, fresh for each test."""

    @pytest.fixture
    def bench(self) -> RouterBench:
        raise NotImplementedError("a subclass gives the bench")

    def test_nothing_told_is_no_error(self, bench: RouterBench) -> None:
        seen = bench.router().observe()
        assert seen.told is None
        assert not seen.running
        assert not seen.settled
        assert not seen.detail  # anything else would say that what it was told cannot be read

    def test_what_is_told_becomes_live_and_others_see_it(self, bench: RouterBench) -> None:
        spec = both(bench, Split.all_to(BLUE), test=GREEN)
        bench.router().apply(spec, key(3))
        seen = settle(bench)
        assert (seen.told, seen.live, seen.epoch) == (spec, Split.all_to(BLUE), 3)
        assert seen.live_revision == seen.revision != ""
        assert bench.ask() == Server(BLUE, spec.blue.version)

    def test_telling_it_again_changes_nothing(self, bench: RouterBench) -> None:
        spec = both(bench, Split.all_to(BLUE))
        bench.router().apply(spec, key())
        first = settle(bench)
        bench.router().apply(spec, key())
        again = bench.router().observe()
        assert again.settled
        assert again.revision == first.revision

    def test_each_telling_has_a_revision_of_its_own(self, bench: RouterBench) -> None:
        spec, revisions = both(bench, Split.all_to(BLUE)), set()
        for colour in (BLUE, GREEN, BLUE):
            bench.router().apply(moved(spec, Split.all_to(colour)), key())
            revisions.add(settle(bench).revision)
        assert len(revisions) == 3

    def test_who_holds_an_older_lease_moves_nothing(self, bench: RouterBench) -> None:
        spec = both(bench, Split.all_to(BLUE))
        bench.router().apply(spec, key(5))
        settle(bench)
        with pytest.raises(Permanent):
            bench.router().apply(moved(spec, Split.all_to(GREEN)), key(4))
        assert settle(bench).told == spec
        assert bench.ask() == Server(BLUE, spec.blue.version)
        bench.router().apply(spec, key(6))
        assert settle(bench).epoch == 6
        with pytest.raises(Permanent):
            bench.router().apply(spec, key(5))

    def test_shares_are_kept(self, bench: RouterBench) -> None:
        if Capability.WEIGHTS not in bench.router().capabilities:
            with pytest.raises(Permanent):
                bench.router().apply(both(bench, Split(20, 80)), key())
            return
        bench.router().apply(both(bench, Split(20, 80)), key())
        assert settle(bench).live == Split(20, 80)
        count = bench.shares(1000)
        # Six standard deviations: once in a billion runs.
        assert abs(count[BLUE] - 200) <= 76
        assert count[BLUE] + count[GREEN] == 1000

    def test_the_test_route_leads_to_its_colour_only(self, bench: RouterBench) -> None:
        spec = both(bench, Split.all_to(BLUE), test=GREEN)
        bench.router().apply(spec, key())
        settle(bench)
        assert bench.ask(test=True) == Server(GREEN, spec.green.version)
        assert bench.ask() == Server(BLUE, spec.blue.version)
        bench.router().apply(moved(spec, Split.all_to(BLUE)), key())
        settle(bench)
        assert bench.ask(test=True) is None

    def test_nothing_routed_reaches_nobody(self, bench: RouterBench) -> None:
        spec = both(bench, Split.all_to(BLUE))
        bench.router().apply(spec, key())
        settle(bench)
        bench.router().apply(RoutingSpec(Split.none()), key())
        assert settle(bench).live == Split.none()
        assert bench.ask() is None

    def test_endpoints_of_the_same_colour_are_replaced(self, bench: RouterBench) -> None:
        spec = both(bench, Split.all_to(BLUE))
        bench.router().apply(spec, key())
        settle(bench)
        fresh = bench.backend(BLUE)
        bench.router().apply(RoutingSpec(spec.split, fresh, spec.green), key())
        settle(bench)
        for _ in range(20):
            assert bench.ask() == Server(BLUE, fresh.version)

    def test_ft_1_a_telling_that_did_nothing_is_not_settled(self, bench: RouterBench) -> None:
        spec = both(bench, Split.all_to(BLUE))
        bench.router().apply(spec, key())
        settle(bench)
        if not bench.stall():
            return
        tell(bench.router(), moved(spec, Split.all_to(GREEN)))
        for _ in range(50):
            bench.pause()
            seen = bench.router().observe()
            assert not seen.settled
            assert seen.told is not None
            assert seen.told.split == Split.all_to(GREEN)
            assert seen.live == Split.all_to(BLUE)
        assert bench.ask() == Server(BLUE, spec.blue.version)
        bench.kill()
        tell(bench.router(), moved(spec, Split.all_to(GREEN)))
        settle(bench, Split.all_to(GREEN))
        assert bench.ask() == Server(GREEN, spec.green.version)

    def test_ft_4_a_change_by_hand_is_noticed_and_repaired(self, bench: RouterBench) -> None:
        spec = both(bench, Split.all_to(BLUE))
        bench.router().apply(spec, key())
        settle(bench)
        if not bench.meddle():
            return
        seen = until(bench, lambda seen: not seen.settled)
        assert seen.detail
        bench.router().apply(spec, key())
        assert settle(bench).told == spec
        assert bench.ask() == Server(BLUE, spec.blue.version)

    def test_ft_5_a_refused_configuration_never_settles_and_says_why(self, bench: RouterBench) -> None:
        spec = both(bench, Split.all_to(BLUE))
        bench.router().apply(spec, key())
        settle(bench)
        demanding = bench.demanding()
        if demanding is None:
            return
        tell(demanding, moved(spec, Split.all_to(GREEN)))
        deadline = time.monotonic() + PATIENCE
        while "refus" not in (seen := demanding.observe()).detail and time.monotonic() < deadline:
            assert not seen.settled
            bench.pause()
        assert "refus" in seen.detail
        assert not seen.settled
        bench.router().apply(spec, key())
        settle(bench)
        assert bench.ask() == Server(BLUE, spec.blue.version)

    def test_ft_8_nothing_sent_after_the_switch_is_answered_by_the_old_colour(self, bench: RouterBench) -> None:
        spec = both(bench, Split.all_to(BLUE))
        bench.router().apply(spec, key())
        settle(bench)
        router, times = bench.router(), []
        with bench.load() as load:
            for number in range(SWITCHES):
                wanted = GREEN if number % 2 == 0 else BLUE
                router.apply(moved(spec, Split.all_to(wanted)), key())
                settle(bench, router=router)
                settled_at = time.monotonic()
                for _ in range(3):
                    answer = bench.ask()
                    assert answer is not None
                    assert answer.colour is wanted
                times.append((settled_at, time.monotonic(), wanted))
        assert load.failed == []
        assert [late for begin, end, wanted in times for late in load.late(begin, end, wanted)] == []

    def test_ft_14_open_connections_survive_the_switch_and_are_counted(self, bench: RouterBench) -> None:
        spec = both(bench, Split.all_to(BLUE))
        bench.router().apply(spec, key())
        settle(bench)
        held = bench.hold()
        if held is None:
            return
        try:
            bench.router().apply(moved(spec, Split.all_to(GREEN)), key())
            until(bench, lambda seen: seen.settled and seen.holding[BLUE] == 1)  # what asked before lets go
            assert bench.ask() == Server(GREEN, spec.green.version)
            assert held.answers() == Server(BLUE, spec.blue.version)
            assert bench.router().observe().holding[BLUE] == 1
        finally:
            held.close()
        until(bench, lambda seen: seen.holding[BLUE] == 0)

    def test_killed_it_comes_back_with_the_last_route(self, bench: RouterBench) -> None:
        spec = both(bench, Split.all_to(BLUE))
        bench.router().apply(spec, key())
        settle(bench)
        bench.router().apply(moved(spec, Split.all_to(GREEN)), key())
        before = settle(bench)
        bench.kill()
        after = settle(bench)
        assert (after.told, after.revision) == (before.told, before.revision)
        assert bench.ask() == Server(GREEN, spec.green.version)

    def test_removed_it_ends_and_may_be_told_anew(self, bench: RouterBench) -> None:
        spec = both(bench, Split.all_to(BLUE))
        bench.router().apply(spec, key())
        settle(bench)
        for _ in range(2):
            bench.router().remove()
            seen = until(bench, lambda seen: not seen.running)
            assert (seen.told, seen.detail) == (None, "")
        bench.router().apply(spec, key())
        settle(bench)
        assert bench.ask() == Server(BLUE, spec.blue.version)

    # what some can: by capability

    def test_who_has_the_header_goes_first(self, bench: RouterBench) -> None:
        router = bench.router()
        if Capability.FIRST not in router.capabilities:
            return
        spec = both(bench, Split.all_to(BLUE))
        router.apply(replace(spec, first=First("x-staff", "yes", GREEN)), key())
        assert settle(bench).told == replace(spec, first=First("x-staff", "yes", GREEN))
        for _ in range(5):
            assert bench.send(headers={"X-Staff": "yes"}).by is GREEN
            assert [bench.send(headers={"x-staff": no}).by for no in ("no", "yess", "")] == [BLUE] * 3
            assert bench.send().by is BLUE
        router.apply(replace(spec, split=Split.all_to(GREEN), first=First("x-staff", "", BLUE)), key())
        settle(bench)
        assert [bench.send(headers={"x-staff": one}).by for one in ("yes", "no")] == [BLUE] * 2
        assert bench.send().by is GREEN
        router.apply(spec, key())
        settle(bench)
        assert bench.send(headers={"x-staff": "yes"}).by is BLUE

    def test_who_goes_first_is_no_way_round_the_test_route(self, bench: RouterBench) -> None:
        router = bench.router()
        if Capability.FIRST not in router.capabilities:
            return
        spec = both(bench, Split.all_to(BLUE), test=GREEN)
        router.apply(replace(spec, first=First("x-staff", "", BLUE)), key())
        settle(bench)
        _, to_test = router.reach(test=True)
        assert bench.send(headers={**to_test, "x-staff": "yes"}).by is GREEN

    def test_users_get_the_other_colours_answer_for_what_may_be_asked_twice(self, bench: RouterBench) -> None:
        router = bench.router()
        if Capability.SHIELD not in router.capabilities:
            return
        bad = bench.failing(GREEN)
        spec = RoutingSpec(Split.all_to(GREEN), bench.backend(BLUE), bad.backend)
        router.apply(spec, key())
        settle(bench)
        assert bench.send().status == 500
        router.apply(replace(spec, shield=GREEN), key())
        assert settle(bench).told == replace(spec, shield=GREEN)
        for method in ("GET", "HEAD", "OPTIONS") * 20:
            assert bench.send(method) == Reply(200, BLUE)
        asked = bad.received["POST"]
        for _ in range(3):
            assert bench.send("POST").status == 500
        assert bad.received["POST"] == asked + 3
        assert bench.send("POST", {"idempotency-key": "7"}) == Reply(200, BLUE)

    def test_the_shield_is_for_its_own_share_only(self, bench: RouterBench) -> None:
        router = bench.router()
        if Capability.SHIELD not in router.capabilities:
            return
        old, new = bench.failing(BLUE), bench.failing(GREEN)
        router.apply(RoutingSpec(Split(80, 20), old.backend, bench.backend(GREEN), shield=GREEN), key())
        settle(bench)
        answers = [bench.send().status for _ in range(300)]
        # What fails on the colour without a shield is asked once, and is its user's answer.
        assert answers.count(500) == old.received["GET"]
        assert 180 <= answers.count(500) <= 290
        router.apply(RoutingSpec(Split(80, 20), bench.backend(BLUE), new.backend, shield=GREEN), key())
        settle(bench)
        assert {bench.send() for _ in range(300)} == {Reply(200, BLUE)}
        assert new.received["GET"] > 0

    def test_copies_of_safe_requests_reach_the_other_colour_and_nobody_waits(self, bench: RouterBench) -> None:
        router = bench.router()
        if Capability.MIRROR not in router.capabilities:
            return
        other = bench.failing(GREEN)
        spec = RoutingSpec(Split.all_to(BLUE), bench.backend(BLUE), other.backend)
        router.apply(replace(spec, mirror=Mirror(GREEN, 100)), key())
        assert settle(bench).told == replace(spec, mirror=Mirror(GREEN, 100))
        for method in ("GET", "HEAD", "POST") * 5:
            assert bench.send(method) == Reply(200, BLUE)
        until(bench, lambda _: (other.received["GET"], other.received["HEAD"]) == (5, 5))
        assert other.received["POST"] == 0
        router.apply(replace(spec, mirror=Mirror(GREEN, 30)), key())
        settle(bench)
        for _ in range(200):
            bench.send()
        router.apply(spec, key())
        settle(bench)
        for _ in range(20):
            bench.send()
        until(bench, lambda _: other.received["GET"] > 5)
        assert abs(other.received["GET"] - 5 - 60) <= 45

    def test_ft_56_a_share_is_of_users_who_stay_where_they_are(self, bench: RouterBench) -> None:
        if Capability.STICKY not in bench.router().capabilities:
            return
        router = bench.sticky()
        if router is None:
            return
        spec = both(bench, Split(90, 10))
        router.apply(spec, key())
        settle(bench, router=router)
        first = [bench.send() for _ in range(250)]
        users = [answer.cookie for answer in first]
        assert all(users)
        before = {answer.cookie: answer.by for answer in first}
        for share in (10, 40, 80):
            router.apply(moved(spec, Split(100 - share, share)), key())
            settle(bench, router=router)
            now = {user: bench.send(headers={"cookie": f"a=1; {user}; z=2"}) for user in users}
            assert not any(answer.cookie for answer in now.values())
            assert not [user for user in users if before[user] is GREEN and now[user].by is BLUE]
            on_green = sum(answer.by is GREEN for answer in now.values())
            deviation = (len(now) * share / 100 * (1 - share / 100)) ** 0.5
            assert abs(on_green - len(now) * share / 100) <= 6 * deviation
            before = {user: answer.by for user, answer in now.items()}
        # A way back takes everybody, and at once.
        router.apply(moved(spec, Split.all_to(BLUE)), key())
        settle(bench, router=router)
        assert {bench.send(headers={"cookie": user}).by for user in users} == {BLUE}

    def test_it_says_where_it_is_reached(self, bench: RouterBench) -> None:
        router = bench.router()
        assert router.reach()[0].startswith("http")
        assert router.reach(test=True) != router.reach()


def key(epoch: int = 1) -> ActionKey:
    return ActionKey("r-0001", "shift", 0, "route", "router", 0, epoch)


def both(bench: RouterBench, split: Split, test: Colour | None = None) -> RoutingSpec:
    """With something that answers behind each colour."""
    return RoutingSpec(split, bench.backend(BLUE), bench.backend(GREEN), test)


def moved(spec: RoutingSpec, split: Split) -> RoutingSpec:
    return RoutingSpec(split, spec.blue, spec.green)


def tell(router: Router, spec: RoutingSpec) -> None:
    """A router may say at once that it did not work."""
    try:
        router.apply(spec, key())
    except PortError:
        return


def until(bench: RouterBench, true: Callable[[Routing], bool], router: Router | None = None) -> Routing:
    """What is seen when it has come true."""
    router = router or bench.router()
    deadline = time.monotonic() + PATIENCE
    while not true(seen := router.observe()):
        assert time.monotonic() < deadline, seen
        bench.pause()
    return seen


def settle(bench: RouterBench, split: Split | None = None, router: Router | None = None) -> Routing:
    return until(bench, lambda seen: seen.settled and split in (None, seen.live), router)
