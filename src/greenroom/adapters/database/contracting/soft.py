"""The soft drop as the ledger has it: hidden, watched, put back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from greenroom.adapters.database.contracting import hiding, lock
from greenroom.adapters.database.contracting.evidence import usual
from greenroom.adapters.database.contracting.gate import Asked
from greenroom.adapters.database.contracting.going import Going
from greenroom.adapters.database.contracting.statements import Counted, look, suddenly
from greenroom.adapters.database.contracting.store import Hidden, Store
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Stage, Stand
from greenroom.errors import Permanent


def plan(asked: Asked, goings: Sequence[Going]) -> None:
    """Raises `Permanent` where one of them cannot be hidden. Nothing is changed."""
    for one in goings:
        hiding.plan(asked.ledger.session, one)


def record(asked: Asked, store: Store, goings: Sequence[Going]) -> None:
    """Where the server can undo it, all of it at once, in the caller's transaction; elsewhere what is meant, first."""
    order, session = asked.order, asked.ledger.session
    whole = asked.ledger.grammar.transactional
    for number, one in enumerate(goings, 1):
        found = hiding.hide(session, one) if whole else _meant(session, one)
        if found is not None:
            hidden, undo = found
            store.hide(Hidden(asked.row.name, number, one, hidden, undo, order.by, order.now))
    counted, share = usual(asked)
    body = {"version": order.version, "usual": share, "last": counted.document()}
    store.watch(asked.row.name, body, order.now)


def _meant(session: Session, one: Going) -> tuple[str, tuple[str, ...]] | None:
    found = hiding.plan(session, one)
    return (found[0], found[2]) if found else None


def finish(session: Session, hidden: Sequence[Hidden]) -> None:
    """Where each step stands for itself: what was meant and is not yet done."""
    for one in hidden:
        if hiding.exists(session, one.going):
            hiding.hide(session, one.going)


def back(session: Session, hidden: Sequence[Hidden]) -> None:
    """All of it, the last first. What is back already stays."""
    for one in reversed(hidden):
        if hiding.exists(session, one.going, hiding.where(one.going, one.hidden)):
            for sql in one.undo:
                session.run(sql)


def put_back(asked: Asked) -> None:
    """All of it, and the contract is as if it had not begun, unless other statements of its file have run. Where each step
    stands for itself, the ledger says first that it is over, and last that nothing is hidden.
    """
    ledger, store, name = asked.ledger, Store(asked.ledger), asked.row.name
    whole = ledger.grammar.transactional
    with ledger.session.transaction(statement_timeout=5.0):
        row = lock.locked(ledger, asked.order)
        now = ledger.migration(name, Stage.CONTRACT)
        assert now is not None
        if now.state is Stand.DONE:
            raise Permanent(f"The contract of {name} has dropped it meanwhile: nothing can be put back.")
        if whole:
            back(ledger.session, asked.hidden)
            store.show(name)
        elif now.state not in (Stand.SOFT, Stand.PENDING):
            raise Permanent(f"The contract of {name} is dropping what it had hidden.")
        if now.state in (Stand.SOFT, Stand.PENDING):
            store.forget(name)
            ledger.put_migration(replace(now, state=Stand.PENDING, begun_at=None))
            if row.state == lock.CONTRACTING:
                lock.put(ledger, asked.order, lock.OPEN)
    if not whole:
        back(ledger.session, asked.hidden)
        store.show(name)


def alarm(asked: Asked, store: Store) -> str:
    """Whether far more transactions fail since it is hidden, in words; "" if not, or if nobody counts them."""
    remembered = store.watched(asked.row.name)
    if remembered is None or "last" not in remembered[0]:
        return ""
    body, at = remembered
    before, now = Counted.of(body["last"]), look(asked.ledger.session, asked.goings).counted
    said = suddenly(before, now, float(body["usual"]))
    if not said and asked.order.now - at >= LOOK_OVER:
        store.watch(asked.row.name, {**body, "last": now.document()}, asked.order.now)
    return said


LOOK_OVER = 30.0
"""Seconds that are looked at together: fewer say little, more would hide a sudden change."""


def shown(hidden: Sequence[Hidden]) -> str:
    return ", ".join(f"{one.going} (now {one.hidden})" for one in hidden)
