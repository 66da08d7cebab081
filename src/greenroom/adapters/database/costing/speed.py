"""How fast a server works, measured by two short questions that change nothing; and what that makes of a piece of work.

The figures of `REFERENCE` come from PostgreSQL 15 on two cores of a small virtual machine, its tables in memory. They are
right to a factor of two or three, which is what is said to people: "about 4 to 16 min".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from greenroom.adapters.database.costing.work import Kind, Work
from greenroom.adapters.database.target import Blocked, Broken, Session
from greenroom.errors import Temporary

_WITHIN = 1.0
_SORT = (
    "SELECT count(*) FROM (SELECT md5(g::text) AS m FROM generate_series(1, 20000) AS g ORDER BY m OFFSET 0) AS sorted"
)
_SORT_TAKES = 0.03
_SAMPLE = 8_000_000
_SLOWEST = 20.0


@dataclass(frozen=True, slots=True)
class Table:
    """As the server has it. `bytes`: of the rows; `indexes`: how many. `rows`: None where it was never analysed."""

    name: str
    bytes: int
    all_bytes: int
    rows: int | None
    indexes: int


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds for a byte that is read or written, and for a row that is read, copied, sorted into an index, or updated."""

    read: float
    written: float
    row: float
    copied: float
    sorted: float
    updated: float
    measured: bool = False

    def times(self, cpu: float, disc: float) -> Speed:
        return Speed(
            self.read * disc,
            self.written * max(disc, cpu),
            self.row * cpu,
            self.copied * cpu,
            self.sorted * cpu,
            self.updated * cpu,
            measured=True,
        )

    def seconds(self, work: Work, table: Table) -> float:
        """Of rows that nobody has counted there are so many as would fit with 100 bytes each."""
        rows = table.rows if table.rows is not None else table.bytes / 100
        scan = table.bytes * self.read + rows * self.row
        build = scan + rows * self.sorted
        match work.kind:
            case Kind.SCAN:
                return scan
            case Kind.BUILD:
                return build * (1.7 if work.concurrently else 1.0)
            case Kind.REWRITE:
                return scan + table.bytes * self.written + rows * self.copied + table.indexes * build
            case Kind.UPDATE:
                each = self.updated * (1 + 0.8 * table.indexes)
                return scan + 2 * table.bytes * self.written + rows * each
            case _:
                assert_never(work.kind)


REFERENCE = Speed(read=1e-9, written=7e-9, row=1.5e-7, copied=2e-6, sorted=1e-6, updated=5e-6)


def measured(session: Session, table: Table | None = None, clock: Callable[[], float] = time.perf_counter) -> Speed:
    """Within two seconds. `table`: some pages of it are read, which tells whether it is in memory. What cannot be measured
    (no right, too slow for the limit) is taken as the slowest that it may be.
    """
    cpu = _compared(session, clock, _SORT, _SORT_TAKES)
    disc = cpu
    if table is not None and table.bytes:
        share = min(100.0, 100.0 * _SAMPLE / table.bytes)
        sample = f"SELECT count(*) FROM {table.name} TABLESAMPLE SYSTEM ({share:.6f})"
        rows = (table.rows or table.bytes / 100) * share / 100
        expected = min(table.bytes, _SAMPLE) * REFERENCE.read + rows * REFERENCE.row
        disc = _compared(session, clock, sample, max(expected, 0.001))
    return REFERENCE.times(cpu, disc)


def _compared(session: Session, clock: Callable[[], float], query: str, expected: float) -> float:
    """How much slower than the reference, by the better of two goes."""
    best = _WITHIN
    for _ in range(2):
        try:
            with session.transaction(statement_timeout=_WITHIN):
                began = clock()
                session.rows(query)
                best = min(best, clock() - began)
        except (Broken, Blocked, Temporary):
            break
    return min(max(best / expected, 0.25), _SLOWEST)
