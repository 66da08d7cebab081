"""`greenroom db split users.name first_name last_name --by 'EXPR, EXPR' --back EXPR`: several columns take one's place."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import yaml

from greenroom.adapters.database.concern import Concern, refuse, warn
from greenroom.adapters.database.target import Broken, Session
from greenroom.adapters.database.writing import names, obstacles
from greenroom.adapters.database.writing.asking import free, reading
from greenroom.adapters.database.writing.catalogue import Column
from greenroom.adapters.database.writing.draft import Draft, draft, insist
from greenroom.adapters.database.writing.life import Life
from greenroom.adapters.database.writing.names import Quote
from greenroom.adapters.database.writing.sync import Sync, unwritten
from greenroom.errors import UsageError


def split(
    session: Session,
    column: str,
    news: Sequence[str],
    *,
    by: str,
    back: str = "",
    one_way: bool = False,
    folder: Path,
    name: str = "",
    accept: Collection[str] = (),
) -> Draft:
    """`by`: an expression for each new column, over columns of the table; `back`: the old one from the new.

    `one_way`: the first of two releases, whose version reads the new columns and still writes the old one.
    Changes nothing. Raises `UsageError` and, with all the reasons, `Refused`.
    """
    called = [names.single(new) for new in news]
    ways = names.listed(by)
    if len(ways) != len(called) or not all(ways):
        raise UsageError(
            f"{len(called)} columns and {len(ways)} expressions in --by", hint="one for each, with commas between them"
        )
    with reading(session, column) as (old, quote):
        free(old, *called)
        if back and names.mentions(back, old.name):
            raise UsageError(f"--back names {old.name}", hint="it makes the old value of the new columns alone")
        kinds = _kinds(session, old, quote, ways, [])
        if back:
            _kinds(session, old, quote, [back], list(zip([quote(new) for new in called], kinds, strict=True)))
        found = [*obstacles.of_column(session, old), *_losses(old, called, back, one_way)]
    told = insist(found, accept, obstacles.ACCEPTABLE, f"A split of {column}")
    life = _life(old, called, kinds, quote, ways, "" if one_way else back, [c.reason for c in found if c.key in accept])
    return draft(folder, name, f"{old.table.name}_{'_'.join(called)}", life.files(quote), told)


def declared(table: str, sets: Sequence[tuple[str, str]], old: str) -> str:
    """A backfill that touches only rows which have no new value at all: what the new version wrote stays."""
    empty = " AND ".join(f"{new} IS NULL" for new, _ in sets)
    nothing = " AND ".join(f"({value}) IS NULL" for _, value in sets)
    filled = " OR ".join(f"{new} IS NOT NULL" for new, _ in sets)
    entry = {
        "table": table,
        "set": dict(sets),
        "where": f"{old} IS NOT NULL AND {empty}",
        "verify": f"{filled} OR ({nothing})",
    }
    return yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, width=1000)


def _kinds(
    session: Session, old: Column, quote: Quote, ways: Sequence[str], more: Sequence[tuple[str, str]]
) -> list[str]:
    """The types of expressions, with nothing but pg_catalog in the search_path, as in the trigger."""
    there = f"{quote(old.table.schema)}.{quote(old.table.name)}"
    added = "".join(f", CAST(NULL AS {kind}) AS {name}" for name, kind in more)
    shown = ", ".join(f"pg_typeof({way})::text" for way in ways)
    try:
        [found] = session.rows(
            f"SELECT {shown} FROM (SELECT 1) AS one LEFT JOIN (SELECT t.*{added} FROM {there} AS t LIMIT 0)"
            f" AS {quote(old.table.name)} ON true"
        )
    except Broken as error:
        raise UsageError(
            f"{', '.join(ways)}: {error.message}",
            hint="it is an expression over columns of this table; a function or type of another schema is named with it",
        ) from None
    return ["text" if kind == "unknown" else str(kind) for kind in found]


def _losses(old: Column, news: Sequence[str], back: str, one_way: bool) -> list[Concern]:
    name, several = f"{old.table.written}.{old.name}", ", ".join(news)
    found: list[Concern] = []
    if not back and not one_way:
        found.append(
            refuse(
                "no-way-back",
                f"Nothing says how {name} follows when the new version writes {several}: the running version would read what"
                " is no longer true.",
                "Name it with --back. Or in two releases: with --one-way, a version that reads the new columns and still"
                f" writes {old.name}; when it is live everywhere, a second one that writes the new columns and no longer"
                " knows the old one.",
            )
        )
    return [*found, *left_behind(old, several, one_way)]


def left_behind(old: Column, several: str, one_way: bool) -> Iterator[Concern]:
    """What the old column has and the new ones (`several`) will not have."""
    name = f"{old.table.written}.{old.name}"
    if one_way and old.not_null and not old.default:
        yield warn(
            "not-null-later",
            f"{name} is NOT NULL and has no default: the second release, which no longer writes it, needs"
            f" `ALTER TABLE {old.table.written} ALTER COLUMN {old.name} DROP NOT NULL` in its expand.",
        )
    hanging = [index.name for index in old.indexes] + [key.name for key in old.constraints]
    if hanging or old.not_null:
        yield warn(
            "not-carried",
            f"What guards or finds {name} ({', '.join(hanging) or 'NOT NULL'}) says nothing about {several}, and is not"
            " carried over.",
            "Write indexes that the new version needs into expand.sql, CONCURRENTLY; constraints into contract.sql.",
        )


def _life(
    old: Column,
    news: Sequence[str],
    kinds: Sequence[str],
    quote: Quote,
    ways: Sequence[str],
    back: str,
    accepted: Sequence[str],
) -> Life:
    table, before = old.table.written, quote(old.name)
    after = [quote(new) for new in news]

    def rowwise(sql: str) -> str:
        return names.of_row(sql, [*old.table.columns, *news], old.table.name, quote)

    forth = "\n".join(f"NEW.{new} := {rowwise(way)};" for new, way in zip(after, ways, strict=True))
    sync = Sync(
        before,
        after,
        forth,
        f"NEW.{before} := {rowwise(back)};" if back else "",
        " AND ".join(unwritten(new, "", True) for new in after),
        exact=False,
    )
    return Life(
        old,
        list(zip(after, kinds, strict=True)),
        sync,
        head=[_head(before, after, table, back)],
        backfill=("yaml", declared(table, list(zip(after, ways, strict=True)), before)),
        before=[
            *(f"First: {reason}" for reason in accepted),
            *(
                []
                if back
                else ["Not with the release that expands, but with the one that no longer knows the old column."]
            ),
        ],
    )


def _head(before: str, after: Sequence[str], table: str, back: str) -> str:
    then = (
        "whichever is written, the other follows, until contract."
        if back
        else f"they follow what is written to {before}. A later release writes them, and forgets {before}."
    )
    return f"{table}.{before} becomes {table}.({', '.join(after)}): {then}"
