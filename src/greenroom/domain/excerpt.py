"""The end of a program's output as evidence: what repeats itself is said once. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

LONGEST = 12
"""Lines of the longest block whose repetition is looked for: a stack trace of an endless restart."""

_DIGITS = re.compile(r"(?<![0-9])(?!(?<![\w.:/-])[1-5][0-9]{2}(?![\w.:/-]))[0-9]+")
"""Numbers, but for what may be the status of an answer: 200 and 500 are not alike."""


def condensed(lines: Sequence[str]) -> list[str]:
    """Blocks of lines that differ only in their numbers (times, ports) are shown once, the last, with how often.

    What is cut off at the beginning of a block that repeats is left out.
    """
    alike = [_DIGITS.sub("0", line) for line in lines]
    shown: list[str] = []
    end = len(lines)
    while end:
        size, times = _repeated(alike[:end])
        if times < 3 and size * times < 6:
            shown.insert(0, lines[end - 1])
            end -= 1
            continue
        shown[:0] = [*lines[end - size : end], _often(times)]
        end -= size * times
        cut = min(end, size - 1)  # the rest of one more, whose beginning is not here
        if cut == end and alike[:end] == alike[end + size - cut : end + size]:
            end = 0
    return shown


def kinds(lines: Sequence[str]) -> frozenset[str]:
    """What stands in them, whatever the numbers are: two ends of one output are alike however far they reach back."""
    return frozenset(_DIGITS.sub("0", line.strip()) for line in lines) - {_DIGITS.sub("0", _often(0))}


def _often(times: int) -> str:
    return f"(the same {times} times)"


def _repeated(alike: Sequence[str]) -> tuple[int, int]:
    """The size of the block that fills most of the end by repeating itself, and how often it stands there."""
    best = (1, 1)
    for size in range(1, min(LONGEST, len(alike) // 2) + 1):
        block, times = alike[-size:], 1
        while alike[-size * (times + 1) : -size * times] == block:
            times += 1
        if times > 1 and size * times > best[0] * best[1]:
            best = (size, times)
    return best
