"""`greenroom db plan` and `db check`: every statement ruled, each with the reason and the safer way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from greenroom import migrating, standing
from greenroom.cli.context import Context
from greenroom.cli.text import Ink, cut, span, wrapped
from greenroom.domain.release import Service
from greenroom.domain.schema import Dialect, Ruled, Stage, report
from greenroom.errors import PortError, Unobservable, UsageError

_MARKS = {"allow": ("✓", "good"), "warn": ("!", "warn"), "refuse": ("✗", "red")}
_LEAD = 10


def check(
    context: Context, sql: Path, phase: str, dialect: str, schema: Path | None, applied: Sequence[Path], shadow: str
) -> int:
    found = migrating.judged(sql, Stage(phase), Dialect(dialect), schema, applied, shadow)
    return _tell(context, found, f"{sql} as {phase}")


def plan(context: Context) -> int:
    """What has not run yet, as the folder has it now."""
    installed = context.open()
    migrator = installed.migrator()
    if migrator is None:
        hint = "`migrations: {url: ${DATABASE_URL}}` names the database, and a folder `migrations` the changes"
        raise UsageError(f"{installed.file.name} has no `migrations:`", hint=hint)
    if problems := migrator.problems():
        raise UsageError("\n".join(problems), hint="nothing was touched")
    service = installed.control.state() if installed.begun else Service()
    now = installed.control.now() if installed.begun else 0.0
    order = replace(standing.order_of(installed.name, service, installed.by(), now), artefact="")
    try:
        found = migrator.judge(tuple(Stage), order)
    except PortError as error:
        raise Unobservable(error.message, hint=error.hint) from error
    lives = f", while {order.running} serves" if order.running else ""
    return _tell(context, found, f"{installed.name}: the migrations that have not run yet{lives}")


def _tell(context: Context, found: Sequence[Ruled], about: str) -> int:
    document = report(found)
    if context.json:
        context.document(document)
    else:
        context.lines(page(document, about, context.width, context.ink))
    return int(document["exit"])


def page(document: Mapping[str, Any], about: str, width: int, ink: Ink) -> list[str]:
    """All statements by file, and the sum."""
    lines, file = [ink(line, "bold") for line in wrapped(about, width)], ""
    for one in document["statements"]:
        if one["file"] != file:
            file = one["file"]
            lines += ["", f"  {file}"]
        lines += _statement(one, width, ink)
    return [*lines, "", *_sum(document, width, ink)]


def _statement(one: Mapping[str, Any], width: int, ink: Ink) -> list[str]:
    mark, style = _MARKS[one["verdict"]]
    sql = cut(" ".join(str(one["sql"]).split()), width - _LEAD)
    line = one["line"] or ""  # what is said of the database as a whole stands in no line
    lines = [f"  {ink(mark, style)} {line:>5}  {sql}".rstrip()]
    told = [text for each in (one, *one.get("also", ())) for text in _said(each)]
    if locks := one.get("locks"):
        told.append(f"locks: {'; '.join(locks)}")
    if one.get("rows") is not None:
        size = f", {_size(one['bytes'])}" if one.get("bytes") is not None else ""
        lasts = _lasts(one["seconds"]) if one.get("seconds") is not None else ""
        told.append(f"{one['rows']:,} rows{size}{lasts}")
    for text in told if one["verdict"] != "allow" or (one.get("seconds") or 0) >= 1 else []:
        lines += wrapped(text, width, indent=" " * (_LEAD + 2), first=" " * _LEAD) if text else []
    if one["instead"] and one["verdict"] != "allow":
        first, *rest = wrapped(f"instead: {one['instead']}", width, indent=" " * (_LEAD + 2), first=" " * _LEAD)
        lines += [ink(first, "bold"), *rest]
    return lines


def _said(one: Mapping[str, Any]) -> list[str]:
    said = [f"[{one['rule']}] {one['reason']}" if one["rule"] else one["reason"]]
    return [*said, f"allowed all the same: {one['override']}"] if one.get("override") else said


def _lasts(seconds: float) -> str:
    return f": about {span(seconds)}" if seconds >= 1 else ": less than a second"


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


def _sum(document: Mapping[str, Any], width: int, ink: Ink) -> list[str]:
    counts = {verdict: sum(one["verdict"] == verdict for one in document["statements"]) for verdict in _MARKS}
    every = len(document["statements"])
    if not every:
        return ["  nothing is left to run"]
    if counts["refuse"]:
        text, style = f"✗ {counts['refuse']} of {every} refused; a deploy would stop before any of them runs", "red"
    elif counts["warn"]:
        text, style = f"! all {every} may run, {counts['warn']} with a warning", "warn"
    else:
        text, style = f"✓ all {every} may run", "good"
    return [ink(line, style) for line in wrapped(text, width, "    ", "  ")]
