"""The three files of a column that takes another's place, whatever it is that it does with its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from greenroom.adapters.database.writing import sync
from greenroom.adapters.database.writing.carry import join
from greenroom.adapters.database.writing.catalogue import Column
from greenroom.adapters.database.writing.names import Quote
from greenroom.domain.schema import Stage


class Rule(Protocol):
    """What the trigger does. `when`: BEFORE or AFTER the row is written. `allow`: why the judge may let it be, "" where it
    sees that for itself. `said`: of what it is for.
    """

    when: ClassVar[str]
    said: ClassVar[str]
    definer: ClassVar[bool]

    @property
    def allow(self) -> str: ...

    def body(self) -> str: ...


@dataclass(slots=True)
class Life:
    """`adds`: quoted columns with their types. The lists hold statements without their `;`, in the order in which they run.

    `head`: comment lines at the top of expand.sql; `before`: of what must be done by hand before the contract. `onto`: the
    table that gets the columns, if it is another one. `named`: why the column cannot be hidden before it is dropped.
    """

    column: Column
    adds: Sequence[tuple[str, str]]
    rule: Rule
    head: Sequence[str]
    backfill: tuple[str, str]
    expand: Sequence[str] = ()
    contract: Sequence[str] = ()
    first: Sequence[str] = ()
    last: Sequence[str] = ()
    before: Sequence[str] = field(default=())
    onto: str = ""
    named: str = ""

    def files(self, quote: Quote) -> list[tuple[Stage, str, str]]:
        ending, backfill = self.backfill
        return [
            (Stage.EXPAND, "sql", self._expand(quote)),
            (Stage.BACKFILL, ending, backfill),
            (Stage.CONTRACT, "sql", self._contract(quote)),
        ]

    def _names(self, quote: Quote) -> tuple[str, str]:
        """Of the trigger and, with its schema, of the function."""
        table = self.column.table
        trigger = quote(sync.name(table.name, self.column.name, table.taken))
        return trigger, f"{quote(table.schema)}.{trigger}"

    def _expand(self, quote: Quote) -> str:
        table = self.column.table.written
        trigger, function = self._names(quote)
        added = [f"ALTER TABLE {self.onto or table} ADD COLUMN {name} {kind}" for name, kind in self.adds]
        return (
            _comment(*self.head)
            + join(added)
            + "\n"
            + _comment(self.rule.said)
            + join([sync.function(function, self.rule.body(), definer=self.rule.definer)])
            + (_comment(f"greenroom: allow create-trigger: {self.rule.allow}") if self.rule.allow else "")
            + join([sync.trigger(trigger, table, function, self.rule.when)])
            + (("\n" + join(self.expand)) if self.expand else "")
        )

    def _contract(self, quote: Quote) -> str:
        table = self.column.table.written
        trigger, function = self._names(quote)
        drop = f"DROP COLUMN {quote(self.column.name)}"
        last = ", ".join([f"DISABLE TRIGGER {trigger}", *self.first, drop, *self.last])
        text = _comment("When nobody can need the old column any more.", *self.before)
        if self.contract:
            text += join(self.contract) + "\n"
        return (
            text
            + _comment("One statement, since the trigger writes to the column: without it every write would fail.")
            + (_comment(f"greenroom: allow soft-drop: {self.named}") if self.named else "")
            + join([f"ALTER TABLE {table} {last}"])
            + join([f"DROP TRIGGER {trigger} ON {table}", f"DROP FUNCTION {function}()"])
        )


def _comment(*lines: str) -> str:
    return "".join(f"-- {' '.join(line.split())}\n" for line in lines)
