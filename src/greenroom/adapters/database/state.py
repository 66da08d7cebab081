"""What the ledger tells people of a service's migrations."""

from __future__ import annotations

from greenroom.adapters.database.ledger import Ledger, Recorded
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Part, Progress, SchemaState, Stage, Stand


def state(session: Session, service: str) -> SchemaState:
    """Nothing where no ledger was ever made. Changes nothing."""
    ledger = Ledger(session, service)
    if not ledger.made:
        return SchemaState()
    return SchemaState(tuple(_part(ledger, row) for row in ledger.migrations()))


def _part(ledger: Ledger, row: Recorded) -> Part:
    since = row.done_at if row.state in (Stand.DONE, Stand.SOFT) else row.begun_at
    detail, progress = "", None
    if row.stage is Stage.BACKFILL and row.state is not Stand.PENDING:
        progress = _progress(ledger, row.name)
    elif row.state is Stand.RUNNING:
        done = sum(one.state is Stand.DONE for one in ledger.statements(row.name, row.stage).values())
        detail = f"{done} statements done"
    elif row.state is Stand.SOFT:
        from greenroom.adapters.database.contracting.store import Store

        hidden = ", ".join(f"{one.going} (now {one.hidden})" for one in Store(ledger).hidden(row.name))
        detail = f"out of reach: {hidden}; `greenroom db restore {row.name}` puts it back" if hidden else ""
    return Part(
        row.name, row.stage, row.state, row.release, row.version, row.by, since or 0.0, detail=detail, progress=progress
    )


def _progress(ledger: Ledger, name: str) -> Progress | None:
    from greenroom.adapters.database.backfill.running import of_rows

    rows = ledger.fillings(name)
    return of_rows(rows) if rows else None
