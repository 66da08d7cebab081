"""What a release set out to do, fixed when it was requested: times, steps and rules of its file, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the shift. `hold`: seconds until the next step; `approval`: until a person promotes."""

    percent: int
    hold: float = 0.0
    approval: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the analysis. `metric`: `error_rate` (a share of 1), or `p50`, `p90`, `p95`, `p99` (milliseconds).

    `max`: the absolute limit, None for none. `max_ratio`: against the baseline, None for none. `no_data`: what a window
    with fewer than `min_requests` means at the end of the bake: `pass`, `fail` or `wait`.
    """

    metric: str
    max: float | None = None
    max_ratio: float | None = None
    min_requests: int = 50
    no_data: str = "pass"


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

    def document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Plan:
        """The inverse of `document()`; unknown keys of a newer version are ignored, missing ones take their default."""
        known = {k: v for k, v in document.items() if k in cls.__dataclass_fields__}
        known["steps"] = tuple(Step(**s) for s in known.get("steps", ())) or (Step(100),)
        known["rules"] = tuple(Rule(**r) for r in known.get("rules", ()))
        for name in ("checks", "watches"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)
