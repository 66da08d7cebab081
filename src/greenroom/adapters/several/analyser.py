"""What users met at the routers of several hosts, counted together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import ClassVar

from greenroom.adapters.several.answers import apart, said
from greenroom.adapters.several.side_by_side import Pool, SideBySide
from greenroom.domain.figures import Figures, Measurement
from greenroom.errors import Temporary
from greenroom.ports import Analyser, Capability

_NUMBERS = count(1)


@dataclass(slots=True)
class _Counted:
    """One router's counters as last read, and what it had counted before they began anew."""

    last: Measurement
    blue: Figures = field(default_factory=Figures)
    green: Figures = field(default_factory=Figures)
    mirrored: Figures = field(default_factory=Figures)


class SeveralAnalysers:
    """A router that began its counters anew goes on from where it was: the counters of the others say nothing else then,
    and must not be taken for new. So the sum begins anew only with this object.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    def __init__(self, members: Mapping[str, Analyser], pool: Pool | None = None) -> None:
        self._members, self._pool = dict(members), pool or SideBySide()
        common = frozenset.intersection(*(member.capabilities for member in self._members.values()))
        self.capabilities = common  # type: ignore[misc]  # of this one: what all of its hosts can do
        self._incarnation = f"several-{next(_NUMBERS)}"
        self._counted: dict[str, _Counted] = {}

    def measure(self) -> Measurement:
        """`Temporary` where one cannot be read: a part of the users is not all of them."""
        given, unseen = apart(self._pool.look("measure", {name: m.measure for name, m in self._members.items()}))
        if unseen:
            raise Temporary(said(unseen))
        parts = [self._continued(name, measured) for name, measured in given.items()]
        blue, green, mirrored = (total(those) for those in zip(*parts, strict=True))
        return Measurement(max(m.at for m in given.values()), self._incarnation, blue, green, mirrored)

    def _continued(self, name: str, now: Measurement) -> tuple[Figures, Figures, Figures]:
        before = self._counted.setdefault(name, _Counted(now))
        if before.last.incarnation != now.incarnation:
            last = before.last
            before.blue, before.green = total((before.blue, last.blue)), total((before.green, last.green))
            before.mirrored = total((before.mirrored, last.mirrored))
        before.last = now
        earlier = (before.blue, before.green, before.mirrored)
        blue, green, mirrored = (total(pair) for pair in zip(earlier, (now.blue, now.green, now.mirrored), strict=True))
        return blue, green, mirrored


def total(parts: Iterable[Figures]) -> Figures:
    """Of a bound that only some know, the others give the next lower one's count."""
    figures = list(parts)
    statuses: Counter[str] = Counter()
    for part in figures:
        statuses.update(part.statuses)
    bounds = sorted({bound for part in figures for bound, _ in part.latency})
    latency = tuple((bound, sum(_up_to(part, bound) for part in figures)) for bound in bounds)
    return Figures(
        sum(p.requests for p in figures),
        sum(p.errors for p in figures),
        dict(statuses),
        latency,
        sum(p.shielded for p in figures),
    )


def _up_to(figures: Figures, bound: float) -> int:
    return max((n for b, n in figures.latency if b <= bound), default=0)
