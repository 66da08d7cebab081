"""The picture of a release, from what the recorder kept: some lines for the terminal, and a file for a browser.

The file is drawn when the release has ended, and again whenever somebody asks for it.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TextIO

from greenroom.domain.chart import Mark, Sample, Who, one_line, terminal
from greenroom.domain.drawing import svg
from greenroom.domain.figures import Figures
from greenroom.domain.history import difference, quantile
from greenroom.domain.phases import Phase
from greenroom.domain.records import Entry, Judged, Moved
from greenroom.domain.release import Release, Service
from greenroom.engine.recorder import MEASUREMENTS, Recorded, recorded

FOLDER = "pictures"

KEPT = 20
"""Pictures."""

BEFORE = 15.0
"""Seconds before its first traffic that are shown."""

_SHORT = 44


@dataclass(frozen=True, slots=True)
class Shown:
    """What there is to draw; no samples: nothing."""

    samples: tuple[Sample, ...]
    marks: tuple[Mark, ...]
    candidate: Who
    baseline: Who | None
    title: str

    def lines(self, width: int, stream: TextIO, ink: Callable[[str, str], str]) -> list[str]:
        """For the terminal, none wider than `width`."""
        plain = "utf" not in (stream.encoding or "").lower()
        return terminal(self.samples, self.marks, self.candidate, self.baseline, width, ascii=plain, ink=ink)


def shown(state: Path, name: str, release: Release, entries: Sequence[Entry]) -> Shown:
    """`entries`: the release's own. From shortly before its first traffic on."""
    kept, marks = recorded(state / MEASUREMENTS, release.id), marks_of(release, entries)
    first = min([one.at for one in kept if one.share] + [mark.at for mark in marks], default=math.inf)
    samples = samples_of(release, [one for one in kept if one.at >= first - BEFORE])
    baseline = release.baseline
    title = f"{name}: {release.id}, {release.version} on {release.colour}"
    return Shown(
        tuple(samples),
        tuple(_inside(marks, samples)),
        Who(str(release.colour), release.version),
        Who(str(baseline.colour), baseline.version) if baseline is not None else None,
        title + (f", {baseline.version} before it" if baseline is not None else ""),
    )


def _inside(marks: Sequence[Mark], samples: Sequence[Sample]) -> list[Mark]:
    """What happened a moment before the first sample or after the last one stands at its side."""
    if not samples:
        return []
    first, last = samples[0].at, samples[-1].at
    return [Mark(min(max(mark.at, first), last), mark.text) for mark in marks]


def samples_of(release: Release, kept: Sequence[Recorded]) -> list[Sample]:
    """What was counted between one and the next. Counters that began anew begin at nothing."""
    found = [Sample(kept[0].at, kept[0].share)] if kept else []
    for before, after in pairwise(kept):
        same = before.measurement.incarnation == after.measurement.incarnation
        ours, theirs = (
            difference(before.measurement.of(c) if same else Figures(), after.measurement.of(c))
            for c in (release.colour, release.colour.other)
        )
        found.append(Sample(after.at, after.share, _errors(ours), _p99(ours), _errors(theirs), _p99(theirs)))
    return found


def _errors(figures: Figures) -> float | None:
    return figures.errors / figures.requests if figures.requests else None


def _p99(figures: Figures) -> float | None:
    value = quantile(figures, 0.99)
    return value if value is not None and math.isfinite(value) else None


def marks_of(release: Release, entries: Sequence[Entry]) -> list[Mark]:
    """When each share was seen at the router, when it was decided, and when the traffic was back."""
    marks, back = [], False
    for entry in entries:
        match entry.record:
            case Judged(subject="live", memo=memo) if memo is not None:
                share = memo.get(str(release.colour), 0)
                if back and release.baseline is not None:
                    text = f"traffic back to {release.baseline.colour}"
                else:
                    text = f"{share} % to {release.colour}"
                marks.append(Mark(entry.at, text))
            case Moved(to=Phase.ROLLING_BACK | Phase.FAILED, why=why):
                back = True
                reason = one_line((why.splitlines() or [""])[0])
                marks.append(Mark(entry.at, "verdict: " + (reason if len(reason) <= _SHORT else f"{reason[:_SHORT]}…")))
            case Moved(to=Phase.BAKE):
                marks.append(Mark(entry.at, "bake"))
            case _:
                pass
    return marks


def written(state: Path, release: str, picture: Shown) -> Path | None:
    """Its file, written anew; None where there is nothing to draw, or it cannot be written, which harms nothing."""
    if not picture.samples:
        return None
    folder = state / FOLDER
    path = folder / f"{release.replace('/', '_')}.svg"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}.new")
        beside.write_text(
            svg(picture.samples, picture.marks, picture.candidate, picture.baseline, picture.title), encoding="utf-8"
        )
        os.replace(beside, path)
        every = sorted(folder.glob("*.svg"), key=lambda p: (len(p.name), p.name))
        for old in [p for p in every if p != path][: max(0, len(every) - KEPT)]:
            old.unlink(missing_ok=True)
        return path
    return None


class Album:
    """Draws each release once, when it has ended, so that who is told of the end finds the picture."""

    def __init__(self, state: Path, name: str, entries: Callable[[], Sequence[Entry]]) -> None:
        """`entries`: all of the journal."""
        self._state, self._name, self._entries = state, name, entries
        self._drawn = ""

    def step(self, service: Service) -> None:
        release = service.release
        if release is None or release.running or release.id == self._drawn:
            return
        own = [entry for entry in self._entries() if entry.record.release == release.id]
        written(self._state, release.id, shown(self._state, self._name, release, own))
        self._drawn = release.id
