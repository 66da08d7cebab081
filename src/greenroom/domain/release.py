"""The state of a service, replayed from its journal. `Service.fold` is the only way that it changes.

What is live is a copy of what was observed at the router (`Judged("live")`), never of what was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from greenroom.domain.assess import figures_of
from greenroom.domain.model import ArtefactSpec, Colour, Document, EnvironmentSpec, Figures, Role, Split, Verdict
from greenroom.domain.phases import ENDS, TABLE, Phase, Row
from greenroom.domain.plan import Plan
from greenroom.domain.records import Entry, Finished, Judged, Moved, Outcome, Requested, Started

REMEMBERED = 20
"""Ended releases that the replayed state keeps; the journal keeps all."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A version on a colour, with all that is needed to start it again."""

    release: str
    version: str
    colour: Colour
    artefact: str
    definition: Document
    plan: Plan
    since: float

    def spec(self, role: Role, *, sweep: bool = False) -> EnvironmentSpec:
        return EnvironmentSpec(self.release, self.version, self.artefact, role, self.definition, sweep)


@dataclass(frozen=True, slots=True)
class Warm:
    """The version before, kept running so that the way back is instant, until `until`."""

    deployed: Deployed
    until: float


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    reason: str
    at: float
    memo: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """One attempt to bring a version live. Times are the journal's.

    `live_since`: when the present step (or the way back) was observed at the router, None while it is not yet.
    `going_back`: why somebody asked to abort or roll back, "" if nobody did. `paused`: since when, None if not.
    """

    id: str
    version: str
    colour: Colour
    plan: Plan
    definition: Document
    by: str
    begun: float
    baseline: Deployed | None
    phase: Phase = Phase.BUILD
    since: float = 0.0
    step: int = 0
    why: str = ""
    artefact: str = ""
    live_since: float | None = None
    promoted: bool = False
    paused: float | None = None
    restore: bool = False
    going_back: str = ""
    failure: str = ""
    ended: float | None = None
    judged: Mapping[str, Judgement] = field(default_factory=dict)
    usual: Figures | None = None
    """What the baseline did in its last window before the shift."""

    @property
    def row(self) -> Row:
        return TABLE[self.phase]

    @property
    def running(self) -> bool:
        return self.phase not in ENDS

    @property
    def share(self) -> int:
        """What the present step gives the candidate, in percent."""
        return self.plan.steps[min(self.step, len(self.plan.steps) - 1)].percent

    @property
    def whole(self) -> bool:
        return self.share >= 100

    def split(self, step: int | None = None) -> Split:
        """Users' traffic as the given step (default: the present one; -1: before the first) wants it."""
        at = self.step if step is None else step
        if self.baseline is None:
            return Split.none() if at < 0 else Split.all_to(self.colour)
        return Split.share(self.colour, 0 if at < 0 else self.plan.steps[min(at, len(self.plan.steps) - 1)].percent)

    def judgement(self, subject: str) -> Judgement | None:
        return self.judged.get(subject)

    def deployed(self, since: float) -> Deployed:
        return Deployed(self.id, self.version, self.colour, self.artefact, self.definition, self.plan, since)

    def artefact_spec(self) -> ArtefactSpec:
        return ArtefactSpec(self.id, self.version, self.definition)

    def spec(self, role: Role, *, sweep: bool = False) -> EnvironmentSpec:
        return self.deployed(self.begun).spec(role, sweep=sweep)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is known of one action: how often it failed, and what came of it last."""

    first: float
    failures: int = 0
    outcome: Outcome | None = None
    detail: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that the journal says. `seq`: of the last record folded in. `down`: stopped on purpose."""

    seq: int = 0
    count: int = 0
    active: Deployed | None = None
    warm: Warm | None = None
    release: Release | None = None
    past: tuple[Release, ...] = ()
    down: bool = False
    drift: str = ""
    unseen: Judgement | None = None
    accept: bool = False
    restore: bool = False
    attempts: Mapping[str, Attempt] = field(default_factory=dict)
    retired: frozenset[str] = frozenset()

    @property
    def running(self) -> Release | None:
        return self.release if self.release and self.release.running else None

    def warm_at(self, now: float) -> Warm | None:
        return self.warm if self.warm and now < self.warm.until else None

    def fold(self, entry: Entry) -> Service:
        """The state after this record."""
        state = replace(self, seq=entry.seq)
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
                return _attempted(state, record.key, record.outcome, record.detail, entry.at)


def replay(entries: Iterable[Entry], start: Service | None = None) -> Service:
    state = start or Service()
    for entry in entries:
        state = state.fold(entry)
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
    )
    kept = tuple(r for r in past if r is not None)
    return replace(state, release=release, past=kept, count=state.count + 1, down=False, unseen=None, attempts={})


def _requested(state: Service, record: Requested, at: float) -> Service:
    release = state.release
    match record.command:
        case "deploy":
            return _begin(state, record, at)
        case "down":
            return replace(state, down=True)
        case "resume" if state.down:
            return replace(state, down=False)
        case "retire":
            return replace(state, warm=None, retired=frozenset({release.id} if release else ()))
        case "reconcile" if record.details.get("accept"):
            return replace(state, accept=True)
        case "reconcile":
            return replace(_awake(state, at), restore=True)
    if release is None:
        return state
    match record.command:
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
        ended=at if record.to in ENDS else None,
        artefact=str(record.facts.get("artefact", release.artefact)),
        usual=figures_of(record.facts.get("baseline")) or release.usual,
    )
    state = replace(state, release=moved, attempts={}, unseen=None, accept=False)
    match record.to:
        case Phase.START:
            return replace(state, warm=None)
        case Phase.SUCCEEDED if moved.baseline is not None:
            return replace(state, warm=Warm(moved.baseline, at + moved.plan.keep_warm))
        case Phase.ROLLING_BACK:
            return replace(state, warm=None)
        case Phase.FAILED if state.active is None:
            return replace(state, active=moved.deployed(at))
    return state


def _judged(state: Service, record: Judged, at: float) -> Service:
    judgement = Judgement(record.verdict, record.reason, at, record.memo)
    if record.subject == "route":
        drift = record.reason if record.verdict is Verdict.FAIL else ""
        state = replace(state, drift=drift, restore=state.restore and bool(drift), accept=False)
    if record.subject == "look":
        state = replace(state, unseen=judgement if record.verdict is Verdict.UNKNOWN else None)
    if record.subject == "live":
        state = _live(state, record.memo or {}, at)
        state = replace(state, drift="", accept=False) if state.accept else state
    release = state.release
    if release is None or release.id != record.release:
        return state
    return replace(state, release=replace(release, judged={**release.judged, record.subject: judgement}))


def _live(state: Service, memo: Mapping[str, Any], at: float) -> Service:
    """The router was seen to serve this split."""
    release = state.release
    split = Split(int(memo.get("blue", 0)), int(memo.get("green", 0)))
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
