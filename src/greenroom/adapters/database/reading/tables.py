"""CREATE TABLE and ALTER TABLE, action by action."""

from __future__ import annotations

from greenroom.adapters.database.reading import change
from greenroom.adapters.database.reading.change import Change, Column, Constraint
from greenroom.adapters.database.reading.columns import column, constraint, constraint_ahead, plain, type_of
from greenroom.adapters.database.reading.cursor import Cursor
from greenroom.adapters.database.reading.mysql_tables import mysql_action, mysql_index
from greenroom.adapters.database.reading.rows import only_reads

HARMLESS = ("STATISTICS", "COMPRESSION", "STORAGE")


def create_table(cursor: Cursor, *, temporary: bool) -> list[Change]:
    """Behind CREATE TABLE."""
    if_not_exists = cursor.take("IF", "NOT", "EXISTS")
    table = cursor.name()
    if cursor.take("PARTITION", "OF"):
        parent = cursor.name()
        return [_made(table, if_not_exists, temporary, "partition of", (parent,), cursor.rest())]
    if cursor.take("OF"):
        return [_made(table, if_not_exists, temporary, "of", (), cursor.rest())]
    if cursor.take("LIKE"):
        parent = cursor.name()
        cursor.end()
        return [_made(table, if_not_exists, temporary, "like", (parent,))]
    if cursor.sees("AS") or cursor.sees("SELECT") or cursor.sees("WITH"):
        return [_made(table, if_not_exists, temporary, "as", (), _query(cursor))]
    columns, constraints, like = _elements(cursor)
    source, sources = ("like", tuple(like)) if like else ("", ())
    if cursor.take("INHERITS"):
        source, sources = "inherits", tuple(plain(part, cursor) for part in cursor.groups())
    options = _options(cursor)
    if not cursor.ended:
        source, options = "as", _query(cursor)
    made = change.CreateTable(
        table, tuple(columns), tuple(constraints), if_not_exists, temporary, source, sources, options
    )
    return [made]


def _query(cursor: Cursor) -> str:
    """The rows of a CREATE TABLE … AS: nothing is written by it."""
    if cursor.sees("AS", "EXECUTE") or cursor.word() not in ("AS", "SELECT", "WITH"):
        raise cursor.surprise("a query")
    rows = cursor.rest()
    only_reads(rows, cursor)
    return rows


def _made(
    table: str, if_not_exists: bool, temporary: bool, source: str, sources: tuple[str, ...], options: str = ""
) -> Change:
    return change.CreateTable(
        table, (), (), if_not_exists=if_not_exists, temporary=temporary, source=source, sources=sources, options=options
    )


def _elements(cursor: Cursor) -> tuple[list[Column], list[Constraint], list[str]]:
    columns, constraints, like = list[Column](), list[Constraint](), list[str]()
    cursor.need("(")
    while not cursor.take(")"):
        if constraint_ahead(cursor):
            constraints.append(constraint(cursor))
        elif cursor.take("LIKE"):
            like.append(cursor.name())
            while cursor.one_of("INCLUDING", "EXCLUDING"):
                cursor.part()
        elif not (cursor.mysql and mysql_index(cursor, "")):
            columns.append(column(cursor))
        if not cursor.sees(")"):
            cursor.need(",")
    return columns, constraints, like


def _options(cursor: Cursor) -> str:
    if cursor.ended:
        return ""
    if cursor.mysql:
        return cursor.until(("AS", "SELECT", "WITH", "TABLE", "VALUES", "IGNORE", "REPLACE"), at_least=0)
    first = cursor.at
    while not cursor.ended and not cursor.sees("AS"):
        if cursor.take("PARTITION", "BY"):
            cursor.part()
            cursor.group()
        elif cursor.take("WITH"):
            cursor.group()
        elif cursor.take("USING") or cursor.take("TABLESPACE"):
            cursor.part()
        elif not (cursor.sqlite and (cursor.one_of("STRICT", ",") or cursor.take("WITHOUT", "ROWID"))):
            raise cursor.surprise()
    return " ".join(token.text for token in cursor.tokens[first:])


def alter_table(cursor: Cursor) -> list[Change]:
    """Behind ALTER TABLE."""
    cursor.take("IF", "EXISTS")
    only = cursor.postgres and cursor.take("ONLY")
    table = cursor.name()
    if cursor.postgres and not only:
        cursor.take("*")
    found: list[Change] = []
    while True:
        found += _action(cursor, table)
        if cursor.ended:
            return found
        cursor.need(",")


def _action(cursor: Cursor, table: str) -> list[Change]:
    if cursor.mysql and (own := mysql_action(cursor, table)):
        return own
    match cursor.one_of("ADD", "DROP", "ALTER", "RENAME", "VALIDATE"):
        case "ADD":
            return [_add(cursor, table)]
        case "DROP":
            return [_drop(cursor, table)]
        case "ALTER":
            return [_alter(cursor, table)]
        case "RENAME":
            return [_rename(cursor, table)]
        case "VALIDATE":
            cursor.need("CONSTRAINT")
            return [change.Validate(table, cursor.part())]
        case _:
            return [_other(cursor, table)]


def _add(cursor: Cursor, table: str) -> Change:
    if constraint_ahead(cursor):
        return change.AddConstraint(table, constraint(cursor))
    cursor.take("COLUMN")
    if_not_exists = cursor.take("IF", "NOT", "EXISTS")
    return change.AddColumn(table, column(cursor), if_not_exists)


def _drop(cursor: Cursor, table: str) -> Change:
    constrained = cursor.take("CONSTRAINT")
    if not constrained:
        cursor.take("COLUMN")
    if_exists = cursor.take("IF", "EXISTS")
    name = cursor.part() if constrained else cursor.column()
    cascade = cursor.take("CASCADE")
    if not cascade:
        cursor.take("RESTRICT")
    if constrained:
        return change.DropConstraint(table, name, cascade, if_exists)
    return change.DropColumn(table, name, cascade, if_exists)


def _alter(cursor: Cursor, table: str) -> Change:
    if cursor.sees("CONSTRAINT"):
        return change.AlterTable(table, "ALTER CONSTRAINT", cursor.until((",",)))
    cursor.take("COLUMN")
    name = cursor.column()
    if cursor.take("TYPE") or cursor.take("SET", "DATA", "TYPE"):
        kind = type_of(cursor)
        collation = cursor.name() if cursor.take("COLLATE") else ""
        using = cursor.until((",",)) if cursor.take("USING") else ""
        return change.AlterType(table, name, kind, using, collation)
    if cursor.take("SET", "DEFAULT"):
        return change.SetDefault(table, name, cursor.until((",",)))
    if cursor.take("DROP", "DEFAULT"):
        return change.DropDefault(table, name)
    if cursor.take("SET", "NOT", "NULL"):
        return change.SetNotNull(table, name)
    if cursor.take("DROP", "NOT", "NULL"):
        return change.DropNotNull(table, name)
    if cursor.sees("SET") and cursor.text(1) in (*HARMLESS, "("):
        return change.Setting(table, f"{name} {cursor.until((',',))}")
    first = f"{cursor.text()} {cursor.text(1)}".strip()
    return change.AlterTable(table, f"ALTER COLUMN {first}", f"{name} {cursor.until((',',))}")


def _rename(cursor: Cursor, table: str) -> Change:
    if cursor.take("TO"):
        return change.RenameTable(table, _beside(table, cursor.part()))
    if cursor.take("CONSTRAINT"):
        name = cursor.part()
        cursor.need("TO")
        return change.AlterTable(table, "RENAME CONSTRAINT", f"{name} TO {cursor.part()}")
    cursor.take("COLUMN")
    name = cursor.column()
    cursor.need("TO")
    return change.RenameColumn(table, name, cursor.column())


def _beside(table: str, name: str) -> str:
    """The new name is in the schema of the old."""
    schema, dot, _ = table.rpartition(".")
    return f"{schema}{dot}{name}"


def _other(cursor: Cursor, table: str) -> Change:
    if cursor.take("SET", "SCHEMA"):
        schema = cursor.part()
        name = table.rpartition(".")[2]
        return change.RenameTable(table, f"{schema}.{name}")
    if cursor.postgres and (cursor.sees("SET", "(") or cursor.sees("RESET", "(")):
        return change.Setting(table, cursor.until((",",)))
    if not cursor.postgres or not cursor.word():
        raise cursor.surprise("an action of ALTER TABLE")
    first = f"{cursor.text()} {cursor.text(1)}".strip()
    return change.AlterTable(table, first, cursor.until((",",)))
