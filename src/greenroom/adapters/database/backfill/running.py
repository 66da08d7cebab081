"""All backfills of a release, one after the other: planned together, so that nothing runs if one of them cannot."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from greenroom.adapters.database import target as targets
from greenroom.adapters.database.backfill.declared import declared
from greenroom.adapters.database.backfill.fill import Fill, Unfit
from greenroom.adapters.database.backfill.filler import Filler, Still, Work
from greenroom.adapters.database.backfill.grammar import Server, server
from greenroom.adapters.database.backfill.link import Link
from greenroom.adapters.database.backfill.pace import left
from greenroom.adapters.database.backfill.rewriting import rewritten
from greenroom.adapters.database.backfill.settings import BackfillSettings
from greenroom.adapters.database.backfill.statements import Statements
from greenroom.adapters.database.backfill.throttle import Brake, Load, Replica, Throttle
from greenroom.adapters.database.ledger import Filling, Ledger
from greenroom.adapters.database.reading import split
from greenroom.adapters.database.running import alone
from greenroom.adapters.database.running.tell import Tell
from greenroom.adapters.database.target import Broken, Session, Target
from greenroom.domain.schema import Dialect, Migration, Order, Progress, Script, Stage


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

    Raises `Unfit` where a file cannot be carried out, before anything is; else as `Session.run`, after many tries.
    """
    planned = [(m, fills(m, target.dialect)) for m in migrations if Stage.BACKFILL in m.scripts]
    kind = server(target.dialect)

    def lock(ledger: Ledger) -> None:
        ledger.make()
        alone.take(ledger, order, tell)

    link = Link(target, order.service, kind, settings.tries, tell, lock, clock=clock, sleep=sleep)
    try:
        works = [(m.name, link.keep(lambda: _works(link, kind, m, found, tell))) for m, found in planned]  # noqa: B023
        for _, several in works:
            for work in several:
                filler = Filler(link, work, settings, tell, lambda: link.ledger.fence(order))
                filler.throttle = throttle(link, work, settings, filler)
                try:
                    still = filler.run()
                finally:
                    filler.throttle.close()
                if still is not None:
                    return Outcome(_differ(work, still))
        return Outcome()
    finally:
        link.close()


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
    row = (link.ledger.service, work.name, work.number)
    brakes: list[Brake] = [
        Replica(targets.of(url, copy=True), row, filler.beats, settings.max_lag, link.clock)
        for url in settings.replicas
    ]
    if settings.max_load:
        brakes.append(Load(lambda: work.server.busy(link.session), settings.max_load))
    return Throttle(brakes, link.clock)


def verified(session: Session, service: str, name: str, count: int) -> bool:
    """All `count` backfills of this migration are done and were seen to be. Before that, the new version reads NULL."""
    rows = {row.number: row for row in Ledger(session, service).fillings(name)}
    return all(number in rows and rows[number].verified_at is not None for number in range(1, count + 1))


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
