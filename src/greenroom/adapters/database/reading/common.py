"""What changes have in common."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """One thing of possibly several that a statement does."""


@dataclass(frozen=True, slots=True)
class OnTable(Change):
    """A change of one table."""

    table: str
