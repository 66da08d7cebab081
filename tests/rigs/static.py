"""A static front end on this machine: versions in a folder, a real nginx that serves its `live` and its `idle`.

`Site` is a context manager; nginx sees the folder through a link, as a container sees a folder that is mounted. Each
version is an index page with its colour and version, and an asset whose name holds a hash.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any

from greenroom.adapters.artefacts.static import StaticArtefact
from greenroom.adapters.environments.static import StaticEnvironment
from greenroom.adapters.routers.static import StaticRouter
from greenroom.adapters.static.files import survey
from greenroom.adapters.static.local import Wanted, publish
from greenroom.adapters.static.root import Root
from greenroom.adapters.static.settings import EnvironmentSettings, RouterSettings, of_definition
from greenroom.domain.model import ArtefactSpec, Backend, Colour, Endpoint, EnvironmentSpec, Role
from greenroom.ports import Host, Place
from greenroom.testing import traffic
from greenroom.testing.contracts.router import Held, Reply, Server
from greenroom.testing.processes import free_ports
from tests.process_kit import DictVault
from tests.rigs.nginx import program

PATIENCE = 60.0
CONFIGURATION = """\
{user}daemon off; worker_processes 2; pid {run}/nginx.pid; error_log {run}/error.log notice;
events {{ worker_connections 1024; }}
http {{
  client_body_temp_path {run}/body; proxy_temp_path {run}/proxy;
  fastcgi_temp_path {run}/f; uwsgi_temp_path {run}/u; scgi_temp_path {run}/s;
  access_log off; keepalive_requests 1000000;
  {servers}
}}
"""
SERVERS = """
  server {{ listen 127.0.0.1:{port}; root {inside}/live; index index.html; }}
  server {{ listen 127.0.0.1:{test_port}; root {inside}/idle; index index.html; }}
"""


def asset(text: str) -> str:
    return f"assets/app-{hashlib.sha256(text.encode()).hexdigest()[:10]}1f.js"


def write_version(folder: Path, colour: str, version: str) -> None:
    """As a bundler leaves it. The page names its asset."""
    text = f"{colour} {version}"
    name = asset(text)
    (folder / "assets").mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(f"{text} {name}")
    (folder / name).write_text(f"// {text}")


@dataclass
class Load:
    """Clients that never stop: each reads the page, and then the asset that the page has named."""

    url: str
    seen: list[tuple[float, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    assets: int = 0

    def late(self, since: float, until: float, wanted: Colour) -> list[str]:
        return [f"{at}: {by}" for at, by in self.seen if since <= at <= until and by != wanted]

    def run(self, over: threading.Event, fresh: bool) -> None:
        kept = traffic.connect(self.url)
        while not over.wait(0.002):
            connection = traffic.connect(self.url) if fresh else kept
            sent = time.monotonic()
            try:
                page = traffic.exchange(connection, "/")
                if page.status != 200:
                    raise ValueError(f"/: status {page.status}")
                colour, version, name = page.text.split()
                self.seen.append((sent, colour))
                script = traffic.exchange(connection, f"/{name}")
                if (script.status, script.text) != (200, f"// {colour} {version}"):
                    raise ValueError(f"/{name}: status {script.status}")
                self.assets += 1
            except (OSError, HTTPException, ValueError) as error:
                self.failed.append(f"{type(error).__name__}: {error}")
                kept.close()
            if fresh:
                connection.close()
        kept.close()


@contextmanager
def loaded(url: str) -> Iterator[Load]:
    """Two clients, one of them with a connection for each request."""
    over, load = threading.Event(), Load(url)
    threads = [threading.Thread(target=load.run, args=(over, fresh), daemon=True) for fresh in (True, False)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)


class Site:
    """The bench of the router's contract, and what other tests need of a site."""

    def __init__(self, folder: Path, service: str = "shop") -> None:
        self.folder, self.service = folder, service
        self.root, self.inside, self.run = folder / "www", folder / "inside", folder / "run"
        self.run.mkdir(parents=True)
        self.inside.symlink_to(self.root)
        self.port, self.test_port = free_ports(2)
        self.url, self.test_url = (f"http://127.0.0.1:{port}" for port in (self.port, self.test_port))
        self.place = Place(service, folder / "greenroom.yaml", folder / ".greenroom")
        self._conf = folder / "nginx.conf"
        self.configure(SERVERS.format(inside=self.inside, port=self.port, test_port=self.test_port))
        self._process: subprocess.Popen[bytes] | None = None
        self._version = 0

    def configure(self, servers: str) -> None:
        """What nginx serves, from its next start on."""
        user = "user root; " if os.geteuid() == 0 else ""
        self._conf.write_text(CONFIGURATION.format(user=user, run=self.run, servers=servers))

    def __enter__(self) -> Site:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    # making

    def settings(self, **more: Any) -> RouterSettings:
        plain = {"root": str(self.root), "url": self.url, "test_route": {"url": self.test_url}}
        return RouterSettings.model_validate({**plain, **more})

    def router(self, **more: Any) -> StaticRouter:
        return StaticRouter(self.settings(**more), self.place)

    def at_root(self) -> Root:
        return Root(str(self.root), self.service)

    def published(self, colour: Colour, version: str, release: str = "") -> str:
        """The id of a version that was published."""
        source = self.folder / "built" / f"{colour}-{version}"
        write_version(source, colour, version)
        wanted = Wanted(self.service, release or f"r-{version}", version, 5, 1000)
        return Path(publish(self.at_root(), survey(source, ()), wanted)).name

    def backend(self, colour: Colour) -> Backend:
        self._version += 1
        version = f"{self._version}.0"
        name = self.published(colour, version)
        self.relink(colour, f"releases/{name}")
        return Backend((Endpoint(name, 0),), version, f"r-{version}")

    def relink(self, name: str, target: str) -> None:
        """By hand, as anybody may."""
        new = self.root / f"{name}.hand"
        new.symlink_to(target)
        new.rename(self.root / name)

    # nginx

    def start(self) -> None:
        with open(self.run / "stderr.log", "ab") as log:
            command = [program(), "-c", str(self._conf)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + PATIENCE
        while self._silent():
            assert self._process.poll() is None, (self.run / "stderr.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def _silent(self) -> bool:
        try:
            for port in (self.port, self.test_port):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return True
        return False

    def end(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(PATIENCE)
            self._process = None

    def kill(self) -> None:
        self.end()
        self.inside.unlink()
        self.inside.symlink_to(self.root)
        self.start()

    def stall(self) -> bool:
        """nginx sees another folder from now on, as a mount of one that was replaced has it."""
        old = self.folder / "old"
        shutil.copytree(self.root, old, symlinks=True)
        self.inside.unlink()
        self.inside.symlink_to(old)
        return True

    def meddle(self) -> bool:
        self.relink("live", "green" if os.readlink(self.root / "live") == "blue" else "blue")
        return True

    def demanding(self) -> None:
        """A link refuses nothing."""

    # asking

    def pause(self) -> None:
        time.sleep(0.002)

    def ask(self, test: bool = False) -> Server | None:
        url, headers = self.router().reach(test)
        answer = traffic.ask(url, headers=headers)
        if answer.status != 200:
            return None
        colour, version, _ = answer.text.split()
        return Server(Colour(colour), version)

    def status(self, path: str) -> int:
        return traffic.ask(self.url, path).status

    @contextmanager
    def load(self) -> Iterator[Load]:
        with loaded(self.url) as load:
            yield load

    def hold(self) -> Held | None:
        """Files are sent, nothing stays open."""
        return None

    # not asked for: by capability

    def shares(self, requests: int) -> Mapping[Colour, int]:
        raise NotImplementedError

    def send(self, method: str = "GET", headers: Mapping[str, str] | None = None) -> Reply:
        raise NotImplementedError

    def failing(self, colour: Colour) -> Any:
        raise NotImplementedError

    def sticky(self) -> None:
        """It has no shares."""


class Kit:
    """The bench of the environment's contract, and of the artefact's: one service with a source of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root, self.source = folder, folder / "www", folder / "site"
        self.source.mkdir(parents=True)
        (self.source / "index.html").write_text("first")
        self.vault = DictVault()
        self.place = Place("shop", folder / "greenroom.yaml", folder / ".greenroom", vault=self.vault)

    def definition(self, **more: Any) -> dict[str, Any]:
        return {"environment": {"type": "static", "source": "site", "root": str(self.root), **more}}

    def settings(self, **more: Any) -> EnvironmentSettings:
        return of_definition(self.definition(**more), {})

    def at_root(self, host: Host | None = None) -> Root:
        return Root(str(self.root), "shop", host)

    def wait(self, until: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < end, f"not within {PATIENCE:g} s: {what}"
            time.sleep(0.01)


class Rooms(Kit):
    def open(self) -> StaticEnvironment:
        return StaticEnvironment(self.settings(), self.place)

    def spec(self, version: str, role: Role, *, sweep: bool = False) -> EnvironmentSpec:
        release = f"r-{version}"
        if version == "broken":
            made = self.root / "releases" / f"{release}-0"
            made.mkdir(parents=True, exist_ok=True)
        else:
            built = self.folder / "built" / version
            write_version(built, "blue", version)
            made = Path(publish(self.at_root(), survey(built, ()), Wanted("shop", release, version, 5, 10)))
        return EnvironmentSpec(release, version, str(made), role, self.definition(), sweep)

    def replicas(self, colour: Colour) -> frozenset[str]:
        held = self.root / colour / "index.html"
        return frozenset({str(held.resolve().parent)}) if held.is_file() else frozenset()

    def workers(self) -> frozenset[str]:
        return frozenset()

    def worker_twice(self) -> bool:
        return False

    def kill_supervisor(self) -> bool:
        """Nothing watches files."""
        return False

    def reboot(self) -> bool:
        """Files are there again."""
        return True


class Press(Kit):
    def open(self) -> StaticArtefact:
        return StaticArtefact(self.settings(), self.place)

    def spec(self, version: str, **more: Any) -> ArtefactSpec:
        broken = ["echo no luck; exit 3"] if version == "broken" else []
        self.vault.kept.setdefault(f"r-{version}", {})
        more = {"prepare": ["cp index.html made.html", *broken], **more}
        return ArtefactSpec(f"r-{version}", version, self.definition(**more))

    def witness(self, reference: str) -> str:
        return Path(reference, "made.html").read_text()

    def change_source(self) -> None:
        (self.source / "index.html").write_text("second")
