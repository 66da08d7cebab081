"""What only MySQL and MariaDB write in CREATE TABLE and ALTER TABLE."""

from __future__ import annotations

from greenroom.adapters.database.reading import change
from greenroom.adapters.database.reading.change import Change
from greenroom.adapters.database.reading.columns import column, constraint, constraint_ahead, definition, plain
from greenroom.adapters.database.reading.cursor import Cursor
from greenroom.adapters.database.reading.tokens import Kind

KINDS = ("FULLTEXT", "SPATIAL")


def mysql_index(cursor: Cursor, table: str) -> change.CreateIndex | None:
    """`[FULLTEXT | SPATIAL] INDEX | KEY [name] [USING type] (…) options`, if that is what comes."""
    kind = cursor.word() if cursor.word() in KINDS else ""
    if cursor.word(1 if kind else 0) not in ("INDEX", "KEY") and not kind:
        return None
    if kind:
        cursor.next()
    cursor.one_of("INDEX", "KEY")
    if_not_exists = cursor.take("IF", "NOT", "EXISTS")
    name = "" if cursor.sees("(") or cursor.sees("USING") else cursor.part()
    method = _using(cursor)
    parts = tuple(plain(part, cursor) for part in cursor.groups())
    index_options(cursor)
    return change.CreateIndex(table, name, parts, if_not_exists=if_not_exists, method=method, kind=kind.lower())


def _using(cursor: Cursor) -> str:
    return cursor.part().lower() if cursor.take("USING") else ""


def index_options(cursor: Cursor) -> None:
    while True:
        if cursor.one_of("USING", "KEY_BLOCK_SIZE"):
            cursor.take("=")
            cursor.next()
        elif cursor.take("COMMENT"):
            cursor.string()
        elif cursor.take("WITH", "PARSER"):
            cursor.part()
        elif not cursor.one_of("VISIBLE", "INVISIBLE", "IGNORED"):
            return


def algorithm(cursor: Cursor, table: str) -> change.Algorithm | None:
    what = cursor.one_of("ALGORITHM", "LOCK")
    if not what:
        return None
    cursor.take("=")
    return change.Algorithm(table, what, cursor.part().upper())


def mysql_action(cursor: Cursor, table: str) -> list[Change]:
    """One action that the other dialects do not have; none where it is theirs too."""
    if how := algorithm(cursor, table):
        return [how]
    match cursor.word():
        case "ADD":
            return _add(cursor, table)
        case "DROP":
            return _drop(cursor, table)
        case "MODIFY" | "CHANGE":
            return [_redefine(cursor, table)]
        case "RENAME":
            return _rename(cursor, table)
        case "ALTER":
            return _alter(cursor, table)
        case "COMMENT" if cursor.text(1) in ("=", "") or _string_next(cursor):
            return [change.Setting(table, cursor.until((",",)))]
        case "":
            return []
    first = cursor.text() if cursor.text(1) in ("=", ",", "") else f"{cursor.text()} {cursor.text(1)}"
    return [change.AlterTable(table, first, cursor.until((",",)))]


def _string_next(cursor: Cursor) -> bool:
    token = cursor.peek(1)
    return token is not None and token.kind is Kind.STRING


def _add(cursor: Cursor, table: str) -> list[Change]:
    cursor.need("ADD")
    if index := mysql_index(cursor, table):
        return [index]
    if constraint_ahead(cursor):
        return [change.AddConstraint(table, constraint(cursor))]
    if cursor.word() in ("PARTITION", "PERIOD", "SYSTEM"):
        return [change.AlterTable(table, f"ADD {cursor.text()}", cursor.until((",",)))]
    cursor.take("COLUMN")
    if_not_exists = cursor.take("IF", "NOT", "EXISTS")
    if not cursor.take("("):
        return [change.AddColumn(table, column(cursor), if_not_exists)]
    found: list[Change] = [change.AddColumn(table, column(cursor), if_not_exists)]
    while cursor.take(","):
        found.append(change.AddColumn(table, column(cursor), if_not_exists))
    cursor.need(")")
    return found


def _drop(cursor: Cursor, table: str) -> list[Change]:
    cursor.need("DROP")
    kind = cursor.one_of("INDEX", "KEY", "CONSTRAINT", "CHECK", "FOREIGN", "PRIMARY", "PARTITION", "SYSTEM", "PERIOD")
    if kind in ("PARTITION", "SYSTEM", "PERIOD"):
        return [change.AlterTable(table, f"DROP {kind}", cursor.until((",",)))]
    if kind in ("FOREIGN", "PRIMARY"):
        cursor.need("KEY")
    if kind == "PRIMARY":
        return [change.DropConstraint(table, "primary", kind="primary")]
    if not kind:
        cursor.take("COLUMN")
    if_exists = cursor.take("IF", "EXISTS")
    name = cursor.part() if kind else cursor.column()
    cascade = cursor.take("CASCADE")
    if not cascade:
        cursor.take("RESTRICT")
    if kind in ("INDEX", "KEY"):
        return [change.DropIndex(name, if_exists=if_exists, table=table)]
    if kind:
        sort = {"FOREIGN": "foreign", "CHECK": "check"}.get(kind, "")
        return [change.DropConstraint(table, name, if_exists=if_exists, kind=sort)]
    return [change.DropColumn(table, name, cascade, if_exists)]


def _redefine(cursor: Cursor, table: str) -> Change:
    changes = cursor.one_of("MODIFY", "CHANGE") == "CHANGE"
    cursor.take("COLUMN")
    cursor.take("IF", "EXISTS")
    name = cursor.column()
    return change.Redefine(table, name, definition(cursor, cursor.column() if changes else name))


def _rename(cursor: Cursor, table: str) -> list[Change]:
    if cursor.text(1) in ("COLUMN",):
        return []
    cursor.need("RENAME")
    if kind := cursor.one_of("INDEX", "KEY", "CONSTRAINT"):
        return [change.AlterTable(table, f"RENAME {kind}", cursor.until((",",)))]
    cursor.one_of("TO", "AS", "=")
    return [change.RenameTable(table, cursor.name())]


def _alter(cursor: Cursor, table: str) -> list[Change]:
    if cursor.text(1) not in ("INDEX", "KEY", "CONSTRAINT", "CHECK"):
        return []
    cursor.need("ALTER")
    return [change.AlterTable(table, f"ALTER {cursor.text()}", cursor.until((",",)))]
