"""From the first question to the end: the demands, the evidence, the soft drop, the real one.

Both functions may be called again at any time, after any crash, and go on from what the ledger has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from greenroom.adapters.database.contracting import drop, gate, lock, soft
from greenroom.adapters.database.contracting.evidence import gather, of_code
from greenroom.adapters.database.contracting.excuses import Excuses, Problem, aimed
from greenroom.adapters.database.contracting.gate import Asked
from greenroom.adapters.database.contracting.going import Going
from greenroom.adapters.database.contracting.settings import ContractSettings
from greenroom.adapters.database.contracting.store import Store
from greenroom.adapters.database.ledger import Ledger
from greenroom.adapters.database.reading import split
from greenroom.adapters.database.running import Hindered, Pace, Runner, Tell, alone
from greenroom.adapters.database.running import standing as files
from greenroom.adapters.database.running.lookout import Watch
from greenroom.adapters.database.target import Blocked, Target
from greenroom.domain.model import Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.schema import Dialect, Migration, Order, Stage, Stand
from greenroom.errors import Permanent
from greenroom.units import show_duration

SOON, LATER = 5.0, 60.0


def contract(
    target: Target,
    order: Order,
    migrations: Sequence[Migration],
    settings: ContractSettings,
    tell: Tell,
    *,
    pace: Pace | None = None,
) -> Finding:
    """A step of the contract of these migrations (none named: of all whose contract is open). PASS: what was old is gone.
    WAIT: ask again after `again_after`, the reason says what for. FAIL, UNKNOWN: nothing was taken away by this call, the
    reason and the evidence name all that is wrong, each with its way out.
    """
    if found := _alarmed(target, order, settings, tell):
        return found
    with _at_work(target, order, tell, pace) as (at_work, guard):
        ledger = at_work.ledger
        files.refuse(files.objections(ledger, order, migrations))
        with ledger.session.transaction():
            ledger.fence(order)
            files.store(ledger, order, [_contract_only(one) for one in migrations])
        names = {migration.name for migration in migrations}
        known = ledger.migrations()
        aimed(order.overrides, {row.name for row in known})
        rows = [row for row in known if row.stage is Stage.CONTRACT and row.state is not Stand.DONE]
        left = [row.name for row in rows if not names or row.name in names]
        for name in left:
            found = _one(at_work, guard, _asked(ledger, order, settings, name), tell)
            if found.verdict is not Verdict.PASS:
                return found
        text = "what was old is gone" if left else "nothing is left to be taken away"
        return Finding(Verdict.PASS, text, memo={"gone": bool(left)})


def foresee(target: Target, order: Order, settings: ContractSettings) -> list[str]:
    """What stands against the open contracts already, and time alone will not mend, each with its way out. Only asks.

    The statements that the server counts are looked at later, over a while.
    """
    session = target.open("contract", patience=10.0)
    try:
        ledger = Ledger(session, order.service)
        rows = ledger.migrations() if ledger.made else ()
        aimed(order.overrides, {row.name for row in rows})
        found = []
        for row in rows:
            if row.stage is Stage.CONTRACT and row.state is Stand.PENDING:
                asked = _asked(ledger, order, settings, row.name)
                excuses = Excuses.of(order, asked.statements)
                problems = [*gate.demands(asked), *of_code(asked, excuses.reasons)]
                found += [f"{row.name}: {one}" for one in excuses.left(problems) if one.verdict is not Verdict.WAIT]
        return found
    finally:
        session.close()


def restore(target: Target, order: Order, name: str) -> Finding:
    """Put back what the contract of this migration has hidden: one transaction of milliseconds, whatever else runs."""
    session = target.open("restore", patience=10.0)
    try:
        ledger = Ledger(session, order.service)
        if not ledger.made or ledger.migration(name, Stage.CONTRACT) is None:
            return Finding(Verdict.FAIL, f"no contract of {name} is known here; `greenroom status` lists them")
        return lock.insist(lambda: _restored(ledger, order, name), Pace(tries=12))
    finally:
        session.close()


def _restored(ledger: Ledger, order: Order, name: str) -> Finding:
    ledger.fence(order)
    asked = _asked(ledger, order, ContractSettings(), name)
    begun = asked.row.state in (Stand.RUNNING, Stand.DONE)
    if begun and not (asked.hidden and ledger.grammar.transactional):
        return Finding(Verdict.FAIL, f"the contract of {name} {'is dropping' if asked.hidden else 'has dropped'} it")
    if not asked.hidden:
        return Finding(Verdict.PASS, f"nothing of {name} is hidden")
    soft.put_back(asked)
    return Finding(Verdict.PASS, f"{', '.join(str(one.going) for one in asked.hidden)} is back")


@contextmanager
def _at_work(target: Target, order: Order, tell: Tell, pace: Pace | None) -> Iterator[tuple[Runner, drop.Guard]]:
    """As the runner of expand, but a rollback's announcement in the row is respected."""
    session = target.open(f"contract {order.release}")
    try:
        ledger = Ledger(session, order.service)
        ledger.make()
        lock.insist(lambda: lock.overtake(ledger, order), Pace(tries=12))
        alone.take(ledger, order, tell)
        guard = drop.Guard(order)
        made = Runner(target, ledger, guard, tell, pace)
        try:
            yield made, guard
        finally:
            made.close()
    finally:
        session.close()


def _contract_only(migration: Migration) -> Migration:
    return replace(migration, scripts={s: text for s, text in migration.scripts.items() if s is Stage.CONTRACT})


def _asked(ledger: Ledger, order: Order, settings: ContractSettings, name: str) -> Asked:
    row = ledger.migration(name, Stage.CONTRACT)
    assert row is not None
    statements = split(row.text, ledger.session.dialect, row.file)
    goings = lock.goes(row, ledger.session)
    return Asked(ledger, order, settings, row, statements, goings, Store(ledger).hidden(name))


def _one(at_work: Runner, guard: drop.Guard, asked: Asked, tell: Tell) -> Finding:
    excuses = Excuses.of(asked.order, asked.statements)
    store = Store(asked.ledger)
    if asked.hidden and asked.row.state is Stand.PENDING:  # somebody began to put it back, and was killed
        soft.put_back(asked)
        asked = replace(asked, hidden=())
    if asked.row.state is Stand.SOFT and not asked.ledger.grammar.transactional:
        soft.finish(asked.ledger.session, asked.hidden)
    begun = asked.row.state is Stand.RUNNING
    problems = [] if begun else gate.demands(asked)  # there is no way back: what is half done is to be finished
    if left := excuses.left(problems):
        return _refused(asked, left)
    soften = [] if begun else _soften(asked, excuses)
    waits = asked.settings.soft_drop - (
        asked.order.now - min((one.at for one in asked.hidden), default=asked.order.now)
    )
    if asked.hidden and soften and waits > 0:
        return _watching(asked, waits)
    if not begun:
        evidence = gather(asked, store, excuses.reasons, again=bool(asked.hidden))
        problems = [*problems, *evidence.problems]
        if left := excuses.left(problems):
            return _refused(asked, left)
        if evidence.left > 0:
            text = f"statements are watched for {show_duration(evidence.left)} more before anything is hidden"
            return Finding(Verdict.WAIT, text, min(evidence.left, LATER), evidence=evidence.lines)
    asked = replace(asked, row=replace(asked.row, overrides={**asked.row.overrides, **excuses.used(problems)}))
    try:
        if soften and not asked.hidden:
            return _hide(asked, store, soften, tell, at_work.watch)
        drop.carry_out(at_work, guard, asked)
    except drop.Stopped as stopped:
        return _refused(asked, stopped.problems)
    except Hindered as error:
        return Finding(Verdict.WAIT, f"{error.message} {error.hint}", SOON)
    tell(f"{asked.row.name}: {', '.join(map(str, asked.goings)) or 'its contract'} is done")
    return Finding(Verdict.PASS, f"the contract of {asked.row.name} is done")


def _soften(asked: Asked, excuses: Excuses) -> list[Going]:
    """What is hidden first; nothing where nobody wants it."""
    if asked.settings.soft_drop <= 0 or "soft-drop" in excuses.reasons:
        return []
    return [one for one in asked.goings if one.hideable]


def _hide(asked: Asked, store: Store, goings: Sequence[Going], tell: Tell, watch: Watch) -> Finding:
    try:
        _in_sight(lambda: _hidden(asked, store, goings), watch)
    except Blocked as error:
        who = f"; in the way: {'; '.join(map(str, watch.seen[:3]))}" if watch.seen else ""
        return Finding(Verdict.WAIT, f"nothing is hidden yet: {error.message.rstrip('.')}{who}", SOON)
    except Permanent as error:
        return Finding(Verdict.FAIL, f"{error.message} {error.hint} [soft-drop]")
    if not asked.ledger.grammar.transactional:
        soft.finish(asked.ledger.session, store.hidden(asked.row.name))
    hidden = store.hidden(asked.row.name)
    tell(f"hidden: {soft.shown(hidden)}")
    return _watching(replace(asked, hidden=hidden), asked.settings.soft_drop)


def _in_sight(work: Callable[[], None], watch: Watch) -> None:
    """The first attempt is not watched: most need no second."""
    try:
        work()
    except Blocked:
        with watch.over():
            lock.insist(work, Pace(tries=6))


def _hidden(asked: Asked, store: Store, goings: Sequence[Going]) -> None:
    """The demands once more, with the row locked: a rollback that has announced itself is respected."""
    ledger, order = asked.ledger, asked.order
    with ledger.session.transaction(statement_timeout=5.0):
        drop.check(asked)
        lock.put(ledger, order, lock.CONTRACTING)
        ledger.put_migration(
            replace(asked.row, state=Stand.SOFT, release=order.release, version=order.version, by=order.by,
                    begun_at=order.now)
        )  # fmt: skip
        soft.record(asked, store, goings)


def _watching(asked: Asked, left: float) -> Finding:
    shown = soft.shown(asked.hidden)
    text = (
        f"{shown} is hidden for {show_duration(left)} more, then dropped; `greenroom db restore {asked.row.name}` puts it"
        " back at once"
    )
    young = asked.settings.soft_drop - left < 300
    return Finding(Verdict.WAIT, text, min(left, SOON if young else LATER))


def _alarmed(target: Target, order: Order, settings: ContractSettings, tell: Tell) -> Finding | None:
    """What is hidden is looked after whatever else works in this database, be it the backfill of the next release."""
    if target.dialect is not Dialect.POSTGRES:
        return None
    session = target.open("watch of what is hidden")
    try:
        ledger = Ledger(session, order.service)
        rows = ledger.migrations() if ledger.made else []
        for name in [row.name for row in rows if row.stage is Stage.CONTRACT and row.state is Stand.SOFT]:
            asked = _asked(ledger, order, settings, name)
            if said := soft.alarm(asked, Store(ledger)):
                lock.insist(partial(soft.put_back, asked), Pace(tries=12))
                text = f"{', '.join(str(one.going) for one in asked.hidden)} was put back: since it was hidden, {said}"
                tell(text)
                return Finding(Verdict.FAIL, f"{text}; the server's log names the statements [soft-drop]")
        return None
    finally:
        session.close()


def _refused(asked: Asked, problems: Sequence[Problem]) -> Finding:
    """The worst decides; all are named, one a line, the worst first."""
    order = (Verdict.FAIL, Verdict.UNKNOWN, Verdict.WAIT)
    problems = sorted(problems, key=lambda one: order.index(one.verdict))
    worst = problems[0].verdict
    text = f"{asked.row.name}: " + "\n".join(map(str, problems))
    return Finding(worst, text, LATER if worst is Verdict.WAIT else 0.0, evidence=tuple(map(str, problems)))
