"""PostgreSQL: a trigger on a table of the running version runs within its writes. Some can be read, and do no harm."""

from __future__ import annotations

from collections.abc import Iterator

from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.expressions import STEADY, functions, listed, tokens_of
from greenroom.adapters.database.reading.tokens import Kind, Token
from greenroom.domain.schema import Dialect

OURS = "zzzz_greenroom"
"""How the names of the triggers begin that `greenroom db rename` and its like write: both columns kept equal."""
PURE = STEADY | {"record_image_ne", "record_image_eq"}
ACTS = listed("INSERT UPDATE DELETE EXECUTE PERFORM RAISE SELECT TRUNCATE MERGE CALL COPY NOTIFY LOCK")
CANNOT_FAIL = listed("lower upper trim btrim ltrim rtrim coalesce concat length md5 now")
ASKED = listed("NEW OLD IS NOT NULL DISTINCT FROM AND OR TG_OP = ( ) . 'INSERT' 'UPDATE'")
ROW = ["FOR", "EACH", "ROW", "EXECUTE"]


def harmless(trigger: c.Create, world: World) -> bool:
    """It fills columns that are new, before the row is written, by expressions that cannot fail; or it is our own."""
    body = world.bodies.get(trigger.function, "")
    when = trigger.detail.upper().split()
    called = [token.word or token.text for token in tokens_of(trigger.body, world.dialect)]
    if not body or f"function {trigger.function}" not in world.fresh or when[:1] != ["BEFORE"] or "DELETE" in when:
        return False
    code = _code(body, world.dialect)
    if not code or called[:4] != ROW or called[-2:] != ["(", ")"] or {token.word for token in code} & ACTS:
        return False
    if trigger.name.startswith(OURS) and trigger.function.rpartition(".")[2].startswith(OURS):
        return True
    statements = [statement for statement in _statements(code) if statement]
    returns = [[token.word for token in statement] for statement in statements].count(["RETURN", "NEW"])
    last = [token.word for token in statements[-1]] if statements else []
    filling = _Filling(trigger.table, world)
    return returns == 1 and last == ["RETURN", "NEW"] and all(filling.by(statement) for statement in statements[:-1])


def runs_with_writes(function: str, world: World) -> bool:
    """A trigger of a table that the running version writes calls it."""
    return any(function in table.triggers.values() for name, table in world.tables.items() if not world.is_fresh(name))


def _code(body: str, dialect: Dialect) -> list[Token]:
    """The tokens of what stands in dollar quotes, between BEGIN and END; none where it is anything else."""
    texts = [token.text for token in tokens_of(body, dialect) if token.kind is Kind.STRING and token.text[0] == "$"]
    if len(texts) != 1 or "plpgsql" not in body.lower():
        return []
    tag = texts[0].index("$", 1) + 1
    code = tokens_of(texts[0][tag:-tag], dialect)
    while code and code[-1].kind is Kind.END:
        code.pop()
    ends = len(code) > 2 and code[0].word == "BEGIN" and code[-1].word == "END"
    return code[1:-1] if ends else []


def _statements(code: list[Token]) -> Iterator[list[Token]]:
    """Cut at `;`, and behind THEN and ELSE."""
    current: list[Token] = []
    for token in code:
        if token.kind is Kind.END or token.word in ("THEN", "ELSE"):
            yield current
            current = []
        else:
            current.append(token)
    yield current


class _Filling:
    """`IF … THEN`, `NEW.column := …`: of columns and expressions whose types are known to fit."""

    def __init__(self, table: str, world: World) -> None:
        self.table, self.world = table, world

    def by(self, statement: list[Token]) -> bool:
        words = [token.word for token in statement]
        if words == ["END", "IF"]:
            return True
        if words[0] in ("IF", "ELSIF"):
            return self._asks(statement[1:])
        if len(statement) < 5 or words[0] != "NEW" or statement[3].text not in (":=", "="):
            return False
        column = self.world.column(self.table, statement[2].text.strip('"').lower())
        fresh = column is not None and self.world.is_fresh(self.table, column.name)
        return column is not None and fresh and self._fits(statement[4:], column.type)

    def _asks(self, condition: list[Token]) -> bool:
        types = self._types(condition)
        plain = all(
            (token.word or token.text) in ASKED or condition[i - 1].text == "." for i, token in enumerate(condition)
        )
        compares = any(token.word == "DISTINCT" for token in condition)
        return plain and None not in types and (not compares or len(set(types)) == 1)

    def _fits(self, expression: list[Token], kind: str) -> bool:
        text = " ".join(token.text for token in expression)
        types = self._types(expression)
        if len(expression) == 3 and expression[0].word == "NEW":
            return types == [kind] or (kind == "text" and None not in types)
        symbols = {token.text for token in expression if token.kind is Kind.SYMBOL}
        called = set(functions(text, self.world.dialect))
        return kind == "text" and None not in types and symbols <= set("().,|") | {"||"} and called <= CANNOT_FAIL

    def _types(self, tokens: list[Token]) -> list[str | None]:
        """Of every NEW.column and OLD.column; None for one that nobody knows."""
        found: list[str | None] = []
        for i, token in enumerate(tokens):
            if token.word in ("NEW", "OLD") and i + 2 < len(tokens) + 1:
                name = tokens[i + 2].text.strip('"').lower() if i + 2 < len(tokens) else ""
                column = self.world.column(self.table, name)
                found.append(column.type if column else None)
        return found
