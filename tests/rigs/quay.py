"""Where images come from and are brought to: an engine, a registry, and the artefact `docker` between them."""

from __future__ import annotations

import io
import os
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docker.errors import ImageNotFound

from greenroom.adapters.artefacts.docker import DockerArtefact
from greenroom.adapters.docker.settings import of_definition
from greenroom.domain.model import ArtefactSpec, ArtefactStatus, Making
from greenroom.ports import ActionKey, Place
from tests.process_kit import DictVault
from tests.rigs.docker import PATIENCE, Engine
from tests.rigs.registry import PASSWORD, USER, Registry

KEY = ActionKey("r-1", "build", 0, "make", "r-1", 0)


class Quay:
    """One service in a folder of its own, whose images are in `registry`."""

    def __init__(self, folder: Path, engine: Engine, registry: Registry) -> None:
        self.folder, self.engine, self.registry = folder, engine, registry
        self.repository = f"{registry.address}/{folder.name.lower()}"
        self.vault = DictVault()
        self.program = "docker"
        self.stalled = 20.0

    # --- the adapter

    @property
    def place(self) -> Place:
        return Place("shop", self.folder / "greenroom.yaml", self.folder / ".greenroom", vault=self.vault)

    def open(self, place: Place | None = None) -> DockerArtefact:
        settings = of_definition(self.definition(), {})
        return DockerArtefact(settings, place or self.place, program=self.program, stalled=self.stalled)

    def definition(self, **more: Any) -> dict[str, Any]:
        image = f"{self.repository}:{{version}}"
        return {"environment": {"type": "docker", "image": image, "socket": str(self.engine.socket), **more}}

    def spec(self, version: str, **more: Any) -> ArtefactSpec:
        self.vault.kept.setdefault(f"r-{version}", {})
        return ArtefactSpec(f"r-{version}", version, self.definition(**more))

    def made(self, spec: ArtefactSpec, artefact: DockerArtefact | None = None) -> ArtefactStatus:
        """Made to the end, whatever end that is."""
        artefact = artefact or self.open()
        artefact.apply(spec, KEY)
        self.wait(lambda: artefact.observe(spec).state is not Making.MAKING, f"{spec.version} is made")
        return artefact.observe(spec)

    def refused(self, version: str = "1", **more: Any) -> str:
        """Why this can never be made."""
        return self.refused_spec(self.spec(version, **more))

    def refused_spec(self, spec: ArtefactSpec) -> str:
        status = self.made(spec)
        assert status.state is Making.FAILED, status
        assert not status.reference
        return status.detail

    def makers(self, spec: ArtefactSpec) -> list[str]:
        """The threads of this process that make it."""
        wanted = f"{self.folder}/.greenroom:{spec.release}"
        return [thread.name for thread in threading.enumerate() if thread.name.endswith(wanted)]

    # --- the world

    def publish(self, tag: str, content: str = "", *, size: int = 0, architecture: str = "") -> str:
        """An image with this content is in the registry, and not on the machine. Returns its digest."""
        files = {"content": content.encode(), "big": os.urandom(size)}
        name = self.engine.image(f"{self.repository}:{tag}", files=files, architecture=architecture)
        self.push(name)
        self.engine.client().images.remove(name, force=True)
        return self.registry.digest(self.repository.partition("/")[2], tag)

    def publish_elsewhere(self, tag: str, content: str) -> str:
        """As `publish`, by another machine: what this one has of the tag stays as it is."""
        repository = self.repository.partition("/")[2]
        kept = self.engine.client().images.get(f"{self.repository}:{tag}")
        self.push(self.engine.image(f"{self.repository}:{tag}", files={"content": content.encode()}))
        kept.tag(self.repository, tag)
        return self.registry.digest(repository, tag)

    def forget(self, reference: str) -> None:
        """The machine has it no more, as after `docker image prune`."""
        self.engine.client().images.remove(reference, force=True)

    def here(self, reference: str) -> bool:
        try:
            self.engine.client().api.inspect_image(reference)
        except ImageNotFound:
            return False
        return True

    def push(self, name: str) -> None:
        repository, _, tag = name.rpartition(":")
        login = {"username": USER, "password": PASSWORD} if self.registry.login else {}
        api = self.engine.client().api
        for event in api.push(repository, tag=tag, stream=True, decode=True, auth_config=login):
            assert "error" not in event, event

    def content(self, reference: str) -> str:
        """What an image really holds: taken out of it."""
        api = self.engine.client().api
        container = api.create_container(reference, ["true"])["Id"]
        try:
            archive = b"".join(api.get_archive(container, "/content")[0])
        finally:
            self.engine.discard(container)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            file = tar.extractfile("content")
            assert file is not None
            return file.read().decode()

    def wait(self, until: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
            time.sleep(0.02)
