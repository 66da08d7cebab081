"""What the world of a judge is made of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from greenroom.adapters.database.reading.change import Column, Constraint


@dataclass(slots=True)
class Table:
    """`whole`: every column of it is in `columns`. `triggers`: by name, the function that is called; `moments`: when."""

    columns: dict[str, Column] = field(default_factory=dict)
    constraints: dict[str, Constraint] = field(default_factory=dict)
    triggers: dict[str, str] = field(default_factory=dict)
    moments: dict[str, str] = field(default_factory=dict)
    whole: bool = False
    partitioned: bool = False
    secured: bool = False
    """Row level security is on."""
    has_default: bool = False
    """A partition for all other rows."""

    def copy(self) -> Table:
        columns, constraints, triggers = dict(self.columns), dict(self.constraints), dict(self.triggers)
        moments = dict(self.moments)
        return replace(self, columns=columns, constraints=constraints, triggers=triggers, moments=moments)


@dataclass(frozen=True, slots=True)
class Index:
    table: str
    unique: bool
    parts: tuple[str, ...] = ()
    partial: bool = False
