"""What may stand in the file under `router` of type haproxy, and what is made of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from greenroom.adapters.haproxy import render, route, slots
from greenroom.adapters.haproxy.layout import Layout
from greenroom.adapters.haproxy.settings import HaproxySettings
from greenroom.adapters.routers.haproxy import HaproxyRouter
from greenroom.domain.model import Backend, Colour, Endpoint, First, RoutingSpec, Split
from greenroom.errors import Permanent
from greenroom.ports import Place

BLUE, GREEN = Colour.BLUE, Colour.GREEN
LISTEN = {"listen": "127.0.0.1:8080"}
PLACE = Place("my-shop", Path("greenroom.yaml"), Path("/srv/state"))

WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "give either listen"),
    ({**LISTEN, "url": "https://shop.example"}, "give either listen"),
    ({"url": "shop.example"}, "write it like https://shop.example"),
    ({"url": "https://shop.example/path"}, "write it like https://shop.example"),
    ({"listen": "8080"}, "write host:port"),
    ({"listen": "shop.example:80"}, "write 0.0.0.0:80 to listen everywhere"),
    ({"listen": ["127.0.0.1:80", "localhost:80"]}, "listed twice"),
    ({"listen": {"address": "0.0.0.0:443", "certificate": "site.pem"}}, "no whole path"),
    ({"listen": {"address": "0.0.0.0:443", "certificate": "/a b.pem"}}, "no whole path"),
    ({**LISTEN, "socket": "admin.sock"}, "no whole path"),
    ({**LISTEN, "file": "/etc/haproxy/greenroom/shop.conf"}, "does not end with .cfg"),
    ({**LISTEN, "file": '/etc/"; rm.cfg'}, "no whole path"),
    ({**LISTEN, "test_route": {}}, "at least one of header, host, listen"),
    ({**LISTEN, "test_route": {"header": "no header"}}, "no name of a header"),
    ({**LISTEN, "test_route": {"host": "idle.example:80"}}, "without a port"),
    ({**LISTEN, "test_route": {"listen": "127.0.0.1:8080"}}, "listed twice"),
    ({**LISTEN, "slots": 0}, "greater than or equal to 1"),
    ({**LISTEN, "balance": "source"}, "'roundrobin', 'leastconn' or 'random'"),
    ({**LISTEN, "timeouts": {"idle": 30}}, "30 has no unit"),
    ({**LISTEN, "timeouts": {"connect": "0s"}}, "greater than 0"),
    ({**LISTEN, "reload": ["systemctl"]}, "valid string"),
    ({**LISTEN, "mirror": True}, "Extra inputs"),
]


@pytest.mark.parametrize(("document", "text"), WRONG)
def test_what_is_wrong_is_said(document: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        HaproxySettings.model_validate(document)
    assert text in str(caught.value)


def made(**settings: Any) -> str:
    given = HaproxySettings.model_validate({**LISTEN, **settings})
    return render.config(given, Layout.of(given, PLACE), {c: [None] * given.slots for c in Colour}).decode()


def test_where_it_is_and_how_it_is_reached() -> None:
    layout = Layout.of(HaproxySettings.model_validate(LISTEN), PLACE)
    assert (layout.file, layout.map_name) == (
        "/etc/haproxy/greenroom/my-shop.cfg",
        "/etc/haproxy/greenroom/my-shop.map",
    )
    settings = HaproxySettings.model_validate(
        {"listen": "[::]:443", "file": "/srv/proxy/a.cfg", "inside": "/usr/local/etc/haproxy/greenroom"}
    )
    layout = Layout.of(settings, PLACE)
    assert (layout.map_file, layout.map_name) == ("/srv/proxy/a.map", "/usr/local/etc/haproxy/greenroom/a.map")
    assert HaproxyRouter(settings, PLACE).reach() == ("http://[::1]:443", {})
    people = HaproxySettings.model_validate({"url": "https://shop.example/", "test_route": {"host": "idle.example"}})
    assert HaproxyRouter(people, PLACE).reach(test=True) == ("https://shop.example", {"Host": "idle.example"})
    secure = HaproxySettings.model_validate({"listen": {"address": "0.0.0.0:443", "certificate": "/etc/ssl/a.pem"}})
    assert HaproxyRouter(secure, PLACE).reach() == ("https://127.0.0.1:443", {})


def test_what_stands_in_the_file() -> None:
    text = made(listen=[{"address": "[::]:443", "certificate": "/etc/ssl/a.pem"}, "127.0.0.1:80"], slots=2)
    assert "    bind [::]:443 v4v6 ssl crt /etc/ssl/a.pem alpn h2,http/1.1\n" in text
    assert "    bind 127.0.0.1:80\n" in text
    assert text.count("    server s2 ") == 4
    assert text.count("    server p2 ") == 2
    assert "Set-Cookie" not in text
    assert "\ndefaults" not in text
    assert "backend my-shop_blue\n" in text
    assert "Set-Cookie greenroom" not in made(sticky=False)
    assert 'Set-Cookie "greenroom-my-shop=' in made(sticky=True)


def test_the_shape_is_of_the_settings_alone() -> None:
    settings = HaproxySettings.model_validate(LISTEN)
    layout = Layout.of(settings, PLACE)
    taken = {c: [Endpoint("10.0.0.1", 80), *[None] * 7] for c in Colour}
    shape = render.shape(settings, layout)
    assert f"str({shape})" in render.config(settings, layout, taken).decode()
    assert b"server s1 10.0.0.1:80 check" in render.config(settings, layout, taken)
    for change in ({"slots": 9}, {"sticky": True}, {"timeouts": {"idle": "10s"}}, {"test_route": {"header": "x-y"}}):
        assert render.shape(HaproxySettings.model_validate({**LISTEN, **change}), layout) != shape
    # What HAProxy does not see changes nothing.
    for change in ({"drain": "1s"}, {"reload": "true"}, {"check": "true"}):
        assert render.shape(HaproxySettings.model_validate({**LISTEN, **change}), layout) == shape


def test_the_lines_for_people() -> None:
    def lines(**document: Any) -> str:
        settings = HaproxySettings.model_validate(document)
        return "\n".join(render.include_lines(settings, Layout.of(settings, PLACE)))

    assert "level admin" in lines(**LISTEN)
    assert '-f /etc/haproxy/greenroom"' in lines(**LISTEN)
    assert "use_backend %" not in lines(**LISTEN)
    assert "use_backend %[var(txn.greenroom_my_shop)] if" in lines(url="https://shop.example")


@pytest.mark.parametrize("split", [Split(100, 0), Split(93, 7), Split(0, 100), Split.none()])
@pytest.mark.parametrize("test", [None, BLUE, GREEN])
def test_a_route_comes_back(split: Split, test: Colour | None) -> None:
    layout = Layout.of(HaproxySettings.model_validate(LISTEN), PLACE)
    value = route.write(layout, RoutingSpec(split, test=test), "17-abc")
    assert " " not in value
    assert route.read(layout, value) == route.Route(split, test, "17-abc")
    staff = First("x-staff", "", GREEN)
    value = route.write(layout, RoutingSpec(split, test=test, first=staff), "17-abc")
    first = GREEN if split != Split.none() else None
    assert route.read(layout, value) == route.Route(split, test, "17-abc", first)


def test_who_goes_first_is_a_pattern_of_one_line_without_a_blank() -> None:
    headers = "host: a\r\nx-staff: y.e (s)\\\r\nx-other: 1\r\n\r\n"
    for value, found in (("y.e (s)\\", True), ("", True), ("y.e (s)", False), ("yxe (s)\\", False), ("é", False)):
        pattern = route.who(RoutingSpec(Split(100, 0), first=First("X-Staff", value, GREEN)))
        assert " " not in pattern
        assert bool(re.search(pattern, headers)) is found
    assert route.who(RoutingSpec(Split.none(), first=First("x-staff", "", GREEN))) == ""
    assert route.who(RoutingSpec(Split(100, 0))) == ""


@pytest.mark.parametrize(
    "value",
    [
        "",
        "on",
        "on:x:y:z",
        "on:33:my-shop_untested:1-a",
        "on:10001:my-shop_untested:1-a",
        "on:0:my-shop_untested:1-a:red",
    ],
)
def test_a_route_of_somebody_else_is_none_of_ours(value: str) -> None:
    layout = Layout.of(HaproxySettings.model_validate(LISTEN), PLACE)
    strange = route.read(layout, value)
    assert strange is not None
    assert strange.split is None
    assert route.read(layout, route.GONE) is route.read(layout, route.DOWN) is None


def test_slots_are_kept_and_newcomers_get_free_ones_first() -> None:
    a, b, c, d = (Endpoint("127.0.0.1", port) for port in range(1, 5))

    def spec(*endpoints: Endpoint) -> RoutingSpec:
        return RoutingSpec(Split.all_to(BLUE), Backend(endpoints))

    first = slots.place({}, spec(a, b), 3)
    assert first[BLUE] == [a, b, None]
    assert slots.place(first, spec(b, a), 3) == first
    second = slots.place(first, spec(b, c), 3)
    assert second[BLUE] == [None, b, c]
    assert slots.place(second, spec(d, a), 3)[BLUE] == [d, a, None]
    assert slots.load(slots.dump(second)) == second
    assert slots.place(second, spec(a, b, c), 4)[BLUE] == [a, b, c, None]
    with pytest.raises(Permanent, match="4 replicas, HAProxy has 3 slots"):
        slots.place(second, spec(a, b, c, d), 3)
