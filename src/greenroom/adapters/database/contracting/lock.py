"""Where rollback and contract meet: one row of the ledger, locked by whoever comes first. Never both."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from greenroom.adapters.database.contracting.excuses import Problem
from greenroom.adapters.database.contracting.going import Going, going
from greenroom.adapters.database.contracting.store import Store
from greenroom.adapters.database.judging.naming import named
from greenroom.adapters.database.ledger import Held, Ledger, Recorded, outdated
from greenroom.adapters.database.reading import changes, split
from greenroom.adapters.database.running.pace import Pace
from greenroom.adapters.database.schemas import of_session
from greenroom.adapters.database.target import Blocked, Session, Target
from greenroom.domain.model import Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.schema import Order, Stage, Stand

OPEN, GOING_BACK, CONTRACTING, CONTRACTED = "open", "going_back", "contracting", "contracted"
LOCK_TIMEOUT = 0.5
"""Seconds. Whoever has the row has it for milliseconds, or waits for a table no longer than this."""

_T = TypeVar("_T")


def hold(target: Target, order: Order, going_back: bool) -> Finding:
    """A rollback of `order.release` announces itself, or says that it is over (`going_back=False`: so does a release that
    begins). PASS: no contract takes anything from now on; FAIL: one has, and the reason says what and how to go on.
    """
    session = target.open("hold", patience=10.0)
    try:
        ledger = Ledger(session, order.service)
        if not ledger.made:
            return Finding(Verdict.PASS, "no migration ever ran here")
        return insist(lambda: _held(ledger, order, going_back), Pace(LOCK_TIMEOUT, tries=8))
    finally:
        session.close()


def _held(ledger: Ledger, order: Order, going_back: bool) -> Finding:
    with ledger.session.transaction(lock_timeout=LOCK_TIMEOUT, statement_timeout=3.0):
        row = locked(ledger, order)
        reason = _too_late(ledger, order) if going_back else ""
        if reason:
            return Finding(Verdict.FAIL, reason)
        ours = row.release == order.release
        if going_back:
            state = GOING_BACK
        elif ours and row.state in (CONTRACTING, CONTRACTED):
            state = row.state
        else:
            state = OPEN
        put(ledger, order, state)
    return Finding(Verdict.PASS, "nothing is taken away meanwhile" if going_back else "")


def locked(ledger: Ledger, order: Order) -> Held:
    """The row as it is, ours until the transaction ends. `Permanent` if somebody acted under a newer lease."""
    if ledger.held() is None:
        ledger.claim(order)
    row = ledger.held(lock=True)
    assert row is not None
    if row.epoch > order.epoch > 0:  # 0: a person asks, no engine
        raise outdated(order, row)
    return row


def overtake(ledger: Ledger, order: Order) -> None:
    """Whoever acts under an older lease is refused their next write, and nothing else changes. `Permanent` if that is us."""
    held = ledger.held()
    if held is not None and held.epoch == order.epoch:
        return
    with ledger.session.transaction(lock_timeout=LOCK_TIMEOUT, statement_timeout=3.0):
        ledger.overtake(order)


def put(ledger: Ledger, order: Order, state: str) -> None:
    before = ledger.held()
    epoch = max(order.epoch, before.epoch if before else 0)
    ledger.put_held(Held(order.release, order.version, epoch, state, order.by, order.now))


def going_back(row: Held) -> Problem:
    hint = "what is old stays; see `greenroom status`, and try again when it is over"
    return Problem("going-back", f"release {row.release} is going back (announced by {row.by})", Verdict.WAIT, hint)


def _too_late(ledger: Ledger, order: Order) -> str:
    """Why the version before cannot come back, with the way out; "" if it can."""
    hidden = Store(ledger).hidden()
    for row in ledger.migrations():
        ours = row.stage is Stage.CONTRACT and row.release == order.release
        if not ours or row.state is Stand.PENDING and not any(one.name == row.name for one in hidden):
            continue
        by = row.by or "the engine"
        if row.state in (Stand.SOFT, Stand.PENDING):
            what = ", ".join(str(one.going) for one in hidden if one.name == row.name) or "something"
            return (
                f"the contract of {row.name} has hidden {what} (by {by}); `greenroom db restore {row.name}` puts it back"
                " at once, and then `greenroom rollback` works again"
            )
        what = ", ".join(map(str, goes(row, ledger.session))) or "what it takes away"
        done = "has dropped" if row.state is Stand.DONE else "is dropping"
        when = time.strftime(" at %Y-%m-%d %H:%M:%SZ", time.gmtime(row.done_at)) if row.done_at else ""
        return (
            f"the contract of {row.name} {done} {what}{when} (by {by}), which the version before needs; go forward: deploy"
            " a new version, with what is to be different, as a new release"
        )
    return ""


def goes(row: Recorded, session: Session) -> tuple[Going, ...]:
    """What this contract takes away."""
    statements, path = split(row.text, session.dialect, row.file), of_session(session)
    return going(named(one, path) for statement in statements for one in changes(statement, session.dialect))


def insist(work: Callable[[], _T], pace: Pace, *, pause: Callable[[float], None] = time.sleep) -> _T:
    """Again while another session is in the way, a few times, with pauses that are never the same for two who meet."""
    for attempt in range(1, pace.tries):
        try:
            return work()
        except Blocked:
            pause(min(0.5, pace.pause(attempt, random.random) / 4))
    return work()
