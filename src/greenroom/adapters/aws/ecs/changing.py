"""Telling ECS what a colour shall run. Each step may be the last: what is not done is seen, and done by the next `apply`.

First the tags say what is meant (`task`), then ECS is told, then the tags say that it was (`told`). Workers of another
release end before those of this one begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.ecs import scaling
from greenroom.adapters.aws.ecs.looking import least
from greenroom.adapters.aws.ecs.marks import REMOVED, Mark
from greenroom.adapters.aws.ecs.names import Reference, short
from greenroom.adapters.aws.ecs.services import Service, needed
from greenroom.adapters.aws.ecs.services import tasks as ask_tasks
from greenroom.adapters.aws.ecs.settings import EcsSettings
from greenroom.adapters.aws.ecs.shot import Shot
from greenroom.domain.model import Colour, EnvironmentSpec, Role


@dataclass
class Change:
    """What is done to one colour, on one fresh look at all services. `marks`: what their tags say now."""

    client: Client
    settings: EcsSettings
    service: str
    colour: Colour
    epoch: int
    found: Mapping[str, Service]

    def __post_init__(self) -> None:
        self.marks: dict[str, Mark] = {name: service.mark for name, service in self.found.items()}
        self.since = {name: f"{service.primary.begun:.3f}" for name, service in self.found.items()}
        for name in self.settings.names(self.colour):
            needed(self.found, name, self.settings.cluster).mark.belongs(self.service, f"the ECS service {name}")
        for name, mark in self.marks.items():  # of both colours: who was told under a newer lease is in charge of both
            mark.admit(self.epoch, f"the ECS service {name}")

    @property
    def head(self) -> Service:
        return self.found[self.settings.services.of(self.colour)]

    def apply(self, spec: EnvironmentSpec) -> None:
        reference = Reference.parse(spec.artefact)
        before, task = self.head.mark, short(reference.main)
        meant = replace(self._meant(self.head, spec, task), scaling=before.scaling)
        again = (before.release, before.task, before.told) == (spec.release, task, task) and before.holds is not None
        self._mark(self.head, meant)
        if not again or self.head.desired < self._count(again, spec.role):
            self._hold()
        count = self._count(again, spec.role)
        if not again or self.head.primary.definition != task or self.head.desired < count:
            self._tell(self.head, reference.main, count)
            meant = replace(meant, count=str(count))
        scaled = self.marks[self.head.name].scaling
        self._mark(self.head, replace(meant, told=task, since=self.since[self.head.name], scaling=scaled))
        for process, worker in self.settings.workers.items():
            here = self.found[worker.services.of(self.colour)]
            self._worker(here, reference.of(process), worker.desired, spec)

    def remove(self) -> None:
        """Down to what is kept idle. The other colour scales by itself again; this one does not, while it stands idle: what
        is scheduled would wake it up.
        """
        names = self.settings.names(self.colour)
        for name in names:
            service = self.found[name]
            idle = self.settings.idle if service is self.head else 0
            if service.mark.holds is None and service.mark.role != REMOVED and service.desired <= idle:
                continue  # never ours, and nothing runs
            gone = replace(service.mark, service=self.service, role=REMOVED, epoch=self.epoch, told="")
            self._mark(service, gone)
            if service.desired > idle:
                self._tell(service, "", idle)
        other = self.found.get(self.settings.services.of(self.colour.other))
        if self.head.mark.role and other is not None and other.mark.holds is not None:
            self._give_back(other)

    # --- inside

    def _count(self, again: bool, role: Role) -> int:
        """How many tasks it must be told to run at least. What is active already scales by itself."""
        if again and role is Role.ACTIVE:
            return 1
        marked = {name: replace(service, mark=self.marks[name]) for name, service in self.found.items()}
        return least(self.settings, Shot(marked), self.colour)

    def _worker(self, service: Service, definition: str, count: int, spec: EnvironmentSpec) -> None:
        before, task = service.mark, short(definition)
        meant = self._meant(service, spec, task)
        if spec.role is Role.IDLE:
            self._mark(service, replace(meant, task="", told="", since=""))
            if service.desired:
                self._tell(service, "", 0)
            return
        runs = (before.task, service.primary.definition) == (task, task) and service.desired > 0
        if not runs and self._busy(service):
            self._mark(service, replace(meant, told=""))
            if service.desired:
                self._tell(service, "", 0)
            return
        if not runs or service.desired < count:
            self._mark(service, replace(meant, told=""))
            self._tell(service, definition, count)
        self._mark(service, replace(meant, told=task, since=self.since[service.name]))

    def _meant(self, service: Service, spec: EnvironmentSpec, task: str) -> Mark:
        """What its tags are to say first: what ECS was told before stays there until it is told something else."""
        before = service.mark
        told = (before.told, before.since, before.count)
        return Mark(self.service, spec.release, spec.version, spec.role, self.epoch, task, *told)

    def _busy(self, service: Service) -> bool:
        """Somebody is still at work there, counted or on the way out."""
        if not service.empty:
            return True
        left = ask_tasks(self.client, self.settings.cluster, service, stopped=True)
        return any(not task.ended for task in left)

    def _hold(self) -> None:
        """While both colours run, nothing takes tasks away from either; what runs alone scales as it did."""
        other = self.found.get(self.settings.services.of(self.colour.other))
        if other is None or other.mark.holds is None:
            self._give_back(self.head)
            return
        pair = {self.head.name: self.head, other.name: other}
        for name, scalable in scaling.scalables(self.client, self.settings.cluster, pair).items():
            mark = self.marks[name]
            if not mark.scaling:
                self._mark(pair[name], replace(mark, scaling=scalable.written))
            scaling.suspend(self.client, self.settings.cluster, scalable)

    def _give_back(self, service: Service) -> None:
        """Its autoscaling is as it was before we suspended it."""
        if not service.mark.scaling:
            return
        there = scaling.scalables(self.client, self.settings.cluster, [service.name])
        if service.name in there:
            scaling.give_back(self.client, self.settings.cluster, service, there[service.name])
        self._mark(service, replace(self.marks[service.name], scaling=""))

    def _mark(self, service: Service, wanted: Mark) -> None:
        changes = self.marks[service.name].changes(wanted)
        if changes:
            tags = [{"key": key, "value": value} for key, value in changes.items()]
            self.client.write("ecs", "tag_resource", f"the service {service.name}", resourceArn=service.arn, tags=tags)
            self.marks[service.name] = wanted

    def _tell(self, service: Service, definition: str, count: int) -> None:
        """`definition` "": as it is."""
        more: dict[str, Any] = {"taskDefinition": definition} if definition else {}
        about = f"the service {service.name} of the cluster {short(self.settings.cluster)}"
        said = self.client.write(
            "ecs",
            "update_service",
            about,
            cluster=self.settings.cluster,
            service=service.name,
            desiredCount=count,
            **more,
        )
        self.since[service.name] = f"{Service.of(said['service']).primary.begun:.3f}"
