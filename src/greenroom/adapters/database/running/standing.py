"""What the ledger says to the files of a release, before anything runs."""

from __future__ import annotations

import time
from collections.abc import Sequence

from greenroom.adapters.database.ledger import Ledger, Recorded
from greenroom.adapters.database.reading import Statement, split
from greenroom.adapters.database.running import outside
from greenroom.adapters.database.running.runner import checksum
from greenroom.domain.schema import Dialect, Migration, Order, Script, Stage, Stand
from greenroom.errors import Permanent

_BEGUN = (Stand.RUNNING, Stand.DONE, Stand.SOFT)


def objections(ledger: Ledger, order: Order, migrations: Sequence[Migration]) -> list[str]:
    """Why these may not run here, each with the way out: all that is wrong, not the first of it."""
    recorded = {(row.name, row.stage): row for row in ledger.migrations()}
    found = unpinned(order, migrations)
    for migration in migrations:
        for stage, script in sorted(migration.scripts.items()):
            row = recorded.get((migration.name, stage))
            if row is not None and (text := _changed(ledger, row, script)):
                found.append(text)
            if stage is Stage.EXPAND:
                found += _impossible(script, ledger.session.dialect)
    return [*found, *_out_of_order(list(recorded.values()), migrations)]


def _impossible(script: Script, dialect: Dialect) -> list[str]:
    """Statements that neither a transaction can hold nor anybody look up after a crash: told before the first one runs."""
    found = []
    for statement in split(script.text, dialect, script.file):
        try:
            outside.of(statement, dialect)
        except Permanent as error:
            found.append(f"{error.message} {error.hint}".strip())
    return found


def unpinned(order: Order, migrations: Sequence[Migration]) -> list[str]:
    """What is not as it was when the release was asked for, each with the way out."""
    if order.pinned is None:
        return []
    now = {migration.name: migration.checksum for migration in migrations}
    was = {name: "was not there" if name not in order.pinned else "had another text" for name in now}
    wrong = {name: was[name] for name in now if order.pinned.get(name) != now[name]}
    wrong |= dict.fromkeys(order.pinned.keys() - now.keys(), "was there, and is gone,")
    way = "deploy again: a new release takes the files as they are then"
    return [f"{name} {how} when release {order.release} was asked for; {way}." for name, how in sorted(wrong.items())]


def _changed(ledger: Ledger, row: Recorded, script: Script) -> str:
    """Statements that ran must be as they were; those that did not may be mended, until all have run."""
    if row.state not in _BEGUN or row.checksum == script.checksum:
        return ""
    if row.stage is Stage.BACKFILL:
        begun = any(filling.rows for filling in ledger.fillings(row.name)) or row.state is Stand.DONE
        return _differs(row, script, "") if begun else ""
    new = split(script.text, ledger.session.dialect, script.file)
    ran = ledger.statements(row.name, row.stage)
    for number, done in sorted(ran.items()):
        if number > len(new):
            return _differs(row, script, f"statement {number} is gone")
        if done.state in _BEGUN and checksum(new[number - 1]) != done.checksum:
            return _differs(row, script, f"line {new[number - 1].line}")
    if row.state is not Stand.RUNNING and len(new) != len(ran):
        return _differs(row, script, f"line {new[len(ran)].line} is new")
    return ""


def _differs(row: Recorded, script: Script, where: str) -> str:
    day = time.strftime("%Y-%m-%d %H:%M", time.gmtime(row.begun_at)) if row.begun_at else "earlier"
    what = f"{script.file}{f' ({where})' if where else ''}"
    return (
        f"{what} is not what ran here as {row.name}, with release {row.release} (version {row.version}, {row.by}, {day}):"
        " put the old text back, and write the change as a new migration with a name of its own."
    )


def _out_of_order(rows: Sequence[Recorded], migrations: Sequence[Migration]) -> list[str]:
    begun = {row.name: row for row in rows if row.state in _BEGUN and row.stage is not Stage.CONTRACT}
    last = max(begun, default="")
    return [
        f"{migration.name} comes before {last}, which ran here with release {begun[last].release}"
        f" (version {begun[last].version}): give it a name that comes after."
        for migration in migrations
        if migration.ordered
        and migration.name < last
        and migration.name not in begun
        and set(migration.scripts) - {Stage.CONTRACT}
    ]


def left(ledger: Ledger, migrations: Sequence[Migration]) -> list[Statement]:
    """What expand has not done yet."""
    found = []
    for migration in migrations:
        script, row = migration.scripts.get(Stage.EXPAND), ledger.migration(migration.name, Stage.EXPAND)
        if script is not None and (row is None or row.state is not Stand.DONE):
            ran = ledger.statements(migration.name, Stage.EXPAND)
            every = split(script.text, ledger.session.dialect, script.file)
            found += [one for one in every if one.number not in ran or ran[one.number].state is not Stand.DONE]
    return found


def unexpanded(ledger: Ledger, migrations: Sequence[Migration]) -> list[str]:
    """Why contract may not run yet: what it ends was never begun, or is not finished."""
    recorded = {(row.name, row.stage): row for row in ledger.migrations()}
    names = {migration.name for migration in migrations} | {name for name, _ in recorded}
    found = []
    for name in sorted(names):
        here = next((m.scripts for m in migrations if m.name == name), {})
        contract = recorded.get((name, Stage.CONTRACT))
        if contract is None and Stage.CONTRACT not in here or contract is not None and contract.state is Stand.DONE:
            continue
        for stage in (Stage.EXPAND, Stage.BACKFILL):
            row = recorded.get((name, stage))
            if stage in here or row is not None:
                found += [] if row is not None and row.state is Stand.DONE else [_missing(name, stage, row)]
    return found


def _missing(name: str, stage: Stage, row: Recorded | None) -> str:
    stand = "never ran here" if row is None or row.state is Stand.PENDING else "is not finished"
    return f"the contract of {name} cannot run: its {stage} {stand}; deploy the release that brings it first."


def store(ledger: Ledger, order: Order, migrations: Sequence[Migration]) -> None:
    """The texts of all stages, so that contract needs no file later. What has ended stays as it is."""
    recorded = {(row.name, row.stage): row for row in ledger.migrations()}
    for migration in migrations:
        for stage, script in migration.scripts.items():
            row = recorded.get((migration.name, stage))
            if row is not None and (row.state in (Stand.DONE, Stand.SOFT) or row.checksum == script.checksum):
                continue
            kept = row or Recorded(
                migration.name, stage, "", "", "", Stand.PENDING, order.release, order.version, order.by
            )
            ledger.put_migration(
                Recorded(
                    migration.name,
                    stage,
                    script.checksum,
                    script.file,
                    script.text,
                    kept.state,
                    order.release if kept.state is Stand.PENDING else kept.release,
                    order.version if kept.state is Stand.PENDING else kept.version,
                    order.by if kept.state is Stand.PENDING else kept.by,
                    kept.overrides,
                    kept.begun_at,
                    kept.done_at,
                )
            )


def statements(row: Recorded, ledger: Ledger) -> list[Statement]:
    """As the ledger keeps them."""
    return split(row.text, ledger.session.dialect, row.file)


def refuse(problems: Sequence[str]) -> None:
    if problems:
        first, *others = problems
        more = f" (and {len(others)} more)" if others else ""
        raise Refusal(f"{first}{more}", tuple(problems))


class Refusal(Permanent):
    """Nothing was done. `problems`: all of them, each with its way out."""

    def __init__(self, message: str, problems: tuple[str, ...]) -> None:
        super().__init__(message)
        self.problems = problems
