"""`greenroom plan`: what a deploy would do. Reads the file, the journal and the world; changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from greenroom.cli.context import Context, Installation
from greenroom.cli.steer import check_version
from greenroom.cli.text import Ink, wrapped
from greenroom.domain.observation import Seen
from greenroom.domain.outlook import outlook
from greenroom.domain.release import Service
from greenroom.domain.schema import Ruled, Ruling, Stage
from greenroom.errors import PortError, UsageError
from greenroom.standing import order_of

_LABEL = 14


def plan(context: Context, version: str) -> int:
    check_version(version)
    installed = context.open()
    loaded = installed.loaded
    assert loaded is not None
    service, seen, now = known(installed)
    problems, hazards = installed.problems(), installed.hazards()
    document = outlook(service, seen, version, loaded.plan, loaded.document, problems, now, hazards)
    if service.active is None and service.release is None and installed.adopts:
        document["remarks"].append("what serves users now can be taken over first: `greenroom adopt --help`")
    judges = loaded.plan.migrates and document["steps"] and not problems
    refused, unknown = _refused(installed, service, now) if judges else ([], "")
    document["refused"] = refused
    document["remarks"] += [unknown] if unknown else []
    document["text"] += ", and be refused" if refused else ""
    document = {"service": installed.name, **document}
    if context.json:
        context.document(document)
    else:
        context.lines(pages(document, context.width, context.ink))
    return int(document["exit"])


def _refused(installed: Installation, service: Service, now: float) -> tuple[list[str], str]:
    """What of the migrations a deploy would stop before, the first of it first; and why nobody could tell."""
    migrator = installed.migrator()
    if migrator is None:
        return [], ""
    order = replace(order_of(installed.name, service, installed.by(), now), artefact="")
    refused: list[Ruled] = []
    try:
        for quick in (True, False):  # what would be let pass when it is rehearsed is not refused
            found = migrator.judge((Stage.EXPAND, Stage.BACKFILL), order, quick=quick)
            refused = [one for one in found if one.ruling is Ruling.REFUSE]
            if not refused:
                break
    except (PortError, UsageError) as error:
        return (
            [],
            f"the migrations could not be judged now: {error.message.rstrip('.')}; `greenroom db plan` judges them",
        )
    return [_line(one) for one in refused], ""


def _line(one: Ruled) -> str:
    place = f"{one.file}:{one.line}" if one.line else one.file
    return f"{place}: {one.rule}: {one.reason}"


def known(installed: Installation) -> tuple[Service, Seen | None, float]:
    """State, sight and time; the journal is not made for it."""
    if not installed.begun:
        return Service(), None, 0.0
    control = installed.control
    return control.state(), installed.seen()[0], control.now()


def pages(document: dict[str, Any], width: int, ink: Ink) -> list[str]:
    lines = [ink(f"{document['service']}: {document['text']}", "bold")]
    if document["hint"]:
        lines += wrapped(document["hint"], width)
    if document["steps"]:
        lines.append("")
    for step in document["steps"]:
        first, *rest = wrapped(step["does"], width, indent=" " * _LABEL, first=f"  {step['stage']:<{_LABEL - 2}}")
        lines += [ink(first[:_LABEL], "dim") + first[_LABEL:], *rest]
    if document["steps"]:
        lines += ["", *_downtime(document, width, ink)]
    for remark in document["remarks"] if document["steps"] else ():
        lines += wrapped(remark, width, indent="    ", first="  · ")
    for problem in document["problems"]:
        first, *rest = wrapped(problem, width, indent="    ", first="  ✗ ")
        lines += [ink(first, "red"), *rest]
    return lines


def _downtime(document: dict[str, Any], width: int, ink: Ink) -> list[str]:
    if refused := document["refused"]:
        more = f"{len(refused) - 1} more; " if len(refused) > 1 else ""
        text = f"the migrations would be refused: {refused[0]}"
        first = [ink(line, "red") for line in wrapped(text, width, "    ", "  ✗ ")]
        return [*first, *wrapped(f"{more}`greenroom db plan` tells all, and the safer way", width, "    ", "    ")]
    if document["without_downtime"]:
        return [ink("  ✓ without downtime", "good")] if not document["problems"] else []
    reasons = document["because"]
    if len(reasons) == 1:
        return [ink(x, "red") for x in wrapped(f"users may notice: {reasons[0]}", width, "    ", "  ✗ ")]
    lines = [line for reason in reasons for line in wrapped(reason, width, " " * 6, "    - ")]
    return [ink("  ✗ users may notice:", "red"), *(ink(line, "red") for line in lines)]
