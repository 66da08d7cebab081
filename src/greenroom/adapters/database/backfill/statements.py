"""The SQL of a backfill: pages of keys, batches, counts. Every statement that has values has every other `%` twice."""

from __future__ import annotations

from collections.abc import Sequence

from greenroom.adapters.database.backfill.fill import Fill
from greenroom.adapters.database.backfill.grammar import Columns, Place, Server, Table, plain
from greenroom.adapters.database.target import Session

SAMPLES = 5


class Statements:
    """Of one fill, by whatever session. Places are inclusive as `until`, exclusive as `after`; None: no bound."""

    def __init__(self, server: Server, fill: Fill, table: Table) -> None:
        self._columns = Columns(server, table, fill.name)
        self._from = f"{plain(table.name)} AS {plain(fill.name)}"

        def differs(column: str, name: str, value: str) -> str:
            return server.differs(name, table.types[column], value)

        self._pending = plain(fill.pending(differs))
        self._sets = plain(fill.assignments())
        self._name = plain(fill.name)

    def top(self, session: Session) -> Place | None:
        """The highest key, None if the table is empty."""
        query = f"SELECT {self._columns.shown()} FROM {self._from} ORDER BY {self._columns.listed(' DESC')} LIMIT %s"
        found = session.rows(query, [1])
        return tuple(found[0]) if found else None

    def page(self, session: Session, after: Place | None, until: Place | None, most: int) -> tuple[Place, int] | None:
        """The last key of the next so many rows, and how many they are; None if there are none."""
        within, values = self._columns.within(after, until)
        keys, order = self._columns.listed(), self._columns.listed()
        page = f"SELECT {keys} FROM {self._from} WHERE {within} ORDER BY {order} LIMIT %s"
        last = f"ORDER BY {self._columns.listed(' DESC')} LIMIT 1"
        count = "(SELECT count(*) FROM page)"
        query = f"WITH page AS ({page}) SELECT {count}, {self._columns.shown()} FROM page AS {self._name} {last}"
        found = session.rows(query, [*values, most])
        return (tuple(found[0][1:]), int(found[0][0])) if found else None

    def batch(self, session: Session, after: Place | None, until: Place) -> int:
        """Fills what is not done; how many rows that were."""
        within, values = self._columns.within(after, until)
        return session.run(f"UPDATE {self._from} SET {self._sets} WHERE {within} AND {self._pending}", values)

    def differing(self, session: Session, after: Place | None, until: Place | None) -> int:
        within, values = self._columns.within(after, until)
        query = f"SELECT count(*) FROM {self._from} WHERE {within} AND {self._pending} AND 1 = %s"
        return int(session.rows(query, [*values, 1])[0][0])

    def samples(self, session: Session, after: Place | None, until: Place | None, most: int) -> Sequence[Place]:
        """Keys of rows that are not done."""
        within, values = self._columns.within(after, until)
        order = self._columns.listed()
        query = f"SELECT {self._columns.shown()} FROM {self._from} WHERE {within} AND {self._pending}"
        return [tuple(row) for row in session.rows(f"{query} ORDER BY {order} LIMIT %s", [*values, most])]

    def explained(self) -> str:
        """The batch as the server can be asked about without doing it; `None` as values."""
        return f"UPDATE {self._from} SET {self._sets} WHERE {self._pending} AND 1 = %s"
