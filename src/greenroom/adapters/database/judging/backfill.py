"""Rows are moved by plain UPDATEs of one table: batches of them are short, and can be done again after a crash."""

from __future__ import annotations

from collections.abc import Iterator

from greenroom.adapters.database.judging import in_step
from greenroom.adapters.database.judging.rule import Hit
from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.change import Change
from greenroom.adapters.database.reading.expressions import VOLATILE, functions, listed, tokens_of, words
from greenroom.domain.schema import Ruling

ELSEWHERE = (c.Opaque, c.Session, c.Server, c.Maintenance, c.Privilege)
"""Refused, or not, in every stage alike."""
MOMENTS = listed("now current_timestamp clock_timestamp statement_timestamp transaction_timestamp")


def hits(change: Change, world: World) -> Iterator[Hit]:
    match change:
        case c.Update():
            yield from _update(change, world)
        case c.Delete(table=table):
            yield Hit("backfill-deletes", {"table": table, "what": "DELETE"}, tables=(table,))
        case c.Truncate(table=table):
            yield Hit("backfill-deletes", {"table": table, "what": "TRUNCATE"}, tables=(table,))
        case c.Insert(table=table):
            yield Hit("backfill-inserts", {"table": table}, tables=(table,))
        case c.Query():
            yield Hit("backfill-other", {"what": "SELECT"})
        case c.Privilege(what="GRANT") | c.Maintenance(mild=True):
            yield Hit("backfill-other", {"what": change.what})
        case _ if not isinstance(change, ELSEWHERE):
            yield Hit("backfill-ddl", {"what": _kind(change)})


def _kind(change: Change) -> str:
    name = type(change).__name__
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def _update(change: c.Update, world: World) -> Iterator[Hit]:
    table = change.table
    touched = {column for column, expression in change.sets if _itself(column, expression, world)}
    sets = {column: expression for column, expression in change.sets if column not in touched}
    names = {"table": table}
    if change.others or change.limited:
        yield Hit("backfill-joins", names, tables=(table,))
    informed = world.complete or bool(world.fresh)
    for column in sets:
        if not world.is_fresh(table, column):
            at = names | {"column": column}
            yield Hit("backfill-existing", at, ruling=None if informed else Ruling.WARN, tables=(table,))
        yield from in_step.hits(change, column, sets[column], world)
    guards = set(words(change.where, world.dialect))
    for column, expression in sets.items():
        again = set(sets) & set(words(expression, world.dialect))
        each = set(functions(expression, world.dialect)) & (VOLATILE | MOMENTS)
        bare = set(words(expression, world.dialect)) & MOMENTS
        if again - guards or each or bare:
            at = names | {"column": column, "what": expression}
            mild = column in guards and not again - guards
            yield Hit("backfill-not-repeatable", at, ruling=Ruling.WARN if mild else None, tables=(table,))


def _itself(column: str, expression: str, world: World) -> bool:
    """`SET city = users.city`: nothing changes but what a trigger does then."""
    names = [token.text for token in tokens_of(expression, world.dialect) if token.text not in ("(", ")")]
    return names[-1:] == [column] and (len(names) == 1 or (len(names) == 3 and names[1] == "."))
