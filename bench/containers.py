"""A release of two containers with a ready image, no bake, behind nginx: how much of it is Greenroom's own.

Not Greenroom's own is the time in which the containers come up: from the moment at which Docker has begun to make the first
one of the candidate (its event `create`) until both have answered /health to a witness, which asks their published ports by
itself every 5 ms. All else is: to start the command, to write down what was asked, to pin the image, to look for free ports,
to notice that they are healthy, the checks (one by HTTP, and parity), the route until it was seen at nginx, the end of the
command. Docker Engine and nginx are real and private; the image is there, the engine awake, both colours known to nginx.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bench.common import Goal, Result, expect, main, plain, spread
from greenroom.demo.stage import Done, Stage, get
from greenroom.demo.table import columns, quantile
from greenroom.domain.phases import Phase
from greenroom.domain.records import Moved, Requested
from greenroom.wiring import reopen
from tests.rigs import docker
from tests.rigs.docker import Engine
from tests.rigs.nginx import Rig

FILE = """
service: shop
environment:
  type: docker
  socket: {socket}
  image: shop:{{version}}
  processes:
    web: {{port: 8000, replicas: 2, health: {{path: /health}}}}
router: {router}
checks:
  - {{type: http, path: /, status: 200}}
bake: 0s
keep_warm: 1h
"""
PATIENCE = 60.0


@dataclass
class Births:
    """When Docker made the candidate's containers, and when they answered: seconds since 1970."""

    created: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)


class Witness:
    """Follows Docker's events in a thread of its own."""

    def __init__(self, engine: Engine) -> None:
        self.births: dict[str, Births] = {}
        self._engine = engine
        self._known: set[str] = set()
        labelled = {"label": "greenroom.service=shop", "event": ["create", "start"]}
        self._events = engine.client().api.events(decode=True, filters=labelled)
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        for event in self._events:
            about = event["Actor"]
            births = self.births.setdefault(about["Attributes"]["greenroom.version"], Births())
            if event["Action"] == "create":
                births.created.append(event["timeNano"] / 1e9)
            else:
                threading.Thread(target=self._ask, args=(about["ID"], births), daemon=True).start()

    def _ask(self, container: str, births: Births) -> None:
        bindings = self._engine.client().api.inspect_container(container)["HostConfig"]["PortBindings"]
        [where] = bindings["8000/tcp"]
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if get(f"http://127.0.0.1:{where['HostPort']}/health")[0] == 200:
                    births.answered.append(time.time())
                    return
            except OSError:
                pass
            time.sleep(0.005)

    def of(self, version: str, replicas: int) -> tuple[float, float]:
        births = self.births[version]
        assert len(births.created) == len(births.answered) == replicas, births
        return min(births.created), max(births.answered)


@contextmanager
def house() -> Iterator[tuple[Stage, Engine]]:
    folder = Path(tempfile.mkdtemp(prefix="greenroom-bench-containers-"))
    folder.chmod(0o755)
    with docker.shared() as engine, Rig(folder / "nginx") as nginx:
        source = folder / "source"
        source.mkdir()
        router = {"url": nginx.url, "folder": str(nginx.folder), "folder_inside": str(nginx.inside)}
        router |= {"type": "nginx", "command": " ".join(nginx.command)}
        text = FILE.format(socket=engine.socket, router=json.dumps(router))
        (source / "greenroom.yaml").write_text(text)
        stage = Stage(folder, source=source)
        try:
            yield stage, engine
        finally:
            stage.end()
            engine.clear()
    shutil.rmtree(folder, ignore_errors=True)


PARTS = (
    "the command starts, until what it asks is written down",
    "until Docker makes the first container",
    "the containers come up (not Greenroom's own)",
    "until both were seen healthy",
    "checks: one by HTTP, parity",
    "the switch, until it was observed",
    "until it has succeeded",
    "the command's end",
)


def parts(stage: Stage, done: Done, version: str, up: tuple[float, float]) -> list[float]:
    """Seconds, in the order of `PARTS`."""
    offset = time.time() - time.monotonic()
    entries = reopen("shop", stage.file, stage.shop / ".greenroom").control.entries(0)
    moves: dict[Phase, float] = {}
    asked = 0.0
    for entry in entries:
        if isinstance(entry.record, Requested) and entry.record.details.get("version") == version:
            moves, asked = {}, entry.at
        elif isinstance(entry.record, Moved):
            moves[entry.record.to] = entry.at
    marks = [done.began + offset, asked, *up, moves[Phase.CHECKS], moves[Phase.SHIFT], moves[Phase.BAKE]]
    marks += [moves[Phase.SUCCEEDED], done.ended + offset]
    return [after - before for before, after in pairwise(marks)]


def run(quick: bool) -> Result:
    try:
        with house() as (stage, engine):
            rows = measured(stage, engine, 3 if quick else 20)
    except pytest.skip.Exception as reason:
        raise SystemExit(f"cannot be measured here: {reason}") from None
    owns = [sum(row) - row[2] for row in rows]
    totals = [sum(row) for row in rows]
    middle = [quantile(column, 0.5) for column in zip(*rows, strict=True)]
    body = [[name, *spread(values)] for name, values in (("Greenroom's own part, s", owns), ("all of it, s", totals))]
    text = columns(["one release of two containers", "least", "p50", "p90", "most"], body) + "\n\n"
    text += columns(
        ["of which, s", "p50"], [[name, plain(seconds)] for name, seconds in zip(PARTS, middle, strict=True)]
    )
    goal = Goal("Greenroom's own part of a release of two containers, p50", quantile(owns, 0.5), 2.0, "s")
    data: dict[str, Any] = {"own": owns, "total": totals, "parts": dict(zip(PARTS, middle, strict=True))}
    return Result("containers", [goal], text, data)


def measured(stage: Stage, engine: Engine, count: int) -> list[list[float]]:
    for version in range(1, count + 3):
        engine.app(f"shop:{version}", env={"PORT": "8000"})
    witness = Witness(engine)
    for version in ("1", "2"):  # after these, nginx knows both colours
        expect(stage.run("deploy", version), 0)
    found = []
    for version in map(str, range(3, count + 3)):
        done = expect(stage.run("deploy", version), 0)
        found.append(parts(stage, done, version, witness.of(version, 2)))
        settled(engine)
    return found


def settled(engine: Engine) -> None:
    """What the release before has left behind has ended: its end is not the next one's time."""
    engine.wait(lambda: not [c for c in engine.containers() if ".ending-" in c.name], "the old replicas have ended")


if __name__ == "__main__":
    sys.exit(main(run))
