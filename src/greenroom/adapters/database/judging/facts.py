"""What was read in a statement and what a rehearsal saw of it, together: a harm is a harm whatever syntax caused it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from greenroom.adapters.database.judging import differences
from greenroom.adapters.database.judging.context import Context
from greenroom.adapters.database.judging.differences import Finding, Made, bare, found, named
from greenroom.adapters.database.judging.going import a_part, goes_along, renamed
from greenroom.adapters.database.judging.rule import Hit
from greenroom.adapters.database.judging.rules import RULES
from greenroom.adapters.database.reading import Statement, change
from greenroom.adapters.database.shadow.facts import Difference, Facts
from greenroom.domain.schema import Ruling, Stage

UNREAD = frozenset({"not-understood", "unknown-function"})
"""Of what nobody could read; the rehearsal may answer for it."""

_SAID: Mapping[str, frozenset[str]] = {
    rule: frozenset(others.split())
    for rule, others in {
        "rewrite-table": "truncate volatile-default change-type maintenance domain-column partition table-action"
        " add-generated add-identity column-action",
        "scan-under-lock": "set-not-null not-null-unproved primary-key-reads validate-at-once maintenance partition"
        " check-locks unique-locks foreign-key-locks exclude-locks index-locks change-type change-type-definition"
        " add-not-null-column",
        "takes-more": "cascade drop-object contract-drops-new",
        "widen-type": "change-type",
        "column-action": "change-type",
        "table-action": "rewrite-table",
        "set-not-null": "unique-breaks-writes",
        "drop-constraint": "rename-constraint",
        "drop-index": "rename-constraint rename-index drop-constraint",
        "drop-type": "change-type-definition",
        "drop-function": "alter-object",
        "drop-sequence": "change-sequence",
        "server-wide": "session-setting",
        "server-refuses": "server-wide transaction-control unknown-object already-there",
    }.items()
}
"""By rule of ours: those that say the same, having read it."""

_PRESENCE = {"unknown-object", "already-there"}
_REWRITING = {"volatile-default", "add-generated", "add-identity"}

_ELSEWHERE = re.compile(
    r"\b(?:current_user|session_user|current_role|current_database|current_catalog|current_setting|version|now|random"
    r"|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|current_date|current_time|current_timestamp"
    r"|localtime|localtimestamp|inet_\w+|pg_postmaster_start_time|pg_stat\w*|reltuples|relpages|pg_\w*_size"
    r"|pg_is_in_recovery|pg_backend_pid|txid_\w+|pg_current_\w+|pg_roles|pg_authid|pg_user|pg_database|pg_settings"
    r"|pg_tablespace|last_value|nextval|currval|setval|pg_sequence\w*|gen_random_uuid|pg_has_role|has_\w+_privilege)\b",
    re.IGNORECASE,
)
"""What is another thing on the target than on its shadow."""

_LOCK = re.compile(r"\bLOCK\b", re.IGNORECASE)


def together(
    hits: Sequence[Hit], statement: Statement, stage: Stage, context: Context, changed: Sequence[change.Change]
) -> list[Hit]:
    """`hits`: what was read in `changed`. Where nobody could, and the rehearsal can answer for it, that counts instead."""
    facts = context.facts.get(statement.number)
    if facts is None or facts.skipped:
        return list(hits)
    unread = any(hit.rule in UNREAD for hit in hits)
    kept = [hit for hit in hits if hit.rule not in UNREAD and not _disproved(hit, facts)]
    if unread and facts.error is None:
        kept += _unanswered(hits, statement, facts, stage)
    elif unread:
        kept = list(hits)
    if facts.error is None and any(hit.rule == "backfill-ddl" for hit in kept):
        return kept
    seen = [finding.hit for finding in findings(statement, stage, context, changed) if unread or finding.sure]
    return kept + [hit for hit in seen if not _said(hit, kept)]


def _disproved(hit: Hit, facts: Facts) -> bool:
    """The server has found what was missed, or has not done what was feared."""
    if not facts.seen or _ruling(hit) is not Ruling.REFUSE:
        return False
    idle = not {hit.names.get("table")} & {*facts.rewrites, *facts.scans}
    return hit.rule in _PRESENCE or (hit.rule in _REWRITING and idle)


def locks_of(statement: Statement, context: Context) -> tuple[str, ...]:
    """Of tables that were there, as seen."""
    facts = context.facts.get(statement.number)
    taken = facts.locks if facts is not None else ()
    return tuple(str(lock) for lock in taken if lock.kind in ("table", "view") and lock.mode != "ACCESS SHARE")


def _unanswered(hits: Sequence[Hit], statement: Statement, facts: Facts, stage: Stage) -> list[Hit]:
    """What nobody can answer for: a backfill that cannot be cut into batches, or what hangs on rows or on the place."""
    unread = [hit for hit in hits if hit.rule in UNREAD]
    if stage is Stage.BACKFILL:
        return unread
    if by := depends(statement, facts):
        what = next((hit.names.get("what") or f"{hit.names.get('name')} is called" for hit in unread), "")
        return [replace(found("depends-on-place", what=what, name=by).hit, tables=facts.scans)]
    return []


def _said(hit: Hit, others: Sequence[Hit]) -> bool:
    """By somebody who read it, at least as strictly."""
    rules, order = {hit.rule} | _SAID.get(hit.rule, frozenset()), list(Ruling)
    least = order.index(_ruling(hit))
    return any(other.rule in rules and order.index(_ruling(other)) >= least for other in others)


def _ruling(hit: Hit) -> Ruling:
    return hit.ruling or RULES[hit.rule].ruling


def depends(statement: Statement, facts: Facts) -> str:
    """What decides about it that is another thing on the target, "" for nothing."""
    kinds = ("index", "constraint", "column", "view", "table")
    built = {difference.table for difference in facts.differences if difference.kind in kinds}
    read = sorted({*facts.scans} - {*facts.rewrites} - built)
    if read:
        return f"what the rows of {', '.join(read)} are"
    named_there = _ELSEWHERE.search(statement.sql)
    return f"`{named_there.group()}`" if named_there else ""


def findings(statement: Statement, stage: Stage, context: Context, changed: Sequence[change.Change]) -> list[Finding]:
    """All that is wrong with what was seen. Nothing, if it was not run."""
    facts = context.facts.get(statement.number)
    if facts is None or facts.skipped:
        return []
    if facts.error is not None:
        return [_failed(statement, facts)]
    seen = _all(statement, facts, stage, made_before(statement, context), context)
    return [*seen, *_nothing(changed, facts)]


def made_before(statement: Statement, context: Context) -> Made:
    """By this release: earlier files, and the earlier statements of this one."""
    things: dict[str, Mapping[str, Any]] = {name: {} for name in context.created}
    for number in sorted(number for number in context.facts if number < statement.number):
        facts = context.facts[number]
        users = {
            _beside(one, renamed(one, facts)) for one in facts.differences if one.removed and named(one) not in things
        }
        for difference in facts.differences:
            name = named(difference)
            if difference.added and difference.name not in users:
                things[name] = difference.after or {}
            elif difference.removed:
                things.pop(name, None)
            elif name in things:
                things[name] = difference.after or {}
    return Made(things)


def made_by(facts: Iterable[Facts]) -> frozenset[str]:
    """What these statements have made, as `Context.created` names it; also what nobody could read."""
    return frozenset(named(one) for fact in facts for one in fact.differences if one.added)


def _all(statement: Statement, facts: Facts, stage: Stage, made: Made, context: Context) -> Iterator[Finding]:
    for table in facts.rewrites:
        if table not in made:
            yield found("rewrite-table", what="The rehearsal saw it", table=table)
    yield from _locks(statement, facts, made)
    if stage is Stage.BACKFILL and facts.differences:
        first = facts.differences[0]
        yield found("backfill-ddl", what=f"The rehearsal saw that the {first.kind} {first.name} is changed")
    yield from _differences(statement, facts, stage, made, context)
    for name in facts.restarted:
        if f"sequence {name}" not in made and name not in facts.rewrites:
            yield found("change-sequence", False, name=name, what="to begin anew")
    for name in facts.settings:
        yield found("session-setting", what=f"Setting {name}")
    if stage is Stage.EXPAND:
        for table in (table for table in facts.changes if table not in made):
            yield found("rows-in-expand", False, what="What the rehearsal saw", table=table)
        for table in (table for table in facts.writes if table not in made and table not in facts.changes):
            yield found("seed-rows", False, table=table)


def _locks(statement: Statement, facts: Facts, made: Made) -> Iterator[Finding]:
    for lock in facts.locks:
        if not lock.keeps_out or lock.kind not in ("table", "view") or lock.relation in made:
            continue
        if lock.relation in facts.scans and lock.relation not in facts.rewrites:
            yield found("scan-under-lock", table=lock.relation, mode=lock.mode, out=lock.keeps_out)
        elif _LOCK.search(statement.sql):
            yield found("lock-table", False, what=str(lock), table=lock.relation)


def _differences(statement: Statement, facts: Facts, stage: Stage, made: Made, context: Context) -> Iterator[Finding]:
    now = made.with_columns(facts.differences)
    come = {one.name for one in facts.differences if one.added and one.kind in ("table", "view", "column")}
    come &= {_beside(one, to) for one in facts.differences if one.removed and (to := renamed(one, facts))}
    along = goes_along(statement, facts) if stage is Stage.CONTRACT else ()
    for difference in facts.differences:
        name, to = bare(difference), renamed(difference, facts) if difference.removed else ""
        if difference.removed and a_part(difference, facts) or difference.added and difference.name in come:
            continue
        if to and not made.has(difference):
            rule = "rename-column" if difference.kind == "column" else "rename-table"
            yield found(rule, table=difference.table or name, column=name, to=to)
        elif (
            stage is Stage.CONTRACT and difference.kind in ("table", "column") and named(difference) in context.created
        ):
            if difference.removed:
                yield found("contract-drops-new", name=difference.name, table=difference.table)
        elif difference in along:
            yield found("takes-more", thing=f"{difference.kind} {difference.name}", table=difference.table)
        else:
            yield from differences.findings(difference, stage, now)


def _beside(difference: Difference, name: str) -> str:
    return f"{difference.table}.{name}" if difference.kind == "column" else name


def _nothing(changed: Sequence[change.Change], facts: Facts) -> Iterator[Finding]:
    """IF NOT EXISTS that does nothing, since something of that name is there: nobody knows whether it is the same."""
    there = {difference.name for difference in facts.differences if difference.added}
    for one in changed:
        match one:
            case change.CreateTable(table=name, if_not_exists=True, temporary=False) if name not in there:
                yield found("already-there", name=name, table=name)
            case change.AddColumn(table=table, column=column, if_not_exists=True) if (
                f"{table}.{column.name}" not in there
            ):
                yield found("already-there", name=f"{table}.{column.name}", table=table)
            case change.CreateIndex(table=table, name=name, if_not_exists=True) if not facts.of("index"):
                yield found("already-there", name=name, table=table)
            case change.Create(kind=kind, name=name, if_not_exists=True) if not facts.differences:
                if kind not in ("extension", "schema"):
                    yield found("already-there", name=name)


def _failed(statement: Statement, facts: Facts) -> Finding:
    error = facts.error
    assert error is not None
    if not error.sqlstate:
        return found("server-wide", what=error.message)
    hint, place = f" ({error.hint})" if error.hint else "", f"{statement.file}:{error.line}:{error.column}"
    return found("server-refuses", what=f"PostgreSQL refuses it, {place}: {error.message}{hint}")
