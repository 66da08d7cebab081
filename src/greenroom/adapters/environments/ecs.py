"""The environment `ecs`: an ECS service for each colour, found as the infrastructure made it, told what to run.

What a colour shall run stands in the tags of its service; what it does run, ECS says. Nothing is made or deleted here:
a release changes a service's task definition and its desired count, and `remove` takes that down to what is kept idle.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.ecs import cost, facts, foresight, scaling
from greenroom.adapters.aws.ecs.changing import Change
from greenroom.adapters.aws.ecs.definitions import Definitions
from greenroom.adapters.aws.ecs.heard import Heard
from greenroom.adapters.aws.ecs.looking import status
from greenroom.adapters.aws.ecs.services import Raw, Service, Task, services, tasks
from greenroom.adapters.aws.ecs.settings import EcsSettings, of_definition
from greenroom.adapters.aws.ecs.shot import Camera, Shot
from greenroom.adapters.aws.glance import PACE, Glance
from greenroom.domain.model import Colour, EnvironmentSpec, EnvironmentStatus
from greenroom.errors import Permanent
from greenroom.ports import ActionKey, Capability, Facts, Line, Place


class EcsEnvironment:
    Settings = EcsSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.ROLES, Capability.PARITY})
    problems = staticmethod(foresight.problems)
    hazards = staticmethod(foresight.hazards)
    warm_cost = staticmethod(cost.warm)

    @staticmethod
    def afar(written: Mapping[str, Any]) -> bool:
        return True

    def __init__(
        self, settings: EcsSettings, place: Place, *, pace: float = PACE, client: Client | None = None
    ) -> None:
        self.settings, self.place = settings, place
        self._client = client or Client(settings)
        self._definitions = Definitions(self._client)
        self._heard = Heard(self._client, self._definitions)
        self._camera = Camera(self._client, settings)
        self._glance: Glance[Shot] = Glance(self._camera.take, pace)

    # --- the port

    def observe(self, colour: Colour) -> EnvironmentStatus:
        shot = self._glance.see()
        found = status(self.settings, shot, colour)
        if not found.failed:
            return found
        left = self._remains(shot, colour)
        return replace(found, failed=f"{found.failed}\n{left}" if left else found.failed)

    def apply(self, colour: Colour, spec: EnvironmentSpec, key: ActionKey) -> None:
        if "adopt" in spec.definition:
            raise Permanent(
                "What runs on ECS already cannot be adopted yet.",
                hint="Release its version to the idle colour, and switch: `greenroom deploy VERSION`.",
            )
        settings = of_definition(spec.definition, self._values(spec.release))
        with_names = [name for each in Colour for name in settings.names(each)]
        try:
            found = services(self._client, settings.cluster, with_names)
            Change(self._client, settings, self.place.service, colour, key.epoch, found).apply(spec)
        finally:
            self._anew()

    def remove(self, colour: Colour, key: ActionKey) -> None:
        try:
            Change(self._client, self.settings, self.place.service, colour, key.epoch, self._camera.services()).remove()
        finally:
            self._anew()

    # --- beyond the port

    def anew(self) -> None:
        self._glance.anew()

    def inspect(self, colour: Colour) -> Mapping[str, Facts]:
        found = self._camera.services()
        there = scaling.scalables(self._client, self.settings.cluster, self.settings.names(colour))
        told = {}
        for process, container, name in self._processes(colour):
            service = found.get(name)
            if service is None or service.mark.holds is None or not service.running:
                continue
            alive = tasks(self._client, self.settings.cluster, service, stopped=False)
            runs = {task.definition for task in alive} or {service.primary.definition}
            effective = facts.of_service(service, alive, there.get(name)) | self._machines(alive)
            for definition in sorted(runs):
                effective |= facts.of_definition(self._definitions.of(definition).raw, container)
            asked = facts.of_definition(self._definitions.of(service.mark.task).raw, container)
            told[process] = Facts(effective, asked)
        return told

    def output(self, colour: Colour, last: int, since: float = 0.0) -> Sequence[Line]:
        found = self._camera.services()
        lines: list[Line] = []
        for process, container, name in self._processes(colour):
            service = found.get(name)
            if service is None or not service.mark.release:
                continue
            for number, task in enumerate(self._last(service), 1):
                lines += self._heard.lines(task, container, f"{process}-{number}", last, since)
        return sorted(lines, key=lambda line: line.at)

    # --- inside

    def _processes(self, colour: Colour) -> list[tuple[str, str, str]]:
        """Name, container and ECS service of each process."""
        settings = self.settings
        main = (settings.container, settings.container, settings.services.of(colour))
        workers = [(name, w.container, w.services.of(colour)) for name, w in settings.workers.items()]
        return [main, *workers]

    def _last(self, service: Service) -> list[Task]:
        """Its tasks of our definition: those that run, else those that ran last."""
        cluster = self.settings.cluster
        alive = [t for t in tasks(self._client, cluster, service, stopped=False) if t.definition == service.mark.task]
        if alive:
            return alive
        ended = [t for t in tasks(self._client, cluster, service, stopped=True) if t.definition == service.mark.task]
        return ended[-max(1, service.desired) :]

    def _remains(self, shot: Shot, colour: Colour) -> str:
        """Of the process that failed: its last stopped task."""
        for _, container, name in self._processes(colour):
            service, seen = shot.services.get(name), shot.tasks.get(name, ())
            if service is not None and seen:
                values = self._values(service.mark.release)
                if left := self._heard.remains(seen, service.mark.task, container, values):
                    return left
        return ""

    def _machines(self, alive: Sequence[Task]) -> dict[str, str]:
        """The agents of the EC2 machines that the tasks are on; Fargate's are AWS's own."""
        arns = sorted({str(arn) for task in alive if (arn := task.raw.get("containerInstanceArn"))})
        if not arns:
            return {}
        cluster = self.settings.cluster
        said = self._client.read(
            "ecs",
            "describe_container_instances",
            f"the machines of {cluster}",
            cluster=cluster,
            containerInstances=arns,
        )
        found: list[Raw] = list(said.get("containerInstances") or ())
        return facts.of_machines(found)

    def _values(self, release: str) -> Mapping[str, str]:
        """None of them may be needed: what is missing, and is, is said by who reads the definition."""
        with contextlib.suppress(Permanent):
            return self.place.vault.values(release) if self.place.vault is not None else {}
        return {}

    def _anew(self) -> None:
        self._camera.forget()
        self._glance.anew()
