"""Building blocks for states and looks, so that a test shows only what it is about."""

from __future__ import annotations

from typing import Any

from greenroom.domain.model import (
    ArtefactStatus,
    Backend,
    Colour,
    Endpoint,
    EnvironmentStatus,
    Health,
    Making,
    Member,
    Role,
    Routing,
    RoutingSpec,
    Split,
    Verdict,
)
from greenroom.domain.observation import Seen
from greenroom.domain.phases import Phase
from greenroom.domain.plan import Plan
from greenroom.domain.records import Entry, Judged, Moved, Record, Requested
from greenroom.domain.release import Service
from greenroom.domain.replay import fold

BLUE, GREEN = Colour.BLUE, Colour.GREEN
ALL_BLUE, ALL_GREEN = Split.all_to(BLUE), Split.all_to(GREEN)
ENDPOINT = {BLUE: Endpoint("127.0.0.1", 4001), GREEN: Endpoint("127.0.0.1", 4002)}

NOTHING = Backend()


class Story:
    """A journal that is written by hand, one record a second."""

    def __init__(self) -> None:
        self.service, self.now = Service(), 0.0

    def add(self, *records: Record, at: float | None = None) -> Story:
        for record in records:
            self.now = self.now + 1 if at is None else at
            self.service = fold(self.service, Entry(self.service.seq + 1, self.now, 1, record))
        return self

    def deploy(self, version: str, **plan: Any) -> Story:
        active = self.service.active
        colour = active.colour.other if active else BLUE
        details = {"version": version, "colour": str(colour), "plan": Plan(**plan).document()}
        return self.add(Requested("deploy", "ada", "", f"r-{self.service.count + 1:04d}", details))

    def move(self, *phases: Phase, why: str = "so") -> Story:
        for phase in phases:
            self.add(
                Moved(self.release.id, phase, why, self.release.step, {"artefact": f"made-{self.release.version}"})
            )
        return self

    def ask(self, verb: str, **details: Any) -> Story:
        return self.add(Requested(verb, "ada", "", self.release.id, details))

    def live(self, split: Split) -> Story:
        memo = {"blue": split.blue, "green": split.green}
        return self.add(Judged(self.release.id, "live", Verdict.PASS, "", memo))

    def succeed(self, version: str, **plan: Any) -> Story:
        """A whole release, to its end."""
        self.deploy(version, **plan).move(Phase.START, Phase.CHECKS, Phase.SHIFT)
        return self.live(Split.all_to(self.release.colour)).move(Phase.BAKE, Phase.SUCCEEDED)

    @property
    def release(self) -> Any:
        assert self.service.release is not None
        return self.service.release


def up(
    colour: Colour, release: str, version: str, role: Role | None = Role.IDLE, health: Health = Health.HEALTHY
) -> EnvironmentStatus:
    return EnvironmentStatus(colour, release, version, role, (Member("web", 0, health, ENDPOINT[colour]),))


def backend(status: EnvironmentStatus) -> Backend:
    return Backend(status.endpoints, status.version or "", status.release or "")


def serving(split: Split, *, blue: Backend = NOTHING, green: Backend = NOTHING, test: Colour | None = None) -> Routing:
    """A router that serves what it was told."""
    spec = RoutingSpec(split, blue, green, test)
    return Routing(running=True, told=spec, live=split, revision="7", live_revision="7")


def look(
    routing: Routing | None = None,
    blue: EnvironmentStatus | None = None,
    green: EnvironmentStatus | None = None,
    **more: Any,
) -> Seen:
    more.setdefault("artefact", ArtefactStatus(Making.READY, "made"))
    return Seen(
        blue=blue or EnvironmentStatus(BLUE),
        green=green or EnvironmentStatus(GREEN),
        routing=routing or Routing(running=False),
        **more,
    )
