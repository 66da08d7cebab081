"""What the background job does: judge what is left of a stage, and carry it out; every end of it is an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from greenroom.adapters.database import files
from greenroom.adapters.database.job import Answer, Ask
from greenroom.adapters.database.judgement import judged
from greenroom.adapters.database.ledger import Ledger
from greenroom.adapters.database.program import answered
from greenroom.adapters.database.running import Tell, expand, standing
from greenroom.adapters.database.settings import SqlSettings
from greenroom.adapters.database.target import dialect_of, of
from greenroom.domain.model import Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.schema import Migration, Ruled, Ruling, Script, Stage


def answer(ask: Ask, settings: SqlSettings, tell: Tell) -> Answer:
    return answered(lambda: work(ask, settings, tell), ask.order.epoch)


def work(ask: Ask, settings: SqlSettings, tell: Tell) -> Finding:
    if ask.stage is Stage.CONTRACT and not Path(ask.folder).is_dir():
        migrations: Sequence[Migration] = _kept(ask, settings)
        ask = replace(ask, order=replace(ask.order, pinned=None))
    else:
        migrations = _brought(ask, settings)
    ruled = judged(settings, [ask.stage], ask.order, migrations)
    refused = [one for one in ruled if one.ruling is Ruling.REFUSE]
    if refused:
        return refusal(refused)
    for one in ruled:
        if one.ruling is Ruling.WARN:
            tell(f"warning: {line(one)}")
    match ask.stage:
        case Stage.EXPAND:
            return _expand(ask, settings, migrations, ruled, tell)
        case Stage.BACKFILL:
            return _backfill(ask, settings, migrations, tell)
        case Stage.CONTRACT:
            return _contract(ask, settings, migrations, tell)
        case _:
            assert_never(ask.stage)


def _brought(ask: Ask, settings: SqlSettings) -> Sequence[Migration]:
    """What the release brought along, as it was asked for."""
    found = files.read(Path(ask.folder), ask.shown, dialect_of(settings.url))
    standing.refuse([*found.problems, *standing.unpinned(ask.order, found.migrations)])
    return found.migrations


def _kept(ask: Ask, settings: SqlSettings) -> list[Migration]:
    """A contract may come when its files are gone: the ledger has kept the texts."""
    session = of(settings.url).open("contract")
    try:
        ledger = Ledger(session, ask.order.service)
        rows = ledger.migrations() if ledger.made else []
    finally:
        session.close()
    brought = ask.order.pinned or {}
    names = dict.fromkeys(row.name for row in rows if row.release == ask.order.release or row.name in brought)
    return [Migration(name, {r.stage: Script(r.file, r.text) for r in rows if r.name == name}) for name in names]


def refusal(refused: Sequence[Ruled]) -> Finding:
    more = f" ({len(refused) - 1} more are refused)" if len(refused) > 1 else ""
    return Finding(Verdict.FAIL, f"{line(refused[0])}{more}", evidence=tuple(map(line, refused[1:])))


def line(one: Ruled) -> str:
    """`FILE:LINE: RULE: reason; instead: …`."""
    place = f"{one.file}:{one.line}" if one.line else one.file
    instead = f"; instead: {one.instead}" if one.instead else ""
    return f"{place}: {one.rule}: {one.reason.rstrip('.')}{instead}"


def _expand(
    ask: Ask, settings: SqlSettings, migrations: Sequence[Migration], ruled: Sequence[Ruled], tell: Tell
) -> Finding:
    overrides: dict[tuple[str, Stage], dict[str, str]] = {}
    owner = {script.file: (m.name, stage) for m in migrations for stage, script in m.scripts.items()}
    for one in ruled:
        if one.override and one.file in owner:
            overrides.setdefault(owner[one.file], {})[f"{one.file}:{one.line} {one.rule}"] = one.override
    outcome = expand(of(settings.url), ask.order, migrations, tell, pace=settings.pace, overrides=overrides)
    names = ", ".join(outcome.migrations)
    done = f"{names}: {outcome.statements} statements" if names else "nothing was left to do"
    return Finding(Verdict.PASS, done)


def _backfill(ask: Ask, settings: SqlSettings, migrations: Sequence[Migration], tell: Tell) -> Finding:
    from greenroom.adapters.database.backfill import backfill

    outcome = backfill(of(settings.url), ask.order, migrations, settings.backfill, tell)
    return Finding(Verdict.PASS, "filled and verified") if outcome.done else Finding(Verdict.FAIL, outcome.reason)


def _contract(ask: Ask, settings: SqlSettings, migrations: Sequence[Migration], tell: Tell) -> Finding:
    from greenroom.adapters.database.contracting import contract

    if not any(Stage.CONTRACT in migration.scripts for migration in migrations):
        return Finding(Verdict.PASS, "the live release brings nothing that is to be taken away", memo={"gone": False})
    skip = {"evidence_skip": [*settings.evidence_skip, settings.folder]}  # migrations name what goes, of course
    settings = settings.model_copy(update=skip)
    return contract(of(settings.url), ask.order, migrations, settings, tell, pace=settings.pace)
