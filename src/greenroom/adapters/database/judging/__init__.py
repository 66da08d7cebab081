"""Every statement is ruled for its stage: what the running version cannot live with is refused, and so is the unknown."""

from __future__ import annotations

from greenroom.adapters.database.judging.context import Context, Schema, Size
from greenroom.adapters.database.judging.judge import judge, tables
from greenroom.adapters.database.judging.rule import Example, Hit, Rule
from greenroom.adapters.database.judging.rules import RULES
from greenroom.adapters.database.judging.world import created

__all__ = ["RULES", "Context", "Example", "Hit", "Rule", "Schema", "Size", "created", "judge", "tables"]
