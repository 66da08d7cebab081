"""The two ways back: `aborting` before users' traffic moved, `rolling_back` after. Goals, not lists of undo steps."""

from __future__ import annotations

from greenroom.domain.actions import Decision, Move, Wait
from greenroom.domain.gating import withdrawn
from greenroom.domain.model import Colour, Role, Split
from greenroom.domain.moves import SETTLE_WITHIN
from greenroom.domain.phases import Phase
from greenroom.domain.records import Moved
from greenroom.domain.release import Deployed, Release
from greenroom.domain.routes import Scene, active_role, maintain, observed, role_now, routing_spec, tell, vacate


def aborting(scene: Scene, release: Release) -> Decision:
    if step := withdrawn(scene, release):
        return step
    if release.baseline is not None and (
        step := maintain(scene, release.baseline, active_role(scene, release.baseline.colour))
    ):
        return step
    told = scene.told
    if told is not None and told.test is not None and not _in_vain(scene, release):
        return tell(scene, routing_spec(scene, told.split), "close the test route") or Wait("the test route closes")
    status = scene.environment(release.colour)
    another = status is not None and status.release not in (None, release.id)  # what is warm there is not the candidate
    leave = release.plan.keep or another
    if not leave and (step := vacate(scene, release.colour, release.plan.drain, "remove the candidate")):
        if not _in_vain(scene, release):
            return step
        return Move(Moved(release.id, Phase.ABORTED, f"what cannot be seen now is cleared later: {step.why}"))
    return Move(Moved(release.id, Phase.ABORTED, release.failure))


def _in_vain(scene: Scene, release: Release) -> bool:
    """What cannot be seen must not keep the next release out for ever: what is left of this one is removed later."""
    status, routing = scene.environment(release.colour), scene.routing
    blind = status is None or bool(status.unseen) or routing is None or bool(routing.unseen)
    return blind and scene.now > release.since + release.plan.drain + SETTLE_WITHIN


def rolling_back(scene: Scene, release: Release) -> Decision:
    """Traffic first. Only to what serves: where the baseline is gone it is started again, and then gets the traffic."""
    baseline = release.baseline
    assert baseline is not None
    if scene.service.accept:
        return _accepted(scene, release, baseline)
    if release.live_since is None:
        status = scene.environment(baseline.colour)
        if status is None:
            return Wait(f"{baseline.colour} cannot be seen")
        if not status.serving:
            return maintain(scene, baseline, status.role or Role.IDLE) or Wait(
                f"the baseline is not ready: {status.detail}"
            )
        split = Split.all_to(baseline.colour)
        return tell(scene, routing_spec(scene, split), f"traffic back to {baseline.colour}") or observed(release, split)
    if step := withdrawn(scene, release):
        return step
    for deployed in (release.deployed(scene.now), baseline):
        seen = scene.environment(deployed.colour)
        gone = deployed.colour is release.colour and seen is not None and seen.release != release.id
        role = role_now(scene, release, deployed.colour)
        if not gone and role is not None and (step := maintain(scene, deployed, role)):
            return step
        if not gone and seen is not None and seen.present and seen.role is not role:
            return Wait(f"{deployed.colour} is becoming {role}")
    status = scene.environment(baseline.colour)
    if status is None or status.role is not Role.ACTIVE:
        return Wait(f"{baseline.version} takes its work back")
    return Move(Moved(release.id, Phase.ROLLED_BACK, release.failure, release.step))


def _accepted(scene: Scene, release: Release, baseline: Deployed) -> Decision:
    """A person says that the route is right as it is. Where all that can be seen have gone back, it is the way back."""
    split = Split.all_to(baseline.colour)
    parts = (scene.routing, scene.environment(Colour.BLUE), scene.environment(Colour.GREEN))
    unseen = sorted({why for part in parts if part is not None for why in part.unseen})
    if not unseen or scene.told is None or scene.told.split != split:
        return Move(Moved(release.id, Phase.FAILED, "the route was accepted as it is"))
    why = f"accepted: {split}, though not all could be seen: {'; '.join(unseen)}"
    facts = {"accepted": {"blue": split.blue, "green": split.green}}
    return Move(Moved(release.id, Phase.ROLLED_BACK, why, release.step, facts))
