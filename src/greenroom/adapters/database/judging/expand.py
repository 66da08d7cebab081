"""PostgreSQL, before the candidate starts: what the running version cannot live with, or would wait for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from greenroom.adapters.database.judging import columns, indexes, objects
from greenroom.adapters.database.judging.constraints import add_constraint, drop_constraint
from greenroom.adapters.database.judging.rule import Hit
from greenroom.adapters.database.judging.types import SERIAL
from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.change import Change
from greenroom.domain.schema import Ruling


def hits(change: Change, together: Sequence[Change], world: World) -> Iterator[Hit]:
    """`together`: all changes of the same statement."""
    match change:
        case c.CreateTable():
            yield from create_table(change, world)
        case c.DropTable(table=table) if not world.is_fresh(table):
            yield Hit("drop-table", {"table": table}, tables=(table,))
        case c.RenameTable(table=table, to=to, kind=kind) if not _fresh(world, kind, table):
            yield Hit("rename-table", {"table": table, "to": to, "what": kind}, tables=(table,))
        case c.Insert(table=table) if not world.is_fresh(table) and seeds(change, world):
            yield Hit("seed-rows", {"table": table}, tables=(table,))
        case c.Insert(table=table) | c.Update(table=table) | c.Delete(table=table) if not world.is_fresh(table):
            what = type(change).__name__.upper()
            yield Hit("rows-in-expand", {"table": table, "what": what}, tables=(table,))
        case c.Truncate(table=table) if not world.is_fresh(table):
            yield Hit("truncate", {"table": table}, tables=(table,))
        case c.CreateIndex() | c.DropIndex():
            yield from indexes.hits(change, world)
        case c.Create() | c.Drop() | c.Alter():
            yield from objects.hits(change, world)
        case c.OnTable(table=table) if not world.is_fresh(table):
            yield from _on_table(change, together, world)
        case c.AddConstraint(constraint=constraint, table=table) if constraint.references:
            yield from referring(constraint.references, table, world)
        case c.AlterTable(table=table, what=what) if what in ("INHERIT", "OF") or "PARTITION" in what:
            yield Hit("table-action", {"table": table, "what": what}, tables=(table,))


def _on_table(change: Change, together: Sequence[Change], world: World) -> Iterator[Hit]:
    """Of a table that was there before."""
    match change:
        case c.AddConstraint():
            yield from add_constraint(change, world)
        case c.DropConstraint():
            yield from drop_constraint(change, world)
        case c.Validate(table=table, name=name):
            if any(isinstance(other, c.AddConstraint) for other in together):
                yield Hit("validate-at-once", {"table": table, "name": name}, tables=(table,))
        case c.AlterTable():
            yield from _table_action(change, world)
        case _:
            yield from columns.hits(change, world)


def seeds(change: c.Insert, world: World) -> bool:
    """A few rows that are written out, none over what is there, and no number in place of one that would be drawn."""
    known = world.tables.get(change.table)
    if change.query or change.conflict not in ("", "nothing") or not change.columns or known is None or not known.whole:
        return False
    given = [known.columns[name] for name in change.columns if name in known.columns]
    drawn = [column for column in given if column.generated or column.auto_increment or _draws(column)]
    return len(given) == len(change.columns) and not drawn


def _draws(column: c.Column) -> bool:
    return column.type in SERIAL or "nextval" in (column.default or "").lower()


def _fresh(world: World, kind: str, name: str) -> bool:
    return world.is_fresh(name) or f"{kind} {name}" in world.fresh


def _table_action(change: c.AlterTable, world: World) -> Iterator[Hit]:
    """Some are harmless for what is known of the table."""
    detail = change.detail.upper().split()
    if (
        change.what == "ALTER CONSTRAINT"
        and "DEFERRABLE" in detail
        and "NOT" not in detail
        and "DEFERRED" not in detail
    ):
        return
    if change.what == "ALTER COLUMN ADD GENERATED" and "BY" in detail:
        known = world.column(change.table, change.detail.split()[0])
        if known is not None and not known.nullable and known.default is None:
            return
    if change.what == "ATTACH PARTITION" and world.is_fresh(world.meant("table", change.detail.split()[2])):
        parent = world.tables.get(change.table)
        mild = parent is not None and parent.whole and not parent.has_default
        names = {"table": change.table, "what": change.what}
        yield Hit("partition", names, ruling=Ruling.WARN if mild else None, tables=(change.table,))
        return
    yield from table_action(change.table, change.what, mild=detail[-2:] == ["IDENTITY", "FULL"])


def table_action(table: str, what: str, *, mild: bool = False) -> Iterator[Hit]:
    if what == "RENAME CONSTRAINT":
        yield Hit("rename-constraint", {"table": table}, tables=(table,))
    elif what in ("SET LOGGED", "SET UNLOGGED", "SET TABLESPACE", "SET ACCESS"):
        yield Hit("rewrite-table", {"table": table, "what": what}, tables=(table,))
    elif "TRIGGER" in what or "RULE" in what:
        yield Hit("switch-trigger", {"table": table, "what": what}, tables=(table,))
    elif what.split()[0] in ("ENABLE", "DISABLE", "FORCE", "NO") and "INHERIT" not in what:
        yield Hit("row-security", {"table": table, "what": what}, tables=(table,))
    elif what == "ATTACH PARTITION" or what == "DETACH PARTITION":
        yield Hit("partition", {"table": table, "what": what}, tables=(table,))
    elif what.startswith("ALTER COLUMN"):
        yield Hit("column-action", {"table": table, "what": what}, tables=(table,))
    elif what != "OWNER TO":
        yield Hit("table-action", {"table": table, "what": what}, ruling=Ruling.WARN if mild else None, tables=(table,))


def create_table(change: c.CreateTable, world: World) -> Iterator[Hit]:
    table = change.table
    for parent in change.sources:
        if change.source == "partition of" and not world.is_fresh(parent):
            default = "DEFAULT" in change.options.upper()
            ruling = Ruling.REFUSE if default else Ruling.WARN
            yield Hit("partition", {"table": parent, "what": "PARTITION OF"}, ruling=ruling, tables=(parent,))
        elif change.source == "inherits" and not world.is_fresh(parent):
            yield Hit("table-action", {"table": parent, "what": "INHERITS"}, tables=(parent,))
    keys = [column.references for column in change.columns] + [
        constraint.references for constraint in change.constraints
    ]
    for key in keys:
        if key is not None:
            yield from referring(key, table, world)


def referring(key: c.Key, table: str, world: World) -> Iterator[Hit]:
    """From a table that nobody fills yet."""
    if (
        key.table != table
        and not world.is_fresh(key.table)
        and key.on_delete not in ("CASCADE", "SET NULL", "SET DEFAULT")
    ):
        yield Hit("reference-blocks-delete", {"table": key.table, "name": table}, tables=(key.table,))
