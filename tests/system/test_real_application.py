"""An application that nobody here wrote: Datasette, from one published version to the next, under load.

Each release makes a virtual environment of its own in its `prepare`, as a person's would.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from greenroom.demo.stage import Stage
from greenroom.testing import traffic

OLD, NEW = "0.64.8", "0.65.2"
ROWS = 5000

FILE = """
service: library
environment:
  type: process
  source: .
  prepare:
    - {python} -m venv venv
    - venv/bin/pip install --quiet --disable-pip-version-check datasette=={{version}}
  processes:
    web:
      command: venv/bin/datasette serve --immutable library.db --host 127.0.0.1 --port {{port}}
      replicas: 2
      health: {{path: /-/versions.json, timeout: 60s}}
router:
  type: envoy
  listen: 127.0.0.1:8080
  test_route: {{header: x-greenroom-test}}
checks:
  - {{type: http, path: "/library/books.json?_size=1", status: 200, contains: "filtered_table_rows_count"}}
bake: 2s
keep_warm: 10m
"""


class Readers(traffic.Load):
    """Clients that look up one book after the other, and check that it is the whole, right row; some ask who answers."""

    number = 0

    def _check(self, kind: str, connection: HTTPConnection) -> str:
        if kind == "version":
            document = json.loads(traffic.exchange(connection, "/-/versions.json").text)
            return str(document["datasette"]["version"])
        self.number = number = self.number % ROWS + 1
        answer = traffic.exchange(connection, f"/library/books/{number}.json?_shape=objects")
        [row] = json.loads(answer.text)["rows"]
        if answer.status != 200 or row != {"id": number, "title": title(number)}:
            raise ValueError(f"status {answer.status}: {answer.text[:200]}")
        return ""


def title(number: int) -> str:
    return f"The book of {number * 7919 % 10007}"


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Stage]:
    source = tmp_path / "source"
    source.mkdir()
    (source / "greenroom.yaml").write_text(FILE.format(python=sys.executable))
    with sqlite3.connect(source / "library.db") as db:
        db.execute("CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT)")
        db.executemany("INSERT INTO books VALUES (?, ?)", [(n, title(n)) for n in range(1, ROWS + 1)])
    db.close()
    stage = Stage(tmp_path, source=source)
    try:
        yield stage
        assert stage.run("down", "--yes").code == 0
        deadline = time.monotonic() + 30
        while stage.remains() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not stage.remains()
    finally:
        for pid, _ in stage.remains():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(stage.shop / ".greenroom" / "artefacts", ignore_errors=True)


def answers(load: Readers, version: str) -> None:
    """From now on this version answers, and no other."""
    moment, deadline = time.monotonic(), time.monotonic() + 30
    while not (by := {seen.by for seen in load.seen if seen.kind == "version" and seen.sent > moment + 0.5}):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert by == {version}


def deploy(stage: Stage, *words: str) -> None:
    done = stage.run(*words, within=110.0)
    assert done.code == 0, str(done)


@pytest.mark.timeout(240)
def test_datasette_forth_back_and_forth(library: Stage) -> None:
    """Two published versions, a database of thousands of rows, readers that never stop: no answer is lost or wrong."""
    deploy(library, "deploy", OLD)
    with Readers(library.url, ("kept", "fresh", "version"), pause=0.02) as load:
        answers(load, OLD)
        deploy(library, "deploy", NEW)
        answers(load, NEW)
        deploy(library, "rollback")
        answers(load, OLD)
        deploy(library, "deploy", NEW)
        answers(load, NEW)
    assert len(load.seen) > 200
    assert not load.failed, load.failed[:5]
