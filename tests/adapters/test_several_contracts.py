"""Several hosts, and one by its name, keep the contracts that one machine keeps: over the shipped fakes, with threads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from greenroom.adapters.several.artefact import SeveralArtefacts
from greenroom.adapters.several.environment import SeveralEnvironments
from greenroom.adapters.several.router import SeveralRouters
from greenroom.domain.model import Backend, Colour
from greenroom.ports import Artefact, Environment, Router
from greenroom.testing.contracts.artefact import ArtefactContract
from greenroom.testing.contracts.environment import EnvironmentContract
from greenroom.testing.contracts.router import RouterContract
from greenroom.testing.fakes import FakeArtefact, FakeEnvironment, FakeRouter
from greenroom.testing.world import FakeWorld
from tests.contracts.test_artefacts import FakeBench as ArtefactBench
from tests.contracts.test_environments import FakeBench as EnvironmentBench
from tests.contracts.test_routers import FakeBench as RouterBench

NAMES = ("app1", "app2", "app3")


class OneHost(EnvironmentBench):
    def open(self) -> Environment:
        return SeveralEnvironments({"app1": FakeEnvironment(self.world)})


class TestEnvironmentOnOneHost(EnvironmentContract):
    @pytest.fixture
    def bench(self) -> OneHost:
        return OneHost()


class Hosts(ArtefactBench):
    def open(self) -> Artefact:
        if not isinstance(self.artefact, SeveralArtefacts):
            self.artefact: Artefact = SeveralArtefacts({name: FakeArtefact(self.world) for name in NAMES})
        return self.artefact


class TestArtefactOnSeveralHosts(ArtefactContract):
    @pytest.fixture
    def bench(self) -> Hosts:
        return Hosts()


class Routers(RouterBench):
    """`own`: each to its own host; else each to all."""

    def __init__(self, own: bool) -> None:
        super().__init__()
        self._own = own
        self._worlds = {
            name: self._world if n == 0 else FakeWorld(self._clock, lag=0.5) for n, name in enumerate(NAMES)
        }

    def router(self) -> Router:
        return SeveralRouters({name: FakeRouter(world) for name, world in self._worlds.items()}, self._own)

    def backend(self, colour: Colour) -> Backend:
        self._version += 1
        found = [replace(e, machine=name) for name, world in self._worlds.items() for e in world.fresh_endpoints()]
        return Backend(tuple(sorted(found)), f"{self._version}.0")

    def stall(self) -> bool:
        for world in self._worlds.values():
            world.lag_looks = 1_000_000
        return True

    def kill(self) -> None:
        for world in self._worlds.values():
            world.lag_looks = 0
            world.reboot()


@pytest.mark.parametrize("own", [True, False], ids=["own", "apart"])
class TestRoutersOfSeveralHosts(RouterContract):
    @pytest.fixture
    def bench(self, own: bool) -> Routers:
        return Routers(own)
