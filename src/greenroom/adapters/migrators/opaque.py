"""A step that the tool carries out itself: in the same ledger, behind the same gate, one at a time like all others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

from greenroom.adapters.database.contracting import drop, gate, lock
from greenroom.adapters.database.contracting.evidence import gather
from greenroom.adapters.database.contracting.excuses import Excuses, Problem
from greenroom.adapters.database.contracting.gate import Asked
from greenroom.adapters.database.contracting.store import Store
from greenroom.adapters.database.ledger import Ledger, Recorded
from greenroom.adapters.database.reading import split
from greenroom.adapters.database.running import Tell, alone, standing
from greenroom.adapters.database.settings import DatabaseSettings
from greenroom.adapters.database.target import Session, Target
from greenroom.domain.model import Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.schema import Migration, Order, Stage, Stand
from greenroom.errors import PortError

_ORDER = (Verdict.FAIL, Verdict.UNKNOWN, Verdict.WAIT)


def carry_out(
    target: Target,
    order: Order,
    migration: Migration,
    stage: Stage,
    settings: DatabaseSettings,
    overrides: Mapping[str, str],
    tell: Tell,
    apply: Callable[[], None],
) -> Finding:
    """`apply` raises where it was not done; the ledger then says that it is under way, and the next call goes on."""
    session = target.open(f"{stage} {order.release}")
    try:
        ledger = Ledger(session, order.service)
        ledger.make()
        with session.transaction(lock_timeout=2.0):
            ledger.claim(order)
        alone.take(ledger, order, tell)
        with session.transaction():
            standing.store(ledger, order, [migration])
        row = ledger.migration(migration.name, stage)
        assert row is not None
        row = replace(row, overrides={**row.overrides, **overrides})
        if stage is Stage.CONTRACT:
            return _behind_the_gate(ledger, order, settings, row, apply)
        ledger.begin(row, order)
        with speaking(session):
            apply()
        ledger.end(migration.name, stage)
        return Finding(Verdict.PASS)
    finally:
        session.close()


def _behind_the_gate(
    ledger: Ledger, order: Order, settings: DatabaseSettings, row: Recorded, apply: Callable[[], None]
) -> Finding:
    """Nothing can be hidden first: what goes, the tool takes away."""
    statements = split(row.text, ledger.session.dialect, row.file)
    asked = Asked(ledger, order, settings, row, statements, lock.goes(row, ledger.session))
    if row.state is Stand.RUNNING:  # there is no way back: what is half done is to be finished
        return _taken(asked, apply)
    excuses = Excuses.of(order, statements)
    evidence = gather(asked, Store(ledger), excuses.reasons)
    problems = excuses.left([*gate.demands(asked), *evidence.problems])
    if problems:
        return _refused(row.name, problems)
    if evidence.left > 0:
        text = f"statements are watched for {evidence.left:.0f} s more before anything goes"
        return Finding(Verdict.WAIT, text, min(evidence.left, 60.0), evidence=evidence.lines)
    return _taken(asked, apply)


def _taken(asked: Asked, apply: Callable[[], None]) -> Finding:
    ledger, order, row = asked.ledger, asked.order, asked.row
    try:
        with ledger.session.transaction(lock_timeout=lock.LOCK_TIMEOUT):
            drop.check(asked)
            ledger.begin(row, order)
            lock.put(ledger, order, lock.CONTRACTING)
    except drop.Stopped as stopped:
        return _refused(row.name, stopped.problems)
    with speaking(ledger.session):
        apply()
    with ledger.session.transaction(lock_timeout=lock.LOCK_TIMEOUT):
        ledger.held(lock=True)  # whoever leads by now: what is gone is gone
        drop.close(asked, Store(ledger))
    return Finding(Verdict.PASS, f"the contract of {row.name} is done")


@contextmanager
def speaking(session: Session, every: float = 10.0) -> Iterator[None]:
    """A word now and then, while the tool works: a runner that says nothing for long is taken for dead, and its lock with
    it. Nobody else uses the session meanwhile.
    """
    over = threading.Event()

    def speak() -> None:
        with suppress(PortError):
            while not over.wait(every):
                session.rows("SELECT 1")

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _refused(name: str, problems: list[Problem] | tuple[Problem, ...]) -> Finding:
    worst = min((one.verdict for one in problems), key=_ORDER.index)
    said = tuple(map(str, problems))
    return Finding(worst, f"{name}: {'; '.join(said)}", 60.0 if worst is Verdict.WAIT else 0.0, evidence=said)
