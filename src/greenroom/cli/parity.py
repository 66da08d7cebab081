"""`greenroom parity`: are blue and green alike in what they really run with? Looks, and changes nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from greenroom import assembly, plugins
from greenroom.cli.context import Context
from greenroom.cli.text import Ink, wrapped
from greenroom.domain.model import Colour, Document
from greenroom.domain.parity import COLOURS, Comparison, Difference, Kind
from greenroom.domain.release import Service
from greenroom.engine.world import Adapters
from greenroom.errors import PortError, Refused, Unobservable, UsageError
from greenroom.ports import Capability

_HEADS = {
    Kind.DIFFERENT: "different",
    Kind.STRAYED: "not as asked for",
    Kind.CHANGED: "changed by this release",
    Kind.ALLOWED: "allowed by the file",
}
_KINDS = {"environment": "process", "router": "envoy"}
"""With the type that a file has without `type`."""

_LEAD, _GAP = 4, 2
_NOT_ALIKE = (
    "what differs on purpose is named in `parity.allow`, with a reason; for the rest `greenroom deploy VERSION` makes "
    "an environment anew, as the file says"
)


def parity(context: Context) -> int:
    """0: alike, or nothing to compare; 8: alike, with warnings; 6: not alike, or not to be seen."""
    installed = context.open()
    if not installed.begun:
        raise Refused("nothing was ever released here", hint="`greenroom deploy VERSION` releases a version")
    service = installed.control.state()
    made = installed.adapters_for(service)
    silent = _silent(made, service)
    if len(silent) == len(_KINDS):
        names = " nor ".join(f"the {kind} `{name}`" for kind, name in silent.items())
        raise Refused(f"neither {names} can say what it really runs with", hint=f"those can: {_able(silent)}")
    loaded = installed.loaded
    assert loaded is not None
    try:
        found = assembly.parity(made.environment, made.router, loaded).compare()
    except PortError as error:
        raise Unobservable(f"what runs could not be compared: {error.message}", hint=error.hint) from error
    document = {"service": installed.name, **parity_document(found, versions(service), silent)}
    if context.json:
        context.document(document)
    else:
        context.lines(page(document, context.width, context.ink))
    return int(document["exit"])


def _silent(made: Adapters, service: Service) -> dict[str, str]:
    """By kind, the type of what cannot say."""
    adapters: Mapping[str, Any] = {"environment": made.environment, "router": made.router}
    origin = service.running or service.active or service.release
    definition: Document = origin.definition if origin is not None else {}
    types = {kind: str((definition.get(kind) or {}).get("type", usual)) for kind, usual in _KINDS.items()}
    return {kind: types[kind] for kind in _KINDS if Capability.PARITY not in adapters[kind].capabilities}


def _able(kinds: Mapping[str, str]) -> str:
    """`environment docker; router haproxy, nginx`: what can say."""
    return "; ".join(f"{kind} {', '.join(_of_kind(kind)) or '(none)'}" for kind in kinds)


def _of_kind(kind: str) -> Iterator[str]:
    for name in plugins.known(kind):
        try:
            if Capability.PARITY in getattr(plugins.find(kind, name), "capabilities", ()):
                yield name
        except UsageError:  # one that is not wholly installed
            continue


def versions(service: Service) -> dict[Colour, str]:
    """What runs where, as far as the journal knows."""
    release, warm, active = service.release, service.warm, service.active
    there = [release, release.baseline if release else None, warm.deployed if warm else None, active]
    return {one.colour: one.version for one in there if one is not None}


def parity_document(found: Comparison, named: Mapping[Colour, str], silent: Mapping[str, str]) -> dict[str, Any]:
    """`parity --json`, but for the service."""
    warnings = [
        f"`parity.allow` has {path}, which leads to nothing; correct it, or take it out" for path in found.unused
    ]
    remarks = [f"{name} runs on {colour} only: it is not compared" for name, colour in found.apart.items()]
    remarks += [f"the {kind} `{name}` cannot say; those can: {_able({kind: name})}" for kind, name in silent.items()]
    return {
        "exit": 6 if found.wrong else 8 if warnings else 0,
        "text": _sentence(found, named),
        "hint": _NOT_ALIKE if found.wrong else "",
        "versions": {str(colour): named.get(colour) for colour in COLOURS},
        "compared": found.compared,
        "differences": [_difference(difference) for difference in found.found],
        "warnings": warnings,
        "remarks": remarks,
    }


def _difference(one: Difference) -> dict[str, Any]:
    asked = {str(colour): value for colour, value in one.asked.items()}
    kind = str(one.kind)
    return {"path": one.path, "kind": kind, "blue": one.blue, "green": one.green, "asked": asked, "why": one.why}


def _sentence(found: Comparison, named: Mapping[Colour, str]) -> str:
    blue, green = (f"{named[colour]} on {colour}" if colour in named else str(colour) for colour in COLOURS)
    if found.alone is not None:
        return f"only {blue if found.alone is Colour.BLUE else green} runs: there is nothing to compare it with"
    if found.nothing:
        return "nothing runs: there is nothing to compare"
    if found.wrong:
        return f"{blue} and {green} are not alike: {len(found.wrong)} of {found.compared} facts"
    but = len(found.found)
    exempt = f", {but} of which differ for a reason" if but else ""
    return f"{blue} and {green} are alike: {found.compared} facts{exempt}"


# --- for people -------------------------------------------------------------------------------------------------------


def page(document: Mapping[str, Any], width: int, ink: Ink) -> list[str]:
    lines = [ink(line, "bold") for line in wrapped(f"{document['service']}: {document['text']}", width)]
    if document["differences"]:
        lines += ["", *_table(document["differences"], width, ink)]
    if len(lines) > 1 and (document["warnings"] or document["remarks"] or document["hint"]):
        lines.append("")
    for text in document["warnings"]:
        first, *rest = wrapped(text, width, indent=" " * _LEAD, first="  ! ")
        lines += [ink(first, "warn"), *rest]
    for text in document["remarks"]:
        lines += wrapped(text, width, indent=" " * _LEAD, first="  · ")
    if document["hint"]:
        lines += wrapped(document["hint"], width)
    return lines


def _table(differences: Sequence[Mapping[str, Any]], width: int, ink: Ink) -> Iterator[str]:
    """path | blue | green, in groups; a value that is too long goes on below."""
    rows = [(str(one["path"]), *(_cell(one, colour) for colour in COLOURS)) for one in differences]
    heads = [_HEADS[Kind(one["kind"])] for one in differences]
    wide = _widths([(heads[0], "blue", "green"), *rows], width - _LEAD - 2 * _GAP)
    before = ""
    for one, row, head in zip(differences, rows, heads, strict=True):
        if head != before:
            titles = [head] if before else _lines((head, "blue", "green"), wide)
            yield from (ink(" " * _LEAD + line, "dim") for line in titles)
            before = head
        wrong = Kind(one["kind"]).wrong
        first, *rest = _lines(row, wide)
        yield ink(f"  {'✗' if wrong else '·'} ", "red" if wrong else "") + first
        yield from (" " * _LEAD + line for line in rest)
        if one["why"]:
            yield from (ink(line, "dim") for line in wrapped(one["why"], width, " " * (_LEAD + 2)))


def _cell(one: Mapping[str, Any], colour: Colour) -> str:
    value = one[str(colour)]
    asked = one["asked"].get(str(colour))
    shown = "—" if value is None else value or "(empty)"
    return shown if asked is None else f"{shown} (asked for {asked or '(empty)'})"


def _widths(rows: Sequence[Sequence[str]], room: int) -> list[int]:
    """As wide as needed; where that is too much, the path has at most two fifths and the values share the rest."""
    path, blue, green = (max(len(row[n]) for row in rows) for n in range(3))
    if path + blue + green <= room:
        return [path, blue, green]
    path = min(path, max(room * 2 // 5, room - blue - green))
    rest = room - path
    blue = min(blue, max(rest // 2, rest - green))
    return [path, blue, min(green, rest - blue)]


def _lines(row: Sequence[str], wide: Sequence[int]) -> list[str]:
    cells = [textwrap.wrap(cell, size, break_on_hyphens=False) or [""] for cell, size in zip(row, wide, strict=True)]
    count = max(len(cell) for cell in cells)
    padded = [[*cell, *[""] * (count - len(cell))] for cell in cells]
    gap = " " * _GAP
    return [
        gap.join(text.ljust(size) for text, size in zip(line, wide, strict=True)).rstrip()
        for line in zip(*padded, strict=True)
    ]
