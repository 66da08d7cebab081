"""Starting `tests.apps.member`: in this process for what must be quick, as a process of its own for what must be real."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from greenroom.testing.processes import free_ports
from tests.apps.member import App, Server

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


@contextmanager
def serving(app: App) -> Iterator[Server]:
    server = Server(app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def processes(folder: Path, *options: list[str]) -> Iterator[list[str]]:
    """One for each list of options; their addresses."""
    ports = free_ports(len(options))
    with ExitStack() as stack:
        for port, more in zip(ports, options, strict=True):
            log = stack.enter_context((folder / f"app-{port}.log").open("wb"))
            stack.enter_context(_running(port, more, log))
        for port in ports:
            _wait(port, folder / f"app-{port}.log")
        yield [f"http://127.0.0.1:{port}" for port in ports]


@contextmanager
def _running(port: int, more: list[str], log: IO[bytes]) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.apps.member", "--port", str(port), *more]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _wait(port: int, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)
