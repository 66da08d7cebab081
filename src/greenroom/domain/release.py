"""The state of a service, replayed from its journal (`replay.fold`).

What is live is a copy of what was observed at the router (`Judged("live")`), never of what was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from greenroom.domain.figures import Figures
from greenroom.domain.model import ArtefactSpec, Colour, Document, EnvironmentSpec, Role, Split, Verdict
from greenroom.domain.opinion import Approval
from greenroom.domain.phases import ENDS, TABLE, Phase, Row
from greenroom.domain.plan import CONTRACT, Gate, Plan, When
from greenroom.domain.records import Outcome

GATED: Mapping[Phase, tuple[When, ...]] = {
    Phase.GATES: (When.SOURCE,),
    Phase.EXPAND: (When.ARTEFACT, When.EXPAND),
    Phase.START: (When.ARTEFACT,),
    Phase.BACKFILL: (When.BACKFILL,),
    Phase.APPROVE: (When.APPROVE,),
    Phase.BAKE: (When.BAKE,),
}
"""The phases that ask gates, and which."""

REHEARSED = "the rehearsal is over"
"""How the reason begins for which a drill goes back."""

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
    pinned: Mapping[str, str] | None = None
    """By migration, its checksum when the release was asked for; None: not known."""

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
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Gates that are not asked, each with the reason that was given."""
    pinned: Mapping[str, str] | None = None
    """By migration, its checksum when the release was asked for; None: not known."""
    approvals: Mapping[str, tuple[Approval, ...]] = field(default_factory=dict)
    """By gate: who said yes."""
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
    turned: float | None = None
    """When the way back began, None if it did not."""
    ended: float | None = None
    judged: Mapping[str, Judgement] = field(default_factory=dict)
    usual: Figures | None = None
    """What the baseline did in its last window before the shift."""
    beside: Mapping[str, Any] | None = None
    """What both versions' users met of late when it was decided to go back (`judging.figures_beside`)."""

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
        """This step gives it all: the last one, or the only one where there is nothing to share with."""
        return self.baseline is None or self.share >= 100

    def split(self, step: int | None = None) -> Split:
        """Users' traffic as the given step (default: the present one; -1: before the first) wants it."""
        at = self.step if step is None else step
        if self.baseline is None:
            return Split.none() if at < 0 else Split.all_to(self.colour)
        return Split.share(self.colour, 0 if at < 0 else self.plan.steps[min(at, len(self.plan.steps) - 1)].percent)

    @property
    def rehearsed(self) -> bool:
        """A drill that went as it should: the way back was taken on purpose."""
        return self.plan.rehearsal and self.phase is Phase.ROLLED_BACK and self.failure.startswith(REHEARSED)

    @property
    def took_back(self) -> float | None:
        """Seconds from the decision to go back until the router was seen to serve the baseline alone."""
        live = self.judged.get("live")
        back = self.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK) and self.turned is not None
        return live.at - self.turned if back and live is not None and self.turned is not None else None

    def judgement(self, subject: str) -> Judgement | None:
        return self.judged.get(subject)

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Those that the present phase asks, in their order."""
        return tuple(gate for when in GATED.get(self.phase, ()) for gate in self.plan.gates_of(when))

    @property
    def asking(self) -> Gate | None:
        """The gate that is being asked now."""
        for gate in self.gates:
            found = self.judgement(gate.subject)
            if found is None or found.verdict is Verdict.WAIT:
                return gate
        return None

    def unheard(self, gate: Gate) -> bool:
        """Somebody approved since this gate gave its last answer."""
        found, given = self.judgement(gate.subject), self.approvals.get(gate.name, ())
        return found is not None and bool(given) and given[-1].at > found.at

    @property
    def checking(self) -> str:
        """The check that is being asked now; "" for none."""
        for name in self.plan.checks if self.phase is Phase.CHECKS else ():
            found = self.judgement(f"check:{name}")
            if found is None or found.verdict is Verdict.WAIT:
                return name
        return ""

    def deployed(self, since: float) -> Deployed:
        about = (self.id, self.version, self.colour, self.artefact, self.definition, self.plan)
        return Deployed(*about, since, self.pinned)

    def artefact_spec(self) -> ArtefactSpec:
        return ArtefactSpec(self.id, self.version, self.definition)

    def spec(self, role: Role, *, sweep: bool = False) -> EnvironmentSpec:
        return self.deployed(self.begun).spec(role, sweep=sweep)


@dataclass(frozen=True, slots=True)
class Contract:
    """Somebody (or the file) said that the old may go from the database. `judged`: the last answer, None before it."""

    by: str
    why: str
    at: float
    judged: Judgement | None = None
    allowed: Mapping[str, str] = field(default_factory=dict)
    """What somebody lets go, by its rule, each with the reason."""
    overtaken: bool = False
    """A release has begun since the last answer, while what it has begun may still be at work."""

    @property
    def open(self) -> bool:
        return self.judged is None or self.judged.verdict is Verdict.WAIT

    @property
    def took(self) -> bool:
        """It is done, and something is gone for good."""
        said = self.judged
        return said is not None and said.verdict is Verdict.PASS and bool((said.memo or {}).get("gone"))


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
    drifted: float | None = None
    """Since when the route is not ours."""
    unsure: bool = False
    """The route was somebody else's when we looked away (`down`): since when it has left a colour is not known."""
    unseen: Judgement | None = None
    accept: bool = False
    restore: bool = False
    attempts: Mapping[str, Attempt] = field(default_factory=dict)
    retired: frozenset[str] = frozenset()
    left: Mapping[Colour, float] = field(default_factory=dict)
    """When traffic was last seen to be off a colour, since when it drains."""
    told: float = 0.0
    """When the router was last told anything, since when what it then left drains."""
    contract: Contract | None = None
    """The last that was asked for."""
    contracted: float | None = None
    """When something was last taken from the database for good."""

    @property
    def running(self) -> Release | None:
        return self.release if self.release and self.release.running else None

    def judgement(self, subject: str) -> Judgement | None:
        """The last answer to what is asked now."""
        if self.running is not None:
            return self.running.judgement(subject)
        return self.contract.judged if self.contract and subject == CONTRACT.subject else None

    @property
    def proven(self) -> bool:
        """What is live came by a release that has succeeded, as far as it is remembered."""
        ended = (*self.past, *([self.release] if self.release else ()))
        known = next((r for r in ended if self.active is not None and r.id == self.active.release), None)
        return self.active is not None and (known is None or known.phase is Phase.SUCCEEDED)

    def warm_at(self, now: float) -> Warm | None:
        return self.warm if self.warm and now < self.warm.until else None
