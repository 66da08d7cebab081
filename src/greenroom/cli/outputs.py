"""What replicas wrote: read from the files of the state folder, or asked of an environment that keeps it elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from greenroom.cli.context import Installation
from greenroom.domain.model import Colour
from greenroom.engine.tail import tail
from greenroom.errors import GreenroomError
from greenroom.ports import Audible, Line

_NAME = re.compile(r"(?P<process>.+)-(?P<replica>\d+)")
_AT_ONCE = 1000


class Output(Protocol):
    """One replica's. `name`: `web-1`. `where`: for people. `file`: its path, "" if it is in none here."""

    @property
    def name(self) -> str: ...
    @property
    def where(self) -> str: ...
    @property
    def file(self) -> str: ...

    def tail(self, lines: int) -> list[str]:
        """The last lines, whatever is in them."""

    def changed(self, since: float) -> bool:
        """It was written to after this time (seconds since 1970)."""


def process_of(output: Output) -> str:
    match = _NAME.fullmatch(output.name)
    return match["process"] if match else output.name


def replica_of(output: Output) -> int | None:
    match = _NAME.fullmatch(output.name)
    return int(match["replica"]) if match else None


def outputs(installed: Installation, colour: str, process: str = "") -> list[Output]:
    """Of this colour, all or of one process (`web`) or replica (`web-1`)."""
    asked = audible(installed)
    every: Iterable[Output] = files(installed.state, colour)
    if asked is not None:
        lines = asked.output(Colour(colour), _AT_ONCE)
        every = [Asked(name, [line for line in lines if line.replica == name]) for name in _names(lines)]
    return [output for output in every if not process or process in (output.name, process_of(output))]


def audible(installed: Installation) -> Audible | None:
    """The environment, if its processes' output is not in our files."""
    try:
        environment = installed.adapters_for(installed.control.state()).environment
    except GreenroomError:
        return None
    return environment if isinstance(environment, Audible) else None


def _names(lines: Sequence[Line]) -> list[str]:
    return sorted({line.replica for line in lines})


@dataclass(frozen=True, slots=True)
class Asked:
    """As the environment told it."""

    name: str
    lines: Sequence[Line]
    where: str = "as its environment keeps it"
    file: str = ""

    def tail(self, lines: int) -> list[str]:
        return [line.text for line in self.lines][-lines:] if lines else []

    def changed(self, since: float) -> bool:
        return not self.lines or not self.lines[-1].at or self.lines[-1].at > since


def files(state: Path, colour: str) -> list[Log]:
    return [Log(path.stem, path) for path in sorted((state / "logs" / colour).glob("*.log"))]


@dataclass(slots=True)
class Log:
    """A file that a replica appends to."""

    name: str
    path: Path
    _place: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self._place = _place(self.path)

    @property
    def where(self) -> str:
        return str(self.path)

    @property
    def file(self) -> str:
        return str(self.path)

    def changed(self, since: float) -> bool:
        try:
            return self.path.stat().st_mtime > since
        except OSError:
            return False

    def tail(self, lines: int) -> list[str]:
        return tail(self.path, lines)

    def fresh(self) -> list[str]:
        """Whole lines that were written since the last time. A file that was emptied or replaced is read anew."""
        inode, offset = self._place
        here, size = _place(self.path)
        start = offset if here == inode and size >= offset else 0
        if size == start:
            self._place = (here, start)
            return []
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                data = file.read(size - start)
        except OSError:
            return []
        whole, _, _ = data.rpartition(b"\n")
        self._place = (here, start + (len(whole) + 1 if whole or data.startswith(b"\n") else 0))
        return whole.decode("utf-8", "replace").splitlines() if whole else []


def _place(path: Path) -> tuple[int, int]:
    try:
        about = path.stat()
    except OSError:
        return 0, 0
    return about.st_ino, about.st_size


class Following:
    """What is new since the last time, of every replica."""

    def __init__(
        self, found: Sequence[Output], asked: Audible | None = None, colour: str = "", now: float = 0.0
    ) -> None:
        self._logs = [log for log in found if isinstance(log, Log)]
        self._asked, self._colour, self._since = asked, colour, now
        self._wanted = {output.name for output in found}

    def fresh(self) -> list[tuple[str, str]]:
        """(replica, line)"""
        news = [(log.name, line) for log in self._logs for line in log.fresh()]
        if self._asked is not None:
            lines = self._asked.output(Colour(self._colour), _AT_ONCE, self._since)
            self._since = max([self._since, *(line.at for line in lines)])
            news += [(line.replica, line.text) for line in lines if line.replica in self._wanted]
        return news
