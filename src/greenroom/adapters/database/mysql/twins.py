"""What a column has and the one that is filled from it lacks, in MySQL and MariaDB."""

from __future__ import annotations

from collections.abc import Sequence

from greenroom.adapters.database.backfill.fill import Fill
from greenroom.adapters.database.backfill.grammar import Table
from greenroom.adapters.database.backfill.pieces import bare, is_name
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Dialect

_OF_THE_TABLE = "CONCAT('`', REPLACE(TABLE_SCHEMA, '`', '``'), '`.`', REPLACE(TABLE_NAME, '`', '``'), '`') = %s"
_INDEXES = f"""
SELECT INDEX_NAME, NON_UNIQUE, GROUP_CONCAT(LOWER(COLUMN_NAME) ORDER BY SEQ_IN_INDEX SEPARATOR '`')
FROM information_schema.STATISTICS WHERE {_OF_THE_TABLE} GROUP BY INDEX_NAME, NON_UNIQUE
"""
_KEYS = f"""
SELECT CONSTRAINT_NAME, LOWER(COLUMN_NAME), REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME
FROM information_schema.KEY_COLUMN_USAGE WHERE {_OF_THE_TABLE} AND REFERENCED_TABLE_NAME IS NOT NULL
"""


def missing(session: Session, fill: Fill, table: Table) -> list[str]:
    """A sentence each, for columns that become another column and nothing else."""
    indexes = [(str(n), bool(several), str(c).split("`")) for n, several, c in session.rows(_INDEXES, [table.name])]
    keys = session.rows(_KEYS, [table.name])
    found: list[str] = []
    for new, old in fill.sets:
        if is_name(old, Dialect.MYSQL):
            found += _indexes(fill.table, bare(old).lower(), bare(new).lower(), indexes)
            there = {(where, what) for _, column, where, what in keys if column == bare(new).lower()}
            found += [
                f"foreign key {name} holds {fill.table}.{column}; {bare(new)} has none like it"
                for name, column, where, what in keys
                if column == bare(old).lower() and (where, what) not in there
            ]
    return found


def _indexes(table: str, old: str, new: str, found: Sequence[tuple[str, bool, list[str]]]) -> list[str]:
    there = [(several, columns) for _, several, columns in found]
    return [
        f"index {name} holds {table}.{old}; {new} has none like it"
        for name, several, columns in found
        if old in columns and (several, [new if column == old else column for column in columns]) not in there
    ]
