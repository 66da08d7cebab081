"""The parts of the router `alb` that need no AWS: its settings, actions of every shape, its record in tags, judging."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from greenroom.adapters.aws.elb import actions, record
from greenroom.adapters.aws.elb.actions import Forward
from greenroom.adapters.aws.elb.asking import Asking, Heard, understood
from greenroom.adapters.aws.elb.balancer import Door, Group, Target, balancer_of
from greenroom.adapters.aws.elb.judging import LAGS, Terms, World, routing
from greenroom.adapters.aws.elb.reaching import asking_for
from greenroom.adapters.aws.elb.record import Record
from greenroom.adapters.aws.elb.settings import AlbSettings, Observe
from greenroom.adapters.routers.alb import AlbRouter
from greenroom.domain.model import Backend, Colour, Endpoint, RoutingSpec, Split
from greenroom.errors import Permanent

BLUE, GREEN = Colour.BLUE, Colour.GREEN
ELB = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:"
HTTP, HTTPS = f"{ELB}listener/app/shop/0a/1b", f"{ELB}listener/app/shop/0a/2c"
RULE = f"{ELB}listener-rule/app/shop/0a/1b/3d"
ARNS = {BLUE: f"{ELB}targetgroup/shop-blue/b0", GREEN: f"{ELB}targetgroup/shop-green/60"}
USUAL: dict[str, Any] = {"listeners": [HTTP], "target_groups": {"blue": "shop-blue", "green": "shop-green"}}


def settings(**more: Any) -> AlbSettings:
    return AlbSettings.model_validate({**USUAL, **more})


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"listeners": []}, "give `listeners` or `rules`"),
        ({"listeners": [HTTP, HTTP]}, "is given twice"),
        ({"listeners": [HTTP], "test_route": {"listener": HTTP}}, "is given twice"),
        ({"listeners": [RULE]}, "give it in `rules`"),
        ({"rules": [HTTP]}, "give it in `listeners`"),
        ({"rules": [RULE]}, "`rules` needs `url`"),
        ({"listeners": [f"{ELB}listener/net/shop/0a/1b"]}, "a Network or Gateway Load Balancer"),
        ({"listeners": ["arn:aws:ecs:eu-central-1:123456789012:service/shop/web"]}, "no ARN of a listener"),
        ({"region": "us-east-1"}, "is in eu-central-1, but `region` is us-east-1"),
        ({"account": "210987654321"}, "is in the account 123456789012"),
        ({"target_groups": {"blue": "shop", "green": "shop"}}, "the same group shop"),
        ({"target_groups": {"blue": "shop-blue", "green": ARNS[BLUE]}}, "the same group shop-blue"),
        ({"target_groups": {"blue": "shop_blue", "green": "x"}}, "neither a target group's name nor its ARN"),
        ({"target_groups": {"blue": "x" * 33, "green": "x"}}, "neither a target group's name nor its ARN"),
        ({"target_groups": {"blue": "shop-blue"}}, "Field required"),
        ({"test_route": {}}, "give either listener or rule"),
        ({"test_route": {"listener": HTTPS, "rule": RULE}}, "give either listener or rule"),
        ({"stickiness": "8d"}, "less than or equal to 604800"),
        ({"stickiness": "0s"}, "greater than or equal to 1"),
        ({"observe": {}}, "give one of header, json, regex"),
        ({"observe": {"header": "x", "json": "y"}}, "give one of header, json, regex"),
        ({"observe": {"header": "x y"}}, "no name of a header"),
        ({"observe": {"regex": "("}}, "no regular expression"),
        ({"url": "shop.example"}, "no address of a site"),
    ],
)
def test_a_wrong_setting_is_refused_with_why(more: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError) as raised:
        settings(**more)
    assert why in str(raised.value)


def test_one_listener_is_a_list_of_one() -> None:
    assert settings(listeners=HTTP).public == (HTTP,)
    assert settings(listeners=[HTTP, HTTPS], test_route={"rule": RULE}).test == RULE
    assert balancer_of(HTTP) == balancer_of(RULE) == f"{ELB}loadbalancer/app/shop/0a"


# --- actions ----------------------------------------------------------------------------------------------------------


def forward(weights: Mapping[Colour, int], **more: Any) -> dict[str, Any]:
    groups = [{"TargetGroupArn": ARNS[colour], "Weight": weight} for colour, weight in weights.items()]
    return {"Type": "forward", "ForwardConfig": {"TargetGroups": groups, **more}}


@pytest.mark.parametrize(
    ("action", "split"),
    [
        ({"Type": "forward", "TargetGroupArn": ARNS[BLUE]}, Split(100, 0)),
        (forward({GREEN: 1}), Split(0, 100)),
        ({**forward({GREEN: 0}), "TargetGroupArn": ARNS[GREEN]}, Split(0, 100)),  # alone it gets everything
        (forward({BLUE: 90, GREEN: 10}), Split(90, 10)),
        (forward({BLUE: 999, GREEN: 1}), Split(99, 1)),
        (forward({BLUE: 1, GREEN: 2}), Split(33, 67)),
        (forward({BLUE: 0, GREEN: 0}), Split(0, 0)),
        ({"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}, Split(0, 0)),
        ({"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301"}}, None),
        ({"Type": "forward", "TargetGroupArn": f"{ELB}targetgroup/other/01"}, None),
    ],
)
def test_where_an_action_sends_is_read_from_every_shape(action: dict[str, Any], split: Split | None) -> None:
    assert actions.split(actions.read([action]), ARNS) == split


@given(st.integers(0, 100), st.none() | st.integers(1, 604_800))
def test_what_is_written_is_read_back(blue: int, sticky: int | None) -> None:
    wanted = actions.wanted(Split(blue, 100 - blue), ARNS, sticky)
    read = actions.read(actions.write([], wanted))
    assert read == wanted
    assert actions.split(read, ARNS) == Split(blue, 100 - blue)
    assert actions.same(read, wanted, ARNS)
    assert bool(read.sticky) == (sticky is not None and 0 < blue < 100)


@pytest.mark.parametrize("weight", [-1, 1000])
def test_a_weight_that_aws_does_not_take_is_not_sent(weight: int) -> None:
    with pytest.raises(ValueError, match="a weight that AWS does not take"):
        actions.write([], Forward({ARNS[BLUE]: weight}))


def test_what_signs_users_in_stays_before_the_forward() -> None:
    oidc = {"Issuer": "https://login.example", "ClientId": "shop", "ClientSecret": "hidden"}
    before = [
        {"Type": "authenticate-oidc", "AuthenticateOidcConfig": oidc, "Order": 1},
        {**forward({BLUE: 1}), "Order": 2},
    ]
    first, last = actions.write(before, actions.wanted(Split(0, 100), ARNS))
    kept = {"Issuer": "https://login.example", "ClientId": "shop", "UseExistingClientSecret": True}
    assert (first["AuthenticateOidcConfig"], first["Order"], last["Order"]) == (kept, 1, 2)
    assert actions.split(actions.read([first, last]), ARNS) == Split(0, 100)


# --- the record -------------------------------------------------------------------------------------------------------

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(_TEXTS, _TEXTS, st.sampled_from([None, BLUE, GREEN]), st.booleans(), st.none() | st.just(Split(5, 95)))
def test_what_was_told_is_read_back_from_tags(
    version: str, release: str, test: Colour | None, finished: bool, before: Split | None
) -> None:
    blue = Backend((Endpoint("shop-blue", 8000),), version, release)
    spec = RoutingSpec(Split(100, 0), blue, Backend(), test)
    written = Record("shop", spec, 7, 1_790_000_000_001, record.essence(spec, None), finished, 1_790_000_000, before)
    tags = record.tags(written)
    assert all(len(key) <= 128 and len(value) <= 256 for key, value in tags.items())
    assert record.read({**tags, "Name": "theirs"}, {BLUE: "shop-blue", GREEN: "shop-green"}) == written
    assert set(tags) == set(record.KEYS)


def test_tags_of_others_are_no_record_and_damaged_ones_say_so() -> None:
    names = {BLUE: "shop-blue", GREEN: "shop-green"}
    assert record.read({"Name": "shop", "aws:cloudformation:stack-name": "x"}, names) is None
    with pytest.raises(ValueError, match="not those that Greenroom wrote"):
        record.read({"greenroom:epoch": "4"}, names)


# --- judging ----------------------------------------------------------------------------------------------------------

GROUPS = {c: Group(f"shop-{c}", ARNS[c], 8000, "HTTP", "vpc-1", "ip", ()) for c in Colour}
TERMS = Terms("shop", GROUPS, None, 10.0)
SPEC = RoutingSpec(
    Split(0, 100),
    Backend((Endpoint("shop-blue", 8000),), "1.0", "r-1"),
    Backend((Endpoint("shop-green", 8000),), "2.0", "r-2"),
)
NOW = 1_790_000_000.0


def world(*weights: Mapping[Colour, int], told: Mapping[str, Any] | None = None) -> World:
    """Listeners that say this; `told`: of the record."""
    doors = tuple(Door(f"{ELB}listener/app/shop/0a/{n}", [forward(one)]) for n, one in enumerate(weights))
    values = {"finished": True, "at": int(NOW) - 60, "before": Split(100, 0), **(told or {})}
    known = Record("shop", SPEC, 4, 9, "e", values["finished"], values["at"], values["before"])
    sent = {colour for one in weights for colour, weight in one.items() if weight}
    targets = {colour: (Target("10.0.0.1", "healthy"),) for colour in sent}
    return World(doors, None, {door.arn: known for door in doors}, targets)


ON_GREEN, ON_BLUE = {BLUE: 0, GREEN: 100}, {BLUE: 100, GREEN: 0}


def test_all_as_it_was_told_is_settled() -> None:
    seen = routing(world(ON_GREEN, ON_GREEN), TERMS, None, NOW, frozenset())
    assert (seen.told, seen.live, seen.settled, seen.epoch, seen.detail) == (SPEC, Split(0, 100), True, 4, "")


def test_listeners_that_differ_while_it_is_told_are_unfinished() -> None:
    seen = routing(world(ON_GREEN, ON_BLUE, told={"finished": False}), TERMS, None, NOW, frozenset())
    assert (seen.told, seen.unfinished, seen.settled, seen.live) == (SPEC, True, False, None)
    assert "still forwards to shop-blue 100" in seen.detail


def test_listeners_that_differ_long_after_are_somebody_elses_doing() -> None:
    seen = routing(world(ON_GREEN, ON_BLUE), TERMS, None, NOW, frozenset())
    assert seen.told is not None
    assert (seen.told.split, seen.unfinished, seen.settled) == (Split(100, 0), False, False)


def test_what_was_before_is_late_for_a_while_and_anything_else_is_not() -> None:
    young = {"at": int(NOW) - 1}
    seen = routing(world(ON_BLUE, told=young), TERMS, None, NOW, frozenset())
    assert (seen.told, seen.settled, seen.settles_at) == (SPEC, False, int(NOW) - 1 + LAGS)
    seen = routing(world({BLUE: 50, GREEN: 50}, told=young), TERMS, None, NOW, frozenset())
    assert seen.told is not None
    assert seen.told.split == Split(50, 50)


def test_all_changed_but_not_written_down_as_done_is_told_again() -> None:
    seen = routing(world(ON_GREEN, told={"finished": False}), TERMS, None, NOW, frozenset())
    assert (seen.told, seen.unfinished, seen.settled) == (SPEC, True, False)


def test_a_listener_that_came_later_is_told_too() -> None:
    both = world(ON_GREEN, ON_GREEN)
    late = World(both.public, None, {**both.records, both.public[1].arn: None}, both.targets)
    assert routing(late, TERMS, None, NOW, frozenset()).unfinished


def test_what_lost_its_traffic_is_taken_for_held_as_long_as_drain_says() -> None:
    terms = Terms("shop", GROUPS, None, 10.0, 30.0)
    young = world(ON_GREEN, told={"at": int(NOW) - 29})
    assert routing(young, terms, None, NOW, frozenset()).holding == {BLUE: 1}
    assert routing(young, terms, None, NOW + 1, frozenset()).holding == {}


def test_another_services_listener_is_not_ours() -> None:
    seen = routing(world(ON_GREEN), Terms("other", GROUPS, None, 10), None, NOW, frozenset())
    assert (seen.told, seen.settled) == (None, False)
    assert "belongs to the service shop" in seen.detail


@pytest.mark.parametrize(
    ("values", "live", "settled"),
    [
        ({"green": 4}, Split(0, 100), True),
        ({"2.0": 4}, Split(0, 100), True),
        ({"green": 3, "blue": 1}, Split(25, 75), False),
        ({"blue": 4}, Split(100, 0), False),
        ({"1.0": 4}, Split(100, 0), False),
        ({"green": 3, "3.0": 1}, None, False),
        ({}, None, False),
    ],
)
def test_what_requests_get_goes_before_what_aws_says(values: dict[str, int], live: Split | None, settled: bool) -> None:
    evidence = understood(Heard(Counter(values), Counter() if values else Counter({502: 4})), SPEC)
    seen = routing(world(ON_GREEN), TERMS, evidence, NOW, frozenset())
    assert (seen.live, seen.settled) == (live, settled)


def test_the_same_version_on_both_colours_tells_nothing_and_time_decides() -> None:
    spec = RoutingSpec(SPEC.split, SPEC.blue, Backend(SPEC.green.endpoints, "1.0", "r-2"))
    evidence = understood(Heard(Counter({"1.0": 4})), spec)
    assert evidence.both
    young = routing(world(ON_GREEN, told={"at": int(NOW) - 1}), TERMS, evidence, NOW, frozenset())
    assert young.live is None
    assert routing(world(ON_GREEN), TERMS, evidence, NOW, frozenset()).live == Split(0, 100)


# --- asking -----------------------------------------------------------------------------------------------------------


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = {"/json": b'{"app": [{"colour": "green"}]}', "/text": b"shop 2.0 (green)"}.get(self.path, b"no")
        self.send_response(200 if body != b"no" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.mark.real
def test_colour_or_version_is_found_where_the_file_says() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            for how, value in (
                ({"path": "/json", "json": "app.0.colour"}, "green"),
                ({"path": "/text", "regex": r"shop (\S+)"}, "2.0"),
                ({"path": "/text", "regex": "green|blue"}, "green"),
            ):
                assert Asking(Observe.model_validate({**how, "requests": 3}), [url]).hear().values == {value: 3}
            heard = Asking(Observe.model_validate({"path": "/gone", "json": "a.b"}), [url]).hear()
            assert (heard.values, heard.refused) == (Counter(), Counter({404: 2}))
        finally:
            server.shutdown()
    heard = Asking(Observe.model_validate({"header": "x"}), [url]).hear()
    assert (heard.answered, len(heard.silent)) == (0, 1)


@pytest.mark.parametrize(
    ("conditions", "headers"),
    [
        (
            [{"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Test", "Values": ["*"]}}],
            {"x-test": "1"},
        ),
        (
            [{"Field": "host-header", "HostHeaderConfig": {"Values": ["idle.shop.example"]}}],
            {"Host": "idle.shop.example"},
        ),
        ([{"Field": "host-header", "Values": ["idle.*"]}], {"Host": "idle."}),
    ],
)
def test_a_rule_says_what_meets_it(conditions: list[dict[str, Any]], headers: dict[str, str]) -> None:
    assert asking_for(Door(RULE, (), conditions=conditions)) == headers


def test_a_rule_that_no_header_meets_is_refused() -> None:
    with pytest.raises(Permanent, match="for a path-pattern, which no header meets"):
        asking_for(Door(RULE, (), conditions=[{"Field": "path-pattern", "Values": ["/idle/*"]}]))


def test_the_router_says_what_it_can() -> None:
    assert {str(one) for one in AlbRouter.capabilities} == {"weights", "test_route", "parity"}
