"""The task definitions of a release: from a pattern that is there, or from what the file says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from greenroom.adapters.aws.ecs.definitions import Definition
from greenroom.adapters.aws.ecs.fargate import unplaceable
from greenroom.adapters.aws.ecs.names import PREFIX, tag_value
from greenroom.adapters.aws.ecs.settings import ContainerSettings, EcsSettings, TaskSettings
from greenroom.domain.model import ArtefactSpec
from greenroom.domain.template import fill
from greenroom.errors import Permanent

Document = dict[str, Any]
_COPIED = (
    "family", "taskRoleArn", "executionRoleArn", "networkMode", "volumes", "placementConstraints",
    "requiresCompatibilities", "cpu", "memory", "pidMode", "ipcMode", "proxyConfiguration", "inferenceAccelerators",
    "ephemeralStorage", "runtimePlatform", "enableFaultInjection",
)  # fmt: skip
"""Of a task definition as ECS tells it: what may be said when one is registered."""


def from_pattern(
    settings: EcsSettings, pattern: Definition, container: str, image: str, variables: Mapping[str, str]
) -> Document:
    """A copy, in which this container has this image and these variables."""
    if pattern.container(container) is None:
        raise Permanent(
            f"The task definition {pattern.arn} has no container {container!r}.",
            hint=f"It has {', '.join(pattern.containers)}: write one of them as `container`.",
        )
    made: Document = {key: pattern.raw[key] for key in _COPIED if pattern.raw.get(key) not in (None, "", [], {})}
    containers = [dict(raw) for raw in pattern.raw["containerDefinitions"]]
    for raw in containers:
        if raw["name"] == container:
            raw["image"] = image
            raw["environment"] = _environment(raw.get("environment") or (), variables)
            if settings.secrets:
                raw["secrets"] = _secrets(raw.get("secrets") or (), settings.secrets)
            taken = {entry["name"] for entry in raw.get("secrets") or ()}
            raw["environment"] = [entry for entry in raw["environment"] if entry["name"] not in taken]
    made["containerDefinitions"] = containers
    return made


def from_file(
    settings: EcsSettings, task: TaskSettings, service: str, image: str, variables: Mapping[str, str], region: str
) -> Document:
    """What `task:` says."""
    made: Document = {
        "family": task.family or service,
        "networkMode": task.network,
        "requiresCompatibilities": [task.launch.upper()],
        "cpu": str(task.cpu),
        "memory": str(task.memory),
        "runtimePlatform": {"cpuArchitecture": task.architecture.upper(), "operatingSystemFamily": "LINUX"},
    }
    if task.role:
        made["taskRoleArn"] = task.role
    if task.execution_role:
        made["executionRoleArn"] = task.execution_role
    main: Document = {
        "name": settings.container,
        "image": image,
        "essential": True,
        "portMappings": [{"containerPort": settings.port, "protocol": "tcp"}],
        "environment": _environment((), variables),
        "stopTimeout": int(task.stop_timeout),
    }
    if task.command:
        main["command"] = list(task.command)
    if settings.secrets:
        main["secrets"] = _secrets((), settings.secrets)
    others = [_beside(name, beside) for name, beside in task.containers.items()]
    for container in (main, *others) if task.log_group else ():
        container["logConfiguration"] = _log(task.log_group, region, service)
    made["containerDefinitions"] = [main, *others]
    return made


def for_worker(made: Document, command: Iterable[str], container: str) -> Document:
    """The same for a process in the background: another command, if one is given, and no ports."""
    words = list(command)
    containers = [dict(raw) for raw in made["containerDefinitions"]]
    for raw in containers:
        if raw["name"] == container:
            raw["portMappings"] = []
            if words:
                raw["command"] = words
    return {**made, "containerDefinitions": containers}


def filled(made: Document, container: str, known: Mapping[str, str]) -> Document:
    """The same, with `{port}` and the like filled in in the command of this container."""
    containers = [dict(raw) for raw in made["containerDefinitions"]]
    for raw in containers:
        if raw["name"] == container and raw.get("command"):
            raw["command"] = [fill(word, known) for word in raw["command"]]
    return {**made, "containerDefinitions": containers}


def variables_of(settings: EcsSettings, spec: ArtefactSpec, service: str) -> dict[str, str]:
    """Those of the file, filled in, and Greenroom's own. Not the colour: a definition is made once for both."""
    own = {
        "PORT": str(settings.port),
        "GREENROOM_SERVICE": service,
        "GREENROOM_VERSION": spec.version,
        "GREENROOM_RELEASE": spec.release,
    }
    known = names_of(settings, spec, service)
    return {**{name: fill(text, known) for name, text in settings.env.items()}, **own}


def names_of(settings: EcsSettings, spec: ArtefactSpec, service: str) -> dict[str, str]:
    """What fills `{name}` in variables and commands."""
    return {"version": spec.version, "release": spec.release, "service": service, "port": str(settings.port)}


def tags_of(spec: ArtefactSpec, service: str, process: str) -> list[dict[str, str]]:
    """By these what was registered for a release is found again."""
    told = {"service": service, "release": spec.release, "version": spec.version, "process": process}
    return [{"key": PREFIX + key, "value": tag_value(value, f"the {key}")} for key, value in told.items()]


def objection(made: Document) -> str:
    """Why it could not be placed on Fargate, where it is to run there; "" if it could."""
    if "FARGATE" not in (made.get("requiresCompatibilities") or ()):
        return ""
    try:
        return unplaceable(int(made.get("cpu") or 0), int(made.get("memory") or 0))
    except ValueError:
        return ""  # written in another unit, like `1 vCPU`: ECS says


def _environment(there: Iterable[Mapping[str, str]], variables: Mapping[str, str]) -> list[dict[str, str]]:
    merged = {entry["name"]: str(entry.get("value", "")) for entry in there} | dict(variables)
    return [{"name": name, "value": value} for name, value in sorted(merged.items())]


def _secrets(there: Iterable[Mapping[str, str]], secrets: Mapping[str, str]) -> list[dict[str, str]]:
    merged = {entry["name"]: str(entry.get("valueFrom", "")) for entry in there} | dict(secrets)
    return [{"name": name, "valueFrom": arn} for name, arn in sorted(merged.items())]


def _beside(name: str, settings: ContainerSettings) -> Document:
    made: Document = {"name": name, "image": settings.image, "essential": settings.essential}
    made["environment"] = _environment((), settings.env)
    if settings.secrets:
        made["secrets"] = _secrets((), settings.secrets)
    if settings.command:
        made["command"] = list(settings.command)
    if settings.port:
        made["portMappings"] = [{"containerPort": settings.port, "protocol": "tcp"}]
    for key in ("cpu", "memory"):
        if (value := getattr(settings, key)) is not None:
            made[key] = value
    return made


def _log(group: str, region: str, service: str) -> Document:
    options = {"awslogs-group": group, "awslogs-region": region, "awslogs-stream-prefix": service}
    return {"logDriver": "awslogs", "options": options}
