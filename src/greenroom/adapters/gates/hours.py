"""Opening hours: spans of the week by the clock on the wall, in a time zone, less freezes.

Open is when that clock shows a time within a span and no freeze is on. So an hour that the clock leaves out in spring
opens nothing, and one that it shows twice in autumn opens twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = timedelta(days=1)
_HORIZON = 366
"""Days in which a window opens, or never does."""
_CLOCK = r"(\d{1,2}):(\d{2})"
_SPAN = re.compile(rf"(?:([A-Za-z][A-Za-z, -]*?)\s+)?{_CLOCK}\s*-\s*{_CLOCK}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """`start`, `end`: minutes of the day; `end` <= `start` is on the day after. `days`: on which it starts, Monday is 0."""

    days: frozenset[int]
    start: int
    end: int

    def holds(self, wall: datetime) -> bool:
        """`wall`: what the clock shows."""
        minute, day = wall.hour * 60 + wall.minute, wall.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or ((day - 1) % 7 in self.days and minute < self.end)


@dataclass(frozen=True, slots=True)
class Freeze:
    """From one reading of the clock to another, not that one included."""

    start: datetime
    end: datetime
    why: str = ""


@dataclass(frozen=True, slots=True)
class Hours:
    """No spans: open at any time that is not frozen."""

    spans: tuple[Span, ...]
    freezes: tuple[Freeze, ...]
    zone: tzinfo

    def open(self, moment: float) -> bool:
        wall = self._wall(moment)
        return self.frozen(moment) is None and (not self.spans or any(span.holds(wall) for span in self.spans))

    def frozen(self, moment: float) -> Freeze | None:
        wall = self._wall(moment)
        return next((freeze for freeze in self.freezes if freeze.start <= wall < freeze.end), None)

    def changes(self, moment: float) -> float | None:
        """When it opens next, if it is closed, or closes; None: not within a year and a day."""
        now = self.open(moment)
        return next((at for at in self._edges(moment) if self.open(at) is not now), None)

    def opens_ever(self) -> bool:
        """No chain of freezes lasts longer than a year."""
        return all(
            self.open(at) or self.changes(at) is not None
            for at in (freeze.start.replace(tzinfo=self.zone).timestamp() for freeze in self.freezes)
        )

    def _wall(self, moment: float) -> datetime:
        return datetime.fromtimestamp(moment, self.zone).replace(tzinfo=None, fold=0)

    def _edges(self, moment: float) -> Iterator[float]:
        """Every moment after this one at which something may change, ascending."""
        day = datetime.combine(self._wall(moment).date() - _DAY, time())
        minutes = {0} | {m for span in self.spans for m in (span.start, span.end)}
        for _ in range(_HORIZON + 2):
            walls = [day + timedelta(minutes=m) for m in minutes]
            walls += [w for f in self.freezes for w in (f.start, f.end) if w.date() == day.date()]
            found = {at for wall in walls for at in self._moments(wall)}
            found |= set(self._turn(day))
            yield from sorted(at for at in found if at > moment and self._wall(at).date() == day.date())
            day += _DAY

    def _moments(self, wall: datetime) -> tuple[float, float]:
        """When the clock shows this: once, or twice; in a gap, neither is right, and the turn of the clock is."""
        there = wall.replace(tzinfo=self.zone)
        return there.timestamp(), there.replace(fold=1).timestamp()

    def _turn(self, day: datetime) -> Sequence[float]:
        """When the clock is put forward or back on this day."""
        low = day.replace(tzinfo=self.zone).timestamp()
        high = (day + _DAY).replace(tzinfo=self.zone, fold=1).timestamp()
        before = self._offset(low)
        if before == self._offset(high):
            return ()
        while high - low > 0.5:
            middle = (low + high) / 2
            low, high = (middle, high) if self._offset(middle) == before else (low, middle)
        return (float(round(high)),)

    def _offset(self, moment: float) -> timedelta | None:
        return datetime.fromtimestamp(moment, self.zone).utcoffset()


def span(text: str) -> Span:
    """`Mon-Fri 09:00-16:00`, `Sat,Sun 22:00-02:00`, `09:00-16:00`. `ValueError` with the way out otherwise."""
    match = _SPAN.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is no span of the week; write it like `Mon-Fri 09:00-16:00`")
    days, hour, minute, last_hour, last_minute = match.groups()
    start, end = _minutes(hour, minute, text), _minutes(last_hour, last_minute, text)
    if start == end:
        raise ValueError(f"{text!r} is empty: it ends when it begins; the whole day is `00:00-24:00`")
    if start == 1440:
        raise ValueError(f"{text!r} begins when the day is over; write 00:00 of the next day")
    return Span(_days(days, text) if days else frozenset(range(7)), start, end)


def wall_clock(text: str) -> tuple[datetime, bool]:
    """A date, or a date with a time, and whether it is a whole day."""
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text.strip()):
            return datetime.fromisoformat(text.strip()), True
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2})?", text.strip()):
            return datetime.fromisoformat(text.strip()), False
    except ValueError as error:
        raise ValueError(f"{text!r} is no date: {error}") from None
    raise ValueError(f"{text!r} is no date; write it like 2026-12-20 or `2026-12-20 18:00` (the clock of `zone`)")


def shown(moment: float, zone: tzinfo, now: float) -> str:
    """For people: the day of the week, and the date where it is not within the next six days."""
    there = datetime.fromtimestamp(moment, zone)
    day = DAYS[there.weekday()] if moment - now < 6 * 86400 else f"{DAYS[there.weekday()]} {there:%Y-%m-%d}"
    return f"{day} {there:%H:%M} {'UTC' if zone is UTC else zone}"


def _minutes(hours: str, minutes: str, text: str) -> int:
    if int(minutes) > 59 or int(hours) * 60 + int(minutes) > 1440:
        raise ValueError(f"{text!r}: {hours}:{minutes} is no time of the day")
    return int(hours) * 60 + int(minutes)


def _days(text: str, whole: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, _, last = part.partition("-")
        start, end = _day(first, whole), _day(last or first, whole)
        found |= {(start + i) % 7 for i in range((end - start) % 7 + 1)}
    return frozenset(found)


def _day(name: str, whole: str) -> int:
    try:
        return [day.lower() for day in DAYS].index(name.lower())
    except ValueError:
        raise ValueError(f"{whole!r}: {name!r} is no day; they are {', '.join(DAYS)}") from None
