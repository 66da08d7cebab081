"""The soft drop: what goes is renamed, so that whoever still uses it fails just as after the real drop, and can be put
back by one transaction of milliseconds. See docs/decisions/0018-soft-drop.md.

The data stays and is kept up to date: functions of triggers that write a hidden column write it under its new name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from greenroom.adapters.database.contracting.going import Going
from greenroom.adapters.database.contracting.rewriting import Function, Stubborn, functions_of, rewritten
from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.target import Session
from greenroom.adapters.database.writing.names import fitting
from greenroom.domain.schema import Dialect
from greenroom.errors import Permanent

PREFIX = "greenroom_gone_"


def hide(session: Session, going: Going) -> tuple[str, tuple[str, ...]] | None:
    """In the caller's transaction: the name that it now has, and the statements that put it back, in their order. None if
    it is not there. Raises `Permanent` where it cannot be hidden without harm.
    """
    planned = plan(session, going)
    if planned is None:
        return None
    hidden, does, undo = planned
    for sql in does:
        session.run(sql)
    return hidden, undo


def plan(session: Session, going: Going) -> tuple[str, tuple[str, ...], tuple[str, ...]] | None:
    """The name that it will have, what hides it, what puts it back. Nothing is changed."""
    if not exists(session, going):
        return None
    hidden = fitting(PREFIX + going.name.rpartition(".")[2])
    does, undo = [_renaming(session, going, going.name, hidden)], [_back(session, going, hidden)]
    for function in _functions(session, going):
        try:
            does.insert(0, rewritten(function, going.name, hidden))
        except Stubborn as error:
            raise cannot(going, f"{function.text} {error}") from None
        undo.append(function.definition)
    return hidden, tuple(does), tuple(undo)


def cannot(going: Going, why: str) -> Permanent:
    return Permanent(
        f"{going} cannot be hidden before it is dropped: {why}.",
        hint="Drop it in a later release than what still writes it; or go without: `soft_drop: 0`, or"
        " `-- greenroom: allow soft-drop: REASON` before the statement that drops it.",
    )


def exists(session: Session, going: Going, name: str = "") -> bool:
    """Under its own name, or under this one."""
    name = name or going.name
    grammar = GRAMMARS[session.dialect]
    match session.dialect, going.kind:
        case Dialect.POSTGRES, "column":
            found = session.rows(
                "SELECT 1 FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass(%s) AND attname = %s"
                " AND attnum > 0 AND NOT attisdropped",
                [grammar.quote(going.table), name],
            )
        case Dialect.POSTGRES, _:
            found = session.rows("SELECT 1 WHERE to_regclass(%s) IS NOT NULL", [grammar.quote(name)])
        case Dialect.MYSQL, "column":
            found = session.rows(
                "SELECT 1 FROM information_schema.columns WHERE table_schema = coalesce(%s, database())"
                " AND table_name = %s AND column_name = %s",
                [_schema(going.table), going.table.rpartition(".")[2], name],
            )
        case Dialect.MYSQL, _:
            found = session.rows(
                "SELECT 1 FROM information_schema.tables WHERE table_schema = coalesce(%s, database())"
                " AND table_name = %s",
                [_schema(name), name.rpartition(".")[2]],
            )
        case Dialect.SQLITE, "column":
            found = session.rows(
                "SELECT 1 FROM pragma_table_info(%s) WHERE lower(name) = lower(%s)", [going.table, name]
            )
        case Dialect.SQLITE, _:
            found = session.rows(
                "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND lower(name) = lower(%s)", [name]
            )
        case _:
            assert_never(session.dialect)
    return bool(found)


def _schema(name: str) -> str | None:
    return name.rpartition(".")[0] or None


def _functions(session: Session, going: Going) -> Sequence[Function]:
    """Those that write it by its name. SQLite renames within its triggers by itself; MySQL cannot do it in one step."""
    if session.dialect is Dialect.MYSQL:
        for trigger in _mysql_triggers(session, going):
            raise cannot(going, f"the trigger {trigger} names it, and MySQL cannot change both in one step")
    return functions_of(session, going) if session.dialect is Dialect.POSTGRES else ()


def _mysql_triggers(session: Session, going: Going) -> Iterator[str]:
    rows = session.rows(
        "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = coalesce(%s, database())"
        " AND action_statement REGEXP %s",
        [_schema(going.table or going.name), rf"\b{going.name.rpartition('.')[2]}\b"],
    )
    return (str(name) for (name,) in rows)


def where(going: Going, hidden: str) -> str:
    """Its name now. A table is hidden within its schema."""
    schema = going.name.rpartition(".")[0]
    return f"{schema}.{hidden}" if going.kind != "column" and schema else hidden


def _back(session: Session, going: Going, hidden: str) -> str:
    return _renaming(session, going, where(going, hidden), going.name.rpartition(".")[2])


def _renaming(session: Session, going: Going, now: str, then: str) -> str:
    quote = GRAMMARS[session.dialect].quote
    if going.kind == "column":
        return f"ALTER TABLE {quote(going.table)} RENAME COLUMN {quote(now)} TO {quote(then)}"
    then = then.rpartition(".")[2]
    if session.dialect is Dialect.MYSQL:
        schema = now.rpartition(".")[0]
        return f"RENAME TABLE {quote(now)} TO {quote(f'{schema}.{then}' if schema else then)}"
    what = "VIEW" if going.kind == "view" and session.dialect is Dialect.POSTGRES else "TABLE"
    return f"ALTER {what} {quote(now)} RENAME TO {quote(then)}"
