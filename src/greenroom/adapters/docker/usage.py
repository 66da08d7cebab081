"""What containers use, as Docker counts it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from greenroom.ports import Usage


def usage(stats: Iterable[Mapping[str, Any]]) -> Usage | None:
    """Of all of them together; None if none runs: of one that has ended Docker counts nothing."""
    found = [one for one in stats if (one.get("memory_stats") or {}).get("usage")]
    if not found:
        return None
    return Usage(sum(map(_seconds, found)), sum(map(_memory, found)), len(found))


def _seconds(stats: Mapping[str, Any]) -> float:
    return float(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9


def _memory(stats: Mapping[str, Any]) -> float:
    """Without pages of files that the kernel may drop at any time, as `docker stats` shows it."""
    memory = stats["memory_stats"]
    details = memory.get("stats") or {}
    droppable = details.get("inactive_file", details.get("total_inactive_file", 0))
    return float(max(0, memory["usage"] - droppable))
