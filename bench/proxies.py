"""Proxies that people run, told by Greenroom's adapters: started for a benchmark, ended after it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from greenroom.adapters.haproxy.settings import HaproxySettings
from greenroom.adapters.nginx.examine import prepare
from greenroom.adapters.nginx.settings import NginxSettings
from greenroom.adapters.routers.haproxy import HaproxyRouter
from greenroom.adapters.routers.nginx import NginxRouter
from greenroom.domain.model import Backend, Colour, RoutingSpec, Split
from greenroom.ports import ActionKey, Place, Router
from greenroom.testing.processes import free_ports

KEY = ActionKey("bench", "shift", 0, "route", "router", 0, 1)


@dataclass(frozen=True)
class Running:
    """`h2_port`: where it takes HTTP/2 without TLS, if elsewhere."""

    router: Router
    h2_port: int = 0


Proxy = Callable[[Path], AbstractContextManager[Running]]

_NGINX = """
{user} daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  include {ours}/http.conf;
  server {{
    listen 127.0.0.1:{port}; listen 127.0.0.1:{h2_port} http2;
    location / {{ include {ours}/route.conf; }}
  }}
}}
"""

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
def haproxy(folder: Path) -> Iterator[Running]:
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
            yield Running(HaproxyRouter(settings, place))
        finally:
            process.send_signal(signal.SIGTERM)


@contextmanager
def nginx(folder: Path) -> Iterator[Running]:
    """With a server as people write it, which includes the route."""
    port, h2_port = free_ports(2)
    ours = folder / "greenroom"
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_NGINX.format(user=user, folder=folder, ours=ours, port=port, h2_port=h2_port))
    command = ["nginx", "-c", str(folder / "nginx.conf")]
    document = {"url": f"http://127.0.0.1:{port}", "folder": str(ours), "command": shlex.join(command)}
    settings = NginxSettings.model_validate(document)
    place = Place("bench", folder / "greenroom.yaml", folder / ".greenroom")
    prepare(settings, place)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 30
            while problems := NginxRouter.problems(settings, place):
                if time.monotonic() > deadline:
                    raise SystemExit("; ".join(problems))
                time.sleep(0.01)
            yield Running(NginxRouter(settings, place), h2_port)
        finally:
            process.send_signal(signal.SIGTERM)


def installed() -> dict[str, Proxy]:
    """By name; those that are on this machine."""
    known = {"nginx": nginx, "HAProxy": haproxy}
    return {name: proxy for name, proxy in known.items() if shutil.which(name.lower())}
