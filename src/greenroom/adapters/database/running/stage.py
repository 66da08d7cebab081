"""One stage of all migrations of a release, from whatever has been done of it to its end."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from greenroom.adapters.database.ledger import Ledger
from greenroom.adapters.database.running import alone, rights, standing
from greenroom.adapters.database.running.pace import Pace
from greenroom.adapters.database.running.runner import Hindered, Runner
from greenroom.adapters.database.running.tell import Tell
from greenroom.adapters.database.target import Full, Lost, Target
from greenroom.domain.schema import Migration, Order, Stage, Stand
from greenroom.errors import Temporary

LONG = 10.0
"""Seconds after which a transaction is named before anything waits for it."""
_RECONNECTS, _RECONNECT_WAIT = 20, 8.0
"""Two minutes, in all: a server that recovers from a crash takes its time."""

_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class Outcome:
    """`statements`: done by this run; `migrations`: that had something left to do."""

    statements: int = 0
    migrations: tuple[str, ...] = ()


def expand(
    target: Target,
    order: Order,
    migrations: Sequence[Migration],
    tell: Tell,
    *,
    pace: Pace | None = None,
    overrides: Mapping[tuple[str, Stage], Mapping[str, str]] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Every expand that is not done yet, in the order of names; the texts of the other stages are kept for later.

    Raises `standing.Refusal` before anything is touched, `Broken` at a statement, `Hindered` behind other sessions,
    `Temporary` or `Lost` where the server stays away. Whatever is raised, the next call goes on from there.
    """
    done = Outcome()

    def work() -> Outcome:
        nonlocal done
        with runner(target, order, tell, pace) as at_work:
            ledger = at_work.ledger
            left = standing.left(ledger, migrations)
            standing.refuse([*standing.objections(ledger, order, migrations), *rights.missing(at_work.session, left)])
            with at_work.session.transaction():
                ledger.fence(order)
                standing.store(ledger, order, migrations)
            at_work.watch.warn(LONG)
            for migration in migrations:
                if Stage.EXPAND in migration.scripts:
                    done = _add(done, migration.name, _one(at_work, order, migration.name, overrides or {}))
        return done

    return persevere(work, tell, sleep=sleep)


def _one(
    at_work: Runner, order: Order, name: str, overrides: Mapping[tuple[str, Stage], Mapping[str, str]]
) -> int | None:
    """None: it was done before."""
    ledger, stage = at_work.ledger, Stage.EXPAND
    row = ledger.migration(name, stage)
    if row is None or row.state is Stand.DONE:
        return None
    with at_work.session.transaction():
        ledger.fence(order)
        ledger.begin(replace(row, overrides=overrides.get((name, stage), row.overrides)), order)
    count = at_work.carry_out(name, stage, [[one] for one in standing.statements(row, ledger)])
    with at_work.session.transaction():
        ledger.fence(order)
        ledger.end(name, stage)
    return count


def _add(done: Outcome, name: str, count: int | None) -> Outcome:
    return done if count is None else Outcome(done.statements + count, (*done.migrations, name))


@contextmanager
def runner(
    target: Target,
    order: Order,
    tell: Tell,
    pace: Pace | None = None,
    guard: Callable[[Ledger], object] | None = None,
) -> Iterator[Runner]:
    """The only one of this service, acting for this order: with a ledger, the lease's epoch claimed, the lock taken.

    `guard` is called in each transaction, after the fence.
    """
    session = target.open(f"runner {order.release}")
    try:
        ledger = Ledger(session, order.service)
        ledger.make()
        with session.transaction(lock_timeout=2.0):
            ledger.claim(order)
        alone.take(ledger, order, tell)

        def guarded() -> None:
            ledger.fence(order)
            if guard is not None:
                guard(ledger)

        made = Runner(target, ledger, guarded, tell, pace)
        try:
            yield made
        finally:
            made.close()
    finally:
        session.close()


def persevere(
    work: Callable[[], _Made],
    tell: Tell,
    *,
    sleep: Callable[[float], None] = time.sleep,
    chance: Callable[[], float] = random.random,
) -> _Made:
    """Again, while the server is away for a while: whatever `work` has done it finds done."""
    for attempt in range(1, _RECONNECTS + 1):
        try:
            return work()
        except (Hindered, Full):
            raise
        except (Temporary, Lost) as error:
            if attempt == _RECONNECTS:
                raise
            tell(f"{error.message.rstrip('.')}; tries again")
            sleep(min(_RECONNECT_WAIT, 0.2 * 2**attempt) * (0.5 + chance() / 2))
    raise AssertionError
