"""The part of a page that is written by a script, between two markers."""

from __future__ import annotations

import sys
from pathlib import Path


def renewed(page: Path, begin: str, end: str, content: str) -> str:
    """The page with its generated part made anew."""
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, marker, after = rest.partition(end)
    if not marker:
        raise SystemExit(f"{page.name} has lost its markers: {begin} … {end}")
    return f"{before}{begin}\n{content}\n{end}{after}"


def main(page: Path, begin: str, end: str, content: str) -> int:
    """Write it; with `--check`, 1 if it is not current."""
    wanted = renewed(page, begin, end, content)
    if "--check" in sys.argv:
        return int(page.read_text(encoding="utf-8") != wanted)
    page.write_text(wanted, encoding="utf-8")
    return 0
