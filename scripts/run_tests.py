"""Runs all tests: the pure ones, then those with real servers and processes, and says in one line how it went.

A pure test has one chance. A `real` test that fails is run once more, alone in a process of its own; if it passes
then, it is named as FLAKY and does not fail the run (docs/decisions/0008 says why, and what that obliges us to).
More such failures than SECOND_CHANCES are no flakiness, and nothing is tried again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

RESULTS = Path(".test-results")
SECOND_CHANCES = 8
WORKERS = "-n3"  # the real tests wait more than they work: three at a time on two cores
SLOWEST = ("--durations=8", "--durations-min=5")
BROKEN = (2, 3, 4)  # pytest: interrupted, internal error, usage error


@dataclass
class Tally:
    """What is known of all runs together. `passed` counts tests, flaky ones included."""

    passed: int = 0
    skipped: int = 0
    xfailed: int = 0
    failed: list[str] = field(default_factory=list)
    flaky: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def add(self, results: dict[str, list[str]]) -> None:
        bad = failures(results)
        self.passed += len({*results.get("passed", []), *results.get("xpassed", [])} - set(bad))
        self.skipped += len(results.get("skipped", []))
        self.xfailed += len(results.get("xfailed", []))
        self.failed += bad
        self.broken += [f"skip not allowed: {line}" for line in refused(results)]

    @property
    def good(self) -> bool:
        return not self.failed and not self.broken and self.passed > 0

    def closing_line(self, seconds: float) -> str:
        counts = {
            "failed": len(self.failed),
            "passed": self.passed,
            "skipped": self.skipped,
            "xfailed": self.xfailed,
            "error": len(self.broken),
        }
        text = ", ".join(f"{n} {name}" for name, n in counts.items() if n) or "no tests ran"
        return f" {text} in {seconds:.2f}s ".center(100, "=")


def failures(results: dict[str, list[str]]) -> list[str]:
    return sorted({*results.get("failed", []), *results.get("error", [])})


def refused(results: dict[str, list[str]]) -> list[str]:
    return results.get("skips refused", []) if os.environ.get("CI") == "true" else []


class Pytest(Protocol):
    def __call__(self, name: str, *arguments: str) -> tuple[int, dict[str, list[str]]]: ...


def pytest(name: str, *arguments: str) -> tuple[int, dict[str, list[str]]]:
    """Run pytest; its exit code and what it left. Never raises."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    file.unlink(missing_ok=True)
    print(f"\n-- {name}: pytest {' '.join(arguments)}", flush=True)
    code = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", f"--results={file}", *arguments], check=False
    ).returncode
    found: Any = json.loads(file.read_text()) if file.exists() else {}
    return code, found


def run(tally: Tally, name: str, *arguments: str, pytest: Pytest = pytest) -> dict[str, list[str]]:
    code, results = pytest(name, *arguments)
    tally.add(results)
    if code in BROKEN or (code not in (0, 5) and not failures(results) and not refused(results)):
        tally.broken.append(f"{name}: pytest ended with {code}")
    return results


def second_chances(tally: Tally, candidates: list[str], pytest: Pytest = pytest) -> None:
    """Run each of them once more, alone."""
    if len(candidates) > SECOND_CHANCES:
        print(f"\n{len(candidates)} tests failed: that is no flakiness, none is tried again")
        return
    for number, nodeid in enumerate(candidates, 1):
        code, results = pytest(f"again-{number}", "-m", "real", "-n0", nodeid)
        if code == 0 and results.get("passed") == [nodeid]:
            tally.failed.remove(nodeid)
            tally.flaky.append(nodeid)
            tally.passed += 1


def main() -> int:
    began = time.monotonic()
    tally = Tally()
    run(tally, "pure", "-m", "not real and not soak", WORKERS, *SLOWEST)
    real = run(tally, "real", "-m", "real and not soak", WORKERS, "--dist=loadgroup", *SLOWEST)
    second_chances(tally, failures(real))
    print()
    for nodeid in tally.flaky:
        print(f"FLAKY   {nodeid}: failed among others, passed alone. A bug, in it or in us, to be fixed.")
    for text in tally.broken:
        print(f"ERROR   {text}")
    for nodeid in tally.failed:
        print(f"FAILED  {nodeid}")
    if tally.flaky:
        print(f"{len(tally.flaky)} flaky among the passed")
    print(tally.closing_line(time.monotonic() - began), flush=True)
    return 0 if tally.good else 1


if __name__ == "__main__":
    sys.exit(main())
