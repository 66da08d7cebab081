"""The check `load` on time: how late 2,000 requests a second are sent, and that it says so when they were not.

The service is an nginx that answers by itself, on loopback. wrk (a closed loop) asks the same one by turns with the
check: it shows that the service could do more. A process that only sleeps, a few milliseconds each time, shows how late
this machine lets anything begin meanwhile.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.common import Goal, Result, main, plain
from greenroom.adapters.checks.load import LoadCheck
from greenroom.demo.stage import free_port, get
from greenroom.demo.table import columns, quantile
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Place

RATE = 2000
HELD_UP = 0.5
"""Seconds for which the generator is stopped, in the run that must not pass."""

_NGINX = """
{user} daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "welcome\\n"; }} }}
}}
"""


@dataclass(frozen=True, slots=True)
class Round:
    """One run of the check. `sleeper`: by how much a mere sleep was late meanwhile, p99, in seconds."""

    finding: Finding
    report: dict[str, Any]
    sleeper: float

    @property
    def delay(self) -> float:
        """p99, in milliseconds."""
        return float(self.report["delay"]["p99"]) * 1000


def run(quick: bool) -> Result:
    result = Result("load_check")
    seconds, rounds = (3, 1) if quick else (20, 3)
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-load-") as folder, nginx(Path(folder)) as url:
        found, witness = [], []
        for number in range(rounds):
            found.append(checked(Path(folder), url, seconds, number))
            witness.append(wrk(url, max(2, seconds // 4)))
        held = checked(Path(folder), url, 3, rounds, hold_up=True)
    write(result, found, [one for one in witness if one], held)
    return result


@contextmanager
def nginx(folder: Path) -> Iterator[str]:
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_NGINX.format(user=user, folder=folder, port=port))
    command = ["nginx", "-c", str(folder / "nginx.conf")]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 30
            while not answers(f"http://127.0.0.1:{port}/"):
                if time.monotonic() > deadline:
                    raise SystemExit("nginx does not start")
                time.sleep(0.01)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)


def answers(url: str) -> bool:
    try:
        get(url)
    except OSError:
        return False
    return True


def checked(folder: Path, url: str, seconds: int, number: int, hold_up: bool = False) -> Round:
    """The check, asked as the engine asks it."""
    settings = {"name": f"load-{number}", "rate": f"{RATE}/s", "duration": f"{seconds}s", "max_p99": "1s"}
    place = Place("bench", folder / "greenroom.yaml", folder / ".greenroom")
    check = LoadCheck(LoadCheck.Settings.model_validate(settings), place)
    case = Case(f"r-{number}", "1", Colour.GREEN, url, {"x-greenroom-test": "1"})
    working = folder / ".greenroom" / "checks" / case.release / check.name
    finding, late = check.ask(case, None), list[float]()
    memo = dict(finding.memo or {})
    next_ask, hold_at = time.monotonic() + finding.again_after, time.monotonic() + seconds / 2
    while not (working / "report.json").exists():
        began = time.perf_counter()
        time.sleep(0.005)
        late.append(time.perf_counter() - began - 0.005)
        if hold_up and time.monotonic() > hold_at:
            hold_up = False
            os.killpg(memo["job"]["pid"], signal.SIGSTOP)
            time.sleep(HELD_UP)
            os.killpg(memo["job"]["pid"], signal.SIGCONT)
        if time.monotonic() > next_ask:
            finding = check.ask(case, memo)
            if finding.verdict is not Verdict.WAIT:
                raise SystemExit(f"no report: {finding.reason}")
            next_ask = time.monotonic() + finding.again_after
    report = json.loads((working / "report.json").read_text())
    while (finding := check.ask(case, memo)).verdict is Verdict.WAIT:
        time.sleep(finding.again_after)
    return Round(finding, report, quantile(late, 0.99))


def wrk(url: str, seconds: int) -> dict[str, float]:
    """Requests a second and latencies in milliseconds, as wrk says; nothing where it is not installed."""
    if not shutil.which("wrk"):
        return {}
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", f"{url}/"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    scale = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    times = {f"p{q}": float(v) * scale[u] for q, v, u in re.findall(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s)$", said, re.M)}
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    return {**times, "rate": float(rate[1])} if rate else {}


def write(result: Result, found: list[Round], witness: list[dict[str, float]], held: Round) -> None:
    body = []
    for number, one in enumerate([*found, held], 1):
        delay, latency = one.report["delay"], one.report["latency"]
        cells = [
            plain(value * 1000) for value in (delay["p50"], delay["p99"], delay["max"], latency["p50"], latency["p99"])
        ]
        name = "held up" if one is held else f"round {number}"
        missing = one.report["planned"] - one.report["sent"]
        cells += [
            plain(one.sleeper * 1000),
            f"{one.report['cpu']:.0%}",
            f"{one.report['kept_waiting']:.0%}",
            str(missing),
            str(one.finding.verdict),
        ]
        body.append([name, *cells])
    for number, said in enumerate(witness, 1):
        body.append(
            [f"wrk {number}: {said['rate']:.0f}/s", "", "", "", plain(said["p50"]), plain(said["p99"]), *[""] * 5]
        )
    head = [
        "ms",
        "late p50",
        "p99",
        "most",
        "latency p50",
        "p99",
        "sleep late p99",
        "CPU",
        "kept from it",
        "unsent",
        "verdict",
    ]
    delays = [one.delay for one in found]
    result.text += columns(head, body)
    least, most = min(delays), max(delays)
    result.text += (
        f"\n\n{RATE} requests a second for {found[0].report['seconds']:.0f} s a round; latency from the planned "
    )
    result.text += "moment. wrk: 32 connections, as fast as it can.\nsent late, p99: least of the rounds "
    result.text += (
        f"{plain(least)} ms, most {plain(most)} ms ({plain(most / max(least, 1e-6))} ×: the machine was busy)\n"
    )
    result.text += f"held up for {plain(HELD_UP * 1000)} ms: {held.finding.reason}\n"
    unsent = sum(one.report["planned"] - one.report["sent"] for one in found)
    result.goals += [
        Goal(f"sent late at {RATE}/s, p99, worst round", max(delays), 5, "ms"),
        Goal("planned and not sent", unsent, 0),
        Goal("runs that were held up and passed", int(held.finding.verdict is Verdict.PASS), 0),
    ]
    if witness:
        rate = min(said["rate"] for said in witness)
        result.goals.append(Goal("wrk at the same service, requests/s", rate, RATE, least=True))
    result.data |= {"rounds": [one.report for one in found], "wrk": witness, "held_up": held.report}


if __name__ == "__main__":
    sys.exit(main(run))
