"""One look at both colours: as few calls as tell what has to be known.

Both colours' services come in one call. Single tasks are asked for only while ECS is at work there, or something went
wrong; who is healthy behind the load balancer, of colours that run something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.ecs.services import Service, Target, Task, services, targets, tasks
from greenroom.adapters.aws.ecs.settings import EcsSettings
from greenroom.domain.model import Colour


@dataclass(frozen=True, slots=True)
class Shot:
    """`tasks`: by service; of services that are calm they were not asked for. `targets`: by colour."""

    services: Mapping[str, Service]
    tasks: Mapping[str, tuple[Task, ...]] = field(default_factory=dict)
    targets: Mapping[Colour, tuple[Target, ...]] = field(default_factory=dict)

    def alive(self, service: Service) -> bool:
        """Something of it runs, is to run, or is still on its way out."""
        return not service.empty or any(not task.ended for task in self.tasks.get(service.name, ()))


class Camera:
    """Takes shots; remembers of services that stand at 0 that nothing of theirs is left."""

    def __init__(self, client: Client, settings: EcsSettings) -> None:
        self._client, self._settings = client, settings
        self._ended: dict[str, tuple[object, ...]] = {}

    def services(self) -> dict[str, Service]:
        settings = self._settings
        names = [name for colour in Colour for name in settings.names(colour)]
        return services(self._client, settings.cluster, names)

    def take(self) -> Shot:
        found = self.services()
        seen = {service.name: self._tasks(service) for service in found.values()}
        behind = {colour: self._targets(found.get(self._settings.services.of(colour))) for colour in Colour}
        return Shot(found, seen, behind)

    def forget(self) -> None:
        """Something is about to be changed."""
        self._ended.clear()

    def _tasks(self, service: Service) -> tuple[Task, ...]:
        cluster = self._settings.cluster
        if service.empty:
            state = (service.arn, service.primary.id, service.primary.changed)
            if self._ended.get(service.name) == state:
                return ()
            left = tasks(self._client, cluster, service, stopped=True)
            if all(task.ended for task in left):
                self._ended[service.name] = state
            return left
        self._ended.pop(service.name, None)
        strange = service.mark.told not in ("", service.primary.definition)
        troubled = strange or bool(service.primary.failed or any(d.failed for d in service.others))
        if service.calm and not strange and not service.primary.failed:
            return ()
        running = tasks(self._client, cluster, service, stopped=False)
        if troubled or service.name not in self._routed:
            return (*tasks(self._client, cluster, service, stopped=True), *running)
        return running

    def _targets(self, service: Service | None) -> tuple[Target, ...]:
        door = service.door(self._settings.container, self._settings.port) if service else None
        if service is None or door is None or not (service.running or service.pending):
            return ()
        return targets(self._client, door[0])

    @property
    def _routed(self) -> tuple[str, ...]:
        return tuple(self._settings.services.of(colour) for colour in Colour)
