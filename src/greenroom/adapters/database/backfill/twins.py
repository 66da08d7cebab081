"""What a column has and the one that is filled from it lacks, in PostgreSQL: found before the new version relies on it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from greenroom.adapters.database.backfill.fill import Fill
from greenroom.adapters.database.backfill.grammar import Table
from greenroom.adapters.database.backfill.pieces import bare
from greenroom.adapters.database.target import Session

_INDEXES = """
SELECT c.relname::text, i.indisunique, i.indnullsnotdistinct, pg_catalog.pg_get_expr(i.indpred, i.indrelid),
    ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, n, false) FROM generate_series(1, i.indnatts) AS n ORDER BY n)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = pg_catalog.to_regclass(%s) AND i.indisvalid
"""
_CONSTRAINTS = """
SELECT conname::text, contype::text, pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint
WHERE conrelid = pg_catalog.to_regclass(%s) AND contype IN ('c', 'f', 'x')
"""
_Index = tuple[bool, str, tuple[str, ...]]


def missing(session: Session, fill: Fill, table: Table) -> list[str]:
    """A sentence each, for columns that become another column and nothing else."""
    version = int(session.rows("SHOW server_version_num")[0][0])
    indexes = session.rows(
        _INDEXES if version >= 150000 else _INDEXES.replace("i.indnullsnotdistinct", "false"), [table.name]
    )
    found = [
        f"UNIQUE NULLS NOT DISTINCT index {name} holds {new}: two rows that are not filled yet cannot be there at once"
        for name, _, strict, _, columns in indexes
        if strict
        for new, _ in fill.sets
        if _quoted(new) in columns
    ]
    constraints = session.rows(_CONSTRAINTS, [table.name])
    for new, old in fill.sets:
        if re.fullmatch(r"\w+|\"[^\"]+\"", old):
            found += _indexes(fill.table, _quoted(old), _quoted(new), indexes)
            found += _constraints(fill.table, _quoted(old), _quoted(new), constraints)
    return found


def _indexes(
    table: str, old: str, new: str, found: Sequence[tuple[str, bool, bool, str | None, list[str]]]
) -> list[str]:
    there = {_index(unique, predicate, columns) for _, unique, _, predicate, columns in found}
    return [
        f"index {name} holds {table}.{old}; {new} has none like it"
        for name, unique, _, predicate, columns in found
        if any(_names(old, column) for column in columns)
        and _index(unique, _renamed(predicate or "", old, new), [_renamed(c, old, new) for c in columns]) not in there
    ]


def _index(unique: bool, predicate: str | None, columns: Sequence[str]) -> _Index:
    return unique, predicate or "", tuple(columns)


def _constraints(table: str, old: str, new: str, found: Sequence[tuple[str, str, str]]) -> list[str]:
    there = {text.removesuffix(" NOT VALID") for _, _, text in found}
    return [
        f"constraint {name} holds {table}.{old}; {new} has none like it"
        for name, _, text in found
        if _names(old, text) and _renamed(text, old, new).removesuffix(" NOT VALID") not in there
    ]


def _names(column: str, text: str) -> bool:
    return re.search(_whole(column), text) is not None


def _renamed(text: str, old: str, new: str) -> str:
    return re.sub(_whole(old), lambda _: new, text)


def _whole(name: str) -> str:
    return rf"(?<![\w\"]){re.escape(name)}(?![\w\"])"


def _quoted(name: str) -> str:
    """As the server writes it in definitions."""
    plain = bare(name)
    return plain if re.fullmatch(r"[a-z_][a-z0-9_]*", plain) else '"' + plain.replace('"', '""') + '"'
