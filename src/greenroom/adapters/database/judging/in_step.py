"""Whether what a backfill fills stays filled: the running version goes on writing, and does not know the new column.

A row that it adds or changes behind the verification is out of date for the new version, unless a trigger carries the value
over or, where the value depends on nothing that anybody writes, a default gives it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from greenroom.adapters.database.judging import types
from greenroom.adapters.database.judging.conditions import UNLIKE_NULL, value_of
from greenroom.adapters.database.judging.rule import Hit
from greenroom.adapters.database.judging.trigger_code import Gives, Moments, gives
from greenroom.adapters.database.judging.triggers import OURS
from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.expressions import NO_FUNCTION, TYPES, functions, listed, tokens_of, words
from greenroom.adapters.database.reading.tokens import Kind
from greenroom.domain.schema import Dialect, Ruling

_WORDS = {word.lower() for word in NO_FUNCTION} | TYPES | listed("null true false default old new")
_HELPERS = {Dialect.POSTGRES: "rename`, `retype`, `split` and `move` write"}


@dataclass(frozen=True, slots=True)
class Reads:
    """What an assignment depends on that the running version may write: `columns` of the table itself, other `tables`."""

    columns: frozenset[str]
    tables: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.columns or self.tables)


def hits(change: c.Update, column: str, expression: str, world: World) -> Iterator[Hit]:
    table, known = change.table, world.column(change.table, column)
    if change.others or change.limited or (known is not None and known.generated):
        return
    reads = _reads(change, column, expression, world)
    live = not world.is_fresh(table)
    if not reads and (not live or not world.is_fresh(table, column) or _given(column, expression, change, world)):
        return
    needs = {other: Moments(False, False) for other in reads.tables}
    if live:
        needs[table] = Moments(True, bool(reads.columns), reads.columns)
    keeping = {each: list(_keeping(each, change.table, column, world)) for each in needs}
    if any(name.startswith(OURS) for found in keeping.values() for name, _, _ in found):
        return
    for each, need in needs.items():
        kept = _kept(need, keeping[each])
        if kept is Gives.YES:
            continue
        sure = world.complete and _known(each, world) and kept is Gives.NO and not _unread_triggers(world)
        yield _hit(change, column, expression, reads, each, world, None if sure else Ruling.WARN)
        return


def _known(table: str, world: World) -> bool:
    known = world.tables.get(table)
    return known.whole if known is not None else not world.lacks_table(table)


def _hit(
    change: c.Update, column: str, expression: str, reads: Reads, lacking: str, world: World, ruling: Ruling | None
) -> Hit:
    table = change.table
    named = ", ".join([*(f"{table}.{each}" for each in sorted(reads.columns)), *sorted(reads.tables)])
    names = {"table": table, "column": column, "name": named or table}
    if named:
        helpers = _HELPERS.get(world.dialect, "rename` writes")
        what = f"no trigger of `{lacking}` carries that into `{table}.{column}`"
        instead = (
            f"a trigger in expand.sql that sets {column} whenever a row of {lacking} is added or changed: `greenroom db"
            f" {helpers} one; where nobody writes {named} any more, allow it with that reason"
        )
    else:
        what = f"`{table}.{column}` has no default and no trigger that fills it in the rows that are added"
        alter = (
            f"ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT {expression}; behind its ADD COLUMN, in expand.sql"
        )
        plain = f"ALTER TABLE {table} ADD COLUMN {column} … DEFAULT {expression}; in expand.sql"
        instead = alter if world.dialect is Dialect.POSTGRES else plain
    return Hit("backfill-not-in-step", names | {"what": what}, instead, ruling, tables=(table,))


def _given(column: str, expression: str, change: c.Update, world: World) -> bool:
    """What depends on nothing that anybody writes: the rows that are added get it as well, or it is NULL."""
    known = world.column(change.table, column)
    if value_of(expression) in ("NULL", "null"):
        return True
    if known is not None and (
        types.base(known.type) in types.SERIAL or value_of(known.default) not in ("NULL", "null")
    ):
        return True
    named = set(words(expression, world.dialect))
    empty = {each for each in named if _stays_empty(change.table, each, world)}
    return bool(empty) and not named & UNLIKE_NULL and not functions(expression, world.dialect)


def _stays_empty(table: str, column: str, world: World) -> bool:
    known = world.column(table, column)
    fresh = known is not None and world.is_fresh(table, column) and not known.generated
    return bool(fresh and known and value_of(known.default) in ("NULL", "null") and not _filled(table, column, world))


def _reads(change: c.Update, column: str, expression: str, world: World) -> Reads:
    table = change.table
    key = {part for one in _constraints(table, world) if one.kind == "primary" for part in one.parts}
    tables = {each for text in (expression, change.where) for each in _tables(text, world)} - {table}
    asked = _columns(expression, change, world) | (_columns(change.where, change, world) - key)
    own = {each for each in asked - {column} if not world.is_fresh(table, each) or _filled(table, each, world)}
    live = {each for each in tables if not world.is_fresh(each)}
    return Reads(frozenset(own if not world.is_fresh(table) else ()), frozenset(live))


def _constraints(table: str, world: World) -> list[c.Constraint]:
    known = world.tables.get(table)
    return list(known.constraints.values()) if known else []


def _columns(text: str, change: c.Update, world: World) -> set[str]:
    """Of the table itself. Where its columns are not known, every word that may be one."""
    known, named = world.tables.get(change.table), set(words(text, world.dialect))
    if known is not None and known.whole:
        return named & known.columns.keys()
    others = {*change.table.split("."), change.alias, *functions(text, world.dialect)}
    return {each for each in named - others if each.lower() not in _WORDS}


def _tables(text: str, world: World) -> Iterator[str]:
    """That a subquery names behind FROM, JOIN or a comma."""
    if "select" not in {word.lower() for word in words(text, world.dialect)}:
        return
    tokens = tokens_of(text, world.dialect)
    for i, (before, token) in enumerate(pairwise(tokens), 1):
        if before.word not in ("FROM", "JOIN", "ONLY") and before.text != ",":
            continue
        name, at = _name(token.text, token.kind), i
        while at + 2 < len(tokens) and tokens[at + 1].text == ".":
            name, at = f"{name}.{_name(tokens[at + 2].text, tokens[at + 2].kind)}", at + 2
        name = world.meant("table", name)
        view = {f"view {name}", f"materialized view {name}"} & world.others.keys()
        if name in world.tables or view or (not world.complete and before.word in ("FROM", "JOIN")):
            yield name


def _name(text: str, kind: Kind) -> str:
    return text[1:-1] if kind is Kind.NAME else text.lower()


# --- triggers -------------------------------------------------------------------------------------------------------


def _keeping(table: str, filled: str, column: str, world: World) -> Iterator[tuple[str, Gives, Moments]]:
    """The triggers of `table` that may write `filled.column`: names, whether they do, when they run."""
    known = world.tables.get(table)
    for name, function in known.triggers.items() if known else ():
        body = world.bodies.get(function if function else f"trigger {name}", "")
        found = gives(body, filled, column, world.dialect, own=table == filled)
        if found is not Gives.NO:
            yield name, found, Moments.of(known.moments.get(name, "") if known else "", world.dialect)


def _filled(table: str, column: str, world: World) -> bool:
    return any(True for _ in _keeping(table, table, column, world))


def _kept(need: Moments, keeping: list[tuple[str, Gives, Moments]]) -> Gives:
    """By all of them together; a table that is only read needs one, whenever it runs."""
    for least in (Gives.YES, Gives.MAYBE):
        found = [moments for _, given, moments in keeping if given >= least]
        named = frozenset(each for one in found for each in one.columns)
        updates = any(one.updates and (not one.columns or need.columns <= named) for one in found)
        inserts = any(one.inserts for one in found)
        if found and (inserts or not need.inserts) and (updates or not need.updates):
            return least
    return Gives.NO


def _unread_triggers(world: World) -> bool:
    """The rehearsal saw some made that nobody could read."""
    known = {f"trigger {name}" for table in world.tables.values() for name in table.triggers}
    return any(each.startswith("trigger ") and each not in known for each in world.fresh)
