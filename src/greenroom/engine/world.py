"""What a service's engine acts through: the adapters of its present release, handed over by the wiring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from greenroom.domain.opinion import Case
from greenroom.domain.release import Service
from greenroom.ports import Analyser, Artefact, Check, Environment, Router


@dataclass(frozen=True)
class Adapters:
    """`checks` and `watches` by the names that the plan uses. A watch is asked again `Finding.again_after` later."""

    artefact: Artefact
    environment: Environment
    router: Router
    analyser: Analyser | None = None
    checks: Mapping[str, Check] = field(default_factory=dict)
    watches: Mapping[str, Check] = field(default_factory=dict)


def case_of(service: Service, adapters: Adapters, *, test: bool) -> Case:
    """What a check or a watch is asked about: the candidate by the test route, or the public address."""
    release = service.release
    if release is None:
        raise ValueError("nothing is being released")
    url, headers = adapters.router.reach(test)
    variables = {
        "idle_url": url,
        "colour": str(release.colour),
        "version": release.version,
        "release": release.id,
    }
    return Case(release.id, release.version, release.colour, url, headers, variables)
