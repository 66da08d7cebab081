"""What the server would refuse, since something is there already, or is not: known only where the whole schema is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from greenroom.adapters.database.judging.rule import Hit
from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.change import Change
from greenroom.domain.schema import Dialect, Ruling

KINDS = ("view", "materialized view", "type", "domain")


def hits(change: Change, world: World, *, maybe: bool, serving: bool = False) -> Iterator[Hit]:
    """`maybe`: the statement says IF EXISTS of its table. `serving`: a version that may need it serves meanwhile; then
    nothing is dropped on the word that it is not there: under another search_path it may be.
    """
    if name := _there(change, world):
        yield Hit("already-there", {"name": name})
    for name in dict.fromkeys(missing(change, world)):
        mild = maybe or bool(getattr(change, "if_exists", False))
        mild = mild and not (serving and isinstance(change, c.DropColumn | c.DropTable))
        yield Hit("unknown-object", {"name": name}, ruling=Ruling.WARN if mild else None)


def nothing(change: Change, world: World, *, maybe: bool) -> bool:
    """The statement does nothing, since what it is about is not there, and it says IF EXISTS."""
    return (maybe or bool(getattr(change, "if_exists", False))) and any(missing(change, world))


def _there(change: Change, world: World) -> str:
    match change:
        case c.CreateTable(table=table, if_not_exists=False) if table in world.tables and world.complete:
            return table
        case c.AddColumn(table=table, column=column, if_not_exists=False) if world.column(table, column.name):
            return f"{table}.{column.name}"
        case c.CreateIndex(name=name, if_not_exists=False) if (
            world.beside(change.table, name) in world.indexes and world.dialect is not Dialect.MYSQL
        ):
            return name
        case c.Create(kind=kind, name=name, replace=False, if_not_exists=False) if f"{kind} {name}" in world.others:
            return name
        case c.RenameTable(to=to) if to in world.tables:
            return to
        case c.RenameColumn(table=table, to=to) if world.column(table, to):
            return f"{table}.{to}"
    return ""


def missing(change: Change, world: World) -> Iterator[str]:
    match change:
        case c.RenameTable(kind="view" | "materialized view"):
            return
        case c.OnTable(table=table) | c.DropTable(table=table) if table and world.lacks_table(table):
            yield table
        case c.OnTable(table=table):
            yield from (f"{table}.{name}" for name in _columns(change) if world.lacks_column(table, name))
            if (
                isinstance(change, c.AddConstraint)
                and (key := change.constraint.references)
                and world.lacks_table(key.table)
            ):
                yield key.table
        case c.DropIndex(name=name) if world.complete and not world.unnamed and name not in world.indexes:
            yield name
        case c.Drop(kind=kind, name=name) if kind in KINDS and world.complete and f"{kind} {name}" not in world.others:
            yield name
        case c.Create(kind="trigger", table=table) if world.lacks_table(table):
            yield table
        case c.Drop(kind="trigger", name=name, table=table) if world.complete and table in world.tables:
            if name not in world.tables[table].triggers and not world.unnamed:
                yield name


def _columns(change: Change) -> Iterable[str]:
    """Columns that have to be there."""
    match change:
        case c.DropColumn(column=str(column)) | c.RenameColumn(column=column) | c.AlterType(column=column):
            return (column,)
        case c.SetDefault(column=column) | c.DropDefault(column=column) | c.SetNotNull(column=column):
            return (column,)
        case c.DropNotNull(column=column) | c.Redefine(column=column):
            return (column,)
        case c.AddConstraint(constraint=constraint) if constraint.kind != "exclude":
            return [part for part in constraint.parts if part.replace("_", "a").isalnum()]
        case c.CreateIndex(parts=parts):
            return [part for part in parts if part.replace("_", "a").isalnum()]
        case c.Update(sets=sets):
            return [column for column, _ in sets]
        case c.Insert(columns=columns):
            return columns
    return ()
