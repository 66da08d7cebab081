"""Machines of our own: each a network and a mount namespace with sshd, Docker and nginx, on a switch between them.

Every machine sees its own folder under the same path (`Machines.here`), as real ones have the same /etc and /var. What a
machine sends and gets can be dropped (`Machine.cut`), as when a cable is pulled. Needs root; skips where that is not to
be had.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.rigs.docker import Engine
from tests.rigs.sshd import Sshd, make_key

PATIENCE = 60.0
_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
NGINX = """\
daemon off; worker_processes 1; pid {here}/nginx.pid; error_log {here}/error.log notice;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {here}/t1; proxy_temp_path {here}/t2; fastcgi_temp_path {here}/t3;
  uwsgi_temp_path {here}/t4; scgi_temp_path {here}/t5;
  include {here}/greenroom/*http.conf;
  server {{ listen 80; location / {{ {inside} }} }}
}}
"""


def ip(*words: str, prefix: Sequence[str] = ()) -> str:
    try:
        ran = subprocess.run([*prefix, "ip", *words], capture_output=True, text=True, env={"PATH": _PATH}, check=False)
    except FileNotFoundError:
        pytest.skip("ip (iproute2) is not installed")
    if ran.returncode:
        pytest.skip(f"no right to make network namespaces: {ran.stderr.strip()}")
    return ran.stdout


class Machine:
    """`address`: its own, reached from the tests and from the other machines."""

    def __init__(self, machines: Machines, name: str, address: str) -> None:
        self.machines, self.name, self.address = machines, name, address
        self.folder = machines.root / name
        self.folder.mkdir(mode=0o755)
        self.engine: Engine | None = None
        self._nginx: subprocess.Popen[bytes] | None = None
        self._hold = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", self._script()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PATH": _PATH},
        )
        assert self._hold.stdout is not None
        if self._hold.stdout.readline().strip() != b"ready":
            pytest.skip("no right to make namespaces")
        pid = self._hold.pid
        self.prefix = ("nsenter", f"--net=/proc/{pid}/ns/net", f"--mount=/proc/{pid}/ns/mnt", "--")
        self.cable = f"{machines.switch[:11]}-{len(machines.made)}"
        ip("link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        ip("link", "set", self.cable, "master", machines.switch, "up")
        ip("addr", "add", f"{address}/24", "dev", "eth0", prefix=self.prefix)
        ip("link", "set", "eth0", "up", prefix=self.prefix)
        self.ssh = Sshd(self.folder / "sshd", address, prefix=self.prefix).start()
        self.ssh.let_in(machines.key)
        with machines.known_hosts.open("a") as file:
            file.write(self.ssh.known())

    def _script(self) -> str:
        """Ends with us: its input closes then."""
        here = self.machines.here
        return f"ip link set lo up && mount --bind {self.folder} {here} && echo ready && exec cat >/dev/null"

    def docker(self, *versions: str) -> Engine:
        """Its Docker Engine, with an image `shop:VERSION` of each; its socket is `here/docker.sock`."""
        self.engine = Engine(prefix=self.prefix)
        self.engine.start()
        for version in versions:
            self.engine.app(f"shop:{version}")
        (self.folder / "docker.sock").symlink_to(self.engine.socket)
        return self.engine

    def nginx(self, inside: str = 'return 200 "before";') -> None:
        """Start its nginx, or start it anew, with this in its `location /`."""
        (self.folder / "nginx.conf").write_text(NGINX.format(here=self.machines.here, inside=inside))
        if self._nginx is not None:
            self.do("nginx", "-c", f"{self.machines.here}/nginx.conf", "-s", "reload")
            return
        command = [*self.prefix, "nginx", "-c", f"{self.machines.here}/nginx.conf"]
        self._nginx = subprocess.Popen(command, env={**os.environ, "PATH": _PATH}, start_new_session=True)
        deadline = time.monotonic() + PATIENCE
        while not (self.folder / "nginx.pid").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def do(self, *words: str) -> str:
        """A command on it, round everything of ours."""
        ran = subprocess.run(
            [*self.prefix, *words], capture_output=True, text=True, env={"PATH": _PATH}, check=False, timeout=PATIENCE
        )
        assert ran.returncode == 0, f"{words}: {ran.stderr}"
        return ran.stdout

    def cut(self) -> None:
        """Nothing gets to it or from it any more; nobody says so."""
        ip("link", "set", self.cable, "nomaster")

    def mend(self) -> None:
        ip("link", "set", self.cable, "master", self.machines.switch)

    def end(self) -> None:
        for process in (self._nginx, self.ssh.process):
            if process is not None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE)
        if self.engine is not None:
            self.engine.end()
        self._hold.kill()
        self._hold.wait()
        assert self._hold.stdout is not None
        assert self._hold.stdin is not None
        self._hold.stdout.close()
        self._hold.stdin.close()


class Machines:
    """A switch, and the machines on it."""

    def __init__(self) -> None:
        mark = secrets.token_hex(3)
        self.root = Path(f"/tmp/grm-{mark}")
        self.here = self.root / "here"
        self.here.mkdir(parents=True)
        self.root.chmod(0o755)
        self.switch, self.made = f"gr{mark}", dict[str, Machine]()
        self.key, self.known_hosts = make_key(self.root / "id"), self.root / "known_hosts"
        self.known_hosts.touch()
        self.net = f"10.{200 + int(mark[:2], 16) % 50}.{int(mark[2:4], 16)}"
        ip("link", "add", self.switch, "type", "bridge")
        ip("addr", "add", f"{self.net}.1/24", "dev", self.switch)
        ip("link", "set", self.switch, "up")

    def add(self, name: str) -> Machine:
        machine = Machine(self, name, f"{self.net}.{10 + len(self.made)}")
        self.made[name] = machine
        return machine

    def document(self, name: str) -> dict[str, str]:
        """Its entry in `hosts:`."""
        machine = self.made[name]
        return {
            "ssh": f"root@{machine.address}:{machine.ssh.port}",
            "key": str(self.key),
            "known_hosts": str(self.known_hosts),
            "state": f"{self.here}/state",
            "address": machine.address,
        }

    def end(self) -> None:
        for machine in self.made.values():
            machine.end()
        subprocess.run(["ip", "link", "del", self.switch], check=False, capture_output=True, env={"PATH": _PATH})
        shutil.rmtree(self.root, ignore_errors=True)


@contextlib.contextmanager
def machines() -> Iterator[Machines]:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("machines of our own need root and unshare")
    made = Machines()
    try:
        yield made
    finally:
        made.end()
