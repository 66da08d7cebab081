"""What can be seen before anything is touched: why a deploy would fail, and why users would notice one that does not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.ecs import scaling
from greenroom.adapters.aws.ecs.definitions import Definition, Definitions
from greenroom.adapters.aws.ecs.fargate import unplaceable
from greenroom.adapters.aws.ecs.names import group_name, short
from greenroom.adapters.aws.ecs.services import Service, services
from greenroom.adapters.aws.ecs.settings import EcsSettings
from greenroom.domain.model import Colour
from greenroom.errors import PortError, Temporary
from greenroom.ports import Place


def problems(settings: EcsSettings, place: Place) -> list[str]:
    """What would keep a deploy from working."""
    found = []
    if settings.task is not None and settings.task.launch == "fargate":
        text = unplaceable(settings.task.cpu, settings.task.memory)
        found += [f"environment.task.memory: {text}"] if text else []
    try:
        client = Client(settings)
        client.confirm()
        found += [*_there(client, settings, place)]
    except PortError as error:
        return [*found, f"environment: {_told(error)}"]
    return found


def hazards(settings: EcsSettings, place: Place) -> list[str]:
    """Facts for which users would notice a deploy that works."""
    found: list[str] = []
    with contextlib.suppress(PortError):  # `problems` says what cannot be asked
        client = Client(settings)
        names = [settings.services.of(colour) for colour in Colour]
        there = scaling.scalables(client, settings.cluster, names)
        if len(there) == 1:
            (one,) = there
            (other,) = {*names} - {one}
            found.append(
                f"environment.services: {one} is scaled automatically and {other} is not: after a switch of "
                f"{place.service} nothing adds tasks to it; give both the same scaling"
            )
        for service in services(client, settings.cluster, names).values():
            found += _abrupt(service)
    return found


def _there(client: Client, settings: EcsSettings, place: Place) -> Iterator[str]:
    names = [name for colour in Colour for name in settings.names(colour)]
    found = services(client, settings.cluster, names)
    missing = [name for name in names if name not in found]
    for name in missing:
        yield (
            f"environment.services: there is no ECS service {name} in the cluster {short(settings.cluster)} of the account "
            f"{client.account} ({client.region}); make it, or correct the name"
        )
    for service in found.values():
        yield from _fit(service, place)
    pair = [found[name] for colour in Colour if (name := settings.services.of(colour)) in found]
    for service in pair:
        yield from _behind(service, settings)
    if len(pair) == 2:
        yield from _apart(client, settings, pair)
    scaling.scalables(client, settings.cluster, names[:1])  # whether we may ask
    yield from _patterns(Definitions(client), settings)


def _fit(service: Service, place: Place) -> Iterator[str]:
    """Whether a release by its task definition is possible at all, and ours to make."""
    where, raw = f"environment.services: {service.name}", service.raw
    controller = str((raw.get("deploymentController") or {}).get("type", "ECS"))
    if controller != "ECS":
        yield f"{where} has the deployment controller {controller}; Greenroom needs one with ECS's own (rolling update)"
    strategy = str((raw.get("deploymentConfiguration") or {}).get("strategy", "ROLLING"))
    if strategy != "ROLLING":
        yield f"{where} does blue-green by itself (strategy {strategy}); set it to ROLLING: the colours are two services"
    if raw.get("schedulingStrategy", "REPLICA") != "REPLICA":
        yield f"{where} runs a task on every machine (DAEMON), which cannot be scaled to nothing; make it REPLICA"
    try:
        service.mark.belongs(place.service, f"the ECS service {service.name}")
    except PortError as error:
        yield f"environment.services: {_told(error)}"
    if service.arn.count("/") < 2:
        yield f"{where} has an ARN of the old format, which takes no tags; make it anew"


def _behind(service: Service, settings: EcsSettings) -> Iterator[str]:
    where = f"environment.services: {service.name}"
    door = service.door(settings.container, settings.port)
    if door is None:
        yield f"{where} is behind no target group; give it a `load_balancer` with the container {settings.container}"
        return
    balancers = [lb for lb in service.raw.get("loadBalancers") or () if lb.get("targetGroupArn") == door[0]]
    name = str(balancers[0].get("containerName", settings.container)) if balancers else settings.container
    if name != settings.container:
        goes = f"the load balancer of {service.name} goes to the container {name}"
        yield f"environment.container: {goes}, not {settings.container}"
    elif door[1] != settings.port:
        yield f"environment.port: the load balancer of {service.name} goes to the port {door[1]}, not {settings.port}"


def _apart(client: Client, settings: EcsSettings, pair: list[Service]) -> Iterator[str]:
    """A target group for each, in one network."""
    doors = [service.door(settings.container, settings.port) for service in pair]
    arns = [door[0] for door in doors if door is not None]
    if len(arns) < 2:
        return
    if arns[0] == arns[1]:
        yield (
            f"environment.services: both colours are behind the target group {group_name(arns[0])}, so that no traffic "
            f"could be kept from either; each needs one of its own"
        )
        return
    said = client.read("elbv2", "describe_target_groups", f"the target groups {', '.join(arns)}", TargetGroupArns=arns)
    networks = {str(g["TargetGroupArn"]): str(g.get("VpcId", "")) for g in said.get("TargetGroups") or ()}
    if len({*networks.values()}) > 1:
        told = " and ".join(f"{group_name(arn)} in {vpc}" for arn, vpc in networks.items())
        yield f"environment.services: the target groups are in different VPCs: {told}; one load balancer reaches one of them"


def _patterns(definitions: Definitions, settings: EcsSettings) -> Iterator[str]:
    """Whether the patterns are there, and have the container."""
    wanted: Mapping[str, tuple[str, str]] = {
        "environment.task_definition": (settings.task_definition, settings.container),
        **{f"environment.workers.{n}": (w.task_definition, w.container) for n, w in settings.workers.items()},
    }
    for key, (name, container) in wanted.items():
        if not name:
            continue
        try:
            pattern = definitions.fresh(name)
        except Temporary:
            raise
        except PortError as error:
            yield f"{key}: {_told(error)}"
            continue
        if pattern.container(container) is None:
            yield (
                f"{key}: {short(pattern.arn)} has no container {container}; it has {', '.join(pattern.containers)}: write "
                f"one of them as `container`"
            )
        elif text := _oversized(pattern):
            yield f"{key}: {short(pattern.arn)}: {text}"


def _oversized(pattern: Definition) -> str:
    raw = pattern.raw
    if "FARGATE" not in (raw.get("requiresCompatibilities") or ()):
        return ""
    with contextlib.suppress(ValueError):
        return unplaceable(int(raw.get("cpu") or 0), int(raw.get("memory") or 0))
    return ""


def _abrupt(service: Service) -> Iterator[str]:
    """What would cut users off."""
    deployment = service.raw.get("deploymentConfiguration") or {}
    if deployment.get("minimumHealthyPercent") == 0:
        yield (
            f"environment.services: {service.name} may stop all of its tasks before it starts new ones "
            f"(minimumHealthyPercent 0); set it to 100, for the day on which ECS has to replace them"
        )


def _told(error: PortError) -> str:
    return f"{error.message} {error.hint}".strip()
