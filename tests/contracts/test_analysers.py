"""The analysers keep the contract of their port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.domain.model import Backend, Colour, Mirror
from greenroom.ports import Analyser
from greenroom.testing import traffic
from greenroom.testing.contracts.analyser import AnalyserContract
from greenroom.testing.processes import free_ports
from tests.envoy_stage import Stage
from tests.rigs import haproxy, nginx


class EnvoyBench:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._blue, self._green = stage.backend(Colour.BLUE), stage.backend(Colour.GREEN)
        stage.route(self._blue, self._green, test=Colour.GREEN)

    def analyser(self) -> Analyser:
        return self._stage.analyser()

    def request(self, status: int = 200, *, ms: int = 0, test: bool = False) -> None:
        url, headers = self._stage.router().reach(test)
        path = f"/slow?ms={ms}" if ms else f"/status?code={status}"
        assert traffic.ask(url, path, headers=headers).status == status

    def unanswered(self) -> None:
        nobody = Backend(tuple(type(e)(e.host, free_ports(1)[0]) for e in self._blue.endpoints))
        self._stage.route(nobody, self._green, test=Colour.GREEN)
        assert traffic.ask(self._stage.url).status == 503
        self._stage.route(self._blue, self._green, test=Colour.GREEN)

    def copy(self) -> None:
        self._stage.route(self._blue, self._green, test=Colour.GREEN, mirror=Mirror(Colour.GREEN, 100))

    def shielded(self, requests: int) -> None:
        self._stage.route(self._stage.failing(Colour.BLUE).backend, self._green, shield=Colour.BLUE)
        for _ in range(requests):
            assert traffic.ask(self._stage.url).text.startswith("green")
        self._stage.route(self._blue, self._green, test=Colour.GREEN)

    def restart(self) -> None:
        self._stage.kill()
        self._stage.until(lambda seen: seen.settled)

    def stop(self) -> None:
        self._stage.router().remove()
        self._stage.until(lambda seen: not seen.running)

    def pause(self) -> None:
        self._stage.pause()


@pytest.mark.real
class TestEnvoy(AnalyserContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[EnvoyBench]:
        with Stage(tmp_path) as stage:
            yield EnvoyBench(stage)


class HaproxyBench:
    def __init__(self, stage: haproxy.Stage) -> None:
        self._stage = stage
        self._blue, self._green = stage.backend(Colour.BLUE), stage.backend(Colour.GREEN)
        stage.route(self._blue, self._green, test=Colour.GREEN)

    def analyser(self) -> Analyser:
        return self._stage.analyser()

    def request(self, status: int = 200, *, ms: int = 0, test: bool = False) -> None:
        url, headers = self._stage.router().reach(test)
        path = f"/slow?ms={ms}" if ms else f"/status?code={status}"
        assert traffic.ask(url, path, headers=headers).status == status

    def unanswered(self) -> None:
        nobody = Backend(tuple(type(e)(e.host, free_ports(1)[0]) for e in self._blue.endpoints))
        self._stage.route(nobody, self._green, test=Colour.GREEN)
        assert traffic.ask(self._stage.url).status == 503
        self._stage.route(self._blue, self._green, test=Colour.GREEN)

    def restart(self) -> None:
        self._stage.kill()
        self._stage.until(lambda seen: seen.settled)

    def stop(self) -> None:
        self._stage.haproxy.end()

    def pause(self) -> None:
        self._stage.pause()


@pytest.mark.real
class TestHaproxy(AnalyserContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[HaproxyBench]:
        with haproxy.Stage(tmp_path) as stage:
            yield HaproxyBench(stage)


class NginxBench:
    def __init__(self, rig: nginx.Rig) -> None:
        self._rig = rig
        self._blue, self._green = rig.backend(Colour.BLUE), rig.backend(Colour.GREEN)
        rig.route(self._blue, self._green, test=Colour.GREEN)

    def analyser(self) -> Analyser:
        return self._rig.analyser()

    def request(self, status: int = 200, *, ms: int = 0, test: bool = False) -> None:
        url, headers = self._rig.router().reach(test)
        path = f"/slow?ms={ms}" if ms else f"/status?code={status}"
        assert traffic.ask(url, path, headers=headers).status == status

    def unanswered(self) -> None:
        nobody = Backend(tuple(type(e)(e.host, free_ports(1)[0]) for e in self._blue.endpoints))
        self._rig.route(nobody, self._green, test=Colour.GREEN)
        assert traffic.ask(self._rig.url).status == 502
        self._rig.route(self._blue, self._green, test=Colour.GREEN)

    def restart(self) -> None:
        """A restart of nginx goes on with its log: what counts is the log."""
        self._rig.new_log()

    def stop(self) -> None:
        self._rig.stop()

    def pause(self) -> None:
        self._rig.pause()


@pytest.mark.real
class TestNginx(AnalyserContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[NginxBench]:
        with nginx.Rig(tmp_path) as rig:
            yield NginxBench(rig)
