"""An end for a conversation with a server that answers byte by byte: timeouts of libraries count from one to the next."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType


class Limit:
    """While it lasts, at most so many seconds: then every guarded socket is shut down, which ends the call that waits."""

    def __init__(self, seconds: float) -> None:
        self.over = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def guard(self, sock: object) -> None:
        """This one too; something else than a socket is left alone."""
        if not isinstance(sock, socket.socket):
            return
        with self._lock:
            self._sockets.append(sock)
            if self.over:
                _shut(sock)

    def __enter__(self) -> Limit:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        with self._lock:
            self.over = True
            for sock in self._sockets:
                _shut(sock)


def _shut(sock: socket.socket) -> None:
    """Below TLS, whose farewell would wait for the other end. One that is closed already has no number."""
    with contextlib.suppress(OSError, ValueError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
