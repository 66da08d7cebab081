"""Carrying bytes between us and the ssh in the background."""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import socket
import time
from io import RawIOBase

from greenroom.adapters.hosts.mux import Mux

_PIECE = 65536
_LINGER = 5.0


class Pipes:
    """Standard input, output and error of one command that another process runs."""

    def __init__(self) -> None:
        self._theirs: list[int] = []
        self._ours: list[int] = []
        for forth in (True, False, False):
            reading, writing = os.pipe()
            self._theirs.append(reading if forth else writing)
            self._ours.append(writing if forth else reading)

    def __enter__(self) -> Pipes:
        return self

    def __exit__(self, *_: object) -> None:
        for handles in (self._theirs, self._ours):
            _close(handles)

    def theirs(self) -> list[int]:
        return list(self._theirs)

    def exchange(self, stdin: bytes, deadline: float) -> tuple[bytes, bytes]:
        """Hand over their ends, give all of the input and take all of the output. `TimeoutError` at the deadline."""
        _close(self._theirs)
        give, *take = self._ours
        got: dict[int, list[bytes]] = {handle: [] for handle in take}
        left = memoryview(stdin)
        os.set_blocking(give, False)
        with selectors.DefaultSelector() as ready:
            for handle in take:
                ready.register(handle, selectors.EVENT_READ)
            ready.register(give, selectors.EVENT_WRITE)
            while ready.get_map():
                events = ready.select(max(0.0, deadline - time.monotonic()))
                if not events:
                    raise TimeoutError
                for key, _ in events:
                    handle = key.fd
                    if handle == give:
                        left = _write(give, left)
                        finished = not left
                    else:
                        piece = os.read(handle, _PIECE)
                        got[handle].append(piece)
                        finished = not piece
                    if finished:
                        ready.unregister(handle)
                        os.close(handle)
                        self._ours.remove(handle)
                if not any(handle in ready.get_map() for handle in take):
                    break  # it has ended, or reads no more; what it did not want is left
        return b"".join(got[take[0]]), b"".join(got[take[1]])


def _write(handle: int, data: memoryview) -> memoryview:
    if not data:
        return data
    try:
        return data[os.write(handle, data[:_PIECE]) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return data[:0]


def bring(back: int, to: socket.socket, mux: Mux) -> None:
    """What comes from the other side, to `to`, until either end is closed; a thread's whole life.

    ssh itself reads from `to`'s other end. It could write there as well, but then the end of what comes would not be
    seen before the end of what goes.
    """
    with contextlib.suppress(OSError), to, mux, open(back, "rb", buffering=0) as stream:
        to.settimeout(None)
        poll = select.poll()
        poll.register(stream, select.POLLIN)
        poll.register(to, 0)  # only: is it closed altogether?
        while True:
            seen = dict(poll.poll())
            if seen.get(to.fileno(), 0) & (select.POLLHUP | select.POLLERR):
                return _linger(stream)
            piece = stream.read(_PIECE)
            if not piece:
                break
            _send(to, piece)
        to.shutdown(socket.SHUT_WR)
        poll.unregister(stream)
        poll.poll()  # the other direction goes on until it is closed


def _linger(stream: RawIOBase) -> None:
    """Nobody listens any more; but what was sent before has still to get there, which its end confirms."""
    end = time.monotonic() + _LINGER
    while (left := end - time.monotonic()) > 0 and select.select([stream], [], [], left)[0] and stream.read(_PIECE):
        pass


def _send(to: socket.socket, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        try:
            left = left[to.send(left) :]
        except BlockingIOError:  # ssh has made it so
            select.select([], [to], [])


def _close(handles: list[int]) -> None:
    while handles:
        os.close(handles.pop())
