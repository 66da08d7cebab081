"""The guide "from the script to Greenroom", done as a reader would: real Docker, real nginx, a registry, clients that never
stop. Paths are those of the page, in a mount namespace of its own; only ports, the host names and the waiting are replaced.

What the page does before its clients come is the script's own release, and the reload for the reader's own edit.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from http.client import BadStatusLine, HTTPConnection
from pathlib import Path

import pytest

from greenroom.testing import traffic
from greenroom.testing.processes import free_ports
from tests.docs.pages import ROOT, Block, blocks
from tests.docs.test_tutorial import BIN
from tests.rigs import docker
from tests.rigs.docker import Engine
from tests.rigs.nginx import program
from tests.rigs.registry import Registry, registry

PAGE = ROOT / "docs" / "guides" / "from-a-script.md"
DEADLINE = 60.0
SSH = '#!/bin/sh\nshift\nexec sh -c "$*"\n'
MAIN = """\
worker_processes 2; pid /run/nginx.pid; error_log /var/log/nginx/error.log notice;
events { worker_connections 768; }
http {
  client_body_temp_path /run/b; proxy_temp_path /run/p;
  fastcgi_temp_path /run/f; uwsgi_temp_path /run/u; scgi_temp_path /run/s;
  access_log /var/log/nginx/access.log;
  include /etc/nginx/conf.d/*.conf;
}
"""
MOUNTS = """\
set -e
mount --bind {etc} /etc/nginx
mount --bind {log} /var/log/nginx
mount --bind {srv} /srv
mount --bind {run} /run
touch /run/docker.sock
mount --bind {socket} /run/docker.sock
echo ready
exec sleep 3600
"""


class Browser(traffic.Load):
    """Clients as people's are: they see that a kept connection was closed, and then open another one.

    What a closed connection swallowed whole, and may be asked twice, is asked again; `again` says how often.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, ("kept", "fresh", "slow", "order"), pause=0.02)
        self.again = 0

    def _check(self, kind: str, connection: HTTPConnection) -> str:
        used = connection.sock is not None
        if used and (kind == "order" or select.select([connection.sock], [], [], 0)[0]):
            connection.close()
        try:
            return self._one(kind, connection)
        except (BadStatusLine, ConnectionError):
            if not used or kind == "order":
                raise
            self.again += 1
            connection.close()
            return self._one(kind, connection)

    def _one(self, kind: str, connection: HTTPConnection) -> str:
        if kind == "order":
            answer = traffic.exchange(connection, "/order", method="POST", body=self._BODY)
        else:
            answer = traffic.exchange(connection, "/slow?ms=200" if kind == "slow" else "/page")
        version = answer.headers.get("x-version", "")
        whole = f"{answer.headers.get('x-served-by')} {version}" + (f" {len(self._BODY)}" if kind == "order" else "")
        if answer.status != 200 or answer.text != whole:
            raise ValueError(f"status {answer.status}: {answer.text[:100]}")
        return version

    def until(self, version: str) -> None:
        """Every answer to what is asked from now on is of this version."""
        moment, end = time.monotonic(), time.monotonic() + DEADLINE
        while not (later := [seen for seen in self.seen if seen.sent > moment and seen.by]):
            assert time.monotonic() < end, "nobody answers"
            time.sleep(0.02)
        assert {seen.by for seen in later} == {version}


class Reader:
    """Somebody who follows the page on a machine of their own, as far as paths go."""

    def __init__(self, folder: Path, engine: Engine, images: Registry) -> None:
        self.folder, self.engine, self.images = folder, engine, images
        self.etc, self.log, self.run_, self.srv, tools = (folder / n for n in ("etc", "log", "run", "srv", "bin"))
        for made in (self.etc / "conf.d", self.log, self.run_, self.srv / "shop", tools):
            made.mkdir(parents=True)
        self.port, *self.old = free_ports(3)
        self.url = f"http://127.0.0.1:{self.port}"
        (self.etc / "nginx.conf").write_text(MAIN)
        (tools / "ssh").write_text(SSH)
        (tools / "ssh").chmod(0o755)
        path = f"{tools}:{BIN}:{Path(program()).parent}:{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "HOME": str(folder), "DATABASE_URL": "postgres://secret"}
        self.environment.pop("DOCKER_HOST", None)
        places = {"etc": self.etc, "log": self.log, "run": self.run_, "srv": self.srv, "socket": engine.socket}
        script = MOUNTS.format(**{name: shlex.quote(str(place)) for name, place in places.items()})
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
        self.holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.holder.stdout
        assert self.holder.stderr
        if self.holder.stdout.readline() != "ready\n":
            pytest.skip(f"no right to a mount namespace: {self.holder.stderr.read().strip()}")
        self.namespace = os.readlink(f"/proc/{self.holder.pid}/ns/mnt")
        self.said: dict[str, str] = {}

    def end(self) -> None:
        try:
            with contextlib.suppress(OSError, ValueError):
                self.run(["nginx", "-s", "stop"])
            self.run(["greenroom", "down", "--yes"])
        finally:
            while inside := self.inhabitants():
                for pid in inside:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self.holder.poll()
            self.holder.communicate()

    def inhabitants(self) -> list[int]:
        """Everything that lives in our namespace."""
        found = []
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if entry.isdigit() and os.readlink(f"/proc/{entry}/ns/mnt") == self.namespace:
                    found.append(int(entry))
        return found

    def run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        inside = [
            "nsenter",
            f"--mount=/proc/{self.holder.pid}/ns/mnt",
            "sh",
            "-c",
            'cd /srv/shop && exec "$@"',
            "sh",
            *words,
        ]
        return subprocess.run(
            inside,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    # --- what the page says

    def theirs(self, text: str) -> str:
        """The page's text, on this machine."""
        text = text.replace("8001", str(self.old[0])).replace("8002", str(self.old[1]))
        text = text.replace("listen 80;", f"listen 127.0.0.1:{self.port};").replace("http://shop.example", self.url)
        return text.replace("registry.example", self.images.address).replace("sleep 10", "sleep 2")

    def follow(self, block: Block) -> None:
        words, text = dict(re.findall(r"(\w+)=(\S+)", block.info)), self.theirs(block.text)
        if "file" in words:
            self.place(words["file"]).write_text(text)
        elif "edit" in words:
            file = self.place(words["edit"])
            file.write_text(edited(file.read_text(), text).replace("bake: 10m", "bake: 1s"))
        elif block.language == "sh":
            for line in text.splitlines():
                self.type(line, block.id)

    def type(self, line: str, where: str = "") -> str:
        done = self.run(shlex.split(line))
        assert done.returncode == 0, f"{where}: {line}\n{done.stdout}\n{done.stderr}\n{self.errors()}"
        self.said[line] = done.stdout
        return done.stdout

    def place(self, path: str) -> Path:
        return (
            self.etc / path.removeprefix("/etc/nginx/") if path.startswith("/etc/nginx/") else self.srv / "shop" / path
        )

    # --- the witness

    def errors(self) -> str:
        path = self.log / "error.log"
        return path.read_text()[-3000:] if path.exists() else ""

    def reloads(self) -> int:
        return (self.log / "error.log").read_text().count(", reconfiguring\n")

    def container(self, name: str) -> dict[str, object]:
        state: dict[str, object] = self.engine.client().api.inspect_container(name)["State"]
        return state


def edited(text: str, lines: str) -> str:
    """The file with these sections in the place of its own ones."""
    for section in re.split(r"^(?=\w)", lines, flags=re.MULTILINE):
        if key := section.partition(":")[0]:
            text, count = re.subn(
                rf"^{key}:.*\n(?:[ \t].*\n)*", lambda _, s=section: s.rstrip() + "\n", text, flags=re.M
            )
            assert count == 1, f"{key}: stands in what init wrote"
    return text


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Version 1.3 serves on the other port, as the script left it."""
    if shutil.which("nsenter") is None or shutil.which("unshare") is None:
        pytest.skip("unshare (util-linux) is not installed")
    tmp_path.chmod(0o755)
    with docker.shared() as engine, registry(tmp_path / "registry") as images:
        for version in ("1.3", "1.4", "1.5", "1.6", "1.7"):
            name = engine.app(f"{images.address}/shop:{version}", env={"PORT": "8000"})
            engine.client().images.push(f"{images.address}/shop", tag=version)
            engine.client().images.remove(name)
        made = Reader(tmp_path, engine, images)
        try:
            yield made
        finally:
            made.end()
            engine.clear()


def before(reader: Reader, page: list[Block]) -> None:
    """The script did its work until today: it brought 1.3, then 1.4, and its file is now what the page shows."""
    script, conf = page[0], page[1]
    assert (script.language, conf.language) == ("sh", "nginx")
    reader.follow(script)
    reader.follow(conf)
    shown = reader.place("/etc/nginx/conf.d/shop.conf")
    today = shown.read_text()
    shown.write_text(today.replace(str(reader.old[0]), str(reader.old[1])))
    image, port = reader.theirs("registry.example/shop:1.3"), reader.old[1]
    reader.type(f"docker run -d --name shop -p 127.0.0.1:{port}:8000 {image}")
    reader.type("nginx")
    reader.type("sh release.sh 1.4")
    assert shown.read_text() == today
    assert traffic.ask(reader.url).headers["x-version"] == "1.4"


@pytest.mark.real
@pytest.mark.xdist_group("docker")
@pytest.mark.timeout(300)
def test_the_guide_works_from_its_first_line_to_its_last(reader: Reader) -> None:
    page = [block for block in blocks(PAGE) if block.info or block.language == "sh"]
    before(reader, page)
    rest = iter(page[2:])
    for block in rest:
        reader.follow(block)
        if "greenroom doctor" in block.text:
            break
    began, own = reader.container("shop")["StartedAt"], reader.reloads()
    with Browser(reader.url) as clients:
        clients.until("1.4")
        for block in rest:
            reader.follow(block)
        clients.until("1.6")
        assert reader.reloads() == own + 2, "for the adoption, and for the first release"
        assert reader.container("shop")["StartedAt"] == began
        assert reader.container("shop")["Running"]
        reader.type("greenroom deploy 1.7")
        clients.until("1.7")
        assert reader.reloads() == own + 3, "for what takes the place of the adopted one"
        assert not reader.container("shop")["Running"], "stopped, not deleted"
        reader.type("greenroom deploy 1.6")
        clients.until("1.6")
        assert reader.reloads() == own + 3, "and never again"
    assert not clients.failed, Counter(seen.problem for seen in clients.failed)
    assert clients.again <= 2 * 3, "only what a reload closed was asked again"
    assert {"1.4", "1.5", "1.6", "1.7"} == {seen.by for seen in clients.seen}
    status = json.loads(reader.type("greenroom status --json"))
    assert (status["active"]["version"], status["route"]) == ("1.6", "in_sync")
