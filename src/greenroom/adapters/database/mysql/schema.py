"""The schema of a MySQL or MariaDB database as SQL, from its own mouth."""

from __future__ import annotations

import re

from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Dialect

_GRAMMAR = GRAMMARS[Dialect.MYSQL]
_DEFINER = re.compile(
    r"\sDEFINER\s*=\s*(?:`(?:[^`]|``)*`|'[^']*'|\w+)(?:@(?:`(?:[^`]|``)*`|'[^']*'|[\w.%]+))?", re.IGNORECASE
)
_COUNTER = re.compile(r" AUTO_INCREMENT=\d+")
_TABLES = """
SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()
ORDER BY TABLE_TYPE = 'VIEW', TABLE_NAME
"""
_TRIGGERS = (
    "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() ORDER BY ACTION_ORDER"
)


def text(session: Session) -> str:
    """Tables, then views, then triggers. Greenroom's own tables are left out."""
    found = []
    for name, kind in session.rows(_TABLES):
        if str(name).startswith(_GRAMMAR.home) or str(kind) not in ("BASE TABLE", "VIEW"):
            continue
        row = session.rows(f"SHOW CREATE TABLE {_GRAMMAR.quote(str(name))}")[0]
        found.append(_COUNTER.sub("", str(row[1])))
    for (name,) in session.rows(_TRIGGERS):
        found.append(str(session.rows(f"SHOW CREATE TRIGGER {_GRAMMAR.quote(str(name))}")[0][2]))
    return "".join(f"{_DEFINER.sub('', sql, count=1)};\n" for sql in found)
