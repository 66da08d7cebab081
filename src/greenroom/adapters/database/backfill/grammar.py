"""What a backfill asks of one kind of server, beside the words of `database/grammar.py`. The seam between the dialects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, assert_never

from greenroom.adapters.database.backfill.fill import Fill
from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Dialect

Place = tuple[str, ...]
"""Where in a table somebody is: the values of a key as text, one for each of its columns."""


@dataclass(frozen=True, slots=True)
class Key:
    """One column of a key: its bare name and its type, as the server calls both."""

    column: str
    type: str


@dataclass(frozen=True, slots=True)
class Table:
    """`name`: quoted, with its schema. `key`: no value of it is NULL, no two rows have the same. `types`: of the
    columns that are filled, by the names that the fill gives them.
    """

    name: str
    key: tuple[Key, ...]
    types: Mapping[str, str]


class Server(Protocol):
    """No method waits longer than the session's own limits; none changes anything."""

    dialect: Dialect
    glance: float
    """Seconds for which one statement may read a whole table, 0: it would hold up others."""

    def table(self, session: Session, fill: Fill) -> Table:
        """The table with the key by which it is walked. Raises `Unfit`: no such table or column, a view, no key, a key that
        is not unique or may be NULL or is itself filled; with the way out.
        """

    def doubts(self, session: Session, fill: Fill, table: Table) -> Sequence[str]:
        """What would go wrong later, for people: what the old column has and the new one lacks."""

    def rehearse(self, session: Session, sql: str) -> None:
        """Ask about a statement (with one value, 1) without doing it: `Broken` if the server would refuse it."""

    def estimate(self, session: Session, table: Table) -> int:
        """About how many rows it has, from the server's statistics. At once, however big it is."""

    def differs(self, column: str, type: str, value: str) -> str:
        """SQL, never NULL: this column (of this type) is not what it would be if it became this value."""

    def shown(self, key: Key, name: str) -> str:
        """SQL of a column (`name`, quoted) as text that `given` takes back exactly."""

    def given(self, key: Key) -> str:
        """`%s` as a value of the key's type, from a text; any other `%` written twice."""

    def patience(self, session: Session) -> float:
        """Seconds that a transaction waits until the server looks for a deadlock; we give up before."""

    def busy(self, session: Session) -> int:
        """Sessions at work, without our own. Raises `Permanent` where that may not be seen."""


def plain(sql: str) -> str:
    """As a part of SQL that has values: every `%` of it is a `%`."""
    return sql.replace("%", "%%")


def server(dialect: Dialect) -> Server:
    match dialect:
        case Dialect.POSTGRES:
            from greenroom.adapters.database.backfill.postgres import PostgresServer

            return PostgresServer()
        case Dialect.MYSQL:
            from greenroom.adapters.database.mysql.backfill import MysqlServer

            mysql: Server = MysqlServer()
            return mysql
        case Dialect.SQLITE:
            from greenroom.adapters.database.sqlite.backfill import SqliteServer

            sqlite: Server = SqliteServer()
            return sqlite
        case _:
            assert_never(dialect)


class Columns:
    """The key of a table in our SQL, for statements that have values. `name`: by which the table is called there."""

    def __init__(self, server: Server, table: Table, name: str) -> None:
        self._server, self._key = server, table.key
        quote = GRAMMARS[server.dialect].quote
        self.names = [plain(f"{name}.{quote(key.column)}") for key in table.key]

    def listed(self, how: str = "") -> str:
        return ", ".join(name + how for name in self.names)

    def shown(self) -> str:
        return ", ".join(self._server.shown(key, name) for key, name in zip(self._key, self.names, strict=True))

    def within(self, after: Place | None, until: Place | None) -> tuple[str, list[str]]:
        """The condition of rows behind one place and up to another, and its values; None: no bound."""
        parts, values = [], []
        for sign, place in ((">", after), ("<=", until)):
            if place is not None:
                parts.append(self._compared(sign))
                values += self._values(place)
        return " AND ".join(parts) or "1 = 1", values

    def _compared(self, sign: str) -> str:
        """MySQL walks the whole index for `(a, b) > (x, y)`: it is written out there."""
        given = [self._server.given(key) for key in self._key]
        if len(given) == 1:
            return f"{self.names[0]} {sign} {given[0]}"
        if self._server.dialect is not Dialect.MYSQL:
            return f"({', '.join(self.names)}) {sign} ({', '.join(given)})"
        steps = []
        for i, (name, value) in enumerate(zip(self.names, given, strict=True)):
            same = [f"{self.names[j]} = {given[j]}" for j in range(i)]
            steps.append(" AND ".join([*same, f"{name} {sign if i == len(given) - 1 else sign[0]} {value}"]))
        return f"({' OR '.join(f'({step})' for step in steps)})"

    def _values(self, place: Place) -> list[str]:
        if self._server.dialect is not Dialect.MYSQL:
            return list(place)
        return [value for count in range(1, len(place) + 1) for value in place[:count]]
