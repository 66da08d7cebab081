"""What gates, checks and watches are asked about, and what they answer. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from greenroom.domain.model import Colour, Document, Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """An opinion. WAIT: ask again after `again_after` seconds, giving `memo` back. `evidence`: lines for a person."""

    verdict: Verdict
    reason: str = ""
    again_after: float = 0.0
    memo: Document | None = None
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Approval:
    """Somebody said yes (`greenroom promote`) while the present gate was asked. `groups`: of the system, where known."""

    by: str
    at: float
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """What a gate, check or watch is asked about. `url`, asked with `headers`, reaches this colour only; for gates before
    the start it is "". `public`: where users ask, "" where nothing is live yet. `variables` fill `{name}`.

    `by`: who asked for the release. `artefact`: what it consists of (a folder, a digest), "" until it is made.
    `approvals`: since this gate was first asked. `now`, `since` (of the stage): seconds since 1970. `baseline`: the version
    that serves users meanwhile (of a contract: the one that served before), "" for none. `epoch`: of the lease.
    `overrides`: of a contract: what somebody lets go, by its rule, each with the reason. `begun`: when the release began.
    `pinned`: by migration, its checksum when the release was asked for; None: not known.
    `until`: in the bake, when its time is over: a gate that watches waits so long. 0 at any other stage.
    """

    release: str
    version: str
    colour: Colour
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    public: str = ""
    by: str = ""
    artefact: str = ""
    approvals: tuple[Approval, ...] = ()
    now: float = 0.0
    since: float = 0.0
    baseline: str = ""
    epoch: int = 0
    overrides: Mapping[str, str] = field(default_factory=dict)
    begun: float = 0.0
    until: float = 0.0
    pinned: Mapping[str, str] | None = None
