"""The routers keep the contract of their port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from greenroom.domain.model import Backend, Colour
from greenroom.ports import Router
from greenroom.testing.clock import FakeClock
from greenroom.testing.contracts.router import Held, Load, RouterContract, Server
from greenroom.testing.fakes import FakeRouter
from greenroom.testing.world import FakeWorld
from tests.envoy_stage import Stage
from tests.rigs import aws_front, haproxy, nginx, static, static_cloud


class FakeLoad:
    failed: list[str] = []  # noqa: RUF012

    def late(self, since: float, until: float, wanted: Colour) -> list[str]:
        return []


class FakeBench:
    def __init__(self) -> None:
        self._clock = FakeClock()
        self._world = FakeWorld(self._clock, lag=0.5)
        self._version = 0

    def router(self) -> Router:
        return FakeRouter(self._world)

    def backend(self, colour: Colour) -> Backend:
        self._version += 1
        return Backend(self._world.fresh_endpoints(), f"{self._version}.0")

    def pause(self) -> None:
        self._clock.sleep(0.1)

    def ask(self, test: bool = False) -> Server | None:
        live = self._world.plane.live
        colour = next((c for c in Colour if live and (live.test is c if test else live.split.of(c) == 100)), None)
        return Server(colour, live.backend(colour).version) if live and colour else None

    def shares(self, requests: int) -> Mapping[Colour, int]:
        live = self._world.plane.live
        assert live is not None
        return {colour: requests * live.split.of(colour) // 100 for colour in Colour}

    @contextmanager
    def load(self) -> Iterator[Load]:
        yield FakeLoad()

    def hold(self) -> Held | None:
        return None

    def stall(self) -> bool:
        self._world.lag_looks = 1_000_000
        return True

    def meddle(self) -> bool:
        return False

    def demanding(self) -> Router | None:
        return None

    def kill(self) -> None:
        self._world.lag_looks = 0
        self._world.reboot()


class TestFake(RouterContract):
    @pytest.fixture
    def bench(self) -> FakeBench:
        return FakeBench()


@pytest.mark.real
class TestEnvoy(RouterContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[Stage]:
        with Stage(tmp_path) as stage:
            yield stage


@pytest.mark.real
class TestHaproxy(RouterContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[haproxy.Stage]:
        with haproxy.Stage(tmp_path) as stage:
            yield stage


@pytest.mark.real
class TestNginx(RouterContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[nginx.Rig]:
        with nginx.Rig(tmp_path) as rig:
            yield rig


@pytest.mark.real
class TestStatic(RouterContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[static.Site]:
        with static.Site(tmp_path) as site:
            yield site


@pytest.fixture(scope="module")
def cloud_address() -> Iterator[tuple[str, int]]:
    with pytest.MonkeyPatch.context() as patch, static_cloud.server() as address:
        aws_front.nobody(patch)
        yield address


@pytest.mark.real
@pytest.mark.xdist_group("static_cloud")
class TestStaticCloud(RouterContract):
    @pytest.fixture
    def bench(self, cloud_address: tuple[str, int], tmp_path: Path) -> Iterator[static_cloud.Front]:
        with static_cloud.cloud(cloud_address) as cloud:
            yield static_cloud.Front(cloud, tmp_path)
