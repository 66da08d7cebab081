"""What the router shall be told, what it should show, and whether a colour may be stopped: questions on one look."""

from __future__ import annotations

from dataclasses import dataclass, replace

from greenroom.domain.actions import Apply, Decision, Do, Note, Remove, Route, Wait
from greenroom.domain.model import (
    Backend,
    Colour,
    Endpoint,
    EnvironmentStatus,
    First,
    Health,
    Mirror,
    Role,
    Routing,
    RoutingSpec,
    Split,
    Verdict,
)
from greenroom.domain.observation import Seen
from greenroom.domain.phases import Phase
from greenroom.domain.records import Judged
from greenroom.domain.release import Deployed, Release, Service


@dataclass(frozen=True, slots=True)
class Scene:
    """All that one decision may know."""

    service: Service
    seen: Seen
    now: float

    @property
    def routing(self) -> Routing | None:
        return self.seen.routing

    @property
    def told(self) -> RoutingSpec | None:
        return self.seen.routing.told if self.seen.routing else None

    @property
    def settled(self) -> bool:
        return self.seen.routing is not None and self.seen.routing.settled

    @property
    def torn(self) -> bool:
        """Whoever told the router something died in the middle of it: it would wait for the rest for ever."""
        return self.routing is not None and self.routing.unfinished and not self.settled

    def environment(self, colour: Colour) -> EnvironmentStatus | None:
        return self.seen.environment(colour)


def expected(service: Service) -> tuple[Split, ...]:
    """The splits that the router may show now without anybody else having told it; empty: any."""
    release = service.running
    if release is None or not release.row.exposed:
        return (Split.all_to(service.active.colour),) if service.active else (Split.none(),)
    if release.phase is Phase.ROLLING_BACK:
        back = release.baseline
        return (Split.all_to(back.colour),) if back and release.live_since is not None else ()
    if release.live_since is not None:
        return (release.split(),)
    return (release.split(release.step - 1), release.split())


def drift(scene: Scene) -> str:
    """Why the route is not ours any more; "" where it is, or where that cannot be seen."""
    routing = scene.routing
    allowed = expected(scene.service)
    if routing is None or not allowed:
        return ""
    if routing.told is None and not routing.running:
        return scene.service.drift  # after `down`, or a reboot that took the files: to tell it anew is the repair
    if routing.told is None:
        known = scene.service.active is not None
        return f"what the router was told is not ours any more: {routing.detail or 'nothing'}" if known else ""
    if routing.told.split in allowed:
        return ""
    return f"the router was told {routing.told.split} by somebody else, expected {allowed[-1]}"


def backend(scene: Scene, colour: Colour, split: Split) -> Backend:
    """A colour's endpoints: what is ready now, else what the router already knows of the same release."""
    status = scene.environment(colour)
    known = scene.told.backend(colour) if scene.told else Backend()
    if status is not None and status.present and status.ready:
        return Backend(status.endpoints, status.version or "", status.release or "")
    if status is None:
        return known
    if split.of(colour) == 0 and known.release != status.release:
        return Backend()
    # One that has its port of before and starts only now serves nobody: what was known must have one that does.
    well = {m.endpoint for m in status.members if m.routed and m.health is Health.HEALTHY}
    if status.serving and not {*well, *status.leftovers} & set(known.endpoints):
        return Backend(status.endpoints, status.version or "", status.release or "")
    if status.unseen and known.release == status.release:
        return replace(known, endpoints=_by_machine(status, known))
    return known


def _by_machine(status: EnvironmentStatus, known: Backend) -> tuple[Endpoint, ...]:
    """One machine that cannot be seen does not keep from the others' routers what is ready there."""
    routed = [m for m in status.members if m.routed and m.process]
    well = {m.machine for m in routed} - {m.machine for m in routed if m.health is not Health.HEALTHY}
    fresh = (m.endpoint for m in routed if m.machine in well and m.endpoint)
    return tuple(sorted({*fresh, *(e for e in known.endpoints if e.machine not in well)}))


def routing_spec(
    scene: Scene, split: Split, *, test: Colour | None = None, without: Colour | None = None
) -> RoutingSpec:
    """The whole of what to tell the router. `without`: leave this colour out, nothing shall reach it."""
    blue = Backend() if without is Colour.BLUE else backend(scene, Colour.BLUE, split)
    green = Backend() if without is Colour.GREEN else backend(scene, Colour.GREEN, split)
    return RoutingSpec(split, blue, green, test, *_beside(scene.service))


def _beside(service: Service) -> tuple[Mirror | None, First | None, Colour | None]:
    """What the present phase wants of the router beside the split: copies, who goes first, the shield."""
    release = service.running
    if release is None or release.baseline is None or release.going_back:
        return None, None, None
    if percent := release.plan.mirrors.get(release.checking, 0):
        return Mirror(release.colour, percent), None, None
    if release.phase not in (Phase.SHIFT, Phase.BAKE):
        return None, None, None
    first = First(*release.plan.first, release.colour) if release.plan.first and not release.whole else None
    return None, first, release.colour if release.plan.shield else None


def tell(scene: Scene, spec: RoutingSpec, why: str) -> Decision | None:
    """Until the router was told this and serves it; None then. Never routes to a colour without endpoints."""
    for colour in Colour:
        if spec.split.of(colour) > 0 and not spec.backend(colour).endpoints:
            return Wait(f"{colour} has nothing that traffic could go to yet")
    if scene.told != spec or scene.routing is None or not scene.routing.running:
        return Do(Route(spec), why)
    if not scene.settled:
        return Wait(f"the router was told {spec.split}, and serves {scene.routing.live or 'unknown'}")
    return None


def put_back(scene: Scene, split: Split) -> Decision:
    """Until the route is what it was before somebody else moved it. What cannot serve gets no traffic back."""
    live = scene.routing.live if scene.routing else None
    if split == Split.none() and live is not None and live != split:
        # A journal that was lost and begun anew knows nothing of what serves: to put that "back" were to switch it off.
        return Wait(f"the router serves {live}, of which this journal knows nothing: nothing is put back to nowhere")
    for colour in Colour:
        status = scene.environment(colour)
        able = status is not None and (status.ready or (status.serving and not status.leftovers))
        if split.of(colour) > 0 and not able:
            return Wait(f"the route is put back as soon as {colour} can serve")
    return tell(scene, routing_spec(scene, split), "put the route back") or Wait("the route is back")


def routed(scene: Scene, colour: Colour) -> bool | None:
    """Does the router send anything to this colour, or may it? None: cannot be seen."""
    routing = scene.routing
    if routing is None:
        return None
    told = routing.told
    if told is None:
        return None if routing.running or routing.detail else False
    if told.split.of(colour) > 0 or told.test is colour or colour in _reached_beside(told):
        return True
    if not routing.running:
        return False
    return True if routing.live is None or routing.live.of(colour) > 0 else not routing.settled


def _reached_beside(told: RoutingSpec) -> set[Colour]:
    """Colours that get requests whatever the split says."""
    reached = {part.colour for part in (told.mirror, told.first) if part is not None}
    return reached | ({told.shield.other} if told.shield is not None else set())


def vacate(scene: Scene, colour: Colour, drain: float, why: str) -> Decision | None:
    """Until nothing runs on this colour; None then. Only what was seen to be free of traffic is stopped."""
    status = scene.environment(colour)
    if status is None:
        return Wait(f"{colour} cannot be seen")
    if not status.present and not status.leftovers and not any(m.process for m in status.members):
        return Wait(f"{colour} may still run: {'; '.join(status.unseen)}") if status.unseen else None
    state = routed(scene, colour)
    if state is None:
        return Wait(f"{colour} is kept: the router cannot be seen")
    if state:
        return Wait(f"{colour} is kept: the router still sends traffic to it")
    held = scene.routing.holding.get(colour, 0) if scene.routing and scene.routing.running else 0
    freed = scene.service.left.get(colour, 0.0)
    if held and scene.now < freed + drain:
        return Wait(f"draining {colour}: {held} still hold it", freed + drain)
    told = scene.told
    if told is not None and told.backend(colour).endpoints and scene.routing and scene.routing.running:
        return tell(
            scene, routing_spec(scene, told.split, test=told.test, without=colour), f"take {colour} out of the router"
        )
    return Do(Remove(colour), why)


def maintain(scene: Scene, deployed: Deployed, role: Role) -> Decision | None:
    """Until this version runs on its colour in this role and nothing is left over of an earlier supervisor."""
    colour = deployed.colour
    status = scene.environment(colour)
    if status is None:
        return None
    if status.release not in (None, deployed.release) and routed(scene, colour) is not False:
        return Wait(f"{colour} runs {status.version}, expected {deployed.version}, and has traffic: a person must look")
    here = status.release == deployed.release and bool(status.members) and not status.unfinished
    if not here or status.role not in (None, role):
        return Do(Apply(colour, deployed.spec(role)), f"run {deployed.version} on {colour} ({role})")
    told = scene.told.backend(colour).endpoints if scene.told else ()
    # While the route is somebody else's, nobody knows since when it has left what.
    free = scene.settled and not scene.service.drift and not set(status.leftovers) & set(told)
    freed = max(scene.service.told, scene.service.left.get(colour, 0.0))  # by us, or by somebody else
    if status.leftovers and status.ready and free and scene.now >= freed + deployed.plan.drain:
        return Do(Apply(colour, deployed.spec(role, sweep=True)), f"end what an earlier supervisor left on {colour}")
    return None


def refresh(
    scene: Scene,
    split: Split,
    *,
    test: Colour | None = None,
    without: Colour | None = None,
    leaving: Colour | None = None,
) -> Decision | None:
    """Let the router know of new endpoints (after a restart on other ports); None where it does.

    `leaving`: this colour is being cleared (`vacate`), nothing new is told of it.
    """
    for colour in Colour:
        status = scene.environment(colour)
        if split.of(colour) > 0 and (status is None or not (status.ready or status.serving)):
            return None
    spec = routing_spec(scene, split, test=test, without=without)
    if leaving is not None and scene.told is not None:
        known = scene.told.backend(leaving)
        spec = replace(spec, blue=known) if leaving is Colour.BLUE else replace(spec, green=known)
    return tell(scene, spec, "the router learns the present endpoints")


def role_now(scene: Scene, release: Release, colour: Colour) -> Role | None:
    """The role that a colour shall hold now. Workers follow the traffic: the old ones end before the new ones start."""
    baseline = release.baseline
    if release.phase is Phase.ROLLING_BACK and release.live_since is None:
        return None
    forward = release.phase in (Phase.SHIFT, Phase.BAKE) and release.live_since is not None and release.whole
    winner = release.colour if forward or (baseline is None and release.phase is Phase.BAKE) else None
    if winner is None and baseline is not None:
        winner = baseline.colour
    return active_role(scene, colour) if colour is winner else Role.IDLE


def active_role(scene: Scene, colour: Colour) -> Role:
    """ACTIVE as soon as the other colour was seen to have given it up: never two copies of a worker."""
    loser, status = scene.environment(colour.other), scene.environment(colour)
    free = (
        loser is not None and not loser.unseen and (loser.role is Role.IDLE or not (loser.present or loser.leftovers))
    )
    held = status is not None and status.role is Role.ACTIVE
    return Role.ACTIVE if free or held else Role.IDLE


def observed(release: Release, split: Split) -> Note:
    """The router was seen to serve this."""
    memo = {"blue": split.blue, "green": split.green, "step": release.step}
    return Note(Judged(release.id, "live", Verdict.PASS, f"observed at the router: {split}", memo))
