"""`greenroom db retype users.age bigint`: a column of another type takes the place of the old one.

The new column has a name of its own. If both versions used one name, its type would change between two uses of a prepared
statement, which the server refuses ("cached plan must not change result type").
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from greenroom.adapters.database.concern import Concern, refuse
from greenroom.adapters.database.reading.tokens import Kind, Tokens
from greenroom.adapters.database.target import Broken, Session
from greenroom.adapters.database.writing import names, obstacles
from greenroom.adapters.database.writing.asking import free, reading
from greenroom.adapters.database.writing.carry import Carried, Carrier
from greenroom.adapters.database.writing.catalogue import Column
from greenroom.adapters.database.writing.draft import Draft, draft, insist
from greenroom.adapters.database.writing.life import Life
from greenroom.adapters.database.writing.names import Quote
from greenroom.adapters.database.writing.rename import defaults, of_default
from greenroom.adapters.database.writing.split import declared
from greenroom.adapters.database.writing.sync import Sync
from greenroom.domain.schema import Dialect
from greenroom.errors import UsageError

_INTEGERS = ("smallint", "integer", "bigint")
_SHAPE = re.compile(r"([a-z ]+?)(?:\((\d+)(?:,(\d+))?\))?( without time zone| with time zone)?")


def retype(
    session: Session,
    column: str,
    kind: str,
    *,
    folder: Path,
    to: str = "",
    by: str = "",
    back: str = "",
    name: str = "",
    accept: Collection[str] = (),
) -> Draft:
    """`to`: the new column's name. `by`, `back`: expressions, where a plain cast does not do: the new value from the old
    column, the old one from the new column. Changes nothing. Raises `UsageError` and, with all the reasons, `Refused`.
    """
    if bool(by) != bool(back):
        raise UsageError(
            "--by and --back belong together", hint="one makes the new value of the old one, the other the old"
        )
    with reading(session, column) as (old, quote):
        shown = type_of(session, kind)
        new = names.single(to) if to else names.fitting(f"{old.name}_{_slug(kind)}", ())
        free(old, new)
        carried = Carrier(old, new, quote).all()
        found = [*obstacles.of_column(session, old), *carried.concerns, *of_default(old)]
        found += [] if by else _lossy(session, old, shown)
    told = insist(found, accept, obstacles.ACCEPTABLE, f"Another type for {column}")
    conversion = (by, back) if by else ("", "")
    life = _life(old, new, shown, quote, carried, conversion, [c.reason for c in found if c.key in accept])
    return draft(folder, name, f"{old.table.name}_{new}", life.files(quote), told)


def type_of(session: Session, kind: str) -> str:
    """As the server calls it, with its size. Raises `UsageError` where it is none."""
    tokens = list(Tokens(kind, Dialect.POSTGRES))
    if any(t.kind not in (Kind.WORD, Kind.NAME, Kind.NUMBER) and t.text not in "(),.[]" for t in tokens):
        raise UsageError(f"{kind!r} is no type", hint="write it as in CREATE TABLE: bigint, numeric(10, 2), shop.mood")
    try:
        [(base,)] = session.rows(f"SELECT pg_typeof(CAST(NULL AS {kind}))::text")
    except Broken as error:
        raise UsageError(f"{kind!r} is no type here: {error.message}", hint="name its schema, as shop.mood") from None
    return str(base) if "(" not in kind else " ".join(kind.split())


def _slug(kind: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", kind.lower()).strip("_")


def _lossy(session: Session, old: Column, kind: str) -> list[Concern]:
    if widens(old.type, kind) or (kind == "text" and _is_enum(session, old)):
        return []
    name = f"{old.table.written}.{old.name}"
    return [
        refuse(
            "lossy-type",
            f"Not every value of {old.type} is one of {kind}: the running version could write what {name} cannot pass on.",
            "Say with --by and --back how each is made of the other. Or in two releases: first one whose version writes"
            " such values only, held by a CHECK constraint NOT VALID that is validated; then this one.",
        )
    ]


def _is_enum(session: Session, old: Column) -> bool:
    return bool(session.rows("SELECT 1 FROM pg_type WHERE oid = %s::oid AND typtype = 'e'", [old.type_oid]))


def widens(old: str, new: str) -> bool:
    """Every value of `old` is one of `new`, and is the same again when it is cast back."""
    before, after = _SHAPE.fullmatch(old), _SHAPE.fullmatch(new)
    if not before or not after or before[4] != after[4]:
        return False
    if before[1] in _INTEGERS:
        wider = after[1] in _INTEGERS and _INTEGERS.index(after[1]) >= _INTEGERS.index(before[1])
        exact = after[1] == "double precision" and before[1] != "bigint"
        return wider or exact or (after[1] == "numeric" and not after[2])
    match before[1], after[1]:
        case (("real" | "double precision"), "double precision"):
            return True
        case (("character varying" | "text" | "varchar"), "text"):
            return True
        case "character varying", ("character varying" | "varchar"):
            return not after[2] or (bool(before[2]) and int(after[2]) >= int(before[2]))
        case "numeric", ("numeric" | "decimal"):
            return not after[2] or (bool(before[2]) and _holds(before, after))
    return False


def _holds(before: re.Match[str], after: re.Match[str]) -> bool:
    """numeric(p, s): as many digits on either side of the point."""
    scale, wider = int(before[3] or 0), int(after[3] or 0)
    return wider >= scale and int(after[2]) - wider >= int(before[2]) - scale


def _life(
    old: Column,
    new: str,
    kind: str,
    quote: Quote,
    carried: Carried,
    conversion: tuple[str, str],
    accepted: list[str],
) -> Life:
    table, before, after = old.table.written, quote(old.name), quote(new)
    absent, early, late = defaults(old, after, kind)
    by, back = conversion
    columns = [*old.table.columns, new]

    def rowwise(sql: str) -> str:
        return names.of_row(sql, columns, old.table.name, quote)

    if by:
        forth, home = f"NEW.{after} := {rowwise(by)};", f"NEW.{before} := {rowwise(back)};"
        backfill = ("yaml", declared(table, [(after, by)], before))
    else:
        forth, home = f"NEW.{after} := NEW.{before};", _back(before, after, old.type, kind)
        backfill = ("sql", f"UPDATE {table} SET {after} = CAST({before} AS {kind});\n")
    if old.sequence and kind == "bigint":
        late = [*late, f"ALTER SEQUENCE {old.sequence} AS bigint"]
    return Life(
        old,
        [(after, kind)],
        Sync(before, [after], forth, home, absent, exact=not by),
        head=[
            f"{table}.{before} ({old.type}) becomes {table}.{after} ({kind}): both are there, and equal, until contract."
        ],
        backfill=backfill,
        expand=[*early, *carried.expand],
        contract=[*carried.contract, *late, *carried.goes],
        first=carried.first,
        last=carried.last,
        before=[f"First: {reason}" for reason in accepted],
    )


def _back(before: str, after: str, old: str, new: str) -> str:
    """What the old type cannot hold is refused until contract: the version before could be needed again.

    A cast between integers fails by itself, and so does the assignment of a text that is too long; others round.
    """
    if old in _INTEGERS and new in _INTEGERS or old.startswith("character varying") or old == "text":
        return f"NEW.{before} := NEW.{after};"
    return (
        f"NEW.{before} := CAST(NEW.{after} AS {old});\n"
        f"IF CAST(NEW.{before} AS {new}) IS DISTINCT FROM NEW.{after} THEN\n"
        f"  RAISE EXCEPTION USING ERRCODE = '22003', MESSAGE = 'greenroom: the version before this one could not hold the"
        f" value', HINT = 'It can be written after the contract of this change.';\nEND IF;"
    )
