"""The artefact `ecs`: a task definition, registered once when the release begins, with its image pinned to a digest.

By its tags it is found again: who comes after a crash registers nothing twice, and takes what the release began with, even
if the image's tag or the pattern has changed since.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import ClassVar

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.ecs import render
from greenroom.adapters.aws.ecs.definitions import Definition, Definitions
from greenroom.adapters.aws.ecs.images import pinned, unpinned
from greenroom.adapters.aws.ecs.names import PREFIX, Reference, digest_of, short
from greenroom.adapters.aws.ecs.settings import EcsSettings, of_definition
from greenroom.adapters.aws.glance import PACE
from greenroom.domain.model import ArtefactSpec, ArtefactStatus, Making
from greenroom.domain.template import conceal, fill
from greenroom.errors import Permanent
from greenroom.ports import ActionKey, Capability, Place


class EcsArtefact:
    Settings = EcsSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    def __init__(
        self,
        settings: EcsSettings,
        place: Place,
        *,
        pace: float = PACE,
        steady: Callable[[], float] = time.monotonic,
        client: Client | None = None,
    ) -> None:
        self.settings, self.place = settings, place
        self._client = client or Client(settings)
        self._definitions = Definitions(self._client)
        self._pace, self._steady = pace, steady
        self._made: dict[str, ArtefactStatus] = {}
        self._failed: dict[str, str] = {}
        self._absent: dict[str, float] = {}
        """When it was looked for in vain."""
        self._gone: set[str] = set()

    # --- the port

    def observe(self, spec: ArtefactSpec) -> ArtefactStatus:
        if spec.release in self._made:
            return self._made[spec.release]
        if spec.release in self._failed:
            return ArtefactStatus(Making.FAILED, detail=self._failed[spec.release])
        if self._steady() < self._absent.get(spec.release, float("-inf")) + self._pace:
            return ArtefactStatus(Making.ABSENT)
        settings = self._read(spec)
        found = self._found(settings, spec.release)
        if not found.keys() >= self._processes(settings).keys():
            self._absent[spec.release] = self._steady()
            return ArtefactStatus(Making.ABSENT)
        return self._keep(settings, spec.release, found)

    def apply(self, spec: ArtefactSpec, key: ActionKey) -> None:
        """Registers what is missing of it. What can never be made is told by `observe`."""
        self._absent.pop(spec.release, None)
        self._gone.discard(spec.release)
        if spec.release in self._made:
            return
        try:
            settings = self._read(spec)
            found = self._found(settings, spec.release)
            wanted = self._processes(settings)
            if not found.keys() >= wanted.keys():
                image = self._image(settings, spec, found)
                patterns = self._patterns(settings)
                documents = {
                    name: self._document(settings, spec, name, image, patterns) for name in wanted if name not in found
                }
                for name, document in documents.items():
                    found[name] = self._register(spec, name, document)
            self._failed.pop(spec.release, None)
            self._keep(settings, spec.release, found)
        except Permanent as error:
            text = f"{error.message} {error.hint}".strip()
            self._failed[spec.release] = conceal(text, self._values(spec.release))

    def remove(self, release: str, key: ActionKey) -> None:
        """Its task definitions are deregistered, if they are still the newest: services that run them go on, none can be
        told to run them anew. Older ones are kept.
        """
        if release in self._gone:
            return
        for definition in self._found(self.settings, release).values():
            about = f"the task definition {short(definition.arn)}"
            self._client.write("ecs", "deregister_task_definition", about, taskDefinition=definition.arn)
        self._made.pop(release, None)
        self._failed.pop(release, None)
        self._absent.pop(release, None)
        self._gone.add(release)

    # --- inside

    def _processes(self, settings: EcsSettings) -> dict[str, str]:
        """The family that each one's task definition is of: that of its pattern."""
        main = settings.task_definition or (settings.task.family if settings.task else "") or self.place.service
        families = {settings.container: _family(main)}
        for name, worker in settings.workers.items():
            families[name] = _family(worker.task_definition) if worker.task_definition else f"{_family(main)}-{name}"
        return families

    def _found(self, settings: EcsSettings, release: str) -> dict[str, Definition]:
        """What is registered for this release, by process."""
        found: dict[str, Definition] = {}
        listed: dict[str, list[Definition]] = {}
        for name, family in self._processes(settings).items():
            if family not in listed:
                listed[family] = [self._definitions.of(arn) for arn in self._definitions.newest(family)]
            for definition in listed[family]:
                told = definition.tags
                if (told.get(f"{PREFIX}release"), told.get(f"{PREFIX}process")) == (release, name):
                    found.setdefault(name, definition)
        return found

    def _image(self, settings: EcsSettings, spec: ArtefactSpec, found: Mapping[str, Definition]) -> str:
        """That of what is registered already, or the one that the version means now."""
        for name, definition in found.items():
            container = definition.container(self._container(settings, name))
            if container is not None:
                return str(container["image"])
        wanted = fill(settings.image, {"version": spec.version, "release": spec.release})
        return pinned(self._client, settings, wanted)

    def _patterns(self, settings: EcsSettings) -> Mapping[str, Definition]:
        """By the name that the file has for it, as it is now."""
        names = {settings.task_definition, *(worker.task_definition for worker in settings.workers.values())}
        return {name: self._definitions.fresh(name) for name in sorted(names - {""})}

    def _document(
        self, settings: EcsSettings, spec: ArtefactSpec, process: str, image: str, patterns: Mapping[str, Definition]
    ) -> render.Document:
        variables = render.variables_of(settings, spec, self.place.service)
        worker = settings.workers.get(process)
        container = self._container(settings, process)
        pattern = (worker.task_definition if worker else "") or settings.task_definition
        if pattern:
            made = render.from_pattern(settings, patterns[pattern], container, image, variables)
        else:
            assert settings.task is not None
            made = render.from_file(settings, settings.task, self.place.service, image, variables, self._client.region)
        if worker is not None:
            made = render.for_worker({**made, "family": self._processes(settings)[process]}, worker.command, container)
        made = render.filled(made, container, render.names_of(settings, spec, self.place.service))
        if text := render.objection(made):
            raise Permanent(f"{process}: {text}.", hint="Correct cpu and memory, of `task` or of the pattern.")
        return made

    def _register(self, spec: ArtefactSpec, process: str, document: render.Document) -> Definition:
        tags = render.tags_of(spec, self.place.service, process)
        about = f"the task definition {document['family']}"
        said = self._client.write("ecs", "register_task_definition", about, **document, tags=tags)
        raw = said["taskDefinition"]
        return Definition(str(raw["taskDefinitionArn"]), raw, {tag["key"]: tag["value"] for tag in tags})

    def _keep(self, settings: EcsSettings, release: str, found: Mapping[str, Definition]) -> ArtefactStatus:
        main = found[settings.container]
        image = str((main.container(settings.container) or {}).get("image", ""))
        workers = {name: found[name].arn for name in settings.workers}
        reference = Reference(main.arn, digest_of(image), workers)
        detail = f"{short(main.arn)}, {image}"
        if note := unpinned(image):
            detail += f" ({note})"
        self._made[release] = ArtefactStatus(Making.READY, str(reference), detail)
        return self._made[release]

    def _container(self, settings: EcsSettings, process: str) -> str:
        """Of a worker without a pattern of its own: that of what it is a copy of."""
        worker = settings.workers.get(process)
        return worker.container if worker and worker.task_definition else settings.container

    def _read(self, spec: ArtefactSpec) -> EcsSettings:
        return of_definition(spec.definition, self._values(spec.release))

    def _values(self, release: str) -> Mapping[str, str]:
        if self.place.vault is None:
            return {}
        with contextlib.suppress(Permanent):
            return self.place.vault.values(release)
        return {}


def _family(name: str) -> str:
    """Of a family, an ARN, or `family:revision`."""
    return short(name).partition(":")[0]
