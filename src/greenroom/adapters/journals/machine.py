"""What this machine knows for certain: since when it runs, and which of its processes live."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from greenroom.ports import Owner

_PROC = Path("/proc")


def boot_id() -> str:
    """Differs for each start of this machine."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def _steady() -> float:
    """Seconds since the machine started, asleep or awake; no change of the wall clock reaches it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Machine:
    """Time and life as the journal sees them. Tests give their own; everything else takes `this_machine()`."""

    boot: str
    steady: Callable[[], float]
    wall: Callable[[], float]
    alive: Callable[[Owner], bool | None]


def this_machine() -> Machine:
    return Machine(boot_id(), _steady, time.time, alive)


def owner(text: str = "") -> Owner:
    """This process as the holder of a lease. `text` is for people: who it is, in a few words."""
    pid = os.getpid()
    host, boot, started = socket.gethostname(), _boot_and_pids(), _started(pid) or ""
    return Owner(f"{host}/{boot}/{pid}/{started}", text or f"process {pid} on {host}", host, boot, pid, started)


def alive(owner: Owner) -> bool | None:
    """Whether this holder lives; None: that cannot be known from here (another machine, another container)."""
    if owner.pid <= 0 or not owner.started:
        return None
    if owner.host != socket.gethostname() or owner.boot != _boot_and_pids():
        return None
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is there, and another user's
    started = _started(owner.pid)
    return None if started is None else started == owner.started


def _boot_and_pids() -> str:
    """The boot and the namespace of process numbers: only where both are the same does a number mean the same."""
    return f"{boot_id()}/{os.readlink(_PROC / 'self/ns/pid')}"


def _started(pid: int) -> str | None:
    """When a process started, in ticks since the boot; "dead" once it has only to be reaped; None: not to be seen."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes().decode("utf-8", "replace")
    except OSError:
        return None
    state, *rest = stat.rpartition(")")[2].split()
    return "dead" if state in "ZX" else rest[18]
