"""What processes use, from /proc: each replica with all that it has started."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from greenroom.ports import Usage

_TICKS, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
_GROUP, _TIMES = 2, slice(11, 15)
"""Fields of /proc/PID/stat after the name: the process group; time in user and system mode, own and of ended children."""


def usage(pids: Iterable[int]) -> Usage | None:
    """Of the process groups that these belong to; None if none of them is there any more."""
    wanted = {int(fields[_GROUP]) for pid in pids if (fields := _stat(pid)) is not None}
    if not wanted:
        return None
    seconds = held = 0.0
    for entry in Path("/proc").iterdir():
        fields = _stat(int(entry.name)) if entry.name.isdigit() else None
        if fields is not None and int(fields[_GROUP]) in wanted:
            seconds += sum(map(int, fields[_TIMES])) / _TICKS
            held += _memory(entry)
    return Usage(seconds, held, len(wanted))


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def _memory(entry: Path) -> float:
    """Its share of what it holds: pages that workers have in common count once. All of it where that may not be read."""
    try:
        for line in (entry / "smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024.0
    except (OSError, ValueError):
        pass
    try:
        return int((entry / "statm").read_text(encoding="ascii").split()[1]) * float(_PAGE)
    except (OSError, ValueError):
        return 0.0
