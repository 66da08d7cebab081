"""Are both colours alike? Compares what they really run with, process by process. Pure.

What is equal on both is fine. What differs is told apart by its reason: the definitions asked for different things there
(this release changed it), the file names it with a reason, or nobody can say why; only the last must not be. A colour that
runs with something else than it was asked for is a difference of its own, also where the other one does the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Protocol

from greenroom.domain.model import Colour

COLOURS = (Colour.BLUE, Colour.GREEN)
_LONGEST = 1000


class Stated(Protocol):
    """What `ports.Facts` says of a process."""

    @property
    def effective(self) -> Mapping[str, str]: ...
    @property
    def asked(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class Allowance:
    """Something that differs on purpose. `path`: a glob over `process.path`, for one host of several `host/process.path`."""

    path: str
    why: str

    def covers(self, process: str, path: str) -> bool:
        everywhere = process.rpartition("/")[2]
        return any(fnmatchcase(f"{name}.{path}", self.path) for name in (process, everywhere))


class Kind(StrEnum):
    DIFFERENT = "different"
    """Nobody can say why."""
    STRAYED = "strayed"
    """A colour does not run with what it was asked for."""
    CHANGED = "changed"
    """The definitions of the two releases ask for different things there."""
    ALLOWED = "allowed"
    """The file says why."""

    @property
    def wrong(self) -> bool:
        return self in (Kind.DIFFERENT, Kind.STRAYED)


@dataclass(frozen=True, slots=True)
class Difference:
    """`path`: with its process. `blue`, `green`: what is in force, None for nothing.

    `asked`: what the colours that strayed were asked for. `why`: the file's reason.
    """

    path: str
    kind: Kind
    blue: str | None
    green: str | None
    asked: Mapping[Colour, str] = field(default_factory=dict)
    why: str = ""

    def of(self, colour: Colour) -> str | None:
        return self.blue if colour is Colour.BLUE else self.green


@dataclass(frozen=True, slots=True)
class Comparison:
    """`compared`: how many facts. `found`: what is not equal, the worst first. `apart`: processes that only one colour runs.

    `alone`: the colour beside which nothing runs that could be compared. `unused`: paths of the file that lead to nothing.
    """

    compared: int = 0
    found: tuple[Difference, ...] = ()
    apart: Mapping[str, Colour] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    alone: Colour | None = None

    @property
    def nothing(self) -> bool:
        """Nothing runs on either of them."""
        return self.alone is None and not self.compared and not self.apart

    @property
    def wrong(self) -> tuple[Difference, ...]:
        return tuple(difference for difference in self.found if difference.kind.wrong)


def compare(blue: Mapping[str, Stated], green: Mapping[str, Stated], allow: Sequence[Allowance] = ()) -> Comparison:
    """By process. A process of which nothing is in force on one colour (it runs only where the traffic is, or only one
    version has it) is `apart`.
    """
    here, there = _running(blue), _running(green)
    if not here or not there:
        return Comparison(alone=Colour.BLUE if here else Colour.GREEN if there else None)
    known: list[tuple[str, str]] = []
    found: list[Difference] = []
    for process in sorted(here & there):
        paths = sorted({*blue[process].effective, *green[process].effective})
        known += [(process, path) for path in paths]
        found += [x for path in paths if (x := _difference(process, path, blue[process], green[process], allow))]
    apart = {process: Colour.BLUE if process in here else Colour.GREEN for process in sorted(here ^ there)}
    sides = {Colour.BLUE: blue, Colour.GREEN: green}
    reached = [*known, *((name, path) for name, colour in apart.items() for path in sides[colour][name].effective)]
    unused = tuple(one.path for one in allow if not any(one.covers(*place) for place in reached))
    order = list(Kind)
    return Comparison(len(known), tuple(sorted(found, key=lambda x: order.index(x.kind))), apart, unused)


def _running(stated: Mapping[str, Stated]) -> set[str]:
    return {process for process, facts in stated.items() if facts.effective}


def _difference(process: str, path: str, blue: Stated, green: Stated, allow: Sequence[Allowance]) -> Difference | None:
    sides = {Colour.BLUE: blue, Colour.GREEN: green}
    strayed = {
        colour: shown(side.asked[path])
        for colour, side in sides.items()
        if path in side.asked and path in side.effective and side.asked[path] != side.effective[path]
    }
    values = [side.effective.get(path) for side in sides.values()]
    if values[0] == values[1] and not strayed:
        return None
    why = next((one.why for one in allow if one.covers(process, path)), None)
    if not strayed and blue.asked.get(path) != green.asked.get(path):
        kind, why = Kind.CHANGED, ""
    elif why is not None:
        kind = Kind.ALLOWED
    else:
        kind = Kind.STRAYED if strayed else Kind.DIFFERENT
    first, second = (None if value is None else shown(value) for value in values)
    return Difference(shown(f"{process}.{path}"), kind, first, second, strayed, why or "")


def shown(value: str) -> str:
    """Fit for one line of a terminal."""
    text = "".join(character if character.isprintable() else "·" for character in value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def sentence(difference: Difference) -> str:
    """`web.memory: blue 1g (asked for 512m), green 512m`, for a line of evidence."""
    sides = []
    for colour in COLOURS:
        value = difference.of(colour)
        asked = f" (asked for {difference.asked[colour]})" if colour in difference.asked else ""
        sides.append(f"{colour} {'without' if value is None else value or 'empty'}{asked}")
    match difference.kind:
        case Kind.CHANGED:
            reason = "; changed by this release"
        case Kind.ALLOWED:
            reason = f"; allowed: {difference.why}"
        case Kind.DIFFERENT | Kind.STRAYED:
            reason = ""
    return f"{difference.path}: {', '.join(sides)}{reason}"
