"""The picture of a release under traffic, from what was measured: for a terminal here, for a page in `drawing`. Pure.

Both show the same: errors and p99 of both colours over time, at the same scale, and when what happened. Which line is
which is written beside it; colour and dashes only help.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

_BLOCKS, _ASCII = "▁▂▃▄▅▆▇█", "_.-=+*%#"


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment. `at`: seconds since 1970. `share`: the candidate's, in percent. Errors: shares of 1; p99: milliseconds.

    None: not known then, which is no zero.
    """

    at: float
    share: float | None = None
    errors: float | None = None
    p99: float | None = None
    baseline_errors: float | None = None
    baseline_p99: float | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened: `switch to 10 %`, `verdict: error rate`."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Who:
    """A line's name: `green`, `1.5`."""

    colour: str
    version: str

    def __str__(self) -> str:
        return one_line(f"{self.colour} {self.version}")


@dataclass(frozen=True, slots=True)
class Series:
    """One of the two questions: its values by time for candidate and baseline, in the unit that is shown."""

    name: str
    unit: str
    candidate: tuple[float | None, ...]
    baseline: tuple[float | None, ...]
    least: float
    """The scale goes at least so far, so that noise does not look like a mountain."""

    @property
    def top(self) -> float:
        known = [v for v in (*self.candidate, *self.baseline) if v is not None]
        return _round_up(max([self.least, *known]))


def questions(samples: Sequence[Sample]) -> tuple[Series, Series]:
    """What is not finite is not known."""

    def values(name: str, times: float) -> tuple[float | None, ...]:
        found = (getattr(sample, name) for sample in samples)
        return tuple(v * times if v is not None and math.isfinite(v) else None for v in found)

    return (
        Series("errors", "%", values("errors", 100), values("baseline_errors", 100), 1.0),
        Series("p99", "ms", values("p99", 1), values("baseline_p99", 1), 10.0),
    )


def thinned(samples: Sequence[Sample], most: int) -> list[Sample]:
    """At most so many, each the worst of its stretch: what was bad for a moment stays to be seen."""
    if len(samples) <= most:
        return list(samples)
    begin, span = samples[0].at, (samples[-1].at - samples[0].at) or 1.0
    groups: dict[int, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(min(most - 1, int((sample.at - begin) / span * most)), []).append(sample)
    return [_worst(group) for _, group in sorted(groups.items())]


def _worst(group: Sequence[Sample]) -> Sample:
    def most(name: str) -> float | None:
        return max((v for s in group if (v := getattr(s, name)) is not None and not math.isnan(v)), default=None)

    names = ("errors", "p99", "baseline_errors", "baseline_p99")
    return Sample(group[0].at, group[-1].share, *(most(name) for name in names))


def _round_up(value: float) -> float:
    """1, 2, 5, 10, 20, 50 …"""
    size = 10.0 ** math.floor(math.log10(value))
    return float(next(step * size for step in (1, 2, 5, 10) if step * size >= value * (1 - 1e-9)))


def shown(value: float | None, unit: str) -> str:
    """At most nine characters."""
    if value is None:
        return "—"
    if value >= (3_600_000 if unit == "ms" else 1000):
        return "> 1 h" if unit == "ms" else f"> 999 {unit}"
    if unit == "ms" and value >= 10_000:
        return f"{value / 1000:.3g} s"
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.2g} {unit}"


# --- for a terminal ---------------------------------------------------------------------------------------------------


def terminal(
    samples: Sequence[Sample],
    marks: Sequence[Mark],
    candidate: Who,
    baseline: Who | None,
    width: int = 80,
    *,
    ascii: bool = False,
    ink: Callable[[str, str], str] | None = None,
) -> list[str]:
    """A line for the scales, one for each colour, and two for the marks if there are any; none wider than `width`. Nothing
    without data.

    `ink(text, style)` colours a text without changing its width; the styles are `dim` and the colours' names.
    """
    if not samples:
        return []
    ink = ink or _plain
    who = [candidate] + ([baseline] if baseline is not None else [])
    label = min(max(len(str(one)) for one in who), max(8, width // 5))
    each = max(4, (width - label - 2 - 2 * 11 - 3) // 2)
    few = _columns(samples, each)
    both = questions([sample or Sample(0.0) for sample in few])
    signs = _ASCII if ascii else _BLOCKS
    heads = [f"{q.name}, scale to {shown(q.top, q.unit)}"[: each + 10].ljust(each + 10) for q in both]
    lines = [ink(_fit("", label) + "  " + "   ".join(heads).rstrip(), "dim")]
    for one, name in zip(who, ("candidate", "baseline"), strict=False):
        parts = []
        for question in both:
            values: tuple[float | None, ...] = getattr(question, name)
            now = next((v for v in reversed(values) if v is not None), None)
            told = shown(now, question.unit).replace("—", "-" if ascii else "—")
            parts.append(ink(_sparkline(values, question.top, signs), one.colour) + f" {told:<9}")
        lines.append(f"{_fit(str(one), label, ascii=ascii)}  " + "   ".join(parts).rstrip())
    below, meaning = _pointers(samples, marks, each)
    if below:
        lines += [ink(_fit("", label) + "  " + below, "dim"), ink(_fit(meaning, width, ascii=ascii).rstrip(), "dim")]
    return lines


def _plain(text: str, style: str) -> str:  # noqa: ARG001
    return text


def _columns(samples: Sequence[Sample], count: int) -> list[Sample | None]:
    """One for each column: the worst of its stretch of time; with fewer samples than columns, the one before."""
    begin, span = samples[0].at, (samples[-1].at - samples[0].at) or 1.0
    found: list[list[Sample]] = [[] for _ in range(count)]
    for sample in samples:
        found[min(count - 1, int((sample.at - begin) / span * count))].append(sample)
    columns: list[Sample | None] = []
    for group in found:
        columns.append(_worst(group) if group else columns[-1] if columns else None)
    return columns


def _sparkline(values: Iterable[float | None], top: float, signs: str) -> str:
    def sign(value: float | None) -> str:
        return " " if value is None else signs[min(len(signs) - 1, math.ceil(value / top * (len(signs) - 1)))]

    return "".join(sign(value) for value in values)


def _pointers(samples: Sequence[Sample], marks: Sequence[Mark], each: int) -> tuple[str, str]:
    """A number below the column of each of the last marks, in both panels; and what the numbers mean."""
    begin, span = samples[0].at, (samples[-1].at - samples[0].at) or 1.0
    inside = sorted((m for m in marks if begin <= m.at <= begin + span), key=lambda mark: mark.at)[-min(9, each) :]
    places: list[int] = []
    for mark in inside:
        places.append(max(places[-1] + 1 if places else 0, int((mark.at - begin) / span * each)))
    line = [" "] * each
    for number in range(len(inside), 0, -1):  # what is too far to the right moves to the left
        places[number - 1] = min([places[number - 1], each - 1, *(place - 1 for place in places[number : number + 1])])
        line[places[number - 1]] = str(number)
    below = "".join(line)
    return f"{below}{' ' * 13}{below}".rstrip(), "  ".join(
        f"{n} {one_line(mark.text)}" for n, mark in enumerate(inside, 1)
    )


def one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _fit(text: str, width: int, *, ascii: bool = False) -> str:
    if len(text) > width:
        text = text[: max(0, width - 1)] + ("." if ascii else "…")
    return text.ljust(width)
