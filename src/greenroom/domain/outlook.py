"""What a deploy would do, step by step, whether it can be without downtime, and if not why. Pure: changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from greenroom.domain.commands import Already, Command, Not, consider, next_release
from greenroom.domain.model import Colour
from greenroom.domain.observation import Seen
from greenroom.domain.plan import Plan, Rule, Step
from greenroom.domain.release import Service


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
    steps = [] if isinstance(answer, Not | Already) else list(_steps(service, version, plan, definition, colour))
    return {
        "version": version,
        "colour": str(colour),
        "baseline": active.version if active else None,
        "exit": code,
        "text": text,
        "hint": hint,
        "without_downtime": not reasons,
        "because": reasons,
        "remarks": _remarks(service, seen, definition),
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


def _remarks(service: Service, seen: Seen | None, definition: Mapping[str, Any]) -> list[str]:
    found = []
    if service.active is None:
        found.append("nothing of Greenroom's is live yet: it answers users once the traffic has moved")
    elif service.down:
        first = f"{service.active.version} starts again on {service.active.colour} first"
        found.append(f"the service is down: {first}, and serves until the traffic moves")
    if service.active is not None and (workers := _processes(definition, active=True)):
        found.append(
            f"{', '.join(workers)}: never two at once; it stops with the old version before it starts with the new one"
        )
    warm = service.warm
    if warm is not None:
        found.append(
            f"{warm.deployed.version}, warm on {warm.deployed.colour}, makes room: no way back to it after that"
        )
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


def _steps(
    service: Service, version: str, plan: Plan, definition: Mapping[str, Any], colour: Colour
) -> list[tuple[str, str]]:
    """(stage, what happens) from the first to the last."""
    baseline = service.active
    untouched = f"; {baseline.version} keeps all traffic on {baseline.colour}" if baseline else ""
    steps = [
        ("build", _build(definition, version)),
        (
            "start",
            f"start {version} on {colour}{_who(definition)}, healthy within {_span(plan.ready_within)}{untouched}",
        ),
        ("checks", f"ask {', '.join(plan.checks)}" if plan.checks else "none are asked for"),
        ("shift", _shift(plan.steps if baseline else plan.steps[-1:], colour)),
        ("bake", _bake(plan, has_way_back=baseline is not None)),
    ]
    if baseline is not None:
        warm = f"{baseline.version} stays warm on {baseline.colour} for {_span(plan.keep_warm)}, then it is removed"
        steps.append(("keep warm", warm if plan.keep_warm else f"{baseline.version} is drained and removed at once"))
    return steps


def _build(definition: Mapping[str, Any], version: str) -> str:
    environment = definition.get("environment")
    if isinstance(environment, Mapping) and (image := environment.get("image")):
        made = "build and push" if _pushes(environment) else "build" if environment.get("build") is not None else "get"
        return f"{made} the image {str(image).replace('{version}', version)}; what serves is pinned to its digest"
    prepare = environment.get("prepare") if isinstance(environment, Mapping) else None
    commands = [prepare] if isinstance(prepare, str) else list(prepare or ())
    run = f", run {'; '.join(f'`{command}`' for command in commands)}" if commands else ""
    return f"copy the source{run}; the copy never changes again"


def _pushes(environment: Mapping[str, Any]) -> bool:
    build = environment.get("build")
    return isinstance(build, Mapping) and bool(build.get("push"))


def _processes(definition: Mapping[str, Any], *, active: bool) -> dict[str, int]:
    """Replicas by process; those that run only where the traffic is, or the others."""
    environment = definition.get("environment")
    processes = environment.get("processes") if isinstance(environment, Mapping) else None
    if not isinstance(processes, Mapping):
        return {}
    found = {}
    for name, process in processes.items():
        told = process if isinstance(process, Mapping) else {}
        if (told.get("runs") == "active") is active:
            replicas = told.get("replicas", 1)
            found[str(name)] = replicas if isinstance(replicas, int) else 1
    return found


def _who(definition: Mapping[str, Any]) -> str:
    counts = _processes(definition, active=False)
    return f" ({', '.join(f'{name} × {count}' for name, count in counts.items())})" if counts else ""


def _shift(steps: Sequence[Step], colour: Colour) -> str:
    if len(steps) == 1:
        return f"all traffic to {colour}, observed at the router"
    texts = []
    for step in steps:
        stays = " until somebody promotes" if step.approval else f" for {_span(step.hold)}" if step.hold else ""
        texts.append(f"{step.percent} %{stays}")
    return f"{', '.join(texts)} to {colour}, each observed at the router"


def _bake(plan: Plan, *, has_way_back: bool) -> str:
    """What is watched, and what happens then."""
    rules = [text for rule in plan.rules if (text := _rule(rule, compared=has_way_back))]
    watched = [*rules, *(f"{name} fails" for name in plan.watches)]
    back = "goes back by itself" if has_way_back else "fails (there is nothing to go back to)"
    when = f"; {back} if {', or '.join(watched)}" if watched else f"; {back} if it loses its health"
    return f"for {_span(plan.bake)}{when}"


def _rule(rule: Rule, *, compared: bool) -> str:
    """ "" for a rule that only compares, where there is nothing to compare with."""
    name = rule.metric.replace("_", " ")
    limits = []
    if rule.max is not None:
        limits.append(f"above {100 * rule.max:g} %" if rule.metric == "error_rate" else f"above {rule.max:g} ms")
    if rule.max_ratio is not None and compared:
        limits.append(f"above {rule.max_ratio:g} × the old version's")
    return f"{name} {' or '.join(limits)}" if limits else ""


def _span(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
