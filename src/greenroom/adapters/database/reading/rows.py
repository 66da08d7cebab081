"""Statements about rows: INSERT, UPDATE, DELETE, TRUNCATE, COPY, and those that only read."""

from __future__ import annotations

from greenroom.adapters.database.reading import change
from greenroom.adapters.database.reading.change import Change
from greenroom.adapters.database.reading.cursor import Cursor, NotUnderstood
from greenroom.adapters.database.reading.expressions import functions

WRITES = {"INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "TRUNCATE", "INTO", "OUTFILE", "DUMPFILE", "CALL"}
LOCKING = {"UPDATE", "SHARE", "NO", "KEY"}
ENDS_A_SET = (",", "FROM", "WHERE", "RETURNING", "ORDER", "LIMIT")


def query(cursor: Cursor) -> list[Change]:
    """From the first word on."""
    locks = False
    for at, token in enumerate(cursor.tokens):
        before = cursor.tokens[at - 1] if at else None
        if before is not None and before.text in (".", "AS", "as"):
            continue
        after = cursor.tokens[at + 1].text if at + 1 < len(cursor.tokens) else ""
        if before is not None and before.word == "FOR" and token.word in LOCKING:
            locks = True
        elif token.word in WRITES and not (token.word in ("REPLACE", "INSERT", "TRUNCATE") and after == "("):
            raise NotUnderstood(f"{token.word} within a statement that begins with {cursor.word()}")
        elif token.text == ";":
            raise NotUnderstood("; within a statement")
        if token.word == "LOCK" and before is not None and before.word != "":
            locks = True
    return [change.Query(functions(cursor.sql, cursor.dialect), locks)]


def only_reads(text: str, cursor: Cursor) -> None:
    """Of a part of a statement that writes: nothing in it writes too."""
    if text:
        query(Cursor(f"SELECT {text}", cursor.dialect))


def insert(cursor: Cursor) -> list[Change]:
    """From INSERT or REPLACE on."""
    conflict = "replace" if cursor.next().word == "REPLACE" else ""
    if cursor.sqlite and cursor.take("OR"):
        conflict = {"IGNORE": "nothing", "REPLACE": "replace"}.get(cursor.next().word, "other")
    while cursor.mysql and (word := cursor.one_of("LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE")):
        conflict = "ignore" if word == "IGNORE" else conflict
    if not cursor.take("INTO") and not cursor.mysql:
        raise cursor.surprise("INTO")
    table = cursor.name()
    if cursor.take("AS"):
        cursor.part()
    columns = cursor.columns() if cursor.sees("(") and cursor.text(1) not in ("SELECT", "WITH", "(") else ()
    if cursor.take("OVERRIDING"):
        cursor.until(("VALUES", "SELECT"))
    is_query = not (cursor.sees("VALUES") or cursor.sees("VALUE") or cursor.sees("DEFAULT") or cursor.sees("SET"))
    if is_query and cursor.word() not in ("SELECT", "WITH", "TABLE") and not cursor.sees("("):
        raise cursor.surprise("VALUES or a query")
    rows = _rows(cursor)
    only_reads(rows, cursor)
    return [change.Insert(table, columns, is_query, _conflict(cursor) or conflict)]


def _rows(cursor: Cursor) -> str:
    """Up to ON CONFLICT, ON DUPLICATE KEY or RETURNING: an ON of a join is part of the query."""
    first, depth = cursor.peek(), 0
    while (token := cursor.peek()) is not None:
        ends = cursor.sees("ON", "CONFLICT") or cursor.sees("ON", "DUPLICATE") or cursor.sees("RETURNING")
        if depth == 0 and ends:
            break
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        cursor.next()
    stop = token.start if token is not None else len(cursor.sql)
    return cursor.sql[first.start : stop] if first else ""


def _conflict(cursor: Cursor) -> str:
    conflict = ""
    if cursor.take("ON", "DUPLICATE", "KEY", "UPDATE"):
        conflict = "update"
        only_reads(cursor.until(("RETURNING",)), cursor)
    elif cursor.take("ON", "CONFLICT"):
        conflict = "nothing" if "NOTHING" in (token.word for token in cursor.tokens[cursor.at :]) else "update"
        cursor.until(("DO",), at_least=0)
        cursor.need("DO")
        if not cursor.take("NOTHING"):
            cursor.need("UPDATE", "SET")
            only_reads(cursor.until(("RETURNING",)), cursor)
    if cursor.take("RETURNING"):
        only_reads(cursor.rest(), cursor)
    cursor.end()
    return conflict


def update(cursor: Cursor) -> list[Change]:
    cursor.need("UPDATE")
    while cursor.mysql and cursor.one_of("LOW_PRIORITY", "IGNORE"):
        pass
    if cursor.sqlite and cursor.take("OR"):
        cursor.part()
    if cursor.postgres:
        cursor.take("ONLY")
    table = cursor.name()
    cursor.postgres and cursor.take("*")
    others = []
    cursor.take("AS")
    alias = "" if cursor.sees("SET") or cursor.word() in ("", "JOIN", "INNER", "LEFT") else cursor.part()
    if not cursor.sees("SET"):
        others.append(cursor.until(("SET",)))
    cursor.need("SET")
    sets = _sets(cursor)
    if cursor.take("FROM"):
        others.append(cursor.until(("WHERE", "RETURNING", "ORDER", "LIMIT")))
    where, limited = _where(cursor)
    for part in (*others, where, *(expression for _, expression in sets)):
        only_reads(part, cursor)
    return [change.Update(table, tuple(sets), where, tuple(others), limited, alias)]


def _sets(cursor: Cursor) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    while True:
        if cursor.sees("("):
            columns = cursor.columns()
            cursor.need("=")
            expression = cursor.until(ENDS_A_SET)
            found += [(column, expression) for column in columns]
        else:
            column = cursor.column()
            if cursor.take("."):
                column = cursor.column()
            elif cursor.sees("["):
                raise cursor.surprise("=")
            cursor.need("=")
            found.append((column, cursor.until(ENDS_A_SET)))
        if not cursor.take(","):
            return found


def _where(cursor: Cursor) -> tuple[str, bool]:
    where = cursor.until(("RETURNING", "ORDER", "LIMIT")) if cursor.take("WHERE") else ""
    limited = False
    if not cursor.postgres and (cursor.sees("ORDER") or cursor.sees("LIMIT")):
        limited = True
        only_reads(cursor.until(("RETURNING",)), cursor)
    if cursor.take("RETURNING"):
        only_reads(cursor.rest(), cursor)
    cursor.end()
    return where, limited


def delete(cursor: Cursor) -> list[Change]:
    cursor.need("DELETE")
    while cursor.mysql and cursor.one_of("LOW_PRIORITY", "QUICK", "IGNORE"):
        pass
    others = []
    if not cursor.take("FROM"):
        others.append(cursor.until(("FROM",)))
        cursor.need("FROM")
    if cursor.postgres:
        cursor.take("ONLY")
    table = cursor.name()
    if cursor.take("AS") or (
        cursor.word() not in ("", "WHERE", "USING", "RETURNING", "ORDER", "LIMIT") and not cursor.sees(",")
    ):
        if cursor.word() in ("JOIN", "INNER", "LEFT"):
            others.append(cursor.until(("WHERE",)))
        else:
            cursor.part()
    if cursor.take("USING") or cursor.take(",") or cursor.take("JOIN"):
        others.append(cursor.until(("WHERE", "RETURNING")))
    where, limited = _where(cursor)
    for part in (*others, where):
        only_reads(part, cursor)
    return [change.Delete(table, where, tuple(others), limited)]


def truncate(cursor: Cursor) -> list[Change]:
    cursor.need("TRUNCATE")
    cursor.take("TABLE")
    cursor.take("ONLY")
    tables = cursor.names()
    cursor.take("RESTART", "IDENTITY") or cursor.take("CONTINUE", "IDENTITY")
    cascade = cursor.take("CASCADE")
    cursor.take("RESTRICT")
    cursor.end()
    return [change.Truncate(table, cascade) for table in tables]


def copy(cursor: Cursor) -> list[Change]:
    """Only the server's own files are left: what comes from the client is refused before."""
    words = [token.word for token in cursor.tokens]
    if "PROGRAM" in words:
        return [change.Server("COPY … PROGRAM")]
    return [change.Server("COPY with a file of the server")]
