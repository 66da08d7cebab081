"""A mixture of clients in a process of its own, checking every answer: `python -m bench.clients --url … --log FILE`.

Kept connections, fresh ones, answers that take 300 ms, POSTs, WebSockets, HTTP/2 without TLS; each at a fixed rate, or
as fast as the answers come. An
answer counts if it is whole, has status 200, and carries colour, version and (POST) the digest of what was sent. Nothing
is asked twice. A kept connection that was closed while nothing was asked is opened again, as every client does.
The log has one line a request: when it was sent (steady clock), how long it took, kind, colour, problem.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import os
import random
import select
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from greenroom.testing.servers import frame, unframe

PATIENCE = 15.0
BODY = os.urandom(24_000)
DIGEST = f"{len(BODY)} {hashlib.sha256(BODY).hexdigest()}".encode()
MIX = {
    "kept": (24, 2100.0),
    "fresh": (4, 120.0),
    "slow": (50, 150.0),
    "post": (4, 120.0),
    "ws": (8, 80.0),
    "h2c": (2, 60.0),
}
"""Connections and requests a second, by kind."""
REOPEN = 20.0
"""Seconds after which a WebSocket is opened anew, so that it may meet the other colour."""


class Wrong(Exception):
    """There is no right answer."""


class Log:
    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.count = 0

    def write(self, sent: float, kind: str, colour: str, problem: str = "") -> None:
        took = time.monotonic() - sent
        self._file.write(f"{sent:.6f},{took:.6f},{kind},{colour},{problem}\n")
        self.count += 1


class Http1(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._waiting: asyncio.Future[tuple[bytes, bytes]] | None = None
        self.closed = False
        self.frames: asyncio.Queue[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLRDHUP)

    def usable(self) -> bool:
        """Asked at the last moment, as good clients do, so that only a true race loses a request."""
        return not self.closed and not self._poll.poll(0)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(Wrong("closed without an answer"))
        if self.frames is not None:
            self.frames.put_nowait(b"")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self.frames is not None:
            while (got := unframe(self._buffer)) is not None:
                self.frames.put_nowait(got[1])
            return
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._waiting is None or self._waiting.done():
            return
        head = bytes(self._buffer[:end]).lower()
        at = head.find(b"\r\ncontent-length:")
        size = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) >= end + 4 + size:
            body = bytes(self._buffer[end + 4 : end + 4 + size])
            del self._buffer[: end + 4 + size]
            if head.startswith(b"http/1.1 101"):
                self.frames = asyncio.Queue()
            self._waiting.set_result((head, body))
            if self._buffer:
                self.data_received(b"")

    async def ask(self, request: bytes) -> tuple[bytes, bytes]:
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await asyncio.wait_for(self._waiting, PATIENCE)

    async def say(self, text: bytes) -> bytes:
        self._transport.write(frame(1, text, b"\1\2\3\4"))
        return await self.hear()

    async def hear(self) -> bytes:
        assert self.frames is not None
        got = await asyncio.wait_for(self.frames.get(), PATIENCE)
        if not got:
            raise Wrong("the WebSocket was cut")
        return got

    def close(self) -> None:
        self._transport.close()


class H2c(asyncio.Protocol):
    """One HTTP/2 connection with many requests at a time."""

    def __init__(self) -> None:
        from h2.config import H2Configuration
        from h2.connection import H2Connection
        from hyperframe.frame import GoAwayFrame

        self._h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        # The library refuses every answer after a GOAWAY; clients take those that are on their way.
        self._h2._frame_dispatch_table[GoAwayFrame] = self._going_away
        self._streams: dict[int, tuple[asyncio.Future[bytes], bytearray]] = {}
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._h2.initiate_connection()
        transport.write(self._h2.data_to_send())

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("closed without an answer")

    def data_received(self, data: bytes) -> None:
        from h2 import events

        for event in self._h2.receive_data(data):
            if isinstance(event, events.DataReceived):
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self._streams[event.stream_id][1].extend(event.data)
            elif isinstance(event, events.StreamEnded):
                future, body = self._streams.pop(event.stream_id)
                if not future.done():
                    future.set_result(bytes(body))
            elif isinstance(event, events.StreamReset) and event.stream_id in self._streams:
                self._streams.pop(event.stream_id)[0].set_exception(Wrong("reset"))
        self._transport.write(self._h2.data_to_send())

    def _going_away(self, _frame: object) -> tuple[list[object], list[object]]:
        self.closed = True
        return [], []

    def _end(self, why: str) -> None:
        self.closed = True
        for future, _ in self._streams.values():
            if not future.done():
                future.set_exception(Wrong(why))
        self._streams.clear()

    async def ask(self, authority: str) -> bytes:
        number = self._h2.get_next_available_stream_id()
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._streams[number] = (future, bytearray())
        head = [(":method", "GET"), (":path", "/h2"), (":scheme", "http"), (":authority", authority)]
        self._h2.send_headers(number, head, end_stream=True)
        self._transport.write(self._h2.data_to_send())
        return await asyncio.wait_for(future, PATIENCE)

    def close(self) -> None:
        self._transport.close()


@dataclass
class Clients:
    host: str
    port: int
    h2_port: int
    log: Log
    over: bool = False

    @property
    def tail(self) -> bytes:
        return f" HTTP/1.1\r\nhost: {self.host}:{self.port}\r\n".encode()

    async def run(self, share: float, without: Collection[str] = ()) -> None:
        """Until `over`; then every request that was sent is waited for. Share 0: as fast as the answers come."""
        kinds: dict[str, Callable[[float], Awaitable[None]]] = {
            "kept": lambda every: self.plain("kept", b"GET /page" + self.tail + b"\r\n", every),
            "slow": lambda every: self.plain("slow", b"GET /slow?ms=300" + self.tail + b"\r\n", every),
            "post": lambda every: self.plain("post", self.order(), every, DIGEST),
            "fresh": self.fresh,
            "ws": self.websocket,
            "h2c": self.http2,
        }
        tasks = [
            asyncio.ensure_future(kinds[kind](count / (rate * share) if share else 0.0))
            for kind, (count, rate) in MIX.items()
            if kind not in without
            for _ in range(count)
        ]
        await asyncio.gather(*tasks)

    def order(self) -> bytes:
        return b"POST /order" + self.tail + b"content-length: %d\r\n\r\n" % len(BODY) + BODY

    async def connect(self) -> Http1:
        loop = asyncio.get_running_loop()
        _, protocol = await asyncio.wait_for(loop.create_connection(Http1, self.host, self.port), PATIENCE)
        return protocol

    async def plain(self, kind: str, request: bytes, every: float, extra: bytes = b"") -> None:
        connection: Http1 | None = None
        async for sent in self.times(every):
            try:
                if connection is None or not connection.usable():
                    connection = await self.connect()
                sent = time.monotonic()
                head, body = await connection.ask(request)
                self.log.write(sent, kind, check(head, body, extra))
            except (Wrong, OSError, TimeoutError) as error:
                self.log.write(sent, kind, "", problem(error))
                if connection:
                    connection.close()
                connection = None

    async def fresh(self, every: float) -> None:
        request = b"GET /page" + self.tail + b"connection: close\r\n\r\n"
        async for sent in self.times(every):
            try:
                connection = await self.connect()
                head, body = await connection.ask(request)
                connection.close()
                self.log.write(sent, "fresh", check(head, body, b""))
            except (Wrong, OSError, TimeoutError) as error:
                self.log.write(sent, "fresh", "", problem(error))

    async def websocket(self, every: float) -> None:
        key = base64.b64encode(os.urandom(16))
        request = b"GET /socket" + self.tail + b"connection: Upgrade\r\nupgrade: websocket\r\n"
        request += b"sec-websocket-version: 13\r\nsec-websocket-key: " + key + b"\r\n\r\n"
        connection, greeting, opened = None, b"", 0.0
        async for sent in self.times(every):
            try:
                if connection is None or sent - opened > REOPEN:
                    if connection:
                        connection.close()
                    connection, opened = await self.connect(), sent
                    head, _ = await connection.ask(request)
                    if not head.startswith(b"http/1.1 101"):
                        raise Wrong(head[:40].decode("latin-1"))
                    greeting = await connection.hear()
                got = await connection.say(b"hello")
                if got != greeting + b" hello":
                    raise Wrong(f"{got[:40]!r} after {greeting[:40]!r}")
                self.log.write(sent, "ws", greeting.split()[0].decode())
            except (Wrong, OSError, TimeoutError) as error:
                self.log.write(sent, "ws", "", problem(error))
                connection = None

    async def http2(self, every: float) -> None:
        connection: H2c | None = None
        loop = asyncio.get_running_loop()
        async for sent in self.times(every):
            try:
                if connection is None or connection.closed:
                    _, connection = await loop.create_connection(H2c, self.host, self.h2_port)
                    sent = time.monotonic()
                body = await connection.ask(f"{self.host}:{self.h2_port}")
                colour, _, version = body.partition(b" ")
                if colour not in (b"blue", b"green") or not version:
                    raise Wrong(f"{body[:40]!r}")
                self.log.write(sent, "h2c", colour.decode())
            except (Wrong, OSError, TimeoutError) as error:
                self.log.write(sent, "h2c", "", problem(error))
                connection = None

    async def times(self, every: float) -> AsyncIterator[float]:
        """The moments at which to ask; a late one moves the later ones."""
        await asyncio.sleep(every * random.random())
        due = time.monotonic()
        while not self.over:
            now = time.monotonic()
            if now < due:
                await asyncio.sleep(due - now)
            due = max(due + every, time.monotonic() - every)
            if not self.over:
                yield time.monotonic()


def check(head: bytes, body: bytes, extra: bytes) -> str:
    """The colour that gave this answer. `Wrong` if anything in it is."""
    words = body.split(b" ", 2)
    if not head.startswith(b"http/1.1 200") or words[0] not in (b"blue", b"green") or len(words) < 2:
        raise Wrong(f"{head[9:12]!r} {body[:40]!r}")
    if extra and (len(words) < 3 or words[2] != extra):
        raise Wrong("another digest")
    if b"\r\nx-served-by: " + words[0] not in head:
        raise Wrong("header and body differ")
    return words[0].decode()


def problem(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".replace(",", ";").replace("\n", " ")


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--h2-port", type=int, default=0, help="where HTTP/2 is spoken, if not at the URL")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--share", type=float, default=1.0, help="of the usual rate; 0: as fast as the answers come")
    parser.add_argument("--without", choices=MIX, nargs="*", default=[], help="kinds that are left out")
    parser.add_argument("--most-seconds", type=float, default=1800.0)
    options = parser.parse_args()
    parts = urlsplit(options.url)
    assert parts.hostname
    assert parts.port
    with options.log.open("w", buffering=1 << 16) as file:
        log = Log(file)
        clients = Clients(parts.hostname, parts.port, options.h2_port or parts.port, log)
        loop = asyncio.get_running_loop()

        def end() -> None:
            clients.over = True

        loop.add_signal_handler(signal.SIGTERM, end)
        loop.call_later(options.most_seconds, end)

        async def report() -> None:
            while not clients.over:
                print(log.count, flush=True)
                await asyncio.sleep(0.5)

        await asyncio.gather(clients.run(options.share, options.without), report())
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        sys.exit(asyncio.run(main()))
