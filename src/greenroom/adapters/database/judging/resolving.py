"""Names without a schema, under the search_path of the session that migrates: sure, or refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from greenroom.adapters.database.judging import locks
from greenroom.adapters.database.judging.rule import Hit
from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading import Statement
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.change import Change
from greenroom.adapters.database.schemas import SearchPath
from greenroom.adapters.database.shadow.facts import Facts
from greenroom.domain.schema import Dialect

_HIDE = ("table", "view", "sequence", "function", "type")
"""Kinds of a rehearsal's differences that are sought by name."""


_SESSION = re.compile(r"\b(?:search_path|schema|role|authorization|all)\b", re.IGNORECASE)


@dataclass(slots=True)
class Finder:
    """`naming.Names`, which says what is wrong with a name."""

    world: World
    hits: list[Hit] = field(default_factory=list)

    def made(self, kind: str, name: str) -> str:
        now = self.world.made(kind, name)
        if "." not in name:
            self._sure(name)
        self.hits += hiding(kind, now, self.world)
        return now

    def meant(self, kind: str, name: str) -> str:
        if "." in name:
            return self.world.meant(kind, name)
        found = self.world.found(kind, name)
        if self._sure(name) and len(found) > 1:
            every = [self.world.path.full(one) for one in found]
            what = f"`{name}` is in {len(found)} schemas of the search_path: which one it means depends on who asks"
            self._doubt(what, " or ".join(f"`{one}`" for one in every), found[0])
        return found[0] if found else name

    def _sure(self, name: str) -> bool:
        """The search_path is as it was, and is not empty."""
        path, moved = self.world.path, self.world.moved
        if moved:
            self._doubt(f"`{name}` has no schema, and {moved} may change where it is sought", f"`schema.{name}`")
        elif not path.schemas:
            why = "and the search_path of the session that migrates names none that is there"
            self._doubt(f"`{name}` has no schema, {why}", f"`schema.{name}`")
        return not moved and bool(path.schemas)

    def _doubt(self, what: str, to: str, table: str = "") -> None:
        self.hits.append(Hit("ambiguous-name", {"what": what, "to": to}, tables=(table,) if table else ()))


def hiding(kind: str, name: str, world: World) -> Iterator[Hit]:
    """What is there under the same name, behind it in somebody's search_path: it is not found by its name any more."""
    if world.dialect is not Dialect.POSTGRES or world.there(kind, name):
        return
    schema, _, last = world.path.full(name).rpartition(".")
    for schemas in dict.fromkeys((world.path.schemas, *world.path.others)):
        if schema not in schemas:
            continue
        same = [one for one in schemas if one == schema or _known(kind, world.path.short(f"{one}.{last}"), world)]
        if len(same) > 1 and same[0] == schema:
            to = f"{same[1]}.{last}"
            yield Hit(
                "hides-another", {"name": last, "table": f"{schema}.{last}", "to": to, "path": ", ".join(schemas)}
            )
            return


def _known(kind: str, name: str, world: World) -> bool:
    """To others than this release."""
    return world.there(kind, name) and not world.is_fresh(name) and f"{kind} {name}" not in world.fresh


def moved(statement: Statement, changed: Iterable[Change], facts: Facts | None, world: World) -> str:
    """How it may change the search_path, in words; "" if it does not."""
    if world.dialect is not Dialect.POSTGRES:
        return ""
    seen = facts if facts is not None and facts.seen else Facts(statement.number)
    there = "search_path" in seen.settings or any(one.name in world.path.later for one in seen.of("schema"))
    return statement.place() if there or any(_moves(one, statement.sql, world.path) for one in changed) else ""


def _moves(change: Change, sql: str, path: SearchPath) -> bool:
    match change:
        case c.Session():
            return _SESSION.search(sql) is not None
        case c.Query() | c.Opaque() | c.Server():
            return "search_path" in sql.lower()
        case c.Create(kind="schema", name=name):
            return name in path.later
        case c.Drop(kind="schema", name=name):
            return name in path.schemas
        case c.Alter(kind="schema", what=what):
            return what.startswith("RENAME")
        case c.Privilege(what="GRANT", detail=detail):
            return "SCHEMA" in detail.upper() and any(one.lower() in detail.lower() for one in path.later)
        case c.Privilege(detail=detail):
            return "SCHEMA" in detail.upper() and any(one.lower() in detail.lower() for one in path.schemas)
    return False


def unread(changed: Iterable[Change], world: World) -> Iterator[Hit]:
    """What nobody can read may name things without their schema, and the rehearsal goes by the old search_path."""
    if world.moved and any(isinstance(one, c.Opaque) or isinstance(one, c.Query) and one.functions for one in changed):
        what = f"what it names is not known, and {world.moved} may change where names without a schema are sought"
        yield Hit("ambiguous-name", {"what": what, "to": "all names in plain statements"})


def observed(changed: Sequence[Change], facts: Facts | None, world: World) -> Iterator[Hit]:
    """Where the rehearsal saw another table than the one that was read, or something new that hides another."""
    if facts is None or not facts.seen:
        return
    seen = {lock.relation for lock in facts.locks} | {one.table or one.name for one in facts.differences}
    last = {name.rpartition(".")[2]: name for name in sorted(seen)}
    for name in sorted(locks.tables(changed) - seen):
        other = last.get(name.rpartition(".")[2])
        if other is not None:
            mine, its = world.path.full(name), world.path.full(other)
            what = f"it reads as a change of `{mine}`, and the rehearsal saw it work on `{its}`"
            yield Hit("ambiguous-name", {"what": what, "to": f"`{mine}` or `{its}`"}, tables=(other,))
    for one in facts.differences:
        if one.added and one.kind in _HIDE:
            yield from hiding(one.kind, one.name.partition("(")[0], world)
