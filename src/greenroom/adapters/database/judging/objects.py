"""PostgreSQL, expand: functions, triggers, views, types, sequences, policies and what else is no table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from greenroom.adapters.database.judging.rule import Hit
from greenroom.adapters.database.judging.triggers import harmless, runs_with_writes
from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.change import Change
from greenroom.adapters.database.reading.expressions import tokens_of
from greenroom.domain.schema import Ruling

ROUTINES = ("function", "procedure", "aggregate", "routine")
DROPS: Mapping[str, str] = {
    **dict.fromkeys(ROUTINES, "drop-function"),
    "trigger": "drop-trigger",
    "view": "drop-view",
    "materialized view": "drop-view",
    "type": "drop-type",
    "domain": "drop-type",
    "sequence": "drop-sequence",
    "policy": "row-security",
}


def hits(change: Change, world: World) -> Iterator[Hit]:
    match change:
        case c.Create(kind=kind) if kind in ROUTINES:
            there = not world.complete or change.name in world.bodies
            if change.replace and there and (not _fresh(change, world) or runs_with_writes(change.name, world)):
                yield Hit("replace-function", {"name": change.name})
        case c.Create(kind="view" | "materialized view" as kind) if change.replace:
            there = not world.complete or f"{kind} {change.name}" in world.others
            if there and f"{kind} {change.name}" not in world.fresh and not _extends(change, world):
                yield Hit("replace-view", {"name": change.name}, tables=(change.name,))
        case c.Create(kind="trigger" | "policy" | "rule", table=table) if world.is_fresh(table):
            return
        case c.Create(kind="trigger", table=table, name=name):
            if change.replace or not harmless(change, world):
                yield Hit("create-trigger", {"name": name, "table": table}, tables=(table,))
        case c.Create(kind="policy", table=table):
            known = world.tables.get(table)
            if known is not None and world.complete and not known.secured:
                return  # without effect until somebody turns it on
            yield Hit("row-security", {"table": table, "what": "CREATE POLICY"}, tables=(table,))
        case c.Create(kind="rule", table=table, name=name):
            yield Hit("create-rule", {"name": name, "table": table}, tables=(table,))
        case c.Drop(kind=kind, name=name, table=table):
            if not _fresh(change, world) and not world.is_fresh(table):
                names = {"name": name, "table": table or name, "what": f"DROP {kind.upper()}"}
                yield Hit(DROPS.get(kind, "drop-object"), names, tables=(table or name,))
        case c.Alter():
            yield from alter(change, world)


def _extends(change: c.Create, world: World) -> bool:
    """The same rows and columns as before, and more columns behind them."""
    before, after = (
        _selected(body, world) for body in (world.others.get(f"{change.kind} {change.name}", ""), change.body)
    )
    return bool(before[0]) and before[1] == after[1] and before[0] == after[0][: len(before[0])]


def _selected(body: str, world: World) -> tuple[list[str], list[str]]:
    """The columns of a plain `AS SELECT … FROM …`, and what follows; none where it is anything else."""
    tokens = [token.text.lower() for token in tokens_of(body, world.dialect)]
    dotted = {i for i, text in enumerate(tokens) if text == "."}
    texts = [text for i, text in enumerate(tokens) if i not in dotted and i + 1 not in dotted and text != ";"]
    if texts[:2] != ["as", "select"] or "from" not in texts or {"(", "*", "distinct", "group", "union"} & set(texts):
        return [], []
    at = texts.index("from")
    return " ".join(texts[2:at]).split(" , "), texts[at:]


def _fresh(change: c.Create | c.Drop | c.Alter, world: World) -> bool:
    return f"{change.kind} {change.name}" in world.fresh


def alter(change: c.Alter, world: World) -> Iterator[Hit]:
    names = {"name": change.name, "what": f"ALTER {change.kind.upper()} {change.what}", "table": change.name}
    if _fresh(change, world) or change.what == "OWNER TO":
        return
    match change.kind:
        case "type" if change.what == "ADD VALUE":
            yield Hit("enum-value", names)
        case "type" | "domain":
            yield Hit("change-type-definition", names)
        case "sequence":
            yield Hit("change-sequence", names)
        case "index" if change.what == "RENAME TO":
            yield Hit("rename-index", names, ruling=Ruling.WARN)
        case "index" if change.what in ("SET (", "RESET ("):
            return
        case _:
            yield Hit("alter-object", names)
