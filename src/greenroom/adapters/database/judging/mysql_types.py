"""MySQL's and MariaDB's types: what a new definition of a column changes, and which changes touch no row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from greenroom.adapters.database.judging.rule import Hit
from greenroom.adapters.database.reading.change import Column
from greenroom.domain.schema import Ruling

SAME = {
    "integer": "int",
    "numeric": "decimal",
    "dec": "decimal",
    "fixed": "decimal",
    "boolean": "tinyint",
    "bool": "tinyint",
    "character varying": "varchar",
    "character": "char",
    "int1": "tinyint",
    "int2": "smallint",
    "int3": "mediumint",
    "int4": "int",
    "int8": "bigint",
    "double precision": "double",
    "real": "double",
}
WHOLE = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
SIZED = ("varchar", "char", "varbinary", "binary")
WIDTHS = {"latin1": 1, "ascii": 1, "binary": 1, "utf8": 3, "utf8mb3": 3}
"""Bytes of a character; four where nothing is said."""
_TYPE = re.compile(
    r"(?P<name>[a-z][a-z0-9]*(?: (?:varying|precision))?)\s*(?:\((?P<arguments>.*?)\))?(?P<rest>(?: .*)?)$", re.DOTALL
)
_CHARSET = re.compile(r"\b(?:character set|charset)\s+(\w+)")


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    arguments: tuple[str, ...] = ()
    unsigned: bool = False
    charset: str = ""
    more: str = ""


def kind(text: str) -> Kind:
    """Of a type as it is written; widths of whole numbers mean nothing and are left out."""
    found = _TYPE.match(text)
    if not found:
        return Kind(text)
    name = SAME.get(found["name"], found["name"])
    arguments = tuple(_arguments(found["arguments"] or "")) if name not in WHOLE else ()
    if name == "decimal":
        arguments = (arguments + ("10", "0")[len(arguments) :])[:2]
    charset = _CHARSET.search(found["rest"])
    rest = _CHARSET.sub("", found["rest"]).replace("signed", "" if "unsigned" not in found["rest"] else "signed")
    more = " ".join(word for word in rest.split() if word != "unsigned")
    return Kind(name, arguments, "unsigned" in found["rest"], charset[1] if charset else "", more)


def _arguments(text: str) -> Iterator[str]:
    yield from re.findall(r"'(?:[^'\\]|''|\\.)*'|[^,\s]+", text)


def touches_no_row(before: Kind, after: Kind) -> bool:
    """The dictionary is all that changes: the same type, a longer VARCHAR within its byte of length, an ENUM with more at
    its end.
    """
    if before == after:
        return True
    if (before.name, before.unsigned, before.charset, before.more) != (
        after.name,
        after.unsigned,
        after.charset,
        after.more,
    ):
        return False
    if before.name in ("varchar", "varbinary") and (lengths := _numbers(before, after)):
        wide = 1 if before.name == "varbinary" else WIDTHS.get(before.charset, 4)
        old, new = (each[0] * wide for each in lengths)
        return new >= old and (old > 255 or new <= 255)
    if before.name in ("enum", "set"):
        room = 255 if before.name == "enum" else 8
        count = len(before.arguments)
        same_size = len(after.arguments) <= room or count > 255
        return after.arguments[:count] == before.arguments and same_size and before.name == "enum"
    return False


def narrower(before: Kind, after: Kind) -> bool:
    """Some value that was good before is not any more."""
    if before.name != after.name:
        return False
    if before.name in ("enum", "set"):
        return not set(before.arguments) <= set(after.arguments)
    if before.name in (*SIZED, "decimal"):
        if not (numbers := _numbers(before, after)):
            return False
        (old, *fine), (new, *finer) = numbers
        if fine and finer:
            return new - finer[0] < old - fine[0] or finer[0] < fine[0]
        return new < old
    return before.unsigned != after.unsigned


def _numbers(*kinds: Kind) -> list[tuple[int, ...]]:
    """The arguments of each; none where one has something else, or another count of them."""
    wanted = 2 if kinds[0].name == "decimal" else 1
    given = [kind.arguments or ("1",) * wanted for kind in kinds]
    if any(len(each) != wanted or not all(text.isdecimal() for text in each) for each in given):
        return []
    return [tuple(map(int, each)) for each in given]


def redefined(table: str, before: Column, after: Column, *, contract: bool) -> Iterator[Hit]:
    """What MODIFY and CHANGE do to a column beside its name. `contract`: nobody needs it as it was."""
    names = {"table": table, "column": before.name, "type": after.type, "name": f"{table}.{before.name}"}
    old, new = kind(before.type), kind(after.type)
    tables = (table,)
    if narrower(old, new):
        yield Hit("narrows-type", names, tables=tables)
    elif not touches_no_row(old, new):
        yield Hit("change-type", names, INSTEAD.format(table=table, type=after.type), tables=tables)
    elif old != new and new.name == "enum" and not contract:
        yield Hit("enum-value", names | {"name": f"{table}.{before.name}"}, tables=tables)
    yield from _copied(names, before, after)
    if before.nullable != after.nullable and not before.primary:
        what = f"{before.name} {'may be' if after.nullable else 'may not be'} NULL"
        yield Hit("rebuilds-table", names | {"what": what}, tables=tables)
        if not contract:
            instead = (
                f"ALTER TABLE {table} MODIFY {before.name} … NOT NULL in contract.sql, when both versions write it"
            )
            rule = "drop-not-null" if after.nullable else "set-not-null"
            yield Hit(rule, names, "" if after.nullable else instead, tables=tables)
    if not contract:
        yield from _defaults(names, before, after)


INSTEAD = (
    "add a second column of the type {type} to {table}, kept equal by triggers, fill it in backfill.sql, and drop the old"
    " one in contract.sql"
)


def _copied(names: dict[str, str], before: Column, after: Column) -> Iterator[Hit]:
    said = []
    if after.collation and after.collation != before.collation:
        yield Hit("changes-collation", names | {"type": after.collation}, tables=(names["table"],))
    if after.auto_increment != before.auto_increment:
        said.append(f"{before.name} {'counts by itself' if after.auto_increment else 'no longer counts by itself'}")
    if after.generated != before.generated or after.generated and after.default != before.default:
        said.append(f"{before.name} is computed in another way")
    if after.check and after.check != before.check:
        said.append(f"{before.name} gets a condition")
    yield from (Hit("copies-table", names | {"what": what}, tables=(names["table"],)) for what in said)


def _defaults(names: dict[str, str], before: Column, after: Column) -> Iterator[Hit]:
    tables = (names["table"],)
    if before.generated or _plain(before.default) == _plain(after.default):
        return
    if after.default is None:
        if (before.default or "").upper() != "NULL":
            yield Hit("drop-default", names, f"repeat `DEFAULT {before.default}` in the new definition", tables=tables)
    elif after.default.upper() != "NULL" or before.default:
        ruling = None if before.default else Ruling.WARN
        yield Hit("change-default", names | {"default": after.default}, ruling=ruling, tables=tables)


def _plain(default: str | None) -> str | None:
    """The server writes CURRENT_TIMESTAMP in another way than people."""
    return default if default is None or default.startswith("'") else default.lower().removesuffix("()")
