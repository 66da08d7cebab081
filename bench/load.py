"""A load generator in a process of its own: one thread, epoll, HTTP/1.1 or HTTP/2, with or without TLS.

`python -m bench.load --url http://127.0.0.1:8080/ --connections 32 --seconds 5` prints one JSON object. Without
`--rate` every connection asks again as soon as it is answered; with it, requests are due at fixed moments, and a late
answer counts from the moment at which its request was due. Any answer but a whole 200 is an error; an error ends its
connection.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Protocol
from urllib.parse import urlsplit

from greenroom.demo.table import quantile

MOST_CONNECTIONS = 1000
MOST_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Load:
    url: str
    connections: int = 32
    seconds: float = 5.0
    rate: float = 0.0
    http2: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """`rate`: good answers a second. Times in milliseconds."""

    rate: float
    p50: float
    p99: float
    most: float
    requests: int
    errors: int


class BadAnswer(Exception):
    pass


class Speech(Protocol):
    """A protocol's client side on one connection: what to send for a request, and how many answers were completed."""

    def hello(self) -> bytes: ...

    over: bool
    """The last answer was this connection's last."""

    def request(self) -> bytes: ...

    def receive(self, data: bytes) -> int: ...

    def reply(self) -> bytes:
        """What the protocol itself wants to be sent now."""


class Http1:
    def __init__(self, host: str, path: str) -> None:
        self.over = False
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n".encode()
        self._buffer = b""

    def hello(self) -> bytes:
        return b""

    def request(self) -> bytes:
        return self._request

    def reply(self) -> bytes:
        return b""

    def receive(self, data: bytes) -> int:
        buffer = self._buffer + data if self._buffer else data
        done = 0
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            head = buffer[:end].lower()
            if not head.startswith(b"http/1.1 200"):
                raise BadAnswer(buffer[:40].decode("latin-1"))
            at = head.find(b"\r\ncontent-length:")
            if at < 0:
                raise BadAnswer("no length")
            stop = head.find(b"\r\n", at + 2)
            length = int(head[at + 17 : stop if stop > 0 else len(head)])
            whole = end + 4 + length
            if len(buffer) < whole:
                break
            buffer = buffer[whole:]
            self.over = b"\r\nconnection: close" in head
            done += 1
        self._buffer = buffer
        return done


class Http2:
    """Just enough: one GET after the other, each on a stream of its own; header blocks without a dynamic table."""

    WINDOW = 2**30

    def __init__(self, host: str, path: str, scheme: str) -> None:
        pairs = [(b":authority", host.encode()), (b"user-agent", b"bench")]
        block = b"\x82" + (b"\x87" if scheme == "https" else b"\x86")  # :method GET, :scheme, from the static table
        self.over = False
        block += b"\x04" + _text(path.encode())  # :path, literal, not indexed
        self._block = block + b"".join(b"\x00" + _text(name) + _text(value) for name, value in pairs)
        self._stream = -1
        self._buffer = b""
        self._reply = b""
        self._unacknowledged = 0

    def hello(self) -> bytes:
        settings = struct.pack(">HIHI", 0x1, 0, 0x4, self.WINDOW)  # no dynamic table, large windows
        return (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + _frame(4, 0, 0, settings)
            + _frame(8, 0, 0, struct.pack(">I", self.WINDOW))
        )

    def request(self) -> bytes:
        self._stream += 2
        return _frame(1, 0x5, self._stream, self._block)  # END_HEADERS, END_STREAM

    def reply(self) -> bytes:
        data, self._reply = self._reply, b""
        return data

    def receive(self, data: bytes) -> int:
        buffer, at, done = self._buffer + data, 0, 0
        while len(buffer) - at >= 9:
            size = int.from_bytes(buffer[at : at + 3], "big")
            if len(buffer) - at < 9 + size:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            payload = buffer[at + 9 : at + 9 + size]
            at += 9 + size
            done += self._take(kind, flags, payload)
        self._buffer = buffer[at:]
        return done

    def _take(self, kind: int, flags: int, payload: bytes) -> int:
        if kind == 1 and b"\x88" not in payload[:4]:  # :status 200, from the static table
            raise BadAnswer(f"a header block that begins with {payload[:6].hex()}")
        if kind == 0:
            self._unacknowledged += len(payload)
            if self._unacknowledged > self.WINDOW // 2:
                self._reply += _frame(8, 0, 0, struct.pack(">I", self._unacknowledged))
                self._unacknowledged = 0
        if kind == 4 and not flags & 1:
            self._reply += _frame(4, 1, 0, b"")
        if kind == 6 and not flags & 1:
            self._reply += _frame(6, 1, 0, payload)
        if kind in (3, 7):
            raise BadAnswer("the stream was reset" if kind == 3 else "the connection was given up")
        return int(kind in (0, 1) and bool(flags & 1))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _text(value: bytes) -> bytes:
    assert len(value) < 127
    return bytes([len(value)]) + value


class Connection:
    """One connection with at most one request under way. `due`: when that request was due."""

    def __init__(self, load: Load) -> None:
        parts = urlsplit(load.url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        plain = socket.create_connection((host, port), timeout=10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = plain if parts.scheme != "https" else _tls(load.http2).wrap_socket(plain, server_hostname=host)
        path = parts.path or "/"
        self.speech: Speech = Http2(parts.netloc, path, parts.scheme) if load.http2 else Http1(parts.netloc, path)
        self.socket.sendall(self.speech.hello())
        self.socket.setblocking(False)
        self.due = 0.0

    def ask(self, due: float) -> None:
        self.due = due
        self._send(self.speech.request())

    def _send(self, data: bytes) -> None:
        if self.socket.send(data) != len(data):
            raise BadAnswer("the connection is full")

    def read(self) -> int:
        """How many answers were completed."""
        done = 0
        while True:
            try:
                data = self.socket.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                return done
            if not data:
                raise BadAnswer("closed")
            done += self.speech.receive(data)
            if reply := self.speech.reply():
                self._send(reply)
            if not isinstance(self.socket, ssl.SSLSocket):
                return done


def _tls(http2: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the benchmark's own certificate
    context.set_alpn_protocols(["h2" if http2 else "http/1.1"])
    return context


def run(load: Load) -> Measured:
    """Ask for so many seconds. A second of warm-up is not counted."""
    clock, selector = time.perf_counter, selectors.DefaultSelector()
    idle: deque[Connection] = deque()
    for _ in range(load.connections):
        connection = Connection(load)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        idle.append(connection)
    took: list[float] = []
    errors, begin = 0, clock() + 1.0
    end, due = begin + load.seconds, clock()
    while (now := clock()) < end and (idle or selector.get_map()):
        while idle and (not load.rate or due <= now):
            idle.popleft().ask(due if load.rate else clock())
            due += 1 / load.rate if load.rate else 0.0
        wait = max(0.0, due - clock()) if load.rate and idle else 1.0
        for key, _ in selector.select(min(wait, end - now)):
            connection = key.data
            try:
                if not connection.read():
                    continue
            except (BadAnswer, OSError):
                errors += 1
                selector.unregister(connection.socket)
                connection.socket.close()
                continue
            if (at := clock()) >= begin:
                took.append((at - connection.due) * 1000)
            if connection.speech.over:  # the other end said so: nginx does it after a thousand requests
                selector.unregister(connection.socket)
                connection.socket.close()
                connection = Connection(load)
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            idle.append(connection)
    for key in list(selector.get_map().values()):
        key.data.socket.close()
    p50, p99, most = (round(quantile(took, share), 3) for share in (0.5, 0.99, 1.0))
    return Measured(round(len(took) / load.seconds, 1), p50, p99, most, len(took), errors)


def measure(load: Load) -> Measured:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "bench.load", "--url", load.url, "--connections", str(load.connections)]
    command += ["--seconds", str(load.seconds), "--rate", str(load.rate), *(["--http2"] if load.http2 else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=load.seconds + 60)
    return Measured(**json.loads(done.stdout))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--http2", action="store_true")
    given = parser.parse_args(argv)
    if not 0 < given.connections <= MOST_CONNECTIONS or not 0 < given.seconds <= MOST_SECONDS:
        parser.error(f"at most {MOST_CONNECTIONS} connections, for at most {MOST_SECONDS:.0f} s")
    print(json.dumps(asdict(run(Load(given.url, given.connections, given.seconds, given.rate, given.http2)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
