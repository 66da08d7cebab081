"""MySQL commits each statement of a contract by itself: what stands between two of them must be something to live with."""

from __future__ import annotations

import re
from collections.abc import Sequence

from greenroom.adapters.database.contracting.excuses import Problem
from greenroom.adapters.database.contracting.going import Going, going
from greenroom.adapters.database.reading import Statement, changes
from greenroom.adapters.database.reading.change import Redefine
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Dialect

_TRIGGERS = """
SELECT trigger_name, action_statement FROM information_schema.triggers
WHERE trigger_schema = database() AND event_object_table = %s
"""
_DEMANDED = """
SELECT 1 FROM information_schema.columns WHERE table_schema = database() AND table_name = %s AND column_name = %s
AND is_nullable = 'NO' AND column_default IS NULL AND extra NOT LIKE '%%auto_increment%%'
"""


def problems(session: Session, statements: Sequence[Statement]) -> list[Problem]:
    """A trigger that still writes a column when it is dropped; a column that writers must give once its trigger is gone."""
    found: list[Problem] = []
    gone: set[str] = set()
    eased: set[tuple[str, str]] = set()
    for statement in statements:
        done = changes(statement, Dialect.MYSQL)
        eased |= {(c.table, c.column) for c in done if isinstance(c, Redefine) and c.to.nullable}
        for one in going(done):
            if one.kind == "trigger":
                gone.add(one.name)
            elif one.kind == "column":
                found += _left(session, one, gone)
                found += [] if (one.table, one.name) in eased or not gone else _demanded(session, one)
    return found


def _left(session: Session, one: Going, gone: set[str]) -> list[Problem]:
    hint = "MySQL carries out one statement after the other: drop the trigger before the column"
    return [
        Problem("sync-trigger", f"the trigger {name} of {one.table} still names {one} when that is dropped", hint=hint)
        for name, body in session.rows(_TRIGGERS, [one.table])
        if name not in gone and re.search(rf"(?<!\w){re.escape(one.name)}(?!\w)", body, re.IGNORECASE)
    ]


def _demanded(session: Session, one: Going) -> list[Problem]:
    if not session.rows(_DEMANDED, [one.table, one.name]):
        return []
    text = (
        f"between its trigger's end and its own, every INSERT without {one} fails, since it is NOT NULL without default"
    )
    hint = f"begin with: ALTER TABLE {one.table} MODIFY {one.name} … NULL"
    return [Problem("sync-trigger", text, hint=hint)]
