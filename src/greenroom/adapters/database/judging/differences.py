"""What is wrong with a difference of the catalogue, as a rehearsal saw it, for the version that runs meanwhile.

A finding is `sure` if it stands whatever anybody read in the statement; others count only where nobody could read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from greenroom.adapters.database.judging.rule import Hit
from greenroom.adapters.database.shadow.facts import Difference
from greenroom.domain.schema import Ruling, Stage


@dataclass(frozen=True, slots=True)
class Finding:
    hit: Hit
    sure: bool = True


def found(rule: str, sure: bool = True, ruling: Ruling | None = None, **names: object) -> Finding:
    """`names` fill the rule's templates."""
    texts = {name: str(value) for name, value in names.items()}
    return Finding(Hit(rule, texts, ruling=ruling, tables=(texts["table"],) if texts.get("table") else ()), sure)


@dataclass(frozen=True, slots=True)
class Made:
    """What this release has made so far, which nobody uses yet: `users`, `users.x`, `index i` … with its facts if known."""

    things: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.things

    def has(self, difference: Difference) -> bool:
        return difference.table in self or named(difference) in self

    def with_columns(self, differences: Iterable[Difference]) -> Made:
        """As a constraint sees it that came in the same statement."""
        new = {named(d): d.after or {} for d in differences if d.added and d.kind == "column"}
        return Made({**self.things, **new})

    def columns(self, difference: Difference) -> list[Mapping[str, Any]] | None:
        """Of an index or constraint, if all its columns were made by this release."""
        facts = difference.after or difference.before or {}
        names = [f"{difference.table}.{column}" for column in facts.get("columns") or []]
        return [self.things[name] for name in names] if names and all(name in self for name in names) else None


def named(difference: Difference) -> str:
    """As `Context.created` names it."""
    if difference.kind in ("table", "column"):
        return difference.name
    name = difference.name.partition("(")[0] if difference.kind == "function" else bare(difference)
    return f"{difference.kind} {name}"


def bare(difference: Difference) -> str:
    """Without the table that it belongs to."""
    return difference.name.removeprefix(f"{difference.table}.") if difference.table else difference.name


_RIGHTS = {"privilege": "revoke", "policy": "row-security", "publication": "alter-object"}
_KINDS = ("table", "column", "view", "sequence", "function", "type", "trigger", "index", "constraint")
_DROPS = {kind: f"drop-{kind}" for kind in _KINDS}
_WIDER = ({"character varying", "text"}, {"numeric"}, {"bit varying"}, {"character varying", "citext"})


def findings(difference: Difference, stage: Stage, made: Made) -> Iterator[Finding]:
    """Of what was there before the release; removals in a contract are its business."""
    of_users = difference.kind == "column" and difference.table not in made and not difference.removed
    if made.has(difference) and not of_users:
        return
    if difference.removed:
        yield from removed(difference, stage)
    elif difference.added:
        yield from _added(difference, stage, made)
    else:
        yield from _changed(difference, stage, made)


def removed(difference: Difference, stage: Stage) -> Iterator[Finding]:
    before, name, table = difference.before or {}, bare(difference), difference.table
    if difference.kind in _RIGHTS:
        what = f"{', '.join(before['may'])} FROM {name}" if "may" in before else f"{difference.kind} {name} is dropped"
        yield found(_RIGHTS[difference.kind], difference.kind != "privilege", table=table, name=name, what=what)
    elif stage is Stage.CONTRACT:
        return
    elif difference.kind in ("index", "constraint"):
        unique = before.get("unique") or before.get("type") in ("p", "u", "x")
        yield found(_DROPS[difference.kind], bool(unique), name=name, table=table)
    elif difference.kind in _DROPS:
        yield found(_DROPS[difference.kind], name=name, table=table, column=name)
    else:
        yield found("drop-object", what=f"DROP {difference.kind.upper()}", name=name, table=table)


def _added(difference: Difference, stage: Stage, made: Made) -> Iterator[Finding]:
    after, name, table = difference.after or {}, bare(difference), difference.table
    match difference.kind:
        case "column" if _must_be_given(after):
            yield found("add-not-null-column", table=table, column=name, type=after["type"])
        case "constraint":
            yield from _constrained(difference, stage, made)
        case "index" if after.get("unique"):
            yield from _constrained(difference, stage, made)
        case "trigger" if not name.startswith("zzzz_greenroom_"):
            yield found("create-trigger", False, Ruling.WARN, name=name, table=table)
        case "rule":
            yield found("create-rule", name=name, table=table)
        case "event trigger":
            yield found("alter-object", what=f"the event trigger {name} is new", name="what others say")
        case "policy":
            yield found("row-security", False, Ruling.WARN, what=f"the policy {name}", table=table)


def _constrained(difference: Difference, stage: Stage, made: Made) -> Iterator[Finding]:
    """Columns that only this release knows are empty for the running version: most constraints hold of them."""
    facts, columns = difference.after or {}, made.columns(difference)
    definition, kind = str(facts.get("definition", "")), facts.get("type", "u")
    empty = columns is not None and any(column.get("default") is None for column in columns)
    ruling = Ruling.WARN if stage is Stage.CONTRACT else None
    names = {"table": difference.table, "columns": ", ".join(facts.get("columns") or []), "name": bare(difference)}
    if empty and "NULLS NOT DISTINCT" not in definition and not (kind == "c" and "IS NOT NULL" in definition):
        return
    match kind:
        case "c" if stage is Stage.CONTRACT and "IS NOT NULL" in definition and definition.endswith("NOT VALID"):
            return  # the careful way to SET NOT NULL, for the version that is live
        case "c":
            condition = definition.removeprefix("CHECK ").removesuffix(" NOT VALID")
            yield found("check-breaks-writes", empty, ruling, condition=condition, **names)
        case "f":
            other = definition.partition("REFERENCES ")[2].partition("(")[0]
            yield found("foreign-key-breaks-writes", False, ruling, **{**names, "name": other})
        case _:
            yield found("unique-breaks-writes", columns is not None, ruling, **names)


def _must_be_given(column: Mapping[str, Any]) -> bool:
    left = column.get("default") is None and not column.get("identity") and not column.get("generated")
    return bool(column.get("not null")) and left


def _changed(difference: Difference, stage: Stage, made: Made) -> Iterator[Finding]:
    name, table, after = bare(difference), difference.table, difference.after or {}
    match difference.kind:
        case "column":
            yield from _column(difference, stage, made)
        case "table":
            yield from _table(difference)
        case "trigger" | "rule" if difference.changed("enabled"):
            yield found("switch-trigger", stage is not Stage.CONTRACT, what=f"{name} is on or off now", table=table)
        case "trigger":
            yield found("create-trigger", False, name=name, table=table)
        case "privilege":
            if lost := _lost(difference):
                yield found("revoke", False, what=f"{lost} FROM {name}", table=table)
        case "policy":
            yield found("row-security", False, what=f"another policy {name}", table=table)
        case "type":
            yield from _type(difference)
        case "index" if not difference.changed("valid") or after.get("valid"):
            return
        case "constraint" if _demands(difference.before) == _demands(difference.after):
            return
        case "function" | "view":
            yield found(f"replace-{difference.kind}", False, Ruling.WARN, name=name)
        case "sequence":
            ruling = None if difference.changed("oid") else Ruling.WARN
            yield found("change-sequence", False, ruling, name=name, what="another definition")
        case kind:
            sure = kind in ("publication", "event trigger", "rule", "index")
            yield found("alter-object", sure, what=f"the {kind} {name} changes", name=name, table=table)


def _column(difference: Difference, stage: Stage, made: Made) -> Iterator[Finding]:
    before, after = difference.before or {}, difference.after or {}
    names = {"table": difference.table, "column": bare(difference), "type": after["type"]}
    ours, expand = named(difference) in made, stage is Stage.EXPAND
    if difference.changed("number") and not ours:
        yield found("drop-column", **names)
    if _must_be_given(after) and not _must_be_given(before):
        rule = "drop-default" if before["not null"] else "set-not-null"
        yield found(rule, expand, None if expand else Ruling.WARN, **names)
    elif difference.changed("not null") and after["not null"] and not ours:
        yield found("set-not-null", expand, None if expand else Ruling.WARN, **names)
    if ours:
        return
    if difference.changed("type"):
        wider = _wider(str(before["type"]), str(after["type"]))
        yield found("widen-type" if wider else "change-type", wider, **names)
    if difference.changed("not null") and before["not null"]:
        yield found("drop-not-null", False, **names)
    for fact in ("identity", "generated", "collation"):
        if difference.changed(fact) and (fact, before[fact], after[fact]) != ("identity", None, "d"):
            what = f"the {fact} of {names['column']} was {before[fact] or 'none'} and is {after[fact] or 'none'}:"
            yield found("column-action", what=what, **names)
    if difference.changed("default") and before["default"] is not None and not _must_be_given(after):
        rule = "drop-default" if after["default"] is None else "change-default"
        yield found(rule, False, Ruling.WARN, default=after["default"], **names)


def _wider(before: str, after: str) -> bool:
    """Called where the server had to rewrite nothing: what was narrower would have needed that."""
    bases = {before.partition("(")[0], after.partition("(")[0]}
    return len(bases) == 1 or any(bases <= family for family in _WIDER)


def _table(difference: Difference) -> Iterator[Finding]:
    table = difference.name
    if difference.changed("oid"):
        yield found("drop-table", table=table)
    if difference.changed("persistence"):
        yield found("table-action", what="another persistence", table=table)
    if difference.changed("owner"):
        yield found("change-owner", name=table, table=table)
    if difference.changed("row security") or difference.changed("forced"):
        yield found("row-security", False, what="row level security", table=table)
    if difference.changed("partition of") or difference.changed("bound"):
        yield found("partition", False, Ruling.WARN, what="another parent", table=table)


def _type(difference: Difference) -> Iterator[Finding]:
    before, after = difference.before or {}, difference.after or {}
    labels = after.get("labels") or []
    gone = [label for label in before.get("labels") or [] if label not in labels]
    if gone:
        what = f"without {', '.join(map(repr, gone))} it"
        yield found("change-type-definition", name=difference.name, what=what)
    elif difference.changed("labels"):
        yield found("enum-value", False, name=difference.name)
    else:
        yield found("change-type-definition", bool(after.get("not null")), name=difference.name, what="this")


def _demands(constraint: Mapping[str, Any] | None) -> str:
    return str((constraint or {}).get("definition", "")).removesuffix(" NOT VALID")


def _lost(difference: Difference) -> str:
    kept = (difference.after or {}).get("may") or []
    return ", ".join(right for right in (difference.before or {}).get("may") or [] if right not in kept)
