"""MySQL and MariaDB, before the candidate starts and after the old version: only what can be done while users write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from greenroom.adapters.database.judging import columns
from greenroom.adapters.database.judging import contract as at_last
from greenroom.adapters.database.judging import expand as at_first
from greenroom.adapters.database.judging.conditions import holds, unique_is_safe, value_of
from greenroom.adapters.database.judging.constraints import drop_constraint
from greenroom.adapters.database.judging.mysql_types import redefined
from greenroom.adapters.database.judging.row_triggers import harmless, lets_pass, written
from greenroom.adapters.database.judging.rule import Hit
from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.change import Change
from greenroom.domain.schema import Ruling, Stage

TRANSACTIONAL = ("INNODB", "ROCKSDB", "TOKUDB")
ONLINE = (
    "the server cannot check a foreign key while users write; leave it to the application, or add it outside of a"
    " release"
)
MILD = (
    "AUTO_INCREMENT",
    "DEFAULT",
    "CHARACTER",
    "CHARSET",
    "COLLATE",
    "STATS_PERSISTENT",
    "STATS_AUTO_RECALC",
    "CHECKSUM",
)
"""Table options that touch no row: by their first word."""
REBUILDS = ("FORCE", "ROW_FORMAT", "KEY_BLOCK_SIZE", "PAGE_COMPRESSED", "ENCRYPTED", "ENCRYPTION", "COMPRESSION")


def expand(change: Change, together: Sequence[Change], world: World) -> Iterator[Hit]:
    yield from _everywhere(change, together, world)
    match change:
        case c.AddColumn(table=table) if not world.is_fresh(table):
            yield from _add_column(change, world)
        case c.Redefine():
            yield from _redefine(change, world, of=Stage.EXPAND)
        case c.CreateIndex(table=table, unique=True, parts=parts) if not world.is_fresh(table):
            if not unique_is_safe(world, table, parts, nulls_equal=False):
                names = {"table": table, "name": change.name, "columns": ", ".join(parts)}
                yield Hit("unique-breaks-writes", names, tables=(table,))
        case c.DropIndex(name=name, table=table) if not world.is_fresh(table) and f"index {name}" not in world.fresh:
            yield Hit("drop-index", {"name": name, "table": table}, tables=(table,))
        case c.AddConstraint(table=table) if not world.is_fresh(table):
            yield from _constraint(change, world)
        case c.DropConstraint(table=table) if not world.is_fresh(table):
            yield from drop_constraint(change, world)
        case c.SetDefault() | c.DropDefault() | c.DropColumn() | c.RenameColumn():
            yield from columns.hits(change, world) if not world.is_fresh(change.table) else ()
        case c.Create(kind="trigger", table=table, name=name) if not world.is_fresh(table):
            if change.replace or not harmless(change, world):
                yield Hit("create-trigger", {"name": name, "table": table}, tables=(table,))
        case c.AddColumn() | c.CreateIndex() | c.DropIndex() | c.DropConstraint() | c.AlterTable() | c.Algorithm():
            return
        case _:
            yield from at_first.hits(change, together, world)


def contract(change: Change, together: Sequence[Change], later: Sequence[Change], world: World) -> Iterator[Hit]:
    yield from _everywhere(change, together, world)
    match change:
        case c.DropColumn(table=table, column=column):
            yield from (
                hit for hit in at_last.hits(change, together, later, world) if hit.rule != "column-before-trigger"
            )
            for trigger in written(world, table, column):
                names = {"table": table, "column": column, "name": trigger}
                instead = f"DROP TRIGGER {trigger}; in a statement before this one"
                yield Hit("column-before-trigger", names, instead, tables=(table,))
        case c.Redefine():
            yield from _redefine(change, world, of=Stage.CONTRACT)
        case c.AddConstraint(table=table) if not world.is_fresh(table):
            yield from _constraint(change, world, semantic=False)
        case c.CreateIndex() | c.DropIndex() | c.DropConstraint() | c.AlterTable() | c.Algorithm():
            return
        case _:
            yield from at_last.hits(change, together, later, world)


def _everywhere(change: Change, together: Sequence[Change], world: World) -> Iterator[Hit]:
    """What the server does, whoever serves."""
    table = str(getattr(change, "table", "") or "")
    names = {"table": table, "name": table}
    if "." in table and not isinstance(change, c.Query):
        yield Hit("other-database", names, tables=(table,))
    if isinstance(change, c.DropTable | c.RenameTable) and sum(type(each) is type(change) for each in together) > 1:
        yield Hit("several-at-once")
    match change:
        case c.CreateTable(source="as"):
            yield Hit("table-from-query", names)
        case c.CreateTable(options=options):
            yield from _engine(options, names)
        case c.AlterTable(what=what, detail=detail) if not world.is_fresh(table):
            yield from _table(what, detail, names)
        case c.Algorithm(what=what, value=value) if not world.is_fresh(table) and value in (
            "COPY",
            "SHARED",
            "EXCLUSIVE",
        ):
            yield Hit("asks-for-lock", names | {"what": f"{what}={value}"}, tables=(table,))
        case c.CreateIndex(kind=kind) if kind and not world.is_fresh(table):
            yield Hit("keeps-writers-out", names | {"what": f"a {kind} index"}, tables=(table,))


def _engine(options: str, names: dict[str, str]) -> Iterator[Hit]:
    words = options.upper().replace("=", " = ").split()
    for i, word in enumerate(words):
        engine = next((each for each in words[i + 1 : i + 3] if each != "="), "") if word == "ENGINE" else ""
        if engine and engine not in TRANSACTIONAL:
            yield Hit("no-transactions", names | {"what": engine.capitalize()})


def _table(what: str, detail: str, names: dict[str, str]) -> Iterator[Hit]:
    """Other actions of ALTER TABLE."""
    first, tables = what.split()[0], (names["table"],)
    names = names | {"what": f"{what} {detail}" if detail and not detail.startswith(what) else detail or what}
    if "PARTITION" in what or first in ("REORGANIZE", "COALESCE", "EXCHANGE"):
        yield Hit("partition", names, tables=tables)
    elif first == "ENGINE":
        yield from _engine(f"ENGINE {detail.removeprefix('ENGINE')}", names)
        yield Hit("rebuilds-table", names, tables=tables)
    elif first == "CONVERT":
        yield Hit("copies-table", names, tables=tables)
    elif first in REBUILDS:
        yield Hit("rebuilds-table", names, tables=tables)
    elif what in ("RENAME INDEX", "RENAME KEY"):
        yield Hit("rename-index", names, ruling=Ruling.WARN, tables=tables)
    elif first not in MILD:
        yield Hit("table-action", names, tables=tables)


def _redefine(change: c.Redefine, world: World, *, of: Stage) -> Iterator[Hit]:
    table, column, after = change.table, change.column, change.to
    if world.is_fresh(table):
        return
    before = world.column(table, column)
    names = {"table": table, "column": column, "name": f"{table}.{column}"}
    if before is None:
        yield Hit(
            "unknown-object" if world.lacks_column(table, column) else "redefines-unknown", names, tables=(table,)
        )
    fresh = world.is_fresh(table, column)
    if after.name != column and (of is Stage.CONTRACT or not fresh):
        yield Hit("rename-column", names | {"to": after.name}, tables=(table,))
    if before is not None:
        yield from redefined(table, before, after, contract=of is Stage.CONTRACT or fresh)


def _constraint(change: c.AddConstraint, world: World, *, semantic: bool = True) -> Iterator[Hit]:
    """`semantic`: the running version must be able to live with it too."""
    table, constraint = change.table, change.constraint
    names = {"table": table, "name": constraint.name, "condition": constraint.condition}
    names["columns"] = ", ".join(constraint.parts)
    match constraint.kind:
        case "check":
            yield Hit("copies-table", names | {"what": "a CHECK for rows that are there"}, tables=(table,))
            if semantic and not holds(world, table, constraint.condition):
                yield Hit("check-breaks-writes", names, tables=(table,))
        case "foreign":
            key = constraint.references.table if constraint.references else ""
            yield Hit("foreign-key-locks", names | {"to": key}, ONLINE, tables=(table, key))
            if semantic:
                yield Hit("foreign-key-breaks-writes", names | {"name": key}, tables=(table,))
        case "primary":
            yield Hit("rebuilds-table", names | {"what": "another primary key"}, tables=(table,))
            if semantic:
                yield Hit("unique-breaks-writes", names, tables=(table,))
        case "unique" if semantic and not unique_is_safe(world, table, constraint.parts, nulls_equal=False):
            yield Hit("unique-breaks-writes", names, tables=(table,))


def _add_column(change: c.AddColumn, world: World) -> Iterator[Hit]:
    table, column = change.table, change.column
    names = {"table": table, "column": column.name, "type": column.type, "default": column.default or ""}
    names["name"] = column.name
    if change.if_not_exists and world.column(table, column.name):
        return
    missing = value_of(column.default) in ("NULL", "null")
    simple = value_of(column.default) is not None or _moment(column.default)
    found: list[tuple[str, str]] = []
    if column.auto_increment:
        found.append(("add-identity", ""))
    elif column.generated in ("stored", "identity"):
        found.append(
            ("add-generated", f"a VIRTUAL column, which is computed when it is read: {column.name} … AS (…) VIRTUAL")
        )
    elif not column.generated and not simple:
        found.append(
            (
                "volatile-default",
                f"ALTER TABLE {table} ADD COLUMN {column.name} {column.type}; SET DEFAULT in contract.sql",
            )
        )
    if not column.nullable and missing and not column.generated and not column.auto_increment:
        instead = f"ALTER TABLE {table} ADD COLUMN {column.name} {column.type}; and in contract.sql MODIFY … NOT NULL"
        found.append(("add-not-null-column", instead))
    if column.check and not lets_pass(change, world):
        found.append(("check-breaks-writes", ""))
    if column.references:
        found.append(("foreign-key-locks", ONLINE))
    yield from (
        Hit(rule, names | {"condition": column.check or "", "columns": column.name}, instead, tables=(table,))
        for rule, instead in found
    )
    yield from _keyed(column, names, missing)


def _keyed(column: c.Column, names: dict[str, str], missing: bool) -> Iterator[Hit]:
    tables = (names["table"],)
    if column.primary or column.unique:
        yield Hit("rebuilds-table", names | {"what": f"{column.name} with a key of its own"}, tables=tables)
        if column.primary or not missing:
            yield Hit("unique-breaks-writes", names | {"columns": column.name}, tables=tables)


def _moment(default: str | None) -> bool:
    """Worked out once for the rows that are there, kept in the dictionary."""
    return (default or "").upper().split("(")[0].strip() in ("CURRENT_TIMESTAMP", "NOW", "LOCALTIME", "LOCALTIMESTAMP")
