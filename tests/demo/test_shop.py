"""The example shop behaves as Greenroom asks of an application, and its third release fails as the story needs it."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import greenroom.demo
from greenroom.config.loader import load
from greenroom.demo.stage import break_release
from greenroom.demo.traffic import MARK

EXAMPLES = Path(__file__).parents[2] / "examples"


def until(found: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not found():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


class Programs:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, program: str, port: int = 0) -> subprocess.Popen[bytes]:
        more = {"PORT": str(port), "SHOP_DATA": str(self.folder / "data"), "GREENROOM_VERSION": "7"}
        command = [sys.executable, self.folder / "shop" / program]
        process = subprocess.Popen(command, env={**os.environ, **more, "GREENROOM_COLOUR": "green"})
        self.started.append(process)
        return process


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    shutil.copytree(Path(greenroom.demo.__file__).parent / "shop", tmp_path / "shop")
    programs = Programs(tmp_path)
    yield programs
    for process in programs.started:
        process.kill()
        process.wait()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body=b"an order" if method == "POST" else None)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def healthy(port: int) -> bool:
    try:
        return get(port, "/health")[0] == 200
    except OSError:
        return False


def test_it_serves_and_its_worker_packs_each_order_once(programs: Programs, port: int) -> None:
    programs.start("shop.py", port)
    until(lambda: healthy(port), "the shop must become healthy")
    status, page = get(port, "/?request=5")
    assert (status, MARK.search(page)[0]) == (200, b"[shop version=7 colour=green request=5]")
    for number in range(8):
        assert get(port, f"/orders?request={number}", "POST")[0] == 200
    worker = programs.start("worker.py")
    db = sqlite3.connect(programs.folder / "data" / "orders.db")
    until(lambda: db.execute("SELECT count(*) FROM packed").fetchone()[0] >= 8, "the worker must pack")
    worker.terminate()
    assert worker.wait(30) == 0
    assert db.execute("SELECT count(DISTINCT order_id), count(*) FROM packed").fetchone() == (8, 8)
    db.close()


def test_told_to_stop_it_finishes_what_it_has_begun(programs: Programs, port: int) -> None:
    shop = programs.start("shop.py", port)
    until(lambda: healthy(port), "the shop must become healthy")
    db = sqlite3.connect(programs.folder / "data" / "orders.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")  # the order waits in the database: it has begun and cannot end
    statuses: list[int] = []
    order = threading.Thread(target=lambda: statuses.append(get(port, "/orders?request=1", "POST")[0]))
    order.start()
    until(lambda: has_open(shop.pid, "orders.db"), "the order must begin")
    shop.terminate()
    until(lambda: not healthy(port), "it must not take new connections")
    db.execute("COMMIT")
    order.join()
    assert (statuses, shop.wait(30)) == ([200], 0)
    assert db.execute("SELECT count(*) FROM orders").fetchone() == (1,)
    db.close()


def has_open(pid: int, name: str) -> bool:
    files = Path(f"/proc/{pid}/fd").iterdir()
    return any(os.path.basename(os.readlink(file)) == name for file in files if file.is_symlink())


def test_the_bad_release_is_healthy_and_fails_its_visitors(programs: Programs, port: int) -> None:
    break_release(programs.folder / "shop", visitors=3)
    programs.start("shop.py", port)
    until(lambda: healthy(port), "the shop must become healthy")
    statuses = [get(port, f"/?request={n}") for n in range(6)]
    assert [s for s, _ in statuses] == [200, 200, 500, 500, 500, 500]
    assert all(MARK.search(body) for _, body in statuses)
    assert get(port, "/health")[0] == 200


@pytest.mark.parametrize("name", sorted(path.parent.name for path in EXAMPLES.glob("*/greenroom.yaml")))
def test_every_example_loads(name: str) -> None:
    assert load(EXAMPLES / name / "greenroom.yaml", {}).service
