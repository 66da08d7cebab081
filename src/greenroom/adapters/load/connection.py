"""One connection without blocking: connect, TLS, send, read; at most one request under way."""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
from enum import Enum, auto
from typing import Any

from greenroom.adapters.load.answers import NotHttp, Reader
from greenroom.adapters.load.plan import Plan

_PIECE = 65536
_OURS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}
"""Errors of this machine: it cannot open one more connection."""
_NAMES = {
    errno.ECONNREFUSED: "nobody answers",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
    errno.ETIMEDOUT: "timeout",
}


class Exhausted(Exception):
    """This machine has no descriptor or no port left."""


class Broken(Exception):
    """The request has failed; `str` is the kind of failure, one of a few."""


class Target:
    """Where connections lead. `OSError` if its name cannot be resolved or the file of authorities cannot be used."""

    def __init__(self, plan: Plan) -> None:
        found = [(f, a) for f, _, _, _, a in socket.getaddrinfo(plan.host, plan.port, type=socket.SOCK_STREAM)]
        answering = (one for one in found if len(found) > 1 and _answers(*one))
        self.family, self.address = next(answering, found[0])
        self.name = plan.name or plan.host
        self.context: ssl.SSLContext | None = None
        if plan.secure:
            self.context = ssl.create_default_context(cafile=plan.ca or None)
            if not plan.verify:
                self.context.check_hostname = False
                self.context.verify_mode = ssl.CERT_NONE


def _answers(family: int, address: Any) -> bool:
    """Of several addresses of one name, the first that answers is asked."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(address) == 0


class _Stage(Enum):
    CONNECTING = auto()
    SHAKING = auto()
    SENDING = auto()
    READING = auto()
    IDLE = auto()


class Connection:
    """`due`, `begun`: of the present request, in the generator's time; `shot`: its number. `wants`: events of epoll."""

    __slots__ = (
        "_out",
        "_stage",
        "_target",
        "begun",
        "due",
        "number",
        "reader",
        "registered",
        "shot",
        "sock",
        "used",
        "wants",
    )

    def __init__(self, target: Target) -> None:
        self._target = target
        try:
            self.sock: socket.socket = socket.socket(target.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise Exhausted(os.strerror(error.errno or 0)) from None
        self.number = self.sock.fileno()
        self.reader = Reader()
        self.registered = self.wants = 0
        self.due = self.begun = 0.0
        self.shot = self.used = 0
        self._out = b""
        self._stage = _Stage.CONNECTING

    def ask(self, request: bytes, bodiless: bool) -> None:
        """Begin a request; `advance` goes on with it."""
        self.reader.begin(bodiless)
        self._out = request
        self.used += 1
        if self._stage is _Stage.CONNECTING:
            code = self.sock.connect_ex(self._target.address)
            if code in _OURS:
                raise Exhausted(os.strerror(code))
            if code not in (0, errno.EINPROGRESS):
                raise Broken(_kind(OSError(code, os.strerror(code))))
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.wants = select.EPOLLOUT
            return
        self._stage = _Stage.SENDING
        self.advance()

    def advance(self) -> bool:
        """Go on as far as it goes now. True: the answer is complete."""
        try:
            if self._stage is _Stage.READING:
                return self._read()
            if self._stage is _Stage.CONNECTING:
                self._connected()
            if self._stage is _Stage.SHAKING:
                self._shake()
            if self._stage is _Stage.SENDING:
                self._send()
            return False
        except (BlockingIOError, ssl.SSLWantReadError):
            self.wants = select.EPOLLOUT if self._stage is _Stage.SENDING else select.EPOLLIN
        except ssl.SSLWantWriteError:
            self.wants = select.EPOLLOUT
        except NotHttp:
            raise Broken("no answer in HTTP/1.1") from None
        except OSError as error:
            raise Broken(_kind(error)) from None
        return False

    def rest(self) -> None:
        """The answer was complete; another request may follow."""
        self._stage = _Stage.IDLE
        self.wants = select.EPOLLIN

    def still_good(self) -> bool:
        """Something happened while it rested: False if the other side closed it or spoke unasked."""
        try:
            self.sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        return False

    @property
    def stale(self) -> bool:
        """It broke as a connection does that the other side had closed before this request."""
        return self.used > 1 and not self.reader.started

    def close(self) -> None:
        self.sock.close()

    def _connected(self) -> None:
        code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        self._stage = _Stage.SENDING
        if self._target.context is not None:
            self._stage = _Stage.SHAKING
            self.sock = self._target.context.wrap_socket(
                self.sock, server_hostname=self._target.name, do_handshake_on_connect=False
            )

    def _shake(self) -> None:
        assert isinstance(self.sock, ssl.SSLSocket)
        self.sock.do_handshake()
        self._stage = _Stage.SENDING

    def _send(self) -> None:
        sent = self.sock.send(self._out)
        if sent < len(self._out):
            self._out = self._out[sent:]
            self.wants = select.EPOLLOUT
            return
        self._out = b""
        self._stage = _Stage.READING
        self.wants = select.EPOLLIN

    def _read(self) -> bool:
        while True:
            data = self.sock.recv(_PIECE)
            if not data:
                if self.reader.closed():
                    return True
                raise Broken("answer cut short" if self.reader.started else "closed without an answer")
            if self.reader.feed(data):
                return True
            if len(data) < _PIECE and self._target.context is None:
                return False


def _kind(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not good: {error.verify_message}"[:120]
    if isinstance(error, ssl.SSLError):
        return f"no TLS as expected: {error.reason or 'broken off'}"[:120]
    return _NAMES.get(error.errno or 0) or os.strerror(error.errno or 0)
