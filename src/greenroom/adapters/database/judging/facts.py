"""What a rehearsal saw, judged: a harm is a harm whatever syntax caused it.

`findings` adds to what was read in a statement; where nobody could read it, `vouches` says whether the rehearsal can speak
for it instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from greenroom.adapters.database.judging import differences
from greenroom.adapters.database.judging.context import Context
from greenroom.adapters.database.judging.differences import Finding, Made, named
from greenroom.adapters.database.reading import Statement, change, changes
from greenroom.adapters.database.shadow.facts import Difference, Facts
from greenroom.domain.schema import Ruling, Stage

_CHANGING = re.compile(
    r"\b(?:current_user|session_user|current_role|user|current_database|current_catalog|current_setting|version|now|random"
    r"|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|current_date|current_time|current_timestamp"
    r"|localtime|localtimestamp|inet_\w+|pg_postmaster_start_time|pg_stat\w*|pg_class\.reltuples|reltuples|relpages|n_live_tup"
    r"|pg_\w*_size|pg_is_in_recovery|pg_backend_pid|txid_\w+|pg_current_\w+|pg_roles|pg_authid|pg_user|pg_database"
    r"|pg_settings|pg_tablespace|last_value|nextval|currval|pg_sequence\w*|gen_random_uuid|pg_has_role|has_\w+_privilege)\b",
    re.IGNORECASE,
)
"""What is another thing on the target than on its shadow."""


def facts_of(statement: Statement, context: Context) -> Facts | None:
    return context.facts.get(statement.number)


def vouches(statement: Statement, stage: Stage, context: Context) -> bool:
    """Whether what was seen of a statement that nobody can read is all that it can do.

    It ran to its end, and what it does hangs neither on rows, which a shadow has none of, nor on the place where it runs.
    A backfill is cut into batches, and what nobody can read cannot be cut.
    """
    facts = facts_of(statement, context)
    if facts is None or not facts.seen or stage is Stage.BACKFILL:
        return False
    return not depends(statement, facts)


def depends(statement: Statement, facts: Facts) -> str:
    """What decides about it that is another thing on the target, "" for nothing."""
    read = sorted({*facts.scans} - {*facts.rewrites} - _built(facts))
    if read:
        return f"the rows of {', '.join(read)}"
    found = _CHANGING.search(statement.sql)
    return found.group() if found else ""


def _built(facts: Facts) -> set[str]:
    """Tables that were read since something was built or proved on them."""
    kinds = ("index", "constraint", "column")
    return {difference.table for difference in facts.differences if difference.kind in kinds}


def findings(statement: Statement, stage: Stage, context: Context, *, opaque: bool) -> list[Finding]:
    """The worst come first. `opaque`: nobody could read the statement, so the rehearsal is all there is."""
    facts = facts_of(statement, context)
    if facts is None or facts.skipped:
        return []
    if facts.error is not None:
        return [_failed(statement, facts)]
    made = made_before(statement, context)
    found = [finding for finding in _all(statement, facts, stage, made, context) if opaque or finding.sure]
    return sorted(found, key=lambda finding: list(Ruling).index(finding.ruling), reverse=True)


def made_before(statement: Statement, context: Context) -> Made:
    """By this release: earlier files, and the earlier statements of this one."""
    things: dict[str, Mapping[str, Any]] = {name: {} for name in context.created}
    for number in sorted(number for number in context.facts if number < statement.number):
        for difference in context.facts[number].differences:
            name = named(difference)
            if difference.added:
                things[name] = difference.after or {}
            elif difference.removed:
                things.pop(name, None)
            elif name in things:
                things[name] = difference.after or {}
    return Made(things)


def _all(statement: Statement, facts: Facts, stage: Stage, made: Made, context: Context) -> Iterator[Finding]:
    for table in facts.rewrites:
        if table not in made:
            yield Finding("rewrites-table", {"table": table}, tables=(table,))
    yield from _locks(facts, made)
    if stage is Stage.BACKFILL and facts.differences:
        yield Finding("changes-schema", {"thing": str(_called(facts.differences[0]))})
    for difference in facts.differences:
        yield from differences.findings(difference, stage, made)
    if stage is Stage.CONTRACT:
        yield from _contract(statement, facts, context)
    if stage is Stage.EXPAND:
        for table in (table for table in facts.changes if table not in made):
            yield Finding("changes-rows", {"table": table}, False, tables=(table,))
    yield from _nothing(statement, facts, context)


def _locks(facts: Facts, made: Made) -> Iterator[Finding]:
    """Held while a table is read whole; or for nothing that anybody could see."""
    for lock in facts.locks:
        if not lock.keeps_out or lock.kind not in ("table", "view") or lock.relation in made:
            continue
        names = {"table": lock.relation, "mode": lock.mode, "out": lock.keeps_out}
        if lock.relation in facts.scans and lock.relation not in facts.rewrites:
            yield Finding("scans-under-lock", names, tables=(lock.relation,))
        elif not (facts.differences or facts.rewrites or facts.rebuilt or facts.scans or facts.writes):
            yield Finding("locks-for-nothing", names, False, tables=(lock.relation,))


def _contract(statement: Statement, facts: Facts, context: Context) -> Iterator[Finding]:
    gone = [difference for difference in facts.differences if difference.removed]
    words = _words(statement.sql)
    named_columns = {d.name for d in gone if d.kind == "column" and _bare(d.name) in words}
    tables = {d.name for d in gone if d.kind in ("table", "view") and _bare(d.name) in words}
    for difference in gone:
        if difference.kind in ("table", "column") and named(difference) in context.created:
            yield Finding("drops-its-own", {"thing": _called(difference)}, tables=(difference.table,))
        elif _bare(difference.name) not in words and not _belongs(difference, named_columns, tables):
            yield Finding("takes-more", {"thing": _called(difference)}, tables=(difference.table,))


def _belongs(difference: Difference, columns: set[str], tables: set[str]) -> bool:
    """It goes with what was named: an index of this column alone, a column's own sequence."""
    of = {f"{difference.table}.{column}" for column in (difference.before or {}).get("columns") or []}
    if difference.kind in ("index", "constraint"):
        return bool(columns) and of <= columns
    if difference.kind == "sequence":
        return any(difference.name.startswith(f"{name.replace('.', '_')}_") for name in columns | tables)
    if difference.kind == "type":
        return difference.name in tables
    return difference.kind == "privilege"


def _nothing(statement: Statement, facts: Facts, context: Context) -> Iterator[Finding]:
    """IF NOT EXISTS that does nothing, since something of that name is there: nobody knows whether it is the same."""
    there = {d.name for d in facts.differences if d.added}
    for one in changes(statement, context.dialect):
        match one:
            case change.CreateTable(table=name, if_not_exists=True, temporary=False) if name not in there:
                yield Finding("does-nothing", {"thing": f"table {name}"}, tables=(name,))
            case change.AddColumn(table=table, column=column, if_not_exists=True) if (
                f"{table}.{column.name}" not in there
            ):
                yield Finding("does-nothing", {"thing": f"column {table}.{column.name}"}, tables=(table,))
            case change.CreateIndex(table=table, name=name, if_not_exists=True) if not facts.of("index"):
                yield Finding("does-nothing", {"thing": f"index {name}"}, tables=(table,))
            case change.Create(kind=kind, name=name, if_not_exists=True) if (
                kind not in ("extension", "schema") and not facts.differences
            ):
                yield Finding("does-nothing", {"thing": f"{kind} {name}"})


def _failed(statement: Statement, facts: Facts) -> Finding:
    error = facts.error
    assert error is not None
    if not error.sqlstate and error.message.startswith("it is not run"):
        return Finding("outside", {"message": error.message})
    place = f"{statement.file}:{error.line}:{error.column}"
    hint = f" ({error.hint})" if error.hint else ""
    return Finding("fails", {"message": f"{error.message}{hint}", "place": place})


def _called(difference: Difference) -> str:
    return f"{difference.kind} {difference.name}"


def _bare(name: str) -> str:
    """The last part, without arguments."""
    return name.partition("(")[0].rpartition(".")[2].lower()


def _words(text: str) -> set[str]:
    """Also what stands in strings: a DO block names what it drops there. Comments name nothing."""
    plain = re.sub(r"--[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)
    quoted = re.findall(r'"((?:[^"]|"")+)"', plain)
    return {word.lower() for word in re.findall(r"[\w$]+", plain)} | {
        name.replace('""', '"').lower() for name in quoted
    }
