"""Clients for tests that check every answer: plain requests, WebSockets, HTTP/2, and a small load that never stops."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from types import TracebackType
from urllib.parse import urlsplit

from greenroom.testing.servers import frame, unframe

_PATIENCE = 30.0
_MASK = b"\x01\x02\x03\x04"


def trusting() -> ssl.SSLContext:
    """Believes every certificate: tests sign their own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    trailers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.body.decode()


def connect(url: str) -> HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme == "https":
        return HTTPSConnection(parts.hostname or "", parts.port, timeout=_PATIENCE, context=trusting())
    return HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE)


def ask(
    url: str,
    path: str = "/",
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """One request over a connection of its own. `OSError` or `HTTPException` without a whole answer."""
    connection = connect(url)
    try:
        return exchange(connection, path, method=method, headers=headers, body=body)
    finally:
        connection.close()


def exchange(
    connection: HTTPConnection,
    path: str = "/",
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """One request over this connection."""
    connection.request(method, path, body, dict(headers or {}))
    answer = connection.getresponse()
    return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


class WebSocket:
    """Connects and waits for the greeting."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=_PATIENCE)
        self._buffer = bytearray()
        lines = [
            "GET /socket HTTP/1.1",
            f"Host: {parts.netloc}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            *(f"{name}: {value}" for name, value in (headers or {}).items()),
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        while b"\r\n\r\n" not in self._buffer:
            self._receive()
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise ConnectionError(head.decode())
        self._buffer = bytearray(rest)
        self.greeting = self._text()

    def say(self, text: str) -> str:
        """The answer to a text."""
        self._socket.sendall(frame(1, text.encode(), _MASK))
        return self._text()

    def close(self) -> None:
        self._socket.close()

    def _text(self) -> str:
        while (got := unframe(self._buffer)) is None:
            self._receive()
        return got[1].decode()

    def _receive(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the other end closed the WebSocket")
        self._buffer += data


def ask_h2(
    url: str, path: str = "/", *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Answer:
    """One HTTP/2 request: with prior knowledge, or, for https, by ALPN."""
    from h2 import events
    from h2.config import H2Configuration
    from h2.connection import H2Connection

    parts = urlsplit(url)
    raw: socket.socket = socket.create_connection((parts.hostname, parts.port), timeout=_PATIENCE)
    if parts.scheme == "https":
        context = trusting()
        context.set_alpn_protocols(["h2"])
        raw = context.wrap_socket(raw)
    h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
    h2.initiate_connection()
    pseudo = [(":method", method), (":path", path), (":scheme", parts.scheme), (":authority", parts.netloc)]
    h2.send_headers(1, [*pseudo, *(headers or {}).items()], end_stream=not body)
    if body:
        h2.send_data(1, body, end_stream=True)
    got: dict[str, str] = {}
    trailers: dict[str, str] = {}
    content = b""
    with raw:
        raw.sendall(h2.data_to_send())
        while True:
            data = raw.recv(65536)
            if not data:
                raise ConnectionError("the other end closed the connection")
            for event in h2.receive_data(data):
                if isinstance(event, events.ResponseReceived):
                    got = {str(name): str(value) for name, value in event.headers}
                elif isinstance(event, events.TrailersReceived):
                    trailers = {str(name): str(value) for name, value in event.headers}
                elif isinstance(event, events.DataReceived):
                    content += event.data
                    h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, events.StreamEnded):
                    return Answer(int(got.pop(":status")), got, content, trailers)
                elif isinstance(event, events.StreamReset | events.ConnectionTerminated):
                    raise ConnectionError(str(event))
            raw.sendall(h2.data_to_send())


@dataclass(frozen=True)
class Seen:
    """One request of the load: when it was sent, who answered, or why that is no answer."""

    sent: float
    kind: str
    by: str = ""
    problem: str = ""


class Load:
    """Clients of several kinds that go on until the block is left: kept connections, fresh ones, slow answers, POSTs.

    Every answer must be whole and right. `seen` is every request, `failed` those without a right answer.
    """

    _BODY = os.urandom(20_000)
    _DIGEST = hashlib.sha256(_BODY).hexdigest()

    def __init__(
        self, url: str, kinds: tuple[str, ...] = ("kept", "fresh", "slow", "post"), pause: float = 0.002
    ) -> None:
        self._url, self._kinds, self._pause = url, kinds, pause
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(kind,), daemon=True) for kind in kinds]
        self.seen: list[Seen] = []

    @property
    def failed(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.problem]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(_PATIENCE)

    def _run(self, kind: str) -> None:
        kept = connect(self._url)
        while not self._over.wait(self._pause):
            connection = connect(self._url) if kind == "fresh" else kept
            sent = time.monotonic()
            try:
                self.seen.append(Seen(sent, kind, self._check(kind, connection)))
            except (OSError, HTTPException, ValueError) as error:
                self.seen.append(Seen(sent, kind, problem=f"{type(error).__name__}: {error}"))
                kept.close()
            if kind == "fresh":
                connection.close()
        kept.close()

    def _check(self, kind: str, connection: HTTPConnection) -> str:
        if kind == "post":
            answer = exchange(connection, "/order", method="POST", body=self._BODY)
            right = f"{len(self._BODY)} {self._DIGEST}"
        else:
            answer = exchange(connection, "/slow?ms=100" if kind == "slow" else "/page")
            right = ""
        by = answer.headers.get("x-served-by", "")
        wanted = " ".join(filter(None, [by, answer.headers.get("x-version", ""), right]))
        if answer.status != 200 or not by or answer.text != wanted:
            raise ValueError(f"status {answer.status}: {answer.body[:100]!r}")
        return by
