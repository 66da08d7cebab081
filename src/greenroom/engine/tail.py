"""The end of a file that somebody else writes."""

from __future__ import annotations

import os
from pathlib import Path

_PIECE = 64 * 1024
_FURTHEST = 4 * 1024 * 1024


def tail(path: Path, lines: int) -> list[str]:
    """The last lines, whatever is in them; none of a file that cannot be read."""
    try:
        with path.open("rb") as file:
            end = position = file.seek(0, os.SEEK_END)
            data = b""
            while position > 0 and data.count(b"\n") <= lines and end - position < _FURTHEST:
                position = max(0, position - _PIECE)
                file.seek(position)
                data = file.read(end - position)
    except OSError:
        return []
    return data.decode("utf-8", "replace").splitlines()[-lines:] if lines else []
