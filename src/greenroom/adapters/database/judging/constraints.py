"""PostgreSQL: constraints on a table that was there before."""

from __future__ import annotations

from collections.abc import Iterator

from greenroom.adapters.database.judging.conditions import holds, unique_is_safe
from greenroom.adapters.database.judging.rule import Hit
from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading import change as c
from greenroom.domain.schema import Ruling

LETS_DELETE = ("CASCADE", "SET NULL", "SET DEFAULT")


def add_constraint(change: c.AddConstraint, world: World) -> Iterator[Hit]:
    """In expand: it takes no long lock, and no write of the running version breaks it."""
    table, constraint = change.table, change.constraint
    names = {"table": table, "name": constraint.name, "condition": constraint.condition}
    names["columns"] = ", ".join(constraint.parts)
    yield from locking(change, world)
    match constraint.kind:
        case "check" if not holds(world, table, constraint.condition):
            yield Hit("check-breaks-writes", names, tables=(table,))
        case "unique" | "primary" if not constraint.using_index and not _safe(table, constraint, world):
            yield Hit("unique-breaks-writes", names, tables=(table,))
        case "foreign" if constraint.not_valid and constraint.references:
            target = constraint.references.table
            on_fresh = all(world.is_fresh(table, part) for part in constraint.parts)
            if not on_fresh or constraint.references.on_delete not in LETS_DELETE:
                found = names | {"name": target}
                rule = "reference-blocks-delete" if on_fresh else "foreign-key-breaks-writes"
                at = {"table": target, "name": table} if on_fresh else found
                if not (on_fresh and world.is_fresh(target)):
                    yield Hit(rule, at, tables=(table,))
        case "exclude":
            yield Hit("unique-breaks-writes", names, tables=(table,))


def _safe(table: str, constraint: c.Constraint, world: World) -> bool:
    primary = constraint.kind == "primary"
    return not primary and unique_is_safe(world, table, constraint.parts, nulls_equal=constraint.nulls_not_distinct)


def locking(change: c.AddConstraint, world: World) -> Iterator[Hit]:
    """In expand and contract alike: what reads the table, or builds an index, while nobody else can work."""
    table, constraint = change.table, change.constraint
    names = {"table": table, "name": constraint.name, "condition": constraint.condition}
    names["columns"] = ", ".join(constraint.parts)
    match constraint.kind:
        case "check" if not constraint.not_valid:
            yield Hit("check-locks", names, tables=(table,))
        case "foreign" if not constraint.not_valid:
            key = constraint.references.table if constraint.references else ""
            yield Hit("foreign-key-locks", names | {"to": key}, tables=(table, key))
        case "primary" if constraint.using_index:
            index = world.indexes.get(world.beside(table, constraint.using_index))
            known = [world.column(table, part) for part in (index.parts if index else ())]
            if not known or any(column is None or column.nullable for column in known):
                yield Hit("primary-key-reads", names | {"name": constraint.using_index}, tables=(table,))
        case "unique" | "primary" if not constraint.using_index:
            yield Hit("unique-locks", names, tables=(table,))
        case "exclude":
            yield Hit("exclude-locks", names, tables=(table,))


def drop_constraint(change: c.DropConstraint, world: World) -> Iterator[Hit]:
    """In expand."""
    if f"constraint {change.name}" in world.fresh:
        return
    table = world.tables.get(change.table)
    known = table.constraints.get(change.name) if table else None
    mild = known is not None and known.kind in ("check", "foreign")
    names = {"table": change.table, "name": change.name}
    yield Hit("drop-constraint", names, ruling=Ruling.WARN if mild else None, tables=(change.table,))
