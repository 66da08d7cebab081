"""Why a release went back, for people: both versions' numbers side by side, and what the candidate left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from greenroom.cli.text import Ink, clock, columns, cut, plain, span, wrapped
from greenroom.domain.numbers import as_row, beside
from greenroom.domain.phases import Phase
from greenroom.domain.records import Entry, Moved
from greenroom.domain.release import Release
from greenroom.engine.inspection import folder_of, inspection, kept_output

_NAME = 28
_ROWS = ("traffic", "requests", "error rate", "p50", "p99")


def numbers(release: Release, entries: Sequence[Entry] = ()) -> dict[str, Any]:
    """By colour, the candidate first: those with which it was decided to go back, else the last that were written down."""
    document = release.beside
    for entry in entries:
        if isinstance(entry.record, Moved) and entry.record.facts.get("figures"):
            document = entry.record.facts["figures"]
            if entry.record.to in (Phase.ROLLING_BACK, Phase.FAILED):
                break
    found = beside(release, document)
    share = 100 if release.whole else release.share
    for one in found.values():
        one["share"] = share if one["role"] == "candidate" else 100 - share
    return found


def told(found: Mapping[str, Any], width: int, ink: Ink) -> list[str]:
    """The table of both; nothing where nothing was counted."""
    if not found:
        return []
    rows = [(_who(colour, one), as_row(one)) for colour, one in found.items()]
    heads = [name for name in _ROWS if any(name in row for _, row in rows)]
    table = columns(
        [[cut(who, _NAME), *(row.get(name, "–") for name in heads)] for who, row in rows], heads=["", *heads]
    )
    first, *lines = (cut(f"  {line}", width) for line in table)
    over = next(iter(found.values())).get("over") or 0
    title = f"What users met, in the last {span(over)}:" if over >= 1 else "What users met:"
    return [ink(title, "bold"), ink(first, "dim"), *(ink(line, str(c)) for line, c in zip(lines, found, strict=True))]


def _who(colour: str, one: Mapping[str, Any]) -> str:
    """The baseline's numbers are of the time before, where it has no traffic any more."""
    before = ", before" if one["role"] == "baseline" and one.get("share") == 0 else ""
    return plain(f"{one['version']} on {colour}{before}")


def left(state: Path, release: Release, width: int, ink: Ink) -> list[str]:
    """How its replicas were, which requests failed, and where their output is."""
    kept = inspection(state, release.id)
    if kept is None:
        return []
    lines = [ink(f"What {release.version} left behind:", "bold")]
    for one in _documents(kept.get("replicas")):
        lines += wrapped(_replica(one), width, indent="      ", first="  ")
    if files := kept_output(state, release.id):
        lines.append(f"  the last lines of {', '.join(files)}: {folder_of(state, release.id) / 'output'}")
    requests = _documents(kept.get("requests"))
    if requests:
        lines += ["", ink(f"Requests that failed{', the last ones' if len(requests) > 1 else ''}:", "bold")]
        lines += _requests(requests, width, ink)
    elif why := str(kept.get("without_requests") or ""):
        lines += wrapped(f"requests that failed: {why}{_statuses(release)}", width, indent="      ", first="  ")
    return lines if len(lines) > 1 else []


def _statuses(release: Release) -> str:
    """`: 602 × 500, 3 × 502`, of the last seconds before it went back."""
    counted = ((release.beside or {}).get("candidate") or {}).get("statuses") or {}
    bad = [f"{number} × {status}" for status, number in sorted(counted.items()) if str(status) >= "500" and number]
    return f" (of late: {', '.join(bad)})" if bad else ""


def _documents(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _replica(one: Mapping[str, Any]) -> str:
    """`web-1 was unhealthy, 3 restarts: its exit status was 3`"""
    restarts = int(one.get("restarts") or 0)
    again = f", {restarts} restart{'s' if restarts > 1 else ''}" if restarts else ""
    detail = plain((str(one.get("detail") or "").splitlines() or [""])[0])
    return f"{one.get('name')} was {one.get('health')}{again}" + (f": {detail}" if detail else "")


def _requests(requests: Sequence[Mapping[str, Any]], width: int, ink: Ink) -> list[str]:
    rows = []
    for one in requests:
        at = float(one.get("at") or 0.0)
        status = str(one.get("status") or "none")
        where = "the other colour answered" if one.get("saved") else str(one.get("replica") or "–")
        flags = f" {one['flags']}" if one.get("flags") else ""
        took = f"{float(one.get('took') or 0):.0f} ms"
        moment = f"{clock(at, exact=True)}.{int(at % 1 * 1000):03}"
        rows.append([f"  {moment}", str(one.get("method")), status + flags, took, where, str(one.get("path"))])
    first, *lines = columns(rows, heads=["  time", "method", "status", "took", "replica", "path"])
    return [ink(cut(first, width), "dim"), *(cut(plain(line), width) for line in lines)]
