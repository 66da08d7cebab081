"""A real HAProxy with real backends in a temporary folder, as its people run it: it was there before Greenroom came."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from greenroom.adapters.analysers.haproxy import HaproxyAnalyser
from greenroom.adapters.haproxy.settings import HaproxySettings
from greenroom.adapters.routers.haproxy import HaproxyRouter
from greenroom.ports import Host, Place
from greenroom.testing.processes import free_ports
from tests.rigs.routing import PATIENCE, Routed

BASE = """
global
    maxconn 2000
    stats socket {folder}/admin.sock mode 600 level admin
    stats socket {folder}/operator.sock mode 600 level operator
    stats socket {folder}/user.sock mode 600 level user
defaults
    mode tcp
    option http-server-close
    option redispatch
    retries 2
    timeout connect 1s
    timeout client 1s
    timeout server 1s
listen others
    bind 127.0.0.1:{port}
    mode http
    http-request return status 200 content-type text/plain string others
"""


class Haproxy:
    """The process: master and worker, with the people's own file and the folder of Greenroom's."""

    def __init__(self, folder: Path, port: int, more: str = "") -> None:
        self.folder = folder
        self.main, self.ours = folder / "haproxy.cfg", folder / "greenroom"
        self.ours.mkdir()
        self.main.write_text(BASE.format(folder=folder, port=port) + more)
        self._master: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["haproxy", "-W", "-f", str(self.main), "-f", str(self.ours)]
        with (self.folder / "log").open("ab") as log:
            self._master = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._until(lambda: self.say("show info").startswith("Name"))

    @property
    def master(self) -> int:
        assert self._master is not None
        return self._master.pid

    def worker(self) -> int:
        return int(self.say("show info").partition("\nPid: ")[2].split()[0])

    def workers(self) -> list[int]:
        """All, those of before a reload too."""
        children = Path(f"/proc/{self.master}/task/{self.master}/children").read_text()
        return [int(pid) for pid in children.split()]

    def reload(self) -> None:
        """As `systemctl reload` does; returns when another worker answers."""
        before = self.worker()
        deadline = time.monotonic() + PATIENCE
        while self.worker() == before:
            # A signal is lost that comes before the master is ready for it.
            os.kill(self.master, signal.SIGUSR2)
            again = time.monotonic() + 2
            while self.worker() == before and time.monotonic() < again:
                time.sleep(0.005)
            assert time.monotonic() < deadline, self.log()

    def kill(self) -> None:
        """All of it, at once; and started anew, as systemd does."""
        self.end()
        self.start()

    def end(self) -> None:
        if self._master is None:
            return
        pids = [*self.workers(), self.master] if self._master.poll() is None else []
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._master.wait(30)
        self._until(lambda: not any(_alive(pid) for pid in pids))
        self._master = None

    def say(self, command: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(10)
                link.connect(str(self.folder / "admin.sock"))
                link.sendall(command.encode() + b"\n")
                return link.makefile("rb").read().decode()
        except (FileNotFoundError, ConnectionError):
            return "\nPid: 0\n"

    def log(self) -> str:
        return (self.folder / "log").read_text()[-2000:]

    def _until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.005)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Relay:
    """A socket in front of HAProxy's, that keeps to itself what begins with `deaf_to`."""

    def __init__(self, path: Path, behind: Path, deaf_to: str) -> None:
        self.path, self._behind, self._deaf_to = path, behind, deaf_to.encode()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(64)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                link, _ = self._listening.accept()
            except OSError:
                return
            with link, socket.socket(socket.AF_UNIX) as behind, contextlib.suppress(OSError):
                line = link.makefile("rb").readline()
                if line.startswith(self._deaf_to):
                    link.sendall(b"\n")
                    continue
                behind.connect(str(self._behind))
                behind.sendall(line)
                while piece := behind.recv(65536):
                    link.sendall(piece)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


class Stage(Routed):
    """A context manager. `settings`: of the router, beside socket, file, reload and `listen` (one free port).

    `frontend`: the people's own, in which `{lines}` are those that Greenroom says; then there is no `listen`.
    """

    def __init__(self, folder: Path, *, more: str = "", host: Host | None = None, **settings: Any) -> None:
        if shutil.which("haproxy") is None:
            pytest.skip("haproxy is not installed")
        super().__init__()
        # A Unix socket's path may have 107 bytes, and HAProxy needs some of them for itself.
        self.home = Path(tempfile.mkdtemp(prefix="greenroom-haproxy-"))
        self.others = free_ports(1)[0]
        self.haproxy = Haproxy(self.home, self.others, more)
        self.place = Place("shop", folder / "greenroom.yaml", folder / ".greenroom", host=host)
        self.file = self.haproxy.ours / "shop.cfg"
        self.given = settings
        self.settings = self.configured()
        self._relay: Relay | None = None

    def __enter__(self) -> Stage:
        try:
            self.haproxy.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.haproxy.end()
        finally:
            self.close()
            if self._relay:
                self._relay.close()
            shutil.rmtree(self.home)

    # making

    def configured(self, **settings: Any) -> HaproxySettings:
        usual = {
            "socket": str(self.home / "admin.sock"),
            "file": str(self.file),
            "listen": f"127.0.0.1:{self.port}",
            "reload": f"kill -USR2 $(cat {self.home}/pid)",
        }
        return HaproxySettings.model_validate({**usual, **self.given, **settings})

    def router(self, **settings: Any) -> HaproxyRouter:
        """As another process would make it; with other settings if given."""
        (self.home / "pid").write_text(str(self.haproxy.master))
        if self._relay:
            settings = {"socket": str(self._relay.path), **settings}
        return HaproxyRouter(self.configured(**settings), self.place)

    def problems(self, **settings: Any) -> list[str]:
        return self.router().problems(self.configured(**settings), self.place)

    def analyser(self) -> HaproxyAnalyser:
        return HaproxyAnalyser(self.settings, self.place)

    def demanding(self) -> HaproxyRouter:
        return self.router(listen=[f"127.0.0.1:{self.port}", self.taken()])

    def log(self) -> str:
        return self.haproxy.log()

    # misfortune

    def stall(self) -> bool:
        """What is told from now on is acknowledged, and never done."""
        self._relay = Relay(self.home / "relay.sock", self.home / "admin.sock", "commit map")
        return True

    def meddle(self) -> bool:
        name = self.map_name
        value = self.haproxy.say(f"show map {name}").split()[2]
        self.haproxy.say(f"set map {name} route {value.replace(':0:', ':100:')}")
        return True

    @property
    def map_name(self) -> str:
        return str(self.file.with_suffix(".map"))

    def kill(self) -> None:
        if self._relay:
            self._relay.close()
            self._relay = None
        self.haproxy.kill()
