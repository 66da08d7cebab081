"""What a contract remembers between two looks, in the database: what it has hidden, and what it saw before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greenroom.adapters.database.contracting.going import Going
from greenroom.adapters.database.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Hidden:
    """One thing that a migration's contract has put out of reach. `undo`: statements, in the order to run them."""

    name: str
    number: int
    going: Going
    hidden: str
    undo: tuple[str, ...]
    by: str
    at: float


class Store:
    """Beside the ledger's rows of this service; like the ledger, it begins no transaction."""

    def __init__(self, ledger: Ledger) -> None:
        self._session, self._service, self._grammar = ledger.session, ledger.service, ledger.grammar

    def hidden(self, name: str = "") -> list[Hidden]:
        """Of this migration, of all where none is named; in the order in which they were hidden."""
        columns = ["name", "number", "kind", "table", "what", "hidden", "undo", "by", "at"]
        rows = self._read("hidden", columns, {"name": name} if name else {})
        made = [Hidden(n, i, Going(kind, table, what), h, tuple(json.loads(u)), by, at)
                for n, i, kind, table, what, h, u, by, at in rows]  # fmt: skip
        return sorted(made, key=lambda one: (one.name, one.number))

    def hide(self, one: Hidden) -> None:
        kept = {"kind": one.going.kind, "table": one.going.table, "what": one.going.name, "hidden": one.hidden,
                "undo": json.dumps(one.undo), "by": one.by, "at": one.at}  # fmt: skip
        self._write("hidden", {"name": one.name, "number": one.number}, kept)

    def show(self, name: str) -> None:
        """Nothing of this migration is hidden any more."""
        self._forget("hidden", name)

    def watched(self, name: str) -> tuple[Mapping[str, Any], float] | None:
        """What was seen, and when."""
        rows = self._read("watched", ["body", "at"], {"name": name})
        return (json.loads(rows[0][0]), float(rows[0][1])) if rows else None

    def watch(self, name: str, body: Mapping[str, Any], at: float) -> None:
        self._write("watched", {"name": name}, {"body": json.dumps(body), "at": at})

    def forget(self, name: str) -> None:
        self._forget("watched", name)

    def _read(self, table: str, columns: Sequence[str], keys: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        keys = {"service": self._service, **keys}
        named = ", ".join(map(self._grammar.quote, columns))
        where = " AND ".join(f"{self._grammar.quote(name)} = %s" for name in keys)
        return self._session.rows(
            f"SELECT {named} FROM {self._grammar.table(table)} WHERE {where}", list(keys.values())
        )

    def _write(self, table: str, keys: Mapping[str, Any], others: Mapping[str, Any]) -> None:
        keys = {"service": self._service, **keys}
        sql = self._grammar.upsert(self._grammar.table(table), list(keys), list(others))
        self._session.run(sql, [*keys.values(), *others.values()])

    def _forget(self, table: str, name: str) -> None:
        where = f"{self._grammar.quote('service')} = %s AND {self._grammar.quote('name')} = %s"
        self._session.run(f"DELETE FROM {self._grammar.table(table)} WHERE {where}", [self._service, name])
