"""Being let in soon on a busy machine, at nobody's expense.

Linux (6.12 and later) lets in first who asks for short turns: this asks for the shortest. The share of the processor stays
what it was, and no right is needed. An older kernel takes no notice.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from contextlib import suppress

_SET_ATTRIBUTES = {"x86_64": 314, "aarch64": 274, "riscv64": 274, "ppc64le": 355, "s390x": 345}
"""The number of the system call sched_setattr; Python has no name for it."""
_SHORTEST = 100_000
_NORMAL = 0


def ask_for_short_turns() -> bool:
    """Whether the kernel agreed. Nothing depends on it."""
    number = _SET_ATTRIBUTES.get(platform.machine())
    if number is None or os.sched_getscheduler(0) != _NORMAL:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    # size, policy, flags, nice, priority, runtime (the turn, in nanoseconds), deadline, period
    attributes = struct.pack("=IIQiIQQQ", 48, _NORMAL, 0, nice, 0, _SHORTEST, 0, 0)
    with suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).syscall(number, 0, attributes, 0) == 0)
    return False
