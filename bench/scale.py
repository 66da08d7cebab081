"""The engine with 1, 10, 100 and 1,000 services in the middle of a bake, on the shipped fakes: what a service costs.

Every service has a world, a journal and an engine of its own; one scheduler steps them all, five times a second each on
the fakes' clock. Each number of services has a process of its own, so that its memory is its own too.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.common import Goal, Result, main, plain
from greenroom.demo.table import columns
from greenroom.domain.commands import Allowed, Command, consider
from greenroom.domain.phases import Phase
from greenroom.domain.plan import Plan, Rule
from greenroom.engine.lease import Keeper
from greenroom.engine.reconciler import Reconciler
from greenroom.engine.scheduler import Scheduler
from greenroom.engine.world import Adapters
from greenroom.ports import Owner
from greenroom.testing.clock import FakeClock
from greenroom.testing.fakes import FakeAnalyser, FakeArtefact, FakeCheck, FakeEnvironment, FakeRouter
from greenroom.testing.memory import MemoryJournal
from greenroom.testing.world import FakeWorld

PLAN = Plan(bake=86400.0, checks=("smoke",), rules=(Rule("error_rate", max=0.01), Rule("p99", max=250.0)))
WARM, MEASURED = 45, 10.0
"""Seconds of the fakes' clock: until every window of the analysis is full, and that are measured."""


def service(name: str, clock: FakeClock) -> Reconciler:
    """A service whose second version was asked for."""
    world, journal = FakeWorld(clock), MemoryJournal(clock)
    adapters = Adapters(
        FakeArtefact(world),
        FakeEnvironment(world),
        FakeRouter(world),
        FakeAnalyser(world),
        {"smoke": FakeCheck("smoke")},
    )
    engine = Reconciler(name, journal, Keeper(journal, Owner(name, name)), lambda _: adapters, clock)
    for version, bake, end in (("1.0", 0.0, Phase.SUCCEEDED), ("2.0", 86400.0, Phase.BAKE)):
        document = {**PLAN.document(), "bake": bake}
        details = {"version": version, "plan": document, "definition": {"version": version}}
        answer = consider(engine.service, Command("deploy", "bench", details=details), clock.now())
        assert isinstance(answer, Allowed), answer
        journal.append([answer.record], expected=engine.service.seq)
        for _ in range(200):
            clock.sleep(min(engine.step(), 0.2))
            release = engine.service.release
            if release is not None and release.version == version and release.phase is end:
                break
        else:
            raise AssertionError(f"{name}: {engine.decision}")
    return engine


def memory() -> float:
    """MiB of this process that are its own."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) / 1024
    return 0.0


def one(count: int) -> dict[str, Any]:
    """So many services; steps and seconds of processor time of the measured part."""
    clock = FakeClock()
    before = memory()
    engines = [service(f"service-{n}", clock) for n in range(count)]
    for _ in range(WARM):
        for engine in engines:
            engine.step()
        clock.sleep(1.0)
    scheduler = Scheduler(clock=clock.now)
    steps = 0

    def counted(engine: Reconciler) -> float:
        nonlocal steps
        steps += 1
        return engine.step()

    for engine in engines:
        scheduler.add(engine.name, lambda engine=engine: counted(engine))  # type: ignore[misc]
    gc.collect()
    until, began = clock.now() + MEASURED, time.process_time()
    while clock.now() < until:
        clock.sleep(scheduler.turn() or 0.0)
    seconds = time.process_time() - began
    phases = {engine.service.release.phase for engine in engines if engine.service.release}
    assert phases == {Phase.BAKE}, phases
    return {"services": count, "steps": steps, "seconds": seconds, "mib": memory() - before}


def best(count: int) -> dict[str, Any]:
    """The quickest of three where that costs little: what else runs on the machine is not the engine's."""
    return min((apart(count) for _ in range(3 if count <= 100 else 1)), key=lambda row: row["seconds"])


def apart(count: int) -> dict[str, Any]:
    code = f"import json; from bench.scale import one; print(json.dumps(one({count})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def run(quick: bool) -> Result:
    rows = [best(count) for count in ((1, 10, 50) if quick else (1, 10, 100, 1000))]
    for row in rows:
        row["us"] = row["seconds"] / row["steps"] * 1e6
        row["kib"] = row["mib"] / row["services"] * 1024
        row["cores"] = row["seconds"] / MEASURED
    head = ["services", "steps", "steps/s", "µs a step", "of one core", "MiB", "KiB a service"]
    body = [
        [
            str(r["services"]),
            str(r["steps"]),
            plain(r["steps"] / r["seconds"]),
            plain(r["us"]),
            f"{100 * r['cores']:.3g} %",
            plain(r["mib"]),
            plain(r["kib"]),
        ]
        for r in rows
    ]
    some, most = rows[-2], rows[-1]  # ten and fewer fit into the processor's cache
    goals = [
        Goal(f"a step with {most['services']} services against {some['services']}", most["us"] / some["us"], 1.5, "×"),
        Goal(
            f"memory a service with {most['services']} against {some['services']}", most["kib"] / some["kib"], 1.2, "×"
        ),
    ]
    return Result("scale", goals, columns(head, body), {"rows": rows})


if __name__ == "__main__":
    sys.exit(main(run))
