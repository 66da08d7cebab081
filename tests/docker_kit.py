"""A small service of containers for tests: a web application and a worker, on an engine of our own, and a witness."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from greenroom.adapters.docker.settings import of_definition
from greenroom.adapters.environments.docker import DockerEnvironment
from greenroom.domain.model import Colour, EnvironmentSpec, Role
from greenroom.ports import ActionKey, Place
from tests.process_kit import DictVault
from tests.rigs.docker import Engine

KEY = ActionKey("r-1", "start", 0, "apply", "blue", 0)
DEADLINE = 60.0
_NUMBERS = itertools.count(os.getpid() % 1000 * 100)


class Kit:
    """One service, with a name of its own, on the shared engine. `end()` leaves no container behind."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self.state = folder / ".greenroom"
        self.work = folder / "work"
        self.work.mkdir()
        self.vault = DictVault()
        self.service = f"shop{next(_NUMBERS)}"
        self._images: dict[str, str] = {}

    @property
    def place(self) -> Place:
        return Place(self.service, self.folder / "greenroom.yaml", self.state, None, self.vault)

    def open(self, place: Place | None = None) -> DockerEnvironment:
        return DockerEnvironment(of_definition(self.definition(), {}), place or self.place)

    def definition(self, **more: Any) -> dict[str, Any]:
        """`web` and `worker` stand beside what is in these processes (None: not there); the rest, in the section."""
        usual: dict[str, dict[str, Any]] = {
            "web": {"replicas": 2, "health": {"path": "/health"}, "stop": {"timeout": "5s"}},
            "worker": {
                "command": ["python3", "-I", "-S", "/app/worker.py"],
                "runs": "active",
                "volumes": [f"{self.work}:/data"],
            },
        }
        told = {name: more.pop(name, {}) for name in usual}
        processes = {name: {**usual[name], **own} for name, own in told.items() if own is not None}
        section = {"type": "docker", "image": "shop:{version}", "socket": str(self.engine.socket)}
        return {"environment": {**section, "processes": processes, **more}}

    def image(self, version: str) -> str:
        """Its id: a pinned reference."""
        if version not in self._images:
            name = self.engine.broken() if version == "broken" else self.engine.app(f"shop:{version}")
            self._images[version] = str(self.engine.client().images.get(name).id)
        return self._images[version]

    def spec(self, version: str, role: Role, *, sweep: bool = False, **more: Any) -> EnvironmentSpec:
        release = f"r-{version}"
        self.vault.kept.setdefault(release, {})
        return EnvironmentSpec(release, version, self.image(version), role, self.definition(**more), sweep)

    def adopting(self, role: Role, taken: Mapping[str, Any], **more: Any) -> EnvironmentSpec:
        spec = self.spec("0", role, **more)
        return replace(spec, artefact="", definition={**spec.definition, "adopt": taken})

    # --- the witness

    def wait(self, until: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + DEADLINE
        while not until():
            assert time.monotonic() < end, f"not within {DEADLINE:g} s: {what}"
            time.sleep(0.02)

    def containers(self, **labels: str) -> list[Any]:
        return self.engine.containers(
            **{"greenroom.service": self.service, **{f"greenroom.{k}": v for k, v in labels.items()}}
        )

    def alive(self, **labels: str) -> frozenset[str]:
        found = [c for c in self.containers(**labels) if c.attrs["State"]["Running"]]
        return frozenset(f"{c.short_id}@{c.attrs['State']['StartedAt']}" for c in found)

    def replicas(self, colour: Colour) -> frozenset[str]:
        return self.alive(process="web", colour=str(colour))

    def workers(self) -> frozenset[str]:
        return self.alive(process="worker")

    def worker_twice(self) -> bool:
        return (self.work / "worker.twice").exists()

    # --- misfortune

    def kill_supervisor(self) -> bool:
        """Docker's containers end with it."""
        return False

    def reboot(self) -> bool:
        self.engine.stop()
        self.engine.start()
        return True

    def end(self) -> None:
        for container in self.containers():
            self.engine.discard(container.id)
