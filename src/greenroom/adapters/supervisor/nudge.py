"""What runs inside supervisord, through its own extension point for RPC interfaces.

supervisord looks at its children once a second; a program that ended would stay down for up to two. Here the signal
that a child has ended wakes it, so a restart takes milliseconds. And how a program ended is kept for the next look.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import Any


class Waker:
    """In supervisord's loop like one of its sockets; readable when a signal has come in."""

    def __init__(self) -> None:
        self.here, self.there = socket.socketpair()
        self.here.setblocking(False)
        self.there.setblocking(False)

    def fileno(self) -> int:
        return self.here.fileno()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        """A round of the loop starts what is known to have ended, then reaps: so the reaping round needs another."""
        with contextlib.suppress(BlockingIOError):
            if bytes((signal.SIGCHLD,)) in self.here.recv(4096):
                self.there.send(b"\0")

    def handle_error(self) -> None:
        """Nothing that can be done better than once a second."""

    def close(self) -> None:
        """The process ends with its loop."""


class Interface:
    """RPC interface `greenroom`: no methods."""


def make(supervisord: Any, **_config: Any) -> Interface:
    from supervisor import events

    waker = Waker()
    signal.set_wakeup_fd(waker.there.fileno(), warn_on_full_buffer=False)
    supervisord.options.get_socket_map()[waker.fileno()] = waker
    events.subscribe(events.ProcessStateExitedEvent, note_exit)
    return Interface()


def note_exit(event: Any) -> None:
    """`run/<name>.exit`, relative to the folder in which supervisord was started."""
    with contextlib.suppress(Exception):
        status = event.process.exitstatus
        text = "it was ended by a signal" if status == -1 else f"its exit status was {status}"
        path = os.path.join("run", f"{event.process.config.name}.exit")
        with open(path, "w") as file:
            file.write(text)
