"""Gates: may we go on? Asked one after the other, by the phase that they belong to. Unknown does not open a gate."""

from __future__ import annotations

from dataclasses import replace

from greenroom.domain import verdicts
from greenroom.domain.actions import Ask, Decision, Do, Note, Wait, Withdraw
from greenroom.domain.model import Verdict
from greenroom.domain.moves import back, failed
from greenroom.domain.plan import CONTRACT, Gate
from greenroom.domain.records import Judged, Outcome
from greenroom.domain.release import Release
from greenroom.domain.routes import Scene

VERDICT_IN_VAIN = 5
"""How often a gate may fail to answer before that is its answer."""

HALTS_WITHIN = 15.0
"""Seconds for which a contract is told to stop; the ledger refuses it in any case what it would write later."""


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
        if found is not None and found.verdict is Verdict.WAIT and not _ended(scene, action):
            return Do(replace(action, memo=found.memo), f"end {action.target}")
    return None


def halted(scene: Scene, release: Release) -> Decision | None:
    """Until the contract that was being carried out when this release began has stopped: it goes on after it."""
    contract = scene.service.contract
    if contract is None or not contract.overtaken or scene.service.active is None or release.row.exposed:
        return None
    action = Withdraw(CONTRACT.name, contract.judged.memo if contract.judged else None, gate=True)
    if not _ended(scene, action, within=HALTS_WITHIN):
        return Do(action, "end the contract; it goes on after the release")
    why = f"release {release.id} has begun; it goes on when that is over"
    return Note(Judged("", CONTRACT.subject, Verdict.WAIT, why))


def _ended(scene: Scene, action: Withdraw, within: float = 0.0) -> bool:
    """It was, or will not be, or was tried for so long."""
    sure = (Outcome.DONE, Outcome.PERMANENT)
    tried = [a for key, a in scene.service.attempts.items() if f"/withdraw/{action.target}/" in key and a.outcome]
    return any(a.outcome in sure or scene.now >= a.first + within for a in tried)
