"""Debian's docker-registry on loopback, with and without a login, and a line to it that can be cut, slowed and counted."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.testing.processes import free_ports

USER, PASSWORD = "robot", "swordfish"
_HASH = "$2b$05$mJ/VADW8/tQgSVVJLh6p/OFqjV7PANGgG83/xWWxU7ynGHSkE.Hym"
"""Of the password; bcrypt is the only one that the registry takes."""
PATIENCE = 30.0
_CONFIGURATION = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {folder}/data}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""
_LOGIN = """\
auth:
  htpasswd: {{realm: tests, path: {folder}/htpasswd}}
"""


class Registry:
    """Keeps images in a folder; `restart` keeps them. Docker takes one on 127.0.0.0/8 without TLS."""

    def __init__(self, folder: Path, *, login: bool = False) -> None:
        program = shutil.which("docker-registry")
        if program is None:
            pytest.skip("docker-registry is not installed")
        self.program, self.folder, self.login = program, folder, login
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None
        text = _CONFIGURATION + (_LOGIN if login else "")
        (folder / "config.yml").write_text(text.format(folder=folder, port=self.port))
        (folder / "htpasswd").write_text(f"{USER}:{_HASH}\n")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        leave = shutil.which("setpriv")  # whoever kills the tests has not to look for it
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [
                    *([leave, "--pdeathsig", "KILL"] if leave else []),
                    self.program,
                    "serve",
                    str(self.folder / "config.yml"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
                return
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "the registry does not listen"
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait(PATIENCE)

    # --- the witness

    def digest(self, repository: str, tag: str) -> str:
        """What the registry itself says the tag is."""
        return self._ask(f"{repository}/manifests/{tag}")[0]

    def blobs(self, repository: str, tag: str) -> list[str]:
        """Digests of the layers."""
        document = json.loads(self._ask(f"{repository}/manifests/{tag}")[1])
        return [layer["digest"] for layer in document["layers"]]

    def put_manifest(self, repository: str, tag: str, document: object, kind: str) -> str:
        """Store a manifest of our own making, as a list for several platforms. Returns its digest."""
        return self._ask(f"{repository}/manifests/{tag}", json.dumps(document).encode(), kind)[0]

    def size(self, repository: str, tag: str) -> int:
        """Of the manifest, as a list of several needs it."""
        return len(self._ask(f"{repository}/manifests/{tag}")[1])

    def _ask(self, path: str, content: bytes | None = None, kind: str = "") -> tuple[str, bytes]:
        request = urllib.request.Request(f"http://{self.address}/v2/{path}", data=content)
        request.method = "PUT" if content else "GET"
        manifest = "application/vnd.docker.distribution.manifest"
        request.add_header("Accept", f"{manifest}.v2+json, {manifest}.list.v2+json")
        if content:
            request.add_header("Content-Type", kind)
        if self.login:
            token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.headers["Docker-Content-Digest"], answer.read()


@contextlib.contextmanager
def registry(folder: Path, *, login: bool = False) -> Iterator[Registry]:
    made = Registry(folder, login=login)
    made.start()
    try:
        yield made
    finally:
        made.stop()


class Line:
    """A port that leads to another one, and lets no more than `allow` bytes through towards the client, until told."""

    def __init__(self, port: int, allow: int = 1 << 40) -> None:
        self.target, self.allow, self.passed, self.connections = port, allow, 0, 0
        self._changed = threading.Condition()
        self._closed = False
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: set[socket.socket] = set()
        self.port: int = self._listening.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def let(self, more: int = 1 << 40) -> None:
        """This many bytes more may pass."""
        with self._changed:
            self.allow = self.passed + more
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for link in list(self._open):
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self.target), 5.0)
            except OSError:
                return
            server.settimeout(None)
            self.connections += 1
            self._open |= {client, server}
            threading.Thread(target=self._carry, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._carry, args=(server, client, True), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        try:
            while data := source.recv(16384):
                if counted and not self._wait(len(data)):
                    break
                target.sendall(data)
        except OSError:
            pass
        for link in (source, target):
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()

    def _wait(self, size: int) -> bool:
        with self._changed:
            while self.passed + size > self.allow and not self._closed:
                self._changed.wait(1.0)
            self.passed += size
            return not self._closed
