"""`greenroom logs`: what the processes of a colour, or of a release, have written. Read from the files, engine or not."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from greenroom.cli.context import Context, Installation
from greenroom.cli.text import plain
from greenroom.domain.model import Colour
from greenroom.domain.release import Release, Service
from greenroom.errors import Refused, UsageError
from greenroom.ports import Clock

_NAME = re.compile(r"(?P<process>.+)-(?P<replica>\d+)")
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Log:
    """One replica's output. `name`: `web-1`."""

    name: str
    path: Path

    @property
    def process(self) -> str:
        match = _NAME.fullmatch(self.name)
        return match["process"] if match else self.name

    @property
    def replica(self) -> int | None:
        match = _NAME.fullmatch(self.name)
        return int(match["replica"]) if match else None


def files(state: Path, colour: str, process: str = "") -> list[Log]:
    """The output files of this colour, all or of one process (`web`) or replica (`web-1`)."""
    found = [Log(path.stem, path) for path in sorted((state / "logs" / colour).glob("*.log"))]
    return [log for log in found if not process or process in (log.name, log.process)]


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a file, whatever is in it; nothing of a file that cannot be read."""
    try:
        with path.open("rb") as file:
            end = position = file.seek(0, os.SEEK_END)
            data = b""
            while position > 0 and data.count(b"\n") <= lines:
                position = max(0, position - _CHUNK)
                file.seek(position)
                data = file.read(end - position)
    except OSError:
        return []
    return data.decode("utf-8", "replace").splitlines()[-lines:] if lines else []


def logs(context: Context, what: str, process: str, lines: int, *, follow: bool) -> int:
    if follow and context.json:
        raise UsageError("--follow has no end, and --json is one document", hint="use one of them")
    installed = context.locate() if what in tuple(Colour) else context.reach()
    colour, release = _which(installed, what)
    found = files(installed.state, colour, process)
    found += _prepared(installed, release, process)
    if not found:
        have = ", ".join(log.name for log in files(installed.state, colour))
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
                        "process": x.process,
                        "replica": x.replica,
                        "file": str(x.path),
                        "lines": [installed.conceal(line) for line in tail(x.path, lines)],
                    }
                    for x in found
                ],
            }
        )
        return 0
    _print(context, found, lines, installed.conceal)
    if follow:
        Following(found, context.tools.clock, context.stream, installed.conceal).run()
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


def _print(context: Context, found: list[Log], lines: int, conceal: Callable[[str], str]) -> None:
    for log in found:
        written = tail(log.path, lines)
        context.say(f"{log.name}  ({log.path})", "bold")
        for line in written or ["(nothing)"]:
            print(f"  {plain(conceal(line))}", file=context.stream)


class Following:
    """New lines of all files, as they are written, until Ctrl-C. A file that was emptied or replaced is read anew."""

    def __init__(
        self, found: list[Log], clock: Clock, stream: TextIO, conceal: Callable[[str], str] = lambda line: line
    ) -> None:
        self._logs, self._clock, self._stream, self._conceal = found, clock, stream, conceal
        self._places = {log.path: _place(log.path) for log in found}
        self._wide = max(len(log.name) for log in found)

    def run(self) -> None:
        while True:
            for log in self._logs:
                for line in self.fresh(log):
                    print(f"{log.name:<{self._wide}}  {plain(self._conceal(line))}", file=self._stream, flush=True)
            self._clock.sleep(0.25)

    def fresh(self, log: Log) -> list[str]:
        """Whole lines that were written since the last time."""
        inode, offset = self._places[log.path]
        here, size = _place(log.path)
        start = offset if here == inode and size >= offset else 0
        if size == start:
            self._places[log.path] = (here, start)
            return []
        try:
            with log.path.open("rb") as file:
                file.seek(start)
                data = file.read(size - start)
        except OSError:
            return []
        whole, _, _ = data.rpartition(b"\n")
        self._places[log.path] = (here, start + (len(whole) + 1 if whole or data.startswith(b"\n") else 0))
        return whole.decode("utf-8", "replace").splitlines() if whole else []


def _place(path: Path) -> tuple[int, int]:
    try:
        about = path.stat()
    except OSError:
        return 0, 0
    return about.st_ino, about.st_size
