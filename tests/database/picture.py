"""What a PostgreSQL database holds: its tables with their columns and rows, as far as a lost value would show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql as compose

PATIENCE = 20.0
_OURS = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'greenroom')"
_RELATIONS = f"""
    SELECT c.oid::bigint, pg_relation_filenode(c.oid)::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm', 'i') AND {_OURS}"""
_COLUMNS = f"""
    SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text, a.attname,
           format_type(a.atttypid, a.atttypmod), a.attnotnull
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'm') AND {_OURS} ORDER BY 1, a.attnum"""
_INDEXES = f"""
    SELECT c.oid::bigint, i.indrelid::bigint, c.relname, pg_get_indexdef(c.oid), i.indisvalid
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OURS}"""
_WORK = """
    SELECT relid::bigint, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0), n_tup_upd + n_tup_del
    FROM pg_stat_xact_user_tables"""


def work(db: psycopg.Connection[Any]) -> dict[int, tuple[int, int]]:
    """Rows read and rows changed by this transaction, by table."""
    return {oid: (read, changed) for oid, read, changed in db.execute(_WORK).fetchall()}


def relations(db: psycopg.Connection[Any]) -> dict[int, int]:
    """By relation, the file that holds it: another one after a rewrite."""
    return dict(db.execute(_RELATIONS).fetchall())


def index_less(db: psycopg.Connection[Any], quick: Mapping[str, str]) -> set[str]:
    """Which of these reads would go through a whole table."""
    db.execute("SET enable_seqscan = off")
    slow = set()
    for name, sql in quick.items():
        try:
            plan = "\n".join(row[0] for row in db.execute("EXPLAIN " + sql).fetchall())
        except psycopg.Error:
            continue  # it breaks, which is worse
        if "Seq Scan" in plan:
            slow.add(name)
    db.execute("RESET enable_seqscan")
    return slow


@dataclass(frozen=True)
class Picture:
    names: Mapping[int, str]
    """Tables, materialised views and their indexes, by oid."""
    rows: Mapping[int, int]
    """Of tables and materialised views."""
    columns: Mapping[tuple[int, str], tuple[str, bool]]
    """By table and name: its type, and whether it is NOT NULL."""
    values: Mapping[tuple[int, str], Counter[str]]
    """By table and column, how often it has each value, as text; NULL is none."""
    files: Mapping[int, int]
    indexes: Mapping[str, str]
    invalid: frozenset[str]
    owners: Mapping[int, int]
    """By index, its table."""
    views: frozenset[int]
    """Materialised ones: nobody writes to them."""

    @classmethod
    def of(cls, db: psycopg.Connection[Any]) -> Picture:
        found = db.execute(_COLUMNS).fetchall()
        indexes = db.execute(_INDEXES).fetchall()
        names = {oid: table if schema == "public" else f"{schema}.{table}" for oid, schema, table, *_ in found}
        asked = [(oid, schema, table, column, kind) for oid, schema, table, _, column, kind, _ in found]
        rows, values = _sums(db, asked)
        return cls(
            names={**names, **{oid: name for oid, _, name, _, _ in indexes}},
            rows=rows,
            columns={(oid, column): (kind, strict) for oid, _, _, _, column, kind, strict in found},
            values=values,
            files=relations(db),
            indexes={name: text for _, _, name, text, valid in indexes if valid},
            invalid=frozenset(name for _, _, name, _, valid in indexes if not valid),
            owners={oid: table for oid, table, *_ in indexes},
            views=frozenset(oid for oid, _, _, kind, *_ in found if kind == "m"),
        )

    def weight(self, oid: int) -> int:
        """How many rows a rewrite of it goes through."""
        return self.rows.get(self.owners.get(oid, oid), 0)

    def derived(self, oid: int) -> bool:
        return oid in self.views

    def tables(self) -> list[str]:
        """Tables of the public schema."""
        return [
            name for oid, name in self.names.items() if oid in self.rows and "." not in name and oid not in self.views
        ]

    def lost(self, after: Picture, db: psycopg.Connection[Any]) -> set[str]:
        """Columns with values that are not there any more, neither in their place nor under another name."""
        lost = set()
        for (oid, column), values in self.values.items():
            if (oid, column) in after.columns:
                kind, table = self.columns[oid, column][0], after.names[oid]
                kept = values <= after.values[oid, column] or values <= _cast(db, table, column, kind)
            else:
                moved = (found for (table, name), found in after.values.items() if (table, name) not in self.columns)
                kept = any(values <= found for found in moved)
            if not kept:
                lost.add(f"{self.names[oid]}.{column}")
        return lost

    def nulls(self, after: Picture, db: psycopg.Connection[Any]) -> set[str]:
        """Columns that were NOT NULL, and hold a NULL now."""
        found = set()
        for (oid, column), (_, strict) in self.columns.items():
            if strict and (oid, column) in after.columns and not after.columns[oid, column][1]:
                query = compose.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} IS NULL)")
                table = compose.Identifier(*after.names[oid].split("."))
                if db.execute(query.format(table, compose.Identifier(column))).fetchall() == [(True,)]:
                    found.add(f"{self.names[oid]}.{column}")
        return found


def _sums(db: psycopg.Connection[Any], asked: list[Any]) -> tuple[dict[int, int], dict[tuple[int, str], Counter[str]]]:
    """One query for all tables: rows of each, and each column's values."""
    tables: dict[tuple[int, str, str], list[str]] = {}
    for oid, schema, table, column, _ in asked:
        tables.setdefault((oid, schema, table), []).append(column)
    parts = []
    for (oid, schema, table), columns in tables.items():
        lists = [compose.SQL("json_agg({}::text)").format(compose.Identifier(column)) for column in columns]
        query = compose.SQL("SELECT {}::bigint, count(*), json_build_array({}) FROM {}")
        name = compose.Identifier(schema, table)
        parts.append(query.format(compose.Literal(oid), compose.SQL(", ").join(lists), name))
    rows: dict[int, int] = {}
    values: dict[tuple[int, str], Counter[str]] = {}
    if parts:
        names = {key[0]: columns for key, columns in tables.items()}
        for oid, count, lists in db.execute(compose.SQL(" UNION ALL ").join(parts)).fetchall():
            rows[oid] = count
            for column, found in zip(names[oid], lists, strict=True):
                values[oid, column] = Counter(value for value in found or () if value is not None)
    return rows, values


def _cast(db: psycopg.Connection[Any], table: str, column: str, kind: str) -> Counter[str]:
    """Its values as if it had its former type; none if it cannot have it."""
    query = compose.SQL("SELECT ({}::text::" + kind + ")::text FROM {}")
    try:
        found = db.execute(query.format(compose.Identifier(column), compose.Identifier(*table.split(".")))).fetchall()
    except psycopg.Error:
        return Counter()
    return Counter(value for (value,) in found if value is not None)
