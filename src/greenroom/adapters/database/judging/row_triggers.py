"""What MySQL and SQLite share: triggers whose code stands in them, and conditions of a column that is new."""

from __future__ import annotations

from collections.abc import Iterator

from greenroom.adapters.database.judging.conditions import holds
from greenroom.adapters.database.judging.triggers import OURS, PURE
from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.expressions import functions, tokens_of
from greenroom.adapters.database.reading.tokens import Kind, Token
from greenroom.domain.schema import Dialect

_BLOCKS = {"IF", "ELSEIF"}


def harmless(trigger: c.Create, world: World) -> bool:
    """MySQL: before a row is written, it gives columns that are new values that cannot fail; or it is one of our own, which
    keeps two columns equal. SQLite: only the latter.
    """
    when = trigger.detail.upper().split()
    if world.dialect is Dialect.SQLITE:
        return trigger.name.startswith(OURS) and when[:1] == ["AFTER"] and _copies(trigger, world)
    if world.dialect is not Dialect.MYSQL or when not in (["BEFORE", "INSERT"], ["BEFORE", "UPDATE"]):
        return False
    tokens = tokens_of(trigger.body, world.dialect)
    words = [token.word for token in tokens]
    if words[:3] != ["FOR", "EACH", "ROW"]:
        return False
    code = tokens[4:-1] if words[3:4] == ["BEGIN"] and words[-1] == "END" else tokens[3:]
    ours = trigger.name.startswith(OURS)
    return all(_fills(statement, trigger.table, world, ours) for statement in _statements(code))


def _copies(trigger: c.Create, world: World) -> bool:
    """One UPDATE of the row that was written, column by column: `UPDATE t SET a = NEW.b WHERE rowid = NEW.rowid`."""
    tokens = tokens_of(trigger.body, world.dialect)
    begin = next((i for i, token in enumerate(tokens) if token.word == "BEGIN"), 0)
    texts = [token.text.strip('"`').lower() for token in tokens[begin:]]
    match texts:
        case [
            "begin",
            "update",
            table,
            "set",
            _,
            "=",
            "new",
            ".",
            _,
            "where",
            "rowid",
            "=",
            "new",
            ".",
            "rowid",
            ";",
            "end",
        ]:
            return table == trigger.table.lower() and begin > 0 and _pure(tokens[:begin], world)
    return False


def _statements(code: list[Token]) -> Iterator[list[Token]]:
    """Cut at `;`, and behind THEN and ELSE."""
    current: list[Token] = []
    for token in code:
        if token.kind is Kind.END or token.word in ("THEN", "ELSE") or token.text == ";":
            yield current
            current = []
        else:
            current.append(token)
    yield current


def _fills(statement: list[Token], table: str, world: World, ours: bool) -> bool:
    words = [token.word for token in statement]
    if not statement or words == ["END", "IF"]:
        return True
    if words[0] in _BLOCKS:
        return _pure(statement[1:], world)
    if len(statement) < 6 or words[:2] != ["SET", "NEW"] or statement[4].text not in ("=", ":="):
        return False
    column = statement[3].text.strip("`").lower()
    return (ours or world.is_fresh(table, column)) and _pure(statement[5:], world)


def _pure(expression: list[Token], world: World) -> bool:
    text = " ".join(token.text for token in expression)
    acts = {token.word for token in expression} & {"SELECT", "SET", "CALL"}
    return not acts and set(functions(text, world.dialect)) <= PURE and "/" not in {token.text for token in expression}


def written(world: World, table: str, column: str) -> list[str]:
    """Triggers of this table that name the column: without it every write would fail."""
    known = world.tables.get(table)
    found = []
    for name in known.triggers if known else ():
        tokens = tokens_of(world.bodies.get(f"trigger {name}", ""), world.dialect)
        names = {token.text.strip('`"[]').lower() for token in tokens if token.kind in (Kind.WORD, Kind.NAME)}
        if not tokens or column.lower() in names:
            found.append(name)
    return found


def lets_pass(change: c.AddColumn, world: World) -> bool:
    """Rows of a version that does not know the column satisfy its condition."""
    later = world.copy()
    later.apply(change, fresh=True)
    return holds(later, change.table, change.column.check or "")
