"""SQLite, before the candidate starts and after the old version: one writer, few kinds of ALTER TABLE."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from greenroom.adapters.database.judging import columns
from greenroom.adapters.database.judging import contract as at_last
from greenroom.adapters.database.judging import expand as at_first
from greenroom.adapters.database.judging.conditions import unique_is_safe, value_of
from greenroom.adapters.database.judging.row_triggers import harmless, lets_pass, written
from greenroom.adapters.database.judging.rule import Hit
from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.change import Change
from greenroom.domain.schema import Ruling

LATER = (
    "ALTER TABLE {table} ADD COLUMN {column} {type}; the rest by CREATE UNIQUE INDEX, backfill.sql or the application"
)
DROPS_COLUMNS = (3, 35, 0)
"""The version of SQLite that first did."""


def expand(change: Change, together: Sequence[Change], world: World) -> Iterator[Hit]:
    match change:
        case c.AddColumn(table=table) if not world.is_fresh(table):
            yield from _add_column(change, world)
        case c.CreateIndex(table=table) if not world.is_fresh(table):
            yield from _index(change)
            if change.unique and not unique_is_safe(world, table, change.parts, nulls_equal=False):
                yield Hit("unique-breaks-writes", _names(change), tables=(table,))
        case c.DropIndex(name=name) if f"index {name}" not in world.fresh:
            index = world.indexes.get(name)
            mild = Ruling.WARN if index is not None and not index.unique else None
            yield Hit("drop-index", {"name": name, "table": index.table if index else "its table"}, ruling=mild)
        case c.Create(kind="trigger", table=table, name=name) if not world.is_fresh(table):
            if not harmless(change, world):
                yield Hit("create-trigger", {"name": name, "table": table}, tables=(table,))
        case c.DropColumn() | c.RenameColumn():
            yield from columns.hits(change, world) if not world.is_fresh(change.table) else ()
        case c.AddColumn() | c.CreateIndex() | c.DropIndex():
            return
        case _:
            yield from at_first.hits(change, together, world)


def contract(change: Change, together: Sequence[Change], later: Sequence[Change], world: World) -> Iterator[Hit]:
    match change:
        case c.DropTable(table=table) if _takes_its_name(later, table):
            yield Hit("rebuilt-by-hand", {"table": table}, tables=(table,))
        case c.DropColumn(table=table):
            yield from _drop_column(change, together, later, world)
        case c.CreateIndex(table=table) if not world.is_fresh(table):
            yield from _index(change)
        case c.CreateIndex() | c.DropIndex():
            return
        case _:
            yield from at_last.hits(change, together, later, world)


def _names(change: c.CreateIndex) -> dict[str, str]:
    return {"table": change.table, "name": change.name, "columns": ", ".join(change.parts)}


def _index(change: c.CreateIndex) -> Iterator[Hit]:
    what = f"building the index {change.name}"
    yield Hit("one-writer", _names(change) | {"what": what}, tables=(change.table,))


def _takes_its_name(later: Sequence[Change], table: str) -> bool:
    return any(isinstance(each, c.RenameTable) and each.to == table for each in later) or any(
        isinstance(each, c.CreateTable) and each.table == table for each in later
    )


def _drop_column(
    change: c.DropColumn, together: Sequence[Change], later: Sequence[Change], world: World
) -> Iterator[Hit]:
    table, column = change.table, change.column
    names = {"table": table, "column": column, "name": f"{table}.{column}"}
    yield from (hit for hit in at_last.hits(change, together, later, world) if hit.rule != "column-before-trigger")
    yield Hit("one-writer", names | {"what": f"dropping {column}"}, tables=(table,))
    for trigger in written(world, table, column):
        instead = f"DROP TRIGGER {trigger}; in a statement before this one"
        yield Hit("column-before-trigger", names | {"name": trigger}, instead, tables=(table,))
    what = f"dropping {table}.{column}"
    if sqlite3.sqlite_version_info < DROPS_COLUMNS:
        way = "leave the column, or use SQLite 3.35 or newer"
        yield Hit("sqlite-cannot", names | {"what": what, "way": way}, tables=(table,))
    known = world.column(table, column)
    within = [name for name, index in world.indexes.items() if index.table == table and column in index.parts]
    way = f"DROP INDEX {within[0]}; in a statement before this one" if within else ""
    if known is not None and (known.primary or known.unique):
        way = "leave the column: its key goes only with the table"
    if way:
        names |= {"what": f"{what}, which is part of a key or an index", "way": way}
        yield Hit("sqlite-cannot", names, tables=(table,))


def _add_column(change: c.AddColumn, world: World) -> Iterator[Hit]:
    table, column = change.table, change.column
    names = {"table": table, "column": column.name, "type": column.type, "default": column.default or ""}
    names |= {"name": column.name, "way": LATER.format(table=table, column=column.name, type=column.type)}
    missing = value_of(column.default) in ("NULL", "null")
    cannot = []
    if column.primary or column.unique:
        cannot.append("a new column that is UNIQUE or PRIMARY KEY")
    if not column.generated and value_of(column.default) is None:
        cannot.append(f"a new column whose default is no constant ({column.default})")
    if column.references and not missing:
        cannot.append("a new column that refers to another table and has a default")
    if column.generated == "stored":
        cannot.append("a new column that is computed and stored")
    yield from (Hit("sqlite-cannot", names | {"what": what}, tables=(table,)) for what in cannot)
    if not column.nullable and missing and not column.generated:
        instead = f"ALTER TABLE {table} ADD COLUMN {column.name} {column.type}, or with NOT NULL and a constant DEFAULT"
        yield Hit("add-not-null-column", names, instead, tables=(table,))
    if column.check and not lets_pass(change, world):
        yield Hit("check-breaks-writes", names | {"condition": column.check, "columns": column.name}, tables=(table,))
