"""`greenroom db move users.city addresses.city --by user_id`: a column of one table goes to another, in two releases.

Both ways at once it cannot be right: whoever writes users locks the user and then the address, whoever writes addresses the
other way round, and two of them end in a deadlock. One way there is no such circle: the first release's version reads
addresses.city and writes users.city, the second's writes addresses.city and has forgotten users.city.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import yaml

from greenroom.adapters.database.concern import Concern, refuse, warn
from greenroom.adapters.database.target import Session
from greenroom.adapters.database.writing import catalogue, names, obstacles
from greenroom.adapters.database.writing.asking import reading, supported
from greenroom.adapters.database.writing.catalogue import Column, Table
from greenroom.adapters.database.writing.draft import Draft, draft, insist
from greenroom.adapters.database.writing.life import Life
from greenroom.adapters.database.writing.names import Quote
from greenroom.adapters.database.writing.split import left_behind
from greenroom.errors import UsageError

ACCEPTABLE = obstacles.ACCEPTABLE | {"rows-by-trigger"}
_UNIQUE = """
SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = %s::oid AND a.attname = %s AND i.indnkeyatts = 1 AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indpred IS NULL
"""
_REFERS = """
SELECT f.attname, k.confdeltype = 'c' FROM pg_constraint k
JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
JOIN pg_attribute f ON f.attrelid = k.confrelid AND f.attnum = k.confkey[1]
WHERE k.contype = 'f' AND k.conrelid = %s::oid AND k.confrelid = %s::oid AND a.attname = %s AND cardinality(k.conkey) = 1
"""
_NEEDED = """
SELECT a.attname FROM pg_attribute a WHERE a.attrelid = %s::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull
  AND NOT a.atthasdef AND a.attidentity = '' AND a.attname <> %s ORDER BY a.attnum
"""


@dataclass(frozen=True, slots=True)
class Across:
    """`life.Rule` of a move. Names are quoted, `there` with its schema. `by` of the other table is `key` of this one."""

    when: ClassVar[str] = "AFTER"
    said: ClassVar[str] = (
        "Until contract the other table follows what is written here. It writes with its owner's rights, since the"
        " application may have none there."
    )
    definer: ClassVar[bool] = True

    old: str
    key: str
    there: str
    by: str
    new: str

    @property
    def allow(self) -> str:
        return "it writes one row of the other table, found by its unique key"

    def body(self) -> str:
        row = f"INSERT INTO {self.there} ({self.by}, {self.new}) VALUES (NEW.{self.key}, NEW.{self.old})"
        changed = f"pg_catalog.record_image_ne(ROW(NEW.{self.old}), ROW(OLD.{self.old}))"
        filling = f"pg_catalog.current_setting('application_name') LIKE 'greenroom %' AND NEW.{self.old} IS NOT NULL"
        return f"""\
  IF TG_OP = 'UPDATE' AND NOT {changed} THEN
    IF {filling} THEN  -- the backfill
      {row} ON CONFLICT ({self.by}) DO NOTHING;
    END IF;
  ELSIF TG_OP = 'UPDATE' OR NEW.{self.old} IS NOT NULL THEN
    {row} ON CONFLICT ({self.by}) DO UPDATE SET {self.new} = EXCLUDED.{self.new};
  END IF;
  RETURN NULL;"""


def move(
    session: Session, column: str, to: str, *, by: str, folder: Path, name: str = "", accept: Collection[str] = ()
) -> Draft:
    """`to`: TABLE.COLUMN, a column that is not there yet; `by`: the column of that table that says whose row it is.

    Changes nothing, in the database or on the disk. Raises `UsageError` and, with all the reasons, `Refused`.
    """
    supported(session, column)
    goal, pointer = names.place(to), names.single(by)
    other = catalogue.table(session, goal, names.quoting(session))
    with reading(session, column) as (old, quote):
        if pointer not in other.columns or goal.column in other.columns or other.oid == old.table.oid:
            raise UsageError(
                f"{other.written} must be another table, with a column {pointer} and without {goal.column};"
                f" it has {', '.join(other.columns)}",
                hint="name the table that exists, the new name in it, and with --by the column that points at the row",
            )
        found = [*obstacles.of_column(session, old), *_other(session, other, pointer), *left_behind(old, to, True)]
        key, concerns = _key(session, old, other, pointer)
        found += concerns
    told = insist(found, accept, ACCEPTABLE, f"A move of {column}")
    life = _life(old, other, key, pointer, goal.column, quote, [c.reason for c in found if c.key in accept])
    return draft(folder, name, f"{old.table.name}_{old.name}_to_{other.name}", life.files(quote), told)


def _other(session: Session, other: Table, by: str) -> Iterator[Concern]:
    if other.kind != "r" or other.partition or other.inherits or not other.key:
        yield refuse(
            "not-a-plain-table",
            f"{other.written} is no plain table with a primary key.",
            "Write the three files by hand.",
            about=other.written,
        )
    if not session.rows(_UNIQUE, [other.oid, by]):
        yield refuse(
            "not-unique",
            f"Nothing says that {other.written} has one row at most for each {by}.",
            f"In a release of its own: CREATE UNIQUE INDEX CONCURRENTLY ON {other.written} ({by}).",
        )
    if needed := [str(needed) for (needed,) in session.rows(_NEEDED, [other.oid, by])]:
        yield refuse(
            "row-cannot-be-made",
            f"A row of {other.written} needs {', '.join(needed)}, which nobody knows when the other table is written.",
            "Give them defaults in a release of its own, or let the application make these rows first.",
        )
    schema = session.rows(f"SELECT EXISTS (SELECT FROM {_full(session, other)})")
    if schema == [(True,)]:
        yield refuse(
            "rows-by-trigger",
            f"{other.written} has rows already, and more are made wherever {by}'s row has a value: a version that INSERTs"
            f" its own row for the same {by} fails.",
            f"See that whoever inserts there uses ON CONFLICT ({by}); then accept it.",
            about=other.written,
        )


def _key(session: Session, old: Column, other: Table, by: str) -> tuple[str, list[Concern]]:
    """The column of the first table at which `by` points."""
    table = old.table
    refers = session.rows(_REFERS, [other.oid, table.oid, by])
    if refers:
        [(key, cascades), *_] = refers
        if cascades:
            return str(key), []
        concern = refuse(
            "delete-would-fail",
            f"The foreign key of {other.written}.{by} does not say ON DELETE CASCADE: the running version could no longer"
            f" delete a row of {table.written}.",
            "Change the foreign key in a release of its own.",
        )
        return str(key), [concern]
    if len(table.key) != 1:
        raise UsageError(
            f"{table.written} has no primary key of one column, and {other.written}.{by} refers to none",
            hint="give it a foreign key, or write the three files by hand",
        )
    concern = warn(
        "no-foreign-key",
        f"{other.written}.{by} has no foreign key: rows stay behind when those of {table.written} are deleted.",
        "Add one with ON DELETE CASCADE, NOT VALID and validated, in expand.sql.",
    )
    return table.key[0], [concern]


def _full(session: Session, table: Table) -> str:
    quote = names.quoting(session)
    return f"{quote(table.schema)}.{quote(table.name)}"


def _backfill(old: Column, other: Table, key: str, by: str, new: str, quote: Quote) -> str:
    here, there = old.table.written, other.written
    source, target = quote(old.table.name), quote(other.name)
    value = f"(SELECT {source}.{quote(old.name)} FROM {here} WHERE {source}.{quote(key)} = {target}.{quote(by)})"
    row = f"SELECT 1 FROM {there} WHERE {target}.{quote(by)} = {source}.{quote(key)}"
    rows = {
        "table": there,
        "set": {quote(new): value},
        "where": f"{target}.{quote(new)} IS NULL AND {value} IS NOT NULL",
        "verify": f"{target}.{quote(new)} IS NOT NULL OR {value} IS NULL",
    }
    missing = {
        "table": here,
        "set": {quote(old.name): f"{source}.{quote(old.name)}"},
        "where": f"{source}.{quote(old.name)} IS NOT NULL",
        "verify": f"{source}.{quote(old.name)} IS NULL OR EXISTS ({row})",
    }
    text = yaml.safe_dump([rows, missing], sort_keys=False, allow_unicode=True, width=1000)
    return "# rows that are there, then rows that are not: an UPDATE lets the trigger make them\n" + text


def _life(old: Column, other: Table, key: str, by: str, new: str, quote: Quote, accepted: list[str]) -> Life:
    here, there = old.table.written, other.written
    kind = f"{old.type} COLLATE {old.collation}" if old.collation else old.type
    full = f"{quote(other.schema)}.{quote(other.name)}"
    was, becomes = f"{here}.{quote(old.name)}", f"{there}.{quote(new)}"
    return Life(
        old,
        [(quote(new), kind)],
        Across(quote(old.name), quote(key), full, quote(by), quote(new)),
        head=[
            f"{was} moves to {becomes}, which follows until contract. The version of this release reads {becomes} and"
            f" writes {was}; that of the next one writes {becomes}."
        ],
        backfill=("yaml", _backfill(old, other, key, by, new, quote)),
        before=[
            *(f"First: {reason}" for reason in accepted),
            "Not with the release that expands, but with the one that no longer knows the old column.",
        ],
        onto=there,
        named="the trigger writes a column of the same name elsewhere" if new == old.name else "",
    )
