"""All benchmarks, one after the other, each in a process of its own: `python -m bench [--quick] [name …]`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from bench import report

ALL = (
    "startup",
    "scale",
    "hosts",
    "overhead",
    "load_check",
    "judge",
    "database",
    "judging",
    "rollback",
    "shield",
    "lock_handling",
    "containers",
    "cycle",
    "switch",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(ALL)}; none: all")
    parser.add_argument("--quick", action="store_true", help="a few repetitions only: does it work?")
    given = parser.parse_args()
    if unknown := set(given.names) - set(ALL):
        parser.error(f"unknown: {', '.join(sorted(unknown))} (there are {', '.join(ALL)})")
    worst = 0
    for name in given.names or ALL:
        if not (Path(__file__).parent / f"{name}.py").exists():
            continue
        print(f"\n── {name} " + "─" * (76 - len(name)), flush=True)
        code = subprocess.run([sys.executable, "-m", f"bench.{name}", *(["--quick"] if given.quick else [])]).returncode
        worst = max(worst, abs(code))
    if not given.quick:
        report.main([])
    return worst


if __name__ == "__main__":
    sys.exit(main())
