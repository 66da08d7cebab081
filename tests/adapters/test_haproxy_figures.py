"""What the analyser `haproxy` counts, on a real HAProxy with replicas that misbehave."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

from greenroom.domain.figures import Figures
from greenroom.domain.model import Backend, Colour, Endpoint, Split
from greenroom.errors import Temporary
from greenroom.testing import traffic
from greenroom.testing.contracts.analyser import measured
from tests.rigs.haproxy import Stage

pytestmark = pytest.mark.real
BLUE, GREEN = Colour.BLUE, Colour.GREEN
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Rude:
    """A replica: `answer(n)` gives the bytes for the n-th request of a connection, None ends it."""

    def __init__(self, answer: Callable[[int], bytes | None]) -> None:
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.backend = Backend((Endpoint("127.0.0.1", self._listening.getsockname()[1]),), "1.0")
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                link, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        number = 0
        with link:
            while link.recv(65536):
                number += 1
                answer = self._answer(number)
                if answer is None:
                    return
                link.sendall(answer)
                if not answer.endswith(b"ok"):
                    return

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        yield stage


def blue_of(stage: Stage, requests: int) -> Figures:
    return measured(Bench(stage), lambda seen: seen.blue.requests >= requests).blue


class Bench:
    """Of the analysers' contract, what `measured` needs."""

    def __init__(self, stage: Stage) -> None:
        self.analyser, self.pause = stage.analyser, stage.pause


def ask(url: str, times: int, method: str = "GET") -> list[int]:
    """Over one connection, anew when it is closed. 0: no answer."""
    found = []
    connection = traffic.connect(url)
    for _ in range(times):
        try:
            found.append(traffic.exchange(connection, method=method, body=b"x" if method == "POST" else None).status)
        except (OSError, HTTPException):
            found.append(0)
            connection.close()
    connection.close()
    return found


@pytest.mark.parametrize(
    ("answer", "method", "statuses"),
    [
        (lambda n: None, "POST", [502]),
        (lambda n: b"nonsense\r\n\r\n", "GET", [502]),
        (lambda n: b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut", "GET", [0]),
        (lambda n: ANSWER if n == 1 else None, "POST", [200, 0]),  # lost on a connection that was used again
    ],
    ids=["no answer", "nonsense", "cut", "lost"],
)
def test_what_got_no_right_answer_is_an_error_once(
    stage: Stage, answer: Callable[[int], bytes | None], method: str, statuses: list[int]
) -> None:
    rude = Rude(answer)
    stage.route(rude.backend)
    assert ask(stage.url, len(statuses), method) == statuses
    blue = blue_of(stage, len(statuses))
    assert (blue.requests, blue.errors) == (len(statuses), 1)
    rude.close()


def test_a_safe_request_that_a_replica_dropped_is_asked_again(stage: Stage) -> None:
    rude = Rude(lambda n: ANSWER if n == 1 else None)
    stage.route(rude.backend)
    assert ask(stage.url, 4) == [200] * 4
    blue = blue_of(stage, 4)
    assert (blue.requests, blue.errors, blue.statuses) == (4, 0, {"200": 4})
    rude.close()


def test_a_websocket_is_no_error_whoever_closes_it(stage: Stage) -> None:
    server = stage.server(BLUE)
    stage.route(server.backend)
    traffic.WebSocket(stage.url).close()
    held = traffic.WebSocket(stage.url)
    server.stop()
    with pytest.raises(OSError):
        held.say("are you there?")
    held.close()
    blue = blue_of(stage, 2)
    assert (blue.requests, blue.errors, blue.statuses) == (2, 0, {"101": 2})


def test_a_client_that_goes_away_is_no_error(stage: Stage) -> None:
    stage.route(stage.backend(BLUE))
    with socket.create_connection(("127.0.0.1", stage.port)) as link:
        link.sendall(b"GET /slow?ms=200 HTTP/1.1\r\nHost: x\r\n\r\n")
        stage.until(lambda seen: seen.holding[BLUE] == 1)
    stage.until(lambda seen: seen.holding[BLUE] == 0)
    assert blue_of(stage, 1).errors == 0


def test_long_answers_do_not_look_slow(stage: Stage) -> None:
    server = stage.server(BLUE)
    stage.route(server.backend)
    connection = http.client.HTTPConnection("127.0.0.1", stage.port, timeout=30)
    connection.request("GET", "/stream")
    answer = connection.getresponse()
    assert answer.read(5) == b"first"
    traffic.ask(stage.url, "/slow?ms=400")
    server.release()
    assert answer.read() == b"second"
    connection.close()
    latency = dict(blue_of(stage, 2).latency)
    assert (latency[300.0], latency[30000.0]) == (1, 2)


def test_both_colours_are_counted_apart_through_a_shift(stage: Stage) -> None:
    stage.route(stage.backend(BLUE), stage.backend(GREEN), split=Split(50, 50))
    shares = stage.shares(200)
    seen = measured(Bench(stage), lambda seen: seen.blue.requests + seen.green.requests >= 200)
    assert {c: seen.of(c).requests for c in Colour} == shares
    assert {c: seen.of(c).statuses for c in Colour} == {c: {"200": n} for c, n in shares.items()}


def test_a_haproxy_without_our_file_measures_nothing(stage: Stage) -> None:
    with pytest.raises(Temporary, match="not loaded"):
        stage.analyser().measure()
