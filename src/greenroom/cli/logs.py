"""`greenroom logs`: what the processes of a colour, or of a release, have written; with an engine or without."""

from __future__ import annotations

import time
from collections.abc import Callable

from greenroom.cli.context import Context, Installation
from greenroom.cli.outputs import Following, Log, Output, audible, outputs, process_of, replica_of
from greenroom.cli.text import plain
from greenroom.domain.model import Colour
from greenroom.domain.release import Release, Service
from greenroom.errors import Refused, UsageError


def logs(context: Context, what: str, process: str, lines: int, *, follow: bool) -> int:
    if follow and context.json:
        raise UsageError("--follow has no end, and --json is one document", hint="use one of them")
    installed = context.locate() if what in tuple(Colour) else context.reach()
    colour, release = _which(installed, what)
    found = [*outputs(installed, colour, process), *_prepared(installed, release, process)]
    if not found:
        have = ", ".join(output.name for output in outputs(installed, colour))
        raise Refused(
            f"there is no output of {process or 'anything'} on {colour}",
            hint=f"there is: {have}" if have else "nothing has run there yet; `greenroom status` shows what runs",
        )
    if context.json:
        context.document(
            {
                "service": installed.name,
                "colour": colour,
                "logs": [
                    {
                        "process": process_of(x),
                        "replica": replica_of(x),
                        "file": x.file,
                        "lines": [installed.conceal(line) for line in x.tail(lines)],
                    }
                    for x in found
                ],
            }
        )
        return 0
    _print(context, found, lines, installed.conceal)
    if follow:
        _follow(context, installed, Following(found, audible(installed), colour, time.time()), found)
    return 0


def _which(installed: Installation, what: str) -> tuple[str, Release | None]:
    """A colour by its name, by a release on it, or the last release's."""
    if what in tuple(Colour):
        return what, None
    service = installed.control.state()
    release = _release(service, what)
    if release is None:
        known = [r.id for r in (*service.past, service.release) if r is not None]
        hint = f"releases: {', '.join(known[-5:])}" if known else "nothing was ever released here"
        raise UsageError(
            f"there is no colour and no release {what!r}" if what else "nothing was released yet", hint=hint
        )
    later = [r for r in (*service.past, service.release) if r is not None and r.begun > release.begun]
    if any(r.colour is release.colour for r in later):
        raise Refused(
            f"{release.colour} has run another release since {release.id}",
            hint=f"what is kept of it is in {installed.state / 'logs' / release.colour}, in the files .log.1 to .log.3",
        )
    return str(release.colour), release


def _release(service: Service, what: str) -> Release | None:
    every = [r for r in (*service.past, service.release) if r is not None]
    if not what:
        return every[-1] if every else None
    return next((r for r in reversed(every) if what in (r.id, r.version)), None)


def _prepared(installed: Installation, release: Release | None, process: str) -> list[Log]:
    """What `prepare` said, where that is as far as the release came, or where it is asked for."""
    if release is None or (process != "prepare" and (release.artefact or process)):
        return []
    path = installed.state / "artefacts" / release.id / "prepare.log"
    return [Log("prepare", path)] if path.exists() else []


def _print(context: Context, found: list[Output], lines: int, conceal: Callable[[str], str]) -> None:
    for output in found:
        context.say(f"{output.name}  ({output.where})", "bold")
        for line in output.tail(lines) or ["(nothing)"]:
            print(f"  {plain(conceal(line))}", file=context.stream)


def _follow(context: Context, installed: Installation, following: Following, found: list[Output]) -> None:
    """Until Ctrl-C."""
    wide = max(len(output.name) for output in found)
    while True:
        for name, line in following.fresh():
            print(f"{name:<{wide}}  {plain(installed.conceal(line))}", file=context.stream, flush=True)
        context.tools.clock.sleep(0.25)
