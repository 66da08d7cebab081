"""The timeline as a picture: who answered, what failed, what was lost, and what was done meanwhile. PNG and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenroom.demo.log import Request
from greenroom.demo.table import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# After Okabe and Ito: colour-blind people can tell them apart; the green is light, so that grey print shows it too.
FILL = {"blue": "#0072B2", "green": "#66C2A5"}
INK = {"blue": "#ffffff", "green": "#0b3d2e"}
BAD, LOST, TEXT, FAINT = "#D55E00", "#000000", "#1d2330", "#8a93a3"
BIN = 0.2
PIXELS = (1200, 600)
LABEL_ROWS = 3


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was done or seen at a moment (`at` on the clock of the log). `loud`: what the story is about."""

    at: float
    text: str
    loud: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """Requests a second in bins of BIN seconds, by the moment they were sent."""

    times: list[float]
    good: dict[str, list[float]]
    bad: list[float]
    lost: list[float]


def series(requests: Sequence[Request], begin: float, end: float) -> Series:
    bins = max(1, int((end - begin) / BIN) + 1)
    found = Series([i * BIN for i in range(bins)], {c: [0.0] * bins for c in FILL}, [0.0] * bins, [0.0] * bins)
    for request in requests:
        place = min(bins - 1, max(0, int((request.at - begin) / BIN)))
        row = found.lost if request.lost else found.bad if request.bad else found.good.get(request.colour, found.lost)
        row[place] += 1 / BIN
    return found


def stretches(requests: Sequence[Request]) -> list[tuple[str, str, float, float]]:
    """(version, colour, from, to) of each time that one release gave the good answers, short overlaps left out."""
    goods = sorted((r for r in requests if r.good), key=lambda r: r.at)
    found: list[tuple[str, str, float, float]] = []
    for (version, colour), group in groupby(goods, key=lambda r: (r.version, r.colour)):
        times = [r.at for r in group]
        if found and found[-1][:2] == (version, colour):
            found[-1] = (version, colour, found[-1][2], times[-1])
        elif times[-1] - times[0] >= BIN or not found:
            found.append((version, colour, times[0], times[-1]))
    return found


def draw(requests: Sequence[Request], events: Sequence[Event], folder: Path, title: str) -> list[Path]:
    """Write timeline.png and timeline.svg into the folder. `ImportError` where matplotlib is not installed."""
    import matplotlib

    style: Any = {"font.family": "DejaVu Sans", "font.size": 10, "svg.hashsalt": "greenroom"}
    with matplotlib.rc_context(style):
        figure = _figure(requests, events, title)
        paths = [folder / "timeline.png", folder / "timeline.svg"]
        for path in paths:
            figure.savefig(path, dpi=100, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def _figure(requests: Sequence[Request], events: Sequence[Event], title: str) -> Figure:
    from matplotlib.figure import Figure

    begin = min((r.at for r in requests), default=0.0)
    end = max((r.answered for r in requests), default=begin + 1)
    figure = Figure(figsize=(PIXELS[0] / 100, PIXELS[1] / 100), facecolor="white")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    figure.subplots_adjust(left=0.06, right=0.985, top=0.775, bottom=0.085, hspace=0.28)
    found = series(requests, begin, end)
    _traffic(above, found, requests, begin)
    _failures(below, found, sum(r.lost for r in requests))
    _events(figure, above, below, [e for e in events if begin - 5 <= e.at <= end + 5], begin, end)
    figure.text(0.06, 0.945, title, fontsize=15, fontweight="bold", color=TEXT)
    figure.text(0.06, 0.91, "requests a second, by the colour that answered them", fontsize=9.5, color=FAINT)
    return figure


def _plain(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(colors=FAINT, labelcolor=TEXT, length=3)
    axes.grid(axis="y", color="#e6e9ee", linewidth=0.8)
    axes.set_axisbelow(True)


def _traffic(axes: Axes, found: Series, requests: Sequence[Request], begin: float) -> None:
    _plain(axes)
    layers = [found.good["blue"], found.good["green"], found.bad, found.lost]
    axes.stackplot(found.times, layers, colors=[*FILL.values(), BAD, LOST], step="post", linewidth=0)
    top = max((sum(layer[i] for layer in layers) for i in range(len(found.times))), default=1.0) or 1.0
    axes.set_ylim(0, top * 1.05)
    axes.set_xlim(0, found.times[-1] + BIN)
    for version, colour, since, until in stretches(requests):
        if until - since < found.times[-1] * 0.05:
            continue
        middle = (since + until) / 2 - begin
        axes.text(middle, top * 0.42, f"release {version}\n{colour}", ha="center", va="center", fontsize=11,
                  fontweight="bold", color=INK.get(colour, TEXT), linespacing=1.4, zorder=5,
                  bbox={"facecolor": FILL.get(colour, "white"), "edgecolor": "none", "pad": 3})  # fmt: skip


def _failures(axes: Axes, found: Series, lost: int) -> None:
    bad = sum(found.bad) * BIN
    _plain(axes)
    axes.bar(found.times, found.bad, width=BIN, align="edge", color=BAD)
    axes.bar(found.times, found.lost, width=BIN, align="edge", color=LOST, bottom=found.bad)
    axes.set_ylim(0, max([1.0, *(b + x for b, x in zip(found.bad, found.lost, strict=True))]) * 1.15)
    axes.text(
        0, 1.1, f"answers with an error: {number(round(bad))}", color=BAD, transform=axes.transAxes, fontweight="bold"
    )
    axes.text(0.21, 1.1, f"requests lost: {number(lost)}", color=LOST, transform=axes.transAxes, fontweight="bold")
    axes.set_xlabel("seconds", color=TEXT, labelpad=1)


def _events(figure: Figure, above: Axes, below: Axes, events: Sequence[Event], begin: float, end: float) -> None:
    """A line for each event, its text above the picture, in as many rows as are needed to keep the texts apart."""
    ends = [float("-inf")] * LABEL_ROWS
    second = (figure.get_figwidth() * 100 * 0.925) / max(end - begin, 1.0)  # pixels
    for event in sorted(events, key=lambda e: e.at):
        at = min(max(event.at - begin, 0.0), end - begin)
        width = (len(event.text) * 6.4 + 14) / second
        left = at + width > end - begin
        row = next((i for i, taken in enumerate(ends) if (at - width if left else at) > taken), ends.index(min(ends)))
        ends[row] = at if left else at + width
        for axes in (above, below):
            line = "-" if event.loud else (0, (3, 2))
            axes.axvline(at, color=TEXT if event.loud else FAINT, linewidth=1.2 if event.loud else 0.8, linestyle=line)
        height = 1.05 + 0.068 * row
        above.plot(
            [at, at], [1, height], transform=above.get_xaxis_transform(), clip_on=False, linewidth=0.8, color=FAINT
        )
        above.text(at, height, f"{event.text} " if left else f" {event.text}", transform=above.get_xaxis_transform(),
                   ha="right" if left else "left", va="center", fontsize=9, color=TEXT,
                   fontweight="bold" if event.loud else "normal", zorder=6,
                   bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})  # fmt: skip
