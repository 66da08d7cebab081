"""A whole service for system tests: the command line, the resident engine, Envoy, the shop, and a client that never stops.

`House` is the demonstration's stage with what misfortune needs: who is who among its processes, and the journal, read
by the witness itself. At its end it is brought down by `greenroom down`, and nothing of it may be left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from greenroom.adapters.supervisor import runfiles
from greenroom.demo.log import Request, read
from greenroom.demo.stage import SHOP, Command, Done, Stage
from greenroom.demo.traffic import Traffic
from greenroom.domain.phases import Phase
from greenroom.domain.records import Entry
from greenroom.domain.release import Service
from greenroom.wiring import reopen
from tests.process_kit import WORKER

DEADLINE = 60.0
RATE = 50.0

FILE = """
service: shop
environment:
  type: process
  source: .
  prepare: ["{prepare}"]
  processes:
    web:
      command: {boot}python3 -u shop.py
      replicas: {replicas}
      health: {{path: /health, timeout: 20s}}
    worker:
      command: python3 worker.py
      runs: active
      health: {{timeout: 20s}}
  env: {{SHOP_DATA: "", KIT: "{folder}"}}
router:
  type: envoy
  listen: 127.0.0.1:8080
  test_route: {{header: x-greenroom-test}}
  drain: 5s
checks:
  - {{type: command, name: look, run: "{check}"}}
{more}
shift: {shift}
bake: {bake}
keep_warm: {keep_warm}
"""
"""Every stage takes as long as its test wants."""

USUAL = {
    "prepare": "true",
    "boot": "",
    "replicas": "1",
    "check": "true",
    "more": "",
    "shift": "100%",
    "bake": "1s",
    "keep_warm": "10m",
}


class House(Stage):
    """`times` replace what stands in `FILE`. `worker_stops`: how long the worker takes to end."""

    def __init__(self, folder: Path, *, worker_stops: float = 0.1, **times: str) -> None:
        self.worker_stops = worker_stops
        super().__init__(folder, source=_source(folder))
        self.state = self.shop / ".greenroom"
        self.times = dict(USUAL)
        self.write(**times)
        self.count = 0
        self.traffic: Traffic | None = None

    def write(self, **times: str) -> None:
        """The file anew, with these times from now on."""
        self.times.update(times)
        self.file.write_text(self._settle(FILE.format(folder=self.folder, **self.times), {}))
        (self.shop / "worker.py").write_text(WORKER.replace("sleep(0.1)", f"sleep({self.worker_stops})"))

    # --- what a person does

    def version(self) -> str:
        """One that was never released here."""
        self.count += 1
        return str(self.count)

    def deployed(self, version: str = "") -> str:
        """Deploy it, to the end."""
        version = version or self.version()
        self.run("deploy", version).expect(0)
        return version

    def start(self, *words: str) -> Command:
        return Typed(super().start(*words))

    def run(self, *words: str, within: float = 120.0) -> Checked:
        return Checked(super().run(*words, within=within))

    # --- the witness

    def service(self) -> Service:
        """What stands in the journal."""
        return reopen("shop", self.file, self.state).control.state()

    def entries(self, after: int = 0) -> list[Entry]:
        return list(reopen("shop", self.file, self.state).control.entries(after))

    def wait(self, until: Callable[[], Any], what: str, within: float = DEADLINE) -> Any:
        """Until this is true, and what it then was."""
        end = time.monotonic() + within
        while not (found := until()):
            assert time.monotonic() < end, f"not within {within:g} s: {what}\n{self.story()}"
            time.sleep(0.01)
        return found

    def until_phase(self, version: str, *phases: Phase) -> None:
        def reached() -> bool:
            release = self.service().release
            return release is not None and release.version == version and release.phase in phases

        self.wait(reached, f"{version} is in {', '.join(phases)}")

    def until_live(self, version: str) -> None:
        """The router serves it, wholly, and all of it is healthy; by `status`."""
        seen: dict[str, Any] = {}

        def live() -> bool:
            seen.clear()
            seen.update(self.status())
            active = seen.get("active") or {}
            whole = seen.get("traffic") == {"blue": 0, "green": 0} | {active.get("colour"): 100}
            ready = seen.get("environments", {}).get(active.get("colour"), {}).get("state") == "ready"
            return active.get("version") == version and whole and ready and seen["route"] == "in_sync"

        self.wait(live, f"{version} is live; the last status: {seen}")

    def pid(self, name: str) -> int:
        """Of a program of the supervisor by its run file; 0 if it does not live."""
        record = runfiles.read_json(str(self.state / "supervisor" / "run" / f"{name}.json"))
        return int(record["pid"]) if record and runfiles.alive(record) else 0

    def engine(self) -> int:
        return self.wait(lambda: self.pid("engine"), "the engine runs")

    def supervisor(self) -> int:
        """Its pid; 0 if it does not live."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.state / "supervisor" / "supervisord.pid").read_text())
            folder = os.readlink(f"/proc/{pid}/cwd")
            if runfiles.stat(pid) and Path(folder) == self.state / "supervisor":
                return pid
        return 0

    def replicas(self, version: str) -> list[int]:
        """The process ids of the web replicas of a version."""
        return [pid for pid in self.living() if _has(pid, "shop.py", f"GREENROOM_VERSION={version}")]

    def workers(self) -> list[int]:
        return [pid for pid in self.living() if _has(pid, "worker.py", "GREENROOM_VERSION=")]

    def living(self) -> list[int]:
        """Every process that works in the service's folder or speaks of it, but no command and no client of the test."""
        found = {pid for pid, _ in self.remains()}
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if entry.isdigit() and os.readlink(f"/proc/{entry}/cwd").startswith(str(self.shop)):
                    found.add(int(entry))
        return sorted(pid for pid in found if runfiles.stat(pid))

    def story(self) -> str:
        """What a person would want to see of a failed test."""
        lines = []
        with contextlib.suppress(Exception):
            lines += [f"{e.seq:4} {e.at % 1000:7.2f} {str(e.record)[:200]}" for e in self.entries()[-40:]]
        with contextlib.suppress(OSError):
            lines += (self.state / "logs" / "engine.log").read_text(errors="replace").splitlines()[-20:]
        return "\n".join(lines)

    # --- misfortune

    def kill(self, *pids: int) -> None:
        """kill -9, and they are gone."""
        for pid in pids:
            assert pid > 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in pids:
            runfiles.wait_gone(pid, DEADLINE)

    def reboot(self) -> None:
        """Everything of the service is killed, at once as far as that can be."""
        supervisor = self.supervisor()
        if supervisor:
            self.kill(supervisor)
        for _ in range(200):
            left = self.living()
            if not left:
                return
            self.kill(*left)
        raise AssertionError(f"cannot be killed: {self.living()}")

    # --- traffic

    def begin(self, rate: float = RATE) -> Traffic:
        """From here on a client asks, and checks every answer."""
        self.traffic = Traffic(self.url, self.folder / "requests.jsonl", rate=rate, seconds=600.0)
        self.traffic.wait_for(lambda r: r.good, DEADLINE)
        return self.traffic

    def serves(self, version: str, after: float | None = None) -> Request:
        """An answer by this version to a request that is sent from now on."""
        assert self.traffic is not None
        moment = time.monotonic() if after is None else after
        return self.traffic.wait_for(lambda r: r.good and r.version == version and r.at > moment, DEADLINE)

    def asked(self) -> list[Request]:
        """What the client has asked so far, in order."""
        return list(read(self.folder / "requests.jsonl").requests)

    def faults(self, since: float = 0.0) -> list[Request]:
        """Requests sent since then without a good answer."""
        return [r for r in self.asked() if r.at >= since and not r.good]

    # --- the end

    def end(self) -> None:
        """Down by the command; what is left after that is a fault, and killed."""
        try:
            if self.traffic is not None:
                self.traffic.stop()
            if self.state.exists() and self.living():
                self._down()
        finally:
            self.reboot()

    def _down(self) -> None:
        done = self.run("down", "--yes")
        assert done.code == 0, f"{done}\n{self.story()}"
        self.wait(lambda: not self.living(), "nothing is left after `greenroom down`", 30.0)
        records = [runfiles.read_json(str(path)) for path in (self.state / "supervisor" / "run").glob("*.json")]
        assert not [record for record in records if runfiles.members(record)]
        assert not (self.folder / "worker.twice").exists(), "two workers worked at the same time"


class Checked(Done):
    """What a command did; `expect` its exit code."""

    def __init__(self, done: Done) -> None:
        super().__init__(done.words, done.code, done.began, done.ended, done.out, done.err)

    def expect(self, *codes: int) -> Checked:
        assert self.code in codes, f"expected exit {' or '.join(map(str, codes))}\n{self}"
        assert "Traceback" not in self.out + self.err, str(self)
        return self


class Typed(Command):
    """A command that runs."""

    def __init__(self, command: Command) -> None:
        self.__dict__.update(command.__dict__)

    def wait(self, within: float = 120.0) -> Checked:
        return Checked(super().wait(within))

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def output(self) -> str:
        """What it has said so far."""
        return self._out.read_text(errors="replace")


@contextlib.contextmanager
def house(folder: Path, **given: Any) -> Iterator[House]:
    """A house that stands empty, and is gone afterwards."""
    made = House(folder, **given)
    try:
        yield made
    finally:
        made.end()


def lost(requests: Iterable[Request], start: float = 0.0) -> str:
    """In words, for an assertion: nothing is ""."""
    return "\n".join(f"{r.at - start:8.3f} {r.took:.3f} {r.kind} {r.status} {r.version} {r.error}" for r in requests)


def _source(folder: Path) -> Path:
    source = folder / "source"
    shutil.copytree(SHOP, source, ignore=shutil.ignore_patterns("__pycache__"))
    return source


def _has(pid: int, *words: str) -> bool:
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/cmdline").read_bytes() + b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
        return all(any(part.startswith(word.encode()) for part in text.split(b"\0")) for word in words)
    return False
