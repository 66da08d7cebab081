"""What every dialect judges alike: other people's business (sessions, servers, privileges), the unknown, and CASCADE."""

from __future__ import annotations

from collections.abc import Iterator

from greenroom.adapters.database.judging.rule import Hit
from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.change import Change
from greenroom.adapters.database.reading.expressions import unknown
from greenroom.domain.schema import Ruling

SETTINGS = ("SET", "RESET", "USE", "PRAGMA", "DISCARD")


def hits(change: Change, world: World) -> Iterator[Hit]:
    """In every stage."""
    match change:
        case c.Opaque(why=why):
            yield Hit("not-understood", {"what": why})
        case c.Session(what=what) if what in SETTINGS:
            yield Hit("session-setting", {"what": what})
        case c.Session(what=what):
            yield Hit("transaction-control", {"what": what})
        case c.Server(what=what):
            yield Hit("server-wide", {"what": what})
        case c.Maintenance(what=what) if what.startswith("LOCK"):
            yield Hit("lock-table", {"what": what})
        case c.Maintenance(what=what, mild=mild) if what not in ("ANALYZE", "ANALYSE"):
            yield Hit("maintenance", {"what": what}, ruling=Ruling.WARN if mild else None)
        case c.Query(locks=True):
            yield Hit("lock-rows")
        case c.Privilege(what="REVOKE", detail=detail):
            yield Hit("revoke", {"what": detail})
        case c.AlterTable(table=table, what="OWNER TO"):
            yield Hit("change-owner", {"name": table})
        case c.Alter(name=name, what="OWNER TO"):
            yield Hit("change-owner", {"name": name})
        case c.CreateTable(table=table, temporary=True):
            yield Hit("temporary-table", {"table": table})
        case c.Truncate(table=table, cascade=True):
            yield Hit("cascade", {"name": table})
    if getattr(change, "cascade", False) and not isinstance(change, c.Truncate):
        yield Hit("cascade", {"name": named(change)})
    yield from _calls(change, world)


def named(change: Change) -> str:
    """What a change is about, for people."""
    match change:
        case c.DropColumn(table=table, column=column):
            return f"{table}.{column}"
        case c.OnTable(table=table):
            return table
    return str(getattr(change, "table", "") or getattr(change, "name", ""))


def _calls(change: Change, world: World) -> Iterator[Hit]:
    """Functions that nobody knows, in statements that run them at once."""
    texts: list[str] = []
    match change:
        case c.Query(functions=functions):
            texts = [f"{name}()" for name in functions]
        case c.Update(sets=sets, where=where):
            texts = [where, *(expression for _, expression in sets)]
        case c.Delete(where=where):
            texts = [where]
        case c.CreateTable(source="as", options=options):
            texts = [options]
    called = dict.fromkeys(name for text in texts for name in unknown(text, world.dialect))
    if called:
        yield Hit("unknown-function", {"name": ", ".join(f"{name}()" for name in called)})
