"""`backfill.grammar.Server` of MySQL and MariaDB: their catalogue, their casts, their limits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from greenroom.adapters.database.backfill.fill import Fill, Unfit
from greenroom.adapters.database.backfill.grammar import Key, Table
from greenroom.adapters.database.backfill.pieces import bare
from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.mysql.online import words
from greenroom.adapters.database.mysql.twins import missing
from greenroom.adapters.database.reading.tokens import Kind
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Dialect

_GRAMMAR = GRAMMARS[Dialect.MYSQL]
_COLUMNS = """
SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, EXTRA FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND TABLE_NAME = %s
"""
_KEYS = """
SELECT INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND TABLE_NAME = %s AND NON_UNIQUE = 0
ORDER BY INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX
"""
_TABLE = """
SELECT TABLE_TYPE, ENGINE, TABLE_SCHEMA FROM information_schema.TABLES
WHERE TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND TABLE_NAME = %s
"""
_WHOLE = ("tinyint", "smallint", "mediumint", "int", "bigint")
_TEXT = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext")
_BYTES = ("varbinary", "tinyblob", "blob", "mediumblob", "longblob")
_KEYS_BY = (*_WHOLE, "decimal", "char", "varchar", "binary", "varbinary", "date", "datetime", "uuid")
"""Types whose order is the same for a value and for its text given back. `timestamp` is not: an hour comes twice a year."""


class MysqlServer:
    dialect = Dialect.MYSQL
    glance = 0.0

    def table(self, session: Session, fill: Fill) -> Table:
        schema, name = _named(fill)
        found = session.rows(_TABLE, [schema, name])
        if not found:
            raise Unfit(fill.place, f"there is no table {fill.table}", "see its name, and whether capitals are right")
        [(kind, engine, schema)] = found
        if kind != "BASE TABLE":
            raise Unfit(fill.place, f"{fill.table} is no table", "name the table behind it: only tables can be filled")
        if str(engine).lower() in ("myisam", "aria", "memory", "csv", "archive"):
            hint = f"ALTER TABLE {fill.table} ENGINE=InnoDB first, outside of the release: it copies the table"
            raise Unfit(fill.place, f"{fill.table} is stored by {engine}, which knows no transactions", hint)
        columns = {str(row[0]).lower(): row for row in session.rows(_COLUMNS, [schema, name])}
        for column in (_column(column) for column, _ in fill.sets):
            if column not in columns:
                raise Unfit(fill.place, f"{fill.table} has no column {column}", "the expand of this release adds it")
            if "GENERATED" in str(columns[column][3]).upper().replace("DEFAULT_GENERATED", ""):
                raise Unfit(fill.place, f"{fill.table}.{column} is generated", "leave it out: the server fills it")
        types = {column: str(columns[_column(column)][1]) for column, _ in fill.sets}
        chosen = self._key(fill, session.rows(_KEYS, [schema, name]), columns)
        keys = tuple(Key(str(columns[column][0]), str(columns[column][1])) for column in chosen)
        return Table(f"{_GRAMMAR.quote(str(schema))}.{_GRAMMAR.quote(name)}", keys, types)

    def _key(self, fill: Fill, rows: Sequence[Any], columns: dict[str, Any]) -> list[str]:
        indexes: dict[str, list[str]] = {}
        unfit = {index for index, column, part in rows if column is None or part is not None}
        for index, column, _ in rows:
            indexes.setdefault(str(index), []).append(str(column).lower())
        found = {
            index: names
            for index, names in indexes.items()
            if index not in unfit
            and all(columns[name][2] == "NO" and _kind(columns[name][1]) in _KEYS_BY for name in names)
        }
        wanted = [_column(column) for column in fill.key]
        fitting = [
            names for index, names in found.items() if set(names) == set(wanted) or not wanted and index == "PRIMARY"
        ]
        if not fitting:
            what = f"{', '.join(wanted)} is no unique key without NULLs of {fill.table} that can be walked"
            others = "; or ".join(f"[{', '.join(names)}]" for names in found.values())
            hint = f"declare `key: {others}` in backfill.yaml" if others else (
                "give it one: ALTER TABLE … ADD UNIQUE INDEX over NOT NULL columns of whole numbers, texts or dates, and"
                " declare it as `key:` in backfill.yaml; a small table may be filled by expand.sql, in one UPDATE"
            )  # fmt: skip
            nothing = f"{fill.table} has no primary key to go by (of whole numbers, texts or dates)"
            raise Unfit(fill.place, what if wanted else nothing, hint)
        if moved := {_column(column) for column, _ in fill.sets} & set(fitting[0]):
            raise Unfit(
                fill.place,
                f"{', '.join(sorted(moved))} is changed and is the key to go by: rows would move while they are counted",
                "declare another unique `key:` in backfill.yaml",
            )
        return fitting[0]

    def doubts(self, session: Session, fill: Fill, table: Table) -> Sequence[str]:
        return missing(session, fill, table)

    def rehearse(self, session: Session, sql: str) -> None:
        session.rows(f"EXPLAIN {sql}", [1])

    def estimate(self, session: Session, table: Table) -> int:
        """As the server's statistics have it, which may be off by half."""
        schema, name = _split(table.name)
        query = "SELECT TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
        found = session.rows(query, [schema, name])
        return int(found[0][0] or 0) if found else 0

    def differs(self, column: str, type: str, value: str) -> str:
        """What would be stored is compared, byte by byte: a collation takes `a` for `A`."""
        kind = _kind(type)
        if kind in _WHOLE:
            return f"(NOT ({column} <=> ROUND({value})))"
        if kind == "decimal":
            return f"(NOT ({column} <=> CAST({value} AS {type.split(' ')[0]})))"
        if kind in _TEXT:
            stored = f"TRIM(TRAILING ' ' FROM ({value}))" if kind == "char" else f"({value})"
            return f"(NOT ({_exact(column)} <=> {_exact(stored)}))"
        if kind in _BYTES:
            return f"(NOT ({column} <=> CAST({value} AS BINARY)))"
        if kind in ("date", "time", "datetime", "timestamp", "binary", "double", "json"):
            return f"(NOT ({column} <=> CAST({value} AS {type.replace('timestamp', 'datetime')})))"
        if kind == "float":
            return f"(NOT (CONCAT({column}) <=> CONCAT(CAST({value} AS FLOAT))))"
        return f"(NOT ({column} <=> ({value})))"

    def shown(self, key: Key, name: str) -> str:
        if _kind(key.type) in ("binary", "varbinary"):
            return f"HEX({name})"
        return name if _kind(key.type) in _TEXT else f"CAST({name} AS CHAR)"

    def given(self, key: Key) -> str:
        kind = _kind(key.type)
        if kind in _WHOLE:
            return f"CAST(%s AS {'UNSIGNED' if 'unsigned' in key.type else 'SIGNED'})"
        if kind in ("binary", "varbinary"):
            return "UNHEX(%s)"
        if kind in ("decimal", "date", "datetime"):
            return f"CAST(%s AS {key.type.split(' ')[0]})"
        return "%s"

    def patience(self, session: Session) -> float:
        """InnoDB looks for deadlocks at once; who gives up is its choice, and the batch is done again."""
        return 60.0

    def busy(self, session: Session) -> int:
        """Every user may see how many are at work; who they are, not."""
        [(_, running)] = session.rows("SHOW GLOBAL STATUS LIKE 'Threads_running'")
        return max(0, int(running) - 1)


def _kind(type: Any) -> str:
    found = re.match(r"[a-z0-9]+", str(type).lower())
    return found.group() if found else ""


def _exact(text: str) -> str:
    return f"CAST(CONVERT({text} USING utf8mb4) AS BINARY)"


def _column(name: str) -> str:
    """Capitals mean nothing in names of columns."""
    return bare(name).lower()


def _named(fill: Fill) -> tuple[str | None, str]:
    """Schema (None: the session's) and table; capitals are kept."""
    parts = [
        token.text[1:-1].replace("``", "`") if token.kind is Kind.NAME else token.text
        for token in words(fill.table)
        if token.text != "."
    ]
    return (parts[-2] if len(parts) > 1 else None), parts[-1]


def _split(name: str) -> tuple[str, str]:
    """Of a name that this module has quoted."""
    schema, _, table = name[1:-1].partition("`.`")
    return schema.replace("``", "`"), table.replace("``", "`")
