"""With traffic: `shift` and `bake`. Going back comes before everything else."""

from __future__ import annotations

from greenroom.domain.actions import Decision, Note, Wait
from greenroom.domain.gating import closed, withdrawn
from greenroom.domain.judging import figures_beside, outcome, told_of
from greenroom.domain.model import Role, Verdict
from greenroom.domain.moves import back, forward, settled_by, unfit
from greenroom.domain.opinion import Finding
from greenroom.domain.records import Judged
from greenroom.domain.release import REHEARSED, Release
from greenroom.domain.routes import Scene, maintain, observed, refresh, role_now, routing_spec, tell
from greenroom.domain.verdicts import Action, analysis


def shift(scene: Scene, release: Release) -> Decision:
    if release.live_since is None:
        return _shifting(scene, release)
    if step := _watchful(scene, release):
        return step
    if release.whole:
        return _roles(scene, release) or forward(release, f"all traffic is on {release.colour}, observed")
    return _upheld(scene, release) or _hold(scene, release, release.live_since)


def _shifting(scene: Scene, release: Release) -> Decision:
    """Until this step's split was observed at the router."""
    status = scene.environment(release.colour)
    want = release.split()
    spec = routing_spec(scene, want)
    if scene.told is None or (scene.told.split, scene.told.first) != (want, spec.first):
        if status is not None and not status.present:
            return back(release, f"{release.version} is gone from {release.colour}")
        if step := unfit(scene, release):
            return step
        if status is None or not status.ready:
            return Wait(f"{release.version} is not ready on {release.colour}")
        if release.paused is not None:
            return Wait("paused: go on with `greenroom resume`")
    step = tell(scene, spec, f"move the traffic: {want}")
    if step is None:
        return observed(release, want)
    if release.paused is None and scene.now > (until := settled_by(scene, release)):
        return back(release, f"the router did not follow within {until - release.since:g} s: {step.why}")
    return step


def _watchful(scene: Scene, release: Release) -> Decision | None:
    """With traffic on the candidate: going back comes before everything else."""
    return unfit(scene, release) or refresh(scene, release.split())


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
        if release.plan.rehearsal:
            why = f"{REHEARSED}: {step.percent} % goes back"
            return back(release, why, figures=figures_beside(scene, release))
        if weighed := _weighed(scene, release):
            return weighed
    told = told_of(scene, release)
    why = f"{step.percent} % was good" + (f": {told}" if told else "")
    return forward(release, why, step=release.step + 1, figures=figures_beside(scene, release))


def _weighed(scene: Scene, release: Release) -> Decision | None:
    """What the analysis says at the end of a step, and of the bake; None: go on."""
    found = outcome(scene, release)
    match analysis(found.verdict, final=True):
        case Action.BACK:
            return back(release, found.reason, figures=figures_beside(scene, release))
        case Action.WAIT:
            return _undecided(scene, release, found) or Wait(found.reason)
        case Action.GO | Action.TELL:
            return None


def _undecided(scene: Scene, release: Release, found: Finding) -> Note | None:
    """That the analysis cannot tell is written down once: a release that stays so is stuck, and somebody is told."""
    before = release.judgement("analysis")
    known = before is not None and before.verdict is Verdict.UNKNOWN and before.at >= release.since
    if known is (found.verdict is Verdict.UNKNOWN) or scene.service.unseen is not None:
        return None
    return Note(Judged(release.id, "analysis", found.verdict, found.reason))


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


def bake(scene: Scene, release: Release) -> Decision:
    if step := _watchful(scene, release):
        return step
    if step := _upheld(scene, release):
        return step
    if not release.promoted and (step := closed(scene, release)):
        return step
    if release.promoted and (step := withdrawn(scene, release)):
        return step
    until = release.since + release.plan.bake
    if scene.now < until and not release.promoted:
        return Wait("baking", until)
    if release.plan.rehearsal:
        return back(release, f"{REHEARSED}: all traffic goes back")
    if not release.promoted and (step := _weighed(scene, release)):
        return step
    status = scene.environment(release.colour)
    if status is not None and status.unseen and not release.promoted:
        return Wait(f"not all of {release.colour} can be seen: {'; '.join(status.unseen)}")
    if not scene.settled:
        return Wait("the router does not show what it was told")
    why = "promoted by hand" if release.promoted else "the bake is over, nothing was wrong"
    return forward(release, why, figures=figures_beside(scene, release))
