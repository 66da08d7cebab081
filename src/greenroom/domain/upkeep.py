"""When no release runs: what is live stays up, what is warm stays warm until its time, what nobody needs is removed."""

from __future__ import annotations

from greenroom.domain.actions import Ask, Decision, Do, Move, Note, Remove, Unroute, Wait
from greenroom.domain.gating import VERDICT_IN_VAIN
from greenroom.domain.model import Colour, Role, Split, Verdict
from greenroom.domain.moves import failed
from greenroom.domain.phases import Phase
from greenroom.domain.plan import CONTRACT
from greenroom.domain.records import Judged, Moved
from greenroom.domain.release import Service
from greenroom.domain.routes import Scene, active_role, drift, maintain, put_back, refresh, vacate


def upkeep(scene: Scene) -> Decision:
    """The steady state: the active colour serves, the idle one is warm or absent."""
    service, now = scene.service, scene.now
    release = service.release
    if release is not None and release.going_back and release.phase is Phase.SUCCEEDED and service.warm_at(now):
        return Move(Moved(release.id, Phase.ROLLING_BACK, release.going_back, release.step))
    accepted = _accept(scene) if service.accept and service.drift else None
    if isinstance(accepted, Note):
        return accepted
    active = service.active
    if active is None:
        return _empty(scene)
    if step := maintain(scene, active, active_role(scene, active.colour)):
        return step
    if accepted is not None:
        return accepted
    split = Split.all_to(active.colour)
    if service.drift and not service.restore:
        return Wait(f"drifted: {service.drift}; `greenroom reconcile` puts it back, `reconcile --accept` takes it over")
    if service.drift:
        if not drift(scene) and scene.settled:
            return Note(Judged("", "route", Verdict.PASS, "the route was put back"))
        return put_back(scene, split)
    idle = active.colour.other
    warm = service.warm_at(now)
    wanted = kept(service, now) or (warm is not None and warm.deployed.colour is idle)
    if step := refresh(scene, split, without=None if wanted else idle):
        return step
    return _idle(scene, idle, active.plan.drain)


def _idle(scene: Scene, colour: Colour, drain: float) -> Decision:
    warm = scene.service.warm_at(scene.now)
    if warm is not None and warm.deployed.colour is colour:
        return maintain(scene, warm.deployed, Role.IDLE) or Wait("in sync", warm.until)
    if not kept(scene.service, scene.now):
        return vacate(scene, colour, drain, "nobody needs it any more") or _contract(scene) or Wait("in sync")
    return Wait("in sync", kept_until(scene.service))


def _contract(scene: Scene) -> Decision | None:
    """What nobody can need any more goes from the database: only now, with one version live and none to go back to."""
    contract, active = scene.service.contract, scene.service.active
    if not scene.service.proven:
        return None
    if contract is None and active is not None and active.plan.contracts and active.plan.migrates:
        return Do(Ask(CONTRACT.name, None, gate=True), "the old may go from the database")
    if contract is None or not contract.open:
        return None
    if unasked := failed(scene, "ask", CONTRACT.subject, tries=VERDICT_IN_VAIN):
        return Note(Judged("", CONTRACT.subject, Verdict.UNKNOWN, unasked))
    return Do(Ask(CONTRACT.name, contract.judged.memo if contract.judged else None, gate=True), "contract")


def kept(service: Service, now: float) -> bool:
    """The candidate that failed is kept for looking at: for its time, or until `retire` if that was asked for (`--keep`)."""
    release = service.release
    if release is None or release.id in service.retired or release.phase not in (Phase.ABORTED, Phase.ROLLED_BACK):
        return False
    until = kept_until(service)
    return release.plan.keep or (until is not None and now < until)


def kept_until(service: Service) -> float | None:
    """When a candidate that was rolled back is removed; None where none is, or nobody says when."""
    release = service.release
    if release is None or release.phase is not Phase.ROLLED_BACK or release.ended is None or release.plan.keep:
        return None
    return release.ended + release.plan.keep_failed


def _empty(scene: Scene) -> Decision:
    """Nothing was ever live: what a release that was aborted left behind goes away."""
    if not kept(scene.service, scene.now):
        for colour in Colour:
            if step := vacate(scene, colour, 0.0, "nothing is live"):
                return step
    return Wait("nothing is live yet")


def _accept(scene: Scene) -> Decision:
    """A person said that the route of somebody else is right: what it serves is what is live."""
    routing = scene.routing
    live = routing.live if routing and routing.settled else None
    colour = next((c for c in Colour if live is not None and live.of(c) == 100), None)
    status = scene.environment(colour) if colour else None
    if colour is None or live is None or status is None or not status.present:
        return Wait("drifted: the route cannot be accepted, it does not serve one colour that Greenroom runs")
    memo = {"blue": live.blue, "green": live.green}
    return Note(Judged("", "live", Verdict.PASS, f"accepted: {live}", memo))


def ending(scene: Scene) -> Decision:
    """`down`: first the router, so that nothing is cut off behind it, then both environments."""
    routing = scene.routing
    if routing is None:
        return Wait("the router cannot be seen")
    if routing.running:
        return Do(Unroute(), "stop the router, on purpose")
    for colour in Colour:
        status = scene.environment(colour)
        if status is None:
            return Wait(f"{colour} cannot be seen")
        if status.present or status.leftovers:
            return Do(Remove(colour), "down, on purpose")
        if status.unseen:
            return Wait(f"{colour} may still run: {'; '.join(status.unseen)}")
    return Wait("down")
