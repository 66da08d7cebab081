"""The candidate's windows, and the baseline's of the same length beside them."""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.history import History, difference
from greenroom.domain.model import Colour
from greenroom.domain.plan import Rule
from greenroom.domain.wording import LATENCY

SHORTEST = 30.0
"""Seconds of the baseline that are used at least, where there is so much: a short window of it is mostly chance."""


@dataclass(frozen=True, slots=True)
class Standard:
    """The version before, with which the candidate is compared.

    `beside`: it has its share of users' requests at the same time; else it had all of them until `age` seconds ago.
    `age`: for how long the present split was seen at the router; None: not known. `figures`: what the journal kept of its
    last window, for where the measurements do not reach back so far.
    """

    colour: Colour | None = None
    beside: bool = False
    age: float | None = None
    figures: Figures | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """What one colour's users met, between two samples; None where only the sum is known."""

    figures: Figures
    colour: Colour | None = None
    start: Measurement | None = None
    end: Measurement | None = None

    @property
    def seconds(self) -> float:
        return self.end.at - self.start.at if self.start and self.end else 0.0


class View:
    def __init__(self, history: History, colour: Colour, standard: Standard) -> None:
        self._history, self._colour, self._standard = history, colour, standard
        self.first = history.first.get(colour)
        """When the candidate was first seen to have requests."""

    @property
    def beside(self) -> bool:
        return self._standard.colour is not None and self._standard.beside

    @property
    def begin(self) -> Measurement:
        """The first sample of the present split; the base where that is not known."""
        samples, age = self._history.samples, self._standard.age
        return samples[0] if age is None else self._history.since(samples[-1].at - age)

    def counts_from(self, rule: Rule) -> float:
        """From when on the candidate's requests count: times to answer only after its warm-up."""
        if rule.metric in LATENCY and rule.warm_up and self.first is not None:
            return self.first + rule.warm_up
        return float("-inf")

    def candidate(self, rule: Rule, seconds: float | None) -> Figures:
        """Of the last `seconds`; None: since its first request."""
        samples = self._history.samples
        if len(samples) < 2:
            return Figures()
        last = samples[-1]
        start = samples[0] if seconds is None else self._history.until(last.at - seconds)
        earliest = self.counts_from(rule)
        if start.at < earliest:
            start = self._history.since(earliest)
        return difference(start.of(self._colour), last.of(self._colour))

    def before(self, rule: Rule) -> Figures:
        """What the candidate did in its warm-up."""
        if self.first is None or not rule.warm_up:
            return Figures()
        start, end = self._history.until(self.first), self._history.until(self.first + rule.warm_up)
        return difference(start.of(self._colour), end.of(self._colour))

    def usual(self, seconds: float | None) -> list[Figures]:
        """What the baseline's users met in as long a time: beside the candidate both in the same window and of late."""
        standard, history = self._standard, self._history
        if standard.colour is None or len(history.samples) < 2:
            return [standard.figures] if standard.figures is not None else []
        if not standard.beside:
            return [self._last(seconds).figures]
        since = history.until(self.first) if self.first is not None else history.samples[0]
        long = max(SHORTEST, standard.age or 0.0)
        last = history.samples[-1]
        same = history.until(last.at - seconds) if seconds is not None else since
        return [
            difference(start.of(standard.colour), last.of(standard.colour))
            for start in (same, history.until(last.at - long))
        ]

    def _last(self, seconds: float | None) -> Window:
        """The baseline's last window before the present split, or what the journal kept of it."""
        standard, begin = self._standard, self.begin
        if standard.colour is None or standard.age is None:
            return Window(standard.figures or Figures())
        length = max(SHORTEST, standard.age if seconds is None else seconds)
        start = self._history.until(begin.at - length)
        found = self._between(standard.colour, start, begin)
        enough = standard.figures is None or found.figures.requests >= standard.figures.requests
        return found if enough or found.seconds >= length else Window(standard.figures or Figures())

    def pair(self, rule: Rule, end: Measurement, seconds: float | None) -> tuple[Window, Window] | None:
        """Candidate and baseline up to `end`, over the last `seconds` or since the present split, for a comparison."""
        start = self.begin if seconds is None else self._history.since(max(self.begin.at, end.at - seconds))
        earliest = self.counts_from(rule)
        if start.at < earliest:
            start = self._history.since(earliest)
        if start.at >= end.at:
            return None
        ours = self._between(self._colour, start, end)
        if self.beside and self._standard.colour is not None:
            return ours, self._between(self._standard.colour, start, end)
        return ours, self._last(ours.seconds)

    def blocks(self, window: Window) -> list[Figures]:
        """It in parts, in order of time; empty where they are not known."""
        if window.colour is None or window.start is None or window.end is None:
            return []
        return self._history.blocks(window.colour, window.start, window.end)

    def _between(self, colour: Colour, start: Measurement, end: Measurement) -> Window:
        return Window(difference(start.of(colour), end.of(colour)), colour, start, end)
