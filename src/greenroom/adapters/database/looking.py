"""What the database tells the judge, in one look that changes nothing: what ran, its schema, its sizes, what goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from greenroom.adapters.database.concern import Concern
from greenroom.adapters.database.costing import REFERENCE, Sizes, Speed, measured, sizes
from greenroom.adapters.database.ledger import Done, Ledger, Recorded
from greenroom.adapters.database.probing import Premise, probe
from greenroom.adapters.database.schemas import USUAL, SearchPath, of_session
from greenroom.adapters.database.settings import SqlSettings
from greenroom.adapters.database.target import Session, of
from greenroom.domain.schema import Dialect, Order, Stage
from greenroom.errors import PortError

_PATIENCE = 30.0


@dataclass(slots=True)
class Seen:
    """`place`: "" where the database could not be asked. `schema`: the SQL that makes it, None if it cannot be had;
    `version`, `path`: of the server, and where it looks for names.
    """

    place: str = ""
    rows: Sequence[Recorded] = ()
    ran: Mapping[tuple[str, Stage], Sequence[Done]] = field(default_factory=dict)
    schema: str | None = None
    version: int = 0
    path: SearchPath = USUAL
    sizes: Sizes = field(default_factory=dict)
    speed: Speed = REFERENCE
    concerns: Sequence[Concern] = ()

    def row(self, name: str, stage: Stage) -> Recorded | None:
        return next((row for row in self.rows if row.name == name and row.stage is stage), None)


def look(
    settings: SqlSettings, order: Order, premise: Callable[[Seen], Premise | None], *, planning: bool = False
) -> Seen:
    """`premise`: of what is to change, once it is known what ran. `planning`: a second may be spent on how
    fast the database is.
    """
    target = of(settings.url)
    session = target.open("judge", patience=_PATIENCE)
    try:
        seen = Seen(target.place, path=of_session(session))
        ledger = Ledger(session, order.service)
        if ledger.made:
            seen.rows = ledger.migrations()
            seen.ran = {
                (row.name, row.stage): tuple(ledger.statements(row.name, row.stage).values()) for row in seen.rows
            }
        match session.dialect:
            case Dialect.POSTGRES:
                _of_postgres(settings, session, seen, planning=planning)
            case Dialect.MYSQL:
                from greenroom.adapters.database.mysql import schema as of_mysql

                seen.schema = of_mysql.text(session)
            case Dialect.SQLITE:
                from greenroom.adapters.database.sqlite import schema as of_sqlite

                seen.schema = of_sqlite.text(session)
        asked = premise(seen)
        if asked is not None:
            seen.concerns = probe(session, asked)
        return seen
    finally:
        session.close()


def _of_postgres(settings: SqlSettings, session: Session, seen: Seen, *, planning: bool) -> None:
    from greenroom.adapters.database.shadow.schema import of_target

    seen.sizes = sizes(session)
    if planning:
        largest = max(seen.sizes.values(), key=lambda table: table.bytes, default=None)
        seen.speed = measured(session, largest)
    try:
        source = of_target(settings.url, session, seen.place)
    except PortError:
        if settings.shadow:  # somebody wants a rehearsal, and would not get one
            raise
        return
    seen.schema, seen.version = source.text, source.version
