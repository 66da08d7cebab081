"""One GET over an open stream: what every server may answer, and what none should."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from greenroom.adapters.hosts.http import Answer, ClosedWithoutAnswer, get


class Server:
    """The other end of a socketpair: reads the request, then says the pieces, then closes (or keeps silent)."""

    def __init__(self, *pieces: bytes, closes: bool = True) -> None:
        self.link, self._end = socket.socketpair()
        self.asked = b""
        self._pieces, self._closes = pieces, closes
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while b"\r\n\r\n" not in self.asked:
            if not (piece := self._end.recv(4096)):
                return
            self.asked += piece
        for piece in self._pieces:
            self._end.sendall(piece)
        if self._closes:
            self._end.close()

    def get(self, path: str = "/", within: float = 5.0, limit: int = 65536, **headers: str) -> Answer:
        with self.link:
            answer = get(self.link, path, headers, time.monotonic() + within, limit)
        self._thread.join(5)
        return answer

    def end(self) -> None:
        self.link.close()
        self._end.close()


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more",), b"hello"),
        ((b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo"), b"hello"),
        ((b"HTTP/1.0 200\r\n\r\n",), b""),
        (
            (
                b"HT",
                b"TP/1.1 200 OK\r\nTransfer-Enc",
                b"oding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r",
                b"\nllo\r\n0\r\n\r\n",
            ),
            b"hello",
        ),
        ((b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), b"hi"),
        ((b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",), b""),
    ],
)
def test_an_answer_in_any_framing(pieces: tuple[bytes, ...], body: bytes) -> None:
    answer = Server(*pieces).get()
    assert answer.status in (200, 204)
    assert answer.body == body


def test_the_request_is_what_was_asked_for() -> None:
    server = Server(b"HTTP/1.1 302 Found\r\nLOCATION:  /login \r\nlocation: /other\r\n\r\n")
    answer = server.get("/a?b=c", Host="shop.example", Cookie="colour=green")
    lines = server.asked.decode().split("\r\n")
    assert lines[0] == "GET /a?b=c HTTP/1.1"
    assert {"Host: shop.example", "Cookie: colour=green", "Connection: close"} <= set(lines)
    assert (answer.status, answer.headers["location"]) == (302, "/login")


def test_a_body_is_cut_at_the_limit_and_none_is_waited_for_without() -> None:
    assert Server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789").get(limit=4).body == b"1234"
    assert Server(b"HTTP/1.1 200 OK\r\n\r\n123456789").get(limit=4).body == b"1234"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\n3\r\n456\r\n0\r\n\r\n"
    assert Server(chunked).get(limit=4).body == b"1234"
    silent = Server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", closes=False)
    assert silent.get(limit=0) == Answer(200, {"content-length": "9"}, b"")
    silent.end()


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ((), ClosedWithoutAnswer),
        ((b"SSH-2.0-OpenSSH_9.2\r\n",), ValueError),
        ((b"HTTP/1.1 OK\r\n\r\n",), ValueError),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",), ValueError),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",), ValueError),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",), ConnectionResetError),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",), ConnectionResetError),
        ((b"x" * 70000,), ValueError),
    ],
)
def test_what_is_no_answer_is_told_apart(pieces: tuple[bytes, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        Server(*pieces).get()


def test_a_server_that_says_nothing_or_drips_is_not_waited_for() -> None:
    for pieces in ((), (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",)):
        silent = Server(*pieces, closes=False)
        with pytest.raises(TimeoutError):
            silent.get(within=0.05)
        silent.end()


def test_a_line_break_cannot_be_smuggled_into_the_request() -> None:
    with pytest.raises(ValueError, match="line break"):
        Server().get("/\r\nHost: other")
