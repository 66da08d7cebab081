"""PostgreSQL: the locks that a statement takes, as far as its text tells, with what each keeps out."""

from __future__ import annotations

from collections.abc import Sequence

from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.change import Change

EVERYBODY, WRITERS, NOBODY = "keeps out reads and writes", "keeps out writes", "keeps nobody out"
MILD = (c.Setting, c.Validate)


def tables(changed: Sequence[Change]) -> set[str]:
    """Those that were there before and are named."""
    found = set[str]()
    for change in changed:
        match change:
            case c.OnTable(table=table) | c.DropTable(table=table) if table:
                found.add(table)
            case c.Create(table=table) | c.Drop(table=table) if table:
                found.add(table)
    return found


def of(changed: Sequence[Change]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(lock for change in changed for lock in _of(change)))


def _of(change: Change) -> list[str]:
    match change:
        case c.Insert(table=table) | c.Update(table=table) | c.Delete(table=table):
            return [f"ROW EXCLUSIVE on {table}: {NOBODY} but who writes the same rows"]
        case c.CreateIndex(table=table, concurrently=concurrently):
            mode, out = ("SHARE UPDATE EXCLUSIVE", NOBODY) if concurrently else ("SHARE", WRITERS)
            return [f"{mode} on {table}: {out}"]
        case c.DropIndex(name=name, concurrently=concurrently):
            mode, out = ("SHARE UPDATE EXCLUSIVE", NOBODY) if concurrently else ("ACCESS EXCLUSIVE", EVERYBODY)
            return [f"{mode} on the table of {name}: {out}"]
        case c.AddConstraint(table=table, constraint=constraint) if constraint.references:
            both = (table, constraint.references.table)
            return [f"SHARE ROW EXCLUSIVE on {name}: {WRITERS}" for name in both]
        case c.Setting(table=table) | c.Validate(table=table) if table:
            return [f"SHARE UPDATE EXCLUSIVE on {table}: {NOBODY}"]
        case c.Create(kind="trigger", table=table):
            return [f"SHARE ROW EXCLUSIVE on {table}: {WRITERS}"]
        case c.DropTable(table=table) | c.Drop(kind="trigger", table=table) | c.OnTable(table=table) if table:
            return [f"ACCESS EXCLUSIVE on {table}: {EVERYBODY}"]
    return []
