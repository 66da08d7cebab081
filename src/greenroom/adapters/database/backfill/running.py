"""All backfills of a release, one after the other: planned together, so that nothing runs if one of them cannot."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from greenroom.adapters.database import target as targets
from greenroom.adapters.database.backfill.declared import declared
from greenroom.adapters.database.backfill.fill import Fill, Unfit
from greenroom.adapters.database.backfill.filler import Filler
from greenroom.adapters.database.backfill.grammar import Server, server
from greenroom.adapters.database.backfill.link import Link
from greenroom.adapters.database.backfill.pace import left
from greenroom.adapters.database.backfill.rewriting import rewritten
from greenroom.adapters.database.backfill.settings import BackfillSettings
from greenroom.adapters.database.backfill.statements import Statements
from greenroom.adapters.database.backfill.throttle import Brake, Load, Replica, Throttle
from greenroom.adapters.database.backfill.verifying import Still, Work
from greenroom.adapters.database.ledger import Filling, Ledger
from greenroom.adapters.database.reading import split
from greenroom.adapters.database.running import alone, standing
from greenroom.adapters.database.running.tell import Tell
from greenroom.adapters.database.target import Broken, Session, Target
from greenroom.domain.schema import Dialect, Migration, Order, Progress, Script, Stage, Stand


@dataclass(frozen=True, slots=True)
class Outcome:
    """`reason`: why it is not done, "" if it is."""

    reason: str = ""

    @property
    def done(self) -> bool:
        return not self.reason


def backfill(
    target: Target,
    order: Order,
    migrations: Sequence[Migration],
    settings: BackfillSettings,
    tell: Tell,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Every row that is meant is filled and seen to be, or `Outcome` says which are not. Goes on where it was ended.

    Raises `Unfit` where a file cannot be carried out and `standing.Refusal` where the ledger objects, before anything is
    done; else as `Session.run`, after many tries.
    """
    planned = [(m, fills(m, target.dialect)) for m in migrations if Stage.BACKFILL in m.scripts]
    kind = server(target.dialect)

    def lock(ledger: Ledger) -> None:
        ledger.make()
        with ledger.session.transaction(lock_timeout=2.0):
            ledger.claim(order)
        alone.take(ledger, order, tell)

    link = Link(target, order.service, kind, settings.tries, tell, lock, clock=clock, sleep=sleep)
    try:
        left = link.keep(lambda: _left(link.ledger, order, migrations))
        works = [
            (m.name, link.keep(partial(_works, link, kind, m, found, tell))) for m, found in planned if m.name in left
        ]
        for name, several in works:
            link.keep(lambda: _begin(link.ledger, order, name))  # noqa: B023
            for work in several:
                still = _filled(link, work, order, settings, tell)
                if still is not None:
                    return Outcome(_differ(work, still))
            link.keep(lambda: _end(link.ledger, order, name))  # noqa: B023
        return Outcome()
    finally:
        link.close()


def _left(ledger: Ledger, order: Order, migrations: Sequence[Migration]) -> set[str]:
    """The names of those that are not done, after the ledger's objections."""
    standing.refuse(standing.objections(ledger, order, migrations))
    with ledger.session.transaction():
        ledger.fence(order)
        standing.store(ledger, order, migrations)
    return {row.name for row in ledger.migrations() if row.stage is Stage.BACKFILL and row.state is not Stand.DONE}


def _begin(ledger: Ledger, order: Order, name: str) -> None:
    row = ledger.migration(name, Stage.BACKFILL)
    assert row is not None, "it was stored before"
    with ledger.session.transaction():
        ledger.fence(order)
        ledger.begin(row, order)


def _end(ledger: Ledger, order: Order, name: str) -> None:
    with ledger.session.transaction():
        ledger.fence(order)
        ledger.end(name, Stage.BACKFILL)


def _filled(link: Link, work: Work, order: Order, settings: BackfillSettings, tell: Tell) -> Still | None:
    filler = Filler(link, work, settings, tell, lambda: link.keep(lambda: link.ledger.fence(order)))
    filler.throttle = throttle(link, work, settings, filler)
    try:
        return filler.run()
    finally:
        filler.throttle.close()


def fills(migration: Migration, dialect: Dialect) -> list[Fill]:
    """What the file of this stage does. Raises `Unfit`, `Unreadable`."""
    script = migration.scripts[Stage.BACKFILL]
    return of_script(script, dialect)


def of_script(script: Script, dialect: Dialect) -> list[Fill]:
    if script.file.endswith((".yaml", ".yml")):
        return declared(script, dialect)
    found = [rewritten(statement, dialect) for statement in split(script.text, dialect, script.file)]
    if not found:
        raise Unfit(script.file, "holds no statement", "write an UPDATE, or leave the file out")
    return found


def throttle(link: Link, work: Work, settings: BackfillSettings, filler: Filler) -> Throttle:
    row = (link.service, work.name, work.number)
    brakes: list[Brake] = [
        Replica(targets.of(url, copy=True), row, filler.beats, settings.max_lag, link.clock)
        for url in settings.replicas
    ]
    if settings.max_load:
        brakes.append(Load(lambda: work.server.busy(link.session), settings.max_load))
    return Throttle(brakes, link.clock)


def verified(session: Session, service: str, name: str) -> bool:
    """Every row of every table that this migration fills was seen to be filled. Before that, the new version reads NULL."""
    ledger = Ledger(session, service)
    row = ledger.migration(name, Stage.BACKFILL) if ledger.made else None
    return row is not None and row.state is Stand.DONE


def progress(session: Session, service: str, name: str = "") -> Progress:
    """Of all backfills that were begun: of this migration, of all of the service where none is named."""
    return of_rows(Ledger(session, service).fillings(name))


def of_rows(rows: Sequence[Filling]) -> Progress:
    done, of = sum(row.rows for row in rows), sum(row.of for row in rows)
    rate = sum(row.rate for row in rows if row.verified_at is None)
    return Progress(done, of, rate, 0.0 if rows and done >= of and not rate else left(done, of, rate))


def _works(link: Link, kind: Server, migration: Migration, found: Sequence[Fill], tell: Tell) -> list[Work]:
    """Looked up in the database, and asked about there: names, types, rights."""
    works = []
    for number, fill in enumerate(found, 1):
        table = kind.table(link.session, fill)
        statements = Statements(kind, fill, table)
        try:
            kind.rehearse(link.session, statements.explained())
        except Broken as error:
            raise Unfit(fill.place, f"the server refuses it: {error.message}", error.hint) from error
        for doubt in kind.doubts(link.session, fill, table):
            tell(f"{fill.place}: {doubt}")
        shown = f"{fill.table}.{', '.join(column for column, _ in fill.sets)}"
        works.append(Work(migration.name, number, shown, statements, kind, table))
    return works


def _differ(work: Work, still: Still) -> str:
    keys = ", ".join("/".join(key) for key in still.keys)
    return (
        f"{work.shown}: {still.rows:,} rows still differ after every sweep, as {keys}: something else writes them, or the"
        " server stores another value than the one that is compared"
    )
