"""All that is asked before a change of the schema. Reads only, each question for itself; what is not known is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from greenroom.adapters.database.concern import Concern, refuse, warn
from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.probing import beyond, standing
from greenroom.adapters.database.probing.reading_all import reading_all
from greenroom.adapters.database.target import Blocked, Broken, Session
from greenroom.domain.schema import Dialect
from greenroom.errors import Temporary

_WITHIN = 5.0
_TABLE = """
SELECT c.oid::bigint, n.nspname::text, c.relname::text FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = pg_catalog.to_regclass(%s)
"""


@dataclass(frozen=True, slots=True)
class Premise:
    """`tables`: that are changed, as the statements name them (`users`, `shop.users`).

    `shape`: columns of them are added or dropped. `long`: seconds after which a transaction is named. `roles`: login roles
    by colour; `colours`: by colour, the version there, "" where nothing runs. `own`: queries of the user's; each row that
    one answers is a reason to stop.
    """

    tables: Sequence[str]
    shape: bool = True
    long: float = 5.0
    roles: Mapping[str, str] = field(default_factory=dict)
    colours: Mapping[str, str] = field(default_factory=dict)
    own: Sequence[str] = ()


def probe(session: Session, premise: Premise) -> list[Concern]:
    """Within some seconds. What is gone wrong for one question does not keep the others from being asked."""
    if session.dialect is not Dialect.POSTGRES:
        return []
    found = _found(session, premise.tables)
    tables = {oid: table for oid, table, _ in found}
    full = {table: name for _, table, name in found}
    idle = {role: colour for colour, role in premise.roles.items() if premise.colours.get(colour) == ""}
    asks: list[tuple[str, Callable[[], Iterable[Concern]]]] = [
        (
            "statements that ask for all columns",
            lambda: reading_all(session, premise.tables, full) if premise.shape else (),
        ),
        ("sessions of the idle colour", lambda: standing.sessions(session, idle)),
        ("what others do", lambda: standing.masked(session)),
        ("long transactions", lambda: standing.transactions(session, tables, premise.long)),
        ("prepared transactions", lambda: standing.prepared(session, tables)),
        ("vacuum", lambda: standing.vacuum(session, tables)),
        ("logical replication", lambda: beyond.published(session, tables)),
        ("replication slots", lambda: beyond.slots(session)),
        ("event triggers", lambda: beyond.event_triggers(session)),
        *((f"the query {query!r}", lambda query=query: _own(session, query)) for query in premise.own),
    ]
    return [concern for what, ask in asks for concern in _asked(session, what, ask)]


def _asked(session: Session, what: str, ask: Callable[[], Iterable[Concern]]) -> list[Concern]:
    try:
        with session.transaction(statement_timeout=_WITHIN):
            session.run("SET LOCAL search_path TO pg_catalog")
            session.run("SET LOCAL transaction_read_only TO on")
            return list(ask())
    except (Broken, Blocked, Temporary) as error:
        return [warn("unknown", f"It is not known how it is with {what}: {error.message}", error.hint, about=what)]


def _own(session: Session, query: str) -> Iterable[Concern]:
    session.run("RESET search_path")
    for row in session.rows(query):
        text = ", ".join(str(value) for value in row if value is not None)
        yield refuse("own-probe", f"A probe of yours says: {text or 'a row without values'}.", f"It asked: {query}")


def _found(session: Session, tables: Sequence[str]) -> list[tuple[int, str, str]]:
    """Of those that are there, by the session's own search_path: number, name and name with its schema."""
    quote = GRAMMARS[Dialect.POSTGRES].quote
    return [
        (int(oid), table, f"{schema}.{name}")
        for table in tables
        for oid, schema, name in session.rows(_TABLE, [quote(table)])
    ]
