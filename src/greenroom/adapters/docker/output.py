"""What containers have written: of those that are there from the engine, of the removed ones the end of it, kept as a file
(`state/docker/output/COLOUR/web-1`), because a candidate that failed is removed before anybody asks why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from greenroom.adapters.docker.containers import moment
from greenroom.ports import Line

KEPT = 1000
"""Lines of a removed container."""
LONGEST = 200_000
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ?(.*)")


def printable(written: bytes) -> list[str]:
    """Lines fit for a terminal, without empty ones."""
    text = written.decode("utf-8", "replace")
    lines = ("".join(c for c in line if c.isprintable() or c == "\t") for line in text.splitlines())
    return [line for line in lines if line.strip()]


def stamped(replica: str, written: bytes, last: int, since: float) -> list[Line]:
    """`docker logs --timestamps`, as lines."""
    found = []
    for text in written.decode("utf-8", "replace").splitlines():
        match = _STAMP.fullmatch(text)
        line = Line(replica, match[2], moment(match[1])) if match else Line(replica, text)
        if line.at > since or not line.at:
            found.append(line)
    return found[-last:] if last else []


def ascending(lines: Iterable[Line]) -> Sequence[Line]:
    return sorted(lines, key=lambda line: line.at)


def end_of(written: bytes) -> bytes:
    """What is kept of it: whole lines."""
    if len(written) <= LONGEST:
        return written
    return written[-LONGEST:].partition(b"\n")[2]
