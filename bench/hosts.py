"""Many hosts prepared side by side: how much longer all of them take than the slowest one alone.

Each host is an SSH server on a loopback address of its own, reached as a user's is, from a cold start. The artefact and the
environment on it are a marker in a folder and a delay that is given to them; all else is Greenroom's own: the engine, the
composites, the connections. Where OpenSSH's server is not installed, the same goes by this machine's shell.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bench.common import Goal, Result, histogram, main, plain, spread
from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.hosts.ssh import SshHost
from greenroom.adapters.several.artefact import SeveralArtefacts
from greenroom.adapters.several.environment import SeveralEnvironments
from greenroom.adapters.several.router import SeveralRouters
from greenroom.demo.table import columns
from greenroom.domain.commands import Allowed, Command, consider
from greenroom.domain.model import (
    ArtefactSpec,
    ArtefactStatus,
    Colour,
    Endpoint,
    EnvironmentSpec,
    EnvironmentStatus,
    Health,
    Making,
    Member,
)
from greenroom.domain.phases import Phase
from greenroom.domain.plan import Plan
from greenroom.domain.records import Moved
from greenroom.domain.release import Service
from greenroom.engine.clock import SteadyClock
from greenroom.engine.fanout import Threads
from greenroom.engine.lease import Keeper
from greenroom.engine.reconciler import Reconciler
from greenroom.engine.world import Adapters
from greenroom.ports import ActionKey, Capability, Host, Owner
from greenroom.testing.fakes import FakeRouter
from greenroom.testing.memory import MemoryJournal
from greenroom.testing.world import FakeWorld
from tests.rigs import sshd

LONGEST_MAKE, LONGEST_START = 4.0, 2.0
"""Seconds."""
_PATIENCE = 120.0


@dataclass(frozen=True)
class Machine:
    """One host, and how long it takes there to make the artefact and to start it."""

    name: str
    host: Host
    folder: Path
    make: float
    start: float

    @property
    def slowness(self) -> float:
        return self.make + self.start


class Marked:
    """Something that begins in the background, once, and is there after its delay."""

    def __init__(self, machine: Machine, what: str, seconds: float) -> None:
        self._host, self._path, self._seconds = machine.host, machine.folder / what, seconds

    def begin(self) -> None:
        there = f"mkdir -p {self._path.parent} && mkdir {self._path} 2>/dev/null || exit 0"
        later = f"setsid -f sh -c 'sleep {self._seconds}; : >{self._path}/done' </dev/null >/dev/null 2>&1"
        ran = self._host.run(["sh", "-c", f"{there}; {later}"])
        assert ran.code == 0, ran.err

    def state(self) -> Making:
        ran = self._host.run(
            ["sh", "-c", f"test -e {self._path}/done && echo ready; test -e {self._path} && echo there"]
        )
        words = ran.out.split()
        return Making.READY if b"ready" in words else Making.MAKING if b"there" in words else Making.ABSENT


class DelayedArtefact:
    def __init__(self, machine: Machine) -> None:
        self._marked = Marked(machine, "artefact", machine.make)

    def observe(self, spec: ArtefactSpec) -> ArtefactStatus:
        state = self._marked.state()
        return ArtefactStatus(state, "sha256:aa" if state is Making.READY else "")

    def apply(self, spec: ArtefactSpec, key: ActionKey) -> None:
        self._marked.begin()

    def remove(self, release: str, key: ActionKey) -> None:
        raise AssertionError("nothing is removed here")


class DelayedEnvironment:
    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    def __init__(self, machine: Machine) -> None:
        self._marked = Marked(machine, "environment", machine.start)
        self._told: EnvironmentSpec | None = None

    def observe(self, colour: Colour) -> EnvironmentStatus:
        told = self._told
        if told is None or colour is not Colour.BLUE:
            return EnvironmentStatus(colour)
        ready = self._marked.state() is Making.READY
        member = Member("web", 1, Health.HEALTHY if ready else Health.STARTING, Endpoint("127.0.0.1", 8001))
        return EnvironmentStatus(colour, told.release, told.version, told.role, (member,))

    def apply(self, colour: Colour, spec: EnvironmentSpec, key: ActionKey) -> None:
        self._marked.begin()
        self._told = spec

    def remove(self, colour: Colour, key: ActionKey) -> None:
        raise AssertionError("nothing is removed here")


def delays(count: int, quick: bool) -> list[tuple[float, float]]:
    """The same at every run; one host has the longest of both."""
    scale = 0.25 if quick else 1.0
    chosen = random.Random(3)
    rest = [(chosen.uniform(0.3, LONGEST_MAKE), chosen.uniform(0.2, LONGEST_START)) for _ in range(count - 1)]
    return [(make * scale, start * scale) for make, start in [*rest, (LONGEST_MAKE, LONGEST_START)]]


@contextlib.contextmanager
def machines(count: int, quick: bool, folder: Path) -> Iterator[list[Machine]]:
    """So many hosts, to which nobody is connected yet."""
    folder.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        hosts: list[Host] = [LocalHost() for _ in range(count)]
        if secure():
            key, known = sshd.make_key(folder / "key"), folder / "known_hosts"
            servers = [stack.enter_context(sshd.serving(folder / f"s{n}", f"127.0.1.{n + 1}")) for n in range(count)]
            for server in servers:
                server.let_in(key)
            known.write_text("".join(server.known() for server in servers))
            made = [SshHost(f"app{n}", server.settings(key, known)) for n, server in enumerate(servers, 1)]
            for host in made:
                stack.callback(host.close)
            hosts = list(made)
        times = delays(count, quick)
        yield [
            Machine(f"app{n}", host, folder / f"host{n}", *seconds)
            for n, (host, seconds) in enumerate(zip(hosts, times, strict=True), 1)
        ]


def secure() -> bool:
    return bool(shutil.which("ssh") and (shutil.which("sshd") or Path("/usr/sbin/sshd").exists()))


def prepared(chosen: list[Machine]) -> dict[str, float]:
    """A release on these hosts until all of them are proven to be ready: seconds from the command on, by phase."""
    clock = SteadyClock()
    journal = MemoryJournal(clock)
    adapters = Adapters(
        SeveralArtefacts({m.name: DelayedArtefact(m) for m in chosen}),
        SeveralEnvironments({m.name: DelayedEnvironment(m) for m in chosen}),
        SeveralRouters({m.name: FakeRouter(FakeWorld(clock)) for m in chosen}, own=True),
    )
    fan = Threads()
    engine = Reconciler("shop", journal, Keeper(journal, Owner("bench", "bench")), lambda _: adapters, clock, fan=fan)
    plan = Plan(checks=("never asked",)).document()
    answer = consider(Service(), Command("deploy", "bench", "", {"version": "1", "plan": plan, "definition": {}}), 0.0)
    assert isinstance(answer, Allowed)
    begun = journal.append([answer.record], expected=0)[0].at
    try:
        while engine.service.release is None or engine.service.release.phase in (Phase.BUILD, Phase.START):
            pause = engine.step()
            assert clock.now() < begun + _PATIENCE, engine.decision
            clock.sleep(pause)
    finally:
        fan.close()
    return {entry.record.to: entry.at - begun for entry in journal.read() if isinstance(entry.record, Moved)}


def measure(count: int, quick: bool) -> dict[str, Any]:
    """The whole, from a cold start; then the slowest alone, from a cold start."""
    folder = Path(tempfile.mkdtemp(prefix="greenroom-bench-hosts-"))
    try:
        with machines(count, quick, folder) as chosen:
            every = prepared(chosen)
            slowest = max(chosen, key=lambda machine: machine.slowness)
        with machines(count, quick, folder / "again") as chosen:
            again = next(machine for machine in chosen if machine.name == slowest.name)
            alone = prepared([again])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    whole, one = every[Phase.CHECKS], alone[Phase.CHECKS]
    row = {"hosts": count, "whole": whole, "built": every[Phase.START], "alone": one, "delay": slowest.slowness}
    return {**row, "ratio": whole / one, "delays": [machine.slowness for machine in chosen]}


def run(quick: bool) -> Result:
    rows = [measure(count, quick) for count in ((5,) if quick else (1, 5, 20))]
    head = ["hosts", "all proven, s", "the slowest alone, s", "×", "its delay, s", "sum of delays, s"]
    body = [
        [str(r["hosts"]), *map(plain, (r["whole"], r["alone"], r["ratio"], r["delay"], sum(r["delays"])))] for r in rows
    ]
    last = rows[-1]
    way = "each an SSH server on a loopback address, from a cold start" if secure() else "each this machine's shell"
    text = columns(head, body) + f"\n\n{way}\ndelays given to the {last['hosts']} hosts (least, p50, p90, most): "
    text += ", ".join(spread(last["delays"])) + "\n" + histogram(last["delays"], "s", bins=5)
    what = f"{last['hosts']} hosts prepared in parallel against the slowest of them"
    goals = [
        Goal(what, last["ratio"], 1.5, "×"),
        Goal("the same against its delay alone", last["whole"] / last["delay"], 1.5, "×"),
    ]
    return Result("hosts", goals, text, {"rows": rows})


if __name__ == "__main__":
    sys.exit(main(run))
