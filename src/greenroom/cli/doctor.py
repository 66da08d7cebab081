"""`greenroom doctor`: is everything in place? Looks, and changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from greenroom.cli.context import Context, Installation
from greenroom.cli.look import own_look
from greenroom.cli.quick import merged
from greenroom.cli.text import wrapped
from greenroom.domain.release import Service
from greenroom.domain.schema import Stand
from greenroom.errors import GreenroomError, JournalMissing, UsageError
from greenroom.ports import Life

SCARCE, TOO_LITTLE = 1_000_000_000, 100_000_000
"""Bytes free on the disk of the state folder: below the one a warning, below the other a failure."""

_MARKS = {"ok": ("✓", "good"), "warn": ("!", "warn"), "fail": ("✗", "red")}


@dataclass(frozen=True, slots=True)
class Check:
    """`result`: ok, warn or fail."""

    name: str
    result: str
    text: str
    hint: str = ""


def doctor(context: Context) -> int:
    """0: all is well; 8: with warnings; 6: something must be done."""
    found = list(checks(context))
    results = {check.result for check in found}
    code = 6 if "fail" in results else 8 if "warn" in results else 0
    if context.json:
        context.document({"service": context.service, "exit": code, "checks": [asdict(check) for check in found]})
        return code
    ink, width = context.ink, context.width
    for check in found:
        mark, style = _MARKS[check.result]
        text = check.text.rstrip(".") + (f"; {check.hint}" if check.hint else "")
        first, *rest = wrapped(text, width, indent=" " * 17, first=f"  {mark} {check.name:<13}")
        context.lines([f"  {ink(mark, style)}{first[3:]}", *rest])
    return code


def checks(context: Context) -> Iterator[Check]:
    yield _python()
    try:
        installed = context.open()
    except UsageError as error:
        yield Check("file", "fail", error.message, error.hint)
        try:
            installed = context.reach()
        except GreenroomError:
            return
    else:
        yield Check("file", "ok", f"{context.file}: service {installed.name}")
        yield from _preflight(installed)
        yield from _database(installed)
    yield _disk(installed.state)
    yield from _standing(context, installed)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", "ok", f"{version}, {sys.executable}")


def _preflight(installed: Installation) -> Iterator[Check]:
    """What a deploy would stumble over: commands that are not there, ports that somebody else holds."""
    try:
        problems = installed.problems()
    except GreenroomError as error:
        problems = [error.message]
    for problem in problems:
        yield Check("set-up", "fail", problem)
    if not problems:
        yield Check("set-up", "ok", "all is as a deploy needs it, on every machine of the file")


def _database(installed: Installation) -> Iterator[Check]:
    """The one that both colours share, where the file brings migrations along."""
    try:
        migrator = installed.migrator()
        seen = migrator.observe(installed.name) if migrator is not None else None
    except GreenroomError as error:
        yield Check("database", "fail", error.message, error.hint)
        return
    if seen is None:
        return
    if seen.unseen:
        yield Check("database", "fail", seen.unseen, "no release with migrations can begin until it answers")
        return
    hidden = sorted({part.migration for part in seen.parts if part.stand is Stand.SOFT})
    count = len({part.migration for part in seen.parts})
    out = f", {', '.join(hidden)} has something out of reach" if hidden else ""
    yield Check("database", "ok", f"answers; {count} migrations in its ledger{out}")


def _disk(state: Path) -> Check:
    there = next(folder for folder in (state, *state.parents) if folder.exists())
    if not os.access(there, os.W_OK):
        return Check("disk", "fail", f"{there} cannot be written", "give it to the user who releases")
    free = shutil.disk_usage(there).free
    text = f"{free / 1e9:.1f} GB free at {there}"
    if free < TOO_LITTLE:
        return Check("disk", "fail", text, "make room: no release can begin, and nothing can be written down")
    return Check("disk", "warn" if free < SCARCE else "ok", text)


def _standing(context: Context, installed: Installation) -> Iterator[Check]:
    """What runs already: nothing of it is needed before the first release."""
    if not installed.begun:
        yield Check("journal", "ok", "nothing was released yet; the first deploy makes it")
        return
    service = Service()
    try:
        service = installed.control.state()
        yield Check("journal", "ok", f"{service.seq} records, {service.count} releases")
    except JournalMissing:
        yield Check("journal", "ok", "nothing was released yet; the first deploy makes it")
    except GreenroomError as error:
        yield Check("journal", "fail", error.message, error.hint)
        yield from _programs(context, installed, expected=False)
        return
    expected = service.active is not None and not service.down
    yield from _programs(context, installed, expected=expected)
    yield _route(context, installed, expected)
    if expected and installed.here:
        yield _reboot(installed)


def _programs(context: Context, installed: Installation, *, expected: bool) -> Iterator[Check]:
    if not installed.here:
        yield Check(
            "engine",
            "ok",
            "there is none for a service that runs elsewhere: the command that releases does the work, to its end",
        )
        return
    answers = context.tools.enquire(installed.state) is not None
    try:
        programs = installed.supervisor.observe()
    except GreenroomError as error:
        yield Check("supervisor", "fail", error.message, error.hint)
        programs = {}
    orphans = sorted(name for name, status in programs.items() if status.life is Life.ORPHAN)
    wake = "`greenroom reconcile` starts it"
    if orphans:
        yield Check("supervisor", "fail", f"nobody looks after {', '.join(orphans)}", wake)
    elif programs:
        yield Check("supervisor", "ok", f"looks after {', '.join(sorted(programs))}")
    elif expected:
        yield Check("supervisor", "fail", "it does not run", wake)
    if answers or expected:
        text = "awake" if answers else "it does not answer: nobody watches"
        yield Check("engine", "ok" if answers else "fail", text, "" if answers else wake)


def _route(context: Context, installed: Installation, expected: bool) -> Check:
    told = context.tools.enquire(installed.state)
    status = merged(told) if told and "status" in told else own_look(installed, [])
    route = status["route"]
    if route == "in_sync" or not expected:
        return Check("router", "ok", "serves what the journal says" if expected else "nothing is live")
    if route == "drifted":
        hint = "`greenroom reconcile` puts it back, `greenroom reconcile --accept` takes it over"
        return Check("router", "fail", status["drift"] or "somebody else moved the route", hint)
    return Check("router", "fail", "what it serves could not be confirmed", "`greenroom status` says more")


def _reboot(installed: Installation) -> Check:
    """Somebody must start the supervisor after a reboot of the machine."""
    text = str(installed.file)
    if (unit := _unit(text)) is not None:
        return Check("reboot", "ok", f"{unit} starts it again")
    if text in _crontab():
        return Check("reboot", "ok", "cron starts it again")
    return Check(
        "reboot", "warn", "nothing starts the service after a reboot", "`greenroom init --systemd` writes a unit"
    )


def _unit(file: str) -> Path | None:
    folders = (Path("/etc/systemd/system"), Path.home() / ".config" / "systemd" / "user")
    for folder in folders:
        for unit in sorted(folder.glob("*.service")):
            try:
                if file in unit.read_text(errors="replace"):
                    return unit
            except OSError:
                continue
    return None


def _crontab() -> str:
    try:
        done = subprocess.run(["crontab", "-l"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "\n".join(line for line in done.stdout.splitlines() if line.strip().startswith("@reboot"))
