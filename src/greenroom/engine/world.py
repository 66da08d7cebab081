"""What a service's engine acts through: the adapters of its present release, handed over by the wiring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from greenroom.domain.figures import Reading
from greenroom.domain.opinion import Case
from greenroom.domain.phases import Phase
from greenroom.domain.release import Service
from greenroom.ports import About, Analyser, Artefact, Check, Environment, Router


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
    name: str = ""
    """The service's, for who is asked about it."""


class Gauge(Protocol):
    """A source of the analysis, with its question."""

    def read(self, candidate: About, baseline: About | None) -> Reading:
        """Never raises: what went wrong is the reading's `problem`. `at` is filled in by the engine."""


_UNREACHED = (Phase.GATES, Phase.BUILD, Phase.START)
"""Phases in which the candidate does not run, or need not yet."""


def case_of(service: Service, adapters: Adapters, now: float, *, test: bool = True, gate: str = "") -> Case:
    """What a gate, check or watch is asked about: the candidate by the test route, or else the public address."""
    release = service.release
    if release is None:
        raise ValueError("nothing is being released")
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
    more = (public, release.by, release.artefact, said, now, release.since)
    return Case(release.id, release.version, release.colour, url, headers, variables, *more)
