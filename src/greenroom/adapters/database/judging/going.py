"""What goes in a contract, as a rehearsal saw it: named by the statement, belonging to what is named, or neither."""

from __future__ import annotations

import re
from collections.abc import Iterable

from greenroom.adapters.database.reading import Statement
from greenroom.adapters.database.shadow.facts import Difference, Facts


def renamed(difference: Difference, facts: Facts) -> str:
    """What this is called now, "" if it has gone: nobody who knows the old name finds it."""
    same = "number" if difference.kind == "column" else "oid"
    was = (difference.before or {}).get(same) if difference.kind in ("table", "view", "column") else None
    for one in facts.of(difference.kind):
        if (
            was is not None
            and one.added
            and one.table in (difference.table, one.name)
            and (one.after or {})[same] == was
        ):
            return one.name.rpartition(".")[2] if difference.kind == "column" else one.name
    return ""


def a_part(difference: Difference, facts: Facts) -> bool:
    """It went with something that is told already: the index of a constraint, the sequence of a table or column."""
    if difference.kind == "index":
        return any(
            one.removed and one.name == f"{difference.table}.{difference.name.rpartition('.')[2]}"
            for one in facts.of("constraint")
        )
    if difference.kind == "sequence":
        gone = [one for one in facts.differences if one.removed]
        return _counts(
            difference, (d.name for d in gone if d.kind == "column"), (d.name for d in gone if d.kind == "table")
        )
    return False


def goes_along(statement: Statement, facts: Facts) -> tuple[Difference, ...]:
    """What nobody named, and what does not belong to what was named alone."""
    gone = [difference for difference in facts.differences if difference.removed]
    words = _words(statement.sql)
    columns = {d.name for d in gone if d.kind == "column" and _last(d.name) in words}
    tables = {d.name for d in gone if d.kind in ("table", "view") and _last(d.name) in words}
    return tuple(d for d in gone if _last(d.name) not in words and not _belongs(d, columns, tables))


def _belongs(difference: Difference, columns: set[str], tables: set[str]) -> bool:
    """An index of this column alone, a column's own sequence."""
    of = {f"{difference.table}.{column}" for column in (difference.before or {}).get("columns") or []}
    if difference.kind in ("index", "constraint"):
        return bool(columns) and of <= columns
    if difference.kind == "sequence":
        return _counts(difference, columns, tables)
    if difference.kind == "type":
        return difference.name in tables
    return difference.kind == "privilege"


def _counts(sequence: Difference, columns: Iterable[str], tables: Iterable[str]) -> bool:
    """By the name that the server gives to the sequence of a column."""
    owners = ["_".join(name.split(".")[-2:]) for name in columns] + [name.rpartition(".")[2] for name in tables]
    return any(sequence.name.rpartition(".")[2].startswith(f"{name}_") for name in owners)


def _last(name: str) -> str:
    """The last part, without arguments."""
    return name.partition("(")[0].rpartition(".")[2].lower()


def _words(text: str) -> set[str]:
    """Also what stands in strings: a DO block names what it drops there. Comments name nothing."""
    plain = re.sub(r"--[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)
    quoted = re.findall(r'"((?:[^"]|"")+)"', plain)
    return {word.lower() for word in re.findall(r"[\w$]+", plain)} | {
        name.replace('""', '"').lower() for name in quoted
    }
