"""When a trigger runs, and whether its code gives a column its value: read from its words, in all three dialects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from greenroom.adapters.database.reading.expressions import listed, tokens_of
from greenroom.adapters.database.reading.tokens import Kind, Token
from greenroom.domain.schema import Dialect

_CUTS = listed("then else begin loop")
_WRITING = listed("update insert merge replace")


class Gives(IntEnum):
    NO = 0
    MAYBE = 1
    """Its code is not known, or decides it as it runs."""
    YES = 2


@dataclass(frozen=True, slots=True)
class Moments:
    """`columns`: that its `UPDATE OF` names; none where any will do."""

    inserts: bool
    updates: bool
    columns: frozenset[str] = frozenset()

    @classmethod
    def of(cls, detail: str, dialect: Dialect) -> Moments:
        """`detail`: as CREATE TRIGGER has it before ON, as in `BEFORE INSERT OR UPDATE OF a, b`."""
        names = [_folded(token, dialect) for token in tokens_of(detail, dialect)]
        if "update" not in names:
            return cls("insert" in names, False)
        rest = names[names.index("update") + 1 :]
        named = rest[1 : rest.index("or") if "or" in rest else None] if rest[:1] == ["of"] else []
        return cls("insert" in names, True, frozenset(named) - {","})


def gives(body: str, table: str, column: str, dialect: Dialect, *, own: bool = True) -> Gives:
    """`body`: of the trigger, in PostgreSQL of its function; "" where it is not known. `own`: it is one of this table."""
    code = _code(body, dialect)
    if code is None:
        return Gives.MAYBE
    bare = table.rpartition(".")[2]
    return max((_by(names, bare, column, own) for names in _statements(code, dialect)), default=Gives.NO)


def _code(body: str, dialect: Dialect) -> list[Token] | None:
    tokens = tokens_of(body, dialect)
    if dialect is not Dialect.POSTGRES:
        return tokens or None
    texts = [after.text for token, after in pairwise(tokens) if token.word == "AS"]
    if len(texts) != 1 or "plpgsql" not in body.lower():
        return None
    if texts[0].startswith("$"):
        tag = texts[0].index("$", 1) + 1
        return tokens_of(texts[0][tag:-tag], dialect)
    return tokens_of(texts[0][1:-1].replace("''", "'"), dialect) if texts[0].startswith("'") else None


def _statements(code: list[Token], dialect: Dialect) -> Iterator[list[str]]:
    """Their words, folded; cut at `;`, and behind what opens a block."""
    current: list[str] = []
    for token in code:
        name = _folded(token, dialect)
        if token.kind is Kind.END or name == ";" or name in _CUTS:
            yield current
            current = []
        else:
            current.append(name)
    yield current


def _by(names: list[str], table: str, column: str, own: bool) -> Gives:
    if (own and _assigns(names, column)) or _writes(names, table, column):
        return Gives.YES
    return Gives.MAYBE if names[:1] == ["execute"] or (own and _replaces(names)) else Gives.NO


def _assigns(names: list[str], column: str) -> bool:
    """`NEW.column := …`, `SET NEW.column = …`, `SELECT … INTO NEW.column`."""
    into = names.index("into") if "into" in names else len(names)
    until = names.index("from", into) if "from" in names[into:] else len(names)
    for i in range(len(names) - 2):
        if names[i : i + 3] == ["new", ".", column]:
            before, after = names[i - 1] if i else "", names[i + 3] if i + 3 < len(names) else ""
            if (before in ("", "set", ",") and after in (":=", "=")) or into < i < until:
                return True
    return False


def _writes(names: list[str], table: str, column: str) -> bool:
    """An UPDATE or INSERT of the table that names the column before its WHERE."""
    where = names.index("where") if "where" in names else len(names)
    return bool(_WRITING & set(names)) and table in names and column in names[:where]


def _replaces(names: list[str]) -> bool:
    """`NEW := …`, `SELECT … INTO NEW`: the row as a whole."""
    return (
        names[:1] == ["new"]
        and names[1:2] in ([":="], ["="])
        or any(pair == ("into", "new") and names[i + 2 : i + 3] != ["."] for i, pair in enumerate(pairwise(names)))
    )


def _folded(token: Token, dialect: Dialect) -> str:
    if token.kind is not Kind.NAME:
        return token.text.lower() if token.kind is Kind.WORD else token.text
    plain = token.text[1:-1]
    return plain if dialect is Dialect.POSTGRES else plain.lower()
