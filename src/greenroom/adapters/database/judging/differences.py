"""What is wrong with a difference of the catalogue, as a rehearsal saw it, for the version that runs meanwhile.

A finding is `sure` if it stands whatever anybody read in the statement; others count only where nobody could read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from greenroom.adapters.database.shadow.facts import Difference
from greenroom.domain.schema import Ruling, Stage


@dataclass(frozen=True, slots=True)
class Finding:
    """`rule`: of `judging.facts.RULES`; `names` fill its templates."""

    rule: str
    names: Mapping[str, str]
    sure: bool = True
    ruling: Ruling = Ruling.REFUSE
    tables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """What this release has made so far, which nobody uses yet: `users`, `users.x`, `index i` … with its facts if known."""

    things: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.things

    def has(self, difference: Difference) -> bool:
        return difference.table in self or named(difference) in self

    def columns(self, difference: Difference) -> list[Mapping[str, Any]] | None:
        """Of an index or constraint, if all its columns were made by this release."""
        facts = difference.after or difference.before or {}
        names = [f"{difference.table}.{column}" for column in facts.get("columns") or []]
        return [self.things[name] for name in names] if names and all(name in self for name in names) else None


def named(difference: Difference) -> str:
    """As `Context.created` names it."""
    if difference.kind in ("table", "column"):
        return difference.name
    name = difference.name.partition("(")[0] if difference.kind == "function" else difference.name
    return f"{difference.kind} {name}"


_LOSES = ("table", "view", "column", "sequence", "function", "type", "schema", "extension", "rule", "trigger", "other")
_RIGHTS = {"policy", "privilege"}
_WIDER = ({"character varying", "text"}, {"numeric"}, {"bit varying"}, {"character varying", "citext"})


def findings(difference: Difference, stage: Stage, made: Made) -> Iterator[Finding]:
    """Of what was there before the release; removals in a contract are its business."""
    if made.has(difference) and not (difference.kind == "column" and difference.table not in made):
        return
    if difference.removed:
        yield from _removed(difference, stage)
    elif difference.added:
        yield from _added(difference, stage, made)
    else:
        yield from _changed(difference, stage, made)


def _removed(difference: Difference, stage: Stage) -> Iterator[Finding]:
    before, thing = difference.before or {}, f"{difference.kind} {difference.name}"
    tables = (difference.table,) if difference.table else ()
    if difference.kind in _RIGHTS or difference.kind == "publication":
        yield Finding("takes-rights", {"thing": thing}, difference.kind != "privilege", tables=tables)
    elif stage is Stage.CONTRACT:
        return
    elif difference.kind in ("index", "constraint"):
        unique = before.get("unique") or before.get("type") in ("p", "u", "x")
        yield Finding("takes-away", {"thing": thing}, bool(unique), tables=tables)
    elif difference.kind in _LOSES:
        yield Finding("takes-away", {"thing": thing}, tables=tables)


def _added(difference: Difference, stage: Stage, made: Made) -> Iterator[Finding]:
    thing, after = f"{difference.kind} {difference.name}", difference.after or {}
    tables = (difference.table,) if difference.table else ()
    if difference.kind == "column" and _must_be_given(after):
        yield Finding("asks-for-more", {"thing": thing, "what": "has to be given in every INSERT"}, tables=tables)
    elif difference.kind == "constraint" or difference.kind == "index" and after.get("unique"):
        yield from _constrained(difference, stage, made)
    elif difference.kind == "trigger" and not difference.name.rpartition(".")[2].startswith("zzzz_greenroom_"):
        names = {"thing": thing, "how": "it is new, and runs with every write of it"}
        yield Finding("alters", names, False, Ruling.WARN, tables)
    elif difference.kind in ("rule", "event trigger"):
        yield Finding(
            "alters", {"thing": thing, "how": "it is new, and what others say does something else"}, tables=tables
        )
    elif difference.kind == "policy":
        yield Finding("takes-rights", {"thing": thing}, False, Ruling.WARN, tables)


def _constrained(difference: Difference, stage: Stage, made: Made) -> Iterator[Finding]:
    """Columns that only this release knows are empty for the running version: most constraints hold of them."""
    facts, columns = difference.after or {}, made.columns(difference)
    definition = str(facts.get("definition", ""))
    names = {"thing": f"{difference.kind} {difference.name}", "what": f"is demanded of every row: {definition}"}
    given = columns is not None and all(column.get("default") is not None for column in columns)
    if columns is not None and not given and "NULLS NOT DISTINCT" not in definition:
        if facts.get("type") == "c" and "IS NOT NULL" in definition:
            yield Finding("asks-for-more", names, tables=(difference.table,))
        return
    sure = columns is not None and facts.get("type") != "c" and facts.get("type") != "f"
    ruling = Ruling.WARN if stage is Stage.CONTRACT else Ruling.REFUSE
    yield Finding("asks-for-more", names, sure, ruling, (difference.table,))


def _must_be_given(column: Mapping[str, Any]) -> bool:
    left = column.get("default") is None and not column.get("identity") and not column.get("generated")
    return bool(column.get("not null")) and left


def _changed(difference: Difference, stage: Stage, made: Made) -> Iterator[Finding]:
    thing, tables = f"{difference.kind} {difference.name}", (difference.table,) if difference.table else ()
    match difference.kind:
        case "column":
            yield from _column(difference, stage, made, thing)
        case "table":
            yield from _table(difference, thing)
        case "trigger" | "rule" | "event trigger":
            off = difference.changed("enabled")
            how = "it is turned on or off" if off else "it does something else"
            yield Finding("alters", {"thing": thing, "how": how}, off and stage is not Stage.CONTRACT, tables=tables)
        case "privilege":
            if lost := _lost(difference):
                yield Finding("takes-rights", {"thing": f"{thing}: {lost}"}, False, tables=tables)
        case "policy" | "publication":
            yield Finding("takes-rights", {"thing": thing}, difference.kind == "publication", tables=tables)
        case "type":
            yield from _type(difference, thing)
        case "index":
            if difference.changed("valid") and not (difference.after or {}).get("valid"):
                yield Finding("alters", {"thing": thing, "how": "it is not valid any more"}, tables=tables)
        case "constraint":
            if difference.changed("definition"):
                names = {"thing": thing, "how": "it demands something else"}
                yield Finding("alters", names, False, tables=tables)
        case _:
            yield Finding("alters", {"thing": thing, "how": "it does something else"}, False, Ruling.WARN, tables)


def _column(difference: Difference, stage: Stage, made: Made, thing: str) -> Iterator[Finding]:
    before, after, tables = difference.before or {}, difference.after or {}, (difference.table,)
    ours = named(difference) in made
    asked = {"thing": thing, "what": "has to be given in every INSERT"}
    if _must_be_given(after) and not _must_be_given(before):
        sure = stage is Stage.EXPAND
        yield Finding("asks-for-more", asked, sure, Ruling.REFUSE if sure else Ruling.WARN, tables)
    elif difference.changed("not null") and after.get("not null") and not ours:
        asked["what"] = "may not be NULL any more"
        yield Finding("asks-for-more", asked, stage is Stage.EXPAND, tables=tables)
    if ours:
        return
    if difference.changed("type") and not _wider(str(before["type"]), str(after["type"])):
        yield Finding(
            "alters", {"thing": thing, "how": f"{before['type']} becomes {after['type']}"}, False, tables=tables
        )
    for fact in ("identity", "generated", "collation"):
        if difference.changed(fact):
            how = f"its {fact} was {before[fact] or 'none'} and is {after[fact] or 'none'}"
            yield Finding("alters", {"thing": thing, "how": how}, tables=tables)
    if difference.changed("default") and before["default"] is not None:
        how = f"its default was {before['default']} and is {after['default'] or 'none'}"
        yield Finding("alters", {"thing": thing, "how": how}, False, Ruling.WARN, tables)


def _wider(before: str, after: str) -> bool:
    """Called where the server had to rewrite nothing: what was narrower would have needed that."""
    bases = {before.partition("(")[0], after.partition("(")[0]}
    return len(bases) == 1 or any(bases <= family for family in _WIDER)


def _table(difference: Difference, thing: str) -> Iterator[Finding]:
    for fact, sure in (("persistence", True), ("owner", True), ("row security", False), ("forced", False)):
        if difference.changed(fact):
            rule = "alters" if fact == "persistence" else "takes-rights"
            yield Finding(
                rule, {"thing": f"{thing}: {fact}", "how": f"{fact} is another"}, sure, tables=(difference.name,)
            )
    if difference.changed("partition of") or difference.changed("bound"):
        names = {"thing": thing, "how": "it belongs to another table"}
        yield Finding("alters", names, False, Ruling.WARN, (difference.name,))


def _type(difference: Difference, thing: str) -> Iterator[Finding]:
    before, after = difference.before or {}, difference.after or {}
    gone = [label for label in before.get("labels") or [] if label not in (after.get("labels") or [])]
    if gone:
        yield Finding("takes-away", {"thing": f"{', '.join(map(repr, gone))} of {thing}"})
    elif not before.get("labels"):
        yield Finding("alters", {"thing": thing, "how": "it allows something else"}, bool(after.get("not null")))


def _lost(difference: Difference) -> str:
    kept = (difference.after or {}).get("may") or []
    return ", ".join(right for right in (difference.before or {}).get("may") or [] if right not in kept)
