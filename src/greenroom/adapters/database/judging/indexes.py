"""PostgreSQL: indexes, in expand."""

from __future__ import annotations

from collections.abc import Iterator

from greenroom.adapters.database.judging.conditions import unique_is_safe
from greenroom.adapters.database.judging.rule import Hit
from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.change import Change
from greenroom.adapters.database.reading.expressions import STEADY, functions, listed, tokens_of
from greenroom.adapters.database.reading.tokens import Kind

CAN_FAIL = listed(
    "cast to_number to_date to_timestamp timezone regexp_replace decode convert_from power sqrt ln log now"
)
"""Functions that refuse some values: in an index, the row is refused with them."""
MOMENTS = listed("current_date current_time current_timestamp localtime localtimestamp current_user")
LITERALS = (Kind.STRING, Kind.NUMBER)


def hits(change: Change, world: World) -> Iterator[Hit]:
    match change:
        case c.CreateIndex(table=table) if not world.is_fresh(table):
            yield from locking(change, world)
            if change.unique and not _no_collision(change, world):
                yield Hit("unique-breaks-writes", names(change), tables=(table,))
            if broken := [part for part in (*change.parts, change.where) if can_fail(part, world)]:
                yield Hit("index-can-fail", names(change) | {"what": broken[0]}, tables=(table,))
        case c.DropIndex(name=name, concurrently=concurrently):
            index = world.indexes.get(name)
            on = index.table if index else ""
            if world.is_fresh(on):
                return
            if f"index {name}" not in world.fresh:
                yield Hit("drop-index", {"name": name, "table": on or "its table"}, tables=(on,) if on else ())
            elif not concurrently:
                yield Hit("drop-index-locks", {"name": name}, tables=(on,) if on else ())


def names(change: c.CreateIndex) -> dict[str, str]:
    columns = ", ".join(change.parts)
    return {"table": change.table, "name": change.name, "columns": columns, "written": _written(change)}


def _written(change: c.CreateIndex) -> str:
    """The same one, built beside the traffic."""
    named = ["CREATE", "UNIQUE" if change.unique else "", "INDEX CONCURRENTLY", change.name, "ON", change.table]
    how = [f"USING {change.method}" if change.method else "", f"({', '.join(change.parts)})"]
    more = ["NULLS NOT DISTINCT" if change.nulls_not_distinct else "", f"WHERE {change.where}" if change.where else ""]
    return " ".join(filter(None, (*named, *how, *more)))


def locking(change: c.CreateIndex, world: World) -> Iterator[Hit]:
    known = world.tables.get(change.table)
    partitioned = known is not None and known.partitioned
    if partitioned and change.concurrently:
        yield Hit("index-on-partitions", names(change), tables=(change.table,))
    elif not change.concurrently and not world.is_fresh(change.table) and not (partitioned and change.only):
        yield Hit("index-locks", names(change), tables=(change.table,))


def _no_collision(change: c.CreateIndex, world: World) -> bool:
    return unique_is_safe(world, change.table, change.parts, nulls_equal=change.nulls_not_distinct)


def can_fail(part: str, world: World) -> bool:
    """An expression that refuses some values of a column that the running version writes."""
    tokens = tokens_of(part, world.dialect)
    called = set(functions(part, world.dialect)) | {token.text.lower() for token in tokens} & MOMENTS
    if called - STEADY or called & (CAN_FAIL | MOMENTS) or any(token.text == "/" for token in tokens):
        return True
    casts = [i for i, token in enumerate(tokens) if token.text == "::" and tokens[i - 1].kind not in LITERALS]
    return any(tokens[i + 1].text.lower() not in ("text", "varchar") for i in casts if i + 1 < len(tokens))
