"""What the benchmarks share: goals, results on disk, plain tables and histograms.

A benchmark is a module with `run(quick: bool) -> Result`, and `main(run)` at its end. Its result goes to
`bench/results/<name>.json` (with `--quick` to `build/bench/`), from which `python -m bench.report` writes the last
section of the documentation's page.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from greenroom.demo.stage import SHOP, Done, Stage
from greenroom.demo.table import columns, quantile

RESULTS = Path(__file__).parent / "results"
LOGS = Path(__file__).parents[1] / "build" / "bench"
"""The clients' logs of requests stay here."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What must be reached: `value` at most (or, `least`, at least) `limit`."""

    text: str
    value: float
    limit: float
    unit: str = ""
    least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.least else self.value <= self.limit

    def cells(self) -> list[str]:
        sign = "≥" if self.least else "≤"
        unit = f" {self.unit}" if self.unit else ""
        return [
            self.text,
            f"{plain(self.value)}{unit}",
            f"{sign} {plain(self.limit)}{unit}",
            "yes" if self.met else "NO",
        ]


@dataclass(slots=True)
class Result:
    """`text`: what was printed, for the documentation. `data`: the figures, for machines."""

    name: str
    goals: list[Goal] = field(default_factory=list)
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        return all(goal.met for goal in self.goals)

    def document(self, quick: bool, seconds: float) -> dict[str, Any]:
        goals = [{**asdict(goal), "met": goal.met} for goal in self.goals]
        head = {"name": self.name, "quick": quick, "seconds": round(seconds, 1), "machine": machine()}
        return {**head, "goals": goals, "text": self.text, "data": self.data}


def main(run: Callable[[bool], Result], argv: list[str] | None = None) -> int:
    """Run one benchmark, print and keep its result. 0 if every goal is met, 1 if not."""
    parser = argparse.ArgumentParser(description=sys.modules[run.__module__].__doc__)
    parser.add_argument("--quick", action="store_true", help="a few repetitions only: does it work?")
    quick = parser.parse_args(argv).quick
    began = time.monotonic()
    result = run(quick)
    save(result, quick, time.monotonic() - began)
    print(result.text)
    if result.goals:
        print("\n" + columns(["goal", "measured", "limit", "met"], [goal.cells() for goal in result.goals]))
    return 0 if result.met else 1


def save(result: Result, quick: bool, seconds: float) -> Path:
    """A quick look does not overwrite a result."""
    folder = LOGS if quick else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.name}.json"
    path.write_text(json.dumps(result.document(quick, seconds), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def machine() -> dict[str, Any]:
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "load": [round(x, 2) for x in os.getloadavg()],
        "python": platform.python_version(),
        "kernel": platform.release(),
        "at": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
    }


@contextmanager
def staged(name: str, settings: dict[str, str] | None = None, source: Path = SHOP) -> Iterator[Stage]:
    """A stage in a short-lived folder; everything on it has ended when the block is left."""
    folder = Path(tempfile.mkdtemp(prefix=f"greenroom-bench-{name}-"))
    stage = Stage(folder, settings=settings, source=source)
    try:
        yield stage
    finally:
        down = stage.end()
        deadline = time.monotonic() + 15
        while stage.remains() and time.monotonic() < deadline:
            time.sleep(0.1)
        if left := stage.remains():
            print(f"{folder} is kept, because something still runs:\n{down}\n{left}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def expect(done: Done, code: int) -> Done:
    """A benchmark of what does not work measures nothing."""
    if done.code != code:
        raise SystemExit(f"exit code {code} was expected.\n{done}")
    return done


def log_path(name: str) -> Path:
    LOGS.mkdir(parents=True, exist_ok=True)
    return LOGS / f"{name}.jsonl"


def plain(value: float) -> str:
    if value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def spread(values: Sequence[float]) -> list[str]:
    """least, median, p90, most"""
    return [plain(v) for v in (min(values), quantile(values, 0.5), quantile(values, 0.9), max(values))]


def histogram(values: Sequence[float], unit: str, bins: int = 10, width: int = 40) -> str:
    """A text histogram: one line a bin."""
    low, high = min(values), max(values)
    step = (high - low) / bins or 1.0
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / step))] += 1
    lines = []
    for i, count in enumerate(counts):
        bar = "█" * round(count / max(counts) * width)
        lines.append(f"{plain(low + i * step):>8} – {plain(low + (i + 1) * step):>8} {unit}  {bar:<{width}} {count}")
    return "\n".join(lines)
