"""Whether what a backfill fills stays filled: a write of the running version must end alike before it and behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from greenroom.domain.schema import Stage
from tests.database.corpus.cases import Case

Values = dict[str, list[str]]


class InStep:
    """Asked before the backfill is carried out, and `stale` behind it. Every write is taken back.

    `columns`: by table, those that were added for the release. `ask` carries out one statement, outside of a transaction.
    """

    def __init__(
        self,
        case: Case,
        statements: Mapping[str, str],
        columns: Mapping[str, Sequence[str]],
        ask: Callable[[str], Any],
        errors: type[Exception],
        begin: str = "BEGIN",
    ) -> None:
        self.ask, self.errors, self.begin, self.columns = ask, errors, begin, columns
        moves = case.stage is Stage.BACKFILL and all(sql.startswith("UPDATE ") for sql in case.sql)
        self.writes = {name: sql for name, sql in statements.items() if moves and not sql.startswith("SELECT")}
        self.expected = {name: self._after(sql, *case.sql) for name, sql in self.writes.items()}

    def stale(self) -> set[str]:
        found = set()
        for name, sql in self.writes.items():
            expected, seen = self.expected[name], self._after(sql)
            if expected is not None and seen is not None:
                found |= {column for column, values in expected.items() if values != seen[column]}
        return found

    def _after(self, *statements: str) -> Values | None:
        """None where one of them fails, of which others tell."""
        self.ask(self.begin)
        try:
            for sql in statements:
                self.ask(sql)
            return {
                f"{table}.{column}": self._of(table, column)
                for table, names in self.columns.items()
                for column in names
            }
        except self.errors:
            return None
        finally:
            self.ask("ROLLBACK")

    def _of(self, table: str, column: str) -> list[str]:
        return sorted(str(value) for (value,) in self.ask(f"SELECT {column} FROM {table}") if value is not None)
