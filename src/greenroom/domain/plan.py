"""What a release set out to do, fixed when it was requested: times, steps and rules of its file, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the shift. `hold`: seconds until the next step; `approval`: until a person promotes.

    `percent` 0: only who goes first (`Plan.first`).
    """

    percent: int
    hold: float = 0.0
    approval: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the analysis. `metric`: `error_rate` (a share of 1), `request_rate` (a second), `p50`, `p90`, `p95`, `p99`
    (milliseconds), `cpu` (cores), `memory` (bytes), or "" for a query's own value.

    `max`, `min`: absolute limits, None for none. `max_ratio`: against the baseline, None for none. `confidence`: fail when
    it is this sure (a share of 1, over all looks) that the candidate is worse than the baseline, by more than `max_ratio`
    where that is given; None: no such comparison. `no_data`: what too little data means at the end of a step or of the
    bake: `ignore` (`pass` in older journals), `fail` or `wait`. `critical`: one look over the limit ends it at once.
    `warm_up`: seconds after a fresh candidate's first traffic in which its latency does not count.

    `source` "": the router's own measurements. Else the name under which the engine asks a source, every `every`
    seconds; `failures` readings in a row over the limit are a failure.
    """

    metric: str
    max: float | None = None
    max_ratio: float | None = None
    min_requests: int = 50
    no_data: str = "ignore"
    min: float | None = None
    confidence: float | None = None
    critical: bool = False
    warm_up: float = 0.0
    source: str = ""
    every: float = 10.0
    failures: int = 3
    expression: str = ""
    query: str = ""


class When(StrEnum):
    """The stage that asks a gate. `expand`, `backfill`: of the shared database, by `migrations:`, never by `gates:`."""

    SOURCE = "source"
    ARTEFACT = "artefact"
    EXPAND = "expand"
    BACKFILL = "backfill"
    APPROVE = "approve"
    BAKE = "bake"


@dataclass(frozen=True, slots=True)
class Gate:
    """`people`: who answers is a person, by `greenroom promote`. `notify_only`: a failure is told, and stops nothing."""

    name: str
    when: When
    people: bool = False
    notify_only: bool = False

    @property
    def subject(self) -> str:
        """What its answers are called in the journal."""
        return f"gate:{self.name}"

    @property
    def spoken(self) -> str:
        """As a person says it."""
        return self.name if self.when in SCHEMA else f"gate {self.name}"


SCHEMA = (When.EXPAND, When.BACKFILL)
CONTRACT = Gate("contract", When.BACKFILL)
"""What is asked when no release runs: whether the old may go."""

MIGRATING = tuple(Gate(str(when), when) for when in SCHEMA)
"""The gates of a release that brings migrations along."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Times in seconds. `ready_within`: from start to healthy. `checks`, `watches`: names, in the file's order."""

    steps: tuple[Step, ...] = (Step(100),)
    bake: float = 600.0
    keep_warm: float = 86400.0
    drain: float = 30.0
    ready_within: float = 60.0
    build_within: float = 3600.0
    checks: tuple[str, ...] = ()
    watches: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    keep: bool = False
    gates: tuple[Gate, ...] = ()
    mirrors: Mapping[str, int] = field(default_factory=dict)
    """By check: the share of users' requests that is copied to the candidate while it is asked, in percent."""
    first: tuple[str, str] | None = None
    """The header, and its value ("": any), of the requests that go to the candidate from the first step on."""
    shield: bool = False
    keep_failed: float = 0.0
    """Seconds for which a candidate that was rolled back is kept, without traffic, for a person to look at."""
    rehearsal: bool = False
    """A drill: the way back is taken on purpose after the first step."""
    contracts: bool = False
    """Once nobody can need the old any more it is removed from the database unasked; else when a person says so."""

    def gates_of(self, when: When) -> tuple[Gate, ...]:
        """In the file's order."""
        return tuple(gate for gate in self.gates if gate.when is when)

    @property
    def migrates(self) -> bool:
        return bool(self.gates_of(When.EXPAND))

    def document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Plan:
        """The inverse of `document()`; unknown keys of a newer version are ignored, missing ones take their default."""
        known = {k: v for k, v in document.items() if k in cls.__dataclass_fields__}
        known["steps"] = tuple(Step(**s) for s in known.get("steps", ())) or (Step(100),)
        known["rules"] = tuple(Rule(**r) for r in known.get("rules", ()))
        known["gates"] = tuple(Gate(**{**g, "when": When(g["when"])}) for g in known.get("gates", ()))
        known["first"] = tuple(known["first"]) if known.get("first") else None
        for name in ("checks", "watches"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)
