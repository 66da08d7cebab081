"""Whether the candidate must go back: its health, the watches, and the analysis. Unknown is neither yes nor no."""

from __future__ import annotations

from typing import Any

from greenroom.domain import verdicts
from greenroom.domain.actions import Note
from greenroom.domain.assess import Standard, figures_document, judge
from greenroom.domain.model import EnvironmentStatus, Health, Verdict
from greenroom.domain.observation import Need
from greenroom.domain.opinion import Finding
from greenroom.domain.phases import Phase
from greenroom.domain.readings import judge_sources
from greenroom.domain.records import Judged
from greenroom.domain.release import Release
from greenroom.domain.routes import Scene
from greenroom.domain.verdicts import Action
from greenroom.domain.view import View

GRACE = 10.0
"""Seconds that a candidate with traffic may be less than wholly healthy (a replica restarts) before it goes back."""

IN_A_ROW = 2
"""Failures of a watch, one after the other, that count."""


def note_candidate(scene: Scene, release: Release) -> Note | None:
    """The candidate lost or regained its health: written down once, because the time counts."""
    status = scene.environment(release.colour)
    if status is None:
        return None
    before = release.judgement("candidate")
    waiting = before is not None and before.verdict is Verdict.WAIT
    exposed = release.live_since is not None or release.step > 0
    if (unwell(status) if exposed else not status.ready) and not waiting:
        return Note(Judged(release.id, "candidate", Verdict.WAIT, status.detail or "not every replica is healthy"))
    if status.ready and waiting:
        return Note(Judged(release.id, "candidate", Verdict.PASS, "every replica is healthy"))
    return None


def unwell(status: EnvironmentStatus) -> bool:
    """Seen not to be as it should. A machine that we cannot see says nothing about the candidate."""
    if not status.unseen:
        return not status.ready
    return not status.present or any(m.health is not Health.HEALTHY for m in status.members if m.process)


def failing(scene: Scene, release: Release) -> str:
    """Why the candidate must go back now; "" if it need not."""
    status = scene.environment(release.colour)
    before = release.judgement("candidate")
    exposed = release.live_since is not None or release.step > 0
    if status is not None and status.failed:
        return status.failed
    misfortune = status is not None and _misfortune(scene, release, status)
    if status is not None and not status.serving and exposed and not misfortune:
        return f"no replica of {release.version} is healthy: {status.detail}"
    if before is not None and before.verdict is Verdict.FAIL:
        return before.reason
    if before is not None and before.verdict is Verdict.WAIT and release.paused is None:
        patience = release.plan.ready_within if misfortune or release.phase is Phase.SHIFT else GRACE
        still = status is not None and (unwell(status) if exposed else not status.ready)
        if status is not None and still and scene.now > before.at + patience:
            return f"not healthy for {patience:g} s: {status.detail}"
    if not exposed:
        return ""
    for name in release.plan.watches:
        watched = scene.seen.watches.get(name)
        if watched is not None and watched.failures >= IN_A_ROW:
            return f"{name}: {watched.finding.reason}"
    found = judged(scene, release, final=False)
    return found.reason if verdicts.analysis(found.verdict, final=False) is Action.BACK else ""


def _misfortune(scene: Scene, release: Release, status: EnvironmentStatus) -> bool:
    """The candidate does not run as it should, and that is not its fault: its processes serve on without a supervisor,
    while fresh ones start, or everything is down, as after a reboot. Going back would help nobody."""
    if status.leftovers:
        return True
    baseline = scene.environment(release.colour.other) if release.baseline else None
    down = all(m.health is Health.STARTING for m in status.members if m.routed)
    return down and (baseline is None or not baseline.serving)


def standard(scene: Scene, release: Release) -> Standard | None:
    """What the analysis compares with: the baseline beside the candidate, or, at 100 %, before the switch."""
    if release.baseline is None:
        return None
    age = None if release.live_since is None else max(0.0, scene.now - release.live_since)
    return Standard(release.baseline.colour, not release.whole, age, release.usual)


def judged(scene: Scene, release: Release, *, final: bool) -> Finding:
    """By the router's counters and by every source. What fails comes first, then what cannot be told."""
    rules, history = release.plan.rules, scene.seen.history
    counted = judge(rules, history, release.colour, standard(scene, release), final=final)
    blind = scene.seen.unseen.get(Need.MEASUREMENT) if any(not rule.source for rule in rules) else None
    if final and blind is not None:
        counted = Finding(Verdict.UNKNOWN, f"the analysis sees nothing: {blind}")
    said = judge_sources(rules, scene.seen.readings, final=final, since=history.first.get(release.colour))
    for verdict in (Verdict.FAIL, Verdict.UNKNOWN, Verdict.WAIT):
        for finding in (counted, said):
            if finding.verdict is verdict:
                return finding
    return counted


def outcome(scene: Scene, release: Release) -> Finding:
    """The verdict at the end of a step or of the bake."""
    if not release.plan.rules:
        return Finding(Verdict.PASS)
    return judged(scene, release, final=True)


BESIDE = 30.0
"""Seconds of the window that is shown of both colours."""


def figures_beside(scene: Scene, release: Release) -> dict[str, Any]:
    """What both versions' users met of late, for the journal: people want to see it side by side."""
    history = scene.seen.history
    compared = standard(scene, release)
    usual = View(history, release.colour, compared).usual(BESIDE) if compared else []
    return {
        "seconds": round(min(BESIDE, history.span), 1),
        "candidate": figures_document(history.window(release.colour, BESIDE)),
        "baseline": figures_document(usual[-1]) if usual else None,
    }


def told_of(scene: Scene, release: Release) -> str:
    """The share that the candidate really had in this step, and what its users met; "" without requests."""
    since = scene.now - release.live_since if release.live_since is not None else 0.0
    ours, theirs = (scene.seen.history.window(c, since) for c in (release.colour, release.colour.other))
    total = ours.requests + theirs.requests
    if not ours.requests:
        return f"none of {total} requests were its" if total else ""
    rate = 100 * ours.errors / ours.requests
    return f"{100 * ours.requests / total:.3g} % of {total} requests were its, {rate:.3g} % of them failed"
