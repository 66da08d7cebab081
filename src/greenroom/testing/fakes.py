"""The ports over a `FakeWorld`. They keep the promises of `ports.py`, so the shipped contracts run on them too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from greenroom.domain.figures import Measurement
from greenroom.domain.model import (
    ArtefactSpec,
    ArtefactStatus,
    Colour,
    Document,
    EnvironmentSpec,
    EnvironmentStatus,
    Event,
    Health,
    Making,
    Member,
    Role,
    Routing,
    RoutingSpec,
    Split,
    Verdict,
)
from greenroom.domain.opinion import Case, Finding
from greenroom.errors import Permanent, PortError, Temporary
from greenroom.ports import ActionKey, Capability
from greenroom.testing.world import COLOURS, FakeWorld, Group


class FakeArtefact:
    def __init__(self, world: FakeWorld) -> None:
        self.world = world
        self.made: dict[str, float] = {}

    def observe(self, spec: ArtefactSpec) -> ArtefactStatus:
        now, behaviour = self.world.settle(), self.world.behaviour(spec.version)
        if spec.release not in self.made:
            return ArtefactStatus(Making.ABSENT)
        if now < self.made[spec.release] + behaviour.builds_in:
            return ArtefactStatus(Making.MAKING)
        if behaviour.build_fails:
            return ArtefactStatus(Making.FAILED, detail=behaviour.build_fails)
        return ArtefactStatus(Making.READY, reference=f"artefacts/{spec.release}")

    def apply(self, spec: ArtefactSpec, key: ActionKey) -> None:
        self.made.setdefault(spec.release, self.world.settle())

    def remove(self, release: str, key: ActionKey) -> None:
        self.world.settle()
        self.made.pop(release, None)
        for colour in COLOURS:
            group = self.world.groups[colour]
            if group is not None and group.spec.release == release:
                self.world.violated(f"the artefact of {release} was removed while {colour} runs it")


class FakeEnvironment:
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.ROLES})

    def __init__(self, world: FakeWorld) -> None:
        self.world = world

    def observe(self, colour: Colour) -> EnvironmentStatus:
        world = self.world
        now, group, left = world.settle(), world.groups[colour], world.leftovers[colour]
        leftovers = left.endpoints if left is not None else ()
        if group is None and world.ending[colour]:
            spec = world.ending[colour][-1].spec
            return EnvironmentStatus(colour, spec.release, spec.version, leftovers=leftovers, detail="stopping")
        if group is None and left is not None:
            return EnvironmentStatus(
                colour, left.spec.release, left.spec.version, leftovers=leftovers, detail="orphans"
            )
        if group is None:
            return EnvironmentStatus(colour)
        members = tuple(_members(group, now))
        failed = group.behaviour.cannot_start
        return EnvironmentStatus(colour, group.spec.release, group.spec.version, group.role, members, leftovers, failed)

    def apply(self, colour: Colour, spec: EnvironmentSpec, key: ActionKey) -> None:
        world = self.world
        self._fence(key)
        now, group = world.settle(), world.groups[colour]
        if group is not None and group.spec.release != spec.release:
            self._end(colour, group, "replace")
            group = world.groups[colour] = None
        if spec.sweep:
            self._sweep(colour)
        if group is None:
            world.note(f"start {colour} ({spec.version}, {spec.role})")
            group = Group(spec, world.behaviour(spec.version), now, world.fresh_endpoints())
            world.groups[colour] = group
        group.spec = spec
        self._work(colour, group)

    def remove(self, colour: Colour, key: ActionKey) -> None:
        self._fence(key)
        self.world.settle()
        group = self.world.groups[colour]
        if group is not None:
            self._end(colour, group, "remove")
            self.world.groups[colour] = None
        self._sweep(colour)

    def _fence(self, key: ActionKey) -> None:
        if key.epoch < self.world.epoch:
            raise Permanent(f"the environment was told under epoch {self.world.epoch}; {key.epoch} is older")
        self.world.epoch = key.epoch

    def _sweep(self, colour: Colour) -> None:
        left = self.world.leftovers[colour]
        if left is not None:
            self._end(colour, left, "sweep")
            self.world.leftovers[colour] = None

    def _end(self, colour: Colour, group: Group, what: str) -> None:
        """Its replicas end now, its worker after the time that it takes."""
        world = self.world
        world.stopping(colour, group, what)
        if not group.worker:
            return
        group.ending = True
        world.ending[colour].append(group)
        world.after(group.behaviour.worker_stops_in, lambda: self._ended(colour, group))

    def _ended(self, colour: Colour, group: Group) -> None:
        group.worker = False
        if group in self.world.ending[colour]:
            self.world.ending[colour].remove(group)
        current = self.world.groups[colour]
        if current is not None:
            self._work(colour, current)

    def _work(self, colour: Colour, group: Group) -> None:
        """Bring the worker to what the role wants, one step; `role` is None until it is there.

        What runs on this colour, an orphan's worker too, has ended before a new one starts.
        """
        world, role = self.world, group.spec.role
        orphan = world.leftovers[colour]
        if not world.worker:
            group.role = role
        elif orphan is not None and orphan.worker:
            group.role = None
            world.after(orphan.behaviour.worker_stops_in, lambda: self._orphan_stopped(colour, orphan))
        elif group.worker is (role is Role.ACTIVE) and not group.ending:
            group.role = role
        elif role is Role.ACTIVE and world.ending[colour]:
            group.role = None
        elif role is Role.ACTIVE:
            group.worker, group.role = True, role
            world.note(f"the worker starts on {colour}")
        elif group.role is not None:
            group.role = None
            world.after(group.behaviour.worker_stops_in, lambda: self._stopped(colour, group))
        world.referee()

    def _stopped(self, colour: Colour, group: Group) -> None:
        group.worker = False
        self.world.note(f"the worker has stopped on {colour}")
        if self.world.groups[colour] is group:
            self._work(colour, group)

    def _orphan_stopped(self, colour: Colour, orphan: Group) -> None:
        orphan.worker = False
        current = self.world.groups[colour]
        if current is not None:
            self._work(colour, current)


def _members(group: Group, now: float) -> Iterable[Member]:
    health = Health.HEALTHY if group.healthy(now) else Health.UNHEALTHY if group.dead(now) else Health.STARTING
    for n, endpoint in enumerate(group.endpoints, 1):
        yield Member("web", n, health, endpoint)
    if group.worker:
        yield Member("worker", 1, Health.HEALTHY, routed=False)


class FakeRouter:
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.WEIGHTS, Capability.TEST_ROUTE, Capability.DRAIN, Capability.MEASUREMENTS, Capability.LATENCY}
    )

    def __init__(self, world: FakeWorld) -> None:
        self.world = world

    def observe(self) -> Routing:
        self.world.settle()
        self.world.looked()
        plane = self.world.plane
        return Routing(
            plane.running,
            plane.told,
            plane.live.split if plane.live is not None and plane.running else None,
            str(plane.live_revision),
            str(plane.revision),
            plane.epoch,
            {c: self.world.held(c) for c in COLOURS},
        )

    def apply(self, spec: RoutingSpec, key: ActionKey) -> None:
        plane = self.world.plane
        if key.epoch < plane.epoch:
            raise Permanent(f"the router was told under epoch {plane.epoch}; {key.epoch} is older")
        plane.running = True
        if plane.told == spec and plane.epoch == key.epoch:
            return
        self.world.tell(spec, key.epoch)

    def remove(self) -> None:
        self.world.settle()
        plane = self.world.plane
        plane.running, plane.told, plane.live = False, None, None
        plane.coming.clear()
        self.world.holding.clear()  # who stops the router on purpose lets go of what it held

    def reach(self, test: bool = False) -> tuple[str, Mapping[str, str]]:
        return "http://fake.example", {"x-greenroom-test": "1"} if test else {}


class FakeCheck:
    """Answers from `answers` (a list: the last one stays), or from a function of (case, memo)."""

    def __init__(
        self, name: str, answers: list[Finding] | Callable[[Case, Document | None], Finding] | None = None
    ) -> None:
        self.name = name
        self.answers = answers if answers is not None else [Finding(Verdict.PASS)]
        self.asked: list[tuple[Case, Document | None]] = []
        self.withdrawn: list[str] = []

    def ask(self, case: Case, memo: Document | None) -> Finding:
        self.asked.append((case, memo))
        if callable(self.answers):
            return self.answers(case, memo)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def withdraw(self, case: Case, memo: Document | None) -> None:
        self.withdrawn.append(case.release)


class FakeAnalyser:
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.MEASUREMENTS, Capability.LATENCY})

    def __init__(self, world: FakeWorld) -> None:
        self.world = world
        self.failing: PortError | None = None

    def measure(self) -> Measurement:
        now = self.world.settle()
        if self.failing is not None:
            raise self.failing
        figures = {c: self.world.figures(c) for c in COLOURS}
        return Measurement(now, str(self.world.plane.incarnation), figures[Colour.BLUE], figures[Colour.GREEN])


class FakeNotifier:
    """`failing`: how many deliveries still fail."""

    def __init__(self, name: str = "fake", on: frozenset[str] | None = None, failing: int = 0) -> None:
        self.name, self.on, self.failing = name, on, failing
        self.told: list[Event] = []

    def notify(self, event: Event) -> None:
        if self.failing > 0:
            self.failing -= 1
            raise Temporary("the other end is not there")
        self.told.append(event)


def settled_on(world: FakeWorld, colour: Colour) -> bool:
    """The referee's own sight: all users are served by this colour."""
    world.settle()
    live = world.plane.live
    return live is not None and live.split == Split.all_to(colour) and not world.plane.coming
