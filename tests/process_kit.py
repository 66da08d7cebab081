"""A small service of real processes for tests: a web application and a worker, and a witness that reads /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from greenroom.adapters.environments.process import ProcessEnvironment
from greenroom.adapters.process.settings import of_definition
from greenroom.adapters.supervisor import runfiles
from greenroom.adapters.supervisor.client import Supervisord
from greenroom.domain.model import Colour, EnvironmentSpec, Role
from greenroom.errors import Permanent
from greenroom.ports import ActionKey, Place

KEY = ActionKey("r-1", "start", 0, "apply", "blue", 0)
DEADLINE = 60.0
QUICK = [sys.executable, "-I", "-S"]

WEB = """
import os, signal, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
time.sleep(float(os.environ.get("BOOT", "0")))
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            open("slow.begun", "w").close()
            time.sleep(0.7)
        if self.path == "/redirect":
            self.send_response(302); self.send_header("Location", "/login"); self.end_headers(); return
        if self.path == "/hang":
            time.sleep(60)
        body = (os.environ["GREENROOM_VERSION"] + " " + os.environ.get("SECRET", "")).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
class Server(ThreadingHTTPServer):
    daemon_threads = False
server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
signal.signal(signal.SIGTERM, lambda *a: threading.Thread(target=server.shutdown).start())
print("listening", flush=True)
server.serve_forever(0.02)
server.server_close()
"""

WORKER = """
import fcntl, os, signal, sys, time
lock = open(os.environ["KIT"] + "/worker.lock", "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    open(os.environ["KIT"] + "/worker.twice", "w").close()
def stop(*a):
    time.sleep(0.1)
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
while True:
    time.sleep(60)
"""


class DictVault:
    def __init__(self) -> None:
        self.kept: dict[str, dict[str, str]] = {}

    def values(self, release: str) -> Mapping[str, str]:
        if release not in self.kept:
            raise Permanent(f"the values of {release} are gone")
        return self.kept[release]

    def pin(self, release: str, values: Mapping[str, str]) -> None:
        self.kept[release] = dict(values)

    def forget(self, release: str) -> None:
        self.kept.pop(release, None)


class Kit:
    """One service in a folder of its own. `end()` leaves no process behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / ".greenroom"
        self.vault = DictVault()
        self.supervisor = Supervisord(self.state, "shop")
        self.web = [*QUICK, "web.py", "{port}"]
        self.worker = [*QUICK, "worker.py"]

    @property
    def place(self) -> Place:
        supervisor = Supervisord(self.state, "shop")
        return Place("shop", self.folder / "greenroom.yaml", self.state, supervisor, self.vault)

    def open(self, place: Place | None = None) -> ProcessEnvironment:
        place = place or self.place
        return ProcessEnvironment(of_definition(self.definition(), {}), place)

    def definition(self, **more: Any) -> dict[str, Any]:
        """`web` and `worker` replace what stands in these processes; everything else, the section."""
        web = {"command": " ".join(self.web), "replicas": 2, "health": {"path": "/health"}, **more.pop("web", {})}
        well = {"health": {"command": "true"}}  # else it would count as healthy after a second
        worker = {"command": " ".join(self.worker), "runs": "active", **well, **more.pop("worker", {})}
        env = {"KIT": str(self.folder), **more.pop("env", {})}
        return {"environment": {"type": "process", "processes": {"web": web, "worker": worker}, "env": env, **more}}

    def artefact(self, version: str) -> Path:
        folder = self.folder / "made" / f"r-{version}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "web.py").write_text(WEB)
        (folder / "worker.py").write_text(WORKER)
        return folder

    def spec(self, version: str, role: Role, *, sweep: bool = False, **more: Any) -> EnvironmentSpec:
        release = f"r-{version}"
        self.vault.kept.setdefault(release, {})
        if version == "broken":
            more = {"web": {"command": "./not-there {port}"}, **more}
        folder = self.artefact(version)
        return EnvironmentSpec(release, version, str(folder), role, self.definition(**more), sweep)

    # --- the witness

    def wait(self, until: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + DEADLINE
        while not until():
            assert time.monotonic() < end, f"not within {DEADLINE:g} s: {what}"
            time.sleep(0.02)

    def processes(self, script: str, colour: Colour | None = None) -> frozenset[str]:
        """pid:start of what runs this script for this kit."""
        wanted = [f"KIT={self.folder}"] + ([f"GREENROOM_COLOUR={colour}"] if colour else [])
        found = set()
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                seen = runfiles.stat(int(entry)) if entry.isdigit() else None
                if seen is None or script.encode() not in Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0"):
                    continue
                variables = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
                if all(variable.encode() in variables for variable in wanted):
                    found.add(f"{entry}:{seen.start}")
        return frozenset(found)

    def replicas(self, colour: Colour) -> frozenset[str]:
        return self.processes("web.py", colour)

    def workers(self) -> frozenset[str]:
        return self.processes("worker.py")

    def worker_twice(self) -> bool:
        return (self.folder / "worker.twice").exists()

    # --- misfortune

    def kill_supervisor(self) -> None:
        pid = int((self.state / "supervisor" / "supervisord.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        self.wait(lambda: runfiles.stat(pid) is None, "the supervisor has ended")

    def reboot(self) -> None:
        self.kill_supervisor()
        self.kill_all()

    def kill_all(self) -> None:
        """Everything that was started in this folder, by pid."""
        for _ in range(20):
            mine = [pid for pid in _pids() if _directory(pid).startswith(str(self.folder))]
            for pid in mine:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not mine:
                return
            time.sleep(0.02)

    def end(self) -> None:
        self.kill_all()


def _pids() -> list[int]:
    return [int(e) for e in os.listdir("/proc") if e.isdigit() and int(e) != os.getpid() and runfiles.stat(int(e))]


def _directory(pid: int) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/cwd")
    return ""


@contextlib.contextmanager
def kit(folder: Path) -> Iterator[Kit]:
    made = Kit(folder)
    try:
        yield made
    finally:
        made.end()
