"""Findings that are known and accepted for now: a file in the repository, one line for each.

How often each occurs is kept, so that a second one of the same kind in the same place is new.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greenroom.adapters.gates.results import Found, Unreadable, document

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Baseline:
    counts: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    def split(self, found: Iterable[Found]) -> tuple[list[Found], list[Found]]:
        """What is new, and what is known."""
        left = Counter(self.counts)
        new: list[Found] = []
        known: list[Found] = []
        for each in found:
            (known if left[each.key] > 0 else new).append(each)
            left[each.key] -= 1
        return new, known

    def unused(self, found: Iterable[Found]) -> int:
        """Entries that nothing is found for any more."""
        return len(set(self.counts) - {each.key for each in found})


def read(path: Path) -> Baseline:
    """`Unreadable` if it is none, or not there."""
    entries = document(path)
    known = entries.get("known") if isinstance(entries, Mapping) and entries.get("version") == _VERSION else None
    if not isinstance(known, list):
        raise Unreadable("is no baseline of Greenroom (nor one of version 1)")
    counts: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for entry in known:
        match entry:
            case {"key": str(name), "count": int(count)} if not isinstance(count, bool) and count > 0:
                counts[name] += count
                reasons[name] = str(entry.get("why", ""))
            case _:
                raise Unreadable("has an entry without `key` and `count`")
    return Baseline(counts, reasons)


def write(path: Path, found: Sequence[Found], before: Baseline) -> None:
    """What would be known if all of this were accepted. Reasons that somebody wrote stay."""
    counts = Counter(each.key for each in found)
    first: dict[str, Found] = {}
    for each in found:
        first.setdefault(each.key, each)
    entries: list[dict[str, Any]] = [
        {"key": k, "count": counts[k], "rule": each.rule, "file": each.file, "why": before.reasons.get(k, "")}
        for k, each in sorted(first.items(), key=lambda item: (item[1].file, item[1].rule, item[0]))
    ]
    lines = ",\n".join(f"    {json.dumps(entry, ensure_ascii=False)}" for entry in entries)
    text = f'{{\n  "version": {_VERSION},\n  "known": [\n{lines}\n  ]\n}}\n'
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)
