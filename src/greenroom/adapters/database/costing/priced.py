"""Rulings with what their statements cost: rows, bytes, seconds; and a warning where a table is large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from greenroom.adapters.database.costing.speed import REFERENCE, Speed, Table
from greenroom.adapters.database.costing.work import Kind, Work
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Ruled, Ruling

RULE = "large-table"
_TABLES = """
SELECT CASE n.nspname WHEN current_schema() THEN '' ELSE n.nspname || '.' END || c.relname,
  quote_ident(n.nspname) || '.' || quote_ident(c.relname), pg_table_size(c.oid), pg_total_relation_size(c.oid),
  CASE WHEN c.relpages > 0 AND c.reltuples >= 0
      THEN (c.reltuples / c.relpages * (pg_relation_size(c.oid) / current_setting('block_size')::int))::bigint
    WHEN s.n_live_tup > 0 THEN s.n_live_tup WHEN pg_relation_size(c.oid) = 0 THEN 0 END,
  (SELECT count(*) FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_all_tables s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'greenroom')
"""

Sizes = Mapping[str, Table]


def sizes(session: Session) -> dict[str, Table]:
    """By table, as the judge names it. Bytes are counted; rows as the planner has them: how many to a page the last ANALYZE
    found, times the pages now. None: it was never analysed.
    """
    return {
        name: Table(quoted, int(size or 0), int(whole or 0), None if rows is None else int(rows), int(indexes))
        for name, quoted, size, whole, rows, indexes in session.rows(_TABLES)
    }


def priced(one: Ruled, works: Sequence[Work], tables: Sizes, speed: Speed = REFERENCE, large: int = 10**10) -> Ruled:
    """With the figures of the biggest table that it works on, and the time for all of them.

    A table of `large` bytes or more is warned about; what is refused or warned about already is told the time as well.
    """
    known = [(work, tables[work.table]) for work in works if work.table in tables]
    if not known:
        return one
    biggest = max((table for _, table in known), key=lambda table: table.all_bytes)
    seconds = sum(speed.seconds(work, table) for work, table in known)
    made = replace(one, rows=biggest.rows, bytes=biggest.all_bytes, seconds=seconds)
    if biggest.all_bytes < large:
        return made
    work = next(work for work, table in known if table is biggest)
    told = sentence(work, biggest, seconds)
    if one.ruling is not Ruling.ALLOW:
        return replace(made, reason=f"{one.reason} {told}".strip())
    return replace(made, ruling=Ruling.WARN, rule=RULE, reason=told, instead=_instead(work))


def sentence(work: Work, table: Table, seconds: float) -> str:
    rows = (
        f"{_number(table.rows)} rows" if table.rows is not None else "nobody knows how many rows: it was never analysed"
    )
    return f"It {work.kind} of {work.table} ({_bytes(table.all_bytes)}, {rows}): {about(seconds)}."


def about(seconds: float) -> str:
    """As sure as it is: `about 4 to 16 min`."""
    low, high = seconds / 2, seconds * 2
    if high < 1:
        return "less than a second"
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if high >= 2 * size or size == 1.0:
            first, last = _round(low / size), _round(high / size)
            return f"about {first} to {last} {unit}" if first != "0" else f"up to {last} {unit}"
    raise AssertionError(seconds)


def _round(value: float) -> str:
    if value < 10:
        return f"{value:.0f}"
    return f"{value:.0f}" if value < 100 else f"{round(value, -1):.0f}"


def _instead(work: Work) -> str:
    match work.kind:
        case Kind.UPDATE:
            return "Let backfill.sql do it: in small steps, which can be paused."
        case Kind.BUILD if work.concurrently:
            return "Begin when there is time; it keeps nobody out."
        case _:
            return "See that it keeps nobody out (its locks), and begin when there is time."


def _number(count: int) -> str:
    for size, name in ((10**9, " billion"), (10**6, " million")):
        if count >= size:
            return f"{count / size:.1f}".removesuffix(".0") + name
    return f"{count:,}"


def _bytes(count: int) -> str:
    for size, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= size:
            return f"{count / size:.1f}".removesuffix(".0") + f" {name}"
    return f"{count} B"
