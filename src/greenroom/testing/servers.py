"""Small real backends for tests and benchmarks: every answer names colour and version.

`Server` runs in a thread; `python -m greenroom.testing.servers --colour blue --version 1 --port 9001` in a process.
They speak HTTP/1.1 with WebSockets; with `h2c`, HTTP/2 without TLS (needs the package h2).

    GET /…            `blue 1`                    POST /…           `blue 1 <length> <sha256>`
    /slow?ms=300      later                       /status?code=500  with this status
    /headers          the request's, as JSON      /cut              promises more than it sends
    /stream           two chunks; the second one after `Server.release()`
    a WebSocket       greets with `blue 1`, then answers `blue 1 <text>` to each text
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import signal
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from greenroom.domain.model import Backend, Colour, Endpoint

_WS_KEY = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


def frame(opcode: int, payload: bytes, mask: bytes = b"") -> bytes:
    """One WebSocket frame; clients give a mask of four bytes."""
    size, bit = len(payload), 0x80 if mask else 0
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, bit | size)
    else:
        head = struct.pack("!BBH", 0x80 | opcode, bit | 126, size)
    if mask:
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return head + mask + payload


def unframe(buffer: bytearray) -> tuple[int, bytes] | None:
    """Take one whole frame of at most 64 KiB from the buffer; None if there is none yet."""
    if len(buffer) < 2:
        return None
    size, start = buffer[1] & 0x7F, 2
    if size == 126:
        if len(buffer) < 4:
            return None
        size, start = struct.unpack("!H", buffer[2:4])[0], 4
    masked = bool(buffer[1] & 0x80)
    end = start + size + (4 if masked else 0)
    if len(buffer) < end:
        return None
    opcode, mask = buffer[0] & 0x0F, bytes(buffer[start : start + 4]) if masked else b""
    payload = bytes(buffer[start + len(mask) : end])
    del buffer[:end]
    return opcode, bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)) if masked else payload


class _Http1(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = bytearray()
        self._head: tuple[str, str, dict[str, str]] | None = None
        self._left = 0
        self._chunked = self._websocket = self._busy = False
        self._length = 0
        self._digest = hashlib.sha256()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self._busy and self._step():
            pass

    def _step(self) -> bool:
        """One thing from the buffer: a frame, a head, a piece of a body. False: more bytes are needed."""
        if self._websocket:
            return self._frame()
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            self._begin(bytes(self._buffer[:end]).decode("latin-1"))
            del self._buffer[: end + 4]
            return True
        if self._chunked and not self._left and not self._chunk():
            return False
        piece = self._buffer[: self._left]
        if self._left and not piece:
            return False
        del self._buffer[: len(piece)]
        self._digest.update(piece)
        self._length += len(piece)
        self._left -= len(piece)
        if not self._left and not self._chunked:
            self._answer()
        return True

    def _begin(self, text: str) -> None:
        first, *lines = text.split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self._head, self._length, self._digest = (method, target, headers), 0, hashlib.sha256()
        self._left = int(headers.get("content-length", 0))
        self._chunked = headers.get("transfer-encoding", "") == "chunked"

    def _chunk(self) -> bool:
        """The size line of the next chunk. Chunks end with CRLF, which is taken with the next line."""
        begin = 2 if self._buffer.startswith(b"\r\n") else 0
        end = self._buffer.find(b"\r\n", begin)
        if end < 0:
            return False
        size = int(bytes(self._buffer[begin:end]), 16)
        if not size and len(self._buffer) < end + 4:
            return False
        del self._buffer[: end + (2 if size else 4)]
        self._left, self._chunked = size, bool(size)
        return True

    def _answer(self) -> None:
        assert self._head is not None
        method, target, headers = self._head
        self._head = None
        self._server.requests += 1
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if headers.get("upgrade", "").lower() == "websocket":
            self._upgrade(headers["sec-websocket-key"])
        elif path == "/slow":
            self._busy = True
            self._server.loop.call_later(int(query["ms"][0]) / 1000, self._resume, self._text(method))
        elif path == "/status":
            self._send(self._text(method), int(query["code"][0]))
        elif path == "/headers":
            self._send(json.dumps(headers).encode())
        elif path == "/cut":
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this")
            self._transport.close()
        elif path == "/stream":
            self._busy = True
            self._server.waiting.append(lambda: self._resume(None))
            self._transport.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        else:
            self._send(self._text(method))

    def _text(self, method: str) -> bytes:
        if method in ("GET", "HEAD"):
            return self._server.name
        return b"%s %d %s" % (self._server.name, self._length, self._digest.hexdigest().encode())

    def _resume(self, body: bytes | None) -> None:
        self._busy = False
        if self._transport.is_closing():
            return
        if body is None:
            self._transport.write(b"6\r\nsecond\r\n0\r\n\r\n")
        else:
            self._send(body)
        self.data_received(b"")

    def _send(self, body: bytes, status: int = 200) -> None:
        self._transport.write(
            b"HTTP/1.1 %d X\r\n%scontent-length: %d\r\n\r\n" % (status, self._server.head, len(body)) + body
        )

    def _upgrade(self, key: str) -> None:
        accept = base64.b64encode(hashlib.sha1((key + _WS_KEY).encode()).digest())
        head = b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: %s\r\n\r\n"
        self._transport.write(head % accept + frame(_TEXT, self._server.name))
        self._websocket = True

    def _frame(self) -> bool:
        got = unframe(self._buffer)
        if got is None:
            return False
        opcode, payload = got
        if opcode == _TEXT:
            self._transport.write(frame(_TEXT, self._server.name + b" " + payload))
        elif opcode == _PING:
            self._transport.write(frame(_PONG, payload))
        elif opcode == _CLOSE:
            self._transport.write(frame(_CLOSE, payload))
            self._transport.close()
        return True


class _H2c(asyncio.Protocol):
    """Answers every stream with the name, and a trailer as gRPC has it."""

    def __init__(self, server: Server) -> None:
        from h2.config import H2Configuration
        from h2.connection import H2Connection

        self._server = server
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(transport)
        self._h2.initiate_connection()
        self._transport.write(self._h2.data_to_send())

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        from h2 import events

        for event in self._h2.receive_data(data):
            if isinstance(event, events.DataReceived):
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.StreamEnded):
                self._server.requests += 1
                self._h2.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
                self._h2.send_data(event.stream_id, self._server.name)
                self._h2.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)
        self._transport.write(self._h2.data_to_send())


class Server:
    """A backend on a free port (or `port`), in a thread. A context manager."""

    def __init__(
        self, colour: Colour, version: str = "1", *, port: int = 0, h2c: bool = False, host: str = "127.0.0.1"
    ) -> None:
        self.colour, self.version, self.host = colour, version, host
        self.name = f"{colour} {version}".encode()
        self.head = f"x-served-by: {colour}\r\nx-version: {version}\r\n".encode()
        self.requests = 0
        self.connections: set[asyncio.Transport] = set()
        self.waiting: list[Callable[[], None]] = []
        self.loop = asyncio.new_event_loop()
        self._protocol: type[Any] = _H2c if h2c else _Http1
        self._listening = socket.create_server((host, port), backlog=1024)
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self.run, daemon=True)

    @property
    def backend(self) -> Backend:
        return Backend((Endpoint(self.host, self.port),), self.version, f"r-{self.version}")

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def run(self) -> None:
        """Serve until `stop()`."""
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(
            self.loop.create_server(lambda: self._protocol(self), sock=self._listening)
        )
        try:
            self.loop.run_forever()
        finally:
            server.close()
            self._listening.close()

    def stop(self) -> None:
        """Close the port and cut every connection, as a killed process would."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._end)
            self._thread.join(30)

    def _end(self) -> None:
        for transport in self.connections:
            transport.abort()
        # After what `abort` has scheduled: a socket that stays open looks like an application that hangs.
        self.loop.call_soon(self.loop.stop)

    def release(self) -> None:
        """Let every `/stream` go on."""
        waiting, self.waiting = self.waiting, []
        for go_on in waiting:
            self.loop.call_soon_threadsafe(go_on)


def main() -> None:
    parser = argparse.ArgumentParser(description="A backend for tests and benchmarks.")
    parser.add_argument("--colour", type=Colour, required=True)
    parser.add_argument("--version", default="1")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Server(options.colour, options.version, port=options.port).run()


if __name__ == "__main__":
    main()
