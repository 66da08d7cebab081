"""Requests that failed, from the end of the proxy's access log (`render.LOG_FIELDS`)."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from greenroom.domain.model import Colour
from greenroom.errors import Temporary
from greenroom.ports import FailedRequest

ACCESS_LOG = "logs/router-access.log"
"""In the state folder."""

BROKEN = frozenset({"UC", "UR", "UPE", "UT", "UMSDR", "LR", "OM"})
"""Envoy's flags of an answer that broke off on our side, whatever its status said when it began."""
UPGRADED = "101"
"""A WebSocket that the application closes looks broken off as well."""

_FURTHEST = 4 * 1024 * 1024
"""Bytes from the end of the log that are looked through at most."""
_PIECE = 256 * 1024
_LATE = 60.0
"""Seconds by which a line may stand before one of a request that began later: a line is written when its request ends."""


def failed(log: Path, colour: Colour, version: str, since: float, last: int) -> Sequence[FailedRequest]:
    """The last that were this colour's and version's to answer and failed, in order of time. `Temporary` without a log."""
    found: list[FailedRequest] = []
    try:
        for line in itertools.chain(_backwards(log), _backwards(log.with_name(f"{log.name}.1"), there=False)):
            document = _document(line)
            if document is None:
                continue
            if _time(document) < since - _LATE:
                break
            if (one := _failed(document, colour, version)) is not None and one.at >= since:
                found.append(one)
            if len(found) == last:
                break
    except OSError as error:
        raise Temporary(f"{log} cannot be read: {error.strerror}") from None
    return sorted(found, key=lambda one: one.at)


def _backwards(log: Path, *, there: bool = True) -> Iterator[bytes]:
    """Whole lines from the end on, as far as is allowed. `there`: it must be; else it may (what was moved away last)."""
    if not there and not log.exists():
        return
    with log.open("rb") as file:
        end = position = file.seek(0, os.SEEK_END)
        rest = b""
        while position > 0 and end - position < _FURTHEST:
            size = min(_PIECE, position)
            position -= size
            file.seek(position)
            first, *lines = (file.read(size) + rest).split(b"\n")
            yield from reversed(lines)
            rest = first
        if position == 0:
            yield rest


def _document(line: bytes) -> dict[str, Any] | None:
    """None for what is no line of ours, or not written to its end."""
    try:
        document = json.loads(line)
        _time(document)
    except (ValueError, TypeError, KeyError):
        return None
    return document if isinstance(document, dict) else None


def _time(document: dict[str, Any]) -> float:
    return datetime.fromisoformat(document["time"]).timestamp()


def _failed(document: dict[str, Any], colour: Colour, version: str) -> FailedRequest | None:
    if document.get("colour") != colour or document.get("test") in (True, "true"):
        return None
    status, flags = str(document.get("status") or 0), str(document.get("flags") or "-")
    saved = document.get("answered_by") == colour.other
    # A request that was sent nowhere was for whatever this colour runs.
    if not saved and document.get("version") not in (version, None, "", "-"):
        return None
    broken = status != UPGRADED and BROKEN.intersection(flags.split(","))
    bad = not status.isdigit() or int(status) >= 500
    if not (bad or broken or saved):
        return None
    return FailedRequest(
        _time(document),
        str(document.get("method") or ""),
        str(document.get("path") or "").partition("?")[0],
        int(status) if status.isdigit() else 0,
        float(document.get("duration_ms") or 0),
        "" if saved or document.get("replica") in (None, "-") else str(document["replica"]),
        "" if flags == "-" else flags,
        saved,
    )
