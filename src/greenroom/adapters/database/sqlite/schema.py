"""The schema of a SQLite file as SQL."""

from __future__ import annotations

from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Dialect

_HOME = GRAMMARS[Dialect.SQLITE].home
_PARTS = """
SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL
ORDER BY type = 'trigger', type = 'view', type = 'index', name
"""


def text(session: Session) -> str:
    """Tables, then indexes, views and triggers. Greenroom's own tables, and SQLite's, are left out."""
    return "".join(f"{sql};\n" for name, sql in session.rows(_PARTS) if not str(name).startswith((_HOME, "sqlite_")))
