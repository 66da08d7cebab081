"""The router `route53` where AWS fails, others interfere and resolvers remember: on moto's zones, with name servers that
follow them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.aws.dns import record, sets
from greenroom.adapters.aws.dns.record import Record
from greenroom.adapters.routers.route53 import Route53Router
from greenroom.domain.actions import Do, Remove, Wait
from greenroom.domain.model import Backend, Colour, Endpoint, First, Routing, RoutingSpec, Split
from greenroom.domain.observation import Seen
from greenroom.domain.routes import Scene, routed, vacate
from greenroom.errors import Permanent, PortError, Temporary, Uncertain
from greenroom.testing import traffic
from tests.domain.world import Story, up
from tests.rigs import aws_front
from tests.rigs.aws_front import Fault
from tests.rigs.route53 import Door
from tests.rigs.route53_stage import ADDRESSES, Stage
from tests.rigs.routing import key

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("moto")]
BLUE, GREEN = Colour.BLUE, Colour.GREEN
ALL_BLUE, ALL_GREEN = Split.all_to(BLUE), Split.all_to(GREEN)
NOW = 1_790_000_000.0


@pytest.fixture(scope="session")
def upstream() -> Iterator[tuple[str, int]]:
    with aws_front.moto() as address:
        yield address


@pytest.fixture
def stage(tmp_path: Path, upstream: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    aws_front.nobody(monkeypatch)
    with Stage(tmp_path, upstream) as one:
        yield one


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


def behind(colour: Colour, version: str = "1") -> Backend:
    return Backend((Endpoint(f"{colour}-balancer", 443),), version, f"r-{version}")


def to(split: Split, test: Colour | None = None) -> RoutingSpec:
    return RoutingSpec(split, behind(BLUE), behind(GREEN, "2"), test)


def slow(stage: Stage, clock: Clock, **settings: Any) -> Route53Router:
    """As in earnest: answers are remembered for a minute, and nobody asks name servers."""
    usual = {"ttl": "60s", "drain": "90s", "settle": "60s", "observe": None}
    return stage.router(now=clock, **{**usual, **settings})


# the record of what was told


def test_what_was_told_is_read_as_it_was_written() -> None:
    odd = Backend((Endpoint("10.0.0.1", 80, "a b"), Endpoint("2001:db8::1", 81)), '2.1 "beta", ü', "r-0007")
    told = Record(
        "shöp", RoutingSpec(Split(37, 63), odd, Backend(), GREEN), 7, 12, "ab12", 11, NOW, ALL_BLUE, 60, 3.5, 4.0
    )
    text = record.text(told)
    assert record.read(text) == told
    assert all(len(part) <= 255 for part in text.split('" "'))
    assert text.isascii()
    with pytest.raises(ValueError, match="missing"):
        record.read('"greenroom=1 service=shop"')
    with pytest.raises(ValueError, match="missing"):
        record.read('"v=spf1 -all"')
    many = Backend(tuple(Endpoint(f"replica-{n}.internal.example", 8000 + n) for n in range(200)), "1", "r-1")
    with pytest.raises(Permanent, match="does not fit"):
        record.text(Record("shop", RoutingSpec(ALL_BLUE, many), 1, 1, "", 1, NOW))


# weights


def test_percents_are_weights_exactly_and_nothing_is_never_written_as_zeros(stage: Stage) -> None:
    [site] = stage.router()._zones.sites
    for blue in range(101):
        split = Split(blue, 100 - blue)
        wanted = sets.wanted(site, split)
        assert {colour: one["Weight"] for colour, one in wanted.items()} == {BLUE: blue, GREEN: 100 - blue}
        assert sets.split(site, tuple(wanted.values())) == split
    assert sets.wanted(site, Split.none()) == {}
    for bad in (Split(0, 50), Split(-1, 101)):
        with pytest.raises(ValueError, match="no weights"):
            sets.wanted(site, bad)


@pytest.mark.parametrize(
    ("weights", "split"),
    [((0, 0), Split(50, 50)), ((255, 1), Split(99, 1)), ((200, 0), ALL_BLUE), ((1, 3), Split(25, 75))],
)
def test_weights_of_others_are_read_as_route_53_understands_them(
    stage: Stage, weights: tuple[int, int], split: Split
) -> None:
    [site] = stage.router()._zones.sites
    both = [stage.weighted(colour, weight) for colour, weight in zip(Colour, weights, strict=True)]
    assert sets.split(site, both) == split
    assert sets.split(site, both[:1]) == ALL_BLUE  # alone, it gets everything
    assert sets.split(site, [*both, stage.weighted(BLUE, 0, SetIdentifier="old")]) == split
    assert sets.split(site, [*both, stage.weighted(BLUE, 5, SetIdentifier="old")]) is None


def test_what_no_record_can_be_told_is_refused(stage: Stage) -> None:
    router = stage.router()
    for spec, why in (
        (RoutingSpec(Split(50, 40), behind(BLUE), behind(GREEN)), "sum to 100"),
        (RoutingSpec(ALL_GREEN, behind(BLUE)), "no endpoint"),
        (RoutingSpec(ALL_BLUE, behind(BLUE), first=First("x-staff", "", GREEN)), "neither"),
    ):
        with pytest.raises(Permanent, match=why):
            router.apply(spec, key())
    assert stage.cloud.sets(stage.zone) == []


# told, in sync, live


def test_a_change_is_live_when_it_is_in_sync_and_the_ttl_has_passed(stage: Stage, clock: Clock) -> None:
    router = slow(stage, clock)
    router.apply(to(ALL_BLUE), key())
    assert router.observe().settled  # nobody can remember anything: there was nothing
    clock.at += 1000
    stage.cloud.held = True
    router.apply(to(ALL_GREEN), key())
    for _ in range(3):
        seen = router.observe()
        assert (seen.told, seen.live, seen.settled) == (to(ALL_GREEN), None, False)
        assert seen.settles_at == NOW + 1000 + 60 + 60
        assert "PENDING" in seen.detail
        clock.at += 10
    stage.cloud.held = False
    stage.cloud.bring()
    seen = router.observe()
    assert (seen.live, seen.settles_at) == (None, clock.at + 60)
    assert "blue" in seen.detail
    assert "ignore the TTL" in seen.detail
    clock.at += 59.9
    assert router.observe().live is None
    clock.at += 0.2
    seen = router.observe()
    assert (seen.live, seen.settled, seen.settles_at) == (ALL_GREEN, True, None)
    assert seen.holding == {BLUE: 1}  # somebody may still come
    clock.at += 90
    assert router.observe().holding == {}


def test_who_did_not_make_the_change_waits_for_as_long_as_it_may_take(stage: Stage, clock: Clock) -> None:
    slow(stage, clock).apply(to(ALL_BLUE), key())
    slow(stage, clock).apply(to(ALL_GREEN), key())
    other = slow(stage, clock)
    seen = other.observe()
    assert (seen.live, seen.settles_at) == (None, NOW + 60 + 60)
    clock.at += 119.9
    assert not other.observe().settled
    clock.at += 0.2
    assert other.observe().settled


def test_what_does_not_move_users_is_live_at_once(stage: Stage, clock: Clock) -> None:
    router = slow(stage, clock)
    router.apply(to(ALL_BLUE), key())
    clock.at += 1000
    assert router.observe().settled
    router.apply(to(ALL_BLUE, test=GREEN), key())
    assert router.observe().settled
    fresh = RoutingSpec(ALL_BLUE, behind(BLUE, "7"), behind(GREEN))
    router.apply(fresh, key(2))
    seen = router.observe()
    assert (seen.told, seen.settled, seen.epoch) == (fresh, True, 2)


def test_the_way_back_says_until_when_users_may_still_come(stage: Stage, clock: Clock) -> None:
    router = slow(stage, clock)
    router.apply(to(ALL_BLUE), key())
    clock.at += 1000
    router.apply(to(Split(50, 50)), key())
    assert router.observe().live is None
    clock.at += 10
    router.apply(to(ALL_BLUE), key())
    seen = router.observe()
    assert seen.live is None
    # What was given before the step may be remembered for as long as what was given in it.
    assert seen.settles_at == pytest.approx(NOW + 1000 + 60 + 60)
    assert "users to green" in seen.detail
    clock.at += 130
    assert router.observe().settled


def test_ft_22_the_old_colour_is_not_removed_before_its_ttl_is_over(stage: Stage, clock: Clock) -> None:
    """Throttled, told at last, and INSYNC: and still resolvers lead users to what would be scaled down."""
    story = Story().succeed("1").succeed("2", drain=30.0)
    router = slow(stage, clock)
    router.apply(to(ALL_BLUE), key())
    clock.at += 1000
    stage.cloud.faults.append(Fault("throttle", "ChangeResourceRecordSets"))
    with pytest.raises(Temporary) as told:
        router.apply(to(ALL_GREEN), key())
    assert told.value.retry_after > 0
    assert router.observe().settled
    assert routed(scene(story, router.observe()), BLUE) is True
    router.apply(to(ALL_GREEN), key())
    for _ in range(6):
        seen = router.observe()
        assert routed(scene(story, seen), BLUE) is True
        assert isinstance(vacate(scene(story, seen), BLUE, 30.0, "old"), Wait)
        clock.at += 9.9
    clock.at += 1
    seen = router.observe()
    assert seen.settled
    assert routed(scene(story, seen), BLUE) is False
    draining = scene(story, seen)
    assert isinstance(vacate(draining, BLUE, 1e9, "old"), Wait)
    clock.at += 90
    over = RoutingSpec(ALL_GREEN, Backend(), behind(GREEN, "2"))
    router.apply(over, key())
    assert vacate(scene(story, router.observe()), BLUE, 30.0, "old") == Do(Remove(BLUE), "old")


def scene(story: Story, seen: Routing) -> Scene:
    environments = {"blue": up(BLUE, "r-0001", "1"), "green": up(GREEN, "r-0002", "2")}
    return Scene(story.service, Seen(routing=seen, **environments), story.now + 1000)


def test_ft_22_users_whose_resolver_remembers_never_meet_a_settled_route_that_is_not_theirs(stage: Stage) -> None:
    """With the real time: a browser remembers for a second, and the route is not live before it has forgotten."""
    for colour in Colour:
        stage.backend(colour)
    router = stage.router(ttl="1s")
    router.apply(to(ALL_BLUE), key())
    stage.until(lambda seen: seen.settled, router)
    for wanted in (GREEN, BLUE):
        door = Door(stage._behind, stage.name, stage.cloud.servers[1])
        try:
            assert by(door) is wanted.other
            router.apply(to(Split.all_to(wanted)), key())
            late = 0
            deadline = time.monotonic() + 30
            while not router.observe().settled:
                late += by(door) is wanted.other
                assert time.monotonic() < deadline
            assert late
            assert by(door) is wanted
        finally:
            door.close()


def by(door: Door) -> Colour:
    return Colour(traffic.ask(door.url).headers["x-served-by"])


def test_a_longer_ttl_is_lowered_and_counts_until_it_has_passed(stage: Stage, clock: Clock) -> None:
    for colour, weight in ((BLUE, 100), (GREEN, 0)):
        stage.cloud.set(stage.zone, ("CREATE", stage.weighted(colour, weight, TTL=300)))
    [said] = [text for text in stage.hazards(ttl="60s") if "TTL of 5m" in text]
    assert "lowered to 60s" in said
    router = slow(stage, clock)
    assert router.observe().told is None
    assert "Greenroom told nothing" in router.observe().detail
    router.apply(to(ALL_BLUE), key())
    assert {one.get("TTL") for one in stage.cloud.sets(stage.zone) if one["Type"] == "A"} == {60}
    clock.at += 200
    router.apply(to(ALL_GREEN), key())
    seen = router.observe()
    assert (seen.live, seen.settles_at) == (None, pytest.approx(NOW + 60 + 300))
    clock.at = NOW + 359
    assert not router.observe().settled
    clock.at = NOW + 361
    assert router.observe().settled
    router.apply(to(ALL_BLUE), key())
    assert router.observe().settles_at == pytest.approx(clock.at + 60)


def test_a_ttl_that_is_lowered_later_moves_nobody_and_is_remembered_too(stage: Stage, clock: Clock) -> None:
    slow(stage, clock, ttl="300s").apply(to(ALL_BLUE), key())
    clock.at += 1000
    router = slow(stage, clock)
    assert router.observe().unfinished
    router.apply(to(ALL_BLUE), key())
    assert router.observe().settled  # all answers, old and new, lead to blue
    clock.at += 100
    router.apply(to(ALL_GREEN), key())
    assert router.observe().settles_at == pytest.approx(NOW + 1000 + 60 + 300)
    clock.at += 1000
    router.apply(to(ALL_BLUE), key())
    router.observe()
    assert router.observe().settles_at == pytest.approx(clock.at + 60)


# what the name servers say


def test_ft_1_a_name_server_that_does_not_know_it_keeps_it_from_being_live(stage: Stage) -> None:
    router = stage.router()
    router.apply(to(ALL_BLUE), key())
    assert router.observe().settled
    stage.cloud.held = True
    router.apply(to(ALL_GREEN), key())
    stage.cloud.bring(stage.cloud.servers[0])
    stage.cloud.pending.clear()  # Route 53 says that it is everywhere
    seen = router.observe()
    assert (seen.told, seen.live) == (to(ALL_GREEN), None)
    assert stage.cloud.servers[1].address in seen.detail
    stage.cloud.bring()
    assert router.observe().settled


def test_silent_name_servers_are_named(stage: Stage) -> None:
    router = stage.router()
    router.apply(to(ALL_BLUE), key())
    stage.cloud.servers[0].silent = True
    seen = router.observe()
    assert seen.settled
    assert f"{stage.cloud.servers[0].address} does not answer" in seen.detail
    stage.cloud.servers[1].silent = True
    seen = router.observe()
    assert (seen.live, seen.settled) == (None, False)
    assert "no name server answers" in seen.detail


def test_users_who_are_given_a_colour_without_a_share_are_seen(stage: Stage) -> None:
    """Its health checks fail, so Route 53 answers with the other one, whose weight is 0."""
    router = stage.router()
    router.apply(to(ALL_BLUE), key())
    assert router.observe().settled
    for one in stage.cloud.servers[0].zones[stage.zone]:
        one.weight = None if one.weight is None else 100 - one.weight
    seen = router.observe()
    assert (seen.told, seen.live) == (to(ALL_BLUE), None)
    assert "gives users green" in seen.detail


# others


def test_ft_20_weights_changed_by_somebody_else_are_seen_and_put_back(stage: Stage) -> None:
    router = stage.router()
    router.apply(to(ALL_BLUE), key())
    before = router.observe().revision
    stage.set({BLUE: 90, GREEN: 10})
    seen = router.observe()
    assert seen.told == to(Split(90, 10))
    assert (seen.live, seen.settled, seen.unfinished) == (None, False, False)
    assert seen.revision != before
    assert "changed by somebody else" in seen.detail
    router.apply(to(ALL_BLUE), key())
    assert router.observe().settled
    assert stage.weights() == {"greenroom-shop-blue": 100, "greenroom-shop-green": 0}


def test_ft_20_a_first_release_does_not_take_users_from_what_greenroom_never_told(stage: Stage) -> None:
    stage.set({BLUE: 100, GREEN: 0})
    with pytest.raises(Permanent, match="a first release would send them to"):
        stage.router().apply(to(Split.none(), test=GREEN), key())
    assert stage.weights() == {"greenroom-shop-blue": 100, "greenroom-shop-green": 0}
    stage.router().apply(to(ALL_BLUE), key())  # taken over
    assert stage.router().observe().settled


def test_ft_21_terraform_that_puts_blue_back_is_seen_as_what_it_is(stage: Stage) -> None:
    router = stage.router()
    router.apply(to(ALL_BLUE), key())
    router.apply(to(ALL_GREEN), key())
    stage.set({BLUE: 100, GREEN: 0})
    seen = router.observe()
    assert seen.told == to(ALL_BLUE)
    assert not seen.settled
    assert "was told blue 0 · green 100" in seen.detail


def test_a_colours_record_that_leads_elsewhere_is_nobodys(stage: Stage) -> None:
    router = stage.router()
    router.apply(to(ALL_BLUE), key())
    stage.set({BLUE: 100}, ResourceRecords=[{"Value": "192.0.2.99"}])
    seen = router.observe()
    assert (seen.running, seen.told, seen.live) == (True, None, None)
    assert "192.0.2.99" in seen.detail
    router.apply(to(ALL_BLUE), key())
    assert router.observe().settled


def test_another_ttl_is_mended_when_it_is_told_again(stage: Stage) -> None:
    router = stage.router()
    router.apply(to(ALL_BLUE), key())
    for colour in Colour:
        one = stage.weighted(colour, 100 if colour is BLUE else 0)
        stage.cloud.set(stage.zone, ("DELETE", one))
    for colour in Colour:
        stage.cloud.set(stage.zone, ("CREATE", stage.weighted(colour, 100 if colour is BLUE else 0, TTL=30)))
    seen = router.observe()
    assert (seen.told, seen.unfinished) == (to(ALL_BLUE), True)
    router.apply(to(ALL_BLUE), key())
    assert router.observe().settled


def test_two_tellers_at_once_one_is_refused_by_route_53_itself(stage: Stage) -> None:
    first, second = stage.router(), stage.router()
    first.apply(to(ALL_BLUE), key(4))

    other = to(Split(50, 50))
    stage.cloud.faults.append(
        Fault("meanwhile", "ChangeResourceRecordSets", meanwhile=lambda: second.apply(other, key(5)))
    )
    with pytest.raises(Temporary, match="somebody else has changed"):
        first.apply(to(ALL_GREEN), key(4))
    assert stage.weights() == {"greenroom-shop-blue": 50, "greenroom-shop-green": 50}
    with pytest.raises(Permanent, match="newer lease"):
        first.apply(to(ALL_GREEN), key(4))
    assert first.observe().told == other


def test_a_record_by_hand_meanwhile_refuses_the_batch(stage: Stage) -> None:
    router = stage.router()
    router.apply(to(ALL_BLUE), key())
    stage.cloud.faults.append(
        Fault("meanwhile", "ChangeResourceRecordSets", meanwhile=lambda: stage.set({BLUE: 70, GREEN: 30}))
    )
    with pytest.raises(Temporary, match="somebody else"):
        router.apply(to(ALL_GREEN), key())
    assert stage.weights() == {"greenroom-shop-blue": 70, "greenroom-shop-green": 30}


def test_a_batch_that_route_53_takes_for_wrong_is_no_race(stage: Stage) -> None:
    stage.cloud.set(stage.zone, ("CREATE", {**_simple(stage, "CNAME", "shop.example.net.")}))
    with pytest.raises(Permanent, match="CNAME"):
        stage.router().apply(to(ALL_BLUE), key())


def _simple(stage: Stage, kind: str, value: str, name: str = "") -> dict[str, Any]:
    return {"Name": name or stage.name, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": value}]}


def test_another_services_name_is_left_alone(stage: Stage) -> None:
    stage.router().apply(to(ALL_BLUE), key())
    place = stage.place
    other = Route53Router(stage.configured(), type(place)("till", place.file, place.state), pace=0)
    assert "belongs to the service shop" in other.observe().detail
    for act in (lambda: other.apply(to(ALL_GREEN), key(9)), other.remove):
        with pytest.raises(Permanent, match="service shop"):
            act()
    assert any(
        "belong to the service shop" in text for text in type(other).problems(stage.configured(), other_place(stage))
    )


def other_place(stage: Stage) -> Any:
    return type(stage.place)("till", stage.place.file, stage.place.state)


# AWS fails


@pytest.mark.parametrize("kind", ["throttle", "prior", "reset-after", "error-after", "error"])
def test_a_telling_whose_answer_is_lost_or_late_is_told_again(stage: Stage, kind: str) -> None:
    router = stage.router()
    router.apply(to(ALL_BLUE), key())
    stage.cloud.faults.append(Fault(kind, "ChangeResourceRecordSets"))
    with pytest.raises(Temporary if kind in ("throttle", "prior") else Uncertain):
        router.apply(to(ALL_GREEN), key())
    done = kind.endswith("after")
    assert (router.observe().told == to(ALL_GREEN)) is done
    stage.calls()
    router.apply(to(ALL_GREEN), key())
    assert stage.calls().count("ChangeResourceRecordSets") == (0 if done else 1)
    assert router.observe().settled


def several(stage: Stage) -> dict[str, Any]:
    """Two zones, the second with two names; the name with A and AAAA."""
    other = stage.cloud.zone(f"eu.{stage.domain}")
    six = {"targets": {str(c): {"values": [f"2001:db8::{n}"]} for n, c in enumerate(Colour, 1)}}
    return {
        "records": [
            {"zone": stage.zone, "name": stage.name},
            {"zone": stage.zone, "name": stage.name, "type": "AAAA", **six},
            {"zone": other, "name": f"shop.eu.{stage.domain}"},
            {"zone": other, "name": f"*.shop.eu.{stage.domain}"},
        ]
    }


def test_ft_23_killed_between_any_two_calls_the_next_telling_converges(stage: Stage) -> None:
    settings = several(stage)
    zones = {stage.zone, settings["records"][2]["zone"]}
    stage.router(**settings).apply(to(ALL_BLUE), key())
    whole = 0
    for number in range(20):
        wanted, before = ((ALL_GREEN, ALL_BLUE), (ALL_BLUE, ALL_GREEN))[number % 2]
        stage.cloud.allowed = number
        with contextlib.suppress(PortError):
            stage.router(**settings).apply(to(wanted), key())
            whole += 1
        stage.cloud.allowed = None
        mixed = {tuple(sorted(stage.cloud.weights(zone, name).items())) for zone, name in names(settings)}
        seen = stage.router(**settings).observe()
        assert seen.told in (to(wanted), to(before))
        assert seen.unfinished is (len(mixed) > 1)
        assert len(mixed) == 1 or (seen.told == to(wanted) and not seen.settled)
        stage.router(**settings).apply(to(wanted), key())
        seen = stage.router(**settings).observe()
        assert (seen.told, seen.settled) == (to(wanted), True)
        assert {stage.cloud.weights(*each).get("greenroom-shop-blue") for each in names(settings)} == {wanted.blue}
        if whole:
            break
    assert whole
    assert number >= 4  # looks at three names, changes two zones
    assert len(zones) == 2


def test_ft_23_a_first_telling_that_was_cut_converges_too(stage: Stage) -> None:
    settings = several(stage)
    for number in range(20):
        stage.cloud.allowed = number
        told = False
        with contextlib.suppress(PortError):
            stage.router(**settings).apply(to(ALL_BLUE), key())
            told = True
        stage.cloud.allowed = None
        seen = stage.router(**settings).observe()
        assert not seen.unfinished or (seen.told == to(ALL_BLUE) and not seen.settled)
        assert seen.settled is told
        stage.router(**settings).apply(to(ALL_BLUE), key())
        assert stage.router(**settings).observe().settled
        if told:
            break
        stage.router(**settings).remove()
    assert told
    assert number >= 5


def names(settings: dict[str, Any]) -> list[tuple[str, str]]:
    shown = {"*": "\\052"}
    return [(one["zone"], shown.get(one["name"][0], one["name"][0]) + one["name"][1:]) for one in settings["records"]]


def test_a_removal_that_was_cut_is_finished_and_leaves_what_is_not_ours(stage: Stage) -> None:
    settings = several(stage)
    stage.cloud.set(stage.zone, ("CREATE", _simple(stage, "TXT", '"v=spf1 -all"')))
    router = stage.router(**settings)
    router.apply(to(ALL_BLUE), key())
    stage.cloud.faults.append(Fault("reset", "ChangeResourceRecordSets", skip=1))
    with pytest.raises(Uncertain):
        router.remove()
    assert router.observe().unfinished
    router.remove()
    seen = router.observe()
    assert (seen.running, seen.told, seen.detail) == (False, None, "")
    assert [one["Type"] for one in stage.cloud.sets(stage.zone)] == ["TXT"]


def test_a_damaged_record_says_so_and_is_told_anew(stage: Stage) -> None:
    router = stage.router()
    router.apply(to(ALL_BLUE), key())
    owner = _simple(stage, "TXT", '"what?"', f"_greenroom.{stage.name}")
    stage.cloud.set(stage.zone, ("UPSERT", owner))
    seen = router.observe()
    assert (seen.running, seen.told) == (True, None)
    assert f"_greenroom.{stage.name} cannot be read" in seen.detail
    router.apply(to(ALL_BLUE), key())
    assert router.observe().settled


# what it asks for


def test_aliases_and_health_checks_stand_in_the_records_as_the_file_has_them(stage: Stage) -> None:
    check = stage.cloud.witness.create_health_check(
        CallerReference=stage.name, HealthCheckConfig={"Type": "TCP", "IPAddress": "192.0.2.1", "Port": 443}
    )["HealthCheck"]["Id"]
    balancers = {c: f"dualstack.{c}-1.eu-central-1.elb.amazonaws.com" for c in Colour}
    stage.cloud.addresses = {balancers[c]: ADDRESSES[c] for c in Colour}
    targets = {
        "blue": {"alias": balancers[BLUE], "zone": "Z215JYRZR1TBD5", "evaluate_target_health": True},
        "green": {"alias": balancers[GREEN], "zone": "Z215JYRZR1TBD5", "health_check": check},
    }
    settings = {"targets": targets, "ttl": "60s"}
    assert stage.problems(**settings) == []
    router = stage.router(**settings)
    router.apply(to(Split(30, 70)), key())
    blue, green = (one for one in stage.cloud.sets(stage.zone) if one["Type"] == "A")
    assert blue["AliasTarget"] == {
        "HostedZoneId": "Z215JYRZR1TBD5",
        "DNSName": balancers[BLUE] + ".",
        "EvaluateTargetHealth": True,
    }
    assert (blue["Weight"], green["Weight"], green["HealthCheckId"]) == (30, 70, check)
    assert "TTL" not in blue
    assert router.observe().told == to(Split(30, 70))
    assert stage.door.resolve() in ADDRESSES.values()
    router.apply(to(ALL_BLUE), key())
    assert router.observe().settles_at is not None  # an alias is remembered for a minute, whatever the file says
    [said] = [text for text in stage.hazards(**settings) if "health checks" in text]
    assert "share is 0" in said


def test_it_asks_seldom(stage: Stage) -> None:
    settings = several(stage)
    router = stage.router(pace=5.0, **settings)
    router.apply(to(ALL_BLUE), key())
    for _ in range(20):
        router.observe()
    made = stage.calls()
    assert made.count("ChangeResourceRecordSets") == 2
    assert made.count("ListResourceRecordSets") == 6
    assert made.count("GetChange") == 2
    assert len(made) == 10
    router.anew()
    router.observe()
    assert stage.calls() == ["ListResourceRecordSets"] * 3  # in sync is in sync


def test_in_a_zone_with_many_records_ours_are_found(stage: Stage) -> None:
    others = [("CREATE", _simple(stage, "A", "192.0.2.9", f"n{n:03}.{stage.name}")) for n in range(120)]
    upper = [("CREATE", _simple(stage, "A", "192.0.2.9", f"{n:03}.{stage.name}")) for n in range(120)]
    stage.cloud.set(stage.zone, *others, *upper)
    router = stage.router()
    router.apply(to(ALL_BLUE), key())
    assert stage.calls() == ["ListResourceRecordSets"] * 2 + ["ChangeResourceRecordSets"]
    assert router.observe().settled
    assert len(stage.cloud.witness.list_resource_record_sets(HostedZoneId=stage.zone)["ResourceRecordSets"]) > 240
    router.remove()
    assert not router.observe().running


def test_at_rest_it_asks_once_a_minute(stage: Stage, clock: Clock) -> None:
    steady = Clock()
    router = Route53Router(stage.configured(observe=None), stage.place, now=clock, steady=steady)
    router.apply(to(ALL_BLUE), key())
    clock.at += 1000
    router.observe()
    stage.calls()
    for _ in range(130):
        steady.at += 1
        router.observe()
    assert stage.calls().count("ListResourceRecordSets") == 2
    stage.set({BLUE: 10, GREEN: 90})
    router.anew()  # before anything is done on what was seen
    assert router.observe().told == to(Split(10, 90))
    stage.calls()
    for _ in range(20):
        steady.at += 1
        router.observe()
    assert stage.calls().count("ListResourceRecordSets") == 4


def test_the_idle_colour_has_an_address_of_its_own(stage: Stage) -> None:
    router = stage.router(url="")
    assert router.reach()[0] == f"https://{stage.name}"
    router.apply(to(ALL_BLUE, test=GREEN), key())
    assert router.reach(test=True)[0] == stage.doors[GREEN].url
    with pytest.raises(Permanent, match="test_route"):
        stage.router(test_route=None).reach(test=True)
