"""A statement of somebody else's, fit to be shown: what it does, and none of the values in it."""

from __future__ import annotations

from greenroom.adapters.database.reading.tokens import Kind, Token, Tokens, Unreadable
from greenroom.domain.schema import Dialect


def readable(sql: str, dialect: Dialect = Dialect.POSTGRES) -> list[Token]:
    """As many tokens as can be read: the server cuts long statements."""
    found: list[Token] = []
    try:
        for token in Tokens(sql, dialect):
            if token.kind is not Kind.COMMENT:
                found.append(token)
    except Unreadable:
        pass
    return found


def without_values(sql: str, most: int = 80, dialect: Dialect = Dialect.POSTGRES) -> str:
    """A statement for people: short, and with none of the values in it, which may be anybody's data."""
    words, end = "", 0
    for token in readable(sql, dialect):
        shown = "…" if token.kind in (Kind.STRING, Kind.NUMBER) else token.text
        words += (" " if words and token.start > end else "") + shown
        end = token.end
    return words if len(words) <= most else words[: most - 1] + "…"
