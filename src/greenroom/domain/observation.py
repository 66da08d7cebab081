"""What was seen of the world at one look, and which facts a decision needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from greenroom.domain.assess import History
from greenroom.domain.figures import Reading
from greenroom.domain.model import ArtefactStatus, Colour, EnvironmentStatus, Routing
from greenroom.domain.opinion import Finding
from greenroom.domain.phases import Phase
from greenroom.domain.release import Service


class Need(StrEnum):
    """A fact. The engine asks the port that knows it."""

    ARTEFACT = "artefact"
    BLUE = "blue"
    GREEN = "green"
    ROUTING = "routing"
    MEASUREMENT = "measurement"
    WATCHES = "watches"

    @classmethod
    def environment(cls, colour: Colour) -> Need:
        return cls.BLUE if colour is Colour.BLUE else cls.GREEN


@dataclass(frozen=True, slots=True)
class Watched:
    """A watch's last answer, and how many failures in a row it ends."""

    finding: Finding
    at: float
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """One look. A fact that could not be had is None, and `unseen` says why: unknown is an answer of its own."""

    artefact: ArtefactStatus | None = None
    blue: EnvironmentStatus | None = None
    green: EnvironmentStatus | None = None
    routing: Routing | None = None
    history: History = field(default_factory=History)
    watches: Mapping[str, Watched] = field(default_factory=dict)
    readings: Mapping[str, tuple[Reading, ...]] = field(default_factory=dict)
    """By `Rule.source`: what the sources of the analysis said, in order of time."""
    unseen: Mapping[Need, str] = field(default_factory=dict)

    def environment(self, colour: Colour) -> EnvironmentStatus | None:
        return self.blue if colour is Colour.BLUE else self.green


SOON, QUICK, CALM, IDLE = 0.05, 0.2, 1.0, 2.0
"""Ages in seconds that a fact may have: somebody waits for it, traffic just moved, at work, when nothing happens."""


def needs(service: Service, now: float) -> Mapping[Need, float]:
    """The facts that the next decision needs, and how old (seconds) each may be."""
    release = service.running
    if release is None:
        age = QUICK if _clearing(service, now) else IDLE
        return {Need.ROUTING: age, Need.BLUE: age, Need.GREEN: age}
    if release.phase is Phase.BUILD:
        calm = dict.fromkeys((Need.ROUTING, Need.BLUE, Need.GREEN, Need.MEASUREMENT), CALM)
        return {Need.ARTEFACT: SOON, **calm}
    if release.phase in (Phase.SHIFT, Phase.BAKE) and release.live_since is not None:
        age = QUICK if release.phase is Phase.SHIFT and release.whole else CALM
        return {Need.ROUTING: QUICK, Need.BLUE: age, Need.GREEN: age, Need.MEASUREMENT: QUICK, Need.WATCHES: QUICK}
    if release.phase in (Phase.GATES, Phase.EXPAND):
        return {Need.ROUTING: CALM, Need.BLUE: CALM, Need.GREEN: CALM}
    if release.phase in (Phase.CHECKS, Phase.BACKFILL, Phase.APPROVE):
        return {Need.ROUTING: CALM, Need.BLUE: CALM, Need.GREEN: CALM, Need.MEASUREMENT: CALM}
    return {Need.ROUTING: 0.0, Need.BLUE: 0.0, Need.GREEN: 0.0, Need.MEASUREMENT: QUICK}


def _clearing(service: Service, now: float) -> bool:
    """A candidate was taken back a moment ago, and drains."""
    last = service.release
    if last is None or last.phase is not Phase.ROLLED_BACK or last.ended is None:
        return False
    return now < last.ended + last.plan.drain + CALM
