"""What differs between PostgreSQL, MySQL (MariaDB) and SQLite in the SQL that Greenroom itself writes.

Its own tables and its batches are written once, with these words in their places. Placeholders are `%s` everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import assert_never

from greenroom.domain.schema import Dialect


@dataclass(frozen=True, slots=True)
class Grammar:
    """`home`: what the name of each of Greenroom's own tables begins with. `options` follow a CREATE TABLE's bracket.

    `key` is the type of text that may stand in a primary key, compared byte by byte; `text` of any other. `whole`: of
    counts and epochs; `real`: of seconds since 1970. `for_update` follows a SELECT whose rows are to be locked until
    the transaction ends: nothing in SQLite, where whoever has begun to write is alone. `epoch`: seconds since 1970, by
    the server's clock. `transactional`: DDL can be undone, and is committed with what else the transaction wrote.
    """

    dialect: Dialect
    home: str
    key: str
    text: str
    whole: str
    real: str
    options: str
    for_update: str
    epoch: str
    transactional: bool
    _mark: str = field(default='"', kw_only=True)

    def quote(self, name: str) -> str:
        """A column, or a table with or without its schema (`shop.users`: both parts are quoted)."""
        parts = name.split(".")
        return ".".join(f"{self._mark}{part.replace(self._mark, self._mark * 2)}{self._mark}" for part in parts)

    def table(self, name: str) -> str:
        """One of Greenroom's own."""
        return f"{self.home}{name}"

    def same(self, one: str, other: str) -> str:
        """True where both are NULL, false where one is: never NULL."""
        match self.dialect:
            case Dialect.POSTGRES:
                return f"({one} IS NOT DISTINCT FROM {other})"
            case Dialect.MYSQL:
                return f"({one} <=> {other})"
            case Dialect.SQLITE:
                return f"({one} IS {other})"
            case _:
                assert_never(self.dialect)

    def differs(self, one: str, other: str) -> str:
        """The opposite of `same`."""
        match self.dialect:
            case Dialect.POSTGRES:
                return f"({one} IS DISTINCT FROM {other})"
            case Dialect.MYSQL:
                return f"(NOT ({one} <=> {other}))"
            case Dialect.SQLITE:
                return f"({one} IS NOT {other})"
            case _:
                assert_never(self.dialect)

    def upsert(self, table: str, keys: Sequence[str], others: Sequence[str]) -> str:
        """INSERT of a row with these columns, in this order; a row with the same key gets the others' values."""
        insert = self._insert(table, [*keys, *others])
        if self.dialect is Dialect.MYSQL:
            # Not the row alias of MySQL 8, which MariaDB does not know; both know VALUES().
            sets = ", ".join(f"{self.quote(name)} = VALUES({self.quote(name)})" for name in others or keys[:1])
            return f"{insert} ON DUPLICATE KEY UPDATE {sets}"
        named = ", ".join(self.quote(name) for name in keys)
        sets = ", ".join(f"{self.quote(name)} = excluded.{self.quote(name)}" for name in others)
        return f"{insert} ON CONFLICT ({named}) DO {f'UPDATE SET {sets}' if sets else 'NOTHING'}"

    def insert_new(self, table: str, keys: Sequence[str], others: Sequence[str]) -> str:
        """INSERT of a row with these columns; nothing happens where one with this key is there."""
        insert = self._insert(table, [*keys, *others])
        if self.dialect is Dialect.MYSQL:
            first = self.quote(keys[0])  # INSERT IGNORE would also cut values that are too long
            return f"{insert} ON DUPLICATE KEY UPDATE {first} = {first}"
        return f"{insert} ON CONFLICT ({', '.join(self.quote(name) for name in keys)}) DO NOTHING"

    def after(self, columns: Sequence[str]) -> str:
        """The condition for rows behind a place, in the order of these columns; its values: `after_values`.

        MySQL and SQLite read `(a, b) > (x, y)` too, but MySQL then walks the whole index: it is written out there.
        """
        names = [self.quote(name) for name in columns]
        if self.dialect is not Dialect.MYSQL:
            return (
                names[0] + " > %s" if len(names) == 1 else f"({', '.join(names)}) > ({', '.join(['%s'] * len(names))})"
            )
        steps = [" AND ".join([*(f"{n} = %s" for n in names[:i]), f"{names[i]} > %s"]) for i in range(len(names))]
        return steps[0] if len(steps) == 1 else f"({' OR '.join(f'({step})' for step in steps)})"

    def after_values(self, values: Sequence[object]) -> list[object]:
        """The values for the placeholders of `after`, of the place (one for each column)."""
        if self.dialect is not Dialect.MYSQL:
            return list(values)
        return [value for count in range(1, len(values) + 1) for value in values[:count]]

    def _insert(self, table: str, columns: Sequence[str]) -> str:
        named = ", ".join(self.quote(name) for name in columns)
        return f"INSERT INTO {table} ({named}) VALUES ({', '.join(['%s'] * len(columns))})"


_POSTGRES = Grammar(
    Dialect.POSTGRES,
    home="greenroom.",
    key="text",
    text="text",
    whole="bigint",
    real="double precision",
    options="",
    for_update=" FOR UPDATE",
    epoch="extract(epoch FROM pg_catalog.clock_timestamp())::double precision",
    transactional=True,
)
_MYSQL = Grammar(
    Dialect.MYSQL,
    home="greenroom_",
    key="varchar(190)",
    text="longtext",
    whole="bigint",
    real="double",
    # InnoDB whatever the server's default is: the ledger is worth nothing without transactions.
    options=" ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
    for_update=" FOR UPDATE",
    epoch="(UNIX_TIMESTAMP(SYSDATE(6)) + 0E0)",
    transactional=False,
    _mark="`",
)
_SQLITE = Grammar(
    Dialect.SQLITE,
    home="greenroom_",
    key="TEXT",
    text="TEXT",
    whole="INTEGER",
    real="REAL",
    options="",
    for_update="",
    epoch="((julianday('now') - 2440587.5) * 86400.0)",
    transactional=True,
)
GRAMMARS: Mapping[Dialect, Grammar] = MappingProxyType(
    {Dialect.POSTGRES: _POSTGRES, Dialect.MYSQL: _MYSQL, Dialect.SQLITE: _SQLITE}
)
