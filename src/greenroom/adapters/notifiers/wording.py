"""An event as people read it in a chat or a mail: the sentence, the numbers of both colours, who, why, the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from greenroom.domain.model import Event
from greenroom.domain.numbers import as_row
from greenroom.units import show_duration

MARKS: Mapping[str, tuple[str, str]] = {
    "started": ("🚀", "#4a5568"),
    "waiting_approval": ("✋", "#b7791f"),
    "warned": ("⚠️", "#b7791f"),
    "shifted": ("🔀", "#2b6cb0"),
    "paused": ("⏸️", "#b7791f"),
    "drifted": ("🧭", "#c53030"),
    "stuck": ("🆘", "#c53030"),
    "recovered": ("👌", "#2f855a"),
    "succeeded": ("✅", "#2f855a"),
    "aborted": ("🚫", "#b7791f"),
    "rolled_back": ("⏪", "#c53030"),
    "rehearsed": ("🎭", "#2f855a"),
    "failed": ("❌", "#c53030"),
    "contracted": ("🧹", "#2f855a"),
}
"""By kind: a sign and a colour, both beside the words and never instead of them."""


@dataclass(frozen=True, slots=True)
class Side:
    """One colour's numbers. `title`: `green 1.5 (candidate)`."""

    title: str
    rows: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Told:
    """`facts`: pairs for a small table. `ways`: (command, what it does)."""

    mark: str
    tint: str
    title: str
    sides: tuple[Side, ...]
    facts: tuple[tuple[str, str], ...]
    evidence: tuple[str, ...]
    ways: tuple[tuple[str, str], ...]
    link: str


def told(event: Event, link: str = "") -> Told:
    """Facts that an event does not have are left out; those of a stranger's shape too."""
    mark, tint = MARKS.get(event.kind, ("•", "#4a5568"))
    facts = event.facts
    ways = facts.get("ways")
    return Told(
        mark,
        tint,
        one_line(f"{event.service}: {event.text}"),
        _sides(facts.get("numbers")),
        tuple(_table(event)),
        tuple(one_line(str(line)) for line in _list(facts.get("evidence"))),
        tuple((one_line(str(c)), one_line(str(does))) for c, does in ways.items()) if isinstance(ways, Mapping) else (),
        link,
    )


def plain(event: Event, link: str = "") -> str:
    """All of it as text of lines, for mails and for services that know no layout. Ends with a line break."""
    it = told(event, link)
    parts = [f"{it.title}\n"]
    if it.sides:
        parts.append(_side_by_side(it.sides))
    parts.append("".join(f"{name + ':':<12} {value}\n" for name, value in it.facts))
    if it.evidence:
        parts.append("".join(f"  {line}\n" for line in it.evidence))
    if it.ways:
        wide = max(len(command) for command, _ in it.ways)
        parts.append("".join(f"{command:<{wide}}   {does}\n" for command, does in it.ways))
    if it.link:
        parts.append(f"Picture: {it.link}\n")
    return "\n".join(part for part in parts if part)


def rows(sides: tuple[Side, ...]) -> list[tuple[str, ...]]:
    """(name, this one's, that one's) of every number that one of them has."""
    names = list(dict.fromkeys(name for side in sides for name in side.rows))
    return [(name, *(side.rows.get(name, "—") for side in sides)) for name in names]


def escaped(text: str) -> str:
    """As Slack and HTML want it: no text is ever markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def cut(text: str, limit: int) -> str:
    """At most that long, as most count: a sign beyond the first 65,536 counts twice."""
    return _fitting(text, limit, str)


def cut_escaped(text: str, limit: int) -> str:
    """Escaped and then at most that long, with no half of an escape at the end."""
    return _fitting(text, limit, escaped)


def _fitting(text: str, limit: int, made: Callable[[str], str]) -> str:
    if _long(made(text)) <= limit:
        return made(text)
    fits, breaks = 0, min(len(text), limit)
    while breaks - fits > 1:
        half = (fits + breaks) // 2
        fits, breaks = (half, breaks) if _long(made(text[:half])) < limit else (fits, half)
    return made(text[:fits]) + "…"


def _long(text: str) -> int:
    return len(text) + sum(c > "\uffff" for c in text)


def _side_by_side(sides: tuple[Side, ...]) -> str:
    table = [("", *(side.title for side in sides)), *rows(sides)]
    wide = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = ("   ".join(cell.ljust(w) for cell, w in zip(row, wide, strict=True)).rstrip() for row in table)
    return "".join(f"{line}\n" for line in lines)


def _sides(numbers: Any) -> tuple[Side, ...]:
    """The candidate first."""
    if not isinstance(numbers, Mapping):
        return ()
    both = [(str(colour), one) for colour, one in numbers.items() if isinstance(one, Mapping)]
    both.sort(key=lambda pair: (pair[1].get("role") != "candidate", pair[0]))
    return tuple(_side(colour, one) for colour, one in both)


def _side(colour: str, one: Mapping[str, Any]) -> Side:
    role = f" ({one['role']})" if one.get("role") else ""
    return Side(one_line(f"{cut(colour, 20)} {cut(str(one.get('version', '')), 80)}{cut(role, 20)}"), as_row(one))


def _table(event: Event) -> list[tuple[str, str]]:
    facts = event.facts
    found = []
    for name, key in (("Asked by", "by"), ("Because", "why"), ("Reason", "reason")):
        if (value := facts.get(key)) and str(value) not in event.text:
            found.append((name, one_line(str(value))))
    if isinstance(took := facts.get("took"), int | float) and took >= 1:
        found.append(("Took", show_duration(round(took))))
    if active := facts.get("active_version"):
        found.append(("Live", one_line(f"{active} on {facts.get('active', '?')}")))
    if event.release:
        found.append(("Release", one_line(event.release)))
    found.append(("Time", datetime.fromtimestamp(event.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")))
    return found


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
