"""What a statement does. Names are as the server folds them, without quotes, with a schema where one is written; SQL parts
as written.
"""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.adapters.database.reading.common import Change, OnTable
from greenroom.adapters.database.reading.doing import (
    Alter,
    Create,
    Delete,
    Drop,
    Insert,
    Maintenance,
    Opaque,
    Privilege,
    Query,
    Server,
    Session,
    Truncate,
    Update,
)

__all__ = [
    "AddColumn",
    "AddConstraint",
    "Algorithm",
    "Alter",
    "AlterTable",
    "AlterType",
    "Change",
    "Column",
    "Constraint",
    "Create",
    "CreateIndex",
    "CreateTable",
    "Delete",
    "Drop",
    "DropColumn",
    "DropConstraint",
    "DropDefault",
    "DropIndex",
    "DropNotNull",
    "DropTable",
    "Insert",
    "Key",
    "Maintenance",
    "OnTable",
    "Opaque",
    "Privilege",
    "Query",
    "Redefine",
    "RenameColumn",
    "RenameTable",
    "Server",
    "Session",
    "SetDefault",
    "SetNotNull",
    "Setting",
    "Truncate",
    "Update",
    "Validate",
]


@dataclass(frozen=True, slots=True)
class Key:
    """A foreign key's other end. `on_delete`, `on_update`: in capitals, "" where nothing is said."""

    table: str
    columns: tuple[str, ...] = ()
    on_delete: str = ""
    on_update: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's definition. `type`: in small letters, one space between words. `default`: None for none.

    `generated`: "", "identity", "stored" or "virtual". `collation`, `comment`, `place` (FIRST, AFTER x) as written.
    """

    name: str
    type: str = ""
    nullable: bool = True
    default: str | None = None
    generated: str = ""
    unique: bool = False
    primary: bool = False
    check: str | None = None
    references: Key | None = None
    collation: str = ""
    auto_increment: bool = False
    on_update: str = ""
    invisible: bool = False
    place: str = ""


@dataclass(frozen=True, slots=True)
class Constraint:
    """`kind`: check, unique, primary, foreign, exclude. `parts`: its columns or expressions, in order."""

    kind: str
    name: str = ""
    parts: tuple[str, ...] = ()
    condition: str = ""
    references: Key | None = None
    not_valid: bool = False
    using_index: str = ""
    nulls_not_distinct: bool = False


@dataclass(frozen=True, slots=True)
class CreateTable(Change):
    """`source`: "", "as", "like", "inherits", "partition of" or "of"; `sources`: the tables that it names."""

    table: str
    columns: tuple[Column, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    if_not_exists: bool = False
    temporary: bool = False
    source: str = ""
    sources: tuple[str, ...] = ()
    options: str = ""


@dataclass(frozen=True, slots=True)
class AddColumn(OnTable):
    column: Column
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropColumn(OnTable):
    column: str
    cascade: bool = False
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class RenameColumn(OnTable):
    column: str
    to: str


@dataclass(frozen=True, slots=True)
class AlterType(OnTable):
    """PostgreSQL's ALTER … TYPE."""

    column: str
    type: str
    using: str = ""
    collation: str = ""


@dataclass(frozen=True, slots=True)
class Redefine(OnTable):
    """MySQL's MODIFY and CHANGE: the whole definition is new; `column` is the name before."""

    column: str
    to: Column


@dataclass(frozen=True, slots=True)
class SetDefault(OnTable):
    column: str
    default: str


@dataclass(frozen=True, slots=True)
class DropDefault(OnTable):
    column: str


@dataclass(frozen=True, slots=True)
class SetNotNull(OnTable):
    column: str


@dataclass(frozen=True, slots=True)
class DropNotNull(OnTable):
    column: str


@dataclass(frozen=True, slots=True)
class AddConstraint(OnTable):
    constraint: Constraint


@dataclass(frozen=True, slots=True)
class DropConstraint(OnTable):
    """`kind`: "", or MySQL's foreign, primary, check."""

    name: str
    cascade: bool = False
    if_exists: bool = False
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Validate(OnTable):
    name: str


@dataclass(frozen=True, slots=True)
class RenameTable(OnTable):
    """`kind`: table, view, materialized view. A move into another schema is one too."""

    to: str
    kind: str = "table"


@dataclass(frozen=True, slots=True)
class Setting(OnTable):
    """A storage parameter, statistics target or comment: nothing that an application can notice."""

    what: str


@dataclass(frozen=True, slots=True)
class AlterTable(OnTable):
    """Any other action, by its first words in capitals: `SET LOGGED`, `ATTACH PARTITION`, `DISABLE TRIGGER`, `ENGINE` …"""

    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Algorithm(OnTable):
    """MySQL's `ALGORITHM=` or `LOCK=`: `what` is which, `value` in capitals."""

    what: str
    value: str


@dataclass(frozen=True, slots=True)
class CreateIndex(OnTable):
    name: str
    parts: tuple[str, ...] = ()
    unique: bool = False
    concurrently: bool = False
    if_not_exists: bool = False
    nulls_not_distinct: bool = False
    where: str = ""
    method: str = ""
    kind: str = ""
    only: bool = False


@dataclass(frozen=True, slots=True)
class DropIndex(Change):
    """`table`: named by MySQL only."""

    name: str
    concurrently: bool = False
    if_exists: bool = False
    cascade: bool = False
    table: str = ""


@dataclass(frozen=True, slots=True)
class DropTable(Change):
    table: str
    cascade: bool = False
    if_exists: bool = False
