"""`greenroom db rename` on MySQL, MariaDB and SQLite: what their triggers can keep equal without a doubt, and nothing more.

A trigger there is not told which columns an INSERT names, and cannot tell a default from a value. So only a column is
taken that may be NULL and has no default: then what is NULL was not written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from greenroom.adapters.database.concern import Concern, refuse
from greenroom.adapters.database.grammar import GRAMMARS, Grammar
from greenroom.adapters.database.target import Session
from greenroom.adapters.database.writing.draft import Draft, draft, insist
from greenroom.domain.schema import Dialect, Stage
from greenroom.errors import UsageError

PREFIX = "zzzz_greenroom"


@dataclass(frozen=True, slots=True)
class Column:
    """`type`: with its character set and collation. `indexes`: by name, whether unique, and the columns in order."""

    table: str
    name: str
    type: str
    columns: tuple[str, ...]
    obstacles: tuple[Concern, ...]
    indexes: tuple[tuple[str, bool, tuple[str, ...]], ...]


def rename(session: Session, column: str, new: str, *, folder: Path, name: str, accept: Collection[str]) -> Draft:
    """As `writing.rename`."""
    table, _, old = column.replace("`", "").replace('"', "").rpartition(".")
    if not table or "." in table or not new.replace("_", "a").isalnum():
        raise UsageError(
            f"{column} to {new} is not understood", hint="write it like users.old_preference new_preference"
        )
    grammar = GRAMMARS[session.dialect]
    found = _mysql(session, table, old) if session.dialect is Dialect.MYSQL else _sqlite(session, table, old)
    if new.lower() in (each.lower() for each in found.columns):
        raise UsageError(f"{table} has a column {new} already", hint="name another one")
    told = insist(found.obstacles, accept, (), f"A rename of {column}")
    quoted = [grammar.quote(each) for each in (table, old, new)]
    triggers = list(_triggers(grammar, found, *quoted))
    indexes = [_index(grammar, found, index, new) for index in found.indexes]
    added = f"ALTER TABLE {quoted[0]} ADD COLUMN {quoted[2]} {found.type}".rstrip()
    on = f" ON {quoted[0]}" if session.dialect is Dialect.MYSQL else ""
    drops = [f"DROP TRIGGER {grammar.quote(each)}" for each, _ in triggers]
    drops += [f"DROP INDEX {grammar.quote(index)}{on}" for index, _, _ in found.indexes]
    expand = (
        f"-- {table}.{old} becomes {table}.{new}: both are there, and equal, until contract.\n"
        f"{_joined([added, *indexes])}\n-- Until contract these keep both equal, whoever writes.\n"
        f"{_joined([sql for _, sql in triggers])}"
    )
    backfill = f"UPDATE {quoted[0]} SET {quoted[2]} = {quoted[1]};\n"
    last = f"ALTER TABLE {quoted[0]} DROP COLUMN {quoted[1]}"
    contract = f"-- When nobody can need the old column any more. The triggers first: they name it.\n{_joined(drops)}"
    if session.dialect is Dialect.MYSQL:
        contract += "-- greenroom: allow soft-drop: MySQL cannot change a column's name and its triggers in one step\n"
    contract += _joined([last])
    files = [(Stage.EXPAND, "sql", expand), (Stage.BACKFILL, "sql", backfill), (Stage.CONTRACT, "sql", contract)]
    return draft(folder, name, f"{table}_{new}", files, told)


def _joined(statements: Sequence[str]) -> str:
    return "".join(f"{sql};\n" for sql in statements)


def _index(grammar: Grammar, column: Column, index: tuple[str, bool, tuple[str, ...]], new: str) -> str:
    name, unique, parts = index
    renamed = ", ".join(grammar.quote(new if part.lower() == column.name.lower() else part) for part in parts)
    called = grammar.quote(f"{name}_{new}"[:60])
    return f"CREATE {'UNIQUE ' if unique else ''}INDEX {called} ON {grammar.quote(column.table)} ({renamed})"


def _triggers(grammar: Grammar, column: Column, table: str, old: str, new: str) -> Iterator[tuple[str, str]]:
    """Names and statements. The new column counts where it was written, else the old one does."""
    base = f"{PREFIX}_{column.table}_{column.name}"[:56]
    if grammar.dialect is Dialect.MYSQL:
        head = "CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW BEGIN\n  IF {condition} THEN"
        body = f"{head} SET NEW.{{forth}};\n  ELSE SET NEW.{{back}};\n  END IF;\nEND"
        inserted = f"NEW.{new} IS NULL"
        updated = f"CAST(NEW.{new} AS BINARY) <=> CAST(OLD.{new} AS BINARY)"
        for event, condition in (("INSERT", inserted), ("UPDATE", updated)):
            name = f"{base}_{event[0].lower()}"
            forth, back = f"{new} = NEW.{old}", f"{old} = NEW.{new}"
            quoted = grammar.quote(name)
            yield name, body.format(name=quoted, event=event, table=table, condition=condition, forth=forth, back=back)
        return
    cases = {
        "i": ("INSERT", f"NEW.{new} IS NULL AND NEW.{old} IS NOT NULL", new, old),
        "j": ("INSERT", f"NEW.{new} IS NOT NULL", old, new),
        "u": (f"UPDATE OF {old}", f"{_changed(old)} AND NOT {_changed(new)}", new, old),
        "v": (f"UPDATE OF {new}", _changed(new), old, new),
    }
    for ending, (event, condition, to, of) in cases.items():
        name = f"{base}_{ending}"
        yield (
            name,
            (
                f"CREATE TRIGGER {grammar.quote(name)} AFTER {event} ON {table} WHEN {condition} BEGIN\n"
                f"  UPDATE {table} SET {to} = NEW.{of} WHERE rowid = NEW.rowid;\nEND"
            ),
        )


def _changed(column: str) -> str:
    """Byte by byte, and by kind: 1 is not '1'."""
    return f"(quote(NEW.{column}) IS NOT quote(OLD.{column}))"


def _mysql(session: Session, table: str, name: str) -> Column:
    rows = session.rows(
        "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, CHARACTER_SET_NAME, COLLATION_NAME,"
        " COLUMN_KEY FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s",
        [table],
    )
    row = _one(rows, table, name)
    kind = f"{row[1]}{f' CHARACTER SET {row[5]} COLLATE {row[6]}' if row[5] else ''}"
    plain = row[2] == "YES" and str(row[3] or "NULL").upper() == "NULL" and not row[4]
    triggers = session.rows(
        "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() AND"
        " EVENT_OBJECT_TABLE = %s AND ACTION_TIMING = 'BEFORE'",
        [table],
    )
    keys = session.rows(
        "SELECT CONSTRAINT_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = DATABASE() AND %s ="
        " CONCAT(TABLE_NAME, '.', COLUMN_NAME) AND REFERENCED_TABLE_NAME IS NOT NULL",
        [f"{table}.{row[0]}"],
    )
    parts = session.rows(
        "SELECT INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART, INDEX_TYPE FROM information_schema.STATISTICS"
        " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s ORDER BY INDEX_NAME, SEQ_IN_INDEX",
        [table],
    )
    odd = [part[0] for part in parts if str(part[2]).lower() == name.lower() and (part[3] or part[4] != "BTREE")]
    shape = session.rows(f"SHOW CREATE TABLE {GRAMMARS[Dialect.MYSQL].quote(table)}")[0][1]
    checks = [
        line for line in str(shape).splitlines() if f"`{row[0]}`" in line and ("CHECK (" in line or " AS (" in line)
    ]
    obstacles = [*_obstacles(table, name, plain, bool(keys or odd or checks), [str(each) for (each,) in triggers])]
    indexes: dict[str, tuple[bool, list[str]]] = {}
    for index, several, part, *_ in parts:
        indexes.setdefault(str(index), (not several, []))[1].append(str(part))
    return _column(table, str(row[0]), kind, rows, obstacles, indexes)


def _sqlite(session: Session, table: str, name: str) -> Column:
    rows = session.rows('SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(%s)', [table])
    row = _one(rows, table, name)
    [(sql,)] = session.rows("SELECT sql FROM sqlite_master WHERE type = 'table' AND lower(name) = lower(%s)", [table])
    triggers = session.rows(
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = lower(%s)", [table]
    )
    keys = session.rows('SELECT 1 FROM pragma_foreign_key_list(%s) WHERE lower("from") = lower(%s)', [table, name])
    words = str(sql).upper().split()
    odd = "COLLATE" in words or "CHECK" in str(sql).upper() or "GENERATED" in words or "ROWID" in words
    indexes: dict[str, tuple[bool, list[str]]] = {}
    for index, unique, origin, partial in session.rows(
        'SELECT name, "unique", origin, partial FROM pragma_index_list(%s)', [table]
    ):
        parts = [
            str(part or "")
            for (part,) in session.rows("SELECT name FROM pragma_index_info(%s) ORDER BY seqno", [index])
        ]
        odd = odd or name.lower() in map(str.lower, parts) and (origin != "c" or bool(partial)) or "" in parts
        indexes[str(index)] = (bool(unique), parts)
    plain = not row[2] and row[3] is None and not row[4] and not row[5]
    obstacles = [*_obstacles(table, name, plain, bool(keys or odd), [str(each) for (each,) in triggers])]
    return _column(table, str(row[0]), str(row[1]), rows, obstacles, indexes)


def _one(rows: Sequence[tuple[object, ...]], table: str, name: str) -> tuple[object, ...]:
    row = next((row for row in rows if str(row[0]).lower() == name.lower()), None)
    if row is None:
        raise UsageError(f"there is no column {name} in a table {table}", hint="see both names")
    return row


def _column(
    table: str,
    name: str,
    kind: str,
    rows: Sequence[tuple[object, ...]],
    obstacles: Sequence[Concern],
    indexes: dict[str, tuple[bool, list[str]]],
) -> Column:
    with_it = [(i, unique, tuple(p)) for i, (unique, p) in indexes.items() if name.lower() in map(str.lower, p)]
    return Column(table, name, kind, tuple(str(row[0]) for row in rows), tuple(obstacles), tuple(with_it))


def _obstacles(table: str, name: str, plain: bool, bound: bool, triggers: Sequence[str]) -> Iterator[Concern]:
    two = (
        "Add a column by hand, let the new version write both and read the old one, and the release after it read the"
        " new one."
    )
    if not plain:
        yield refuse(
            "not-plain",
            f"{table}.{name} is NOT NULL, has a default or is computed: a trigger here cannot tell what was written from"
            " what was not.",
            two,
        )
    if bound:
        yield refuse("bound", f"A key, a CHECK, a collation or a special index holds {table}.{name}.", two)
    if triggers:
        others = f"{', '.join(triggers)}: which runs first, and sees what the other writes, is not for us to say."
        yield refuse("other-triggers", f"{table} has triggers already, {others}", two)
