"""Plain text for people: colours, widths, times. Standard library only and cheap to import: `status` needs it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "good": "32", "warn": "33", "blue": "34;1", "green": "32;1"}

NARROWEST, WIDEST = 60, 120


class Ink:
    """Colours a text, or leaves it as it is. Pad before you colour: the codes have a length, but no width."""

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, text: str, style: str) -> str:
        if not self.on or not text or style not in _CODES:
            return text
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def terminal(stream: TextIO) -> bool:
    """Is somebody looking who can see lines change?"""
    try:
        return stream.isatty() and os.environ.get("TERM", "") != "dumb"
    except ValueError:  # it was closed
        return False


def ink_for(stream: TextIO) -> Ink:
    return Ink(terminal(stream) and not os.environ.get("NO_COLOR"))


def width_of(stream: TextIO) -> int:
    """Columns to fill: the terminal's, or those of COLUMNS, within reason; 80 where nobody says."""
    columns = os.environ.get("COLUMNS", "")
    wide = int(columns) if columns.isdigit() else 0
    if not wide:
        try:
            wide = os.get_terminal_size(stream.fileno()).columns
        except (OSError, ValueError):
            wide = 0
    return min(max(wide or 80, NARROWEST), WIDEST)


def wrapped(text: str, width: int, indent: str = "", first: str | None = None) -> list[str]:
    """Lines of at most `width` characters, broken between words. Lines of the text itself are kept."""
    lines: list[str] = []
    lead = indent if first is None else first
    for paragraph in text.splitlines() or [""]:
        line = lead
        for word in _pieces(paragraph, width - len(indent)):
            if len(line) > len(lead) and len(line) + 1 + len(word) > width:
                lines.append(line)
                line = lead = indent
            line += word if line == lead else f" {word}"
        lines.append(line.rstrip())
        lead = indent
    return lines


def _pieces(paragraph: str, width: int) -> Iterable[str]:
    """Words; one that is longer than a line is cut, what stands between backticks stays together if it fits."""
    held = ""
    for word in paragraph.split():
        held = f"{held} {word}" if held else word
        if held.count("`") % 2 and len(held) < width:
            continue
        while len(held) > max(width, 20):
            yield held[: max(width, 20)]
            held = held[max(width, 20) :]
        yield held
        held = ""
    if held:
        yield held


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def plain(text: str) -> str:
    """Without control characters: what an application wrote must not move a terminal's cursor."""
    return "".join(c if c.isprintable() or c == "\t" else "·" for c in text.expandtabs(4))


def columns(rows: Iterable[Iterable[str]], gap: str = "  ", heads: Iterable[str] = ()) -> list[str]:
    """Left-aligned, as wide as needed; no spaces at the end."""
    table = [list(row) for row in ([heads] if heads else [])] + [list(row) for row in rows]
    wide = [max(len(cell) for cell in cells) for cells in zip(*table, strict=True)]
    return [gap.join(cell.ljust(w) for cell, w in zip(row, wide, strict=True)).rstrip() for row in table]


def span(seconds: float) -> str:
    """`4 s`, `3 min`, `1 h 20 min`, `2 d 3 h`."""
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{int(seconds)} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min" if minutes >= 10 or not int(seconds % 60) else f"{minutes} min {int(seconds % 60)} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours and days < 10 else f"{days} d"


def ago(at: float, now: float) -> str:
    """`just now`, `40 s ago`, `3 min ago`, `30 h ago`, `5 d ago`."""
    seconds = now - at
    for unit, size, least in (("d", 86400, 172800), ("h", 3600, 3600), ("min", 60, 60), ("s", 1, 1)):
        if seconds >= least:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def clock(at: float, now: float | None = None, *, exact: bool = False) -> str:
    """Local time: `14:32`, with the day where it is another than today's."""
    there = time.localtime(at)
    text = time.strftime("%H:%M:%S" if exact else "%H:%M", there)
    if now is None:
        return text
    here = time.localtime(now)
    if (there.tm_year, there.tm_yday) == (here.tm_year, here.tm_yday):
        return text
    for shift, word in ((86400, "tomorrow"), (-86400, "yesterday")):
        near = time.localtime(now + shift)
        if (there.tm_year, there.tm_yday) == (near.tm_year, near.tm_yday):
            return f"{word} {text}"
    day = f"{there.tm_mon:02}-{there.tm_mday:02}"
    return f"{day} {text}" if there.tm_year == here.tm_year else f"{there.tm_year}-{day} {text}"


def stamp(at: float) -> str:
    """Date and time, local, to the second: for histories."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def number(value: float) -> str:
    """`0`, `0.4`, `12`, `1,204`: as exact as one reads it."""
    if value == 0 or value >= 10:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value < 1 else f"{value:.1f}".removesuffix(".0")


def rate_line(rates: Mapping[str, object]) -> str:
    """`148 requests/s, no errors, p99 12 ms`."""
    asked, wrong, slow = (rates.get(name) for name in ("requests_per_s", "errors_per_s", "p99_ms"))
    if not isinstance(asked, int | float):
        return ""
    parts = [f"{number(float(asked))} requests/s"]
    if isinstance(wrong, int | float) and (wrong or asked):
        parts.append(f"{number(float(wrong))} errors/s" if wrong else "no errors")
    if isinstance(slow, int | float):
        parts.append(f"p99 {number(float(slow))} ms")
    return ", ".join(parts)
