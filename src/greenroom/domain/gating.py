"""Gates: may we go on? Asked one after the other, by the phase that they belong to. Unknown does not open a gate."""

from __future__ import annotations

from dataclasses import replace

from greenroom.domain import verdicts
from greenroom.domain.actions import Ask, Decision, Do, Note, Wait, Withdraw
from greenroom.domain.model import Verdict
from greenroom.domain.moves import back, failed
from greenroom.domain.plan import Gate
from greenroom.domain.records import Judged
from greenroom.domain.release import Release
from greenroom.domain.routes import Scene

VERDICT_IN_VAIN = 5
"""How often a gate may fail to answer before that is its answer."""


def closed(scene: Scene, release: Release) -> Decision | None:
    """Until every gate of the present phase is open; None then. A gate that somebody overrode is not asked."""
    for gate in release.gates:
        found = release.judgement(gate.subject)
        if found is None and gate.name in release.overrides:
            why = f"overridden by {release.by}: {release.overrides[gate.name]}"
            return Note(Judged(release.id, gate.subject, Verdict.PASS, why))
        if found is not None and found.verdict is Verdict.PASS:
            continue
        if found is not None and found.verdict is not Verdict.WAIT:
            if tolerated(release, gate, found.verdict):
                continue
            unknown = "could not be answered: " if found.verdict is Verdict.UNKNOWN else ""
            return back(release, f"{gate.spoken}: {unknown}{found.reason}")
        if release.paused is not None:
            return Wait("paused: go on with `greenroom resume`")
        if unasked := failed(scene, "ask", gate.subject, tries=VERDICT_IN_VAIN):
            return _unasked(release, gate, unasked)
        return Do(Ask(gate.name, found.memo if found else None, gate=True), gate.spoken)
    return None


def tolerated(release: Release, gate: Gate, verdict: Verdict) -> bool:
    """It is told, and stops nothing. Under users' traffic a gate that could not look is no reason to go back."""
    return verdicts.gate(verdict, exposed=release.row.exposed, notify_only=gate.notify_only) is verdicts.Action.TELL


def _unasked(release: Release, gate: Gate, why: str) -> Decision:
    if tolerated(release, gate, Verdict.UNKNOWN):
        return Note(Judged(release.id, gate.subject, Verdict.UNKNOWN, why))
    return back(release, f"{gate.spoken} could not be asked: {why}")


def withdrawn(scene: Scene, release: Release) -> Decision | None:
    """Until everything that gates and checks have begun was ended."""
    asked = [Withdraw(gate.name, None, gate=True) for gate in release.plan.gates]
    for action in [*asked, *(Withdraw(name, None) for name in release.plan.checks)]:
        found = release.judgement(action.subject)
        done = any(f"/withdraw/{action.target}/" in key and a.outcome for key, a in scene.service.attempts.items())
        if found is not None and found.verdict is Verdict.WAIT and not done:
            return Do(replace(action, memo=found.memo), f"end {action.target}")
    return None
