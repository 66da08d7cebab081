"""A column, and all that hangs on it, as PostgreSQL's catalogue tells. Read without any lock that keeps somebody out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from greenroom.adapters.database.target import Session
from greenroom.adapters.database.writing.names import Place, Quote
from greenroom.errors import UsageError

_TABLE = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text, c.relispartition, c.relreplident::text,
       EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE c.oid IN (inhrelid, inhparent))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass(%s)
"""
_COLUMN = """
SELECT a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
       a.attidentity::text <> '', a.attgenerated::text <> '',
       CASE WHEN a.attcollation <> t.typcollation THEN quote_ident(n.nspname) || '.' || quote_ident(l.collname) END,
       coalesce(a.attstattarget, -1), col_description(a.attrelid, a.attnum), t.typtype = 'd' AND
       (t.typnotnull OR t.typdefault IS NOT NULL OR EXISTS (SELECT FROM pg_constraint WHERE contypid = t.oid)),
       array_to_string(a.attoptions, ', '),
       CASE WHEN a.attstorage <> t.typstorage THEN
         CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'x' THEN 'EXTENDED' ELSE 'MAIN' END END,
       pg_get_serial_sequence(a.attrelid::regclass::text, a.attname), a.atttypid::bigint
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_collation l ON l.oid = a.attcollation LEFT JOIN pg_namespace n ON n.oid = l.collnamespace
WHERE a.attrelid = %s::oid AND a.attname = %s AND a.attnum > 0 AND NOT a.attisdropped
"""
_GRANTS = """
SELECT CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END, x.is_grantable,
       string_agg(x.privilege_type, ',' ORDER BY x.privilege_type)
FROM pg_attribute a, aclexplode(a.attacl) x WHERE a.attrelid = %s::oid AND a.attnum = %s GROUP BY 1, 2 ORDER BY 1, 2
"""
_INDEXES = """
SELECT c.relname, pg_get_indexdef(i.indexrelid), i.indisunique, coalesce(to_jsonb(i)->>'indnullsnotdistinct', '') = 'true',
       coalesce(k.contype::text, ''), coalesce(k.condeferrable, false), i.indisreplident, i.indisvalid,
       coalesce(k.conname, ''), obj_description(i.indexrelid, 'pg_class'),
  EXISTS (SELECT FROM unnest(coalesce(k.conkey, i.indkey::int2[])) n WHERE n NOT IN (0, %s))
  OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
    AND d.refobjid = i.indrelid AND d.refobjsubid NOT IN (0, %s))
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
WHERE i.indrelid = %s::oid AND (%s = ANY (i.indkey::int2[]) OR EXISTS (SELECT FROM pg_depend d
  WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refobjid = i.indrelid AND d.refobjsubid = %s))
ORDER BY c.relname
"""
_CONSTRAINTS = """
SELECT conname, contype::text, pg_get_constraintdef(oid), convalidated, conrelid::bigint,
       coalesce(to_jsonb(k)->>'confdelsetcols', '') <> '', obj_description(oid, 'pg_constraint'), cardinality(conkey) > 1
FROM pg_constraint k WHERE conrelid = %s::oid AND contype IN ('c', 'f') AND %s = ANY (conkey) ORDER BY conname
"""
_STATISTICS = """
SELECT s.stxname, pg_get_statisticsobjdef(s.oid), quote_ident(n.nspname) || '.' || quote_ident(s.stxname)
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
WHERE s.stxrelid = %s::oid AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_statistic_ext'::regclass
  AND d.objid = s.oid AND d.refobjid = s.stxrelid AND d.refobjsubid = %s) ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Table:
    """`written`: its name in the statements, as its user wrote it. `kind`: of pg_class. `taken`: names that are in use."""

    oid: int
    schema: str
    name: str
    written: str
    kind: str
    partition: bool
    inherits: bool
    identity: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    taken: frozenset[str]


@dataclass(frozen=True, slots=True)
class Index:
    """`constraint`: p, u or x where one stands behind it, with its name in `called`. `shared`: of other columns, too."""

    name: str
    definition: str
    unique: bool
    nulls_collide: bool
    constraint: str
    deferrable: bool
    identity: bool
    valid: bool
    called: str
    comment: str | None
    shared: bool


@dataclass(frozen=True, slots=True)
class Constraint:
    """`kind`: c or f."""

    name: str
    kind: str
    definition: str
    valid: bool
    table: int
    sets_columns: bool
    comment: str | None
    shared: bool


@dataclass(frozen=True, slots=True)
class Column:
    """`default`: the expression, "" for none. `sequence`: one that it owns, quoted, "" for none."""

    table: Table
    name: str
    number: int
    type: str
    not_null: bool
    default: str
    identity: bool
    generated: bool
    collation: str
    target: int
    comment: str
    constrained: bool
    options: str
    storage: str
    sequence: str
    type_oid: int
    grants: tuple[tuple[str, bool, tuple[str, ...]], ...]
    indexes: tuple[Index, ...]
    constraints: tuple[Constraint, ...]
    statistics: tuple[tuple[str, str, str], ...]


def table(session: Session, where: Place, quote: Quote) -> Table:
    """Raises `UsageError` where there is none of this name. To be called in the session's own search_path."""
    written = where.written(quote)
    found = session.rows(_TABLE, [written])
    if not found:
        raise UsageError(
            f"there is no table {written} in this database",
            hint="look at its spelling; a name with capital letters is written in double quotes, one of another schema as"
            " schema.table",
        )
    oid, schema, name, kind, partition, identity, inherits = found[0]
    columns = session.rows(
        "SELECT attname FROM pg_catalog.pg_attribute"
        " WHERE attrelid = %s::oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        [oid],
    )
    key = session.rows(
        "SELECT a.attname FROM pg_catalog.pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k (number, place),"
        " pg_catalog.pg_attribute a WHERE i.indrelid = %s::oid AND i.indisprimary AND a.attrelid = i.indrelid"
        " AND a.attnum = k.number ORDER BY k.place",
        [oid],
    )
    taken = session.rows(
        "SELECT relname FROM pg_catalog.pg_class WHERE relnamespace = (SELECT relnamespace FROM pg_catalog.pg_class"
        " WHERE oid = %s::oid) UNION SELECT conname FROM pg_catalog.pg_constraint WHERE conrelid = %s::oid"
        " UNION SELECT tgname FROM pg_catalog.pg_trigger WHERE tgrelid = %s::oid UNION SELECT stxname"
        " FROM pg_catalog.pg_statistic_ext",
        [oid, oid, oid],
    )
    return Table(
        oid, schema, name, written, kind, partition, inherits, identity,
        columns=_first(columns), key=_first(key), taken=frozenset(_first(taken)),
    )  # fmt: skip


def column(session: Session, where: Table, name: str) -> Column:
    """Raises `UsageError` where the table has none of this name. With nothing but pg_catalog in the search_path, in
    which the server writes every other name with its schema.
    """
    found = session.rows(_COLUMN, [where.oid, name])
    if not found:
        alike = [other for other in where.columns if other.lower() == name.lower()]
        quoted = f'write {where.written}."{alike[0]}"' if alike else f"it has {', '.join(where.columns) or 'none'}"
        raise UsageError(f"the table {where.written} has no column {name}", hint=quoted)
    (number, kind, not_null, default, identity, generated, collation, target, comment, constrained, options, storage,
     sequence, type_oid) = found[0]  # fmt: skip
    keys = [where.oid, number]
    return Column(
        where, name, number, kind, not_null, default or "", identity, generated, collation or "", target, comment or "",
        constrained, options or "", storage or "", sequence or "", type_oid,
        grants=tuple((who, more, tuple(what.split(","))) for who, more, what in session.rows(_GRANTS, keys)),
        indexes=tuple(Index(*row) for row in session.rows(_INDEXES, [number, number, *keys, number])),
        constraints=tuple(Constraint(*row) for row in session.rows(_CONSTRAINTS, keys)),
        statistics=tuple((called, made, full) for called, made, full in session.rows(_STATISTICS, keys)),
    )  # fmt: skip


def _first(rows: list[tuple[Any, ...]]) -> tuple[str, ...]:
    return tuple(row[0] for row in rows)
