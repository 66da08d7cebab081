"""What a person is told about a service: documents, sentences, exit codes. The fields are PRODUCT's contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenroom.domain.model import Colour, EnvironmentStatus, Health, Verdict
from greenroom.domain.observation import Seen
from greenroom.domain.phases import Phase, Status
from greenroom.domain.release import Deployed, Judgement, Release, Service, Warm
from greenroom.domain.routes import Scene, drift, expected
from greenroom.domain.upkeep import kept, kept_until

STUCK_AFTER = 60.0
"""Seconds of not seeing what must be seen, or of a way back that does not end, after which a release is stuck."""

EXIT: Mapping[Status, int] = {
    Status.SUCCEEDED: 0,
    Status.ROLLED_BACK: 3,
    Status.ABORTED: 4,
    Status.FAILED: 6,
    Status.STUCK: 6,
    Status.WAITING_APPROVAL: 7,
    Status.PAUSED: 7,
}
"""What a command that followed a release ends with, by the release's status. Others: it still runs."""


def status_of(service: Service, release: Release, now: float) -> Status:
    """What the release is called now."""
    going_back = release.phase in (Phase.ABORTING, Phase.ROLLING_BACK)
    if release.running:
        blind = service.unseen is not None and now > service.unseen.at + STUCK_AFTER
        said = _undecided(release)
        blind = blind or (said is not None and now > said.at + STUCK_AFTER)
        late = release.plan.drain + 2 * STUCK_AFTER
        if blind or (going_back and now > release.since + late):
            return Status.STUCK
        if not going_back and not release.going_back and (release.paused is not None or service.drift):
            return Status.PAUSED
        if not release.going_back and waits_for_approval(release):
            return Status.WAITING_APPROVAL
    return release.row.status


def _undecided(release: Release) -> Judgement | None:
    """What keeps the analysis from telling, at the end of a step or of the bake; None where nothing does."""
    said = release.judgement("analysis")
    if said is None or said.verdict is not Verdict.UNKNOWN or said.at < release.since or release.promoted:
        return None
    return said if release.running else None


def _asked(release: Release) -> str:
    """The gate or check that has not answered yet, and how far it is: `check load: 50/s of 50/s · 4 s of 20 s`."""
    gate = release.asking
    said = release.judgement(gate.subject if gate is not None else f"check:{release.checking}")
    if not release.running or said is None or said.verdict is not Verdict.WAIT:
        return ""
    return (
        f"{gate.spoken if gate is not None else f'check {release.checking}'}: {(said.reason.splitlines() or ['…'])[0]}"
    )


def waits_for_approval(release: Release) -> bool:
    """A person is waited for: by a gate, or by a step of the shift."""
    gate = release.asking
    if gate is not None and gate.people:
        return release.judgement(gate.subject) is not None and not release.unheard(gate)
    steps = release.plan.steps
    at = steps[release.step] if release.step < len(steps) else None
    shifting = release.phase is Phase.SHIFT and release.live_since is not None and not release.whole
    return bool(shifting and at is not None and at.approval and not release.promoted)


def sentence(service: Service, release: Release) -> str:
    """Why the release is where it is, in one line."""
    if release.running and service.unseen is not None:
        return f"cannot see: {service.unseen.reason}"
    if release.running and service.drift:
        return service.drift
    if release.paused is not None:
        return f"paused in {release.phase}; `greenroom resume` goes on"
    if waits_for_approval(release) and (gate := release.asking) is not None:
        return f"{gate.name}: {release.judged[gate.subject].reason}"
    if waits_for_approval(release):
        return f"waiting for approval at {release.share} %; `greenroom promote` or `greenroom rollback`"
    if said := _undecided(release):
        return f"{said.reason}; `greenroom promote` goes on, `greenroom rollback` goes back"
    if asked := _asked(release):
        return asked
    if release.rehearsed:
        return "it was a rehearsal, and the way back works"
    trouble = [a.detail for a in service.attempts.values() if a.failures and a.detail]
    if release.running and trouble:
        return f"{release.why}; last trouble: {trouble[-1]}"
    return release.failure if release.phase in (Phase.ABORTED, Phase.ROLLED_BACK, Phase.FAILED) else release.why


_ANSWERS = 2.0
"""Seconds in which the last look of a step or of the bake is taken, where nothing is wrong."""


def _overdue(service: Service, release: Release, now: float) -> str:
    """A step or the bake that has lasted as long as it should, and goes on because the analysis cannot tell yet."""
    until = _until(release)
    known = service.unseen is not None or service.drift or _undecided(release) or _asked(release)
    if until is None or now < until + _ANSWERS or known:
        return ""
    part = "the bake" if release.phase is Phase.BAKE else f"the step with {release.share} %"
    ways = "`greenroom promote` goes on, `greenroom rollback` goes back"
    return f"{part} is over, and what is asked has not answered yet; {ways}"


def route_of(service: Service, seen: Seen | None, now: float) -> str:
    """`in_sync`, `drifted` or `unknown`: does the route agree with the record?"""
    routing = seen.routing if seen else None
    if seen is None or routing is None:
        return "unknown"
    if drift(Scene(service, seen, now)):
        return "drifted"
    if service.active is None and service.running is None:
        return "in_sync"
    if service.down and not routing.running:
        return "in_sync"
    allowed = expected(service)
    served = routing.running and routing.told is not None and routing.live is not None and _arrives(service, seen)
    return "in_sync" if served and (not allowed or routing.live in allowed) else "unknown"


def _arrives(service: Service, seen: Seen) -> bool:
    """The route leads to the replicas that there are, not to those of before a reboot."""
    active, told = service.active, seen.routing.told if seen.routing else None
    status = seen.environment(active.colour) if active else None
    if active is None or told is None or status is None or not status.ready or not told.split.of(active.colour):
        return True
    return set(told.backend(active.colour).endpoints) == set(status.endpoints)


def release_document(service: Service, release: Release, now: float) -> dict[str, Any]:
    return {
        "id": release.id,
        "version": release.version,
        "baseline": release.baseline.version if release.baseline else None,
        "candidate": {"colour": str(release.colour), "version": release.version},
        "stage": str(release.phase),
        "status": str(status_of(service, release, now)),
        "reason": _overdue(service, release, now) or sentence(service, release),
        "since": release.since,
        "begun": release.begun,
        "ended": release.ended,
        "by": release.by,
        "step": release.step,
        "until": _until(release),
    }


def lock_document(service: Service, holder: str | None, expires: float | None) -> dict[str, Any] | None:
    """Who holds the service: the release that is not finished, and the engine (its lease) that works on it."""
    release = service.running
    if release is None:
        return None
    return {
        "release": release.id,
        "by": release.by,
        "since": release.begun,
        "holder": holder,
        "expires": expires,
        "why": f"{release.version} is in {release.phase}",
    }


def _until(release: Release) -> float | None:
    """When the present stage ends by itself, as far as that is known."""
    if release.paused is not None or not release.running:
        return None
    if release.phase is Phase.BAKE:
        return release.since + release.plan.bake
    if release.phase is Phase.SHIFT and release.live_since is not None and not release.whole:
        step = release.plan.steps[release.step]
        return None if step.approval else release.live_since + step.hold
    return None


def _deployed(deployed: Deployed) -> dict[str, Any]:
    return {
        "colour": str(deployed.colour),
        "version": deployed.version,
        "since": deployed.since,
        "release": deployed.release,
    }


def _state(service: Service, status: EnvironmentStatus | None, colour: Colour, now: float) -> str:
    warm = service.warm_at(now)
    if status is None:
        return "unknown"
    if not status.members:
        return "absent"
    if warm is not None and warm.deployed.colour is colour and status.ready:
        return "warm"
    if status.ready:
        return "ready"
    sick = any(m.process and m.health in (Health.UNHEALTHY, Health.UNKNOWN) for m in status.members)
    if status.failed or sick:
        return "unhealthy"
    return "unknown" if status.unseen else "starting"


def _members(status: EnvironmentStatus | None) -> list[dict[str, Any]]:
    return [
        {
            "machine": m.machine,
            "process": m.process,
            "replica": m.replica,
            "health": str(m.health),
            "endpoint": str(m.endpoint) if m.endpoint else None,
            "restarts": m.restarts,
            "detail": m.detail,
        }
        for m in (status.members if status else ())
    ]


def _able(warm: Warm, seen: Seen | None) -> bool | None:
    """Whether the warm version could take the traffic now; None where that cannot be seen."""
    status = seen.environment(warm.deployed.colour) if seen else None
    return None if status is None else status.ready and status.release == warm.deployed.release


def _kept(service: Service, now: float) -> dict[str, Any] | None:
    """The candidate that failed and stays to be looked at. `until` None: until `retire`."""
    release = service.release
    if release is None or not kept(service, now):
        return None
    until = kept_until(service)
    return {"release": release.id, "version": release.version, "colour": str(release.colour), "until": until}


def schema_document(service: Service, now: float) -> dict[str, Any] | None:
    """Of a version that brought migrations along; the database itself is asked by `greenroom db status`."""
    active, asked, warm = service.active, service.contract, service.warm_at(now)
    if active is None or not (active.plan.migrates or asked or service.contracted):
        return None
    said = asked.judged if asked else None
    contract = asked and {
        "by": asked.by,
        "why": asked.why,
        "since": asked.at,
        "verdict": str(said.verdict) if said else str(Verdict.WAIT),
        "reason": said.reason if said else "",
    }
    safe = warm.until if warm else None
    return {"rollback_safe_until": safe, "contract": contract, "contracted": service.contracted}


def environment_document(service: Service, seen: Seen | None, colour: Colour, now: float) -> dict[str, Any]:
    status = seen.environment(colour) if seen else None
    return {
        "colour": str(colour),
        "version": status.version if status else None,
        "state": _state(service, status, colour, now),
        "role": str(status.role) if status and status.role else None,
        "members": _members(status),
        "detail": status.detail if status else "",
    }


def status_document(
    name: str, service: Service, seen: Seen | None, now: float, *, lock: Mapping[str, Any] | None, problems: list[str]
) -> dict[str, Any]:
    """`status --json`. `problems`: what could not be read, each a sentence with the way out."""
    active = service.active if not service.down else None
    routing = seen.routing if seen else None
    live = routing.live if routing else None
    warm = service.warm_at(now)
    idle_colour = (service.active.colour if service.active else Colour.GREEN).other
    release = service.release
    return {
        "service": name,
        "active": _deployed(active) if active else None,
        "idle": environment_document(service, seen, idle_colour, now),
        "environments": {str(c): environment_document(service, seen, c, now) for c in Colour},
        "traffic": {"blue": live.blue, "green": live.green} if live else None,
        "holding": {str(c): routing.holding.get(c, 0) for c in Colour} if routing and routing.running else None,
        "route": route_of(service, seen, now),
        "drift": service.drift,
        "release": release_document(service, release, now) if release else None,
        "warm": {**_deployed(warm.deployed), "until": warm.until, "able": _able(warm, seen)} if warm else None,
        "kept": _kept(service, now),
        "schema": schema_document(service, now),
        "lock": dict(lock) if lock else None,
        "down": service.down,
        "now": now,
        "problems": problems,
    }
