"""Whole cycles under traffic: start, switch, drain, stop; the way back by hand; the router killed.

The client asks 150 times a second, over kept and fresh connections, with bodies, and every 25th answer takes 300 ms. How
long a drain lasts is seen from outside: from the last request that the candidate was given, when it is rolled back, to
the moment at which its process is told to stop. (Without the shop's worker there, whose handover comes before.)
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sqlite3
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.common import Goal, Result, expect, log_path, main, plain, spread, staged
from greenroom.demo.log import Request, read
from greenroom.demo.stage import Stage
from greenroom.demo.table import columns, handover
from greenroom.demo.traffic import Traffic

LONGEST = 0.3
RATE = 150


@dataclass(slots=True)
class Times:
    """Seconds, one figure a cycle. `marks`: (version, told) of each rollback by hand."""

    drains: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    marks: list[tuple[str, float]] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    launches: list[float] = field(default_factory=list)
    outages: list[float] = field(default_factory=list)


def run(quick: bool) -> Result:
    log, cycles, kills = log_path("cycle"), 3 if quick else 20, 3 if quick else 10
    times = Times()
    with staged("cycle", {"bake": "1s", "keep_warm": "0s"}) as stage:
        expect(stage.run("deploy", "1"), 0)
        with Traffic(stage.url, log, rate=RATE, seconds=60.0 * cycles) as traffic:
            traffic.wait_for(lambda r: r.good)
            forth(stage, traffic, cycles)
            stage.set(keep_warm="1h")
            without_worker(stage)
            expect(stage.run("deploy", "b0"), 0)
            back(stage, traffic, cycles, times)
        router_killed(stage, kills, times)
    return _result(read(log).requests, cycles, times)


def forth(stage: Stage, traffic: Traffic, cycles: int) -> None:
    """Each release replaces the one before, which is drained and stopped."""
    for version in range(2, cycles + 2):
        old = Ended(web(stage, str(version - 1)))
        expect(stage.run("deploy", str(version)), 0)
        old.at()
        traffic.wait_for(lambda r, v=str(version): r.version == v)  # type: ignore[misc]


def back(stage: Stage, traffic: Traffic, cycles: int, times: Times) -> None:
    """A release, and straight back from it by hand. It is drained and stopped as soon as the traffic is off it."""
    for number in range(cycles):
        version = f"b{number + 1}"
        expect(stage.run("deploy", version), 0)
        candidate = Ended(web(stage, version))
        done = expect(stage.run("rollback"), 0)
        times.marks.append((version, done.began))
        ended = candidate.at()
        traffic.wait_for(lambda r, after=done.ended: r.good and r.at > after)  # type: ignore[misc]
        last = max(r.at for r in traffic.seen if r.version == version)
        times.drains.append(told_to_stop(stage, last + traffic.tail.unix) - traffic.tail.unix - last)
        times.ends.append(ended - last)


def told_to_stop(stage: Stage, after: float) -> float:
    """When the engine wrote down that it stops what is idle, in seconds since 1970: the first time after that moment."""
    journal = sqlite3.connect(f"file:{stage.shop / '.greenroom' / 'journal.db'}?mode=ro", uri=True, timeout=10)
    try:
        for at, body in journal.execute("SELECT at, body FROM entries WHERE kind = 'started' AND at > ?", (after,)):
            if json.loads(body)["verb"] == "remove":
                return float(at)
    finally:
        journal.close()
    raise SystemExit("the journal knows nothing of the candidate's end")


def without_worker(stage: Stage) -> None:
    text = stage.file.read_text()
    stage.file.write_text(text[: text.index("    worker:")] + text[text.index("  env:") :])


def router_killed(stage: Stage, kills: int, times: Times) -> None:
    """kill -9 of the router, without other traffic: what was cut is the machine's, not the release's, to lose."""
    for _ in range(kills):
        (old,) = stage.routers()
        os.kill(old, signal.SIGKILL)
        killed = time.monotonic()
        successor(stage, old)
        began = time.monotonic()
        while not serves(stage.port):
            if time.monotonic() > killed + 60:
                raise SystemExit("the router does not serve again")
        now = time.monotonic()
        times.restarts.append(now - began)
        times.launches.append(began - killed)
        times.outages.append(now - killed)
        time.sleep(6.0)  # a program that ends again soon after its start is restarted ever later: that is not measured


def web(stage: Stage, version: str) -> int:
    """The process id of a release's web process."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                line = Path(f"/proc/{name}/cmdline").read_bytes()
                environment = Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            wanted = {f"GREENROOM_VERSION={version}".encode(), f"SHOP_DATA={stage.data}".encode()}
            if b"shop.py" in line and wanted <= set(environment):
                return int(name)
    raise SystemExit(f"no web process of release {version} was found")


class Ended:
    """Waits, in a thread, for the end of a process that lives now."""

    def __init__(self, pid: int) -> None:
        self._handle = os.pidfd_open(pid)
        self._at = 0.0
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        if select.select([self._handle], [], [], 300.0)[0]:
            self._at = time.monotonic()
        os.close(self._handle)

    def at(self) -> float:
        """When it ended, on the steady clock; waits for it."""
        self._thread.join(60.0)
        if not self._at:
            raise SystemExit("the old release does not end")
        return self._at


def successor(stage: Stage, old: int) -> int:
    """The process id of the new Envoy, as soon as there is one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for pid in stage.routers():
            if pid != old:
                return pid
        time.sleep(0.002)
    raise SystemExit("the router is not started again")


def serves(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.settimeout(1)
            connection.sendall(b"GET /?request=0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return connection.recv(65536).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def _result(requests: tuple[Request, ...], cycles: int, times: Times) -> Result:
    failed = sum(not r.good for r in requests)
    overlaps = [
        found.seconds for n in range(1, cycles + 1) if (found := handover(requests, str(n), str(n + 1))) is not None
    ]
    backs = [max(0.0, max(r.at for r in requests if r.version == version) - told) for version, told in times.marks]
    rows = {
        "switch: both answered, s": overlaps,
        "last request given to the candidate, until it is told to stop, s": times.drains,
        "last request given to the candidate, until its process has ended, s": times.ends,
        "rollback by hand: command to the candidate's last request, s": backs,
        "router killed: until Envoy runs again, s": times.launches,
        "router killed: from then to the first answer, s": times.restarts,
        "router killed: kill to the first answer, s": times.outages,
    }
    body = [[name, str(len(values)), *spread(values)] for name, values in rows.items()]
    text = f"{cycles} cycles forth, {cycles} forth and back, {len(requests)} requests, {failed} failed\n\n"
    text += columns(["", "times", "least", "median", "p90", "most"], body)
    goals = [
        Goal("failed requests", failed, 0),
        Goal("drain, most", max(times.drains), LONGEST + 0.15, "s"),
        Goal("rollback by hand, most", max(backs), 1.0, "s"),
        Goal("router killed: serves again after its restart, most", max(times.restarts), 0.15, "s"),
    ]
    return Result("cycle", goals, text, {name: [plain(v) for v in values] for name, values in rows.items()})


if __name__ == "__main__":
    sys.exit(main(run))
