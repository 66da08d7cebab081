"""A small world to release in: replicas, a router with a data plane, users, and a referee.

The referee knows nothing of our code. It watches the world at every instant at which something happens and writes
down what must never be (`violations`): traffic given to what is not there or not healthy, something stopped that
traffic still goes to, two copies of a worker, a promise of warmth broken, requests lost.

The world moves lazily: whatever was due by now happens, in order and at its own time, before anything is looked at.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from greenroom.domain.figures import Figures
from greenroom.domain.model import Colour, Endpoint, EnvironmentSpec, Role, RoutingSpec, Split
from greenroom.ports import Clock

COLOURS = (Colour.BLUE, Colour.GREEN)
NEVER = float("inf")
BUCKETS = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, NEVER)


@dataclass
class Behaviour:
    """How a version behaves. Times in seconds; `None`: never."""

    builds_in: float = 0.0
    build_fails: str = ""
    healthy_after: float | None = 0.4
    dies_after: float | None = None
    """Counted from its start: then all its replicas are unhealthy, for good."""
    cannot_start: str = ""
    errors: float = 0.0
    """The share of users' requests that it answers with an error."""
    latency: float = 8.0
    worker_stops_in: float = 0.3


@dataclass
class Group:
    """What runs on one colour."""

    spec: EnvironmentSpec
    behaviour: Behaviour
    started: float
    endpoints: tuple[Endpoint, ...]
    role: Role | None = Role.IDLE
    worker: bool = False
    ending: bool = False
    """Its replicas are gone, its worker is still about to end."""

    def healthy(self, now: float) -> bool:
        b = self.behaviour
        if self.ending or b.healthy_after is None or b.cannot_start or now < self.started + b.healthy_after:
            return False
        return not self.dead(now)

    def dead(self, now: float) -> bool:
        b = self.behaviour
        return bool(b.cannot_start) or (b.dies_after is not None and now >= self.started + b.dies_after)


@dataclass
class Plane:
    """The router: what it was told, what is on its way, what is live. It runs from when it is first told something."""

    running: bool = False
    told: RoutingSpec | None = None
    revision: int = 0
    epoch: int = 0
    live: RoutingSpec | None = None
    live_revision: int = 0
    coming: list[tuple[float, RoutingSpec, int]] = field(default_factory=list)
    """(lands at, or looks to go, …), in the order told: an earlier word never overtakes a later one."""
    incarnation: int = 1

    def specs(self) -> list[RoutingSpec]:
        """Everything that has, or is promised, traffic."""
        return [s for s in (self.told, self.live, *(s for _, s, _ in self.coming)) if s is not None]


class FakeWorld:
    def __init__(
        self,
        clock: Clock,
        *,
        replicas: int = 2,
        worker: bool = True,
        lag: float = 0.0,
        lag_looks: int = 0,
        rate: float = 200.0,
        holds: float = 0.0,
        drain: float = 30.0,
    ) -> None:
        self.clock, self.replicas, self.worker = clock, replicas, worker
        self.lag, self.lag_looks, self.rate, self.holds, self.drain = lag, lag_looks, rate, holds, drain
        self.behaviours: dict[str, Behaviour] = {}
        self.groups: dict[Colour, Group | None] = dict.fromkeys(COLOURS)
        self.leftovers: dict[Colour, Group | None] = dict.fromkeys(COLOURS)
        self.ending: dict[Colour, list[Group]] = {c: [] for c in COLOURS}
        self.epoch = 0
        self.plane = Plane()
        self.counted: dict[Colour, dict[str, float]] = {c: {"requests": 0.0, "errors": 0.0} for c in COLOURS}
        self.slow: dict[Colour, float] = dict.fromkeys(COLOURS, 8.0)
        self.holding: dict[Colour, tuple[float, float]] = {}
        self.promises: dict[Colour, float] = {}
        self.lost = 0.0
        self.forbidden = ""
        """The version that the database no longer knows, since a contract."""
        self.violations: list[str] = []
        self.audit: list[tuple[float, str]] = []
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._port = 20000
        self._settled = clock.now()
        self._began = clock.now()

    # --- time -------------------------------------------------------------------------------------------------

    def settle(self) -> float:
        """Let everything happen that was due by now; returns now."""
        now = self.clock.now()
        while self._due and self._due[0][0] <= now:
            at, _, happen = heapq.heappop(self._due)
            self._serve(max(at, self._settled))
            happen()
            self._referee()
        self._serve(now)
        return now

    def at(self, when: float, happen: Callable[[], None]) -> None:
        """Do this then (a stranger moves the router, a replica dies, …)."""
        self._number += 1
        heapq.heappush(self._due, (when, self._number, happen))

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        self.at(self.clock.now() + seconds, happen)

    def note(self, text: str) -> None:
        self.audit.append((round(self._settled - self._began, 3), text))

    def violated(self, text: str) -> None:
        self.note(f"VIOLATION: {text}")
        self.violations.append(f"{self._settled - self._began:.2f}s: {text}")

    def behaviour(self, version: str) -> Behaviour:
        return self.behaviours.setdefault(version, Behaviour())

    # --- users ------------------------------------------------------------------------------------------------

    def _serve(self, until: float) -> None:
        """The requests between the last settled instant and `until`, by the live route. Deaths split the span."""
        while self._settled < until:
            edges = [e for c in COLOURS for g in self._candidates(c) for e in _edges(g) if self._settled < e < until]
            self._span(min(edges, default=until))

    def _span(self, until: float) -> None:
        seconds, live = until - self._settled, self.plane.live
        if live is not None and self.plane.running:
            for colour in COLOURS:
                count = self.rate * seconds * live.split.of(colour) / 100
                if count:
                    self._count(colour, count, live)
        self._settled = until

    def _count(self, colour: Colour, count: float, live: RoutingSpec) -> None:
        serving = self._serving(colour, live)
        figures = self.counted[colour]
        figures["requests"] += count
        if serving is None:
            self.lost += count
            figures["errors"] += count
        else:
            figures["errors"] += count * serving.behaviour.errors
            self.slow[colour] = serving.behaviour.latency

    def _candidates(self, colour: Colour) -> list[Group]:
        return [g for g in (self.groups[colour], self.leftovers[colour]) if g is not None]

    def _serving(self, colour: Colour, live: RoutingSpec) -> Group | None:
        routed = set(live.backend(colour).endpoints)
        for group in self._candidates(colour):
            if routed & set(group.endpoints) and group.healthy(self._settled):
                return group
        return None

    def figures(self, colour: Colour) -> Figures:
        requests, errors = int(self.counted[colour]["requests"]), int(self.counted[colour]["errors"])
        latency = tuple((bound, requests if bound >= self.slow[colour] else 0) for bound in BUCKETS)
        return Figures(requests, errors, {"200": requests - errors, "500": errors}, latency)

    # --- the router -------------------------------------------------------------------------------------------

    def tell(self, spec: RoutingSpec, epoch: int, *, stranger: bool = False) -> None:
        now, plane = self.settle(), self.plane
        self.note(f"{'a stranger' if stranger else 'we'} told the router {spec.split} (epoch {epoch})")
        if not stranger:
            self._referee_of_words(spec)
        plane.running, plane.told, plane.epoch = True, spec, epoch
        plane.revision += 1
        if self.lag_looks:
            plane.coming.append((self.lag_looks, spec, plane.revision))
        elif self.lag:
            plane.coming.append((NEVER, spec, plane.revision))
            self.at(now + self.lag, self._land)
        else:
            plane.coming.append((0, spec, plane.revision))
            self._land()
            self._referee()

    def looked(self) -> None:
        """Somebody looked at the router: with `lag_looks`, its data plane comes one look nearer."""
        if self.lag_looks and self.plane.coming:
            looks, spec, revision = self.plane.coming[0]
            self.plane.coming[0] = (looks - 1, spec, revision)
            if looks <= 1:
                self._land()
                self._referee()

    def stranger_sets(self, split: Split) -> None:
        """Somebody else moves the route."""
        told = self.plane.told or RoutingSpec(split)
        self.tell(RoutingSpec(split, told.blue, told.green, told.test), self.plane.epoch, stranger=True)

    def _land(self) -> None:
        if not self.plane.coming:  # the router was restarted meanwhile
            return
        before = self.plane.live
        _, self.plane.live, self.plane.live_revision = self.plane.coming.pop(0)
        self.note(f"live: {self.plane.live.split}")
        for colour in COLOURS:
            had = before is not None and before.split.of(colour) > 0
            if had and self.plane.live.split.of(colour) == 0 and self.holds:
                self.holding[colour] = (self._settled, self._settled + self.holds)

    def held(self, colour: Colour) -> int:
        return 7 if colour in self.holding and self._settled < self.holding[colour][1] else 0

    # --- misfortune -------------------------------------------------------------------------------------------

    def reboot(self) -> None:
        """Everything dies; the router comes back with its last route and new counters."""
        self.settle()
        self.note("reboot")
        for colour in COLOURS:
            self.groups[colour] = self.leftovers[colour] = None
            self.ending[colour].clear()
        self._router_restarted()

    def supervisor_killed(self) -> None:
        """The supervisor dies; what it watched lives on as orphans, the router with it."""
        self.settle()
        self.note("the supervisor was killed")
        for colour in COLOURS:
            self.leftovers[colour] = self.groups[colour] or self.leftovers[colour]
            self.groups[colour] = None

    def _router_restarted(self) -> None:
        plane = self.plane
        plane.coming.clear()
        plane.live, plane.live_revision = plane.told, plane.revision
        plane.incarnation += 1
        self.holding.clear()
        for colour in COLOURS:
            self.counted[colour] = {"requests": 0.0, "errors": 0.0}

    def fresh_endpoints(self) -> tuple[Endpoint, ...]:
        self._port += self.replicas
        return tuple(Endpoint("127.0.0.1", self._port + n) for n in range(self.replicas))

    # --- the referee ------------------------------------------------------------------------------------------

    def promise(self, colour: Colour, until: float) -> None:
        """A person was told that this colour stays warm until then."""
        self.promises[colour] = until

    def stopping(self, colour: Colour, group: Group, what: str) -> None:
        """Called before replicas end on purpose: nothing may have, or be promised, their traffic."""
        self.note(f"{what} {colour} ({group.spec.version})")
        for spec in self.plane.specs():
            if group.ending or not self.plane.running:
                break
            if reached(spec, colour) and set(spec.backend(colour).endpoints) & set(group.endpoints):
                self.violated(f"{what} {colour} ({group.spec.version}) while the router sends it {spec.split}")
                break
        since, until = self.holding.get(colour, (0.0, 0.0))
        if self._settled < min(until, since + self.drain):
            self.violated(f"{what} {colour} while requests still hold it, {self._settled - since:.1f}s into the drain")
        if what == "remove" and self._settled < self.promises.get(colour, 0.0):
            self.violated(f"{colour} was promised warm for {self.promises[colour] - self._settled:.0f}s more")

    def _referee_of_words(self, spec: RoutingSpec) -> None:
        """What we tell the router must be able to serve at the moment of telling."""
        before = self.plane.told
        for colour in COLOURS:
            if not spec.split.of(colour):
                continue
            told = set(spec.backend(colour).endpoints)
            known = before is not None and before.split.of(colour) >= spec.split.of(colour)
            if known and before is not None and told <= set(before.backend(colour).endpoints):
                continue
            healthy = {e for g in self._candidates(colour) if g.healthy(self._settled) for e in g.endpoints}
            if not told & healthy:
                self.violated(f"traffic ({spec.split}) told to go to {colour}, which is not ready: {sorted(told)}")

    def _referee(self) -> None:
        """What must hold at every instant."""
        for colour, group in self.groups.items():
            if self.forbidden and group is not None and group.spec.version == self.forbidden:
                self.violated(f"{self.forbidden} runs on {colour} again, after the contract")
        workers = [c for c in COLOURS for g in (*self._candidates(c), *self.ending[c]) if g.worker]
        if len(workers) > 1:
            self.violated(f"{len(workers)} copies of the worker run, on {' and '.join(workers)}")

    def referee(self) -> None:
        self._referee()


def reached(spec: RoutingSpec, colour: Colour) -> bool:
    """Requests of users go there: by the split, as copies, because they go first, or because they failed elsewhere."""
    beside = {part.colour for part in (spec.mirror, spec.first) if part is not None}
    shield = {spec.shield.other} if spec.shield is not None else set()
    return spec.split.of(colour) > 0 or colour in beside | shield


def _edges(group: Group) -> list[float]:
    b = group.behaviour
    return [group.started + t for t in (b.healthy_after, b.dies_after) if t is not None]
