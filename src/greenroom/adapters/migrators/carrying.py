"""The background work for people's tools: what is pending is judged, carried out step by step, and seen to be done."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

from greenroom.adapters.database import program
from greenroom.adapters.database.contracting import contract
from greenroom.adapters.database.job import Answer, Ask
from greenroom.adapters.database.judgement import judged
from greenroom.adapters.database.ledger import Ledger, Recorded
from greenroom.adapters.database.program import answered, failed
from greenroom.adapters.database.reading import Statement, changes, split
from greenroom.adapters.database.reading.change import Validate
from greenroom.adapters.database.running import Pace, Tell, expand
from greenroom.adapters.database.settings import SqlSettings
from greenroom.adapters.database.target import dialect_of, of
from greenroom.adapters.database.work import line, refusal
from greenroom.adapters.migrators.commands import Commands, Failed
from greenroom.adapters.migrators.opaque import carry_out
from greenroom.adapters.migrators.tool import Step, Tool, ToolMigrator, ToolSettings
from greenroom.domain.model import Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.schema import Migration, Order, Ruled, Ruling, Script, Stage, Stand

_HINDERED = re.compile(r"lock ?timeout|LockNotAvailable|55P03|deadlock detected|40P01", re.IGNORECASE)
"""What tools print where a lock was not to be had in time: nothing was done."""


@dataclass(frozen=True, slots=True)
class Judged:
    steps: dict[Stage, list[Step]]
    ruled: list[Ruled]
    rows: Sequence[Recorded]
    """Of the ledger."""


def judged_steps(
    tool: Tool, stages: Sequence[Stage], order: Order, settings: ToolSettings, *, planning: bool = False
) -> Judged:
    """Every statement that the tool shows, and a line for whatever it cannot show."""
    steps = tool.pending(stages)
    migrations = [_migration(step, stage) for stage, several in steps.items() for step in several]
    rows = _recorded(settings, order)
    made = _made(rows, settings, order)
    ruled = judged(cast(SqlSettings, settings), stages, order, migrations, planning=planning, made=made)
    for several in steps.values():
        for step in several:
            ruled += _of_step(step, settings, order)
    return Judged(steps, ruled, rows)


def _recorded(settings: ToolSettings, order: Order) -> list[Recorded]:
    session = of(settings.url).open("judge")
    try:
        ledger = Ledger(session, order.service)
        return ledger.migrations() if ledger.made else []
    finally:
        session.close()


def _made(rows: Sequence[Recorded], settings: ToolSettings, order: Order) -> list[Statement]:
    """What this release's expand has run: each step of a tool is a migration of its own, so the ledger tells."""
    ours = [row for row in rows if row.stage is Stage.EXPAND and row.release == order.release]
    return [one for row in ours for one in split(row.text, dialect_of(settings.url), row.file)]


def _migration(step: Step, stage: Stage) -> Migration:
    return Migration(step.name, {stage: Script(step.file, step.sql)}, ordered=False)


def _of_step(step: Step, settings: ToolSettings, order: Order) -> list[Ruled]:
    found = []
    if step.opaque:
        why = settings.allow.get(step.name) or order.overrides.get(step.name, "")
        reason = f"{step.name} cannot be judged: {step.opaque}"
        instead = f"write it as SQL; or say why it may run: migrations.allow: {{{step.name}: REASON}}"
        ruling = Ruling.WARN if why else Ruling.REFUSE
        found.append(Ruled(step.file, 1, step.opaque, ruling, "opaque", reason, instead, override=why))
    if step.own and step.whole:
        statements = split(step.sql, dialect_of(settings.url), step.file)
        for one in statements if len(statements) > 1 else []:
            if any(isinstance(change, Validate) for change in changes(one, dialect_of(settings.url))):
                reason = (
                    "the tool does it in one transaction with others, whose locks it holds while it reads the table"
                )
                instead = "a migration of its own for the validation"
                found.append(Ruled(one.file, one.line, one.sql, Ruling.REFUSE, "one-transaction", reason, instead))
    return found


def work(tool: Tool, ask: Ask, settings: ToolSettings, tell: Tell) -> Finding:
    """Asked again after any death: what is done is pending no more, and what the ledger has is not done twice."""
    found = judged_steps(tool, [ask.stage], ask.order, settings)
    refused = [one for one in found.ruled if one.ruling is Ruling.REFUSE]
    if refused:
        return refusal(refused)
    for one in found.ruled:
        if one.ruling is Ruling.WARN:
            tell(f"warning: {line(one)}{f' (allowed: {one.override})' if one.override else ''}")
    steps = found.steps[ask.stage]
    if wrong := _taken_back(steps, ask, found.rows) or _too_early(steps, ask.stage):
        return Finding(Verdict.FAIL, wrong)
    finding = _all(tool, steps, ask, settings, found.ruled, tell)
    if finding.verdict is not Verdict.PASS:
        return finding
    left = tool.pending([ask.stage])[ask.stage]
    if left:
        names = ", ".join(step.name for step in left)
        return Finding(Verdict.FAIL, f"the tool says that {names} is still to be done; see its output")
    names = ", ".join(step.name for step in steps)
    let = tuple(f"{line(one)} (allowed: {one.override})" for one in found.ruled if one.override)
    said = f"{names}: done" if names else "nothing was left to do"
    gone = {"gone": bool(names)} if ask.stage is Stage.CONTRACT else None
    return Finding(Verdict.PASS, said, memo=gone, evidence=let)


def _taken_back(steps: Sequence[Step], ask: Ask, rows: Sequence[Recorded]) -> str:
    """Done for us once, and to be done for the tool: somebody took it back beside us, so nobody knows what is there."""
    names = {step.name for step in steps}
    for row in rows:
        done = row.state is Stand.DONE and row.stage is ask.stage and row.release != ask.order.release
        if done and row.name in names:
            return (
                f"{row.name} ran here with release {row.release} ({row.by}), and the tool says that it is still to be"
                " done: somebody has taken it back; do it again by the tool itself, and deploy then"
            )
    return ""


def _all(
    tool: Tool, steps: Sequence[Step], ask: Ask, settings: ToolSettings, ruled: Sequence[Ruled], tell: Tell
) -> Finding:
    """The tool hears of what is done before it has to go on itself, and at the end, whatever the end is."""
    unsaid: list[Step] = []

    def say() -> None:
        if unsaid:
            tool.mark(unsaid, ask.stage)
            unsaid.clear()

    try:
        for step in steps:
            tell(f"{step.name} begins")
            itself = bool(step.opaque or step.own)
            if itself:
                say()
            finding = _step(tool, step, ask, settings, ruled, tell)
            if finding.verdict is not Verdict.PASS:
                return finding
            if not itself:
                unsaid.append(step)
    finally:
        say()
    return Finding(Verdict.PASS)


def _too_early(steps: Sequence[Step], stage: Stage) -> str:
    done: set[str] = set()
    for step in steps:
        if missing := sorted(step.needs - done):
            return (
                f"{step.name} ({stage}) comes after {', '.join(missing)}, which is still to be done in another stage;"
                " finish that first (`greenroom db contract` for an old contract), or change what depends on what"
            )
        done.add(step.name)
    return ""


def _step(tool: Tool, step: Step, ask: Ask, settings: ToolSettings, ruled: Sequence[Ruled], tell: Tell) -> Finding:
    target, order, migration = of(settings.url), ask.order, _migration(step, ask.stage)
    kept = {
        f"{one.file}:{one.line} {one.rule}": one.override for one in ruled if one.override and one.file == step.file
    }
    if step.opaque or step.own:
        done = carry_out(
            target,
            order,
            migration,
            ask.stage,
            settings,
            kept,
            tell,
            lambda: _insist(tool, step, ask.stage, settings, tell),
        )
        return done
    match ask.stage:
        case Stage.EXPAND:
            expand(target, order, [migration], tell, pace=settings.pace, overrides={(step.name, ask.stage): kept})
        case Stage.BACKFILL:
            from greenroom.adapters.database.backfill import backfill

            outcome = backfill(target, order, [migration], settings.backfill, tell)
            if not outcome.done:
                return Finding(Verdict.FAIL, outcome.reason)
        case Stage.CONTRACT:
            finding = contract(target, order, [migration], settings, tell)
            if finding.verdict is not Verdict.PASS:
                return finding
    return Finding(Verdict.PASS)


def _insist(
    tool: Tool,
    step: Step,
    stage: Stage,
    settings: ToolSettings,
    tell: Tell,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Again where it did not get its locks: the tool has undone it, or was not let begin."""
    pace: Pace = settings.pace
    for attempt in range(1, pace.tries + 1):
        try:
            return tool.apply(step, stage)
        except Failed as error:
            if attempt == pace.tries or not any(_HINDERED.search(text) for text in (error.message, *error.output)):
                raise
            pause = pace.pause(attempt, random.random)
            tell(f"{step.name} did not get its locks; attempt {attempt + 1} in {pause:.1f} s")
            sleep(pause)
    return None


def answer(migrator: type[ToolMigrator], ask: Ask, settings: ToolSettings, tell: Tell) -> Answer:
    def done() -> Finding:
        try:
            return work(migrator.tool_of(settings, commands), ask, settings, tell)
        except Failed as error:
            return replace(failed(error), evidence=error.output)

    commands = Commands.of(settings, ask.order, Path(ask.folder), tell)
    return answered(done, ask.order.epoch)


def main(migrator: type[ToolMigrator]) -> int:
    return program.main(migrator.Settings, partial(answer, migrator))
