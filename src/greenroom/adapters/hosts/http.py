"""One GET over a stream that is open already: to a replica's health, a proxy's status, whatever the machine.

with host.connect(("127.0.0.1", 8001)) as link:
    answer = get(link, "/health", {"Host": "shop.example"}, time.monotonic() + 0.9)
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

LIMIT = 65536
"""Bytes of head, and of body where the caller names no other limit."""
_BODILESS = frozenset({204, 304})


class ClosedWithoutAnswer(ConnectionError):
    """It was accepted, and closed before a byte came: an answer of its own for who asks after health."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers`: by their names in small letters; the first of a name counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def get(link: socket.socket, path: str, headers: Mapping[str, str], deadline: float, limit: int = LIMIT) -> Answer:
    """Ask and read the answer before `deadline` (of `time.monotonic()`). No redirect is followed; `link` stays open.

    Of the body at most `limit` bytes are read, the rest is left: with 0, none is waited for. A body that ends early is
    a `ConnectionError`, what is not HTTP a `ValueError`, what does not come in time a `TimeoutError`.
    """
    reader = _Reader(link, deadline)
    reader.send(_request(path, headers))
    status, found = _head(reader)
    while 100 <= status < 200:
        status, found = _head(reader)
    if limit <= 0 or status in _BODILESS:
        return Answer(status, found, b"")
    if "chunked" in found.get("transfer-encoding", "").lower():
        return Answer(status, found, _chunks(reader, limit))
    length = found.get("content-length")
    if length is None:
        return Answer(status, found, reader.until_closed(limit))
    if not (length.isascii() and length.isdecimal()):
        raise ValueError(f"the answer's length is {length!r}")
    return Answer(status, found, reader.exactly(min(int(length), limit)))


def _request(path: str, headers: Mapping[str, str]) -> bytes:
    given = {"Host": "localhost", "User-Agent": "greenroom", **headers, "Connection": "close"}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    if any(character in line for line in lines for character in "\r\n"):
        raise ValueError("a line break in the path or in a header")
    return "\r\n".join([*lines, "", ""]).encode()


def _head(reader: _Reader) -> tuple[int, dict[str, str]]:
    first, *lines = reader.head().decode("latin-1").split("\r\n")
    parts = first.split(None, 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/") or not (len(parts[1]) == 3 and parts[1].isdecimal()):
        raise ValueError("it is not HTTP")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    return int(parts[1]), headers


def _chunks(reader: _Reader, limit: int) -> bytes:
    body = b""
    while len(body) < limit:
        size = int(reader.line().split(b";")[0], 16)
        if size <= 0:
            break
        body += reader.exactly(min(size, limit - len(body)))
        if len(body) < limit:
            reader.line()
    return body


class _Reader:
    """What came and was not yet looked at; all of it within one deadline."""

    def __init__(self, link: socket.socket, deadline: float) -> None:
        self._link = link
        self._deadline = deadline
        self._rest = b""

    def send(self, data: bytes) -> None:
        self._bound()
        self._link.sendall(data)

    def head(self) -> bytes:
        """Up to the empty line, without it. One that is closed within its head is taken for what it is."""
        while b"\r\n\r\n" not in self._rest and len(self._rest) < LIMIT:
            if not self._more():
                break
        if not self._rest:
            raise ClosedWithoutAnswer("the connection was closed without an answer")
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return head

    def line(self) -> bytes:
        while b"\r\n" not in self._rest:
            if len(self._rest) > LIMIT:
                raise ValueError("a line without an end")
            self._need()
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line

    def exactly(self, count: int) -> bytes:
        while len(self._rest) < count:
            self._need()
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def until_closed(self, limit: int) -> bytes:
        while len(self._rest) < limit and self._more():
            pass
        return self._rest[:limit]

    def _need(self) -> None:
        if not self._more():
            raise ConnectionResetError("the connection was closed within the answer")

    def _more(self) -> bool:
        self._bound()
        piece = self._link.recv(65536)
        self._rest += piece
        return bool(piece)

    def _bound(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        self._link.settimeout(left)
