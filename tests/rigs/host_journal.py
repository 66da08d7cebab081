"""A journal in a folder of a host, with clocks that the test moves; and a look at its files without the adapter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.journals.host import HostJournal
from greenroom.adapters.journals.machine import Machine
from greenroom.adapters.journals.script import Sources
from greenroom.ports import Host, Owner


def rows(folder: Path) -> list[tuple[int, int, dict[str, Any]]]:
    """(seq, epoch, document) of all entries that count."""
    head = dict(line.split(" ", 1) for line in (folder / "head").read_text().splitlines()[:-1])
    data = (folder / "journal.jsonl").read_bytes()[: int(head["size"])]
    found = []
    for line in data.decode("ascii").splitlines():
        document = json.loads(line)
        found += [(document["seq"] + n, document["epoch"], record) for n, record in enumerate(document["records"])]
    assert len(found) == int(head["seq"])
    return found


class HostJournalBench:
    """A real shell and real files; only the clocks and the knowledge of who lives are given."""

    def __init__(self, folder: Path, host: Host | None = None) -> None:
        self.folder, self.host = folder / "state" / "journal", host or LocalHost()
        self.boot, self.steady, self.wall = "boot-1", 5000.0, 1_790_000_000.0
        self._clocks = folder / "clocks"
        (self._clocks / "sys/kernel/random").mkdir(parents=True)
        self._dead: set[str] = set()
        self._show()

    def open(self, create: bool = True) -> HostJournal:
        machine = Machine("", lambda: self.steady, lambda: self.wall, self._alive)
        sources = Sources(str(self._clocks), f"cat '{self._clocks}/wall'")
        return HostJournal(self.host, str(self.folder), service="shop", create=create, machine=machine, sources=sources)

    def advance(self, seconds: float) -> None:
        self.steady += seconds
        self.wall_jumps(seconds)

    def wall_jumps(self, seconds: float) -> None:
        self.wall += seconds
        self._show()

    def boots(self, name: str, wall: float, steady: float = 3.0) -> None:
        self.boot, self.steady, self.wall = name, steady, wall
        self._show()

    def kill(self, owner: Owner) -> None:
        self._dead.add(owner.identity)

    def witness(self) -> Sequence[tuple[int, int, dict[str, Any]]]:
        return rows(self.folder)

    def _show(self) -> None:
        (self._clocks / "uptime").write_text(f"{self.steady:.2f} 1.00\n")
        (self._clocks / "sys/kernel/random/boot_id").write_text(f"{self.boot}\n")
        (self._clocks / "wall").write_text(f"{round(self.wall * 1000)}\n")

    def _alive(self, owner: Owner) -> bool | None:
        return False if owner.identity in self._dead else None
