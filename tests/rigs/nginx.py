"""A real nginx with a configuration as people write it, real backends, and Greenroom's router beside it.

`Rig` is a context manager. nginx runs in a process group of its own, in a temporary folder, on free ports of the loopback
address; Greenroom's folder is seen by it through a link, as a container sees a folder that is mounted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from greenroom.adapters.analysers.nginx import NginxAnalyser
from greenroom.adapters.nginx.examine import prepare
from greenroom.adapters.nginx.settings import NginxSettings
from greenroom.adapters.routers.nginx import NginxRouter
from greenroom.ports import Host, Place
from tests.rigs.routing import PATIENCE, Routed

_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"

MAIN = """\
{user}daemon off; worker_processes 2; worker_rlimit_nofile 4096; pid {run}/nginx.pid; error_log {run}/error.log notice;
events {{ worker_connections 2048; }}
http {{
  client_body_temp_path {run}/body; proxy_temp_path {run}/proxy;
  fastcgi_temp_path {run}/f; uwsgi_temp_path {run}/u; scgi_temp_path {run}/s;
  access_log {run}/access.log;
  include {inside}/http.conf;
  {servers}
}}
"""
SERVER = """
  server {{
    listen 127.0.0.1:{port};
    server_name shop.example;
    add_header X-Frame-Options DENY;
    location / {{ include {inside}/route.conf; }}
    {more}
  }}
"""


def program() -> str:
    found = shutil.which("nginx", path=_PATH)
    if found is None:
        pytest.skip("nginx is not installed")
    return found


class Rig(Routed):
    """`servers`: what stands in `http` beside our line (None: one that includes the route). `settings`: of the router."""

    def __init__(
        self,
        folder: Path,
        *,
        servers: str | None = None,
        more: str = "",
        user: str = "root",
        host: Host | None = None,
        start: bool = True,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.run, self.folder, self.inside = folder / "run", folder / "greenroom" / "shop", folder / "inside"
        self.run.mkdir(parents=True)
        self.inside.symlink_to(self.folder)
        self._host, self._start, self._settings = host, start, settings
        text = SERVER.format(port=self.port, inside=self.inside, more=more) if servers is None else servers
        line = f"user {user}; " if os.geteuid() == 0 else ""
        self.conf = folder / "nginx.conf"
        self.conf.write_text(MAIN.format(user=line, run=self.run, inside=self.inside, servers=text))
        self.command = [program(), "-c", str(self.conf)]
        self.place = self.placed()
        self.settings = self.configured()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Rig:
        prepare(self.settings, self.place)
        if self._start:
            self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.stop()
        finally:
            self.close()

    # making

    def placed(self, host: Host | None = None) -> Place:
        base = self.conf.parent
        return Place("shop", base / "greenroom.yaml", base / ".greenroom", host=host or self._host)

    def configured(self, **more: Any) -> NginxSettings:
        plain = {"folder": str(self.folder), "folder_inside": str(self.inside), "command": " ".join(self.command)}
        way_in = {} if {"listen", "url"} & {*self._settings, *more} else {"url": self.url}
        return NginxSettings.model_validate({**plain, **way_in, **self._settings, **more})

    def router(self, host: Host | None = None, **settings: Any) -> NginxRouter:
        """As another process would make it; with other settings or another host if given."""
        place = self.placed(host) if host else self.place
        return NginxRouter(self.configured(**settings) if settings else self.settings, place)

    def analyser(self) -> NginxAnalyser:
        return NginxAnalyser(self.settings, self.place)

    def demanding(self) -> NginxRouter:
        """Wants to listen where somebody else does."""
        return self.router(test_route={"header": "x-greenroom-test", "listen": self.taken()})

    # nginx

    def start(self) -> None:
        with open(self.run / "stderr.log", "ab") as log:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + PATIENCE
        while self.silent():
            assert self._process.poll() is None, (self.run / "stderr.log").read_text()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.005)

    @property
    def master(self) -> int:
        assert self._process is not None
        return self._process.pid

    def silent(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return True
        return False

    def stop(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.terminate()
            self._process.wait(PATIENCE)
            with contextlib.suppress(ProcessLookupError):  # old workers, which end what they have begun
                os.killpg(self._process.pid, signal.SIGKILL)

    def die(self) -> None:
        """Without a word, with all its workers."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while not self.silent():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def kill(self) -> None:
        """And what keeps it running starts it again."""
        self.die()
        self.inside.unlink()
        self.inside.symlink_to(self.folder)
        self.start()

    def reload(self) -> None:
        """By hand, and until no old worker is left."""
        before = set(self._workers())
        subprocess.run([*self.command, "-s", "reload"], check=True, capture_output=True)
        deadline = time.monotonic() + PATIENCE
        while before.intersection(self._workers()):
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.005)

    def _workers(self) -> list[str]:
        return Path(f"/proc/{self.master}/task/{self.master}/children").read_text().split()

    def new_log(self) -> None:
        """As somebody's logrotate does it."""
        log = self.folder / "log" / "requests.log"
        log.unlink()
        subprocess.run([*self.command, "-s", "reopen"], check=True, capture_output=True)
        deadline = time.monotonic() + PATIENCE
        while not log.exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def log(self) -> str:
        path = self.run / "error.log"
        return path.read_text()[-2000:] if path.exists() else ""

    def reloads(self) -> int:
        """How often it was told to reload so far: each brings fresh workers."""
        return sum("gracefully shutting down" in line for line in (self.run / "error.log").read_text().splitlines())

    # misfortune

    def stall(self) -> bool:
        """nginx sees another folder from now on, as a mount of one that was replaced has it."""
        old = self.folder.with_name("old")
        shutil.copytree(self.folder, old, symlinks=True)
        self.inside.unlink()
        self.inside.symlink_to(old)
        return True

    def meddle(self) -> bool:
        route = self.folder / "route.conf"
        route.write_text(route.read_text().replace("tries 3", "tries 5"))
        return True
