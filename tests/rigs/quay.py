"""Where images come from and are brought to: an engine, a registry, and the artefact `docker` between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from greenroom.adapters.artefacts.docker import DockerArtefact
from greenroom.adapters.docker.settings import of_definition
from greenroom.domain.model import ArtefactSpec, ArtefactStatus, Making
from greenroom.ports import ActionKey, Place
from tests.process_kit import DictVault
from tests.rigs.docker import PATIENCE, Engine
from tests.rigs.registry import Registry

KEY = ActionKey("r-1", "build", 0, "make", "r-1", 0)


class Quay:
    """One service in a folder of its own, whose images are in `registry`."""

    def __init__(self, folder: Path, engine: Engine, registry: Registry) -> None:
        self.folder, self.engine, self.registry = folder, engine, registry
        self.repository = f"{registry.address}/{folder.name.lower()}"
        self.vault = DictVault()
        self.program = "docker"
        self.stalled = 20.0
        self._content = "first"

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
        status = self.made(self.spec(version, **more))
        assert status.state is Making.FAILED, status
        assert not status.reference
        return status.detail

    # --- the world

    def publish(self, tag: str, content: str = "", **more: Any) -> str:
        """An image with this content is in the registry, and not on the machine. Returns its digest."""
        name = self.engine.image(f"{self.repository}:{tag}", files={"content": content.encode()}, **more)
        self.push(name)
        self.engine.client().images.remove(name, force=True)
        return self.registry.digest(self.repository.partition("/")[2], tag)

    def push(self, name: str) -> None:
        repository, _, tag = name.rpartition(":")
        for event in self.engine.client().api.push(repository, tag=tag, stream=True, decode=True):
            assert "error" not in event, event

    def content(self, reference: str) -> str:
        """What an image really holds: asked by running it."""
        said: bytes = self.engine.client().containers.run(reference, ["cat", "/content"], remove=True)
        return said.decode()

    def wait(self, until: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
            time.sleep(0.02)
