"""The client tells a good answer from a bad one and from none, and never asks twice."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from greenroom.demo.log import Request, Tail, Writer, read
from greenroom.demo.traffic import Client, Load, Traffic


def whole(status: int, body: str, more: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{more}\r\n{body}".encode()


def mark(number: int, body: bytes = b"") -> str:
    return f"<p>[shop version=2 colour=green request={number} sha256={hashlib.sha256(body).hexdigest()}]"


# What a server may do to its clients, each to every twelfth request, and what the log must say of it.
MISBEHAVIOUR = {
    1: (lambda n, b: whole(500, mark(n)), "bad", ""),
    2: (lambda n, b: whole(503, "no healthy upstream"), "lost", "status 503, not by the shop"),
    3: (lambda n, b: whole(200, mark(n + 1)), "lost", "the answer to request"),
    4: (lambda n, b: whole(200, mark(n))[:-5], "lost", "the body ended early"),
    5: (lambda n, b: b"", "lost", "closed after 0 bytes"),
    6: (lambda n, b: b"HTTP/1.1 200 OK\r\nContent-Le", "lost", "closed after 27 bytes"),
    7: (lambda n, b: b"SSH-2.0-OpenSSH\r\n\r\n", "lost", "not an answer"),
    8: (lambda n, b: whole(200, mark(n, b"altered")) if b else whole(200, mark(n)), "", "the body arrived altered"),
    9: (lambda n, b: chunked(mark(n, b)), "good", ""),
    10: (lambda n, b: whole(200, mark(n, b), "Connection: close\r\n"), "good", ""),
}


def chunked(text: str) -> bytes:
    data = text.encode()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"5\r\n" + data[:5] + b"\r\n%x\r\n" % len(data[5:]) + data[5:] + b"\r\n0\r\n\r\n"


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        self.asked: list[int] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        while first := self.rfile.readline():
            head = first + b"".join(iter(self.rfile.readline, b"\r\n"))
            body = self.rfile.read(int(re.search(rb"Content-Length: (\d+)", head)[1]))
            number = int(re.search(rb"request=(\d+)", first)[1])
            self.server.asked.append(number)
            answer = MISBEHAVIOUR.get(number % 12, (lambda n, b: whole(200, mark(n, b)),))[0](number, body)
            self.wfile.write(answer)
            if number % 12 in (4, 5, 6, 7, 10):
                return


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(path: Path, load: Load) -> Client:
    with path.open("w") as file:
        client = Client(load, Writer(file))
        asyncio.run(client.run())
    return client


def test_every_answer_is_judged_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    with serving() as server:
        load = Load("127.0.0.1", server.server_address[1], rate=1000, seconds=0.24)
        client = ask(tmp_path / "log", load)
    log = read(tmp_path / "log")
    assert log.complete
    assert sorted(server.asked) == [r.number for r in log.requests] == list(range(1, client.sent + 1))
    assert client.sent <= load.most == 240
    for request in log.requests:
        _, wanted, reason = MISBEHAVIOUR.get(request.number % 12, (None, "good", ""))
        if request.number % 12 == 8:
            wanted = "lost" if request.kind == "order" else "good"
            reason = reason if request.kind == "order" else ""
        assert (wanted, True) == (_verdict(request), reason in request.error), request
        assert (request.kind, request.fresh) == (load.kind(request.number), load.is_fresh(request.number))


def _verdict(request: Request) -> str:
    assert [request.lost, request.bad, request.good].count(True) == 1
    return "lost" if request.lost else "bad" if request.bad else "good"


def test_a_load_is_what_was_asked_for() -> None:
    load = Load("h", 1, fresh=30, orders=10, slow=4)
    assert Counter(load.kind(n) for n in range(1, 1001)) == {"page": 860, "order": 100, "slow": 40}
    assert sum(load.is_fresh(n) for n in range(1, 1001)) == 300
    for url, rate, seconds in [("https://x", 1, 1), ("x", 1, 1), ("http://x", 1e9, 1), ("http://x", 1, 1e9)]:
        with pytest.raises(ValueError, match=r"needed|at most"):
            Load.at(url, rate, seconds)


def test_as_a_process_it_outlives_a_refused_connection_and_ends_when_told(tmp_path: Path) -> None:
    with serving() as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with Traffic(url, tmp_path / "log", rate=200, seconds=60) as traffic:
            traffic.wait_for(lambda r: r.good)
            server.shutdown()
            server.server_close()
            refused = traffic.wait_for(lambda r: r.fresh and "refused" in r.error.lower())
            assert traffic.seen.index(refused) > 0
    log = read(tmp_path / "log")
    assert log.complete
    assert log.unix > 0


def test_a_log_without_its_end_is_not_complete(tmp_path: Path) -> None:
    path = tmp_path / "log"
    line = Request(1, 5.0, 0.1, "page", False, 200, "blue", "1").line()
    path.write_text('{"begin": {"unix": 7}}\n' + line + "\n" + line[:20])
    tail = Tail(path)
    assert [r.number for r in tail.new()] == [1]
    with path.open("a") as file:
        file.write(line[20:] + "\n")
    assert [r.at for r in tail.new()] == [5.0]
    assert not read(path).complete
    with path.open("a") as file:
        file.write('{"end": {"logged": 2, "sent": 3}}\n')
    assert not read(path).complete
