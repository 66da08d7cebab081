"""Proxies that people run, told by Greenroom's adapters: started for a benchmark, ended after it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from greenroom.adapters.haproxy.settings import HaproxySettings
from greenroom.adapters.routers.haproxy import HaproxyRouter
from greenroom.domain.model import Backend, Colour, RoutingSpec, Split
from greenroom.ports import ActionKey, Place, Router
from greenroom.testing.processes import free_ports

KEY = ActionKey("bench", "shift", 0, "route", "router", 0, 1)
Proxy = Callable[[Path], AbstractContextManager[Router]]

_HAPROXY = """
global
    stats socket {folder}/admin.sock mode 600 level admin
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend none
    bind {folder}/none.sock
"""


def switch(router: Router, to: Colour, backends: Mapping[Colour, Backend]) -> None:
    """Tell it, and wait until it is so."""
    router.apply(RoutingSpec(Split.all_to(to), backends[Colour.BLUE], backends[Colour.GREEN]), KEY)
    deadline = time.monotonic() + 30
    while not (seen := router.observe()).settled:
        if time.monotonic() > deadline:
            raise SystemExit(f"it does not settle: {seen}")
        time.sleep(0.0005)


@contextmanager
def haproxy(folder: Path) -> Iterator[Router]:
    ours = folder / "greenroom"
    ours.mkdir()
    (folder / "haproxy.cfg").write_text(_HAPROXY.format(folder=folder))
    document = {
        "socket": str(folder / "admin.sock"),
        "file": str(ours / "bench.cfg"),
        "listen": f"127.0.0.1:{free_ports(1)[0]}",
    }
    settings = HaproxySettings.model_validate(document)
    place = Place("bench", folder / "greenroom.yaml", folder / ".greenroom")
    for path, content in HaproxyRouter.prepared(settings, place).items():
        Path(path).write_bytes(content)
    command = ["haproxy", "-W", "-f", str(folder / "haproxy.cfg"), "-f", str(ours)]
    log = (folder / "haproxy.log").open("wb")
    with log, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
        try:
            deadline = time.monotonic() + 30
            while HaproxyRouter.problems(settings, place):
                if time.monotonic() > deadline:
                    raise SystemExit((folder / "haproxy.log").read_text())
                time.sleep(0.01)
            yield HaproxyRouter(settings, place)
        finally:
            process.send_signal(signal.SIGTERM)


def installed() -> dict[str, Proxy]:
    """By name; those that are on this machine."""
    return {"HAProxy": haproxy} if shutil.which("haproxy") else {}
