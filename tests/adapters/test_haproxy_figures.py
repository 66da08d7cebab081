"""What the analyser `haproxy` counts, on a real HAProxy with replicas that misbehave."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

from greenroom.adapters.haproxy.figures import BOUNDS, bound, read
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
    ],
    ids=["no answer", "nonsense", "cut"],
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


def test_what_is_lost_on_a_connection_that_was_used_again_is_an_error_once(stage: Stage) -> None:
    rude = Rude(lambda n: ANSWER if n == 1 else None)
    stage.route(rude.backend)
    statuses: list[int] = []
    while set(statuses) <= {200}:  # HAProxy may close one that is not used at any time
        statuses += ask(stage.url, 2, "POST")
        assert len(statuses) < 200
    blue = blue_of(stage, len(statuses))
    assert (blue.requests, blue.errors) == (len(statuses), len(statuses) - statuses.count(200))
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


@pytest.mark.parametrize("us", [0, 4, 7, 10, 42, 99, 100, 349, 1000, 3499, 9999, 10_000, 250_000, 9_950_000])
def test_a_row_holds_what_took_less_than_its_bound(us: int) -> None:
    """As HAProxy makes it: the number of digits, and the first two divided by 5."""
    text = str(us)
    upper = bound(len(text), int(text[:2]) // 5)
    assert us / 1000 < upper <= max(0.005, us / 1000 * 1.5)


def test_every_bound_that_is_told_is_one_of_a_row() -> None:
    rows = {bound(digits, first) for digits in range(1, 10) for first in range(20)}
    assert set(BOUNDS) <= rows
    assert list(BOUNDS) == sorted(set(BOUNDS))


def test_a_table_is_read_also_that_of_an_earlier_greenroom() -> None:
    rows = [
        "# table: shop_figures, type: string, size:10240, used:4",
        "0x5581: key=blue:200:4:6 use=0 exp=0 shard=0 gpc0=7",
        "0x5582: key=blue:200:6:4 use=0 exp=0 gpc0=2",
        "0x5583: key=blue:502:2:-1 use=0 exp=0 gpc0=1",  # the clock was put back meanwhile
        "0x5584: key=green:200 use=0 exp=0 gpc0=3 gpc1=0 gpc2=1" + "".join(f" gpc{n}=0" for n in range(3, 25)),
    ]
    found = read("\n".join(rows) + "\n\n")
    blue, green = found[BLUE], found[GREEN]
    assert (blue.statuses, green.statuses) == ({"200": 9, "502": 1}, {"200": 4})
    latency = dict(blue.latency)
    assert (latency[0.1], latency[3.0], latency[4.0], latency[200.0], latency[250.0]) == (1, 1, 8, 8, 10)
    assert latency[float("inf")] == 10
    assert green.latency == ()


def test_both_colours_are_counted_apart_through_a_shift(stage: Stage) -> None:
    stage.route(stage.backend(BLUE), stage.backend(GREEN), split=Split(50, 50))
    shares = stage.shares(200)
    seen = measured(Bench(stage), lambda seen: seen.blue.requests + seen.green.requests >= 200)
    assert {c: seen.of(c).requests for c in Colour} == shares
    assert {c: seen.of(c).statuses for c in Colour} == {c: {"200": n} for c, n in shares.items()}


def test_a_haproxy_without_our_file_measures_nothing(stage: Stage) -> None:
    with pytest.raises(Temporary, match="not loaded"):
        stage.analyser().measure()
