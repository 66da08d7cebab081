"""A private memcached for tests, on a free loopback port, that ends with them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from greenroom.testing.processes import free_ports
from tests.rigs.redis import answering, ended


@contextmanager
def running(folder: Path) -> Iterator[tuple[str, int]]:
    program = shutil.which("memcached")
    if program is None:
        pytest.skip("memcached is not installed")
    [port] = free_ports(1)
    options = ["-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", "16", "-t", "1"]
    options += ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses to be root
    with (folder / "memcached.log").open("wb") as log, ended([program, *options], log):
        answering(port, b"version\r\n", b"VERSION", folder / "memcached.log")
        yield "127.0.0.1", port
