"""A private Docker Engine for tests, with images made of what this machine has: no registry is asked.

    @pytest.fixture(scope="session")
    def engine() -> Iterator[Engine]:
        with docker.shared() as made:
            yield made

One engine for each process of the tests, whoever shares it; its tests carry `pytest.mark.xdist_group("docker")`. It has
folders, a socket, a bridge and a containerd namespace of its own and changes no packet filter, so that neither another
run of the tests nor a real Docker on the machine notices it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import re
import secrets
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import docker
import pytest

from greenroom.adapters.shell import Identity, identity
from tests.rigs.images import Tar, python_base, tiny_base

PATIENCE = 60.0
PYTHON, TINY = "greenroom-test/python:1", "greenroom-test/tiny:1"
_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
_PREFIX = "grd-"
_SHARED: list[Any] = []


@contextlib.contextmanager
def shared() -> Iterator[Engine]:
    """The engine of this process, started for the first who asks and ended after the last. Skips where none can run."""
    if not _SHARED:
        sweep()
        _SHARED[:] = [Engine(), 0]
        try:
            _SHARED[0].start()
            _SHARED[0].prove()
        except BaseException:
            _SHARED.pop(0).end()
            _SHARED.clear()
            raise
    _SHARED[1] += 1
    try:
        yield _SHARED[0]
    finally:
        _SHARED[1] -= 1
        if not _SHARED[1]:
            _SHARED[0].end()
            _SHARED.clear()


class Engine:
    """`dockerd` in a folder of its own; `prefix`: words before it, to start it in other namespaces.

    After `kill` or `stop` it is started again by `start`, as after a reboot.
    """

    def __init__(self, *options: str, prefix: Sequence[str] = ()) -> None:
        self.program = shutil.which("dockerd", path=_PATH)
        if self.program is None:
            pytest.skip("dockerd is not installed")
        self.options, self.prefix = options, tuple(prefix)
        self.folder = Path("/tmp", f"{_PREFIX}{secrets.token_hex(4)}")  # short: it holds sockets
        self.folder.mkdir(0o711)
        self.socket = self.folder / "docker.sock"
        self.bridge = f"grd{self.folder.name[len(_PREFIX) :]}"[:15]
        self.net = _free_net()
        me = Identity.of(os.getpid())
        assert me is not None
        owner = {"pid": me.pid, "started": me.started, "boot": me.boot, "bridge": self.bridge}
        (self.folder / "owner").write_text(json.dumps(owner))
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[docker.DockerClient] = []

    # --- its life

    def start(self) -> None:
        """Up and answering. Skips, with its own last words, if it cannot run on this machine."""
        self._add_bridge()
        for left in ("pid", "exec/containerd/containerd.pid"):  # a killed one leaves these, and then does not start
            (self.folder / left).unlink(missing_ok=True)
        place = self.folder
        command = [
            *self.prefix,
            str(self.program),
            *("--data-root", f"{place}/data", "--exec-root", f"{place}/exec", "--pidfile", f"{place}/pid"),
            *("-H", f"unix://{self.socket}", "--bridge", self.bridge),
            *("--default-address-pool", f"base=10.{self.net}.128.0/17,size=24"),
            *("--containerd-namespace", place.name, "--containerd-plugins-namespace", f"{place.name}-plugins"),
            *("--iptables=false", "--ip6tables=false", "--ip-forward=false", *self.options),
        ]
        with open(place / "log", "ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": _PATH},
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None:
                pytest.skip(f"dockerd cannot run here: {self.last_word()}")
            assert time.monotonic() < deadline, f"dockerd does not answer: {self.last_word()}"
            time.sleep(0.05)

    def prove(self) -> None:
        """A container can really run here."""
        try:
            self.base(TINY)
            self.client().containers.run(TINY, ["true"], remove=True)
        except docker.errors.APIError as error:
            pytest.skip(f"dockerd cannot run containers here: {error.explanation}")

    def stop(self) -> None:
        """As a reboot of the machine does it: asked to end, and its containers with it."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """The daemon dies without a word; its containers go on."""
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        """The daemon accepts connections and never answers, until `go_on`."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def end(self) -> None:
        """Everything goes: containers, networks, the daemon, its folder, its bridge."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(docker.errors.DockerException):
                self.clear()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop()
        for client in self._clients:
            client.close()
        _clear_away(self.folder, self.bridge)

    def _signal(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(PATIENCE)
        with contextlib.suppress(
            OSError, ValueError
        ):  # its containerd goes with it; half gone, it confuses the next one
            pid = int((self.folder / "exec" / "containerd" / "containerd.pid").read_text())
            self.wait(lambda: Identity.of(pid) is None, "containerd has ended")

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except (docker.errors.DockerException, OSError):
            return False

    def _add_bridge(self) -> None:
        there = _ip("-o", "link", "show", prefix=self.prefix)
        if f" {self.bridge}: " not in there:
            _ip("link", "add", self.bridge, "type", "bridge", prefix=self.prefix)
        if f" 10.{self.net}.0.1/24 " not in _ip("-o", "addr", "show", "dev", self.bridge, prefix=self.prefix):
            _ip("addr", "add", f"10.{self.net}.0.1/24", "dev", self.bridge, prefix=self.prefix)
        _ip("link", "set", self.bridge, "up", prefix=self.prefix)

    def last_word(self) -> str:
        """The last line of the daemon's log that says something."""
        lines = (self.folder / "log").read_text(errors="replace").splitlines()
        said = [line.partition('msg="')[2].rstrip('"') or line for line in lines if line.strip()]
        bad = [line for line in said if "fail" in line or "denied" in line or "permitted" in line or "needs" in line]
        return (bad or said or ["it said nothing"])[-1]

    # --- asking it

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def client(self) -> docker.DockerClient:
        """The witness's own: goes round every adapter."""
        if not self._clients:
            self._clients.append(docker.DockerClient(base_url=self.url, version="1.41", timeout=30))
        return self._clients[0]

    def containers(self, **labels: str) -> list[Any]:
        """All with these labels, running or not."""
        wanted = [f"{name}={value}" for name, value in labels.items()]
        found: list[Any] = self.client().containers.list(all=True, filters={"label": wanted}, ignore_removed=True)
        return found

    def discard(self, container: str) -> None:
        """Away with it, wherever it stands; nothing if it is not there. One that is just being removed is waited for."""

        def gone() -> bool:
            try:
                self.client().api.remove_container(container, force=True, v=True)
            except docker.errors.NotFound:
                return True
            except docker.errors.APIError as error:
                if error.status_code != 409:
                    raise
                return False
            return True

        self.wait(gone, f"{container} is gone")

    def clear(self) -> None:
        """No container and no network of a test is left; images stay."""
        client = self.client()
        for container in client.api.containers(all=True):
            with contextlib.suppress(docker.errors.NotFound, docker.errors.APIError):
                client.api.remove_container(container["Id"], force=True, v=True)
        for network in client.api.networks():
            if network["Name"] not in ("bridge", "host", "none"):
                with contextlib.suppress(docker.errors.APIError):
                    client.api.remove_network(network["Id"])

    def wait(self, until: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
            time.sleep(0.02)

    # --- images

    def base(self, name: str) -> str:
        """`PYTHON` (an interpreter, and programs in /app) or `TINY` (busybox only), made on first use."""
        client = self.client()
        with contextlib.suppress(docker.errors.ImageNotFound):
            client.images.get(name)
            return name
        repository, tag = name.split(":")
        content = python_base() if name == PYTHON else tiny_base()
        client.api.import_image_from_data(content, repository=repository, tag=tag)
        return name

    def app(self, name: str = "shop:1", **more: Any) -> str:
        """A web server that answers `colour version` (see `images.WEB`), and `/app/worker.py`, in this image.

        The version is the tag, and stands in the image, not in what a container is given. `more` as for `image`.
        """
        given = {"Cmd": ["python3", "-I", "-S", "/app/web.py"], **more.pop("config", {})}
        return self.image(name, base=PYTHON, config=given, **more)

    def broken(self, name: str = "shop:broken") -> str:
        """Its command is not there: a container of it can be made, and never start."""
        return self.image(name, base=TINY, config={"Cmd": ["/no/such/program"]})

    def image(
        self,
        name: str,
        *,
        base: str = TINY,
        config: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        health: Mapping[str, Any] | str | None = None,
        files: Mapping[str, bytes] | None = None,
        architecture: str = "",
    ) -> str:
        """Load an image: the layers of `base`, one layer with `files`, and this configuration. Returns its name.

        `config`: as in an image's JSON (Cmd, User, Volumes, StopSignal…). `health`: a shell command, or the whole of it
        (Test, Interval in ns…). `architecture`: another than that of this machine makes it one for another platform.
        """
        below = self.client().images.get(self.base(base)).attrs
        layer = Tar().with_files({"etc/version": name.encode(), **(files or {})}).bytes()
        if isinstance(health, str):
            quick = {"Interval": 200_000_000, "Timeout": 2_000_000_000, "Retries": 2}
            health = {"Test": ["CMD-SHELL", health], **quick}
        version = name.rpartition("/")[2].partition(":")[2] or "latest"
        inside = {"PATH": "/usr/local/bin:/usr/bin:/bin", "VERSION": version, **(env or {})}
        given = {
            "Env": [f"{key}={value}" for key, value in inside.items()],
            "Cmd": ["sleep", "3600"],
            "Labels": dict(labels or {}),
            **({"Healthcheck": health} if health else {}),
            **(config or {}),
        }
        document = {
            "architecture": architecture or below["Architecture"],
            "os": "linux",
            "created": "2024-01-01T00:00:00Z",
            "config": given,
            "rootfs": {"type": "layers", "diff_ids": [*below["RootFS"]["Layers"], _digest(layer)]},
        }
        self._load(name, json.dumps(document).encode(), layer, len(below["RootFS"]["Layers"]))
        return name

    def _load(self, name: str, config: bytes, layer: bytes, below: int) -> None:
        """`docker load` of an image of which the engine has all layers but the last one."""
        names = [f"{number}.tar" for number in range(below)] + ["last.tar"]
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        manifest = [{"Config": config_name, "RepoTags": [name], "Layers": names}]
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path, content in (
                (config_name, config),
                ("last.tar", layer),
                ("manifest.json", json.dumps(manifest).encode()),
            ):
                entry = tarfile.TarInfo(path)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        self.client().images.load(archive.getvalue())


def buildkit() -> str:
    """A `docker` program that builds with BuildKit: it has the plug-in, or is from before there was one."""
    for folder in _PATH.split(":"):
        program = Path(folder, "docker")
        if not os.access(program, os.X_OK):
            continue
        plugin = subprocess.run([str(program), "buildx", "version"], check=False, capture_output=True)
        said = subprocess.run([str(program), "--version"], check=False, capture_output=True, text=True).stdout
        version = re.search(r"version (\d+)\.", said)
        if plugin.returncode == 0 or (version and int(version[1]) < 23):
            return str(program)
    pytest.skip("no docker program with BuildKit is installed")


def sweep() -> None:
    """End the engines whose tests were killed and could not end them."""
    for folder in Path("/tmp").glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):
            owner = json.loads((folder / "owner").read_text())
            who = identity(owner)
            if who is not None and not who.alive:
                _clear_away(folder, owner["bridge"])


def _clear_away(folder: Path, bridge: str) -> None:
    """The processes that name this folder, with their children; its mounts, its files, its bridge."""
    for _ in range(50):
        mine = _named(str(folder))
        for pid in mine:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not mine:
            break
        time.sleep(0.05)
    lines = Path("/proc/self/mounts").read_text().splitlines()
    for mount in sorted((line.split()[1] for line in lines if f" {folder}/" in line), reverse=True):
        subprocess.run(["umount", "-l", mount], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["ip", "link", "del", bridge], check=False, capture_output=True, env={"PATH": _PATH})


def _named(text: str) -> list[int]:
    """Processes with `text` in their command line, and all below them; never ourselves."""
    commands, parents = {}, {}
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and int(entry) != os.getpid():
                fields = Path(f"/proc/{entry}/stat").read_text(errors="replace").rpartition(")")[2].split()
                if fields[0] not in "ZX":
                    parents[int(entry)] = int(fields[1])
                    commands[int(entry)] = Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace")
    found = {pid for pid, command in commands.items() if text in command and parents[pid] != os.getpid()}
    found |= {
        pid for pid, command in commands.items() if command.split("\0")[0].endswith("dockerd") and text in command
    }
    for _ in range(4):
        found |= {pid for pid, parent in parents.items() if parent in found}
    return sorted(found)


def _free_net() -> int:
    """N of a 10.N.0.0/16 in which this machine has no address."""
    taken = _ip("-4", "-o", "addr", "show")
    return random.choice([number for number in range(64, 250) if f" 10.{number}." not in taken])


def _ip(*words: str, prefix: Sequence[str] = ()) -> str:
    try:
        ran = subprocess.run([*prefix, "ip", *words], check=False, capture_output=True, text=True, env={"PATH": _PATH})
    except FileNotFoundError:
        pytest.skip("ip (iproute2) is not installed")
    if ran.returncode:
        pytest.skip(f"dockerd cannot run here: ip {words[0]}: {ran.stderr.strip()}")
    return ran.stdout


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
