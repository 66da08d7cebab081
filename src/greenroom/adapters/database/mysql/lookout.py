"""Who is in the way, as MySQL and MariaDB tell it.

Rows are held by transactions, which both name exactly. Who holds the lock of a table's shape (a metadata lock) is told
exactly by `performance_schema`, which MySQL keeps and MariaDB by default does not, or by MariaDB's plugin
`metadata_lock_info`; without them, the open transactions of this database are named: one of them it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from greenroom.adapters.database.mysql.online import names
from greenroom.adapters.database.reading.shown import without_values
from greenroom.adapters.database.running.lookout import LONGEST, Blocker
from greenroom.adapters.database.target import Broken, Session
from greenroom.domain.schema import Dialect

UNSEEN = "not to be seen: GRANT PROCESS ON *.* TO the user in migrations.url would name it"

_WHO = """
    p.ID, p.USER, p.HOST, p.COMMAND, LEFT(p.INFO, 400),
    TIMESTAMPDIFF(MICROSECOND, t.trx_started, SYSDATE(6)) / 1e6, CONCAT(t.trx_started, ' ', p.ID)
"""
_SESSIONS = (
    "FROM information_schema.PROCESSLIST p LEFT JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id = p.ID"
)
_ORDER = "ORDER BY t.trx_started IS NULL, t.trx_started LIMIT 5"
_ROWS = (
    "SELECT b.trx_mysql_thread_id FROM information_schema.INNODB_LOCK_WAITS w"
    " JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id"
    " JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id WHERE r.trx_mysql_thread_id = %s",
    "SELECT b.PROCESSLIST_ID FROM performance_schema.data_lock_waits w"
    " JOIN performance_schema.threads r ON r.THREAD_ID = w.REQUESTING_THREAD_ID"
    " JOIN performance_schema.threads b ON b.THREAD_ID = w.BLOCKING_THREAD_ID WHERE r.PROCESSLIST_ID = %s",
)
"""MariaDB's, and that of MySQL since 8.0."""

_SHAPES = (
    "SELECT DISTINCT t.PROCESSLIST_ID, LOWER(m.OBJECT_NAME) FROM performance_schema.metadata_locks m"
    " JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID"
    " WHERE m.OBJECT_TYPE = 'TABLE' AND m.OBJECT_SCHEMA = DATABASE() AND m.LOCK_STATUS = 'GRANTED'",
    "SELECT DISTINCT THREAD_ID, LOWER(TABLE_NAME) FROM information_schema.METADATA_LOCK_INFO"
    " WHERE TABLE_SCHEMA = DATABASE() AND LOCK_TYPE = 'Table metadata lock'",
)


class MysqlLookout:
    """`running.lookout.Lookout`."""

    def blockers(self, session: Session, number: int) -> list[Blocker]:
        waiting = session.rows("SELECT STATE, INFO FROM information_schema.PROCESSLIST WHERE ID = %s", [number])
        if not waiting or not waiting[0][1]:
            return []
        state, sql = str(waiting[0][0] or ""), str(waiting[0][1])
        if "metadata lock" not in state.lower():
            return self._known(
                session, self._first(session, _ROWS[:1], number) or self._first(session, _ROWS[1:], number)
            )
        about = names(sql)
        held = [(holder, name) for query in _SHAPES for holder, name in _tried(session, query)]
        holders = {int(holder) for holder, name in held if name in about and holder not in (None, number)}
        if holders:
            return self._known(session, sorted(holders))
        return self._all(session, number, 0.0)

    def stays(self, session: Session, blockers: Sequence[Blocker]) -> bool:
        marks = {one.mark for one in blockers if one.mark}
        query = "SELECT CONCAT(trx_started, ' ', trx_mysql_thread_id) FROM information_schema.INNODB_TRX"
        return bool(marks & {mark for (mark,) in _tried(session, query)})

    def long(self, session: Session, older: float) -> list[Blocker]:
        return [one for one in self._all(session, 0, older) if one.number]

    @staticmethod
    def _first(session: Session, queries: Sequence[str], number: int) -> list[int]:
        return sorted({int(row[0]) for query in queries for row in _tried(session, query, [number])})

    @staticmethod
    def _known(session: Session, numbers: Sequence[int]) -> list[Blocker]:
        if not numbers:
            return []
        among = ", ".join(map(str, numbers))
        found = _tried(session, f"SELECT {_WHO} {_SESSIONS} WHERE p.ID IN ({among}) {_ORDER}")
        return [_blocker(row) for row in found] or [Blocker(number) for number in numbers]

    @staticmethod
    def _all(session: Session, number: int, older: float) -> list[Blocker]:
        """Transactions of this database but our own, the oldest first."""
        query = (
            f"SELECT {_WHO} {_SESSIONS} WHERE p.DB = DATABASE() AND p.ID NOT IN (%s, CONNECTION_ID())"
            f" AND t.trx_started < SYSDATE(6) - INTERVAL %s SECOND {_ORDER}"
        )
        try:
            return [_blocker(row) for row in session.rows(query, [number, older])]
        except Broken:
            return [Blocker(0, UNSEEN)]


def _tried(session: Session, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Nothing where this server, or the user's rights, do not have it."""
    try:
        return session.rows(query, values)
    except Broken:
        return []


def _blocker(row: Sequence[Any]) -> Blocker:
    number, user, host, command, query, age, mark = row
    state = "idle in its transaction" if command == "Sleep" else ""
    who = f"{user}@{str(host or '').rpartition(':')[0] or host}"
    doing = without_values(str(query or ""), LONGEST, Dialect.MYSQL)
    return Blocker(int(number), who, doing, float(age) if age is not None else None, state, str(mark or ""))
