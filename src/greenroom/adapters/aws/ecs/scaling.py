"""Autoscaling in a release: it may add tasks, and takes none away while both colours run.

The idle colour has no load: its autoscaler would take its tasks away just before it gets the traffic, and those of the old
colour while one may still have to go back to it. So scaling in, and what is scheduled, is suspended on both as long as both
run, and given back as it was to the one that stays when the other is removed. What stands idle stays suspended: what is
scheduled would wake it up, or that it has less than its minimum. How it was stands in a tag before anything is suspended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.ecs.names import short
from greenroom.adapters.aws.ecs.services import Raw, Service

_DIMENSION = "ecs:service:DesiredCount"
_IN, _OUT, _SCHEDULED = "DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended"


@dataclass(frozen=True, slots=True)
class Scalable:
    """What scales a service by itself, and what of it is suspended."""

    service: str
    least: int
    most: int
    scaling_in: bool
    scaling_out: bool
    scheduled: bool

    @classmethod
    def of(cls, raw: Raw) -> Scalable:
        off = raw.get("SuspendedState") or {}
        return cls(
            str(raw["ResourceId"]).rpartition("/")[2],
            int(raw.get("MinCapacity", 0)),
            int(raw.get("MaxCapacity", 0)),
            not off.get(_IN, False),
            not off.get(_OUT, False),
            not off.get(_SCHEDULED, False),
        )

    @property
    def held(self) -> bool:
        return not self.scaling_in and not self.scheduled

    @property
    def written(self) -> str:
        """For the tag: how it is."""
        return f"in={int(self.scaling_in)} scheduled={int(self.scheduled)}"


def scalables(client: Client, cluster: str, services: Iterable[str]) -> Mapping[str, Scalable]:
    """By service; those that nothing scales are missing."""
    names = [f"service/{short(cluster)}/{service}" for service in services]
    said = client.read(
        "application-autoscaling",
        "describe_scalable_targets",
        f"the autoscaling of {', '.join(names)}",
        ServiceNamespace="ecs",
        ResourceIds=names,
        ScalableDimension=_DIMENSION,
    )
    found = [Scalable.of(raw) for raw in said.get("ScalableTargets") or ()]
    return {scalable.service: scalable for scalable in found}


def suspend(client: Client, cluster: str, scalable: Scalable) -> None:
    _set(client, cluster, scalable, scaling_in=False, scheduled=False)


def give_back(client: Client, cluster: str, service: Service, scalable: Scalable) -> None:
    """As the tag says that it was."""
    was = service.mark.scaling
    _set(client, cluster, scalable, scaling_in="in=1" in was, scheduled="scheduled=1" in was)


def _set(client: Client, cluster: str, scalable: Scalable, *, scaling_in: bool, scheduled: bool) -> None:
    if (scalable.scaling_in, scalable.scheduled) == (scaling_in, scheduled):
        return
    name = f"service/{short(cluster)}/{scalable.service}"
    client.write(
        "application-autoscaling",
        "register_scalable_target",
        f"the autoscaling of {name}",
        ServiceNamespace="ecs",
        ResourceId=name,
        ScalableDimension=_DIMENSION,
        SuspendedState={_IN: not scaling_in, _OUT: not scalable.scaling_out, _SCHEDULED: not scheduled},
    )
