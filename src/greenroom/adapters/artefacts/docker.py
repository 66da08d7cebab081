"""The artefact `docker`: an image, pinned to its digest when the release begins, and brought to the machine.

Which one it is stands in `.greenroom/images/RELEASE.json`, written once: what serves, is recorded and is returned to, even
if the tag has moved since. What takes long goes on in a thread; if it dies with us, the next look finds nothing being
made, and the next `apply` begins again with the same image.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import ClassVar

from docker import DockerClient
from docker.errors import NotFound

from greenroom.adapters.docker import images
from greenroom.adapters.docker.build import Build
from greenroom.adapters.docker.client import WITHIN, client, host_of, machine_of
from greenroom.adapters.docker.login import login_for
from greenroom.adapters.docker.names import Name, short
from greenroom.adapters.docker.pins import ADOPTED, Pin, Pins
from greenroom.adapters.docker.settings import DockerSettings, of_definition
from greenroom.adapters.docker.work import Work, Workshop
from greenroom.domain.model import ArtefactSpec, ArtefactStatus, Making
from greenroom.domain.template import conceal, fill
from greenroom.errors import Permanent
from greenroom.ports import ActionKey, Capability, Place

_STALLED = 60.0
"""Seconds without a word from Docker after which a pull or a push has failed."""
_WORKSHOP = Workshop()


class DockerArtefact:
    Settings = DockerSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.HOSTS, Capability.ADOPT})

    def __init__(
        self, settings: DockerSettings, place: Place, *, program: str = "docker", stalled: float = _STALLED
    ) -> None:
        self.settings = settings
        self.place = place
        self.pins = Pins(place)
        self._program = program
        self._stalled = stalled

    # --- the port

    def observe(self, spec: ArtefactSpec) -> ArtefactStatus:
        work = _WORKSHOP.find(self._name(spec.release))
        if work is not None and not work.done:
            return ArtefactStatus(Making.MAKING, detail=work.detail)
        if work is not None and work.failure:
            return ArtefactStatus(Making.FAILED, detail=conceal(work.failure, self._values(spec.release)))
        interrupted = work.interrupted if work is not None else ""
        pin = self.pins.read(spec.release)
        if pin is None:
            return self._unpinned(spec, interrupted)
        if pin.origin != "adopted":
            with client(self.place, self.settings.socket) as engine:
                if images.look(engine, pin.reference) is None:
                    missing = f"{short(pin.reference)} is not on {machine_of(self.place)}"
                    return ArtefactStatus(Making.ABSENT, detail=interrupted or missing)
        return _ready(pin)

    def apply(self, spec: ArtefactSpec, key: ActionKey) -> None:
        if spec.definition.get("adopt"):
            if self.pins.read(spec.release) is None:
                self.pins.keep(spec.release, self._adopted(spec), key.epoch)
            return
        if self.observe(spec).state in (Making.READY, Making.MAKING):
            return
        settings = of_definition(spec.definition, self._values(spec.release))
        _WORKSHOP.begin(self._name(spec.release), lambda work: self._make(work, spec, settings, key))

    def remove(self, release: str, key: ActionKey) -> None:
        """Images stay, for who else uses them; one that we built goes, if nobody does."""
        _WORKSHOP.end(self._name(release))
        pin = self.pins.read(release)
        if pin is not None:
            self.pins.forget(release, key.epoch)
        self._build(release).end()
        if pin is not None and pin.origin == "built":
            self._discard(pin)

    # --- inside

    def _make(self, work: Work, spec: ArtefactSpec, settings: DockerSettings, key: ActionKey) -> None:
        """All of it, in the thread: which image, written down; then the image itself."""
        name = Name.parse(fill(settings.image, {"version": spec.version, "release": spec.release}))
        login = login_for(name.registry, self.settings.login or settings.login, self.place)
        wanted = images.Wanted(name, settings.pull, settings.platform or "", login)
        pin = self.pins.read(spec.release)
        if pin is None:
            work.tell(f"looking up {name}")
            pin = self._built(work, spec, settings, wanted) if settings.build else self._found(wanted)
            with work.kept():
                pin = self.pins.keep(spec.release, pin, key.epoch)
        with client(self.place, self.settings.socket, within=self._stalled) as engine:
            images.bring(engine, pin.reference, wanted, self.place, work.tell)

    def _found(self, wanted: images.Wanted) -> Pin:
        with client(self.place, self.settings.socket, within=self._stalled) as engine:
            reference = images.resolve(engine, wanted, self.place)
        return Pin(str(wanted.image), reference, "registry" if "@" in reference else "local")

    def _built(self, work: Work, spec: ArtefactSpec, settings: DockerSettings, wanted: images.Wanted) -> Pin:
        """Built on this machine; pushed where the file says so, and then it is the registry's."""
        assert settings.build is not None
        if host_of(self.place).name and not settings.build.push:
            raise Permanent(
                f"an image that is built here does not come to {machine_of(self.place)} by itself",
                hint="write `push: true` in `environment.build`, and a registry before the image's name",
            )
        build, values = self._build(spec.release), self._values(spec.release)
        socket = None if host_of(self.place).name else self.settings.socket
        while not build.begin(spec, settings, socket):  # another host's thread is at it, or another process
            work.tell("the build begins")
            time.sleep(0.1)
        while build.alive:
            work.tell("building: " + (build.lines(values) or ["the builder starts"])[-1])
            time.sleep(0.1)
        identity = build.identity()
        if not identity:
            raise Permanent(build.failure(values) or "the build was killed; deploy again")
        reference = identity
        if settings.build.push:
            here = self._here
            login = login_for(wanted.image.registry, self.settings.login or settings.login, here)
            with self._builder(within=self._stalled) as engine:
                digest = images.push(engine, wanted.image, login, here, work.tell)
            reference = wanted.image.at(digest)
        return Pin(str(wanted.image), reference, "built", identity)

    def _unpinned(self, spec: ArtefactSpec, interrupted: str) -> ArtefactStatus:
        """Nothing is known of it. What is adopted is there all the same; a build may have failed before our time."""
        if spec.definition.get("adopt"):
            try:
                return _ready(self._adopted(spec))
            except Permanent as error:
                return ArtefactStatus(Making.FAILED, detail=f"{error.message}; {error.hint}")
        if failure := self._build(spec.release).failure(self._values(spec.release)):
            return ArtefactStatus(Making.FAILED, detail=failure)
        return ArtefactStatus(Making.ABSENT, detail=interrupted)

    def _adopted(self, spec: ArtefactSpec) -> Pin:
        """What runs already: the image of a container; of an upstream nothing is known."""
        adopted: Mapping[str, str] = spec.definition["adopt"]
        name = adopted.get("container", "")
        if not name:
            return Pin(str(adopted.get("upstream", "")), ADOPTED, "adopted")
        with client(self.place, self.settings.socket) as engine:
            try:
                container = engine.api.inspect_container(name)
            except NotFound:
                raise Permanent(
                    f"there is no container {name} on {machine_of(self.place)}",
                    hint="`docker ps` shows those that run; name one of them",
                ) from None
            image, identity = str(container["Config"]["Image"]), str(container["Image"])
            found = images.look(engine, identity) or {}
        digest = Name.parse(image).digest_in(found.get("RepoDigests"))
        return Pin(image, Name.parse(image).at(digest) if digest else identity, "adopted")

    def _discard(self, pin: Pin) -> None:
        """What we built, where it was built and where it was brought."""
        with self._builder(changing=True) as engine:
            images.discard(engine, Name.parse(pin.image), pin.identity)
        if host_of(self.place).name:
            with client(self.place, self.settings.socket, changing=True) as engine:
                brought = images.look(engine, pin.reference)
                if brought is not None:
                    images.discard(engine, Name.parse(pin.image), str(brought["Id"]))

    @property
    def _here(self) -> Place:
        """This machine, where images are built."""
        return replace(self.place, host=None) if host_of(self.place).name else self.place

    def _builder(self, *, within: float = WITHIN, changing: bool = False) -> AbstractContextManager[DockerClient]:
        socket = None if host_of(self.place).name else self.settings.socket
        return client(self._here, socket, within=within, changing=changing)

    def _build(self, release: str) -> Build:
        return Build(self.place, release, self._program)

    def _name(self, release: str) -> str:
        return f"{machine_of(self.place)}:{self.place.state}:{release}"

    def _values(self, release: str) -> Mapping[str, str]:
        if self.place.vault is None:
            return {}
        with contextlib.suppress(Permanent):
            return self.place.vault.values(release)
        return {}


def _ready(pin: Pin) -> ArtefactStatus:
    return ArtefactStatus(Making.READY, pin.reference, f"{pin.image}, {short(pin.reference.rpartition('@')[2])}")
