"""The examples of a rule, judged."""

from __future__ import annotations

from collections.abc import Mapping

from greenroom.adapters.database.judging import Context, Example, Schema, created, judge
from greenroom.adapters.database.reading import split
from greenroom.adapters.database.schemas import USUAL, of_statements
from greenroom.adapters.database.shadow.facts import Facts
from greenroom.domain.schema import Dialect, Ruled


def judged(example: Example, facts: Mapping[int, Facts] | None = None, running: str = "41") -> list[Ruled]:
    dialect = example.dialect
    before = split(example.before, dialect)
    schema = Schema(split(example.schema, dialect)) if example.schema else None
    path = of_statements(schema.statements) if schema and dialect is Dialect.POSTGRES else USUAL
    context = Context(
        dialect,
        running,
        schema,
        before,
        facts or {},
        created(before, dialect, path),
        path=path,
    )
    return judge(split(example.sql, dialect, "example.sql"), example.stage, context)
