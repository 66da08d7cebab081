"""What a colour really runs with, as flat `path → text`: its tasks, its network, what scales it.

What its task definition says counts as asked for: releases may differ in it. What the ECS service itself has (network,
platform, autoscaling) is the infrastructure's, and has to be alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from greenroom.adapters.aws.ecs.scaling import Scalable
from greenroom.adapters.aws.ecs.services import Raw, Service, Task
from greenroom.adapters.settings import GIVEN

_NONE = "none"
_OF_TASK = ("cpu", "memory", "networkMode", "taskRoleArn", "executionRoleArn", "pidMode", "ipcMode")
_OF_CONTAINER = (
    "command", "entryPoint", "user", "workingDirectory", "cpu", "memory", "memoryReservation", "essential",
    "readonlyRootFilesystem", "privileged", "stopTimeout", "healthCheck", "ulimits", "mountPoints", "linuxParameters",
    "dependsOn", "logConfiguration",
)  # fmt: skip


def of_definition(raw: Raw, main: str) -> dict[str, str]:
    """`main`: the container whose image and own variables differ by release."""
    return dict(_definition(raw, main))


def of_service(service: Service, tasks: tuple[Task, ...], scalable: Scalable | None) -> dict[str, str]:
    return dict((*_network(service), *_platform(service, tasks), *_scaling(scalable)))


def of_machines(instances: list[Raw]) -> dict[str, str]:
    """Of EC2 machines that the tasks are on: the agent and its Docker."""
    agents = {str((i.get("versionInfo") or {}).get("agentVersion", _NONE)) for i in instances}
    return {"agent.version": ", ".join(sorted(agents))} if agents else {}


def hashed(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:12]


def _definition(raw: Raw, main: str) -> Iterator[tuple[str, str]]:
    for key in _OF_TASK:
        yield f"task.{key}", _text(raw.get(key))
    platform = raw.get("runtimePlatform") or {}
    yield "task.architecture", str(platform.get("cpuArchitecture", "X86_64"))
    for volume in raw.get("volumes") or ():
        yield f"task.volumes.{volume.get('name')}", _text({k: v for k, v in volume.items() if k != "name"})
    for container in raw.get("containerDefinitions") or ():
        yield from _container(container, str(container.get("name")), main)


def _container(container: Raw, name: str, main: str) -> Iterator[tuple[str, str]]:
    before = "" if name == main else f"containers.{name}."
    if name != main:
        yield f"{before}image", str(container.get("image"))
    for key in _OF_CONTAINER:
        if container.get(key) not in (None, [], {}, ""):
            yield before + key, _text(container[key])
    for port in container.get("portMappings") or ():
        yield f"{before}ports.{port.get('containerPort')}", str(port.get("protocol", "tcp"))
    for entry in container.get("environment") or ():
        if entry["name"] not in GIVEN:
            yield f"{before}env.{entry['name']}", hashed(str(entry.get("value", "")))
    for entry in container.get("secrets") or ():
        yield f"{before}secrets.{entry['name']}", str(entry.get("valueFrom", ""))


def _network(service: Service) -> Iterator[tuple[str, str]]:
    deployment: Mapping[str, Any] = next(
        (d for d in service.raw.get("deployments") or () if d.get("status") == "PRIMARY"), {}
    )
    found = deployment.get("networkConfiguration") or service.raw.get("networkConfiguration") or {}
    network = found.get("awsvpcConfiguration") or {}
    yield "network.subnets", _several(network.get("subnets"))
    yield "network.security_groups", _several(network.get("securityGroups"))
    yield "network.public_address", str(network.get("assignPublicIp", _NONE))


def _platform(service: Service, tasks: tuple[Task, ...]) -> Iterator[tuple[str, str]]:
    raw = service.raw
    strategy = [f"{s.get('capacityProvider')}:{s.get('weight', 0)}" for s in raw.get("capacityProviderStrategy") or ()]
    yield "launch", _several(strategy) if strategy else str(raw.get("launchType", _NONE))
    versions = {str(task.raw["platformVersion"]) for task in tasks if task.raw.get("platformVersion")}
    yield "platform.version", ", ".join(sorted(versions)) or str(raw.get("platformVersion") or _NONE)
    yield "command_line_access", "yes" if raw.get("enableExecuteCommand") else "no"
    yield "grace_period", _text(raw.get("healthCheckGracePeriodSeconds"))


def _scaling(scalable: Scalable | None) -> Iterator[tuple[str, str]]:
    yield "scaling", f"{scalable.least} to {scalable.most}" if scalable else _NONE


def _several(values: Any) -> str:
    return ", ".join(sorted(str(value) for value in values or ())) or _NONE


def _text(value: Any) -> str:
    if value in (None, "", [], {}):
        return _NONE
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return " ".join(value)
    return json.dumps(value, sort_keys=True)
