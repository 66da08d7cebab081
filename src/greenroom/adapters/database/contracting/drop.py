"""The real drop: all that goes in one transaction with what kept it up to date, where the server can undo it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from greenroom.adapters.database.contracting import gate, lock, soft
from greenroom.adapters.database.contracting.excuses import Excuses, Problem
from greenroom.adapters.database.contracting.gate import Asked
from greenroom.adapters.database.contracting.going import going
from greenroom.adapters.database.contracting.store import Store
from greenroom.adapters.database.reading import Statement, changes
from greenroom.adapters.database.reading.change import (
    AlterType,
    Change,
    CreateIndex,
    Delete,
    Insert,
    SetNotNull,
    Update,
    Validate,
)
from greenroom.adapters.database.running import Runner, outside
from greenroom.domain.model import Verdict
from greenroom.domain.schema import Dialect, Order, Stage, Stand
from greenroom.errors import Permanent

_LONG = (Validate, SetNotNull, CreateIndex, AlterType, Insert, Update, Delete)
"""What may read a whole table, and must not while others are kept out of one."""


class Stopped(Exception):
    """Found in the transaction itself, which is undone."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Group:
    """Statements of one transaction. `takes`: it takes things away."""

    statements: tuple[Statement, ...]
    takes: bool


def groups(statements: Sequence[Statement], dialect: Dialect, *, together: bool) -> list[Group]:
    """Everything from the first drop to the last is one; each other statement is one of its own. Raises `Permanent`."""
    done = [changes(one, dialect) for one in statements]
    alone = [outside.of(one, dialect) is not None for one in statements]
    takes = [bool(going(one)) and not by_itself for one, by_itself in zip(done, alone, strict=True)]
    if not together or not any(takes):
        return [Group((one,), bool(going(change))) for one, change in zip(statements, done, strict=True)]
    first, last = takes.index(True), len(takes) - takes[::-1].index(True)
    for i in range(first, last):
        if alone[i] or not takes[i] and _long(done[i]):
            raise Permanent(
                f"{statements[i].place()}: it stands between what is dropped in one transaction, and would keep users"
                " waiting in it.",
                hint="Put it before the first drop of the file, or behind the last.",
            )
    middle = Group(tuple(statements[first:last]), True)
    before = [Group((one,), False) for one in statements[:first]]
    return [*before, middle, *(Group((one,), False) for one in statements[last:])]


def _long(done: Sequence[Change]) -> bool:
    return any(isinstance(change, _LONG) for change in done)


class Guard:
    """What the runner calls first in each of its transactions: the row is locked, what may have changed is asked again, what
    is hidden is put back for the statements that drop it, and the last one closes the contract.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._asked: Asked | None = None
        self._group = Group((), False)
        self._last = False

    def now(self, asked: Asked, group: Group, last: bool) -> None:
        self._asked, self._group, self._last = asked, group, last

    def __call__(self) -> None:
        asked = self._asked
        assert asked is not None
        check(asked)
        ledger, store = asked.ledger, Store(asked.ledger)
        whole = ledger.grammar.transactional
        ledger.begin(asked.row, self._order)
        if self._group.takes and whole:
            soft.back(ledger.session, asked.hidden)
            store.show(asked.row.name)
        if self._last and whole:
            close(asked, store)
        else:
            lock.put(ledger, self._order, lock.CONTRACTING)


def check(asked: Asked) -> None:
    """With the row locked, in the transaction that hides or drops: nothing has changed since the demands were looked at.
    Raises `Stopped`.
    """
    ledger, order = asked.ledger, asked.order
    row = lock.locked(ledger, order)
    if row.state == lock.GOING_BACK:
        raise Stopped([lock.going_back(row)])
    if (len(row.release), row.release) > (len(order.release), order.release):
        text = f"release {row.release} has begun since this was asked for {order.release}"
        raise Stopped([Problem("not-live", text, Verdict.WAIT, "it goes on when that is over")])
    now = ledger.migration(asked.row.name, Stage.CONTRACT)
    if now is not None and now.state is Stand.RUNNING:
        return  # there is no way back any more: what is half done is to be finished
    if problems := Excuses.of(order, asked.statements).left(gate.standing(asked)):
        raise Stopped(problems)
    if now is None or now.state is not asked.row.state:
        text = f"somebody has put back what {asked.row.name} had hidden"
        raise Stopped([Problem("soft-drop", text, hint="ask again: it begins anew")])


def close(asked: Asked, store: Store) -> None:
    asked.ledger.end(asked.row.name, Stage.CONTRACT)
    store.show(asked.row.name)
    store.forget(asked.row.name)
    lock.put(asked.ledger, asked.order, lock.CONTRACTED)


def carry_out(at_work: Runner, guard: Guard, asked: Asked) -> None:
    """From wherever it is to its end. Raises `Stopped`, or what the runner raises."""
    ledger, name = asked.ledger, asked.row.name
    whole = ledger.grammar.transactional
    all_of_it = groups(asked.statements, ledger.session.dialect, together=whole)
    store = Store(ledger)
    if not whole and asked.hidden:
        _begin(asked)
        soft.back(ledger.session, asked.hidden)
        store.show(name)
    for i, group in enumerate(all_of_it):
        last = i == len(all_of_it) - 1 and outside.of(group.statements[0], ledger.session.dialect) is None
        guard.now(asked, group, last)
        at_work.carry_out(name, Stage.CONTRACT, [group.statements])
    row = ledger.migration(name, Stage.CONTRACT)
    if row is not None and row.state is not Stand.DONE:
        with ledger.session.transaction(lock_timeout=lock.LOCK_TIMEOUT):
            lock.locked(ledger, asked.order)
            close(asked, store)


def _begin(asked: Asked) -> None:
    """Where each step stands for itself, the ledger says first what is meant."""
    with asked.ledger.session.transaction(lock_timeout=lock.LOCK_TIMEOUT):
        check(asked)
        asked.ledger.begin(asked.row, asked.order)
        lock.put(asked.ledger, asked.order, lock.CONTRACTING)
