"""Counting answers inside HAProxy, without an `if` for each step of latency: a row of a table for each of them.

    blue:200:4:6      answers of blue with status 200 after four digits of microseconds that begin with 30 to 34

The first two digits, divided by 5, are 18 steps between a power of ten and the next.
"""

from __future__ import annotations

import bisect
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf

from greenroom.domain.model import Colour

BOUNDS = tuple(float(f"{step}e{power}") for power in range(-1, 5) for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8))
"""Upper bounds of latency in ms, as it is told; each is one of the table's as well."""
TABLE = "stick-table type string len 24 size 10k store gpc0"

_ROW = re.compile(r"key=(blue|green):(\d+)(?::(\d+):(-?\d+))? .*?((?:gpc\d+=\d+ ?)+)$", re.MULTILINE)
_COUNT = re.compile(r"=(\d+)")


def rules(inner: str, counter: int, table: str, colour: Colour) -> list[str]:
    """Lines of a backend. The time is that to the first byte: downloads do not look slow."""
    begin, took, key = (f"{inner}{name}" for name in ("begin", "took", "key"))
    bucket = f"%[var({took}),length]:%[var({took}),concat(),bytes(0,2),concat(),div(5)]"
    return [
        f"http-request set-var({begin}) date(0,us)",
        f"http-response set-var({took}) date(0,us),sub({begin})",
        f"http-response set-var-fmt({key}) {colour}:%[status]:{bucket}",
        f"http-response track-sc{counter} var({key}) table {table}",
        f"http-response sc-inc-gpc0({counter})",
    ]


@dataclass
class Answers:
    """What one colour answered."""

    statuses: Counter[str] = field(default_factory=Counter)
    steps: Counter[int] = field(default_factory=Counter)

    @property
    def latency(self) -> tuple[tuple[float, int], ...]:
        """Cumulative; nothing where nothing was timed."""
        counts = accumulate(self.steps[number] for number in range(len(BOUNDS) + 1))
        return tuple(zip((*BOUNDS, inf), counts, strict=True)) if self.steps else ()


def read(text: str) -> dict[Colour, Answers]:
    """Of `show table`. Until it is reloaded, HAProxy has the file of an earlier Greenroom: rows without steps."""
    found = {colour: Answers() for colour in Colour}
    for colour, status, digits, first, counters in _ROW.findall(text):
        count = sum(int(number) for number in _COUNT.findall(counters))
        answers = found[Colour(colour)]
        answers.statuses[status] += count
        if digits:
            answers.steps[bisect.bisect_left(BOUNDS, bound(int(digits), int(first)))] += count
    return found


def bound(digits: int, first: int) -> float:
    """The ms that all in such a row are below."""
    return float((first + 1) * 5 * 10 ** max(0, digits - 2)) / 1000
