"""The hosts keep the contract of their port."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.hosts.ssh import SshHost
from greenroom.ports import Host
from greenroom.testing.contracts.host import HostContract
from tests.rigs.sshd import Sshd, make_key, serving


class Bench:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._made = tempfile.TemporaryDirectory(prefix="host-", dir="/tmp")

    def host(self) -> Host:
        return self._host

    def folder(self) -> Path:
        return Path(self._made.name)

    def close(self) -> None:
        self._made.cleanup()


class TestLocalHost(HostContract):
    @pytest.fixture
    def bench(self) -> Iterator[Bench]:
        bench = Bench(LocalHost())
        yield bench
        bench.close()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHost]:
    folder = tmp_path_factory.mktemp("sshd")
    with serving(folder / "server", "127.0.0.31") as server:
        host = _host(server, folder)
        yield host
        host.close()


def _host(server: Sshd, folder: Path) -> SshHost:
    key, known = make_key(folder / "key"), folder / "known_hosts"
    server.let_in(key)
    known.write_text(server.known())
    return SshHost("app1", server.settings(key, known))


@pytest.mark.real
@pytest.mark.xdist_group("sshd")
class TestSshHost(HostContract):
    @pytest.fixture
    def bench(self, machine: SshHost) -> Iterator[Bench]:
        bench = Bench(machine)
        yield bench
        bench.close()
