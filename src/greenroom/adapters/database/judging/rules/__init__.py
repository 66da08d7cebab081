"""All rules by their names. A name is never changed or given to another rule: files and ledgers hold it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from greenroom.adapters.database.judging.rule import Rule
from greenroom.adapters.database.judging.rules import (
    columns,
    constraints,
    later,
    mysql,
    names,
    objects,
    rehearsed,
    sessions,
    sqlite,
    tables,
)

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule.id: rule
        for part in (columns, constraints, tables, objects, sessions, later, names, rehearsed, mysql, sqlite)
        for rule in part.RULES
    }
)
