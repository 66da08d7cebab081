"""Switches under traffic: is a request lost, who answers after the switch, and how long does it take?

Envoy, and proxies that people run, told by Greenroom, beside what many use today: a shell script that rewrites an nginx
include and reloads. Same clients, same backends, same rate. Every figure is computed from the client's own log of
requests, left in build/bench.
"""

from __future__ import annotations

import bisect
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import proxies
from bench.common import LOGS, Goal, Result, main, plain
from bench.proxies import process, server, wait_for
from greenroom.adapters.envoy.settings import EnvoySettings
from greenroom.adapters.routers.envoy import EnvoyRouter
from greenroom.demo.table import columns, quantile
from greenroom.domain.model import Backend, Colour, Endpoint, RoutingSpec, Split
from greenroom.ports import ActionKey, Place
from greenroom.testing.processes import LocalSupervisor, free_ports

KEY = ActionKey("bench", "shift", 0, "route", "router", 0, 1)


@dataclass(frozen=True)
class Switch:
    """Times on the steady clock: of the command, and of its acknowledgement."""

    to: Colour
    command: float
    acknowledged: float


@dataclass
class Row:
    name: str
    switches: int = 0
    requests: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    late: int = 0
    last_old: list[float] = field(default_factory=list)
    acknowledged: list[float] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def cells(self) -> list[str]:
        lost = self.failed.total()
        old = [plain(quantile(self.last_old, q)) for q in (0.5, 0.99, 1.0)]
        told = [plain(quantile(self.acknowledged, q)) for q in (0.5, 1.0)]
        return [
            self.name,
            str(self.switches),
            f"{self.requests:,}",
            str(lost),
            str(self.late),
            " / ".join(old),
            " / ".join(told),
        ]


QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
HEAD = [
    "mechanism",
    "switches",
    "requests",
    "failed",
    "old after ack",
    "last to old, ms p50/p99/max",
    "ack, ms p50/max",
]


class Client:
    """The clients' process; `count` is how many requests it has logged so far."""

    def __init__(self, url: str, log: Path, h2_port: int = 0) -> None:
        options = ("--url", url, "--log", str(log), "--h2-port", str(h2_port))
        self._command = (sys.executable, "-m", "bench.clients", *options)
        self.count = 0

    @contextmanager
    def running(self) -> Iterator[Client]:
        with process(*self._command, stdout=subprocess.PIPE) as started:
            threading.Thread(target=self._read, args=(started,), daemon=True).start()
            while not self.count:
                if started.poll() is not None:
                    raise SystemExit("the clients have ended")
                time.sleep(0.05)
            # Every kind has had its turn before the first switch.
            time.sleep(1.5)
            yield self
            time.sleep(0.6)

    def _read(self, started: subprocess.Popen[str]) -> None:
        assert started.stdout is not None
        for line in started.stdout:
            self.count = int(line)


def measure(name: str, switches: Sequence[Switch], log: Path) -> Row:
    """Everything from the client's log.

    A request that was still open at the next command may rightly have been answered by either colour: it says nothing.
    """
    row = Row(name, switches=len(switches), acknowledged=[(s.acknowledged - s.command) * 1000 for s in switches])
    seen: list[tuple[float, float, str]] = []
    with log.open() as lines:
        for line in lines:
            sent, took, kind, colour, problem = line.rstrip("\n").split(",", 4)
            row.requests += 1
            row.kinds[kind] += 1
            if problem:
                row.failed[f"{kind}: {problem}"] += 1
            elif kind != "ws":
                # An open WebSocket stays where it is, and shall.
                seen.append((float(sent), float(sent) + float(took), colour))
    seen.sort()
    times = [sent for sent, _, _ in seen]
    for switch, following in zip(switches, [*switches[1:], None], strict=True):
        over = following.command if following else float("inf")
        begin, end = bisect.bisect_left(times, switch.command), bisect.bisect_left(times, over)
        old = [sent for sent, answered, colour in seen[begin:end] if colour != switch.to and answered < over]
        row.late += sum(1 for sent in old if sent > switch.acknowledged)
        row.last_old.append((old[-1] - switch.command) * 1000 if old else 0.0)
    return row


def alternate(
    switch: Callable[[Colour], None], count: int, requests: int, client: Client, every: float
) -> list[Switch]:
    """To and fro, until there are so many switches and requests."""
    done: list[Switch] = []
    due = time.monotonic()
    while len(done) < count or client.count < requests:
        due = max(due + every, time.monotonic() + every / 2)
        time.sleep(due - time.monotonic())
        to = Colour.GREEN if len(done) % 2 == 0 else Colour.BLUE
        command = time.monotonic()
        switch(to)
        done.append(Switch(to, command, time.monotonic()))
    return done


class Envoy:
    """Told by Greenroom's own router adapter."""

    def __init__(self, folder: Path, ports: dict[Colour, int], supervisor: LocalSupervisor) -> None:
        self.port = free_ports(1)[0]
        self.supervisor = supervisor
        settings = EnvoySettings.model_validate({"listen": f"127.0.0.1:{self.port}"})
        self.router = EnvoyRouter(
            settings, Place("bench", folder / "greenroom.yaml", folder / ".greenroom", supervisor)
        )
        self.backends = {c: Backend((Endpoint("127.0.0.1", port),), "1") for c, port in ports.items()}

    def switch(self, to: Colour) -> None:
        backends = self.backends
        self.router.apply(RoutingSpec(Split.all_to(to), backends[Colour.BLUE], backends[Colour.GREEN]), KEY)
        deadline = time.monotonic() + 30
        while not (seen := self.router.observe()).settled:
            if time.monotonic() > deadline:
                raise SystemExit(f"it does not settle: {seen}")
            time.sleep(0.0005)


NGINX = """
{user} daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream app {{ include {folder}/active.conf; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port}; listen 127.0.0.1:{h2_port} http2;
    location / {{
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
    }}
  }}
}}
"""

SCRIPT = """#!/bin/sh
set -e
echo "server 127.0.0.1:$1;" > {folder}/active.conf
nginx -t -q -c {folder}/nginx.conf
nginx -s reload -c {folder}/nginx.conf
"""


class Nginx:
    """The script that people have today."""

    def __init__(self, folder: Path, ports: dict[Colour, int]) -> None:
        self.port, self.h2_port = free_ports(2)
        self._ports, self._script = ports, folder / "switch.sh"
        user = "user root;" if os.geteuid() == 0 else ""
        text = NGINX.format(user=user, folder=folder, port=self.port, h2_port=self.h2_port)
        (folder / "nginx.conf").write_text(text)
        (folder / "active.conf").write_text(f"server 127.0.0.1:{ports[Colour.BLUE]};")
        self._script.write_text(SCRIPT.format(folder=folder))
        self._script.chmod(0o755)
        self.command = ("nginx", "-c", str(folder / "nginx.conf"))

    def switch(self, to: Colour) -> None:
        subprocess.run([str(self._script), str(self._ports[to])], check=True, capture_output=True)


def through_envoy(folder: Path, ports: dict[Colour, int], count: int, requests: int, every: float) -> Row:
    log = LOGS / "switch-envoy.csv"
    with LocalSupervisor() as supervisor:
        envoy = Envoy(folder, ports, supervisor)
        envoy.switch(Colour.BLUE)
        wait_for(envoy.port)
        with Client(f"http://127.0.0.1:{envoy.port}", log).running() as client:
            switches = alternate(envoy.switch, count, requests, client, every)
    return measure("Greenroom, Envoy", switches, log)


def through(name: str, proxy: proxies.Proxy, folder: Path, ports: dict[Colour, int], count: int, every: float) -> Row:
    """A proxy that people run, told by Greenroom."""
    log = LOGS / f"switch-greenroom-{name.lower()}.csv"
    backends = {colour: Backend((Endpoint("127.0.0.1", port),), "1") for colour, port in ports.items()}
    with proxy(folder) as running:
        router = running.router
        proxies.switch(router, Colour.BLUE, backends)
        with Client(router.reach()[0], log, running.h2_port).running() as client:
            switches = alternate(lambda to: proxies.switch(router, to, backends), count, 0, client, every)
    return measure(f"Greenroom, {name}", switches, log)


def through_nginx(folder: Path, ports: dict[Colour, int], count: int, every: float) -> Row:
    log = LOGS / "switch-nginx.csv"
    nginx = Nginx(folder, ports)
    with process(*nginx.command, stderr=subprocess.DEVNULL):
        wait_for(nginx.port)
        with Client(f"http://127.0.0.1:{nginx.port}", log, nginx.h2_port).running() as client:
            switches = alternate(nginx.switch, count, 0, client, every)
    return measure("script, nginx reload", switches, log)


def run(quick: bool) -> Result:
    LOGS.mkdir(parents=True, exist_ok=True)
    count, requests, every = (40, 0, 0.15) if quick else (1000, 1_000_000, 0.43)
    with ExitStack() as stack:
        ports = dict(zip(Colour, free_ports(2), strict=True))
        for colour, port in ports.items():
            stack.enter_context(process(*server(colour, "1", port)))
            wait_for(port)

        def folder() -> Path:
            return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="greenroom-switch-")))

        ours = through_envoy(folder(), ports, count, requests, every)
        others = [
            through(name, proxy, folder(), ports, 40 if quick else 200, every)
            for name, proxy in proxies.installed().items()
        ]
        script = through_nginx(folder(), ports, 15 if quick else 100, 0.43) if shutil.which("nginx") else None
    return report(ours, others, script, quick)


def report(ours: Row, others: Sequence[Row], script: Row | None, quick: bool) -> Result:
    rows = [row for row in (ours, *others, script) if row]
    lines = [columns(HEAD, [row.cells() for row in rows]), ""]
    if script:
        lines.append(compared(ours, script))
    else:
        lines.append("nginx is not on the PATH: nothing to compare with.")
    lines.append(f"Requests by kind: {', '.join(f'{kind} {number:,}' for kind, number in sorted(ours.kinds.items()))}.")
    for row in rows:
        lines += [f"{row.name}, failed: {number} × {why}" for why, number in row.failed.most_common(5)]
    goals = [
        Goal("requests failed", ours.failed.total(), 0),
        Goal("sent after the acknowledgement, answered by the old colour", ours.late, 0),
    ]
    for row in others:
        goals.append(Goal(f"{row.name}: requests failed", row.failed.total(), 0))
        goals.append(Goal(f"{row.name}: answered by the old colour after the acknowledgement", row.late, 0))
    if not quick:
        goals += [
            Goal("last request to the old colour after the command, p50", quantile(ours.last_old, 0.5), 5, "ms"),
            Goal("the same, longest", max(ours.last_old), 25, "ms"),
            Goal("requests", ours.requests, 1_000_000, least=True),
            Goal("switches", ours.switches, 1000, least=True),
        ]
    return Result("switch", goals, "\n".join(lines), {row.name: figures(row) for row in rows})


def compared(ours: Row, script: Row) -> str:
    """As ratios, which a busy machine spoils less than times."""
    old = quantile(script.last_old, 0.5) / max(quantile(ours.last_old, 0.5), 0.1)
    lost = script.failed.total() / script.switches
    late = script.late / script.switches
    return (
        f"The script, against Greenroom: {plain(old)} times as long until the last request went to the old colour, "
        f"{plain(lost)} requests lost and {plain(late)} answered by the old colour after the acknowledgement a switch "
        f"(Greenroom: {plain(ours.failed.total() / ours.switches)} and {plain(ours.late / ours.switches)})."
    )


def figures(row: Row) -> dict[str, object]:
    return {
        "switches": row.switches,
        "requests": row.requests,
        "by kind": dict(row.kinds),
        "failed": dict(row.failed),
        "old after acknowledgement": row.late,
        "last to old, ms": {name: quantile(row.last_old, q) for name, q in QUANTILES.items()},
        "acknowledged after, ms": {name: quantile(row.acknowledged, q) for name, q in QUANTILES.items()},
    }


if __name__ == "__main__":
    sys.exit(main(run))
