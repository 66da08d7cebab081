"""What a command costs before it does anything: imports, and a first `greenroom status`."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.common import Goal, Result, main, plain
from greenroom.demo.table import columns

APP = Path(__file__).parent / "app"
HEAVY = ("pydantic", "yaml", "rich", "httpx2", "supervisor", "asyncio", "matplotlib", "sqlite3", "click", "ssl")
"""Packages that a command may need, but that `status` should not pay for."""


def run(quick: bool) -> Result:
    times = 3 if quick else 15
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "greenroom.yaml"
        file.write_text(f"service: nothing\n{(APP / 'greenroom.yaml').read_text().partition(chr(10))[2]}")
        status = ["-m", "greenroom", "status", "--file", str(file)]
        imports = imported(status)
        rows = {
            "python -c pass": median(["-c", "pass"], times),
            "greenroom --version": median(["-m", "greenroom", "--version"], times),
            "greenroom status, before any release": median(status, times),
            "greenroom --help": median(["-m", "greenroom", "--help"], times),
        }
    base = rows["python -c pass"]
    body = [[name, plain(seconds * 1000), plain(seconds / base)] for name, seconds in rows.items()]
    heavy = {name: total for name, total in imports.items() if name in HEAVY}
    weights = [[name, plain(total / 1000)] for name, total in sorted(heavy.items(), key=lambda item: -item[1])]
    text = columns(["command", "ms", "× python"], body) + "\n\nimported by that `greenroom status`, of what is heavy:\n"
    text += columns(["package", "ms"], weights or [["nothing", ""]])
    goals = [Goal("`greenroom --version` against `python -c pass`", rows["greenroom --version"] / base, 8, "×")]
    return Result("startup", goals, text, {"seconds": rows, "imports_us": heavy})


def median(arguments: list[str], times: int) -> float:
    """Seconds that the interpreter takes with these arguments, as the median."""
    return statistics.median(once(arguments) for _ in range(times))


def once(arguments: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - began


def imported(arguments: list[str]) -> dict[str, int]:
    """Microseconds by top-level package, of everything that is imported (`-X importtime`, the outermost)."""
    done = subprocess.run([sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=False,
                          env={**os.environ, "COLUMNS": "100"})  # fmt: skip
    found: dict[str, int] = {}
    for total, name in re.findall(r"import time:\s+\d+ \|\s+(\d+) \|\s+(\S+)", done.stderr):
        package = name.split(".")[0]
        found[package] = max(found.get(package, 0), int(total))
    return found


if __name__ == "__main__":
    sys.exit(main(run))
