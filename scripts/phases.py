"""Prints the phase diagram and table of docs/architecture.md from `greenroom.domain.phases`.

python scripts/phases.py            writes them between the markers
python scripts/phases.py --check    exits 1 if they are not current
"""

from __future__ import annotations

import sys
from pathlib import Path

from generated import main
from greenroom.domain.phases import ENDS, TABLE, Phase, arrows

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
BEGIN, END = "<!-- phases: begin (made by scripts/phases.py) -->", "<!-- phases: end -->"


def diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {next(iter(TABLE)).value}"]
    causes: dict[tuple[Phase, Phase], list[str]] = {}
    for here, there, cause in arrows():
        causes.setdefault((here, there), []).append(cause)
    lines += [f"    {here.value} --> {there.value}: {', '.join(words)}" for (here, there), words in causes.items()]
    lines += [f"    {phase.value} --> [*]" for phase in TABLE if phase in ENDS]
    return "\n".join([*lines, "```"])


def table() -> str:
    head = (
        "| phase | what happens | status | then | on failure | may users have reached the candidate? | a person may |"
    )
    lines = [head, "|---|---|---|---|---|---|---|"]
    for row in TABLE.values():
        cells = (
            f"**{row.phase.value}**",
            row.does,
            row.status.value,
            row.next.value if row.next else "(an end)",
            row.on_failure.value if row.on_failure else "",
            "yes" if row.exposed else "no",
            " ".join(sorted(row.commands)),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(PAGE, BEGIN, END, f"{diagram()}\n\n{table()}"))
