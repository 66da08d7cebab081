"""Prints the sections of docs/reference/migration-rules.md from `greenroom.adapters.database.judging.RULES`.

python scripts/migration_rules.py            writes them between the markers
python scripts/migration_rules.py --check    exits 1 if they are not current
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

from generated import main
from greenroom.adapters.database.judging import RULES, Context, Example, Rule, Schema, created, judge
from greenroom.adapters.database.reading import split
from greenroom.adapters.database.schemas import USUAL, of_statements
from greenroom.domain.schema import Dialect, Ruled, Ruling

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "migration-rules.md"
BEGIN, END = "<!-- rules: begin (made by scripts/migration_rules.py) -->", "<!-- rules: end -->"
NAMES = {Dialect.POSTGRES: "PostgreSQL", Dialect.MYSQL: "MySQL, MariaDB", Dialect.SQLITE: "SQLite"}
WIDTH = 116


def sections() -> str:
    """All rules, and where one is found, by its name."""
    index = ", ".join(f"[{name}](#{name})" for name in sorted(RULES))
    parts = [textwrap.fill(index, WIDTH, break_long_words=False, break_on_hyphens=False)]
    parts += [_section(RULES[name]) for name in sorted(RULES)]
    return "\n\n".join(parts)


def _section(rule: Rule) -> str:
    of = f"{rule.ruling}s, in {rule.refused.stage}; {NAMES[rule.dialect]}"
    told = next((ruled for ruled in _judged(rule.refused) if ruled.rule == rule.id), None)
    why, instead = (told.reason, told.instead) if told else (_filled(rule.why), _filled(rule.instead))
    head = [f"## {rule.id}", f"{rule.title}. *{of}*"]
    refused = _sql(rule.refused, rule.ruling)
    allowed = _sql(
        rule.allowed, Ruling.worst([ruled.ruling for ruled in _judged(rule.allowed)]) if told else Ruling.ALLOW
    )
    return "\n\n".join(
        [*head, _wrapped("Why", why), _wrapped("Instead", instead), f"```sql\n{refused}\n{allowed}\n```"]
    )


def _judged(example: Example) -> list[Ruled]:
    dialect, before = example.dialect, split(example.before, example.dialect)
    schema = Schema(split(example.schema, dialect)) if example.schema else None
    path = of_statements(schema.statements) if schema and dialect is Dialect.POSTGRES else USUAL
    context = Context(dialect, "41", schema, before, created=created(before, dialect, path), path=path)
    return judge(split(example.sql, dialect, "file.sql"), example.stage, context)


def _filled(text: str) -> str:
    """Of a rule that only a rehearsal finds a case of."""
    names = {name: name.upper() for name in re.findall(r"\{(\w+)\}", text)}
    return text.format_map(names | {"running": "version 41"})


def _wrapped(what: str, text: str) -> str:
    begun = text[0].upper() + text[1:]
    return textwrap.fill(f"*{what}:* {begun}", WIDTH, break_long_words=False, break_on_hyphens=False)


def _sql(example: Example, ruling: Ruling) -> str:
    lines = [f"{one.sql};" for one in split(example.before, example.dialect)]
    before = ["-- before, in expand:", *lines] if lines else []
    shown = [f"{one.sql};" for one in split(example.sql, example.dialect)]
    return "\n".join([*before, f"-- {example.stage}: {ruling}", *shown])


if __name__ == "__main__":
    sys.exit(main(PAGE, BEGIN, END, sections()))
