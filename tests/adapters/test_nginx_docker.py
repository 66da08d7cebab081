"""Router `nginx` with nginx in a container: its folder mounted elsewhere, its processes and connections apart."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from greenroom.domain.model import Backend, Colour, Endpoint, RoutingSpec, Split
from greenroom.errors import Permanent, Temporary
from greenroom.testing import traffic
from greenroom.testing.servers import Server
from tests.rigs import docker as engines
from tests.rigs.images import skeleton
from tests.rigs.nginx import Rig, program
from tests.rigs.routing import key

BLUE, GREEN = Colour.BLUE, Colour.GREEN
IMAGE = "greenroom-test/nginx:1"

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("docker")]


@pytest.fixture(scope="module")
def engine() -> Iterator[engines.Engine]:
    with engines.shared() as made:
        yield made


class Beside(Server):
    """A backend that containers reach: it listens on the bridge's address."""

    def __init__(self, colour: Colour, version: str, gateway: str) -> None:
        super().__init__(colour, version)
        self._listening.close()
        self._listening = socket.create_server((gateway, 0), backlog=1024)
        self.port = self._listening.getsockname()[1]
        self._gateway = gateway

    @property
    def backend(self) -> Backend:
        return Backend((Endpoint(self._gateway, self.port),), self.version, f"r-{self.version}")


class Boxed(Rig):
    """nginx is the first process of a container on the bridge; Greenroom's folder is mounted at another path."""

    def __init__(self, folder: Path, engine: engines.Engine, **settings: Any) -> None:
        self.engine, self.gateway = engine, f"10.{engine.net}.0.1"
        self.name = f"web-{folder.name}"[:60]
        given = {
            "folder_inside": "/etc/nginx/greenroom",
            "command": "nginx -c /site/nginx.conf",
            "container": self.name,
        }
        super().__init__(folder, **given, **settings)
        text = self.conf.read_text().replace(str(self.inside), "/etc/nginx/greenroom").replace(str(self.run), "/run")
        self.conf.unlink()
        (folder / "site").mkdir()
        (folder / "site" / "nginx.conf").write_text(text.replace(f"127.0.0.1:{self.port}", f"0.0.0.0:{self.port}"))
        self.container: Any = None

    def server(self, colour: Colour, **options: Any) -> Server:
        self._version += 1
        return self._servers.enter_context(Beside(colour, f"{self._version}.0", self.gateway))

    def start(self) -> None:
        client = self.engine.client()
        with contextlib.suppress(docker.errors.NotFound):
            client.containers.get(self.name).remove(force=True)
        self.container = client.containers.run(
            _image(self.engine),
            ["nginx", "-c", "/site/nginx.conf"],
            name=self.name,
            detach=True,
            network_mode="bridge",
            ports={f"{self.port}/tcp": ("127.0.0.1", self.port)},
            volumes={
                str(self.folder): {"bind": "/etc/nginx/greenroom", "mode": "rw"},
                str(self.conf.parent / "site"): {"bind": "/site", "mode": "ro"},
            },
        )
        self.engine.wait(lambda: self._answers(), "nginx answers in its container")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, traffic.HTTPException):
            return traffic.ask(self.url).status > 0
        return False

    def stop(self) -> None:
        if self.container is not None:
            self.engine.discard(self.name)

    def log(self) -> str:
        return str(self.container.logs(tail=20)) if self.container is not None else ""


def _image(engine: engines.Engine) -> str:
    client = engine.client()
    with contextlib.suppress(docker.errors.ImageNotFound):
        client.images.get(IMAGE)
        return IMAGE
    tar = skeleton()
    tar.program(program(), "/usr/sbin/nginx")
    tar.folder("run")
    tar.folder("etc/nginx/greenroom")
    repository, tag = IMAGE.split(":")
    client.api.import_image_from_data(tar.bytes(), repository=repository, tag=tag)
    return IMAGE


@pytest.fixture
def rig(tmp_path: Path, engine: engines.Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Boxed]:
    monkeypatch.setenv("DOCKER_HOST", engine.url)
    with Boxed(tmp_path, engine) as made:
        yield made


def test_ft_3_what_is_written_on_the_host_is_what_the_container_runs(rig: Boxed) -> None:
    router = rig.router()
    assert router.problems(rig.settings, rig.place) == []
    blue, green = rig.backend(BLUE), rig.backend(GREEN)
    rig.route(blue)
    with traffic.Load(rig.url, kinds=("fresh",)) as load:
        rig.route(blue, green, test=GREEN)
        for number in range(10):
            to = GREEN if number % 2 == 0 else BLUE
            rig.route(blue, green, to=to)
            answer = rig.ask()
            assert answer is not None
            assert answer.colour is to
    assert load.failed == []
    assert rig.analyser().measure().blue.requests > 0


def test_connections_are_counted_where_the_container_makes_them(rig: Boxed) -> None:
    blue, green = rig.backend(BLUE), rig.backend(GREEN)
    rig.route(blue, green)
    held = rig.hold()
    rig.route(blue, green, to=GREEN)
    assert rig.router().observe().holding == {BLUE: 1, GREEN: 0}
    assert held.answers().colour is BLUE
    held.close()
    rig.until(lambda seen: seen.holding[BLUE] == 0)


def test_ft_5_a_refusal_in_a_container_is_taken_back(rig: Boxed) -> None:
    blue, green = rig.backend(BLUE), rig.backend(GREEN)
    rig.route(blue, green)
    wrong = rig.router(access_log="/run/x.log no_such_format")
    with pytest.raises(Permanent, match="no_such_format"):
        wrong.apply(RoutingSpec(Split.all_to(GREEN), blue, green), key())
    rig.route(blue, green, to=GREEN)


def test_a_container_that_was_made_anew_comes_back_with_the_last_route(rig: Boxed) -> None:
    blue, green = rig.backend(BLUE), rig.backend(GREEN)
    rig.route(blue, green, to=GREEN)
    before = rig.router().observe()
    rig.engine.discard(rig.name)
    down = rig.router().observe()
    assert (down.running, down.live) == (False, None)
    with pytest.raises(Temporary):
        rig.analyser().measure()
    assert any(rig.name in problem for problem in rig.router().problems(rig.settings, rig.place))
    rig.start()
    after = rig.until(lambda seen: seen.settled)
    assert (after.told, after.revision) == (before.told, before.revision)
    answer = rig.ask()
    assert answer is not None
    assert answer.colour is GREEN
