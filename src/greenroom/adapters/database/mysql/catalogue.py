"""What a MySQL or MariaDB database has of certain names, so that one can see whether a statement has happened.

DDL commits by itself there, apart from the ledger. So what is there is written down before, and compared after a crash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Any

from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Dialect

Catalogue = Mapping[str, str]
"""By object (`table users`, `trigger users_sync`, …), a digest of all that is known of it."""

_HERE = {
    "table": "SELECT TABLE_NAME, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()",
    "trigger": "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_ORDER, ACTION_STATEMENT, ACTION_TIMING,"
    " DEFINER, CREATED FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()",
    "routine": "SELECT ROUTINE_NAME, ROUTINE_NAME, ROUTINE_TYPE, ROUTINE_DEFINITION, CREATED, LAST_ALTERED, DEFINER"
    " FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()",
    "event": "SELECT EVENT_NAME, EVENT_NAME, EVENT_DEFINITION, EXECUTE_AT, INTERVAL_VALUE, INTERVAL_FIELD, STATUS,"
    " LAST_ALTERED FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()",
    "database": "SELECT DATABASE(), DATABASE(), DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME"
    " FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE()",
}
"""Of each kind of object: its name, the table that it belongs to, and what is known of it."""

_COUNTER = re.compile(r" AUTO_INCREMENT=\d+")
"""Users' writes move it."""


def read(session: Session, names: Collection[str]) -> Catalogue:
    """Objects with these names (in small letters), and what belongs to tables with these names."""
    found = {}
    for kind, query in _HERE.items():
        for name, table, *known in session.rows(query):
            if {str(name).lower(), str(table).lower()} & set(names):
                found[f"{kind} {name}"] = _digest(_shown(session, name) if kind == "table" else known)
    return found


def _shown(session: Session, name: str) -> Any:
    """All of a table: columns, indexes, constraints, partitions, options; of a view its query."""
    row = session.rows(f"SHOW CREATE TABLE {GRAMMARS[Dialect.MYSQL].quote(name)}")[0]
    return _COUNTER.sub("", str(row[1]))


def _digest(known: Any) -> str:
    return sha256(json.dumps(known, default=str).encode()).hexdigest()[:16]


def changed(before: Catalogue, after: Catalogue) -> list[str]:
    """Objects that are new, gone or different."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def engines(session: Session, names: Collection[str]) -> Mapping[str, str]:
    """By name, of the tables with these names (in small letters), what stores them."""
    query = "SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND ENGINE IS NOT NULL"
    return {str(name): str(engine) for name, engine in session.rows(query) if str(name).lower() in names}
