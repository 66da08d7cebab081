"""The heart: what to do next, given what the journal says, what was seen, and the time. Pure.

    decide(service, seen, now) -> Do | Wait | Move | Note

Going forward and going back are the same loop with another goal. After a crash there is nothing to recover: look, and
decide again. Traffic moves in `shift` and `rolling_back`
only; nothing is stopped that the router was not seen to have left.
"""

from __future__ import annotations

from greenroom.domain.actions import Ask, Decision, Do, Make, Move, Note, Route, Wait
from greenroom.domain.assess import figures_document
from greenroom.domain.going_back import aborting, rolling_back
from greenroom.domain.judging import failing, note_candidate, outcome
from greenroom.domain.model import Colour, Making, Role, Verdict
from greenroom.domain.observation import Need, Seen
from greenroom.domain.phases import Phase, may_move
from greenroom.domain.records import Judged, Moved, Outcome
from greenroom.domain.release import Release, Service
from greenroom.domain.routes import (
    Scene,
    active_role,
    drift,
    maintain,
    observed,
    put_back,
    refresh,
    role_now,
    routing_spec,
    tell,
    vacate,
)
from greenroom.domain.upkeep import ending, upkeep

SETTLE_WITHIN = 60.0
"""Seconds within which a router must serve what it was told."""


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
    if release.going_back and release.phase not in (Phase.ABORTING, Phase.ROLLING_BACK):
        return back(release, release.going_back)
    aborting_now = release.phase is Phase.ABORTING and not service.restore
    if service.drift and release.phase is not Phase.ROLLING_BACK and not aborting_now:
        return _drifted(scene, release)
    return _PHASES[release.phase](scene, release)


def back(release: Release, why: str) -> Move:
    """The way out of the present phase."""
    there = release.row.on_failure
    if there is Phase.ROLLING_BACK and release.baseline is None:
        there = Phase.FAILED
    assert there is not None
    assert may_move(release.phase, there)
    return Move(Moved(release.id, there, why, release.step))


def _forward(release: Release, why: str, *, step: int | None = None, **facts: object) -> Decision:
    """The next phase (or step), unless a person has paused the release."""
    if release.paused is not None:
        return Wait("paused: go on with `greenroom resume`")
    there = release.phase if step is not None else release.row.next
    assert there is not None
    return Move(Moved(release.id, there, why, release.step if step is None else step, facts))


def _notes(scene: Scene) -> Decision | None:
    """Changes of what is known, for the journal: what cannot be seen, what somebody else did to the route."""
    service, seen = scene.service, scene.seen
    name = service.release.id if service.release else ""
    judging = service.running is not None and service.running.live_since is not None
    needed = {Need.ROUTING, Need.BLUE, Need.GREEN} | ({Need.MEASUREMENT} if judging else set())
    blind = "; ".join(f"{need}: {why}" for need, why in sorted(seen.unseen.items()) if need in needed)
    if blind and service.unseen is None:
        return Note(Judged(name, "look", Verdict.UNKNOWN, blind))
    if not blind and service.unseen is not None:
        return Note(Judged(name, "look", Verdict.PASS, "all can be seen again"))
    if scene.routing is None:
        return None
    moved = drift(scene)
    if not moved and not scene.settled:
        return None  # it was told so, but it is not so yet
    if moved != service.drift and not (service.drift and (service.restore or service.accept)):
        verdict = Verdict.FAIL if moved else Verdict.PASS
        return Note(Judged(name, "route", verdict, moved or "the route is as expected"))
    return None


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


def _build(scene: Scene, release: Release) -> Decision:
    status = scene.seen.artefact
    if step := _support(scene, release):
        return step
    if made := _failed(scene, "make", tries=5):
        return back(release, f"the artefact could not be made: {made}")
    if status is None:
        return Wait("the artefact cannot be seen: " + scene.seen.unseen.get(Need.ARTEFACT, "not yet looked at"))
    if status.state is Making.FAILED:
        return back(release, f"the artefact could not be made: {status.detail}")
    if status.state is Making.READY:
        return _forward(release, "the artefact is made", artefact=status.reference)
    if release.paused is None and scene.now > release.since + release.plan.build_within:
        return back(release, f"the artefact was not made within {release.plan.build_within:g} s")
    if status.state is Making.ABSENT:
        return Do(Make(release.artefact_spec()), f"make the artefact of {release.version}")
    return Wait(status.detail or "the artefact is being made")


def _support(scene: Scene, release: Release, leaving: Colour | None = None) -> Decision | None:
    """The baseline stays up meanwhile. One that cannot be helped must not stop its fix (FT-31)."""
    baseline = release.baseline
    if baseline is None:
        return None
    step = maintain(scene, baseline, active_role(scene, baseline.colour))
    if step is not None and not _failed(scene, "apply", f"{baseline.colour}:{baseline.release}"):
        return step
    test = scene.told.test if scene.told else None
    return refresh(scene, release.split(-1), test=test if test is release.colour else None, leaving=leaving)


def _failed(scene: Scene, verb: str, target: str = "", *, tries: int = 3) -> str:
    """What an action of this phase failed with, once it will not work or has been tried that often; else ""."""
    for key, attempt in scene.service.attempts.items():
        if f"/{verb}/{target}" in key and (attempt.outcome is Outcome.PERMANENT or attempt.failures >= tries):
            return attempt.detail or "failed"
    return ""


def _start(scene: Scene, release: Release) -> Decision:
    status = scene.environment(release.colour)
    if status is None:
        return Wait(f"{release.colour} cannot be seen")
    ready = status.release == release.id and status.ready
    strange = status.release not in (None, release.id) or (not status.present and bool(status.leftovers))
    if not ready and (step := _support(scene, release, release.colour if strange else None)):
        return step
    if strange:
        return vacate(scene, release.colour, release.plan.drain, f"clear {release.colour}") or Wait("clearing")
    refused = _failed(scene, "apply", f"{release.colour}:{release.id}")
    if refused or status.failed:
        return back(release, refused or status.failed)
    if step := maintain(scene, release.deployed(scene.now), Role.IDLE):
        return step
    late = scene.now - _begun(scene.service, release) - release.plan.ready_within
    if not ready:
        if release.paused is None and late > 0:
            return back(release, f"not healthy within {release.plan.ready_within:g} s: {status.detail}")
        return Wait(status.detail or f"{release.version} is starting on {release.colour}")
    spec = routing_spec(scene, release.split(-1), test=release.colour)
    step = tell(scene, spec, "open the test route")
    if step is None:
        return _forward(release, f"{release.version} is healthy on {release.colour}")
    if release.paused is None and late > SETTLE_WITHIN:
        return back(release, f"the test route did not open: {step.why}")
    return step


def _begun(service: Service, release: Release) -> float:
    """When the candidate was first told to start."""
    begun = [a.first for key, a in service.attempts.items() if f"/apply/{release.colour}:{release.id}:" in key]
    return max(release.since, min(begun, default=release.since))


def _checks(scene: Scene, release: Release) -> Decision:
    status = scene.environment(release.colour)
    if step := _support(scene, release):
        return step
    if status is not None and (status.failed or not status.present):
        return back(release, status.failed or f"{release.version} is gone from {release.colour}")
    if step := _unfit(scene, release):
        return step
    if release.paused is not None:
        return Wait("paused: go on with `greenroom resume`")
    for name in release.plan.checks:
        found = release.judgement(f"check:{name}")
        if found is None or found.verdict is Verdict.WAIT:
            if unasked := _failed(scene, "ask", name, tries=5):
                return back(release, f"check {name} could not be asked: {unasked}")
            return Do(Ask(name, found.memo if found else None), f"check {name}")
        if found.verdict is not Verdict.PASS:
            unknown = "could not be answered: " if found.verdict is Verdict.UNKNOWN else ""
            return back(release, f"check {name}: {unknown}{found.reason}")
    if status is None or not status.ready:
        return Wait(f"{release.version} is not ready on {release.colour}")
    usual = scene.seen.history.window(release.colour.other)
    why = "every check passed" if release.plan.checks else "no checks are asked for"
    return _forward(release, why, step=None, baseline=figures_document(usual))


def _shift(scene: Scene, release: Release) -> Decision:
    if release.live_since is None:
        return _shifting(scene, release)
    if step := _watchful(scene, release):
        return step
    if release.whole:
        return _roles(scene, release) or _forward(release, f"all traffic is on {release.colour}, observed")
    return _upheld(scene, release) or _hold(scene, release, release.live_since)


def _shifting(scene: Scene, release: Release) -> Decision:
    """Until this step's split was observed at the router."""
    status = scene.environment(release.colour)
    want = release.split()
    if scene.told is None or scene.told.split != want:
        if status is not None and not status.present:
            return back(release, f"{release.version} is gone from {release.colour}")
        if step := _unfit(scene, release):
            return step
        if status is None or not status.ready:
            return Wait(f"{release.version} is not ready on {release.colour}")
        if release.paused is not None:
            return Wait("paused: go on with `greenroom resume`")
    step = tell(scene, routing_spec(scene, want), f"move the traffic: {want}")
    if step is None:
        return observed(release, want)
    if release.paused is None and scene.now > release.since + SETTLE_WITHIN:
        return back(release, f"the router did not follow within {SETTLE_WITHIN:g} s: {step.why}")
    return step


def _unfit(scene: Scene, release: Release) -> Decision | None:
    """The candidate lost its health, or must go back."""
    if noted := note_candidate(scene, release):
        return noted
    bad = failing(scene, release)
    return back(release, bad) if bad else None


def _watchful(scene: Scene, release: Release) -> Decision | None:
    """With traffic on the candidate: going back comes before everything else."""
    return _unfit(scene, release) or refresh(scene, release.split())


def _upheld(scene: Scene, release: Release) -> Decision | None:
    """Both versions stay up, also after the death of what runs them."""
    for deployed in [release.deployed(scene.now)] + ([release.baseline] if release.baseline else []):
        role = role_now(scene, release, deployed.colour)
        if role is not None and (step := maintain(scene, deployed, role)):
            return step
    return None


def _hold(scene: Scene, release: Release, since: float) -> Decision:
    """A step that is not the last: stay for its time, or until a person approves."""
    step = release.plan.steps[release.step]
    if not release.promoted:
        if step.approval:
            return Wait(f"waiting for approval at {step.percent} %: `greenroom promote` or `greenroom rollback`")
        if scene.now < since + step.hold:
            return Wait(f"{step.percent} % on {release.colour}", since + step.hold)
        verdict = outcome(scene, release)
        if verdict.verdict is Verdict.FAIL:
            return back(release, verdict.reason)
        if verdict.verdict is not Verdict.PASS:
            return Wait(verdict.reason)
    return _forward(release, f"{step.percent} % was good", step=release.step + 1)


def _roles(scene: Scene, release: Release) -> Decision | None:
    """Workers follow the traffic: until the loser's have stopped and the winner's run."""
    pair = [release.deployed(scene.now)] + ([release.baseline] if release.baseline else [])
    for deployed in sorted(pair, key=lambda d: d.colour is release.colour):
        role = role_now(scene, release, deployed.colour)
        if role is not None and (step := maintain(scene, deployed, role)):
            return step
    status = scene.environment(release.colour)
    if status is None or status.role is not Role.ACTIVE or not status.ready:
        return Wait(f"{release.version} takes over the work of the active colour")
    return None


def _bake(scene: Scene, release: Release) -> Decision:
    if step := _watchful(scene, release):
        return step
    if step := _upheld(scene, release):
        return step
    until = release.since + release.plan.bake
    if scene.now < until and not release.promoted:
        return Wait("baking", until)
    if not release.promoted:
        verdict = outcome(scene, release)
        if verdict.verdict is Verdict.FAIL:
            return back(release, verdict.reason)
        if verdict.verdict is not Verdict.PASS:
            return Wait(verdict.reason)
    if not scene.settled:
        return Wait("the router does not show what it was told")
    return _forward(release, "promoted by hand" if release.promoted else "the bake is over, nothing was wrong")


_PHASES = {
    Phase.BUILD: _build,
    Phase.START: _start,
    Phase.CHECKS: _checks,
    Phase.SHIFT: _shift,
    Phase.BAKE: _bake,
    Phase.ABORTING: aborting,
    Phase.ROLLING_BACK: rolling_back,
}
