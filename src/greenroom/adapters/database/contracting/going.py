"""What goes: the things that a contract removes, read from its statements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from greenroom.adapters.database.reading.change import (
    AddColumn,
    Change,
    Create,
    CreateTable,
    Drop,
    DropColumn,
    DropConstraint,
    DropIndex,
    DropTable,
    RenameColumn,
    RenameTable,
)


@dataclass(frozen=True, slots=True, order=True)
class Going:
    """`kind`: column, table, view, index, constraint, trigger, function, sequence, type, schema … `table`: which it belongs
    to, "" for none. Names are without quotes; `schema.` stands before a table or a thing that was named with one.
    """

    kind: str
    table: str
    name: str

    def __str__(self) -> str:
        return f"{self.table}.{self.name}" if self.kind == "column" else f"{self.kind} {self.name}"

    @property
    def used(self) -> bool:
        """By name, in the statements of an application."""
        return self.kind in ("column", "table", "view", "materialized view", "function", "sequence", "type")

    @property
    def hideable(self) -> bool:
        return self.kind in ("column", "table", "view")

    @property
    def words(self) -> tuple[str, ...]:
        """Identifiers that all stand in a statement which uses it."""
        last = self.name.rpartition(".")[2]
        return (self.table.rpartition(".")[2], last) if self.kind == "column" else (last,)


def going(done: Iterable[Change]) -> tuple[Going, ...]:
    """What these changes remove, each once, in their order. A name that is given away goes, too."""
    return tuple(dict.fromkeys(gone for change in done if (gone := _gone(change)) is not None))


def created(done: Iterable[Change]) -> frozenset[Going]:
    """What these changes made and an application may use by name."""
    return frozenset(made for change in done if (made := _made(change)) is not None and made.used)


def _gone(change: Change) -> Going | None:
    match change:
        case DropColumn(table=table, column=name) | RenameColumn(table=table, column=name):
            return Going("column", table, name)
        case DropTable(table=name):
            return Going("table", "", name)
        case RenameTable(table=name, kind=kind) | Drop(kind=kind, name=name, table=""):
            return Going(kind, "", name)
        case Drop(kind=kind, name=name, table=table):
            return Going(kind, table, name)
        case DropIndex(name=name, table=table):
            return Going("index", table, name)
        case DropConstraint(table=table, name=name):
            return Going("constraint", table, name)
    return None


def _made(change: Change) -> Going | None:
    match change:
        case AddColumn(table=table, column=column):
            return Going("column", table, column.name)
        case CreateTable(table=name):
            return Going("table", "", name)
        case Create(kind=kind, name=name, replace=False):
            return Going(kind, "", name)
    return None
