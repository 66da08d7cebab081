"""Whether rows of a version that does not know a column satisfy what is asked of the column."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading.expressions import functions, listed, tokens_of, words
from greenroom.adapters.database.reading.tokens import Kind, Token
from greenroom.domain.schema import Dialect

LITERAL = re.compile(r"(?:'(?:[^']|'')*'|-?\d+(?:\.\d+)?|true|false|null)", re.IGNORECASE)
CAST = re.compile(r"::\s*[a-z][a-z0-9_ ]*(?:\(\d+(?:\s*,\s*\d+)?\))?$", re.IGNORECASE)
KEYWORDS = listed("and or not in is null true false between like ilike similar to any all array distinct from")
UNLIKE_NULL = listed("is null distinct case coalesce exists select unknown")
"""With one of these, an unknown value can lead to a known answer."""
ASSIGNED = r"\bNEW\s*\.\s*\"?{name}\"?\s*:?=\s*([^;]*);"


def value_of(default: str | None) -> str | None:
    """What a column gets that an INSERT leaves out, as a literal; None if it is none."""
    if default is None:
        return "NULL"
    plain = CAST.sub("", default.strip()).strip()
    while plain.startswith("(") and plain.endswith(")"):
        plain = CAST.sub("", plain[1:-1].strip()).strip()
    return plain if LITERAL.fullmatch(plain) else None


def stays_null(world: World, table: str, column: str) -> bool:
    """The running version leaves NULL in it for certain: it is new, has no default, and no trigger fills it."""
    known = world.column(table, column)
    if known is None or not world.is_fresh(table, column):
        return False
    return value_of(known.default) in ("NULL", "null") and not known.generated and not filled(world, table, column)


def filled(world: World, table: str, column: str) -> tuple[str, ...]:
    """What triggers of the table put into the column, as written; `?` where a trigger's code is not known."""
    known = world.tables.get(table)
    found: list[str] = []
    for function in (known.triggers if known else {}).values():
        body = world.bodies.get(function)
        if not body:
            found.append("?")
            continue
        found += [
            match[1].strip()
            for match in re.finditer(ASSIGNED.format(name=re.escape(column.replace('"', '""'))), body, re.IGNORECASE)
        ]
    return tuple(found)


def mirrored(world: World, table: str, column: str) -> str:
    """The column whose values a trigger gives it, if there is just one; "" otherwise."""
    sources = {_of_the_row(value) for value in filled(world, table, column)}
    return sources.pop() if len(sources) == 1 else ""


def _of_the_row(value: str) -> str:
    """The column of `NEW.column`, as the server folds its name; "" for anything else."""
    found = re.fullmatch(r'\s*new\s*\.\s*(?:([a-z_][a-z0-9_$]*)|"((?:[^"]|"")+)")\s*', value, re.IGNORECASE)
    if found is None:
        return ""
    return found[1].lower() if found[1] else found[2].replace('""', '"')


def holds(world: World, table: str, condition: str) -> bool:
    """Every row that the running version writes or has written satisfies it, or leaves it unknown."""
    if _mirrors_an_old_one(world, table, condition):
        return True
    named = [word for word in words(condition, world.dialect) if word not in KEYWORDS]
    called = set(functions(condition, world.dialect))
    values: dict[str, str] = {}
    for name in set(named) - called:
        known = world.column(table, name)
        if known is None or not world.is_fresh(table, name) or filled(world, table, name) or known.generated:
            return False
        value = value_of(known.default)
        if value is None:
            return False
        values[name] = value
    if not values:
        return False
    if all(value.upper() == "NULL" for value in values.values()) and _only_strict(condition, world.dialect):
        return True
    return _evaluates(condition, values, world.dialect)


def _only_strict(condition: str, dialect: Dialect) -> bool:
    """Whatever it says of an unknown value is unknown. Every side of an AND or OR must name a column, so none may be there
    without one: conditions of constants alone are not taken.
    """
    named = set(words(condition, dialect))
    if named & UNLIKE_NULL or functions(condition, dialect):
        return False
    sides = re.split(r"\b(?:and|or)\b", condition, flags=re.IGNORECASE)
    between = re.search(r"\bbetween\b", condition, re.IGNORECASE)
    return bool(between) and len(sides) == 2 or all(set(words(side, dialect)) - KEYWORDS for side in sides)


def _evaluates(condition: str, values: dict[str, str], dialect: Dialect) -> bool:
    """By SQLite's own three-valued logic, where the literals are of one kind."""
    parts = list(_with_values(tokens_of(condition, dialect), values))
    literals = [part for part in parts if LITERAL.fullmatch(part) and part.lower() not in ("null", "true", "false")]
    if len({part.startswith("'") for part in literals}) > 1:
        return False
    with sqlite3.connect(":memory:") as database:
        try:
            ((answer,),) = database.execute(f"SELECT ({' '.join(parts)})").fetchall()
        except (sqlite3.Error, ValueError):
            return False
    return answer is None or bool(answer)


def _with_values(tokens: list[Token], values: dict[str, str]) -> Iterator[str]:
    for token in tokens:
        name = token.text.lower() if token.kind is Kind.WORD else token.text[1:-1]
        named = token.kind in (Kind.WORD, Kind.NAME)
        yield values[name] if named and name in values else token.text


def _mirrors_an_old_one(world: World, table: str, condition: str) -> bool:
    """The same is asked of the column whose values a trigger gives this one."""
    known = world.tables.get(table)
    asked = _plain(condition, world.dialect)
    for name in set(asked):
        source = mirrored(world, table, name)
        if known and source and world.is_fresh(table, name):
            as_old = [source if part == name else part for part in asked]
            return any(_plain(c.condition, world.dialect) == as_old for c in known.constraints.values() if c.condition)
    return False


def _plain(condition: str, dialect: Dialect) -> list[str]:
    return [t.text.lower().strip('"') for t in tokens_of(condition, dialect) if t.text not in "()"]


def unique_is_safe(
    world: World, table: str, parts: tuple[str, ...], *, nulls_equal: bool, itself: object = None
) -> bool:
    """No row of the running version can collide with another."""
    others = [
        index for index in world.indexes.values() if index.unique and index.table == table and index is not itself
    ]
    known = [set(index.parts) for index in others if not index.partial]
    if not nulls_equal and any(parts and narrower <= set(parts) for narrower in known if narrower):
        return True
    sources = tuple(mirrored(world, table, part) or part for part in parts)
    if sources != parts and any(index.parts == sources for index in others):
        return not nulls_equal
    return not nulls_equal and any(stays_null(world, table, _column(part, world.dialect)) for part in parts)


def _column(part: str, dialect: Dialect) -> str:
    """The one column of `lower(column)` and its like, which is NULL where the column is."""
    if functions(part, dialect) and set(functions(part, dialect)) <= {"lower", "upper", "md5", "trim"}:
        names = [word for word in words(part, dialect) if word not in ("lower", "upper", "md5", "trim")]
        return names[0] if len(names) == 1 else part
    return part
