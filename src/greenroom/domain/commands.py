"""Whether a command may be carried out in the present state; if not, why, and what can be done instead.

`consider` never changes anything. What it allows is written into the journal under the sequence that was considered, so
two commands at the same instant cannot both be right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from greenroom.domain.model import Colour
from greenroom.domain.phases import Phase
from greenroom.domain.records import Requested
from greenroom.domain.release import Release, Service


@dataclass(frozen=True, slots=True)
class Allowed:
    """Write this. `release`: the one that is to be followed to its end, "" for none."""

    record: Requested
    release: str = ""


@dataclass(frozen=True, slots=True)
class Already:
    """Nothing to write: it is so, or on its way. `release`: the one to follow, "" for none."""

    text: str
    release: str = ""


@dataclass(frozen=True, slots=True)
class Not:
    """Refused. `exit_code` as in PRODUCT: 4 not now, 5 somebody else is releasing, 6 a person must look."""

    text: str
    hint: str
    exit_code: int = 4


Answer: TypeAlias = Allowed | Already | Not


@dataclass(frozen=True, slots=True)
class Command:
    """What somebody typed. `details`: the verb's own (deploy: version, plan, definition)."""

    verb: str
    by: str
    why: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def ways_out(release: Release) -> str:
    """What a person may type while this release runs."""
    if release.phase is Phase.ABORTING:
        return "`greenroom abort` (follow it)"
    if release.phase is Phase.ROLLING_BACK:
        return "`greenroom rollback` (follow it), `greenroom reconcile --accept` (leave the traffic where it is)"
    verbs = sorted(release.row.commands - {"pause" if release.paused is not None else "resume"})
    gate = release.asking
    if not release.row.exposed and not (gate is not None and gate.people):
        verbs = [verb for verb in verbs if verb != "promote"]
    typed = [f"`greenroom {verb}`" for verb in verbs]
    return ", ".join([f"`greenroom deploy {release.version}` (follow it)", *typed])


def consider(service: Service, command: Command, now: float) -> Answer:
    """The answer to a command in this state, at this time (the journal's clock)."""
    match command.verb:
        case "deploy":
            return _deploy(service, command)
        case "adopt":
            return _adopt(service, command)
        case "rehearse":
            return _rehearse(service, command, now)
        case "rollback":
            return _rollback(service, command, now)
        case "retire":
            return _retire(service, command)
        case "reconcile":
            return _reconcile(service, command)
        case "down":
            return _down(service, command)
        case "contract":
            return _contract(service, command, now)
        case "restore":
            return _ask(command)
        case "resume" if service.down:
            return _ask(command)
        case "promote" | "pause" | "resume" | "abort":
            return _steer(service, command)
    raise ValueError(f"no such command: {command.verb}")


def _ask(command: Command, release: Release | None = None) -> Allowed:
    name = release.id if release else ""
    return Allowed(Requested(command.verb, command.by, command.why, name, command.details), name)


def next_release(service: Service) -> str:
    return f"r-{service.count + 1:04d}"


def _deploy(service: Service, command: Command) -> Answer:
    version = str(command.details["version"])
    running = service.running
    if running is not None and running.version == version and not running.going_back and _forward(running):
        return Already(f"{running.id} releases {version} already; following it", running.id)
    if running is not None:
        text = f"{running.id} ({running.version}, {running.phase.spoken}) is not finished; begun by {running.by}"
        return Not(text, f"ways out: {ways_out(running)}", 5)
    if service.drift:
        return _strange(service)
    active = service.active
    if _outlived(service, version):
        text = f"{version} served before something was taken from the database: what it needs may be gone"
        return Not(text, f"{_undo(service)}the way is forward: release what mends it under a version of its own")
    drill = bool(command.details.get("plan", {}).get("rehearsal"))
    if active is not None and active.version == version and not service.down and not drill:
        return Already(f"{version} is live on {active.colour} already")
    colour = active.colour.other if active else Colour.BLUE
    details = {**command.details, "version": version, "colour": str(colour)}
    name = next_release(service)
    return Allowed(Requested("deploy", command.by, command.why, name, details), name)


def _outlived(service: Service, version: str) -> bool:
    """It was released before the last contract, and was not live any more when that was carried out."""
    asked, active = service.contract, service.active
    since = asked.at if asked is not None and asked.open else service.contracted
    if since is None or (active is not None and active.version == version):
        return False
    ended = (*service.past, *([service.release] if service.release else ()))
    return any(release.version == version and release.begun < since for release in ended)


def _undo(service: Service) -> str:
    asked = service.contract
    return "`greenroom db restore` takes back a contract that is not over; else " if asked and asked.open else ""


def _adopt(service: Service, command: Command) -> Answer:
    """A release like any other, of what runs already. In the journal it is one: `details.adopt` says what was taken."""
    active, running = service.active, service.running
    if active is not None and running is None:
        text = f"{active.version} is live on {active.colour} already: there is nothing to adopt"
        return Not(text, "`greenroom deploy VERSION` releases the next version")
    return _deploy(service, replace(command, verb="deploy"))


def _rehearse(service: Service, command: Command, now: float) -> Answer:
    """A release whose end is the way back. In the journal it is one: its plan says that it is a drill."""
    active, warm = service.active, service.warm_at(now)
    if active is None:
        return Not("nothing is live: there is no way back to rehearse", "`greenroom deploy VERSION` releases a version")
    if service.running is None and warm is not None:
        text = (
            f"a rehearsal would take the place of {warm.deployed.version}, the warm version on {warm.deployed.colour}"
        )
        return Not(text, "`greenroom retire` gives it up; while it is warm, `greenroom rollback` is the way back")
    version = str(command.details.get("version") or active.version)
    drill = replace(command, verb="deploy", details={**command.details, "version": version})
    return _deploy(service, drill)


def _strange(service: Service) -> Not:
    hint = "`greenroom reconcile` puts it back, `greenroom reconcile --accept` takes it over"
    return Not(f"the route is not ours: {service.drift}", hint, 6)


def _forward(release: Release) -> bool:
    return release.phase not in (Phase.ABORTING, Phase.ROLLING_BACK)


def _steer(service: Service, command: Command) -> Answer:
    release, verb = service.running, command.verb
    if release is None and verb == "resume" and service.active is not None:
        return Already("nothing is paused")
    if release is None:
        last = service.release
        text = f"nothing to {verb}: no release runs" + (
            f"; the last was {last.id} ({str(last.row.status).replace('_', ' ')})" if last else ""
        )
        hint = (
            "`greenroom rollback` goes back to the version before"
            if verb == "abort"
            else "`greenroom status` shows what is"
        )
        return Not(text, hint)
    if verb == "abort" and release.phase is Phase.ABORTING:
        return Already(f"{release.id} is aborting already; following it", release.id)
    gate = release.asking
    if verb == "promote" and not release.row.exposed and (gate is None or not gate.people):
        hint = f"ways out: {ways_out(release)}"
        return Not(f"nothing waits for an approval in {release.phase.spoken}", hint)
    if verb == "promote" and gate is not None and gate.people:
        return _ask(replace(command, details={**command.details, "gate": gate.name}), release)
    if verb not in release.row.commands:
        hint = f"ways out: {ways_out(release)}"
        if verb == "abort" and "rollback" in release.row.commands:
            hint = "traffic may have moved already; `greenroom rollback` takes it back"
        return Not(f"{verb} is not possible in {release.phase.spoken}", hint)
    if verb == "pause" and release.paused is not None:
        return Already(f"{release.id} is paused already")
    if verb == "resume" and release.paused is None:
        return Already(f"{release.id} is not paused")
    return _ask(command, release)


def _rollback(service: Service, command: Command, now: float) -> Answer:
    running, last = service.running, service.release
    if running is not None and running.phase is Phase.ROLLING_BACK:
        return Already(f"{running.id} is rolling back already; following it", running.id)
    if running is not None:
        if running.going_back:
            return Already(f"{running.id} is going back already; following it", running.id)
        if "rollback" not in running.row.commands:
            hint = "`greenroom abort` ends it" if "abort" in running.row.commands else "wait for its end"
            return Not(f"no traffic has moved yet: {running.id} is in {running.phase}", hint)
        if running.baseline is None:
            return Not("there is no version to go back to: this is the first release", "`greenroom promote`, or `down`")
        return _ask(command, running)
    warm = service.warm_at(now)
    if last is not None and last.phase is Phase.SUCCEEDED and warm is not None:
        return _ask(command, last)
    if service.active is None:
        return Not("nothing is live", "`greenroom deploy VERSION` releases a version")
    if (asked := service.contract) is not None and asked.took:
        text = f"the version before cannot come back: what it needs of the database is gone (asked for by {asked.by})"
        return Not(text, "the way is forward: `greenroom deploy VERSION` with what mends it")
    ended = (*service.past, *([last] if last else ()))
    before = [r.version for r in ended if r.phase is Phase.SUCCEEDED and r.version != service.active.version]
    hint = "`greenroom deploy VERSION` releases another version"
    if before:
        hint = f"`greenroom deploy {before[-1]}` releases an earlier version again"
    return Not("there is no warm version to go back to in an instant", hint)


def _retire(service: Service, command: Command) -> Answer:
    running = service.running
    if running is not None:
        return Not(f"{running.id} needs both environments", f"ways out: {ways_out(running)}")
    if service.active is None and service.release is None:
        return Already("nothing runs")
    if service.drift:
        return _strange(service)
    return _ask(command)


def _reconcile(service: Service, command: Command) -> Answer:
    running, accept = service.running, bool(command.details.get("accept"))
    if accept and running is not None and running.phase is not Phase.ROLLING_BACK:
        hint = "`promote` goes on with it, `rollback` or `abort` end it, `reconcile` puts the route back"
        return Not(f"{running.id} is not finished", hint)
    if not service.drift and not (running is not None and running.phase is Phase.ROLLING_BACK):
        return Already("the route is as expected")
    return _ask(command, running)


def _contract(service: Service, command: Command, now: float) -> Answer:
    running, active, warm = service.running, service.active, service.warm_at(now)
    if running is not None:
        return Not(f"{running.id} is not finished", f"ways out: {ways_out(running)}", 5)
    if service.drift:
        return _strange(service)
    if active is None or service.down:
        return Not(
            "nothing is live: nobody can tell what is still needed", "`greenroom deploy VERSION` releases a version"
        )
    if warm is not None:
        text = f"{warm.deployed.version} is warm on {warm.deployed.colour}, and may be needed again"
        return Not(text, "`greenroom db contract --close-window --why REASON` gives up the way back, and goes on")
    if not service.proven:
        text = f"{active.version} is live, and its release has not succeeded: it may be taken for another one yet"
        return Not(text, "`greenroom deploy VERSION` releases one that succeeds")
    if service.contract is not None and service.contract.open:
        return Already(f"it was asked for by {service.contract.by} already")
    return _ask(command)


def _down(service: Service, command: Command) -> Answer:
    running = service.running
    if service.down:
        return Already("it is down already")
    if running is not None:
        return Not(f"{running.id} is not finished", f"ways out: {ways_out(running)}")
    return _ask(command)
