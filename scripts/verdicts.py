"""Prints the table of docs/reference/verdicts.md from `greenroom.domain.verdicts`.

python scripts/verdicts.py            writes it between the markers
python scripts/verdicts.py --check    exits 1 if it is not current
"""

from __future__ import annotations

import sys
from pathlib import Path

from generated import main
from greenroom.domain.verdicts import TABLE, Action, Answer, Stage

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "verdicts.md"
BEGIN, END = "<!-- verdicts: begin (made by scripts/verdicts.py) -->", "<!-- verdicts: end -->"
BEFORE = (Stage.GATE, Stage.CHECK)


def table() -> str:
    lines = ["| asked | policy | " + " | ".join(Answer) + " |", "|---" * (2 + len(Answer)) + "|"]
    for (stage, policy), row in TABLE.items():
        shown = [_shown(stage, row[answer]) if answer in row else "" for answer in Answer]
        lines.append(f"| {stage} | {f'`{policy}`' if policy else ''} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def _shown(stage: Stage, action: Action) -> str:
    if action is not Action.BACK:
        return action.value
    return "**abort**" if stage in BEFORE else "**roll back**"


if __name__ == "__main__":
    sys.exit(main(PAGE, BEGIN, END, table()))
