"""What is known to be there while a file is judged: begun with the schema, changed by every statement that is read.

`fresh` is what the release itself has made and nobody uses yet: `users`, `users.preference`, `index i`, `function f` …
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from greenroom.adapters.database.reading import Statement, changes
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.change import Change, Column, Constraint
from greenroom.domain.schema import Dialect


@dataclass(slots=True)
class Table:
    """`whole`: every column of it is in `columns`. `triggers`: by name, the function that is called."""

    columns: dict[str, Column] = field(default_factory=dict)
    constraints: dict[str, Constraint] = field(default_factory=dict)
    triggers: dict[str, str] = field(default_factory=dict)
    whole: bool = False
    partitioned: bool = False
    secured: bool = False
    """Row level security is on."""
    has_default: bool = False
    """A partition for all other rows."""

    def copy(self) -> Table:
        columns, constraints, triggers = dict(self.columns), dict(self.constraints), dict(self.triggers)
        return replace(self, columns=columns, constraints=constraints, triggers=triggers)


@dataclass(frozen=True, slots=True)
class Index:
    table: str
    unique: bool
    parts: tuple[str, ...] = ()
    partial: bool = False


@dataclass(slots=True)
class World:
    """`complete`: what is not in here is not there at all."""

    dialect: Dialect
    complete: bool = False
    trusting: bool = False
    """What is made "if not exists" was not there."""
    tables: dict[str, Table] = field(default_factory=dict)
    indexes: dict[str, Index] = field(default_factory=dict)
    bodies: dict[str, str] = field(default_factory=dict)
    """Of functions, by name; "" where there are several of one name."""
    others: dict[str, str] = field(default_factory=dict)
    """`view v`, `type e`, `domain d`, `sequence s` …: the definition."""
    fresh: set[str] = field(default_factory=set)
    unnamed: bool = False
    """There are indexes whose names the server has chosen."""

    def is_fresh(self, table: str, column: str = "") -> bool:
        """Made by this release: the table, or this column of it."""
        return table in self.fresh or bool(column and f"{table}.{column}" in self.fresh)

    def column(self, table: str, column: str) -> Column | None:
        known = self.tables.get(table)
        return known.columns.get(column) if known else None

    def lacks_table(self, table: str) -> bool:
        """Certainly not there."""
        return (self.complete or self.trusting) and not (
            table in self.tables or f"view {table}" in self.others or f"materialized view {table}" in self.others
        )

    def lacks_column(self, table: str, column: str) -> bool:
        known = self.tables.get(table)
        return known is not None and (known.whole or self.trusting) and column not in known.columns

    def copy(self) -> World:
        """What changes is copied: the tables, not what they are made of, which never changes."""
        tables = {name: table.copy() for name, table in self.tables.items()}
        dicts = dict(self.indexes), dict(self.bodies), dict(self.others)
        return replace(self, tables=tables, indexes=dicts[0], bodies=dicts[1], others=dicts[2], fresh=set(self.fresh))

    def read(self, statements: Iterable[Statement], *, fresh: bool = False) -> World:
        for statement in statements:
            for change in changes(statement, self.dialect):
                self.apply(change, fresh=fresh)
                if isinstance(change, c.Opaque | c.Server) and "TABLE" in statement.sql.upper():
                    self.complete = False
        return self

    def apply(self, change: Change, *, fresh: bool) -> None:
        """`fresh`: what this makes is of the release that is judged."""
        match change:
            case c.CreateTable():
                self._create_table(change, fresh)
            case c.OnTable(table=table) if table not in self.tables and not self.complete:
                self.tables[table] = Table()
                self._on_table(change, self.tables[table], fresh)
            case c.OnTable(table=table) if table in self.tables:
                self._on_table(change, self.tables[table], fresh)
            case c.DropTable(table=table):
                self.tables.pop(table, None)
                self.fresh -= {name for name in self.fresh if name == table or name.startswith(f"{table}.")}
            case c.DropIndex(name=name):
                self.indexes.pop(name, None)
                self.fresh.discard(f"index {name}")
            case c.Create():
                self._create(change, fresh)
            case c.Drop(kind="trigger", name=name, table=table):
                self.fresh.discard(f"trigger {name}")
                for known in self.tables.values() if not table else filter(None, [self.tables.get(table)]):
                    known.triggers.pop(name, None)  # only PostgreSQL says whose it is
            case c.Drop(kind=kind, name=name):
                self.others.pop(f"{kind} {name}", None)
                self.bodies.pop(name, None)
                self.fresh.discard(f"{kind} {name}")

    def _create_table(self, change: c.CreateTable, fresh: bool) -> None:
        name = change.table
        if change.temporary or (
            change.if_not_exists and (name in self.tables or (fresh and not self.lacks_table(name)))
        ):
            return
        whole = not change.source
        table = Table({column.name: column for column in change.columns}, whole=whole)
        table.partitioned = change.options.lower().startswith("partition by")
        if change.source == "partition of" and "DEFAULT" in change.options.upper():
            self.tables.setdefault(change.sources[0], Table()).has_default = True
        self.tables[name] = table
        for column in change.columns:
            self._traits(name, column)
        for constraint in change.constraints:
            self._constrain(name, constraint)
        if fresh and change.source not in ("partition of", "inherits"):
            self.fresh.add(name)

    def _traits(self, table: str, column: Column) -> None:
        """The constraints that a column's definition makes, under the names that PostgreSQL gives them."""
        if column.primary:
            self._constrain(table, Constraint("primary", f"{table}_pkey", (column.name,)))
        if column.unique:
            self._constrain(table, Constraint("unique", f"{table}_{column.name}_key", (column.name,)))
        if column.check:
            self._constrain(table, Constraint("check", f"{table}_{column.name}_check", condition=column.check))
        if column.references:
            self._constrain(table, Constraint("foreign", f"{table}_{column.name}_fkey", (column.name,)))

    def _constrain(self, table: str, constraint: Constraint) -> str:
        known = self.tables[table]
        suffix = {"primary": "pkey", "unique": "key", "check": "check", "foreign": "fkey", "exclude": "excl"}
        middle = "_".join(constraint.parts) if constraint.kind not in ("primary", "check") else ""
        name = constraint.name or "_".join(filter(None, (table, middle, suffix[constraint.kind])))
        index = self.indexes.get(constraint.using_index)
        parts = index.parts if index else constraint.parts
        known.constraints[name] = replace(constraint, name=name, parts=parts)
        if constraint.kind in ("primary", "unique", "exclude"):
            self.indexes.pop(constraint.using_index, None)
            self.indexes[name] = Index(table, True, parts)
        if constraint.kind == "primary":
            for part in parts:
                if part in known.columns:
                    known.columns[part] = replace(known.columns[part], nullable=False)
        return name

    def _on_table(self, change: Change, table: Table, fresh: bool) -> None:
        match change:
            case c.AddColumn(table=name, column=column, if_not_exists=unless):
                if not unless or self.lacks_column(name, column.name):
                    table.columns[column.name] = column
                    self._traits(name, column)
                    self.fresh |= {f"{name}.{column.name}"} if fresh else set()
            case c.AddConstraint(table=name, constraint=constraint):
                made = self._constrain(name, constraint)
                self.fresh |= {f"constraint {made}"} if fresh else set()
            case c.DropConstraint(name=name):
                table.constraints.pop(name, None)
                self.indexes.pop(name, None)
            case c.Validate(name=name) if name in table.constraints:
                table.constraints[name] = replace(table.constraints[name], not_valid=False)
            case c.CreateIndex():
                self._create_index(change, fresh)
            case c.AlterTable(what="ENABLE ROW" | "FORCE ROW"):
                table.secured = True
            case c.AlterTable(what="ATTACH PARTITION", detail=detail) if detail.upper().endswith("DEFAULT"):
                table.has_default = True
            case c.AlterTable(what="ALTER COLUMN ADD GENERATED", detail=detail):
                if counted := table.columns.get(detail.split()[0].strip('"')):
                    table.columns[counted.name] = replace(counted, generated="identity", nullable=False)
            case c.RenameTable(table=name, to=to):
                self.tables[to] = self.tables.pop(name)
                moved = {each for each in self.fresh if each == name or each.startswith(f"{name}.")}
                self.fresh = (self.fresh - moved) | {to + each[len(name) :] for each in moved}
            case _:
                self._alter_column(change, table)

    def _create_index(self, change: c.CreateIndex, fresh: bool) -> None:
        name = change.name or "_".join((change.table, *change.parts, "idx"))
        self.unnamed = self.unnamed or not change.name
        if not change.if_not_exists or ((self.complete or self.trusting) and name not in self.indexes):
            self.indexes[name] = Index(change.table, change.unique, change.parts, bool(change.where))
            self.fresh |= {f"index {name}"} if fresh else set()

    def _alter_column(self, change: Change, table: Table) -> None:
        match change:
            case c.DropColumn(table=name, column=column):
                table.columns.pop(column, None)
                self.fresh.discard(f"{name}.{column}")
            case c.RenameColumn(table=name, column=column, to=to):
                if known := table.columns.pop(column, None):
                    table.columns[to] = replace(known, name=to)
                if f"{name}.{column}" in self.fresh:
                    self.fresh = (self.fresh - {f"{name}.{column}"}) | {f"{name}.{to}"}
            case c.Redefine(column=column, to=definition):
                table.columns.pop(column, None)
                table.columns[definition.name] = definition
            case c.AlterType(column=column, type=kind) if column in table.columns:
                table.columns[column] = replace(table.columns[column], type=kind)
            case c.SetDefault(column=column, default=default) if column in table.columns:
                table.columns[column] = replace(table.columns[column], default=default)
            case c.DropDefault(column=column) if column in table.columns:
                table.columns[column] = replace(table.columns[column], default=None)
            case c.SetNotNull(column=column) if column in table.columns:
                table.columns[column] = replace(table.columns[column], nullable=False)
            case c.DropNotNull(column=column) if column in table.columns:
                table.columns[column] = replace(table.columns[column], nullable=True)

    def _create(self, change: c.Create, fresh: bool) -> None:
        kind, name = change.kind, change.name
        if kind in ("function", "procedure"):
            again = name in self.bodies
            known = again or not (self.complete or self.trusting)
            self.bodies[name] = change.body if not again or change.replace else ""
            self.fresh |= {f"function {name}"} if fresh and not (change.replace and known) else set()
            return
        if kind == "trigger":
            self.tables.setdefault(change.table, Table()).triggers[name] = change.function
            self.bodies |= {} if change.function else {f"trigger {name}": change.body}
            self.fresh |= {f"trigger {name}"} if fresh else set()
            return
        there = f"{kind} {name}" in self.others or not (self.complete or self.trusting)
        self.others[f"{kind} {name}"] = change.body
        if fresh and not ((change.replace or change.if_not_exists) and there):
            self.fresh.add(f"{kind} {name}")


def created(statements: Iterable[Statement], dialect: Dialect) -> frozenset[str]:
    """What these statements make, for `Context.created`."""
    return frozenset(World(dialect).read(statements, fresh=True).fresh)
