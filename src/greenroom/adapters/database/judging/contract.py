"""PostgreSQL, when nobody can need the old any more: what is named goes, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from greenroom.adapters.database.judging.columns import change_type
from greenroom.adapters.database.judging.conditions import value_of
from greenroom.adapters.database.judging.constraints import locking
from greenroom.adapters.database.judging.expand import table_action
from greenroom.adapters.database.judging.indexes import locking as index_locking
from greenroom.adapters.database.judging.objects import alter
from greenroom.adapters.database.judging.rule import Hit
from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.change import Change
from greenroom.domain.schema import Ruling

OF_THE_RELEASE = ("view", "materialized view", "type", "domain", "sequence", "schema")
"""What an expand makes for the new version; its functions and triggers it makes for the time between."""


def hits(change: Change, together: Sequence[Change], later: Sequence[Change], world: World) -> Iterator[Hit]:
    """`together`: all changes of the same statement; `later`: those of the statements behind it."""
    match change:
        case c.DropColumn() | c.DropTable() | c.Drop() | c.DropIndex() | c.DropConstraint():
            yield from _drop(change, together, later, world)
        case c.SetNotNull():
            yield from _not_null(change, world)
        case c.AddConstraint():
            yield from locking(change, world)
        case c.Validate(table=table, name=name):
            if any(isinstance(other, c.AddConstraint) for other in together):
                yield Hit("validate-at-once", {"table": table, "name": name}, tables=(table,))
        case c.CreateIndex():
            yield from index_locking(change, world)
        case c.CreateTable(table=table) | c.AddColumn(table=table):
            yield Hit("contract-adds", {"name": table, "what": _adds(change)}, tables=(table,))
        case c.Create(kind=kind, name=name) if kind != "statistics":
            yield Hit("contract-adds", {"name": name, "what": f"CREATE {kind.upper()}"})
        case c.Insert(table=table) | c.Update(table=table) | c.Delete(table=table) | c.Truncate(table=table):
            yield Hit("contract-rows", {"table": table, "what": type(change).__name__.upper()}, tables=(table,))
        case _:
            yield from _alters(change, world)


def _adds(change: Change) -> str:
    return "CREATE TABLE" if isinstance(change, c.CreateTable) else "ADD COLUMN"


def _alters(change: Change, world: World) -> Iterator[Hit]:
    match change:
        case c.RenameTable(table=table, to=to, kind=kind):
            yield Hit("rename-table", {"table": table, "to": to, "what": kind}, tables=(table,))
        case c.RenameColumn(table=table, column=column, to=to):
            yield Hit("rename-column", {"table": table, "column": column, "to": to}, tables=(table,))
        case c.AlterType():
            yield from change_type(change, world)
        case c.DropDefault(table=table, column=column):
            known = world.column(table, column)
            if known is None or not known.nullable:
                yield Hit("drop-default", {"table": table, "column": column}, ruling=Ruling.WARN, tables=(table,))
        case c.AlterTable(what="DISABLE TRIGGER"):
            return
        case c.AlterTable(table=table, what=what):
            yield from table_action(table, what)
        case c.Alter(kind="sequence", what="OWNED BY"):
            return
        case c.Alter():
            yield from alter(change, world)


def _drop(change: Change, together: Sequence[Change], later: Sequence[Change], world: World) -> Iterator[Hit]:
    match change:
        case c.DropColumn(table=table, column=column):
            names = {"table": table, "column": column, "name": f"{table}.{column}"}
            if world.is_fresh(table, column):
                yield Hit("contract-drops-new", names, tables=(table,))
            if trigger := _writing_trigger(change, together, later, world):
                yield Hit("column-before-trigger", names | {"name": trigger}, tables=(table,))
        case c.DropTable(table=table):
            if world.is_fresh(table):
                yield Hit("contract-drops-new", {"name": table, "table": table}, tables=(table,))
        case c.DropIndex(name=name, concurrently=concurrently):
            if not concurrently:
                yield Hit("drop-index-locks", {"name": name})
        case c.DropConstraint(table=table, name=name):
            known = world.tables.get(table)
            if known and known.whole and world.complete and name not in known.constraints:
                yield Hit("unknown-object", {"name": name, "table": table}, ruling=Ruling.WARN, tables=(table,))
        case c.Drop(kind=kind, name=name) if kind in OF_THE_RELEASE and f"{kind} {name}" in world.fresh:
            yield Hit("contract-drops-new", {"name": name, "table": name})
        case c.Drop(kind="schema" | "policy" | "rule" | "statistics" | "collation" as kind, name=name) if (
            kind != "statistics"
        ):
            rule = "row-security" if kind == "policy" else "drop-object"
            yield Hit(rule, {"name": name, "table": change.table, "what": f"DROP {kind.upper()}"})


def _writing_trigger(change: c.DropColumn, together: Sequence[Change], later: Sequence[Change], world: World) -> str:
    """A trigger that writes to the column, and is still at work when the column has gone; "" for none."""
    table, column = change.table, change.column.lower()
    disabled = [
        other.detail.upper()
        for other in together
        if isinstance(other, c.AlterTable) and other.what == "DISABLE TRIGGER"
    ]
    known = world.tables.get(table)
    for name, function in (known.triggers if known else {}).items():
        body = world.bodies.get(function, "")
        off = any(_written(name) in each or each.split()[-1] in ("ALL", "USER") for each in disabled)
        if not off and (not body or re.search(rf"(?<![\w$]){re.escape(column)}(?![\w$]|\s*\.)", body.lower())):
            return name
    dropped = [
        other.name for other in later if isinstance(other, c.Drop) and other.kind == "trigger" and other.table == table
    ]
    return next((name for name in dropped if not any(_written(name) in each for each in disabled)), "")


def _written(name: str) -> str:
    """Within double quotes or not, in capitals."""
    return name.replace('"', '""').upper()


def _not_null(change: c.SetNotNull, world: World) -> Iterator[Hit]:
    """Proved by a CHECK that has been validated, or the server reads every row while nobody can use the table."""
    table, column = change.table, change.column
    known = world.tables.get(table)
    if world.is_fresh(table):
        return
    for constraint in known.constraints.values() if known else ():
        asked = "".join(constraint.condition.lower().replace('"', "").replace("(", " ").replace(")", " ").split())
        wanted = "".join(f"{column} is not null".lower().replace('"', "").split())
        if constraint.kind == "check" and not constraint.not_valid and asked == wanted:
            return
    there = world.column(table, column)
    if there is not None and not there.nullable:
        return
    filled = there is not None and value_of(there.default) not in (None, "NULL", "null")
    names = {"table": table, "column": column, "what": "a default" if filled else "no default"}
    yield Hit("not-null-unproved", names, tables=(table,))
