"""What a service's engine acts through: the adapters of its present release, handed over by the wiring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from greenroom.domain.figures import Reading
from greenroom.domain.opinion import Case
from greenroom.domain.phases import Phase
from greenroom.domain.plan import CONTRACT
from greenroom.domain.release import Service
from greenroom.ports import About, Analyser, Artefact, Check, Environment, Migrator, Router


@dataclass(frozen=True)
class Adapters:
    """`gates`, `checks` and `watches` by the names that the plan uses, `gauges` by `Rule.source`.

    A watch is asked again `Finding.again_after` later.
    """

    artefact: Artefact
    environment: Environment
    router: Router
    analyser: Analyser | None = None
    checks: Mapping[str, Check] = field(default_factory=dict)
    watches: Mapping[str, Check] = field(default_factory=dict)
    gates: Mapping[str, Check] = field(default_factory=dict)
    gauges: Mapping[str, Gauge] = field(default_factory=dict)
    migrator: Migrator | None = None
    """Of the shared database. What it does in a release is asked of gates, named as `domain.plan.MIGRATING`."""
    name: str = ""
    """The service's, for who is asked about it."""


class Gauge(Protocol):
    """A source of the analysis, with its question."""

    def read(self, candidate: About, baseline: About | None) -> Reading:
        """Never raises: what went wrong is the reading's `problem`. `at` is filled in by the engine."""


_UNREACHED = (Phase.GATES, Phase.BUILD, Phase.EXPAND, Phase.START)
"""Phases in which the candidate does not run, or need not yet."""


def case_of(
    service: Service, adapters: Adapters, now: float, *, test: bool = True, gate: str = "", epoch: int = 0
) -> Case:
    """What a gate, check or watch is asked about: the candidate by the test route, or else the public address."""
    release = service.release
    if release is None:
        raise ValueError("nothing is being released")
    if gate == CONTRACT.name:
        return _contract_case(service, now, epoch)
    there = release.phase not in _UNREACHED
    test = test and not release.row.exposed
    url, headers = adapters.router.reach(test) if there else ("", {})
    public = adapters.router.reach()[0] if service.active is not None else ""
    facts = {"idle_url": url if test else "", "live_url": public, "artefact": release.artefact}
    variables = {
        **{name: value for name, value in facts.items() if value},
        "colour": str(release.colour),
        "version": release.version,
        "release": release.id,
    }
    said = release.approvals.get(gate, ())
    baseline = release.baseline.version if release.baseline else ""
    more = (public, release.by, release.artefact, said, now, release.since, baseline, epoch)
    about = (release.id, release.version, release.colour, url, headers, variables, *more)
    until = release.since + release.plan.bake if release.phase is Phase.BAKE else 0.0
    return Case(*about, begun=release.begun, until=until, pinned=release.pinned)


def _contract_case(service: Service, now: float, epoch: int) -> Case:
    """About what is live, and the version before it."""
    active, asked = service.active, service.contract
    if active is None:
        raise ValueError("nothing is live")
    ended = (*service.past, *([service.release] if service.release else ()))
    before = next((r.baseline.version for r in ended if r.id == active.release and r.baseline), "")
    return Case(
        active.release,
        active.version,
        active.colour,
        "",
        by=asked.by if asked else "greenroom",
        artefact=active.artefact,
        now=now,
        since=active.since,
        baseline=before,
        epoch=epoch,
        overrides=asked.allowed if asked else {},
        pinned=active.pinned,
    )
