"""What a deploy would do, step by step, whether it can be without downtime, and if not why. Pure: changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from greenroom.domain.commands import Already, Command, Not, consider, next_release
from greenroom.domain.itinerary import itinerary, processes
from greenroom.domain.model import Colour
from greenroom.domain.observation import Seen
from greenroom.domain.plan import Plan
from greenroom.domain.release import Service
from greenroom.domain.upkeep import kept


def outlook(
    service: Service,
    seen: Seen | None,
    version: str,
    plan: Plan,
    definition: Mapping[str, Any],
    problems: Sequence[str],
    now: float,
    hazards: Sequence[str] = (),
) -> dict[str, Any]:
    """`plan --json`. `seen` None: nothing could be seen. Found beforehand: `problems`, which stand in the way, and
    `hazards`, facts for which users would notice a deploy that works.
    """
    details = {"version": version, "plan": plan.document(), "definition": definition}
    answer = consider(service, Command("deploy", "", "", details), now)
    active = service.active
    colour = active.colour.other if active else Colour.BLUE
    reasons = [*downtime(service, seen), *hazards]
    code, text, hint = 0, f"deploy {version} would begin {next_release(service)} on {colour}", ""
    if isinstance(answer, Not):
        code, text, hint = answer.exit_code, answer.text, answer.hint
    elif isinstance(answer, Already):
        text = answer.text
    elif problems:
        code, text = 2, f"deploy {version} would be refused, and nothing touched"
    steps = [] if isinstance(answer, Not | Already) else itinerary(service.active, version, plan, definition, colour)
    return {
        "version": version,
        "colour": str(colour),
        "baseline": active.version if active else None,
        "exit": code,
        "text": text,
        "hint": hint,
        "without_downtime": not reasons,
        "because": reasons,
        "remarks": _remarks(service, seen, definition, now),
        "steps": [{"stage": stage, "does": does} for stage, does in steps],
        "problems": list(problems),
    }


def downtime(service: Service, seen: Seen | None) -> list[str]:
    """Why users would notice; empty: they would not."""
    active = service.active
    if active is None or service.down:
        return []
    if seen is None or seen.routing is None:
        why = next(iter(seen.unseen.values()), "") if seen else ""
        return ["the router cannot be seen" + (f": {why}" if why else "")]
    if not seen.routing.running:
        return ["the router does not run, so users get no answer now"]
    status = seen.environment(active.colour)
    if status is None or not status.serving:
        detail = f": {status.detail}" if status is not None and status.detail else ""
        return [f"{active.version} does not serve on {active.colour} now{detail}"]
    return []


def _remarks(service: Service, seen: Seen | None, definition: Mapping[str, Any], now: float) -> list[str]:
    found = []
    if service.active is None:
        found.append("nothing of Greenroom's is live yet: it answers users once the traffic has moved")
    elif service.down:
        first = f"{service.active.version} starts again on {service.active.colour} first"
        found.append(f"the service is down: {first}, and serves until the traffic moves")
    if service.active is not None and (workers := processes(definition, active=True)):
        found.append(
            f"{', '.join(workers)}: never two at once; it stops with the old version before it starts with the new one"
        )
    warm = service.warm
    if warm is not None:
        found.append(
            f"{warm.deployed.version}, warm on {warm.deployed.colour}, makes room: no way back to it after that"
        )
    if service.release is not None and service.active is not None and kept(service, now):
        failed = service.release
        found.append(f"{failed.version}, which failed and is kept on {failed.colour} to look at, makes room")
    if service.active is None and service.release is None:
        found.append("it is the first release: there is no version to go back to")
    if seen is not None and (ready := _unready(service, seen)):
        found.append(ready)
    return found


def _unready(service: Service, seen: Seen) -> str:
    active = service.active
    status = seen.environment(active.colour) if active else None
    if active is None or status is None or status.ready or not status.serving:
        return ""
    return f"not every replica of {active.version} is healthy now" + (f": {status.detail}" if status.detail else "")
