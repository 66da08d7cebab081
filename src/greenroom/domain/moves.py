"""Steps that phases share: on to the next one, or the way out."""

from __future__ import annotations

from greenroom.domain.actions import Decision, Move, Wait
from greenroom.domain.judging import failing, figures_beside, note_candidate
from greenroom.domain.phases import Phase, may_move
from greenroom.domain.records import Moved, Outcome
from greenroom.domain.release import Release
from greenroom.domain.routes import Scene

SETTLE_WITHIN = 60.0
"""Seconds within which a router must serve what it was told."""


def settled_by(scene: Scene, release: Release) -> float:
    """When the router must serve what it was told. Some know themselves how long that takes: DNS does."""
    told = scene.routing.settles_at if scene.routing is not None else None
    return max(release.since, told or 0.0) + SETTLE_WITHIN


def back(release: Release, why: str, **facts: object) -> Move:
    """The way out of the present phase."""
    there = release.row.on_failure
    if there is Phase.ROLLING_BACK and release.baseline is None:
        there = Phase.FAILED
    assert there is not None
    assert may_move(release.phase, there)
    return Move(Moved(release.id, there, why, release.step, facts))


def forward(
    release: Release, why: str, *, step: int | None = None, there: Phase | None = None, **facts: object
) -> Decision:
    """The next phase (or step; or, if not the usual one, `there`), unless a person has paused the release."""
    if release.paused is not None:
        return Wait("paused: go on with `greenroom resume`")
    there = there or (release.phase if step is not None else release.row.next)
    assert there is not None
    assert may_move(release.phase, there)
    return Move(Moved(release.id, there, why, release.step if step is None else step, facts))


def failed(scene: Scene, verb: str, target: str = "", *, tries: int = 3) -> str:
    """What an action of this phase failed with, once it will not work or has been tried that often; else ""."""
    for key, attempt in scene.service.attempts.items():
        if f"/{verb}/{target}" in key and (attempt.outcome is Outcome.PERMANENT or attempt.failures >= tries):
            return attempt.detail or "failed"
    return ""


def unfit(scene: Scene, release: Release) -> Decision | None:
    """The candidate lost its health, or must go back."""
    if noted := note_candidate(scene, release):
        return noted
    bad = failing(scene, release)
    facts = {"figures": figures_beside(scene, release)} if release.row.exposed else {}
    return back(release, bad, **facts) if bad else None
