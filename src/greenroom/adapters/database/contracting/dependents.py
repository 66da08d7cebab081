"""What else a drop would take along on PostgreSQL: all that hangs on it and that nobody has named."""

from __future__ import annotations

from collections.abc import Sequence

from greenroom.adapters.database.contracting.going import Going
from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Dialect

_CLASS = "SELECT 'pg_class'::regclass::oid, to_regclass(%s)::oid, 0 WHERE to_regclass(%s) IS NOT NULL"
_COLUMN = """
SELECT 'pg_class'::regclass::oid, attrelid, attnum FROM pg_catalog.pg_attribute
WHERE attrelid = to_regclass(%s) AND attname = %s AND NOT attisdropped
"""
_FUNCTION = "SELECT 'pg_proc'::regclass::oid, oid, 0 FROM pg_catalog.pg_proc WHERE oid = to_regproc(%s)"
_SCHEMA = "SELECT 'pg_namespace'::regclass::oid, to_regnamespace(%s)::oid, 0 WHERE to_regnamespace(%s) IS NOT NULL"
_TYPE = "SELECT 'pg_type'::regclass::oid, to_regtype(%s)::oid, 0 WHERE to_regtype(%s) IS NOT NULL"

_HANGING = """
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid),
  CASE d.classid WHEN 'pg_rewrite'::regclass THEN (SELECT c.relname FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class
                                                   WHERE r.oid = d.objid)
                 WHEN 'pg_class'::regclass THEN (SELECT relname FROM pg_class WHERE oid = d.objid)
                 WHEN 'pg_constraint'::regclass THEN (SELECT conname FROM pg_constraint WHERE oid = d.objid)
                 WHEN 'pg_trigger'::regclass THEN (SELECT tgname FROM pg_trigger WHERE oid = d.objid)
                 WHEN 'pg_proc'::regclass THEN (SELECT proname FROM pg_proc WHERE oid = d.objid)
                 WHEN 'pg_type'::regclass THEN (SELECT typname FROM pg_type WHERE oid = d.objid)
                 ELSE '' END
FROM pg_catalog.pg_depend d
LEFT JOIN pg_catalog.pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
LEFT JOIN pg_catalog.pg_index i ON d.classid = 'pg_class'::regclass AND i.indexrelid = d.objid
LEFT JOIN pg_catalog.pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
LEFT JOIN pg_catalog.pg_attrdef a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid
WHERE d.refclassid = {classid} AND d.refobjid = {objid} AND ({subid} = 0 OR d.refobjsubid = {subid})
AND (d.deptype = 'n' AND coalesce(w.ev_class, 0) <> {objid} AND NOT ({subid} = 0 AND coalesce(k.conrelid, 0) = {objid})
     AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend o WHERE (o.classid, o.objid) = (d.classid, d.objid) AND
       o.refclassid = {classid} AND o.refobjid = {objid} AND o.refobjsubid = {subid} AND o.deptype = 'a')
     OR {subid} > 0 AND d.deptype = 'a'
        AND (cardinality(k.conkey) > 1 OR i.indnatts > 1 OR a.adnum IS NOT NULL AND a.adnum <> {subid}))
ORDER BY 1
"""
"""What would stop a drop without CASCADE; and of a column also what would go with it silently though it is about other
columns, too: indexes and constraints of several, what is generated from it."""


def hanging(session: Session, goings: Sequence[Going]) -> list[str]:
    """`users.old takes index users_both_idx along`, for each thing that is not named among what goes."""
    named = {one.name.rpartition(".")[2] for one in goings}
    columns = {(_shown(session, one.table), one.name) for one in goings if one.kind == "column"}
    found = []
    for one in goings:
        for classid, objid, subid in _found(session, one):
            rows = session.rows(_HANGING.format(classid=classid, objid=objid, subid=subid))
            found += [
                f"{one} takes {text} along" for text, name in rows if name not in named and not _named(text, columns)
            ]
    return found


def _shown(session: Session, table: str) -> str:
    """As the server calls it to this session."""
    [(shown,)] = session.rows("SELECT to_regclass(%s)::text", [GRAMMARS[Dialect.POSTGRES].quote(table)])
    return str(shown or table)


def _named(text: str, columns: set[tuple[str, str]]) -> bool:
    """Defaults are called after their column."""
    return any(text.endswith(f"column {name} of table {table}") for table, name in columns)


def _found(session: Session, one: Going) -> list[tuple[int, int, int]]:
    quote = GRAMMARS[Dialect.POSTGRES].quote
    match one.kind:
        case "column":
            return session.rows(_COLUMN, [quote(one.table), one.name])
        case "table" | "view" | "materialized view" | "index" | "sequence":
            return session.rows(_CLASS, [quote(one.name)] * 2)
        case "function" | "procedure":
            return session.rows(_FUNCTION, [quote(one.name.partition("(")[0])])
        case "schema":
            return session.rows(_SCHEMA, [quote(one.name)] * 2)
        case "type" | "domain":
            return session.rows(_TYPE, [quote(one.name)] * 2)
    return []
