"""Proxies that people run: told by Greenroom's adapters, and as they are without Greenroom, as witnesses of what it costs.

Started for a benchmark, ended after it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from greenroom.adapters.haproxy.settings import HaproxySettings
from greenroom.adapters.nginx.examine import prepare
from greenroom.adapters.nginx.settings import NginxSettings
from greenroom.adapters.routers.haproxy import HaproxyRouter
from greenroom.adapters.routers.nginx import NginxRouter
from greenroom.domain.model import Backend, Colour, Endpoint, RoutingSpec, Split
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

_PLAIN_NGINX = """
{user} daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream app {{ server 127.0.0.1:{app}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
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

_PLAIN_HAPROXY = """
defaults
    mode http
    option forwardfor
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
frontend front
    bind 127.0.0.1:{port}
    http-request set-header X-Forwarded-Proto http
    default_backend app
backend app
    http-reuse always
    server app 127.0.0.1:{app} check
"""


@contextmanager
def process(*command: str, **options: object) -> Iterator[subprocess.Popen[str]]:
    """Ended, by its own pid, when the block is left."""
    started = subprocess.Popen(command, text=True, **options)  # type: ignore[call-overload]
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGTERM)
        try:
            started.wait(30)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def wait_for(port: int, within: float = 30.0) -> None:
    deadline = time.monotonic() + within
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def server(colour: Colour, version: str, port: int) -> tuple[str, ...]:
    module = ("-m", "greenroom.testing.servers")
    return (sys.executable, *module, "--colour", colour, "--version", version, "--port", str(port))


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


# --- the same proxies without Greenroom, as people write them


@contextmanager
def plain(name: str, folder: Path, app: int) -> Iterator[str]:
    """Leads to the application at port `app`; its address."""
    port = free_ports(1)[0]
    user = "user root;" if os.geteuid() == 0 else ""
    text, option = {"nginx": (_PLAIN_NGINX, "-c"), "HAProxy": (_PLAIN_HAPROXY, "-f")}[name]
    file = folder / "plain.conf"
    file.write_text(text.format(user=user, folder=folder, port=port, app=app))
    with process(name.lower(), option, str(file), stderr=subprocess.DEVNULL):
        wait_for(port)
        yield f"http://127.0.0.1:{port}"


@contextmanager
def told(proxy: Proxy, folder: Path, app: int) -> Iterator[str]:
    """The same by Greenroom."""
    with proxy(folder) as running:
        blue = Backend((Endpoint("127.0.0.1", app),), "1")
        switch(running.router, Colour.BLUE, {Colour.BLUE: blue, Colour.GREEN: Backend()})
        yield running.router.reach()[0]


def beside(stack: ExitStack, app: int) -> dict[str, str]:
    """By name, the addresses of each proxy of this machine without and with Greenroom, all leading to one application."""
    found: dict[str, str] = {}
    for name, proxy in installed().items():
        for title, way in ((f"plain {name}", partial(plain, name)), (f"Greenroom, {name}", partial(told, proxy))):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="greenroom-proxy-")))
            found[title] = stack.enter_context(way(folder, app))
    return found
