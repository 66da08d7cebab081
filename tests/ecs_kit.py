"""A small service on ECS for tests: a web application and a worker on a cluster that lives, and a witness."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from greenroom.adapters.artefacts.ecs import EcsArtefact
from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.ecs.settings import of_definition
from greenroom.adapters.environments.ecs import EcsEnvironment
from greenroom.domain.model import ArtefactSpec, Colour, EnvironmentSpec, Role
from greenroom.ports import ActionKey, Place
from tests.process_kit import DictVault
from tests.rigs.aws_front import Front
from tests.rigs.ecs import BROKEN, WEB, Cluster, registry

KEY = ActionKey("r-1", "start", 0, "apply", "blue", 0)


class Kit:
    """Services `shop-blue`, `shop-green` and their workers on one cluster, made as the infrastructure would."""

    def __init__(self, cluster: Cluster, front: Front, folder: Path, *, groups: tuple[str, str] = ("", "")) -> None:
        self.cluster, self.front, self.folder = cluster, front, folder
        self.vault = DictVault()
        self.client = Client(front.access())
        self.repository = f"{cluster.name}/shop"
        self.family = f"{cluster.name}-shop"
        self.groups = [group or cluster.group(f"{cluster.name}-{n}") for n, group in enumerate(groups)]
        pattern = cluster.pattern(self.family)
        for colour, group in zip(Colour, self.groups, strict=True):
            cluster.service(f"shop-{colour}", pattern, group, breaker=colour is Colour.GREEN)
            cluster.service(f"work-{colour}", pattern)
        self._pushed: set[str] = set()

    @property
    def place(self) -> Place:
        return Place("shop", self.folder / "greenroom.yaml", self.folder / ".greenroom", None, self.vault)

    def definition(self, **more: Any) -> dict[str, Any]:
        section = {
            "type": "ecs",
            "region": "eu-central-1",
            "endpoint": self.front.url,
            "cluster": self.cluster.name,
            "services": {"blue": "shop-blue", "green": "shop-green"},
            "image": f"{registry()}/{self.repository}:{{version}}",
            "task_definition": self.family,
            "desired": 2,
            "workers": {
                "worker": {"services": {"blue": "work-blue", "green": "work-green"}, "command": ["worker"]},
            },
            **more,
        }
        return {"environment": {key: value for key, value in section.items() if value is not None}}

    def settings(self, **more: Any) -> Any:
        return of_definition(self.definition(**more), {})

    def open(self, **more: Any) -> EcsEnvironment:
        return EcsEnvironment(self.settings(**more), self.place, pace=0.0, client=self.client)

    def artefact(self, **more: Any) -> EcsArtefact:
        return EcsArtefact(self.settings(**more), self.place, pace=0.0, client=self.client)

    def push(self, version: str) -> str:
        self._pushed.add(version)
        return self.cluster.push(self.repository, version, BROKEN if version == "broken" else WEB)

    def artefact_spec(self, version: str, **more: Any) -> ArtefactSpec:
        return ArtefactSpec(f"r-{version}", version, self.definition(**more))

    def spec(self, version: str, role: Role, *, sweep: bool = False, **more: Any) -> EnvironmentSpec:
        """Its artefact is made the first time."""
        release = f"r-{version}"
        self.vault.kept.setdefault(release, {})
        if version not in self._pushed:
            self.push(version)
        wanted, artefact = self.artefact_spec(version, **more), self.artefact(**more)
        artefact.apply(wanted, KEY)
        made = artefact.observe(wanted)
        assert made.reference, made.detail
        return EnvironmentSpec(release, version, made.reference, role, wanted.definition, sweep)

    # --- the witness

    def wait(self, until: Callable[[], bool], what: str) -> None:
        self.cluster.wait(until, what)

    def replicas(self, colour: Colour) -> frozenset[str]:
        return self.cluster.alive(f"shop-{colour}")

    def workers(self) -> frozenset[str]:
        return self.cluster.alive("work-blue") | self.cluster.alive("work-green")

    def worker_twice(self) -> bool:
        return (self.folder / "worker.twice").exists()

    def kill_supervisor(self) -> bool:
        return False  # who watches is ECS

    def reboot(self) -> bool:
        self.cluster.kill()
        return True
