"""What a good file comes to: its adapters' settings, and the plan of a release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from greenroom import plugins
from greenroom.config.schema import File
from greenroom.domain.plan import MIGRATING, Gate, Plan
from greenroom.ports import Capability

MIRROR = "mirror"
"""The type of the checks for which the router copies requests."""

AUTO = "auto"
"""The word of `migrations.contract` by which the old goes from the database unasked."""

PARITY = "parity"
"""The name of the check that compares both environments, where environment and router can be compared."""


@dataclass(frozen=True, slots=True)
class Section:
    """One adapter of the file: `settings` is its class's own `Settings`, secrets filled in."""

    type: str
    name: str
    settings: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class GateSection(Section):
    """A gate, and what the release makes of it."""

    gate: Gate


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a service lives. `home`: the host of its journal and secrets. `afar`: in an account or a cluster; with neither
    this nor `hosts`, on this machine alone.
    """

    journal: Section
    hosts: Mapping[str, Section] = field(default_factory=dict)
    home: str = ""
    afar: bool = False


@dataclass(frozen=True, slots=True)
class Sections:
    """`environment_on`, `router_on`: names of hosts; empty: this machine."""

    ground: Ground
    environment: Section
    router: Section
    environment_on: tuple[str, ...] = ()
    router_on: tuple[str, ...] = ()
    checks: tuple[Section, ...] = ()
    watches: tuple[Section, ...] = ()
    notifiers: tuple[Section, ...] = ()
    gates: tuple[GateSection, ...] = ()
    sources: Mapping[int, Section] = field(default_factory=dict)
    """By the place of the rule in `analysis`."""
    migrator: Section | None = None


NOT_ROUTED = (
    "it is not clear which process gets the traffic; name it `web`, or give the others `runs: active` "
    "if they shall run only where the traffic is"
)


def plan_of(file: File, sections: Sections) -> Plan:
    environment, router = sections.environment.settings, sections.router.settings
    usual = Plan()
    return Plan(
        steps=tuple(file.shift),
        bake=file.bake,
        keep_warm=file.keep_warm,
        drain=float(getattr(router, "drain", usual.drain)),
        ready_within=_ready_within(environment) or usual.ready_within,
        build_within=float(getattr(environment, "prepare_timeout", usual.build_within)),
        checks=(*(section.name for section in sections.checks), *((PARITY,) if _compared(file, sections) else ())),
        watches=tuple(section.name for section in sections.watches),
        rules=file.rules,
        gates=(*(section.gate for section in sections.gates), *(MIGRATING if sections.migrator else ())),
        mirrors={section.name: int(section.settings.share) for section in sections.checks if section.type == MIRROR},
        first=(file.first.header, file.first.value) if file.first else None,
        shield=file.shield,
        keep_failed=file.keep_failed,
        contracts=getattr(sections.migrator.settings, "contract", "") == AUTO if sections.migrator else False,
    )


def _compared(file: File, sections: Sections) -> bool:
    pair = (plugins.find("environment", sections.environment.type), plugins.find("router", sections.router.type))
    return file.parity.check and all(Capability.PARITY in getattr(each, "capabilities", ()) for each in pair)


def _ready_within(environment: Any) -> float:
    """The longest that a process may take to become healthy; 0 if none says."""
    if whole := float(getattr(environment, "ready_timeout", 0.0)):
        return whole
    processes = getattr(environment, "processes", None)
    health = [getattr(p, "health", None) for p in processes.values()] if isinstance(processes, Mapping) else []
    return max((float(getattr(h, "timeout", 0.0)) for h in health if h is not None), default=0.0)
