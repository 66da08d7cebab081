"""Writes the last results into docs/reference/benchmarks.md: `python -m bench.report` (`--check`: only compare)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench.common import RESULTS, plain

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "benchmarks.md"
BEGIN, END = "<!-- results: written by python -m bench.report -->", "<!-- end of results -->"
ORDER = (
    "switch",
    "cycle",
    "rollback",
    "judge",
    "database",
    "judging",
    "shield",
    "lock_handling",
    "containers",
    "load_check",
    "overhead",
    "startup",
    "scale",
    "hosts",
)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args(argv).check
    before = PAGE.read_text(encoding="utf-8")
    head, _, rest = before.partition(BEGIN)
    _, _, tail = rest.partition(END)
    after = f"{head}{BEGIN}\n\n{results()}\n{END}{tail}"
    if check:
        return int(after != before)
    PAGE.write_text(after, encoding="utf-8")
    print(f"written: {PAGE}")
    return 0


def results() -> str:
    parts = []
    paths = {path.stem: path for path in RESULTS.glob("*.json")}
    for name in [*ORDER, *sorted(set(paths) - set(ORDER))]:
        if name in paths:
            parts.append(section(name, json.loads(paths[name].read_text(encoding="utf-8"))))
    return "\n".join(parts) or "None yet: `make bench`.\n"


def section(name: str, document: dict[str, Any]) -> str:
    lines = [f"### {name}", ""]
    if machine := document.get("machine"):
        quick = ", with `--quick`" if document.get("quick") else ""
        lines += [
            f"{machine.get('at', '')} UTC, {machine.get('cores')} cores ({machine.get('cpu', '')}), "
            f"load at the end {machine.get('load', ['?'])[0]}, Python {machine.get('python')}{quick}.",
            "",
        ]
    if goals := document.get("goals"):
        lines += ["| goal | measured | limit | met |", "|---|---|---|---|"]
        lines += [_goal(goal) for goal in goals] + [""]
    lines += ["```text", str(document.get("text") or json.dumps(document, indent=1)), "```", ""]
    return "\n".join(lines)


def _goal(goal: dict[str, Any]) -> str:
    unit = f" {goal['unit']}" if goal.get("unit") else ""
    sign = "≥" if goal.get("least") else "≤"
    met = "yes" if goal.get("met") else "**no**"
    return f"| {goal['text']} | {plain(goal['value'])}{unit} | {sign} {plain(goal['limit'])}{unit} | {met} |"


if __name__ == "__main__":
    sys.exit(main())
