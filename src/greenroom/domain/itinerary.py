"""A release as a list of sentences, from its plan: what each stage would do. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenroom.domain.model import Colour
from greenroom.domain.plan import Plan, Rule, When
from greenroom.domain.release import Deployed


def itinerary(
    baseline: Deployed | None, version: str, plan: Plan, definition: Mapping[str, Any], colour: Colour
) -> list[tuple[str, str]]:
    """(stage, what happens) from the first to the last."""
    untouched = f"; {baseline.version} keeps all traffic on {baseline.colour}" if baseline else ""
    begins = f"start {version} on {colour}{_who(definition)}, healthy within {_span(plan.ready_within)}{untouched}"
    stages = [
        ("gates", _gates(plan, When.SOURCE)),
        ("build", _build(definition, version)),
        ("gates", _gates(plan, When.ARTEFACT)),
        ("expand", _expand(plan, baseline)),
        ("start", begins),
        ("checks", _checks(plan, compared=baseline is not None)),
        ("backfill", "fill in small steps what was added, and verify it" if plan.migrates else ""),
        ("approve", _gates(plan, When.APPROVE)),
        ("shift", _shift(plan, colour, shared=baseline is not None)),
        ("bake", _bake(plan, has_way_back=baseline is not None)),
    ]
    steps = [(stage, does) for stage, does in stages if does]
    if baseline is not None:
        warm = f"{baseline.version} stays warm on {baseline.colour} for {_span(plan.keep_warm)}, then it is removed"
        steps.append(("keep warm", warm if plan.keep_warm else f"{baseline.version} is drained and removed at once"))
    if plan.migrates:
        asked = "then, by itself" if plan.contracts else "after that, with `greenroom db contract`"
        steps.append(("contract", f"{asked}: what nobody needs any more is taken out of reach, and later removed"))
    return steps


def _expand(plan: Plan, baseline: Deployed | None) -> str:
    if not plan.migrates:
        return ""
    lives = f", if {baseline.version} can live with every statement of it" if baseline else ""
    return f"add to the database what the new version needs{lives} (`greenroom db plan` judges them now)"


def _gates(plan: Plan, when: When) -> str:
    """Each gate of a stage; "" for none."""
    told = []
    for gate in plan.gates_of(when):
        asked = f"{gate.name} (a person answers)" if gate.people else gate.name
        told.append(f"{asked} (a failure is told, and stops nothing)" if gate.notify_only else asked)
    return f"ask {', '.join(told)}" if told else ""


def _checks(plan: Plan, *, compared: bool) -> str:
    copied = {name: share for name, share in plan.mirrors.items() if compared}
    told = [
        f"{name} ({copied[name]} % of users' requests are copied)" if name in copied else name for name in plan.checks
    ]
    return f"ask {', '.join(told)}" if told else "none are asked for"


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


def processes(definition: Mapping[str, Any], *, active: bool) -> dict[str, int]:
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
    counts = processes(definition, active=False)
    return f" ({', '.join(f'{name} × {count}' for name, count in counts.items())})" if counts else ""


def _shift(plan: Plan, colour: Colour, *, shared: bool) -> str:
    """`shared`: there is another version to share the traffic with."""
    steps = plan.steps if shared else plan.steps[-1:]
    beside = ""
    if shared and plan.first is not None:
        header, value = plan.first
        beside = f"; who sends the header {header}{f': {value}' if value else ''} goes first"
    if len(steps) == 1:
        return f"all traffic to {colour}, observed at the router{beside}"
    texts = []
    for step in steps:
        stays = " until somebody promotes" if step.approval else f" for {_span(step.hold)}" if step.hold else ""
        texts.append(f"{step.percent} %{stays}")
    return f"{', '.join(texts)} to {colour}, each observed at the router{beside}"


def _bake(plan: Plan, *, has_way_back: bool) -> str:
    """What is watched, and what happens then."""
    rules = [text for rule in plan.rules if (text := _rule(rule, compared=has_way_back))]
    gates = [f"the gate {gate.name} fails" for gate in plan.gates_of(When.BAKE) if not gate.notify_only]
    watched = [*rules, *(f"{name} fails" for name in plan.watches), *gates]
    back = "goes back by itself" if has_way_back else "fails (there is nothing to go back to)"
    when = f"; {back} if {', or '.join(watched)}" if watched else f"; {back} if it loses its health"
    if told := [gate.name for gate in plan.gates_of(When.BAKE) if gate.notify_only]:
        when += f"; asks {', '.join(told)} as well, of which a failure is only told"
    if has_way_back and plan.shield:
        when += "; shielded: a safe request that fails on it is asked again of the old version"
    if has_way_back and plan.keep_failed:
        when += f"; what failed is kept for {_span(plan.keep_failed)} to look at"
    return f"for {_span(plan.bake)}{when}"


def _rule(rule: Rule, *, compared: bool) -> str:
    """ "" for a rule that only compares, where there is nothing to compare with."""
    name = rule.source or rule.metric.replace("_", " ")
    limits = []
    if rule.max is not None:
        limits.append(f"above {_value(rule.metric, rule.max)}")
    if rule.min is not None:
        limits.append(f"below {_value(rule.metric, rule.min)}")
    if rule.max_ratio is not None and compared:
        limits.append(f"above {rule.max_ratio:g} × the old version's")
    if rule.confidence is not None and compared and rule.max_ratio is None:
        limits.append(f"worse than the old version's, sure to {100 * rule.confidence:g} %")
    if rule.expression:
        limits.append(f"is not `{rule.expression}`")
    return f"{name} {' or '.join(limits)}" if limits else ""


def _value(metric: str, value: float) -> str:
    match metric:
        case "error_rate":
            return f"{100 * value:g} %"
        case "p50" | "p90" | "p95" | "p99":
            return f"{value:g} ms"
        case "request_rate":
            return f"{value:g}/s"
        case "memory":
            return f"{value / 2**20:g} MiB"
        case "cpu":
            return f"{value:g} cores"
    return f"{value:g}"


def _span(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
