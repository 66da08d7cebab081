"""`greenroom db rename users.old_preference new_preference`: three files by which a column gets another name while both
versions, the one that knows the old name and the one that knows the new, read and write.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from greenroom.adapters.database.concern import Concern, warn
from greenroom.adapters.database.target import Session
from greenroom.adapters.database.writing import elsewhere, names, obstacles
from greenroom.adapters.database.writing.asking import free, reading, steady
from greenroom.adapters.database.writing.carry import Carried, Carrier
from greenroom.adapters.database.writing.catalogue import Column
from greenroom.adapters.database.writing.draft import Draft, draft, insist
from greenroom.adapters.database.writing.life import Life
from greenroom.adapters.database.writing.names import Quote
from greenroom.adapters.database.writing.sync import Sync, unwritten
from greenroom.domain.schema import Dialect


def rename(
    session: Session, column: str, new: str, *, folder: Path, name: str = "", accept: Collection[str] = ()
) -> Draft:
    """`column`: TABLE.COLUMN or SCHEMA.TABLE.COLUMN. `accept`: keys of concerns that somebody knows to be right.

    Changes nothing, in the database or on the disk. Raises `UsageError` and, with all the reasons, `Refused`.
    """
    if session.dialect is not Dialect.POSTGRES:
        return elsewhere.rename(session, column, new, folder=folder, name=name, accept=accept)
    called = names.single(new)
    with reading(session, column) as (old, quote):
        free(old, called)
        carried = Carrier(old, called, quote).all()
        found = [*obstacles.of_column(session, old), *carried.concerns, *of_default(old)]
    told = insist(found, accept, obstacles.ACCEPTABLE, f"A rename of {column}")
    life = _life(old, called, quote, carried, [c.reason for c in found if c.key in accept])
    return draft(folder, name, f"{old.table.name}_{called}", life.files(quote), told)


def of_default(old: Column) -> Iterator[Concern]:
    if old.default and not steady(old.default) and not old.not_null:
        yield warn(
            "computed-default",
            f"{old.table.written}.{old.name} has a computed default ({old.default}): until contract, an INSERT of the new"
            " version that names the new column and gives it NULL gets the default instead.",
            "Let the new version leave the column out where it means the default, and write no NULL into it.",
        )


def defaults(old: Column, new: str, kind: str = "") -> tuple[str, list[str], list[str]]:
    """When an INSERT has not written `new` (quoted; of the type `kind`, or the old one's), and the statements for its
    default: of expand, and of contract.

    A default that is the same for the whole transaction is set at once, behind the trigger: then a trigger can tell a
    NULL that was written from a column that was left out, and SET … = DEFAULT means the same under both names. Another
    one stays with the old column, so that each row has one value and not two.
    """
    set_default = f"ALTER TABLE {old.table.written} ALTER COLUMN {new} SET DEFAULT {old.default}"
    if not old.default:
        return unwritten(new, "", True), [], []
    if steady(old.default):
        return unwritten(new, f"CAST({old.default} AS {kind or old.type})", not old.not_null), [set_default], []
    owned = [f"ALTER SEQUENCE {old.sequence} OWNED BY {old.table.written}.{new}"] if old.sequence else []
    return unwritten(new, "", True), [], [set_default, *owned]


def _life(old: Column, new: str, quote: Quote, carried: Carried, accepted: list[str]) -> Life:
    table, before, after = old.table.written, quote(old.name), quote(new)
    absent, early, late = defaults(old, after)
    sync = Sync(before, [after], f"NEW.{after} := NEW.{before};", f"NEW.{before} := NEW.{after};", absent, exact=True)
    kind = f"{old.type} COLLATE {old.collation}" if old.collation else old.type
    return Life(
        old,
        [(after, kind)],
        sync,
        head=[f"{table}.{before} becomes {table}.{after}: both are there, and equal, until contract."],
        backfill=("sql", f"UPDATE {table} SET {after} = {before};\n"),
        expand=[*early, *carried.expand],
        contract=[*carried.contract, *late, *carried.goes],
        first=carried.first,
        last=carried.last,
        before=[f"First: {reason}" for reason in accepted],
    )
