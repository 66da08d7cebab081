"""What the names in a change mean: the table of a name without a schema, and none of another with the same name."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Protocol

from greenroom.adapters.database.judging import types
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.change import Change

KNOWN = types.BUILT_IN | types.SERIAL
ON_A_TABLE = ("trigger", "policy", "rule")
NO_SCHEMA = ("schema",)


class Names(Protocol):
    """Both are given names as they are written, and answer with those that the judge uses."""

    def made(self, kind: str, name: str) -> str:
        """Of what comes to be."""

    def meant(self, kind: str, name: str) -> str:
        """Of what is there."""


def named(change: Change, names: Names) -> Change:
    """The same change, with these names."""
    match change:
        case c.CreateTable(temporary=False):
            return _table(change, names)
        case c.RenameTable(table=table, to=to, kind=kind):
            now = names.meant(kind, table)
            beside = "." not in table and "." not in to
            to = f"{now.rpartition('.')[0]}.{to}" if beside and "." in now else names.made(kind, to)
            return replace(change, table=now, to=to)
        case c.AddColumn(column=column):
            return replace(change, table=names.meant("table", change.table), column=_column(column, names))
        case c.AlterType(table=table, type=kind):
            return replace(change, table=names.meant("table", table), type=_type(kind, names))
        case c.AddConstraint(constraint=constraint):
            now = names.meant("table", change.table)
            return replace(change, table=now, constraint=_constraint(constraint, names))
        case c.OnTable(table=table) | c.DropTable(table=table) if table:
            now = names.meant("table", table)
            return change if now == table else replace(change, table=now)
        case c.DropIndex(name=name):
            return replace(change, name=names.meant("index", name))
    return _other(change, names)


def _other(change: Change, names: Names) -> Change:
    match change:
        case c.Create(kind=kind, table=table, function=function) if kind in ON_A_TABLE:
            called = names.meant("function", function) if function else ""
            return replace(change, table=names.meant("table", table), function=called)
        case c.Drop(kind=kind, table=table) if kind in ON_A_TABLE:
            return replace(change, table=names.meant("table", table)) if table else change
        case c.Create(kind=kind, name=name) if name and kind not in NO_SCHEMA:
            return replace(change, name=names.made(kind, name))
        case c.Drop(kind=kind, name=name) | c.Alter(kind=kind, name=name) if kind not in (*NO_SCHEMA, *ON_A_TABLE):
            return replace(change, name=names.meant(kind, name))
    return change


def _table(change: c.CreateTable, names: Names) -> Change:
    made = names.made("table", change.table)
    return replace(
        change,
        table=made,
        columns=tuple(_column(one, names, change.table) for one in change.columns),
        constraints=tuple(_constraint(one, names, change.table) for one in change.constraints),
        sources=tuple(names.meant("table", one) for one in change.sources),
    )


def _column(column: c.Column, names: Names, own: str = "") -> c.Column:
    kind = _type(column.type, names)
    if column.references is None:
        return column if kind == column.type else replace(column, type=kind)
    return replace(column, type=kind, references=_key(column.references, names, own))


def _type(kind: str, names: Names) -> str:
    """Of a type that is not built in, `mood[]` for one."""
    if not kind or types.base(kind) in KNOWN:
        return kind
    name = re.split(r"[\[(]", kind, maxsplit=1)[0].strip()
    return names.meant("type", name) + kind[len(name) :]


def _constraint(constraint: c.Constraint, names: Names, own: str = "") -> c.Constraint:
    if constraint.references is None:
        return constraint
    return replace(constraint, references=_key(constraint.references, names, own))


def _key(key: c.Key, names: Names, own: str) -> c.Key:
    """`own`: the table that is being made, which may refer to itself."""
    return replace(key, table=names.made("table", own) if own and key.table == own else names.meant("table", key.table))
