"""PostgreSQL, expand: columns of a table that the running version uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from greenroom.adapters.database.judging import types
from greenroom.adapters.database.judging.conditions import holds, unique_is_safe, value_of
from greenroom.adapters.database.judging.rule import Hit
from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.change import Change
from greenroom.adapters.database.reading.expressions import unknown, volatile, words
from greenroom.domain.schema import Ruling


def hits(change: Change, world: World) -> Iterator[Hit]:
    names = {"table": getattr(change, "table", ""), "column": getattr(change, "column", "")}
    tables = (names["table"],)
    fresh = world.is_fresh(names["table"], names["column"]) if isinstance(names["column"], str) else False
    match change:
        case c.AddColumn():
            yield from _add(change, world)
        case c.DropColumn() if not fresh:
            yield Hit("drop-column", names, tables=tables)
        case c.RenameColumn(to=to) if not fresh:
            yield Hit("rename-column", names | {"to": to}, tables=tables)
        case c.AlterType():
            yield from change_type(change, world)
        case c.SetDefault():
            yield from _set_default(change, world)
        case c.DropDefault():
            known = world.column(change.table, change.column)
            if not fresh or known is None or not known.nullable:
                yield Hit("drop-default", names, tables=tables)
        case c.SetNotNull(table=table, column=column):
            known = world.column(table, column)
            if known is not None and not known.nullable:
                return  # nothing happens
            yield Hit("set-not-null", names, tables=tables)
        case c.DropNotNull() if not fresh:
            yield Hit("drop-not-null", names, tables=tables)


def change_type(change: c.AlterType, world: World) -> Iterator[Hit]:
    names = {"table": change.table, "column": change.column, "type": change.type}
    known = world.column(change.table, change.column)
    safe = known is not None and not change.using and not change.collation and types.widens(known.type, change.type)
    if not safe or _depended(change.table, change.column, world):
        yield Hit("change-type", names, tables=(change.table,))
    elif not world.is_fresh(change.table, change.column):
        yield Hit("widen-type", names, tables=(change.table,))


def _depended(table: str, column: str, world: World) -> bool:
    """A view is in the way, or a CHECK, which would be proved anew."""
    known = world.tables.get(table)
    for constraint in known.constraints.values() if known else ():
        if constraint.kind == "check" and column in words(constraint.condition, world.dialect):
            return True
    bodies = [body for name, body in world.others.items() if name.partition(" ")[0] in ("view", "materialized")]
    return any({table.rpartition(".")[2], column} <= set(words(body, world.dialect)) for body in bodies)


def _set_default(change: c.SetDefault, world: World) -> Iterator[Hit]:
    names = {"table": change.table, "column": change.column, "default": change.default}
    if called := unknown(change.default, world.dialect):
        yield Hit("unknown-function", {"name": ", ".join(f"{name}()" for name in called)}, tables=(change.table,))
    if world.is_fresh(change.table, change.column):
        yield from _breaking(change, world)
        return
    known = world.column(change.table, change.column)
    if known is not None and known.default is None and not known.nullable:
        return  # the running version always names it
    changed = known is not None and known.default is not None and known.default != change.default
    yield Hit("change-default", names, ruling=None if changed else Ruling.WARN, tables=(change.table,))


def _breaking(change: c.SetDefault, world: World) -> Iterator[Hit]:
    """What this release asks of its new column, and the running version's rows satisfied as long as they left it NULL."""
    table = change.table
    then = replace(world, tables=world.tables | {table: world.tables[table].copy()})
    then.apply(change, fresh=True)
    known = then.tables[table]
    for constraint in known.constraints.values():
        named = constraint.kind == "check" and change.column in words(constraint.condition, world.dialect)
        if named and not holds(then, table, constraint.condition):
            yield Hit("check-breaks-writes", {"table": table, "condition": constraint.condition}, tables=(table,))
    for index in then.indexes.values():
        named = any(change.column in words(part, world.dialect) for part in index.parts)
        unique = index.table == table and index.unique and named
        if unique and not unique_is_safe(then, table, index.parts, nulls_equal=False, itself=index):
            yield Hit("unique-breaks-writes", {"table": table, "columns": ", ".join(index.parts)}, tables=(table,))


def _add(change: c.AddColumn, world: World) -> Iterator[Hit]:
    table, column = change.table, change.column
    names = {"table": table, "column": column.name, "type": column.type, "default": column.default or ""}
    if change.if_not_exists and world.column(table, column.name):
        return  # nothing happens
    kind = types.base(column.type)
    missing = value_of(column.default) in ("NULL", "null")
    found: list[str] = []
    if column.generated == "identity" or kind in types.SERIAL:
        found.append("add-identity")
    elif column.generated == "stored":
        found.append("add-generated")
    elif (column.default and volatile(column.default, world.dialect)) or _is_domain(column.type, world):
        found.append(
            "volatile-default" if column.default and volatile(column.default, world.dialect) else "domain-column"
        )
    if not column.nullable and missing and not column.generated and kind not in types.SERIAL:
        found.append("add-not-null-column")
    if column.unique or column.primary:
        found.append("unique-locks")
    if column.default and "select" in words(column.default, world.dialect):
        found.append("volatile-default")
    if column.check:
        found.append("check-locks")
    if kind == "json":
        found.append("json-column")
    if column.references and not missing:
        found.append("foreign-key-locks")
    yield from (Hit(rule, names | {"name": column.name}, tables=(table,)) for rule in found)
    if column.references and missing and not world.is_fresh(column.references.table):
        yield Hit("foreign-key-at-once", names | {"name": column.references.table}, tables=(table,))


def _is_domain(kind: str, world: World) -> bool:
    """A domain, or a type that nobody has seen the making of."""
    base = types.base(kind)
    if base in types.BUILT_IN | types.SERIAL:
        return False
    name = kind.split("[")[0].split("(")[0].strip()
    return f"type {name}" not in world.others
