"""`grammar.Server` of PostgreSQL: its catalogue, its casts, its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from greenroom.adapters.database.backfill.fill import Fill, Unfit
from greenroom.adapters.database.backfill.grammar import Key, Table, plain
from greenroom.adapters.database.backfill.pieces import bare
from greenroom.adapters.database.backfill.twins import missing
from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Dialect
from greenroom.errors import Permanent

_GRAMMAR = GRAMMARS[Dialect.POSTGRES]
_TABLE = """
SELECT c.oid::bigint, c.relkind::text, n.nspname::text, c.relname::text,
    pg_catalog.row_security_active(c.oid) FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = pg_catalog.to_regclass(%s)
"""
_COLUMNS = """
SELECT attname::text, pg_catalog.format_type(atttypid, atttypmod), attnotnull, attgenerated <> ''
FROM pg_catalog.pg_attribute WHERE attrelid = %s::bigint::oid AND attnum > 0 AND NOT attisdropped
"""
_KEYS = """
SELECT i.indisprimary, (SELECT array_agg(a.attname::text ORDER BY k.place)
    FROM unnest((i.indkey::smallint[])[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k (number, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number)
FROM pg_catalog.pg_index i
WHERE i.indrelid = %s::bigint::oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY i.indisprimary DESC, i.indexrelid
"""
_BUSY = """
SELECT count(*) FROM pg_catalog.pg_stat_activity
WHERE state = 'active' AND backend_type = 'client backend' AND application_name NOT LIKE 'greenroom %%'
AND pid <> pg_catalog.pg_backend_pid() AND 1 = %s
"""
_UNEQUAL = ("json", "xml", "point", "polygon", "box", "line", "path", "circle", "lseg")
"""Types without an equality of their own, or with one that means something else: compared as text."""


class PostgresServer:
    dialect = Dialect.POSTGRES
    glance = 1.0

    def table(self, session: Session, fill: Fill) -> Table:
        found = session.rows(_TABLE, [fill.table])
        if not found:
            raise Unfit(
                fill.place, f"there is no table {fill.table}", "see its name, and name its schema if it has one"
            )
        [(oid, kind, schema, name, guarded)] = found
        if kind not in ("r", "p"):
            raise Unfit(fill.place, f"{fill.table} is no table", "name the table behind it: only tables can be filled")
        if guarded:
            hint = "let migrations.url name the table's owner, or a role with BYPASSRLS"
            raise Unfit(fill.place, f"row-level security may hide rows of {fill.table} from this role", hint)
        columns = {row[0]: row for row in session.rows(_COLUMNS, [oid])}
        for column in (bare(column) for column, _ in fill.sets):
            if column not in columns:
                raise Unfit(fill.place, f"{fill.table} has no column {column}", "the expand of this release adds it")
            if columns[column][3]:
                raise Unfit(fill.place, f"{fill.table}.{column} is generated", "leave it out: the server fills it")
        chosen = self._key(session, fill, oid, columns)
        types = {column: columns[bare(column)][1] for column, _ in fill.sets}
        keys = tuple(Key(column, columns[column][1]) for column in chosen)
        return Table(f"{_GRAMMAR.quote(schema)}.{_GRAMMAR.quote(name)}", keys, types)

    def _key(self, session: Session, fill: Fill, oid: int, columns: Mapping[str, Any]) -> Sequence[str]:
        found = [
            (primary, names) for primary, names in session.rows(_KEYS, [oid]) if all(columns[name][2] for name in names)
        ]
        wanted = [bare(column) for column in fill.key]
        fitting = [names for _, names in found if set(names) == set(wanted)] if wanted else [n for p, n in found if p]
        if not fitting:
            what = f"{', '.join(wanted)} is no unique key of {fill.table} without NULLs" if wanted else ""
            others = "; or ".join(f"[{', '.join(names)}]" for _, names in found)
            hint = f"declare `key: {others}` in backfill.yaml" if others else (
                "give it one, as CREATE UNIQUE INDEX CONCURRENTLY over columns that are NOT NULL, and declare it as `key:`"
                " in backfill.yaml; a small table may be filled by expand.sql, in one UPDATE"
            )  # fmt: skip
            raise Unfit(fill.place, what or f"{fill.table} has no primary key to go by", hint)
        if moved := {bare(column) for column, _ in fill.sets} & set(fitting[0]):
            raise Unfit(
                fill.place,
                f"{', '.join(sorted(moved))} is changed and is the key to go by: rows would move while they are counted",
                "declare another unique `key:` in backfill.yaml",
            )
        return list(fitting[0])

    def doubts(self, session: Session, fill: Fill, table: Table) -> Sequence[str]:
        return missing(session, fill, table)

    def rehearse(self, session: Session, sql: str) -> None:
        session.rows(f"EXPLAIN {sql}", [1])

    def estimate(self, session: Session, table: Table) -> int:
        """As the planner has it: the density of the last ANALYZE times the size that the table has now."""
        [(plan,)] = session.rows(f"EXPLAIN (FORMAT JSON) SELECT 1 FROM {table.name}")
        return int(plan[0]["Plan"]["Plan Rows"])

    def differs(self, column: str, type: str, value: str) -> str:
        """Assigning casts to the column's type, and may round: what is compared is what would be stored."""
        stored = f"CAST({value} AS {type})"
        if type.partition("(")[0].strip() in _UNEQUAL:
            return _GRAMMAR.differs(f"{column}::text", f"{stored}::text")
        return _GRAMMAR.differs(column, stored)

    def shown(self, key: Key, name: str) -> str:
        return f"{name}::text"

    def given(self, key: Key) -> str:
        return f"%s::{plain(key.type)}"

    def patience(self, session: Session) -> float:
        [(milliseconds,)] = session.rows("SELECT setting FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'")
        return float(milliseconds) / 1000

    def busy(self, session: Session) -> int:
        [(may,)] = session.rows("SELECT pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')")
        if not may:
            raise Permanent(
                "this role may not see what other sessions do",
                hint="GRANT pg_read_all_stats TO the role in migrations.url, or leave `max_load` out.",
            )
        return int(session.rows(_BUSY, [1])[0][0])
