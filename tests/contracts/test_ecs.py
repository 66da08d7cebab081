"""Environment and artefact `ecs` keep the contract, on a cluster whose tasks are real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.domain.model import ArtefactSpec
from greenroom.testing.contracts.artefact import ArtefactBench, ArtefactContract
from greenroom.testing.contracts.environment import EnvironmentBench, EnvironmentContract
from tests.ecs_kit import Kit
from tests.rigs.aws_front import Fault, Front, moto, nobody
from tests.rigs.ecs import Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("ecs")]


@pytest.fixture(scope="module")
def upstream() -> Iterator[tuple[str, int]]:
    with moto() as address:
        yield address


@pytest.fixture
def kit(upstream: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kit]:
    nobody(monkeypatch)
    front = Front(upstream, None)
    try:
        with Cluster(upstream, tmp_path) as cluster:
            yield Kit(cluster, front, tmp_path)
    finally:
        front.close()


class TestEcsEnvironment(EnvironmentContract):
    one_door = True

    @pytest.fixture
    def bench(self, kit: Kit) -> EnvironmentBench:
        return kit


class Yard(Kit):
    """What ECS refuses to register is `broken`."""

    def __init__(self, *told: object, **more: object) -> None:
        super().__init__(*told, **more)  # type: ignore[arg-type]
        self.change_source()

    def open(self, **more: object):  # type: ignore[no-untyped-def,override]
        return self.artefact(**more)

    def spec(self, version: str) -> ArtefactSpec:  # type: ignore[override]
        if version == "broken":
            self.push(version)
            body = {"__type": "ClientException", "message": "no luck"}
            self.front.faults.append(Fault("refused", "RegisterTaskDefinition", body=body))
        return self.artefact_spec(version)

    def witness(self, reference: str) -> str:
        """The digest that the registered definition names."""
        name = reference.partition("@")[0]
        told = self.cluster.api["ecs"].describe_task_definition(taskDefinition=name)["taskDefinition"]
        return str(told["containerDefinitions"][0]["image"])

    def change_source(self) -> None:
        for version in ("1", "2"):
            self.push(version)


class TestEcsArtefact(ArtefactContract):
    @pytest.fixture
    def bench(
        self, upstream: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[ArtefactBench]:  # type: ignore[override]
        nobody(monkeypatch)
        front = Front(upstream, None)
        with Cluster(upstream, tmp_path) as cluster:
            yield Yard(cluster, front, tmp_path)  # type: ignore[misc]
        front.close()
