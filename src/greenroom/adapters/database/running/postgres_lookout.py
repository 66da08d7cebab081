"""Who is in the way, as PostgreSQL tells it; of other roles' sessions it hides most, without `pg_read_all_stats`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from greenroom.adapters.database.reading.shown import without_values
from greenroom.adapters.database.running.lookout import LONGEST, Blocker
from greenroom.adapters.database.target import Session

_WHO = """
    a.pid, coalesce(nullif(a.application_name, ''), a.backend_type, ''), coalesce(a.usename::text, ''),
    coalesce(host(a.client_addr), ''), coalesce(a.state, ''), coalesce(a.query, ''),
    extract(epoch FROM clock_timestamp() - a.xact_start)::double precision,
    coalesce((SELECT l.virtualtransaction || ' ' || l.pid FROM pg_catalog.pg_locks l
              WHERE l.pid = b.pid AND l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND l.granted LIMIT 1), '')
"""


class PostgresLookout:
    """`lookout.Lookout`."""

    def blockers(self, session: Session, number: int) -> list[Blocker]:
        rows = session.rows(
            f"SELECT b.pid, {_WHO} FROM (SELECT DISTINCT unnest(pg_catalog.pg_blocking_pids(%s))) b(pid)"
            " LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid ORDER BY a.xact_start NULLS LAST",
            [number],
        )
        return [_blocker(row) for row in rows]

    def stays(self, session: Session, blockers: Sequence[Blocker]) -> bool:
        marks = [one.mark for one in blockers if one.mark]
        query = (
            "SELECT 1 FROM pg_catalog.pg_locks l WHERE l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock'"
            " AND l.granted AND l.virtualtransaction || ' ' || l.pid = ANY(%s::text[])"
        )
        return bool(marks and session.rows(query, [marks]))

    def long(self, session: Session, older: float) -> list[Blocker]:
        rows = session.rows(
            f"SELECT b.pid, {_WHO} FROM pg_catalog.pg_stat_activity a JOIN (SELECT pid FROM pg_catalog.pg_stat_activity) b"
            " ON b.pid = a.pid WHERE a.datname = current_database() AND a.pid <> pg_catalog.pg_backend_pid()"
            " AND a.xact_start < clock_timestamp() - %s * interval '1 second' ORDER BY a.xact_start",
            [older],
        )
        return [_blocker(row) for row in rows]


def _blocker(row: Sequence[Any]) -> Blocker:
    number, known, application, user, address, state, query, age, mark = row
    if not number:  # a prepared transaction belongs to no session
        return Blocker(0, "a prepared transaction, see pg_prepared_xacts")
    if known is None:
        return Blocker(number)
    at = f" at {address}" if address else ""
    who = f"{application}{f' of {user}' if user else ''}{at}"
    return Blocker(number, who, without_values(query, LONGEST), age, state, mark)
