"""Speaking to a running ssh over its control socket, as OpenSSH's own PROTOCOL.mux describes it (version 4).

One connection to the socket for each thing asked for. Unlike the client program this tells "the command ended with 255"
from "the connection was lost", and "nobody listens there" from "it was closed"; and it starts no process.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Sequence
from types import TracebackType

_HELLO, _VERSION = 0x00000001, 4
_SESSION, _FORWARD, _STREAM = 0x10000002, 0x10000006, 0x10000008
_OK, _DENIED, _FAILURE, _EXIT, _OPENED = 0x80000001, 0x80000002, 0x80000003, 0x80000004, 0x80000006
_LOCAL, _NO_ESCAPE, _UNIX = 1, 0xFFFFFFFF, 0xFFFFFFFE
_LONGEST = 1 << 20
_PATIENCE = 150.0
"""Longer than a system tries to connect."""


class Gone(Exception):
    """There is no ssh behind the control socket any more, or it does not answer."""


class Refused(Exception):
    """The other side does not do it: nothing happened."""


class Mux:
    """One request over the control socket; what it opened ends when this is closed."""

    def __init__(self, path: str, deadline: float) -> None:
        self.link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._deadline = deadline
        self._rest = b""
        try:
            self._bound()
            self.link.connect(path)
            kind, body = self._receive()
            version = struct.unpack_from(">I", body)[0] if len(body) >= 4 else 0
            if (kind, version) != (_HELLO, _VERSION):
                raise Gone(f"the control socket speaks version {version} of its protocol, not {_VERSION}")
            self._send(_HELLO, struct.pack(">I", _VERSION))
        except BaseException as error:
            self.link.close()
            if isinstance(error, OSError):
                raise Gone(str(error)) from error
            raise

    def close(self) -> None:
        self.link.close()

    def abandon(self) -> None:
        """Close it once what was asked for is answered: an ssh whose asker leaves before that takes it for a fault."""

        def wait() -> None:
            with contextlib.suppress(OSError):
                self.link.settimeout(_PATIENCE)
                self.link.recv(1)
            self.link.close()

        threading.Thread(target=wait, name="greenroom-abandoned", daemon=True).start()

    def __enter__(self) -> Mux:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def session(self, command: str, handles: Sequence[int]) -> None:
        """Have the other side's shell run it with these as standard input, output and error. It runs when this returns."""
        numbers = struct.pack(">IIIII", 0, 0, 0, 0, _NO_ESCAPE)  # no terminal, no X11, no agent, no subsystem
        self._ask(_SESSION, _text("") + numbers + _text("") + _text(command), handles, _OPENED)

    def stream(self, host: str, port: int, reading: int, writing: int) -> None:
        """Connect there, as seen from the other side: `reading` is sent to it, `writing` gets what comes from it."""
        self._ask(_STREAM, _text("") + _text(host) + struct.pack(">I", port), (reading, writing), _OPENED)

    def forward(self, here: tuple[str, int] | str, there: tuple[str, int] | str) -> None:
        """From now on whoever connects `here` reaches `there`, for as long as that ssh runs."""
        self._ask(_FORWARD, struct.pack(">I", _LOCAL) + _place(here) + _place(there), (), _OK)

    def ended(self, deadline: float) -> int | None:
        """The exit status of the session; None: it is lost. `TimeoutError` at the deadline."""
        self._deadline = deadline
        try:
            while True:
                kind, body = self._receive()
                if kind == _EXIT:
                    return int(struct.unpack_from(">I", body, 4)[0])
        except TimeoutError:
            raise
        except (OSError, Gone):
            return None

    def _ask(self, kind: int, body: bytes, handles: Sequence[int], wanted: int) -> None:
        try:
            self._send(kind, struct.pack(">I", 0) + body)
            for handle in handles:
                self._bound()
                socket.send_fds(self.link, [b"\0"], [handle])
            kind, answer = self._receive()
        except TimeoutError:
            raise
        except OSError as error:
            raise Gone(str(error)) from error
        if kind in (_DENIED, _FAILURE):
            raise Refused(answer[8:].decode("utf-8", "replace"))
        if kind != wanted:
            raise Gone(f"the control socket answered {kind:#x}, not {wanted:#x}")

    def _send(self, kind: int, body: bytes) -> None:
        self._bound()
        self.link.sendall(struct.pack(">II", len(body) + 4, kind) + body)

    def _receive(self) -> tuple[int, bytes]:
        (length,) = struct.unpack(">I", self._exactly(4))
        if not 4 <= length <= _LONGEST:
            raise Gone("the control socket does not speak its protocol")
        packet = self._exactly(length)
        return struct.unpack_from(">I", packet)[0], packet[4:]

    def _exactly(self, count: int) -> bytes:
        while len(self._rest) < count:
            self._bound()
            piece = self.link.recv(65536)
            if not piece:
                raise Gone("the control socket was closed")
            self._rest += piece
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def _bound(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        self.link.settimeout(left)


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return struct.pack(">I", len(data)) + data


def _place(address: tuple[str, int] | str) -> bytes:
    host, port = (address, _UNIX) if isinstance(address, str) else address
    return _text(host) + struct.pack(">I", port)
