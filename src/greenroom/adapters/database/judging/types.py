"""PostgreSQL's types: which are built in, and which change of one is a change of the catalogue alone."""

from __future__ import annotations

import re

from greenroom.adapters.database.reading.expressions import listed

BUILT_IN = listed(
    """bigint int8 bit varbit boolean bool box bytea character char bpchar varchar text cidr circle date double
    float float4 float8 inet integer int int4
    interval json jsonb line lseg macaddr macaddr8 money numeric decimal path pg_lsn point
    polygon real smallint int2 time timetz timestamp timestamptz tsquery tsvector uuid xml oid name national int4range
    int8range numrange tsrange tstzrange daterange int4multirange int8multirange nummultirange tsmultirange tstzmultirange
    datemultirange jsonpath regclass citext hstore ltree lquery geometry geography vector halfvec cube isbn"""
)
"""With the base types of well-known extensions."""
SERIAL = frozenset({"serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"})
SAME = {"character varying": "varchar", "decimal": "numeric", "character": "char", "int4": "integer", "int": "integer"}
SIZED = re.compile(r"^(\w[\w ]*?)\s*(?:\(\s*(\d+)(?:\s*,\s*(\d+))?\s*\))?$")


def base(kind: str) -> str:
    """`numeric` of `numeric(10, 2)[]`."""
    return re.split(r"[\s(\[]", kind, maxsplit=1)[0]


def parts(kind: str) -> tuple[str, int | None, int | None]:
    found = SIZED.match(kind)
    if not found:
        return kind, None, None
    name = SAME.get(found[1], found[1])
    return name, int(found[2]) if found[2] else None, int(found[3] or 0) if found[2] else None


def widens(before: str, after: str) -> bool:
    """No row is written anew and no value is refused that was good before."""
    (old, size, scale), (new, room, fine) = parts(before), parts(after)
    if old == "varchar" and new in ("varchar", "text"):
        return new == "text" or room is None or (size is not None and room >= size)
    if old == new == "numeric":
        return room is None or (size is not None and room >= size and fine == scale)
    return False
