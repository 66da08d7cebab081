"""Real SSH servers on loopback addresses, each with keys of its own; they let in who runs the tests, without PAM."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from greenroom.adapters.hosts.settings import HostSettings

PATIENCE = 30.0
_CONFIG = """\
ListenAddress {address}:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile {folder}/pid
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
AllowAgentForwarding yes
PrintMotd no
SetEnv SHLVL=5
LogLevel VERBOSE
MaxStartups 100
{more}
"""


def program() -> str:
    """sshd's whole path (it starts itself anew by it), or the test is skipped."""
    found = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if found is None or shutil.which("ssh") is None:
        pytest.skip("OpenSSH's server is not installed")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where Debian's drops its rights
    return found


def make_key(path: Path, passphrase: str = "") -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", path.name, "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def public(key: Path) -> str:
    return key.with_name(f"{key.name}.pub").read_text().strip()


def free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


@dataclass
class Sshd:
    """One machine, as it looks by SSH. `prefix`: words before sshd, to start it in another namespace."""

    folder: Path
    address: str = "127.0.0.1"
    more: str = ""
    prefix: Sequence[str] = ()
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> Sshd:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.port:
            self.port = free_port(self.address if not self.prefix else "127.0.0.1")
            make_key(self.folder / "host_key")
            (self.folder / "authorized_keys").touch()
        config = _CONFIG.format(address=self.address, port=self.port, folder=self.folder, more=self.more)
        (self.folder / "config").write_text(config)
        command = [*self.prefix, program(), "-D", "-f", str(self.folder / "config"), "-E", str(self.folder / "log")]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        self._await()
        return self

    def _await(self) -> None:
        end = time.monotonic() + PATIENCE
        while "Server listening on" not in self.log():
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.01)

    def log(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "log").read_text(errors="replace")
        return ""

    def connections(self) -> int:
        """How many TCP connections it ever took."""
        return self.log().count("Connection from ")

    def sessions(self) -> list[int]:
        """The processes that serve somebody now: each TCP connection's, and below it who works for it."""
        return below(self.process.pid) if self.process is not None else []

    def let_in(self, key: Path, options: str = "") -> None:
        with (self.folder / "authorized_keys").open("a") as file:
            file.write(f"{options} {public(key)}\n".lstrip())

    def known(self) -> str:
        """Its line for a known_hosts file."""
        return f"[{self.address}]:{self.port} {' '.join(public(self.folder / 'host_key').split()[:2])}\n"

    def settings(self, key: Path | None, known_hosts: Path, **more: object) -> HostSettings:
        values = {"ssh": f"{getpass.getuser()}@{self.address}:{self.port}", "key": key, "known_hosts": known_hosts}
        return HostSettings.model_validate({**values, **more})

    def programs(self) -> dict[int, str]:
        """What runs for somebody now, by its process."""
        found = {}
        for pid in self.sessions():
            with contextlib.suppress(OSError):
                found[pid] = Path(f"/proc/{pid}/comm").read_text().strip()
        return found

    def cut(self, *, connections_only: bool = False) -> None:
        """Everybody's connection ends, and what ran over it; new ones are taken."""
        for pid, name in self.programs().items():
            if name.startswith("sshd") or not connections_only:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def freeze(self, sign: signal.Signals = signal.SIGSTOP) -> None:
        """The machine no longer answers, but nobody says so. SIGCONT: it goes on."""
        assert self.process is not None
        for pid in (self.process.pid, *self.sessions()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)

    def stop(self) -> None:
        if self.process is None:
            return
        ours = self.sessions()
        self.process.kill()
        for pid in ours:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        self.process = None
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "log").rename(self.folder / "log.old")


def below(pid: int) -> list[int]:
    """All descendants of a process, by /proc."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += [int(child), *below(int(child))]
    return found


@contextlib.contextmanager
def serving(folder: Path, address: str = "127.0.0.1", more: str = "", prefix: Sequence[str] = ()) -> Iterator[Sshd]:
    server = Sshd(folder, address, more, prefix)
    try:
        yield server.start()
    finally:
        server.stop()


@contextlib.contextmanager
def agent(*keys: Path) -> Iterator[str]:
    """A real agent with these keys; the path of its socket."""
    process = subprocess.Popen(["ssh-agent", "-D"], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        path = process.stdout.readline().split("=")[1].split(";")[0]
        for key in keys:
            environment = {**os.environ, "SSH_AUTH_SOCK": path}
            subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True, stdin=subprocess.DEVNULL)
        yield path
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


@contextlib.contextmanager
def apart(number: int) -> Iterator[tuple[str, str]]:
    """A network of its own, joined to ours by one cable: its name and its address. Skips where there is no right to it.

    `cable(number, "down")` pulls it: no packet comes or goes, and nobody is told.
    """
    net = f"10.{200 + number % 50}.{os.getpid() % 250}"
    name, address = f"greenroom{number}-{os.getpid()}", f"{net}.2"
    near, far = f"gr{number}-{os.getpid()}"[:15], f"gs{number}-{os.getpid()}"[:15]
    steps = [
        f"netns add {name}",
        f"link add {near} type veth peer name {far} netns {name}",
        f"addr add {net}.1/24 dev {near}",
        f"link set {near} up",
        f"-n {name} addr add {address}/24 dev {far}",
        f"-n {name} link set {far} up",
        f"-n {name} link set lo up",
    ]
    try:
        for step in steps:
            if not shutil.which("ip") or subprocess.run(["ip", *step.split()], capture_output=True).returncode:
                pytest.skip("no right to make a network namespace")
        yield name, address
    finally:
        if shutil.which("ip"):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
            subprocess.run(["ip", "link", "del", near], capture_output=True)


def cable(number: int, state: str) -> None:
    """`down` or `up`."""
    near = f"gr{number}-{os.getpid()}"[:15]
    subprocess.run(["ip", "link", "set", near, state], check=True, capture_output=True)
