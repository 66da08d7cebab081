"""`backfill.grammar.Server` of SQLite, which has one writer at a time: the smaller the batches, the less users wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from greenroom.adapters.database.backfill.fill import Fill, Unfit
from greenroom.adapters.database.backfill.grammar import Key, Table
from greenroom.adapters.database.backfill.pieces import bare, is_name
from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Dialect
from greenroom.errors import Permanent

_GRAMMAR = GRAMMARS[Dialect.SQLITE]
_COLUMNS = 'SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(%s)'
_INDEXES = 'SELECT name FROM pragma_index_list(%s) WHERE "unique" = 1 AND partial = 0'
_PARTS = "SELECT cid, name FROM pragma_index_info(%s) ORDER BY seqno"
_STORED = {"INTEGER": ("integer",), "TEXT": ("text",)}
"""By affinity, in what form a key's values are kept if its order is that of their texts given back."""


class SqliteServer:
    dialect = Dialect.SQLITE
    glance = 0.0

    def table(self, session: Session, fill: Fill) -> Table:
        name = bare(fill.table.removeprefix("main."))
        found = session.rows("SELECT type, name FROM sqlite_master WHERE lower(name) = lower(%s)", [name])
        if not found:
            raise Unfit(fill.place, f"there is no table {fill.table}", "see its name")
        [(kind, name), *_] = found
        if kind != "table":
            raise Unfit(fill.place, f"{fill.table} is no table", "name the table behind it: only tables can be filled")
        columns = {str(row[0]).lower(): row for row in session.rows(_COLUMNS, [name])}
        for column in (bare(column).lower() for column, _ in fill.sets):
            if column not in columns:
                raise Unfit(fill.place, f"{fill.table} has no column {column}", "the expand of this release adds it")
            if columns[column][4] in (2, 3):
                raise Unfit(fill.place, f"{fill.table}.{column} is generated", "leave it out: SQLite fills it")
        chosen = self._key(session, fill, str(name), columns)
        types = {column: str(columns[bare(column).lower()][1]) for column, _ in fill.sets}
        keys = tuple(Key(str(columns[column][0]), affinity(str(columns[column][1]))) for column in chosen)
        table = Table(_GRAMMAR.quote(str(name)), keys, types)
        self._sound(session, fill, table)
        return table

    def _key(self, session: Session, fill: Fill, name: str, columns: Mapping[str, Any]) -> list[str]:
        primary = [c for c, row in sorted(columns.items(), key=lambda pair: int(pair[1][3])) if row[3]]
        alone = len(primary) == 1 and str(columns[primary[0]][1]).upper() == "INTEGER"
        found = [primary] if primary else []
        for (index,) in session.rows(_INDEXES, [name]):
            parts = session.rows(_PARTS, [index])
            found += [[str(part).lower() for _, part in parts]] if all(cid >= 0 for cid, _ in parts) else []
        found = [
            names
            for i, names in enumerate(found)
            if found.index(names) == i
            and (alone and names == primary or all(columns[column][2] for column in names))
            and all(affinity(str(columns[column][1])) in _STORED for column in names)
        ]
        wanted = [bare(column).lower() for column in fill.key]
        fitting = [names for names in found if set(names) == set(wanted) or not wanted and names == primary]
        if not fitting:
            what = f"{', '.join(wanted)} is no unique key without NULLs of {fill.table} that can be walked"
            others = "; or ".join(f"[{', '.join(names)}]" for names in found)
            hint = f"declare `key: {others}` in backfill.yaml" if others else (
                "give it one: CREATE UNIQUE INDEX over NOT NULL columns of the types INTEGER or TEXT, and declare it as"
                " `key:` in backfill.yaml; a small table may be filled by expand.sql, in one UPDATE"
            )  # fmt: skip
            nothing = f"{fill.table} has no primary key to go by (of INTEGER or TEXT, NOT NULL)"
            raise Unfit(fill.place, what if wanted else nothing, hint)
        if moved := {bare(column).lower() for column, _ in fill.sets} & set(fitting[0]):
            raise Unfit(
                fill.place,
                f"{', '.join(sorted(moved))} is changed and is the key to go by: rows would move while they are counted",
                "declare another unique `key:` in backfill.yaml",
            )
        return fitting[0]

    def _sound(self, session: Session, fill: Fill, table: Table) -> None:
        """A column keeps whatever it is given, also a text in a column of numbers: then its order is another."""
        for key in table.key:
            column = _GRAMMAR.quote(key.column)
            kinds = ", ".join(f"'{kind}'" for kind in _STORED[key.type])
            odd = f"SELECT typeof({column}) FROM {table.name} WHERE typeof({column}) NOT IN ({kinds}) LIMIT 1"
            if found := session.rows(odd):
                raise Unfit(
                    fill.place,
                    f"{fill.table}.{key.column} is of the type {key.type} and holds a value of the type {found[0][0]}",
                    "make them all of one type, or declare another `key:` in backfill.yaml",
                )

    def doubts(self, session: Session, fill: Fill, table: Table) -> Sequence[str]:
        """Indexes that hold a column and not the one that is made from it alone."""
        name = table.name[1:-1].replace('""', '"')
        rows = session.rows('SELECT name, "unique" FROM pragma_index_list(%s)', [name])
        indexes = [
            (str(index), unique, [str(part).lower() for _, part in session.rows(_PARTS, [index])])
            for index, unique in rows
        ]
        there = [(unique, parts) for _, unique, parts in indexes]
        return [
            f"index {index} holds {fill.table}.{bare(old)}; {bare(new)} has none like it"
            for new, old in fill.sets
            if is_name(old, Dialect.SQLITE)
            for index, unique, parts in indexes
            if bare(old).lower() in parts
            and (unique, [bare(new).lower() if p == bare(old).lower() else p for p in parts]) not in there
        ]

    def rehearse(self, session: Session, sql: str) -> None:
        session.rows(f"EXPLAIN {sql}", [1])

    def estimate(self, session: Session, table: Table) -> int:
        """Counted: SQLite keeps no number."""
        return int(session.rows(f"SELECT count(*) FROM {table.name}")[0][0])

    def differs(self, column: str, type: str, value: str) -> str:
        """What would be stored is compared, byte by byte whatever the column's collation. A column of texts keeps a number
        as its text, one of REAL a whole number as the nearest that it can hold.
        """
        kinds = {"TEXT": "'integer', 'real'", "REAL": "'integer'"}.get(affinity(type), "")
        stored = f"CASE WHEN typeof({value}) IN ({kinds}) THEN CAST({value} AS {affinity(type)}) ELSE {value} END"
        return f"(({column} COLLATE BINARY) IS NOT ({stored if kinds else value}))"

    def shown(self, key: Key, name: str) -> str:
        return f"CAST({name} AS TEXT)"

    def given(self, key: Key) -> str:
        return f"CAST(%s AS {key.type})"

    def patience(self, session: Session) -> float:
        """There are no deadlocks: what waits is only the beginning of a transaction."""
        return 60.0

    def busy(self, session: Session) -> int:
        raise Permanent("SQLite cannot say who is at work", hint="Leave `max_load` out.")


def affinity(type: str) -> str:
    """By the rules of SQLite's "Datatypes", section 3.1."""
    name = type.upper()
    if "INT" in name:
        return "INTEGER"
    if any(part in name for part in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in name or not name:
        return "BLOB"
    return "REAL" if any(part in name for part in ("REAL", "FLOA", "DOUB")) else "NUMERIC"
