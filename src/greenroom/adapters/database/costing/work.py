"""What a statement does to the rows that are there: from its rehearsal where there was one, else from its text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.shadow.facts import Facts


class Kind(StrEnum):
    SCAN = "reads every row"
    BUILD = "builds an index"
    REWRITE = "writes every row and its indexes anew"
    UPDATE = "changes rows"


@dataclass(frozen=True, slots=True)
class Work:
    """On one table. `concurrently`: an index that is built while others write, in two goes."""

    kind: Kind
    table: str
    concurrently: bool = False


def works(changes: tuple[c.Change, ...], facts: Facts | None = None) -> tuple[Work, ...]:
    """Nothing where only the catalogue changes. What neither tells is not here."""
    if facts is not None and facts.seen:
        return _seen(facts)
    return tuple(dict.fromkeys(work for change in changes for work in _read(change)))


def _seen(facts: Facts) -> tuple[Work, ...]:
    found = [Work(Kind.REWRITE, table) for table in facts.rewrites]
    built = [difference.table for difference in facts.of("index") if difference.added]
    found += [Work(Kind.BUILD, table, facts.autocommit) for table in built if table not in facts.rewrites]
    found += [Work(Kind.UPDATE, table) for table in facts.writes]
    busy = {work.table for work in found}
    found += [Work(Kind.SCAN, table) for table in facts.scans if table not in busy]
    return tuple(dict.fromkeys(found))


def _read(change: c.Change) -> list[Work]:
    match change:
        case c.CreateIndex(table=table, concurrently=concurrently):
            return [Work(Kind.BUILD, table, concurrently)]
        case c.AlterType(table=table):
            return [Work(Kind.REWRITE, table)]
        case c.Validate(table=table) | c.SetNotNull(table=table):
            return [Work(Kind.SCAN, table)]
        case c.AddConstraint(table=table, constraint=constraint):
            return _constraint(table, constraint)
        case c.Update(table=table) | c.Delete(table=table):
            return [Work(Kind.UPDATE, table)]
        case c.Maintenance(what=what, tables=tables):
            full = what in ("CLUSTER", "REINDEX") or "FULL" in what
            return [Work(Kind.REWRITE if full else Kind.SCAN, table) for table in tables]
    return []


def _constraint(table: str, constraint: c.Constraint) -> list[Work]:
    if constraint.not_valid or constraint.using_index:
        return []
    building = constraint.kind in ("unique", "primary", "exclude")
    return [Work(Kind.BUILD if building else Kind.SCAN, table)]
