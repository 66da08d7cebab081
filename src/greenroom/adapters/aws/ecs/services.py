"""What ECS says of services and tasks, and Elastic Load Balancing of targets, in our words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.ecs.marks import Mark
from greenroom.adapters.aws.ecs.names import short
from greenroom.errors import Permanent

Raw = Mapping[str, Any]
_AT_ONCE = 100
"""Tasks that ECS describes in one answer."""
_ENDED = ("DEPROVISIONING", "STOPPED", "DELETED")


@dataclass(frozen=True, slots=True)
class Deployment:
    """`definition`: `family:revision`. `rollout`: "" where ECS does not say."""

    id: str
    definition: str
    desired: int
    running: int
    pending: int
    failed: int
    rollout: str
    reason: str
    begun: float
    changed: float

    @classmethod
    def of(cls, raw: Raw) -> Deployment:
        return cls(
            str(raw.get("id", "")),
            short(str(raw.get("taskDefinition", ""))),
            int(raw.get("desiredCount", 0)),
            int(raw.get("runningCount", 0)),
            int(raw.get("pendingCount", 0)),
            int(raw.get("failedTasks", 0)),
            str(raw.get("rolloutState", "")),
            str(raw.get("rolloutStateReason", "")),
            seconds(raw.get("createdAt")),
            seconds(raw.get("updatedAt")),
        )


@dataclass(frozen=True, slots=True)
class Service:
    """`primary`: the deployment that ECS works on, `others`: those that it ends. `events`: the newest first."""

    raw: Raw
    name: str
    arn: str
    desired: int
    running: int
    pending: int
    mark: Mark
    primary: Deployment
    others: tuple[Deployment, ...] = ()
    events: tuple[tuple[float, str], ...] = ()

    @classmethod
    def of(cls, raw: Raw) -> Service:
        tags = {str(tag["key"]): str(tag.get("value", "")) for tag in raw.get("tags") or ()}
        deployments = [(str(d.get("status", "")), Deployment.of(d)) for d in raw.get("deployments") or ()]
        primary = next((d for status, d in deployments if status == "PRIMARY"), None)
        return cls(
            raw,
            str(raw["serviceName"]),
            str(raw["serviceArn"]),
            int(raw.get("desiredCount", 0)),
            int(raw.get("runningCount", 0)),
            int(raw.get("pendingCount", 0)),
            Mark.of(tags),
            primary or Deployment.of({"taskDefinition": raw.get("taskDefinition", "")}),
            tuple(d for status, d in deployments if status != "PRIMARY"),
            tuple((seconds(e.get("createdAt")), str(e.get("message", ""))) for e in raw.get("events") or ()),
        )

    @property
    def calm(self) -> bool:
        """ECS has nothing left to do: what is to run runs, and nothing else."""
        done = self.primary.rollout in ("", "COMPLETED") and self.running == self.desired and not self.pending
        return done and not any(d.running or d.pending for d in self.others)

    @property
    def empty(self) -> bool:
        """Nothing is to run, and nothing is counted. What is being stopped is counted no more."""
        return not (self.desired or self.running or self.pending)

    def door(self, container: str, port: int) -> tuple[str, int] | None:
        """The ARN of the target group that users' traffic comes through, and the port behind it."""
        found = [
            (str(lb["targetGroupArn"]), int(lb.get("containerPort") or port), str(lb.get("containerName", "")))
            for lb in self.raw.get("loadBalancers") or ()
            if lb.get("targetGroupArn")
        ]
        found.sort(key=lambda door: (door[2] != container, door[1] != port))
        return found[0][:2] if found else None


@dataclass(frozen=True, slots=True)
class Task:
    """`status`: where it is in its life. `healthy`: what its own health check says, None where there is none."""

    arn: str
    definition: str
    status: str
    wanted: str
    healthy: bool | None
    begun: float
    address: str
    why: str
    raw: Raw

    @classmethod
    def of(cls, raw: Raw) -> Task:
        health = str(raw.get("healthStatus", "UNKNOWN"))
        return cls(
            str(raw["taskArn"]),
            short(str(raw.get("taskDefinitionArn", ""))),
            str(raw.get("lastStatus", "")),
            str(raw.get("desiredStatus", "")),
            {"HEALTHY": True, "UNHEALTHY": False}.get(health),
            seconds(raw.get("createdAt")),
            _address(raw),
            _why(raw),
            raw,
        )

    @property
    def ended(self) -> bool:
        """None of its processes lives."""
        return self.status in _ENDED

    @property
    def id(self) -> str:
        return short(self.arn)


@dataclass(frozen=True, slots=True)
class Target:
    """`state`: healthy, unhealthy, initial, draining, unused, unavailable. `why`: AWS's reason, "" for none."""

    id: str
    port: int
    state: str
    why: str = ""


def services(client: Client, cluster: str, names: Sequence[str]) -> dict[str, Service]:
    """By name, in one call; those that are not there (any more) are missing."""
    about = f"the services {', '.join(names)} of the cluster {short(cluster)}"
    said = client.read("ecs", "describe_services", about, cluster=cluster, services=list(names), include=["TAGS"])
    found = [Service.of(raw) for raw in said.get("services") or () if raw.get("status", "ACTIVE") == "ACTIVE"]
    return {service.name: service for service in found}


def needed(found: Mapping[str, Service], name: str, cluster: str) -> Service:
    service = found.get(name)
    if service is None:
        raise Permanent(
            f"There is no ECS service {name} in the cluster {short(cluster)}.",
            hint="Correct `services` or `cluster`; the services are made by your infrastructure, not by Greenroom.",
        )
    return service


def tasks(client: Client, cluster: str, service: Service, *, stopped: bool) -> tuple[Task, ...]:
    """Those that are to run, or (`stopped`) those that are not: they may still be on their way out."""
    wanted, about = "STOPPED" if stopped else "RUNNING", f"the tasks of the service {service.name}"
    listed = client.read(
        "ecs", "list_tasks", about, cluster=cluster, serviceName=service.name, desiredStatus=wanted, maxResults=_AT_ONCE
    )
    arns = list(listed.get("taskArns") or ())
    if not arns:
        return ()
    said = client.read("ecs", "describe_tasks", about, cluster=cluster, tasks=arns)
    found = [Task.of(raw) for raw in said.get("tasks") or ()]
    return tuple(sorted(found, key=lambda task: (task.begun, task.arn)))


def targets(client: Client, group: str) -> tuple[Target, ...]:
    said = client.read("elbv2", "describe_target_health", f"the target group {group}", TargetGroupArn=group)
    found = []
    for entry in said.get("TargetHealthDescriptions") or ():
        target, health = entry["Target"], entry.get("TargetHealth") or {}
        state, why = str(health.get("State", "unavailable")), str(health.get("Reason", ""))
        found.append(Target(str(target["Id"]), int(target.get("Port", 0)), state, why))
    return tuple(found)


def seconds(value: Any) -> float:
    return value.timestamp() if isinstance(value, datetime) else 0.0


def _address(raw: Raw) -> str:
    """Where it is reached in the network, "" where it shares its machine's address."""
    for attachment in raw.get("attachments") or ():
        for detail in attachment.get("details") or ():
            if detail.get("name") == "privateIPv4Address":
                return str(detail.get("value", ""))
    for container in raw.get("containers") or ():
        for interface in container.get("networkInterfaces") or ():
            if interface.get("privateIpv4Address"):
                return str(interface["privateIpv4Address"])
    return ""


def _why(raw: Raw) -> str:
    """Why it was stopped, with what each container ended with; "" if it was not."""
    parts = [str(raw.get("stoppedReason") or "").strip()]
    for container in raw.get("containers") or ():
        code, reason = container.get("exitCode"), str(container.get("reason") or "").strip()
        told = [f"exit code {code}"] if code is not None else []
        told += [reason] if reason else []
        if told:
            parts.append(f"container {container.get('name')}: {', '.join(told)}")
    return "; ".join(part for part in parts if part)
