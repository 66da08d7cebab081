"""Before any traffic moves: from `gates` to `approve`. The baseline is looked after meanwhile."""

from __future__ import annotations

from typing import Any

from greenroom.domain.actions import Ask, Decision, Do, Make, Wait
from greenroom.domain.assess import figures_document
from greenroom.domain.gating import closed
from greenroom.domain.model import Colour, Making, Role, Verdict
from greenroom.domain.moves import SETTLE_WITHIN, back, failed, forward, unfit
from greenroom.domain.observation import Need
from greenroom.domain.phases import Phase
from greenroom.domain.plan import When
from greenroom.domain.release import Release, Service
from greenroom.domain.routes import Scene, active_role, maintain, refresh, routing_spec, tell, vacate


def gates(scene: Scene, release: Release) -> Decision:
    return _support(scene, release) or closed(scene, release) or forward(release, "every gate is open")


def build(scene: Scene, release: Release) -> Decision:
    status = scene.seen.artefact
    if step := _support(scene, release):
        return step
    if made := failed(scene, "make", tries=5):
        return back(release, f"the artefact could not be made: {made}")
    if status is not None and status.state is Making.FAILED:
        return back(release, f"the artefact could not be made: {status.detail}")
    if status is not None and status.state is Making.READY:
        there = Phase.EXPAND if release.plan.migrates else Phase.START
        return forward(release, "the artefact is made", there=there, artefact=status.reference)
    unseen = "the artefact cannot be seen: " + scene.seen.unseen.get(Need.ARTEFACT, "not yet looked at")
    if release.paused is None and scene.now > release.since + release.plan.build_within:
        why = unseen if status is None else status.detail
        return back(release, f"the artefact was not made within {release.plan.build_within:g} s" + (why and f": {why}"))
    if status is None:
        return Wait(unseen)
    if status.state is Making.ABSENT:
        return Do(Make(release.artefact_spec()), f"make the artefact of {release.version}")
    return Wait(status.detail or "the artefact is being made")


def expand(scene: Scene, release: Release) -> Decision:
    why = "the database has what the new version needs"
    return _support(scene, release) or closed(scene, release) or forward(release, why)


def _support(scene: Scene, release: Release, leaving: Colour | None = None) -> Decision | None:
    """The baseline stays up meanwhile. One that cannot be helped must not stop its fix (FT-31)."""
    baseline = release.baseline
    if baseline is None:
        return None
    step = maintain(scene, baseline, active_role(scene, baseline.colour))
    if step is not None and not failed(scene, "apply", f"{baseline.colour}:{baseline.release}"):
        return step
    test = scene.told.test if scene.told else None
    step = refresh(scene, release.split(-1), test=test if test is release.colour else None, leaving=leaving)
    if isinstance(step, Wait) and scene.routing is not None and scene.routing.unseen:
        return None  # who cannot be seen is not waited for here: the phase has its own time
    return step


def start(scene: Scene, release: Release) -> Decision:
    if step := _closed_to_artefact(scene, release):
        return step
    status = scene.environment(release.colour)
    late = scene.now - _begun(scene.service, release) - release.plan.ready_within
    if status is None:
        why = scene.seen.unseen.get(Need.environment(release.colour), "not yet looked at")
        if release.paused is None and late > 0:
            return back(release, f"{release.colour} could not be seen for {release.plan.ready_within:g} s: {why}")
        return Wait(f"{release.colour} cannot be seen: {why}")
    ready = status.release == release.id and status.ready
    strange = status.release not in (None, release.id) or (not status.present and bool(status.leftovers))
    if not ready and (step := _support(scene, release, release.colour if strange else None)):
        return step
    if strange:
        return vacate(scene, release.colour, release.plan.drain, f"clear {release.colour}") or Wait("clearing")
    refused = failed(scene, "apply", f"{release.colour}:{release.id}")
    if refused or status.failed:
        return back(release, refused or status.failed)
    if step := maintain(scene, release.deployed(scene.now), Role.IDLE):
        return step
    if not ready:
        if release.paused is None and late > 0:
            return back(release, f"not healthy within {release.plan.ready_within:g} s: {status.detail}")
        return Wait(status.detail or f"{release.version} is starting on {release.colour}")
    spec = routing_spec(scene, release.split(-1), test=release.colour)
    step = tell(scene, spec, "open the test route")
    if step is None:
        return forward(release, f"{release.version} is healthy on {release.colour}")
    if release.paused is None and late > SETTLE_WITHIN:
        return back(release, f"the test route did not open: {step.why}")
    return step


def _closed_to_artefact(scene: Scene, release: Release) -> Decision | None:
    """Until the gates on the artefact are open. Nothing of it was started before that."""
    if not release.asking:
        return closed(scene, release)
    return _support(scene, release) or closed(scene, release)


def _begun(service: Service, release: Release) -> float:
    """When the candidate was first told to start; before that, since when it may be."""
    begun = [a.first for key, a in service.attempts.items() if f"/apply/{release.colour}:{release.id}:" in key]
    answers = [release.judgement(gate.subject) for gate in release.plan.gates_of(When.ARTEFACT)]
    allowed = max([release.since, *(answer.at for answer in answers if answer is not None)])
    return max(allowed, min(begun, default=allowed))


def checks(scene: Scene, release: Release) -> Decision:
    status = scene.environment(release.colour)
    if step := _support(scene, release):
        return step
    if status is not None and (status.failed or not status.present):
        return back(release, status.failed or f"{release.version} is gone from {release.colour}")
    if step := unfit(scene, release):
        return step
    if release.paused is not None:
        return Wait("paused: go on with `greenroom resume`")
    for name in release.plan.checks:
        found = release.judgement(f"check:{name}")
        if name == release.checking and (step := _mirroring(scene, release)):
            return step
        if found is None or found.verdict is Verdict.WAIT:
            if unasked := failed(scene, "ask", name, tries=5):
                return back(release, f"check {name} could not be asked: {unasked}")
            return Do(Ask(name, found.memo if found else None), f"check {name}")
        if found.verdict is not Verdict.PASS:
            unknown = "could not be answered: " if found.verdict is Verdict.UNKNOWN else ""
            return back(release, f"check {name}: {unknown}{found.reason}")
    if status is None or not status.ready:
        return Wait(f"{release.version} is not ready on {release.colour}")
    why = "every check passed" if release.plan.checks else "no checks are asked for"
    return forward(release, why, there=_after_checks(release), baseline=_usual(scene, release))


def _after_checks(release: Release) -> Phase:
    return Phase.BACKFILL if release.plan.gates_of(When.BACKFILL) else _after_backfill(release)


def _after_backfill(release: Release) -> Phase:
    return Phase.APPROVE if release.plan.gates_of(When.APPROVE) else Phase.SHIFT


def _mirroring(scene: Scene, release: Release) -> Decision | None:
    """Until the router copies requests for the check that is asked now, where that wants it."""
    percent = release.plan.mirrors.get(release.checking, 0)
    if not percent or release.baseline is None:
        return None
    spec = routing_spec(scene, release.split(-1), test=release.colour)
    return tell(scene, spec, f"copy {percent} % of users' requests for {release.checking}")


def backfill(scene: Scene, release: Release) -> Decision:
    return _held(scene, release, "what was added is filled, and verified", _after_backfill(release))


def approve(scene: Scene, release: Release) -> Decision:
    return _held(scene, release, "every gate is open", Phase.SHIFT)


def _held(scene: Scene, release: Release, why: str, there: Phase) -> Decision:
    """The candidate stays well while its gates are asked; then on."""
    status = scene.environment(release.colour)
    if step := _support(scene, release):
        return step
    if status is not None and (status.failed or not status.present):
        return back(release, status.failed or f"{release.version} is gone from {release.colour}")
    if step := unfit(scene, release) or closed(scene, release):
        return step
    if status is None or not status.ready:
        return Wait(f"{release.version} is not ready on {release.colour}")
    return forward(release, why, there=there, baseline=_usual(scene, release))


def _usual(scene: Scene, release: Release) -> dict[str, Any]:
    """What the baseline did in the window before the shift."""
    return figures_document(scene.seen.history.window(release.colour.other))
