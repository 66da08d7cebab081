"""A private Redis for tests, on a free loopback port, that keeps nothing and ends with them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from greenroom.testing.processes import free_ports

PATIENCE = 60.0


@contextmanager
def running(folder: Path) -> Iterator[tuple[str, int]]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    [port] = free_ports(1)
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with (folder / "redis.log").open("wb") as log, ended(["setpriv", "--pdeathsig=KILL", program, *options], log):
        answering(port, b"PING\r\n", b"+PONG", folder / "redis.log")
        yield "127.0.0.1", port


@contextmanager
def ended(command: list[str], log: object) -> Iterator[None]:
    """It runs as long as the block."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # type: ignore[call-overload]
    try:
        yield
    finally:
        process.kill()
        process.wait()


def answering(port: int, question: bytes, answer: bytes, log: Path) -> None:
    """Wait until the server at this port says what it says when it is up."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
                sock.sendall(question)
                if sock.recv(100).startswith(answer):
                    return
        except OSError:
            pass
        assert time.monotonic() < end, log.read_text(errors="replace")
        time.sleep(0.02)
