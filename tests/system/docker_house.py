"""A house whose shop lives in containers, behind a proxy that its people run: see `house`.

Its images are made here, each of the shop as it is in the folder at that moment; the engine is the tests' own. What
stands before it is up to who makes it: `router` is its section of the file, and `url` where users come in.
"""

from __future__ import annotations

import _sqlite3
import contextlib
import functools
import io
import json
import sysconfig
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tests.rigs.docker import PYTHON, Engine
from tests.rigs.images import Tar
from tests.system.house import House

Lodging = TypeVar("Lodging", bound="DockerHouse")
BASE = "greenroom-test/shop-base:1"
FILE = """
service: shop
environment:
  type: docker
  socket: {socket}
  publish: {publish}
  image: shop:{{version}}
  processes:
    web:
      command: [sh, -c, "{boot}exec python3 -u /app/shop.py"]
      port: 8000
      replicas: {replicas}
      health: {{path: /health, timeout: 20s}}
    worker:
      command: [{worker}]
      runs: active
      health: {{timeout: {worker_within}}}
  env: {{SHOP_DATA: /kit/data, WORK: /kit}}
  volumes: [{{source: {folder}, target: /kit, shared: true}}]
router: {router}
checks:
  - {{type: command, name: look, run: "{check}"}}
{more}
shift: {shift}
bake: {bake}
keep_warm: {keep_warm}
keep_failed: 0s
"""
WORKER = "python3, -I, -S, /app/worker.py"


@functools.cache
def sqlite() -> Mapping[str, bytes]:
    """What the shop needs of Python beyond the tests' base."""
    tar = Tar()
    library = Path(sysconfig.get_path("stdlib"))
    if path := getattr(_sqlite3, "__file__", ""):
        tar.libraries(path)
    tar.tree(library / "sqlite3", f"/usr/local/lib/{library.name}/sqlite3", frozenset({"test"}))
    with tarfile.open(fileobj=io.BytesIO(tar.bytes())) as made:
        wanted = [entry for entry in made if entry.isfile() and "sqlite3" in entry.name]  # the base has the rest
        return {entry.name: made.extractfile(entry).read() for entry in wanted}  # type: ignore[union-attr]


class DockerHouse(House):
    """`router`: without `drain` and `type`, which are added."""

    def __init__(self, folder: Path, engine: Engine, url: str, router: Mapping[str, Any], **times: str) -> None:
        self.docker, self.router = engine, {"drain": "5s", **router}
        self.worker = WORKER
        folder.mkdir(exist_ok=True)
        super().__init__(folder, **{"worker_within": "20s", "publish": "127.0.0.1", **times})
        self.url = url
        if not engine.client().images.list(BASE):
            engine.image(BASE, base=PYTHON, files=sqlite())

    def write(self, **times: str) -> None:
        self.times.update(times)
        given = {"folder": self.folder, "socket": self.docker.socket, "worker": self.worker}
        self.file.write_text(FILE.format(router=json.dumps(self.router), **given, **self.times))

    def version(self) -> str:
        """With an image of the shop as it is now."""
        version = super().version()
        here, everywhere = '("127.0.0.1", int(', '("", int('
        text = (self.shop / "shop.py").read_text()
        assert here in text
        files = {"app/shop.py": text.replace(here, everywhere).encode()}
        self.docker.image(f"shop:{version}", base=BASE, files=files)
        return version

    def live(self) -> str:
        """The version, by the journal."""
        active = self.service().active
        assert active is not None
        return active.version

    # --- the witness

    def containers(self, **labels: str) -> list[Any]:
        """Those that run."""
        wanted = {"greenroom.service": "shop", **{f"greenroom.{name}": value for name, value in labels.items()}}
        return [c for c in self.docker.containers(**wanted) if c.status == "running"]

    def replicas(self, version: str) -> list[int]:
        return [c.attrs["State"]["Pid"] for c in self.containers(process="web", version=version)]

    def workers(self) -> list[int]:
        return [c.attrs["State"]["Pid"] for c in self.containers(process="worker")]

    def _down(self) -> None:
        super()._down()
        left = [c.name for c in self.docker.containers(**{"greenroom.service": "shop"})]
        assert not left, f"left after `greenroom down`: {left}"


@contextlib.contextmanager
def lived_in(made: Lodging) -> Iterator[Lodging]:
    """A house that stands empty, and is gone afterwards."""
    try:
        yield made
    finally:
        try:
            made.end()
        finally:
            made.docker.clear()
