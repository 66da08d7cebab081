"""Router `envoy` while a candidate is proven: copies, who goes first, the shield, cohorts: what the contract cannot see."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

from greenroom.adapters.envoy.admin import Admin
from greenroom.domain.model import Backend, Colour, Endpoint, First, Mirror, Split
from greenroom.errors import Permanent
from greenroom.testing import traffic
from greenroom.testing.processes import free_ports
from tests.envoy_stage import Stage
from tests.rigs.routing import NOTHING, PATIENCE

BLUE, GREEN = Colour.BLUE, Colour.GREEN

pytestmark = pytest.mark.real


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as made:
        yield made


def logged(stage: Stage, lines: int) -> list[dict[str, object]]:
    path = stage.folder / ".greenroom" / "logs" / "router-access.log"
    stage.until(lambda _: path.exists() and path.read_text().count("\n") >= lines)
    return [json.loads(line) for line in path.read_text().splitlines()]


def said_to(server: socket.socket) -> str:
    """By the first who says anything: who only looks whether somebody listens does not."""
    server.settimeout(PATIENCE)
    while True:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(PATIENCE)
            text = b""
            while b"\r\n\r\n" not in text and (piece := connection.recv(65536)):
                text += piece
        if text:
            return text.decode()


# copies


def test_a_copy_is_as_the_request_was_and_says_that_it_is_one(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as candidate:
        green = Backend((Endpoint("127.0.0.1", candidate.getsockname()[1]),), "2.0")
        stage.route(stage.backend(BLUE), green, mirror=Mirror(GREEN, 100))
        lies = {"X-Greenroom-Mirror": "blue", "Cookie": "session=7", "Host": "shop.example"}
        users = json.loads(traffic.ask(stage.url, "/headers?page=2", headers=lies).body)
        assert "x-greenroom-mirror" not in users
        first, *lines = said_to(candidate).split("\r\n\r\n")[0].split("\r\n")
    assert first == "GET /headers?page=2 HTTP/1.1"
    copied = dict(line.lower().split(": ", 1) for line in lines)
    assert copied.pop("x-greenroom-mirror") == "green"
    same = ("host", "cookie", "x-request-id", "x-forwarded-host", "x-forwarded-proto")
    assert [copied[name] for name in same] == [users[name] for name in same]


def test_a_candidate_that_hangs_costs_users_nothing_and_gathers_no_copies(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as hung:
        green = Backend((Endpoint("127.0.0.1", hung.getsockname()[1]),), "2.0")
        stage.route(stage.backend(BLUE), green, mirror=Mirror(GREEN, 100))
        connection = traffic.connect(stage.url)
        with contextlib.closing(connection):
            assert {traffic.exchange(connection).text for _ in range(400)} == {"blue 1.0"}
        counted, _ = Admin(stage.live.parent).stats("filter=cluster.green_mirror.upstream_rq_active")
        assert 0 < counted["cluster.green_mirror.upstream_rq_active"] <= 128
        # Nobody waits for a copy, either, when its colour is to be stopped.
        assert stage.router().observe().holding[GREEN] == 0
        assert stage.analyser().measure().blue.errors == 0


def test_a_candidate_that_is_not_there_shows_as_copies_without_an_answer(stage: Stage) -> None:
    nobody = Backend((Endpoint("127.0.0.1", free_ports(1)[0]),), "2.0")
    stage.route(stage.backend(BLUE), nobody, mirror=Mirror(GREEN, 100))
    assert {traffic.ask(stage.url).text for _ in range(10)} == {"blue 1.0"}
    stage.until(lambda _: stage.analyser().measure().mirrored.errors == 10)
    assert stage.analyser().measure().blue.errors == 0


def test_websockets_are_not_copied(stage: Stage) -> None:
    green = stage.server(GREEN)
    stage.route(stage.backend(BLUE), green.backend, mirror=Mirror(GREEN, 100))
    held = traffic.WebSocket(stage.url)
    assert held.greeting == "blue 2.0"
    traffic.ask(stage.url, "/after")
    stage.until(lambda _: green.requests > 0)
    assert (green.requests, held.say("still")) == (1, "blue 2.0 still")
    held.close()


def test_copies_are_told_apart_in_the_access_log(stage: Stage) -> None:
    stage.route(stage.backend(BLUE), stage.backend(GREEN), mirror=Mirror(GREEN, 100))
    traffic.ask(stage.url, "/page")
    found = sorted((line["colour"], line["copy"], line["test"], line["path"]) for line in logged(stage, 2))
    assert found == [("blue", False, False, "/page"), ("green", True, True, "/page")]


# the shield


def test_a_candidate_that_fails_in_series_is_left_out_and_comes_back(stage: Stage) -> None:
    blue, green = stage.backend(BLUE), stage.server(GREEN)
    bad = stage.failing(GREEN)
    stage.route(blue, bad.backend, to=GREEN, shield=GREEN)
    connection = traffic.connect(stage.url)
    with contextlib.closing(connection):
        assert {traffic.exchange(connection).text for _ in range(200)} == {"blue 1.0"}
    # Most were not even sent there, and yet all count against it.
    assert bad.received["GET"] < 150
    figures = stage.analyser().measure().green
    assert (figures.requests, figures.errors, figures.shielded) == (200, 200, 200)
    one = Backend((*bad.backend.endpoints, *green.backend.endpoints), "2.0")
    stage.route(blue, one, to=GREEN, shield=GREEN)
    # A replica that is well gets what the other one is left out of.
    stage.until(lambda _: [traffic.ask(stage.url).text for _ in range(5)] == ["green 2.0"] * 5)


def test_who_answered_stands_in_the_access_log(stage: Stage) -> None:
    stage.route(stage.backend(BLUE), stage.failing(GREEN).backend, to=GREEN, shield=GREEN)
    traffic.ask(stage.url, "/page")
    (line,) = logged(stage, 1)
    assert [line[name] for name in ("colour", "answered_by", "version", "status", "test")] == [
        "green",
        "blue",
        "1.0",
        200,
        False,
    ]


def test_what_cannot_be_kept_is_not_asked_twice(stage: Stage) -> None:
    stage.route(stage.backend(BLUE), stage.failing(GREEN).backend, to=GREEN, shield=GREEN)
    key = {"Idempotency-Key": "7"}
    small = traffic.ask(stage.url, method="POST", body=b"x" * 500_000, headers=key)
    large = traffic.ask(stage.url, method="POST", body=b"x" * 3_000_000, headers=key)
    assert (small.status, large.status) == (200, 500)
    cut = stage.server(GREEN)
    stage.route(stage.backend(BLUE), cut.backend, to=GREEN, shield=GREEN)
    with pytest.raises((OSError, HTTPException)):
        traffic.ask(stage.url, "/cut")
    assert stage.analyser().measure().green.shielded == 1


def test_what_fails_on_both_colours_is_an_error_and_not_shielded(stage: Stage) -> None:
    stage.route(stage.backend(BLUE), stage.backend(GREEN), to=GREEN, shield=GREEN)
    for _ in range(3):
        assert traffic.ask(stage.url, "/status?code=503").status == 503
    figures = stage.analyser().measure().green
    assert (figures.requests, figures.errors, figures.shielded) == (3, 3, 0)
    assert dict(figures.statuses) == {"503": 3}


def test_a_shielded_candidate_that_was_killed(stage: Stage) -> None:
    blue, green = stage.backend(BLUE), stage.server(GREEN)
    stage.route(blue, green.backend, split=Split(50, 50), shield=GREEN)
    connection = traffic.connect(stage.url)
    with contextlib.closing(connection):
        answers = {traffic.exchange(connection).text for _ in range(60)}
        assert answers == {"blue 1.0", "green 2.0"}
        green.stop()
        assert {traffic.exchange(connection).text for _ in range(60)} == {"blue 1.0"}
    figures = stage.analyser().measure().green
    assert figures.errors == figures.shielded > 0
    assert "500" not in figures.statuses
    assert "503" not in figures.statuses


def test_what_the_shield_leads_holds_its_colour_too(stage: Stage) -> None:
    blue, green = stage.backend(BLUE), stage.backend(GREEN)
    stage.route(blue, green, to=GREEN, shield=GREEN)
    held = traffic.WebSocket(stage.url)
    assert held.greeting == "green 2.0"
    stage.route(blue, green)
    assert stage.router().observe().holding == {BLUE: 0, GREEN: 1}
    assert held.say("still") == "green 2.0 still"
    held.close()
    stage.until(lambda seen: seen.holding[GREEN] == 0)


def test_a_baseline_of_this_very_moment_shields_as_well(stage: Stage) -> None:
    bad = stage.failing(GREEN).backend
    stage.route(stage.backend(BLUE), bad, to=GREEN, shield=GREEN)
    for _ in range(3):
        fresh = stage.backend(BLUE)
        stage.route(fresh, bad, to=GREEN, shield=GREEN)
        assert {traffic.ask(stage.url).text for _ in range(20)} == {f"blue {fresh.version}"}


def test_the_application_sees_nothing_of_it(stage: Stage) -> None:
    stage.route(stage.backend(BLUE), stage.backend(GREEN), to=GREEN, shield=GREEN)
    answer = traffic.ask(stage.url, "/headers")
    assert not [name for name in json.loads(answer.body) if name.startswith(("x-envoy", "x-greenroom"))]
    assert not [name for name in answer.headers if name.startswith(("x-envoy", "x-greenroom"))]


# first, and cohorts


def test_who_goes_first_is_shielded_as_well(stage: Stage) -> None:
    stage.route(stage.backend(BLUE), stage.failing(GREEN).backend, shield=GREEN, first=First("X-Staff", "yes", GREEN))
    staff = {"x-staff": "yes"}
    assert traffic.ask(stage.url, headers=staff).text == "blue 1.0"
    assert traffic.ask(stage.url, headers=staff, method="POST").status == 500
    figures = stage.analyser().measure().green
    assert (figures.requests, figures.errors, figures.shielded) == (2, 2, 1)


def test_nobody_goes_first_to_where_nothing_is(stage: Stage) -> None:
    with pytest.raises(Permanent, match="has no endpoint"):
        stage.route(stage.backend(BLUE), NOTHING, first=First("x-staff", "", GREEN))


def test_a_cookie_only_while_there_is_something_to_choose(tmp_path: Path) -> None:
    with Stage(tmp_path, sticky=True) as stage:
        blue, green = stage.backend(BLUE), stage.backend(GREEN)
        stage.route(blue, green)
        assert "set-cookie" not in traffic.ask(stage.url).headers
        stage.route(blue, green, split=Split(50, 50))
        cookie = traffic.ask(stage.url, headers={"X-Greenroom-Draw": "aaaaaaaa"}).headers["set-cookie"]
        assert cookie.startswith("greenroom-shop=")
        assert not cookie.startswith("greenroom-shop=aaaaa")
        assert cookie.endswith("; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax")
        made_up = {"cookie": "greenroom-shop=../../etc; x-greenroom-shop=00000"}
        assert "set-cookie" in traffic.ask(stage.url, headers=made_up).headers


def test_users_stay_where_they_are_with_the_shield_as_well(tmp_path: Path) -> None:
    with Stage(tmp_path, sticky=True) as stage:
        blue, green = stage.backend(BLUE), stage.backend(GREEN)
        stage.route(blue, green, split=Split(60, 40), shield=GREEN)
        users = [traffic.ask(stage.url) for _ in range(40)]
        for answer in users:
            cookie = answer.headers["set-cookie"].partition(";")[0]
            for method in ("GET", "POST"):
                again = traffic.ask(stage.url, method=method, headers={"cookie": cookie})
                assert again.headers["x-served-by"] == answer.headers["x-served-by"]
