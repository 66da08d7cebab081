"""Reading answers of HTTP/1.1 as their bytes arrive; bodies are counted and thrown away."""

from __future__ import annotations

from enum import Enum, auto

_LONGEST_HEAD = 65536
_LONGEST_LINE = 1024


class NotHttp(Exception):
    """What came is no answer in HTTP/1.1."""


class _Part(Enum):
    HEAD = auto()
    LENGTH = auto()
    SIZE = auto()
    """The line before a chunk."""
    CHUNK = auto()
    TRAILER = auto()
    UNTIL_CLOSED = auto()


class Reader:
    """One answer after the other, on one connection. `status`: of the present one; `reusable`: another may follow."""

    __slots__ = ("_bodiless", "_buffer", "_left", "_part", "reusable", "started", "status")

    def __init__(self) -> None:
        self.begin(False)

    def begin(self, bodiless: bool) -> None:
        """A new answer; `bodiless`: to HEAD."""
        self.status = 0
        self.reusable = True
        self.started = False
        self._bodiless = bodiless
        self._part = _Part.HEAD
        self._buffer = b""
        self._left = 0

    def feed(self, data: bytes) -> bool:
        """True: the answer is complete."""
        self.started = True
        if self._part is _Part.HEAD:
            data = self._buffer + data if self._buffer else data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > _LONGEST_HEAD or not b"HTTP/1."[: len(data)] == data[:7]:
                    raise NotHttp
                self._buffer = data
                return False
            self._buffer = b""
            self._read_head(data[:end])
            data = data[end + 4 :]
            if 100 <= self.status < 200:
                return bool(data) and self.feed(data)
        return self._read_body(data)

    def closed(self) -> bool:
        """The other side has closed. True: that was the end of the answer."""
        self.reusable = False
        return self._part is _Part.UNTIL_CLOSED

    def _read_head(self, head: bytes) -> None:
        if not head.startswith(b"HTTP/1.") or not head[9:12].isdigit():
            raise NotHttp
        self.status = int(head[9:12])
        if 100 <= self.status < 200:
            if self.status == 101:
                raise NotHttp
            return
        small = head.lower()
        at = small.find(b"\r\nconnection:")
        said = _value(small, at + 13) if at >= 0 else b""
        self.reusable = b"close" not in said and (head[7:8] != b"0" or b"keep-alive" in said)
        at = small.find(b"\r\ncontent-length:")
        if self._bodiless or self.status in (204, 304):
            self._part, self._left = _Part.LENGTH, 0
        elif b"\r\ntransfer-encoding:" in small:
            self._part = _Part.SIZE
        elif at >= 0:
            length = _value(small, at + 17)
            if not length.isdigit():
                raise NotHttp
            self._part, self._left = _Part.LENGTH, int(length)
        else:
            self._part = _Part.UNTIL_CLOSED

    def _read_body(self, data: bytes) -> bool:
        match self._part:
            case _Part.LENGTH:
                self._left -= len(data)
                self.reusable = self.reusable and self._left >= 0
                return self._left <= 0
            case _Part.UNTIL_CLOSED:
                return False
        return self._read_chunks(data)

    def _read_chunks(self, data: bytes) -> bool:
        data = self._buffer + data
        self._buffer = b""
        at = 0
        while at < len(data):
            if self._part is _Part.CHUNK:
                step = min(self._left, len(data) - at)
                at, self._left = at + step, self._left - step
                if self._left == 0:
                    self._part = _Part.SIZE
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                if len(data) - at > _LONGEST_LINE:
                    raise NotHttp
                self._buffer = data[at:]
                return False
            line, at = data[at:end], end + 2
            if self._part is _Part.TRAILER:
                if not line:
                    self.reusable = self.reusable and at == len(data)
                    return True
                continue
            size = _size(line)
            self._part, self._left = (_Part.CHUNK, size + 2) if size else (_Part.TRAILER, 0)
        return False


def _value(head: bytes, at: int) -> bytes:
    end = head.find(b"\r\n", at)
    return (head[at:end] if end >= 0 else head[at:]).strip()


def _size(line: bytes) -> int:
    try:
        size = int(line.partition(b";")[0].strip(), 16)
    except ValueError:
        raise NotHttp from None
    if size < 0:
        raise NotHttp
    return size
