"""One file judged by itself, for editors, reviews and pipelines: no service, and a server only where one is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import PurePath

from greenroom.adapters.database.judging import Context, Schema, created, judge, tables
from greenroom.adapters.database.reading import Statement, split
from greenroom.adapters.database.schemas import USUAL, SearchPath, of_statements
from greenroom.adapters.database.shadow.facts import Facts
from greenroom.domain.schema import Dialect, Ruled, Stage
from greenroom.errors import UsageError

_NO_SHADOW = "a file of {} is not rehearsed on a server of another kind: `--shadow` names one of its own kind"


def check(
    text: str,
    file: str,
    stage: Stage,
    dialect: Dialect,
    *,
    schema: str | None = None,
    applied: Sequence[tuple[str, str]] = (),
    shadow: str = "",
) -> list[Ruled]:
    """Each statement of `text`, in order. `schema`: SQL, None if not known. `applied`: name and text of files before it.

    What a file beside this one has made came with the same release; of a contract, all that ran before counts as such.
    """
    statements = split(text, dialect, file)
    before = [(name, split(body, dialect, name)) for name, body in applied]
    every = [one for _, found in before for one in found]
    own = [one for name, found in before for one in found if stage is Stage.CONTRACT or _beside(name, file)]
    known, path = (None, USUAL) if schema is None else _schema(schema, dialect)
    facts = _facts(shadow, dialect, schema or "", every, statements) if shadow else {}
    made = created(own, dialect, path, tables(known, dialect, path))
    context = Context(dialect, schema=known, applied=every, facts=facts, created=made, path=path)
    return judge(statements, stage, context)


@lru_cache(maxsize=1)
def _schema(text: str, dialect: Dialect) -> tuple[Schema, SearchPath]:
    """Read once: many files are judged by the same one."""
    if dialect is Dialect.POSTGRES:
        from greenroom.adapters.database.shadow.schema import of_text

        text = of_text(text, "--schema").text
    statements = split(text, dialect, "--schema")
    return Schema(statements), of_statements(statements) if dialect is Dialect.POSTGRES else USUAL


def _beside(name: str, file: str) -> bool:
    return PurePath(name).parent == PurePath(file).parent


def _facts(
    url: str, dialect: Dialect, schema: str, applied: Sequence[Statement], statements: Sequence[Statement]
) -> Mapping[int, Facts]:
    from greenroom.adapters.database.target import dialect_of

    if dialect_of(url) is not dialect:
        raise UsageError(_NO_SHADOW.format(dialect))
    if dialect is not Dialect.POSTGRES:
        from greenroom.adapters.database.shadow.elsewhere import rehearsed

        return {one.number: one for one in rehearsed(url, dialect, statements, schema, applied)}
    from greenroom.adapters.database.shadow.rehearsal import Shadow
    from greenroom.adapters.database.shadow.schema import of_text

    with Shadow(url) as made:
        found = made.rehearse(statements, of_text(schema, "--schema"), applied)
    return {one.number: fact for one, fact in zip(statements, found, strict=True)}
