"""`greenroom plan`: what a deploy would do. Reads the file, the journal and the world; changes nothing."""

from __future__ import annotations

from typing import Any

from greenroom.cli.context import Context, Installation
from greenroom.cli.steer import check_version
from greenroom.cli.text import Ink, wrapped
from greenroom.domain.observation import Seen
from greenroom.domain.outlook import outlook
from greenroom.domain.release import Service

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
    document = {"service": installed.name, **document}
    if context.json:
        context.document(document)
    else:
        context.lines(pages(document, context.width, context.ink))
    return int(document["exit"])


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
    if document["without_downtime"]:
        return [ink("  ✓ without downtime", "good")] if not document["problems"] else []
    reasons = document["because"]
    if len(reasons) == 1:
        return [ink(x, "red") for x in wrapped(f"users may notice: {reasons[0]}", width, "    ", "  ✗ ")]
    lines = [line for reason in reasons for line in wrapped(reason, width, " " * 6, "    - ")]
    return [ink("  ✗ users may notice:", "red"), *(ink(line, "red") for line in lines)]
