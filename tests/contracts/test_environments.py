"""The environments keep the contract: the fake, real processes under a real supervisor, real containers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from greenroom.domain.model import Colour, EnvironmentSpec, Role
from greenroom.ports import Environment
from greenroom.testing.clock import FakeClock
from greenroom.testing.contracts.environment import EnvironmentBench, EnvironmentContract
from greenroom.testing.fakes import FakeEnvironment
from greenroom.testing.world import COLOURS, Behaviour, FakeWorld, Group
from tests import docker_kit
from tests.process_kit import Kit, kit
from tests.rigs import aws_front, docker, static, static_cloud


class FakeBench:
    def __init__(self) -> None:
        self.world = FakeWorld(FakeClock())
        self.world.behaviours["broken"] = Behaviour(cannot_start="command not found")

    def open(self) -> Environment:
        return FakeEnvironment(self.world)

    def spec(self, version: str, role: Role, *, sweep: bool = False) -> EnvironmentSpec:
        return EnvironmentSpec(f"r-{version}", version, f"artefacts/r-{version}", role, {}, sweep)

    def wait(self, until: Callable[[], bool], what: str) -> None:
        for _ in range(600):
            if until():
                return
            self.world.clock.sleep(0.1)
            self.world.settle()
        raise AssertionError(f"not within a minute: {what}")

    def _groups(self, colour: Colour) -> list[Group]:
        groups = [self.world.groups[colour], self.world.leftovers[colour]]
        return [group for group in groups if group is not None]

    def replicas(self, colour: Colour) -> frozenset[str]:
        return frozenset(str(e) for group in self._groups(colour) for e in group.endpoints)

    def workers(self) -> frozenset[str]:
        self.world.settle()
        groups = [g for c in COLOURS for g in (*self._groups(c), *self.world.ending[c])]
        return frozenset(str(id(group)) for group in groups if group.worker)

    def worker_twice(self) -> bool:
        return any("copies of the worker" in text for text in self.world.violations)

    def kill_supervisor(self) -> None:
        self.world.supervisor_killed()

    def reboot(self) -> None:
        self.world.reboot()


class TestFakeEnvironment(EnvironmentContract):
    @pytest.fixture
    def bench(self) -> EnvironmentBench:
        return FakeBench()


@pytest.mark.real
class TestProcessEnvironment(EnvironmentContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[Kit]:  # type: ignore[override]
        with kit(tmp_path) as made:
            yield made


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.Engine]:
    with docker.shared() as made:
        yield made


@pytest.mark.real
@pytest.mark.xdist_group("docker")
class TestDockerEnvironment(EnvironmentContract):
    @pytest.fixture
    def bench(self, engine: docker.Engine, tmp_path: Path) -> Iterator[docker_kit.Kit]:  # type: ignore[override]
        made = docker_kit.Kit(engine, tmp_path)
        yield made
        made.end()


class TestStaticEnvironment(EnvironmentContract):
    ROUTED, WORKERS = 1, 0

    @pytest.fixture
    def bench(self, tmp_path: Path) -> static.Rooms:  # type: ignore[override]
        return static.Rooms(tmp_path)


@pytest.fixture(scope="module")
def cloud_address() -> Iterator[tuple[str, int]]:
    with pytest.MonkeyPatch.context() as patch, static_cloud.server() as address:
        aws_front.nobody(patch)
        yield address


@pytest.mark.real
@pytest.mark.xdist_group("static_cloud")
class TestStaticCloudEnvironment(EnvironmentContract):
    ROUTED, WORKERS = 1, 0

    @pytest.fixture
    def bench(self, cloud_address: tuple[str, int], tmp_path: Path) -> Iterator[static_cloud.CloudRooms]:  # type: ignore[override]
        with static_cloud.cloud(cloud_address) as cloud:
            yield static_cloud.CloudRooms(cloud, tmp_path)
