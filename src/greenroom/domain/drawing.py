"""The picture of a release under traffic, as SVG: the candidate's share, and a panel each for errors and p99. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from greenroom.domain.chart import Mark, Sample, Series, Who, questions, shown, thinned

WIDTH, LEFT, RIGHT = 760, 66, 168
_STRIP, _PANEL, _GAP, _ROW = 30, 120, 42, 15
_INK, _FAINT, _GRID = "#1f2937", "#6b7280", "#e5e7eb"
_TINTS = {"blue": "#1d4ed8", "green": "#15803d"}
_MOST = WIDTH - LEFT - RIGHT
_LETTER = 6.3
"""Pixels of a letter, generously: labels are placed without a font at hand."""


@dataclass(frozen=True, slots=True)
class _Time:
    """From a moment to the pixel of its column."""

    begin: float
    span: float

    def x(self, at: float) -> float:
        return LEFT + min(1.0, max(0.0, (at - self.begin) / self.span)) * _MOST


def svg(samples: Sequence[Sample], marks: Sequence[Mark], candidate: Who, baseline: Who | None, title: str) -> str:
    """A whole document; with a sentence in the place of the panels where nothing was measured."""
    if not samples:
        return _document(80, title, [_text(LEFT, 60, "Nothing was measured.", fill=_FAINT)])
    time = _Time(samples[0].at, max(1.0, samples[-1].at - samples[0].at))
    few = thinned(samples, _MOST)
    inside = sorted((m for m in marks if time.begin <= m.at <= time.begin + time.span), key=lambda mark: mark.at)
    rows = _rows(inside, time)
    top = 60 + _ROW * (max(rows, default=-1) + 1)
    parts = _strip(few, time, top, candidate)
    at = top + _STRIP + _GAP
    for series in questions(few):
        parts += _panel(series, few, time, at, candidate, baseline)
        at += _PANEL + _GAP
    bottom = at - _GAP
    parts += _axis(time, bottom)
    for mark, row in zip(inside, rows, strict=True):
        parts += _mark(mark, time, 44 + _ROW * row, bottom)
    return _document(bottom + 44, title, parts)


def _document(height: float, title: str, parts: Iterable[str]) -> str:
    name = _escaped(title)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}" '
        f'role="img" aria-label="{name}" font-family="system-ui, sans-serif" font-size="12" fill="{_INK}">'
    )
    ground = f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>'
    cut = title if len(title) <= 88 else title[:87] + "…"
    return "\n".join([head, f"<title>{name}</title>", ground, _text(14, 24, cut, weight=600), *parts, "</svg>", ""])


def _rows(marks: Sequence[Mark], time: _Time) -> list[int]:
    """Each mark's text in the first row in which it is not over another one."""
    ends: list[float] = []
    rows: list[int] = []
    for mark in marks:
        begin, end = _extent(mark, time)
        row = next((i for i, free in enumerate(ends) if free <= begin), len(ends))
        ends[row:] = [end + 8] if row == len(ends) else [end + 8, *ends[row + 1 :]]
        rows.append(row)
    return rows


def _extent(mark: Mark, time: _Time) -> tuple[float, float]:
    """From where to where its text goes: to the right of its moment, or as far to the left as it needs."""
    long = _LETTER * len(_told(mark))
    begin = max(14.0, min(time.x(mark.at), WIDTH - 14 - long))
    return begin, begin + long


def _told(mark: Mark) -> str:
    text = f"{_clock(mark.at)} {mark.text}"
    return text if len(text) <= 100 else text[:99] + "…"


def _mark(mark: Mark, time: _Time, y: float, bottom: float) -> list[str]:
    x = time.x(mark.at)
    line = f'<path d="M{x:.1f} {y + 3:.1f}V{bottom:.1f}" stroke="{_INK}" stroke-width="1" stroke-dasharray="2 3"/>'
    return [line, _text(_extent(mark, time)[0], y, _told(mark))]


def _strip(samples: Sequence[Sample], time: _Time, top: float, candidate: Who) -> list[str]:
    """The candidate's share as a filled staircase, its last value beside it."""
    known = [(time.x(s.at), s.share) for s in samples if s.share is not None]
    bottom = top + _STRIP
    parts = [
        f'<rect x="{LEFT}" y="{top}" width="{_MOST}" height="{_STRIP}" fill="#f3f4f6"/>',
        _text(LEFT - 8, top + 10, "100 %", fill=_FAINT, anchor="end"),
        _text(LEFT - 8, bottom, "0 %", fill=_FAINT, anchor="end"),
        _text(14, top - 8, f"Traffic to {candidate}", weight=600),
    ]
    if not known:
        return [*parts, _text(LEFT + _MOST + 8, top + 19, "share: not known", fill=_FAINT)]
    path = f"M{known[0][0]:.1f} {bottom}"
    for x, share in known:
        path += f"H{x:.1f}V{bottom - _STRIP * share / 100:.1f}"
    tint = _TINTS.get(candidate.colour, _INK)
    parts.append(f'<path d="{path}H{LEFT + _MOST}V{bottom}Z" fill="{tint}" fill-opacity="0.35"/>')
    return [*parts, _text(LEFT + _MOST + 8, top + 19, f"{known[-1][1]:g} % on {candidate.colour}", fill=tint)]


def _panel(
    series: Series, samples: Sequence[Sample], time: _Time, top: float, candidate: Who, baseline: Who | None
) -> list[str]:
    bottom = top + _PANEL
    name = "Errors, share of requests" if series.unit == "%" else "p99, time to answer"
    parts = [_text(14, top - 14, f"{name} ({series.unit})", weight=600)]
    for part in (0.0, 0.5, 1.0):
        y = bottom - _PANEL * part
        parts.append(f'<path d="M{LEFT} {y:.1f}H{LEFT + _MOST}" stroke="{_GRID}" stroke-width="1"/>')
        parts.append(_text(LEFT - 8, y + 4, shown(series.top * part, series.unit), fill=_FAINT, anchor="end"))
    lines = [(baseline, series.baseline, True)] if baseline is not None else []
    lines.append((candidate, series.candidate, False))
    ends: list[tuple[float, str, str]] = []
    for who, values, dashed in lines:
        tint = _TINTS.get(who.colour, _INK)
        points = [
            (time.x(s.at), bottom - _PANEL * v / series.top if v is not None else None)
            for s, v in zip(samples, values, strict=True)
        ]
        parts += _line(points, tint, dashed=dashed)
        last = next((v for v in reversed(values) if v is not None), None)
        y = bottom - _PANEL * last / series.top if last is not None else bottom
        ends.append((y, f"{_short(str(who))} · {shown(last, series.unit)}", tint))
    return parts + _labels(ends, top, bottom)


def _line(points: Sequence[tuple[float, float | None]], tint: str, *, dashed: bool) -> list[str]:
    """Broken where nothing is known; a single moment is a dot."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            runs.append([])
        else:
            runs[-1].append((x, y))
    dash = ' stroke-dasharray="6 4"' if dashed else ""
    made = []
    for run in (run for run in runs if run):
        if len(run) == 1:
            made.append(f'<circle cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" r="2" fill="{tint}"/>')
            continue
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in run)
        made.append(f'<path d="{path}" fill="none" stroke="{tint}" stroke-width="2" stroke-linejoin="round"{dash}/>')
    return made


def _labels(ends: list[tuple[float, str, str]], top: float, bottom: float) -> list[str]:
    """Beside the lines' ends, moved apart where they would be over each other."""
    ends = sorted(ends)
    ys = [min(max(y + 4, top + 8), bottom) for y, *_ in ends]
    if len(ys) == 2 and ys[1] - ys[0] < _ROW:
        middle = min(max(sum(ys) / 2, top + 8 + _ROW / 2), bottom - _ROW / 2)
        ys = [middle - _ROW / 2, middle + _ROW / 2]
    return [
        _text(LEFT + _MOST + 8, y, text, fill=tint, weight=600) for y, (_, text, tint) in zip(ys, ends, strict=True)
    ]


def _axis(time: _Time, y: float) -> list[str]:
    step = next((s for s in (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600) if time.span / s <= 8), 86400)
    parts, at = [], 0.0
    while at <= time.span:
        x = time.x(time.begin + at)
        parts.append(f'<path d="M{x:.1f} {y}v4" stroke="{_FAINT}"/>')
        parts.append(_text(x, y + 16, _elapsed(at, step), fill=_FAINT, anchor="middle"))
        at += step
    return [*parts, _text(LEFT, y + 34, f"time since {_clock(time.begin)} UTC", fill=_FAINT)]


def _elapsed(seconds: float, step: float) -> str:
    if step < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if step < 3600 else f"{seconds / 3600:.0f} h"


def _text(x: float, y: float, text: str, *, fill: str = _INK, anchor: str = "start", weight: int = 400) -> str:
    look = f'fill="{fill}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{_escaped(text)}</text>'


def _short(text: str) -> str:
    return text if len(text) <= 14 else text[:13] + "…"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def _escaped(text: str) -> str:
    """As XML wants it, without signs that it cannot hold."""
    held = "".join(c if c.isprintable() else " " for c in text)
    return held.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
