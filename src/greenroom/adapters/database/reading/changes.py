"""What a statement does, read from its tokens: all of them are accounted for, or it is `Opaque`.

No parser of others is asked: one that is generous, or drops what it does not know, would let through what nobody read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from greenroom.adapters.database.reading import change
from greenroom.adapters.database.reading.change import Change
from greenroom.adapters.database.reading.cursor import Cursor, NotUnderstood
from greenroom.adapters.database.reading.objects import alter, create, drop
from greenroom.adapters.database.reading.rows import copy, delete, insert, query, truncate, update
from greenroom.adapters.database.reading.split import Statement
from greenroom.adapters.database.reading.tokens import Unreadable
from greenroom.domain.schema import Dialect

SESSION = {
    *(
        "SET",
        "RESET",
        "BEGIN",
        "START",
        "COMMIT",
        "END",
        "ROLLBACK",
        "ABORT",
        "SAVEPOINT",
        "RELEASE",
        "DISCARD",
        "PREPARE",
    ),
    *(
        "DEALLOCATE",
        "LISTEN",
        "NOTIFY",
        "UNLISTEN",
        "DECLARE",
        "FETCH",
        "MOVE",
        "CLOSE",
        "USE",
        "PRAGMA",
        "XA",
        "UNLOCK",
    ),
}
CODE = {
    "DO": "a DO block is a program",
    "CALL": "a procedure is a program",
    "EXECUTE": "what is executed is not written here",
    "MERGE": "MERGE inserts, updates and deletes at once",
    "HANDLER": "HANDLER goes past SQL",
}
SERVER = {
    "CHECKPOINT",
    "LOAD",
    "SECURITY",
    "REASSIGN",
    "IMPORT",
    "ATTACH",
    "DETACH",
    "FLUSH",
    "KILL",
    "INSTALL",
    "SHUTDOWN",
}
MILD = {"ANALYZE", "ANALYSE"}


def changes(statement: Statement, dialect: Dialect) -> tuple[Change, ...]:
    """In the order in which they are written. Never empty; never raises."""
    return _changes(statement.sql, dialect)


@lru_cache(4096)
def _changes(sql: str, dialect: Dialect) -> tuple[Change, ...]:
    try:
        return tuple(_read(Cursor(sql, dialect)))
    except NotUnderstood as error:
        return (change.Opaque(str(error), error.at),)
    except Unreadable as error:
        return (change.Opaque(error.message),)


def _read(cursor: Cursor) -> list[Change]:
    word = cursor.word()
    if word in READERS:
        return READERS[word](cursor)
    if cursor.postgres and cursor.sees("SET", "CONSTRAINTS"):
        return [change.Setting("", "SET CONSTRAINTS")]  # of a transaction that has no other statement
    if word in SESSION:
        return [change.Session(word)]
    if word in CODE:
        return [change.Opaque(CODE[word])]
    if word in SERVER:
        return [change.Server(word)]
    if word == "RENAME" and cursor.mysql:
        return _rename_tables(cursor)
    raise cursor.surprise("a statement")


def _comment(cursor: Cursor) -> list[Change]:
    """COMMENT ON kind name IS text"""
    cursor.need("COMMENT", "ON")
    what = cursor.until(("IS",))
    cursor.need("IS")
    if not cursor.take("NULL"):
        cursor.string()
    cursor.end()
    return [change.Setting("", f"COMMENT ON {what}")]


def _privilege(cursor: Cursor) -> list[Change]:
    word = cursor.next().word
    detail = cursor.rest()
    of_objects = "ON" in {token.word for token in cursor.tokens}
    return [change.Privilege(word, detail)] if of_objects else [change.Server(f"{word} of a role")]


def _maintain(cursor: Cursor) -> list[Change]:
    words = [token.word for token in cursor.tokens]
    first = words[0]
    what = (
        f"{first} {words[1]}"
        if first in ("VACUUM", "LOCK", "OPTIMIZE", "REPAIR", "CHECK", "REFRESH") and words[1:]
        else first
    )
    if first == "VACUUM" and "FULL" in words:
        what = "VACUUM FULL"
    concurrently = "CONCURRENTLY" in words and first in ("REINDEX", "REFRESH")
    if concurrently:
        what += " CONCURRENTLY"
    return [change.Maintenance(what.strip(), (), mild=first in MILD or concurrently)]


def _rename_tables(cursor: Cursor) -> list[Change]:
    cursor.need("RENAME")
    cursor.one_of("TABLE", "TABLES")
    found: list[Change] = []
    while True:
        name = cursor.name()
        cursor.need("TO")
        found.append(change.RenameTable(name, cursor.name()))
        if not cursor.take(","):
            cursor.end()
            return found


def _explain(cursor: Cursor) -> list[Change]:
    if {"ANALYZE", "ANALYSE"} & {token.word for token in cursor.tokens}:
        raise NotUnderstood("EXPLAIN ANALYZE runs the statement")
    return [change.Query()]


READERS: Mapping[str, Callable[[Cursor], list[Change]]] = {
    "CREATE": create,
    "ALTER": alter,
    "DROP": drop,
    "INSERT": insert,
    "REPLACE": insert,
    "UPDATE": update,
    "DELETE": delete,
    "TRUNCATE": truncate,
    "COPY": copy,
    "SELECT": query,
    "WITH": query,
    "VALUES": query,
    "TABLE": query,
    "SHOW": query,
    "EXPLAIN": _explain,
    "COMMENT": _comment,
    "GRANT": _privilege,
    "REVOKE": _privilege,
    "VACUUM": _maintain,
    "ANALYZE": _maintain,
    "ANALYSE": _maintain,
    "CLUSTER": _maintain,
    "REINDEX": _maintain,
    "REFRESH": _maintain,
    "LOCK": _maintain,
    "OPTIMIZE": _maintain,
    "REPAIR": _maintain,
    "CHECK": _maintain,
}
