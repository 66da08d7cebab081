"""The heart: what to do next, given what the journal says, what was seen, and the time. Pure.

    decide(service, seen, now) -> Do | Wait | Move | Note

Going forward and going back are the same loop with another goal. After a crash there is nothing to recover: look, and
decide again. Traffic moves in `shift` and `rolling_back`
only; nothing is stopped that the router was not seen to have left.
"""

from __future__ import annotations

from greenroom.domain.actions import Decision, Do, Note, Route, Wait
from greenroom.domain.gating import halted
from greenroom.domain.going_back import aborting, rolling_back
from greenroom.domain.judging import figures_beside
from greenroom.domain.model import Verdict
from greenroom.domain.moves import back
from greenroom.domain.observation import Need, Seen
from greenroom.domain.phases import Phase
from greenroom.domain.preparing import approve, backfill, build, checks, expand, gates, start
from greenroom.domain.records import Judged
from greenroom.domain.release import Release, Service
from greenroom.domain.routes import Scene, drift, maintain, put_back, role_now
from greenroom.domain.shifting import bake, shift
from greenroom.domain.upkeep import ending, upkeep


def decide(service: Service, seen: Seen, now: float) -> Decision:
    """The next step. Called again and again; the same arguments give the same answer."""
    scene = Scene(service, seen, now)
    if service.down:
        return ending(scene)
    decision = _next(scene)
    if isinstance(decision, Wait) and not service.drift and scene.torn and scene.told is not None:
        return Do(Route(scene.told), "finish what the router was being told")
    return decision


def _next(scene: Scene) -> Decision:
    service, release = scene.service, scene.service.running
    noted = _notes(scene)
    if noted is not None:
        return noted
    if release is None:
        return upkeep(scene)
    if step := halted(scene, release):
        return step
    if release.going_back and release.phase not in (Phase.ABORTING, Phase.ROLLING_BACK):
        facts = {"figures": figures_beside(scene, release)} if release.row.exposed else {}
        return back(release, release.going_back, **facts)
    aborting_now = release.phase is Phase.ABORTING and not (service.restore and release.baseline)
    if service.drift and release.phase is not Phase.ROLLING_BACK and not aborting_now:
        return _drifted(scene, release)
    return _PHASES[release.phase](scene, release)


def _notes(scene: Scene) -> Decision | None:
    """Changes of what is known, for the journal: what cannot be seen, what somebody else did to the route."""
    service, seen = scene.service, scene.seen
    name = service.release.id if service.release else ""
    judging = service.running is not None and service.running.live_since is not None
    needed = {Need.ROUTING, Need.BLUE, Need.GREEN} | ({Need.MEASUREMENT} if judging else set())
    blind = "; ".join([f"{need}: {why}" for need, why in sorted(seen.unseen.items()) if need in needed] + _partly(seen))
    if blind and service.unseen is None:
        return Note(Judged(name, "look", Verdict.UNKNOWN, blind))
    if not blind and service.unseen is not None:
        return Note(Judged(name, "look", Verdict.PASS, "all can be seen again"))
    if scene.routing is None:
        return None
    moved = drift(scene)
    if not moved and not scene.settled:
        return None  # it was told so, but it is not so yet
    if service.unsure and not moved:
        return Note(Judged(name, "route", Verdict.PASS, "the route is seen again, and is as expected"))
    if moved != service.drift and not (service.drift and (service.restore or service.accept)):
        verdict = Verdict.FAIL if moved else Verdict.PASS
        return Note(Judged(name, "route", verdict, moved or "the route is as expected"))
    return None


def _partly(seen: Seen) -> list[str]:
    """Machines of several that cannot be seen, each with why."""
    parts = (seen.blue, seen.green, seen.routing)
    return sorted({why for part in parts if part is not None for why in part.unseen})


def _drifted(scene: Scene, release: Release) -> Decision:
    """Never fight silently with another writer: wait for a person, or put it back when told to."""
    moving = release.phase in (Phase.SHIFT, Phase.BAKE)
    for deployed in (release.baseline, release.deployed(scene.now) if moving else None):
        role = role_now(scene, release, deployed.colour) if deployed else None
        if deployed and role and (step := maintain(scene, deployed, role)):
            return step
    if not scene.service.restore:
        return Wait(f"drifted: {scene.service.drift}; go on with `promote`, `rollback`, `abort` or `reconcile`")
    if not drift(scene) and scene.settled:
        return Note(Judged(release.id, "route", Verdict.PASS, "the route was put back"))
    split = release.split() if moving and (release.live_since or release.phase is Phase.BAKE) else release.split(-1)
    if moving and release.live_since is None and release.step > 0:
        split = release.split(release.step - 1)
    return put_back(scene, split)


_PHASES = {
    Phase.GATES: gates,
    Phase.BUILD: build,
    Phase.EXPAND: expand,
    Phase.START: start,
    Phase.CHECKS: checks,
    Phase.BACKFILL: backfill,
    Phase.APPROVE: approve,
    Phase.SHIFT: shift,
    Phase.BAKE: bake,
    Phase.ABORTING: aborting,
    Phase.ROLLING_BACK: rolling_back,
}
