"""What is known to be there while a file is judged: begun with the schema, changed by every statement that is read.

`fresh` is what the release itself has made and nobody uses yet: `users`, `users.preference`, `index i`, `function f` …
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from greenroom.adapters.database.judging.naming import named
from greenroom.adapters.database.judging.things import Index, Table
from greenroom.adapters.database.reading import Statement, changes
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.change import Change, Column, Constraint
from greenroom.adapters.database.schemas import FLAT, USUAL, SearchPath
from greenroom.domain.schema import Dialect

RELATIONS = ("table", "view", "materialized view", "sequence")
"""Of which two cannot have the same name."""


@dataclass(slots=True)
class World:
    """`complete`: what is not in here is not there at all. `path`: where names without a schema are sought; `known`: tables
    that are there besides, whatever they are made of.
    """

    dialect: Dialect
    complete: bool = False
    path: SearchPath = USUAL
    known: frozenset[str] = frozenset()
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
    moved: str = ""
    """What has changed the search_path since it was asked for."""

    def __post_init__(self) -> None:
        if self.dialect is not Dialect.POSTGRES:
            self.path = FLAT

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

    def beside(self, table: str, name: str) -> str:
        """Of an index: it lies in the schema of its table."""
        schema = table.rpartition(".")[0] if self.dialect is Dialect.POSTGRES else ""
        return f"{schema}.{name}" if schema else name

    def there(self, kind: str, name: str) -> bool:
        """Something of this name, with which this kind of thing would clash."""
        match kind:
            case "index":
                return name in self.indexes
            case "function" | "procedure" | "aggregate" | "routine":
                return name in self.bodies
            case "type" | "domain":
                return f"type {name}" in self.others or f"domain {name}" in self.others
        if kind not in RELATIONS:
            return f"{kind} {name}" in self.others
        return name in self.tables or name in self.known or any(f"{one} {name}" in self.others for one in RELATIONS)

    def found(self, kind: str, name: str) -> list[str]:
        """What a name without schema may mean, the first one first. Where nobody has told the search_path, the only table of
        this name counts, wherever it is.
        """
        places = [one for one in self.path.places(name) if self.there(kind, one)]
        if places or self.path.told or not self.complete or kind not in RELATIONS:
            return places
        far = [table for table in self.tables if table.endswith(f".{name}")]
        return far if len(far) == 1 else []

    def made(self, kind: str, name: str) -> str:
        """`naming.Names`."""
        return self.path.short(name)

    def meant(self, kind: str, name: str) -> str:
        if "." in name:
            return self.path.short(name)
        return next(iter(self.found(kind, name)), name)

    def copy(self) -> World:
        """What changes is copied: the tables, not what they are made of, which never changes."""
        tables = {name: table.copy() for name, table in self.tables.items()}
        dicts = dict(self.indexes), dict(self.bodies), dict(self.others)
        return replace(self, tables=tables, indexes=dicts[0], bodies=dicts[1], others=dicts[2], fresh=set(self.fresh))

    def read(self, statements: Iterable[Statement], *, fresh: bool = False) -> World:
        for statement in statements:
            for written in changes(statement, self.dialect):
                change = named(written, self)
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
            self._constrain(table, Constraint("primary", parts=(column.name,)))
        if column.unique:
            self._constrain(table, Constraint("unique", parts=(column.name,)))
        if column.check:
            name = f"{table.rpartition('.')[2]}_{column.name}_check"
            self._constrain(table, Constraint("check", name, condition=column.check))
        if column.references:
            self._constrain(table, Constraint("foreign", parts=(column.name,)))

    def _constrain(self, table: str, constraint: Constraint) -> str:
        known = self.tables[table]
        suffix = {"primary": "pkey", "unique": "key", "check": "check", "foreign": "fkey", "exclude": "excl"}
        middle = "_".join(constraint.parts) if constraint.kind not in ("primary", "check") else ""
        last = table.rpartition(".")[2]
        name = constraint.name or "_".join(filter(None, (last, middle, suffix[constraint.kind])))
        index = self.indexes.get(self.beside(table, constraint.using_index))
        parts = index.parts if index else constraint.parts
        known.constraints[name] = replace(constraint, name=name, parts=parts)
        if constraint.kind in ("primary", "unique", "exclude"):
            self.indexes.pop(self.beside(table, constraint.using_index), None)
            self.indexes[self.beside(table, name)] = Index(table, True, parts)
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
            case c.DropConstraint(table=of, name=name):
                table.constraints.pop(name, None)
                self.indexes.pop(self.beside(of, name), None)
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
        last = change.table.rpartition(".")[2]
        name = self.beside(change.table, change.name or "_".join((last, *change.parts, "idx")))
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
            on = self.tables.setdefault(change.table, Table())
            on.triggers[name], on.moments[name] = change.function, change.detail
            self.bodies |= {} if change.function else {f"trigger {name}": change.body}
            self.fresh |= {f"trigger {name}"} if fresh else set()
            return
        there = f"{kind} {name}" in self.others or not (self.complete or self.trusting)
        self.others[f"{kind} {name}"] = change.body
        if fresh and not ((change.replace or change.if_not_exists) and there):
            self.fresh.add(f"{kind} {name}")


def created(
    statements: Iterable[Statement], dialect: Dialect, path: SearchPath = USUAL, known: Iterable[str] = ()
) -> frozenset[str]:
    """What these statements make, for `Context.created`. `known`: tables that are there."""
    return frozenset(World(dialect, path=path, known=frozenset(known)).read(statements, fresh=True).fresh)
