"""A HAProxy that has its own files and processes, as in a container: a folder and a socket are all that is shared."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.adapters.haproxy.settings import HaproxySettings
from greenroom.adapters.routers.haproxy import HaproxyRouter
from greenroom.domain.model import Colour, RoutingSpec, Split
from greenroom.ports import Place
from greenroom.testing import traffic
from greenroom.testing.processes import free_ports
from greenroom.testing.servers import Server
from tests.rigs.routing import PATIENCE, key

pytestmark = pytest.mark.real
BLUE, GREEN = Colour.BLUE, Colour.GREEN
MAIN = """
global
    stats socket {inside}/admin.sock mode 600 level admin
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
"""
# The host's folder appears inside under another path; the process has number 1, as in a container.
START = 'mount --bind "$1" "$2" && exec haproxy -db -f "$2/haproxy.cfg" -f "$2/greenroom"'


class Contained:
    def __init__(self, folder: Path) -> None:
        self.shared, self.inside = folder / "shared", folder / "inside"
        for path in (self.shared / "greenroom", self.inside):
            path.mkdir(parents=True)
        (self.shared / "haproxy.cfg").write_text(MAIN.format(inside=self.inside))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", START, "sh"]
        with (self.shared / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, str(self.shared), str(self.inside)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(30)
            self._process = None


@pytest.fixture
def contained() -> Iterator[Contained]:
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed")
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], check=False).returncode:
        pytest.skip("no right to make namespaces")
    folder = Path(tempfile.mkdtemp(prefix="greenroom-contained-"))
    made = Contained(folder)
    try:
        yield made
    finally:
        made.kill()
        shutil.rmtree(folder)


def settled(router: HaproxyRouter) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (seen := router.observe()).settled:
        assert time.monotonic() < deadline, seen
        time.sleep(0.01)


def test_ft_3_a_folder_and_a_socket_are_all_that_is_needed(contained: Contained, tmp_path: Path) -> None:
    port = free_ports(1)[0]
    settings = HaproxySettings.model_validate(
        {
            "listen": f"127.0.0.1:{port}",
            "socket": str(contained.shared / "admin.sock"),
            "file": str(contained.shared / "greenroom" / "shop.cfg"),
            "inside": str(contained.inside / "greenroom"),
        }
    )
    place = Place("shop", tmp_path / "greenroom.yaml", tmp_path / ".greenroom")
    HaproxyRouter.prepare(settings, place)
    contained.start()
    deadline = time.monotonic() + PATIENCE
    while problems := HaproxyRouter.problems(settings, place):
        assert time.monotonic() < deadline, (problems, (contained.shared / "log").read_text())
        time.sleep(0.02)
    router = HaproxyRouter(settings, place)
    with Server(BLUE) as blue, Server(GREEN) as green:
        for number, colour in enumerate((BLUE, GREEN, BLUE)):
            router.apply(RoutingSpec(Split.all_to(colour), blue.backend, green.backend), key())
            settled(router)
            assert traffic.ask(f"http://127.0.0.1:{port}").text == f"{colour} 1"
            # Files that were replaced by rename are seen inside: what is started anew has the last route.
            if number == 1:
                contained.kill()
                contained.start()
                settled(router)
                assert traffic.ask(f"http://127.0.0.1:{port}").text == f"{colour} 1"
