"""Containers behind proxies that stand elsewhere: nginx in a container, HAProxy on the machine. Under traffic."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.domain.phases import Phase
from tests.adapters.test_nginx_docker import Boxed
from tests.rigs import docker, haproxy
from tests.rigs.docker import Engine
from tests.system.docker_house import DockerHouse, lived_in
from tests.system.house import lost

pytestmark = pytest.mark.xdist_group("docker")


@pytest.fixture
def engine() -> Iterator[Engine]:
    with docker.shared() as made:
        yield made


@pytest.fixture
def boxed(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Boxed]:
    monkeypatch.setenv("DOCKER_HOST", engine.url)  # for `docker exec`
    tmp_path.chmod(0o755)
    with Boxed(tmp_path / "nginx", engine) as made:
        yield made


@pytest.fixture
def behind_nginx(engine: Engine, boxed: Boxed, tmp_path: Path) -> Iterator[DockerHouse]:
    folders = {"folder": str(boxed.folder), "folder_inside": "/etc/nginx/greenroom"}
    router = {"type": "nginx", "url": boxed.url, "container": boxed.name, "command": "nginx -c /site/nginx.conf"}
    made = DockerHouse(tmp_path / "house", engine, boxed.url, {**router, **folders}, publish=boxed.gateway)
    with lived_in(made):
        yield made


def test_ft_3_nginx_in_a_container(behind_nginx: DockerHouse, boxed: Boxed) -> None:
    """It reads what is written on the host, at another path: forth by two steps, back, and after its own restart."""
    home = behind_nginx
    home.deployed()
    before = home.deployed()
    home.begin()
    began = time.monotonic()
    home.write(shift="[50% for 1s, 100%]")
    version = home.deployed()
    home.serves(version)
    home.run("rollback").expect(0)
    home.serves(before)
    assert not lost(home.faults(began), began)
    boxed.container.restart(timeout=5)
    home.serves(before)
    home.until_live(before)
    back = time.monotonic()
    newer = home.deployed()
    home.serves(newer)
    assert not lost(home.faults(back), back)


@pytest.fixture
def behind_haproxy(engine: Engine, tmp_path: Path) -> Iterator[DockerHouse]:
    tmp_path.chmod(0o755)
    with haproxy.Stage(tmp_path / "haproxy") as stage:
        stage.router()  # notes whom to reload
        router = {"type": "haproxy", **stage.configured().model_dump(include={"socket", "file", "reload"})}
        listen = f"127.0.0.1:{stage.port}"
        with lived_in(DockerHouse(tmp_path / "house", engine, stage.url, {**router, "listen": listen})) as made:
            yield made


def test_haproxy_on_the_machine(behind_haproxy: DockerHouse) -> None:
    """Five percent, then all, then the way back."""
    home = behind_haproxy
    before = home.deployed()
    home.begin()
    began = time.monotonic()
    home.write(shift="[5% for 3s, 100%]")
    version = home.version()
    command = home.start("deploy", version)
    home.until_phase(version, Phase.SHIFT)
    home.serves(version)
    command.wait().expect(0)
    home.serves(version)
    shared = [r for r in home.asked() if began < r.at]
    first = next(r.at for r in shared if r.version == version)
    step = [r.version for r in shared if first <= r.at < first + 1.5]
    assert step.count(before) > step.count(version) > 0, "a small share first"
    home.run("rollback").expect(0)
    home.serves(before)
    home.until_live(before)
    assert not lost(home.faults(began), began)
