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
ACTS = listed("INSERT UPDATE DELETE EXECUTE PERFORM RAISE SELECT TRUNCATE MERGE CALL COPY NOTIFY LOCK SET")


def harmless(trigger: c.Create, world: World) -> bool:
    """It fills columns that are new, before the row is written, by expressions that cannot fail; or it is our own."""
    body = world.bodies.get(trigger.function, "")
    when = trigger.detail.upper().split()
    if not body or f"function {trigger.function}" not in world.fresh or when[:1] != ["BEFORE"] or "DELETE" in when:
        return False
    code = _code(body, world.dialect)
    if not code or {token.word for token in code} & ACTS:
        return False
    if trigger.name.startswith(OURS) and trigger.function.rpartition(".")[2].startswith(OURS):
        return True
    return all(_fills(statement, trigger.table, world) for statement in _statements(code))


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


def _fills(statement: list[Token], table: str, world: World) -> bool:
    words = [token.word for token in statement]
    if not statement or words == ["RETURN", "NEW"] or words == ["END", "IF"]:
        return True
    if words[0] in ("IF", "ELSIF"):
        return _pure(statement[1:], world)
    if len(statement) < 5 or words[0] != "NEW" or statement[3].text not in (":=", "="):
        return False
    column = statement[2].text.strip('"').lower()
    return world.is_fresh(table, column) and _pure(statement[4:], world)


def _pure(expression: list[Token], world: World) -> bool:
    text = " ".join(token.text for token in expression)
    symbols = {token.text for token in expression}
    return (
        set(functions(text, world.dialect)) <= PURE - {"cast"}
        and not symbols & {"/", "::"}
        and "CAST" not in text.upper()
    )
