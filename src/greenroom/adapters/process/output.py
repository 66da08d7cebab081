"""Output files: the last lines of one, and rotation by copy and truncate (whoever writes has it open for appending)."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from greenroom.domain.excerpt import condensed

LIMIT = 10_000_000
KEPT = 3


SHOWN = 20
"""Lines of evidence that stand with a failure."""


def evidence(path: Path) -> list[str]:
    """The end of an output file, with what repeats itself said once."""
    return condensed(last_lines(path, 3 * SHOWN, 16384))[-SHOWN:]


def last_lines(path: Path, count: int = 20, longest: int = 8192) -> list[str]:
    """The end of a text file, readable whatever is in it."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - longest))
            text = file.read(longest).decode("utf-8", "replace")
    except OSError:
        return []
    lines = ("".join(c for c in line if c.isprintable() or c == "\t") for line in text.splitlines())
    return [line for line in lines if line.strip()][-count:]


def rotate(path: Path, limit: int = LIMIT, kept: int = KEPT) -> None:
    """`path` becomes `path.1` and is emptied in place, when it has grown beyond the limit.

    Without space for the copy it is emptied all the same: a full disk must not be made of logs.
    """
    try:
        if path.stat().st_size <= limit:
            return
    except OSError:
        return
    _shift(path, kept)
    with contextlib.suppress(OSError), open(path, "rb") as source, open(f"{path}.1", "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    with contextlib.suppress(OSError):
        os.truncate(path, 0)


def set_aside(path: Path, kept: int = KEPT) -> None:
    """`path` becomes `path.1`: what follows belongs to another release. Who still writes, writes there."""
    with contextlib.suppress(OSError):
        if path.stat().st_size:
            _shift(path, kept)
            path.replace(f"{path}.1")


def _shift(path: Path, kept: int) -> None:
    for number in range(kept - 1, 0, -1):
        with contextlib.suppress(OSError):
            os.replace(f"{path}.{number}", f"{path}.{number + 1}")
