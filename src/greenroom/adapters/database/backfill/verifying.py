"""The end of a backfill: every row is looked at once more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from greenroom.adapters.database.backfill.grammar import Place, Server, Table
from greenroom.adapters.database.backfill.link import TOO_LONG, Link
from greenroom.adapters.database.backfill.pace import Pace
from greenroom.adapters.database.backfill.settings import BackfillSettings
from greenroom.adapters.database.backfill.statements import SAMPLES, Statements
from greenroom.adapters.database.target import Broken

_LONGER, _WIDER = 4, 10
"""Looking is cheaper than changing: how much longer and wider its ranges are than batches."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done: backfill `number` of the migration `name`; `shown` for people."""

    name: str
    number: int
    shown: str
    statements: Statements
    server: Server
    table: Table


@dataclass(frozen=True, slots=True)
class Still:
    """Rows that differ at the end: how many, and the keys of some."""

    rows: int
    keys: Sequence[Place]


def verify(
    link: Link,
    work: Work,
    settings: BackfillSettings,
    tell_of: Callable[[Callable[[], str]], None],
    wait_if_told: Callable[[], None],
) -> Still:
    """No snapshot is held for long: what is not seen at a glance is seen by ranges. Rows that come later are above."""
    top = link.keep(lambda: work.statements.top(link.session))
    if top is not None and (all_of_it := link.keep(partial(_at_a_glance, link, work, top))) is not None:
        return all_of_it
    pace = Pace(settings.batch_time * _LONGER, settings.max_batch * _WIDER, settings.share)
    at: Place | None = None
    seen, still = 0, Still(0, [])
    while top is not None:
        wait_if_told()
        begun = link.clock()
        page = link.keep(partial(_seen, link, work, at, top, pace.batch, SAMPLES - len(still.keys)))
        if page is None:
            break
        at, rows, found = page
        still, seen = Still(still.rows + found.rows, [*still.keys, *found.keys]), seen + rows
        seconds = link.clock() - begun
        pace = pace.after(rows, seconds)
        tell_of(lambda: f"looks at each row once more, {seen:,} seen")  # noqa: B023
        link.sleep(pace.pause(seconds))
    return still


def _at_a_glance(link: Link, work: Work, top: Place) -> Still | None:
    """None: it is too big a table for one statement."""
    session, statements = link.session, work.statements
    if not work.server.glance:
        return None
    try:
        with session.transaction(statement_timeout=work.server.glance):
            rows = statements.differing(session, None, top)
            return Still(rows, statements.samples(session, None, top, SAMPLES) if rows else [])
    except Broken as error:
        if error.code == TOO_LONG:
            return None
        raise


def _seen(
    link: Link, work: Work, after: Place | None, until: Place, most: int, samples: int
) -> tuple[Place, int, Still] | None:
    """The end of the next page, its rows, and which of them are not done."""
    session, statements = link.session, work.statements
    page = statements.page(session, after, until, most)
    if page is None:
        return None
    rows = statements.differing(session, after, page[0])
    keys = statements.samples(session, after, page[0], samples) if rows and samples else []
    return *page, Still(rows, keys)
