"""Every statement is ruled for its stage: what the running version cannot live with is refused, and so is the unknown."""

from __future__ import annotations

from greenroom.adapters.database.judging.context import Column, Context, Schema, Size, Table
from greenroom.adapters.database.judging.rule import Example, Hit, Rule

__all__ = ["Column", "Context", "Example", "Hit", "Rule", "Schema", "Size", "Table"]
