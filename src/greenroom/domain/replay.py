"""From records to state: `fold` is the only way that a `Service` changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from greenroom.domain.assess import figures_of
from greenroom.domain.model import Colour, Split, Verdict
from greenroom.domain.opinion import Approval
from greenroom.domain.phases import ENDS, Phase
from greenroom.domain.plan import CONTRACT, Plan, When
from greenroom.domain.records import Entry, Finished, Judged, Moved, Outcome, Requested, Started
from greenroom.domain.release import REMEMBERED, Attempt, Contract, Deployed, Judgement, Release, Service, Warm


def fold(service: Service, entry: Entry) -> Service:
    """The state after this record."""
    state = replace(service, seq=entry.seq)
    match entry.record:
        case Requested() as record:
            return _requested(state, record, entry.at)
        case Moved() as record:
            return _moved(state, record, entry.at)
        case Judged() as record:
            return _judged(state, record, entry.at)
        case Started() as record:
            return _attempted(state, record.key, None, "", entry.at)
        case Finished() as record:
            if record.verb == "route" and record.outcome in (Outcome.DONE, Outcome.UNCERTAIN):
                state = replace(state, told=entry.at)
            return _attempted(state, record.key, record.outcome, record.detail, entry.at)


def replay(entries: Iterable[Entry], start: Service | None = None) -> Service:
    state = start or Service()
    for entry in entries:
        state = fold(state, entry)
    return state


def _begin(state: Service, record: Requested, at: float) -> Service:
    past = (*state.past, state.release)[-REMEMBERED:] if state.release else state.past
    details = record.details
    release = Release(
        id=record.release,
        version=str(details["version"]),
        colour=Colour(details["colour"]),
        plan=Plan.of(details.get("plan", {})),
        definition=details.get("definition", {}),
        by=record.by,
        begun=at,
        since=at,
        baseline=state.active,
        why=record.why or "requested",
        overrides=details.get("overrides", {}),
        pinned=details.get("migrations"),
    )
    if release.plan.gates_of(When.SOURCE):
        release = replace(release, phase=Phase.GATES)
    kept = tuple(r for r in past if r is not None)
    asked = state.contract
    contract = replace(asked, overtaken=True) if asked is not None and asked.open else None
    fresh: dict[str, Any] = {"down": False, "unseen": None, "attempts": {}, "contract": contract}
    return replace(state, release=release, past=kept, count=state.count + 1, **fresh)


def _requested(state: Service, record: Requested, at: float) -> Service:
    release = state.release
    match record.command:
        case "deploy":
            return _begin(state, record, at)
        case "down":
            unsure = state.unsure or bool(state.drift)
            return replace(state, down=True, drift="", unsure=unsure, restore=False, accept=False)
        case "resume" if state.down:
            return replace(state, down=False)
        case "retire":
            return replace(state, warm=None, retired=frozenset({release.id} if release else ()))
        case "contract":
            known = {key: a for key, a in state.attempts.items() if CONTRACT.subject not in key}
            asked = Contract(record.by, record.why, at, allowed=record.details.get("allow", {}))
            return replace(state, contract=asked, attempts=known)
        case "restore":
            return replace(state, contract=None)
        case "reconcile" if record.details.get("accept"):
            return replace(state, accept=True, restore=False)
        case "reconcile":
            return replace(_awake(state, at), restore=True, accept=False)
    if release is None:
        return state
    match record.command:
        case "promote" if "gate" in record.details:
            return replace(_awake(state, at), release=_approved(state, release, record, at))
        case "promote":
            state = _awake(state, at)
            return replace(state, release=replace(state.release or release, promoted=True), restore=bool(state.drift))
        case "pause" if release.paused is None:
            return replace(state, release=replace(release, paused=at))
        case "resume":
            return _awake(state, at)
        case "abort" | "rollback":
            why = f"{record.command} by {record.by}" + (f": {record.why}" if record.why else "")
            state = _awake(state, at)
            return replace(state, release=replace(state.release or release, going_back=why))
    return state


def _approved(state: Service, release: Release, record: Requested, at: float) -> Release:
    gate, groups = str(record.details["gate"]), tuple(record.details.get("groups", ()))
    said = (*release.approvals.get(gate, ()), Approval(record.by, at, groups))
    return replace(_awake(state, at).release or release, approvals={**release.approvals, gate: said})


def _awake(state: Service, at: float) -> Service:
    """End a pause. The time slept does not count against any deadline (FT-53)."""
    release = state.release
    if release is None or release.paused is None:
        return state
    slept = at - release.paused
    live = None if release.live_since is None else release.live_since + slept
    return replace(state, release=replace(release, paused=None, since=release.since + slept, live_since=live))


def _moved(state: Service, record: Moved, at: float) -> Service:
    release = state.release
    if release is None or release.id != record.release:
        return state
    back = record.to in (Phase.ABORTING, Phase.ROLLING_BACK, Phase.FAILED)
    keep_live = record.to is Phase.BAKE or record.to is Phase.SUCCEEDED
    moved = replace(
        release,
        phase=record.to,
        since=at,
        step=record.step,
        why=record.why,
        promoted=False,
        paused=None if back else release.paused,
        live_since=release.live_since if keep_live else None,
        failure=record.why if back and not release.failure else release.failure,
        turned=at if back and release.turned is None else release.turned,
        ended=at if record.to in ENDS else None,
        artefact=str(record.facts.get("artefact", release.artefact)),
        usual=figures_of(record.facts.get("baseline")) or release.usual,
        beside=record.facts.get("figures") or release.beside,
    )
    state = replace(state, release=moved, attempts={}, unseen=None, accept=False)
    if record.to is Phase.FAILED:  # the route is taken as it is: since when it has left a colour was not seen
        state = replace(state, left=dict.fromkeys(Colour, at))
    match record.to:
        case Phase.START:
            return replace(state, warm=None)
        case Phase.SUCCEEDED if moved.baseline is not None:
            return replace(state, warm=Warm(moved.baseline, at + moved.plan.keep_warm))
        case Phase.ROLLING_BACK:
            return replace(state, warm=None)
        case Phase.ROLLED_BACK if "accepted" in record.facts:
            return _live(state, record.facts["accepted"], at)
        case Phase.FAILED if state.active is None:
            return replace(state, active=moved.deployed(at))
    return state


def _judged(state: Service, record: Judged, at: float) -> Service:
    judgement = Judgement(record.verdict, record.reason, at, record.memo)
    if record.subject == "route":
        drift = record.reason if record.verdict is Verdict.FAIL else ""
        state = _drifting(state, bool(drift), at)
        state = replace(state, drift=drift, restore=state.restore and bool(drift), accept=False)
        state = replace(state, left=dict.fromkeys(Colour, at), unsure=False)
    if record.subject == CONTRACT.subject:
        asked = state.contract or Contract("greenroom", "migrations.contract: auto", at)
        asked = replace(asked, judged=judgement, overtaken=False)
        return replace(state, contract=asked, contracted=at if asked.took else state.contracted)
    if record.subject == "look":
        state = replace(state, unseen=judgement if record.verdict is Verdict.UNKNOWN else None)
    if record.subject == "live":
        state = _live(state, record.memo or {}, at)
        state = replace(state, drift="", drifted=None, accept=False) if state.accept else state
    release = state.release
    if release is None or release.id != record.release:
        return state
    return replace(state, release=replace(release, judged={**release.judged, record.subject: judgement}))


def _drifting(state: Service, drifts: bool, at: float) -> Service:
    """While the route is not ours a release waits for a person: that time counts against no deadline either."""
    if drifts:
        return replace(state, drifted=state.drifted if state.drifted is not None else at)
    release, since = state.release, state.drifted
    state = replace(state, drifted=None)
    if release is None or not release.running or since is None or release.paused is not None:
        return state
    slept = at - max(since, release.since)
    live = None if release.live_since is None else release.live_since + slept
    return replace(state, release=replace(release, since=release.since + slept, live_since=live))


def _live(state: Service, memo: Mapping[str, Any], at: float) -> Service:
    """The router was seen to serve this split."""
    release = state.release
    split = Split(int(memo.get("blue", 0)), int(memo.get("green", 0)))
    state = replace(state, left={**state.left, **{c: at for c in Colour if split.of(c) == 0}})
    if release is not None and release.phase in (Phase.SHIFT, Phase.ROLLING_BACK):
        release = replace(release, live_since=at)
        state = replace(state, release=release)
    for colour in Colour:
        if split.of(colour) == 100 and (state.active is None or state.active.colour is not colour):
            return replace(state, active=_on(state, colour, at), warm=_unless(state.warm, colour))
    return state


def _unless(warm: Warm | None, colour: Colour) -> Warm | None:
    return warm if warm and warm.deployed.colour is not colour else None


def _on(state: Service, colour: Colour, at: float) -> Deployed | None:
    """The version that this colour runs, as far as the journal knows."""
    release = state.release
    if release is not None and release.colour is colour and release.artefact:
        return release.deployed(at)
    if release is not None and release.baseline is not None and release.baseline.colour is colour:
        return replace(release.baseline, since=at)
    if state.warm is not None and state.warm.deployed.colour is colour:
        return replace(state.warm.deployed, since=at)
    return state.active


def _attempted(state: Service, key: str, outcome: Outcome | None, detail: str, at: float) -> Service:
    """Failures are counted from `Finished`, never from `Started`: a crash is not a failure."""
    before = state.attempts.get(key, Attempt(at))
    failed = outcome is not None and outcome is not Outcome.DONE
    if outcome is None:
        after = replace(before, at=at)
    else:
        after = Attempt(before.first, before.failures + 1 if failed else 0, outcome, detail, at)
    return replace(state, attempts={**state.attempts, key: after})
