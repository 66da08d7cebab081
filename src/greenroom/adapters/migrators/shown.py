"""What a tool prints, read as the server reads it: a line of a body or of a string is no statement."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from greenroom.adapters.database.reading import Statement, Unreadable, split
from greenroom.adapters.database.reading.tokens import Kind, Tokens
from greenroom.domain.schema import Dialect

_CONTROL = frozenset({"BEGIN", "COMMIT", "START TRANSACTION"})
_END = re.compile(r"[ \t]*;?[ \t]*")
_LINE = re.compile(r"\r\n|\n|\r")


def control(sql: str) -> bool:
    """Of a transaction: ours are made by the runner."""
    return " ".join(sql.upper().split()) in _CONTROL


def rewritten(text: str, dialect: Dialect, of: Callable[[str], str]) -> str:
    """Each statement as `of` has it, "" for none; every other line stays where it is. As it is where nobody can read it."""
    text = text.removeprefix("\ufeff")
    try:
        statements = split(text, dialect)
    except Unreadable:
        return text
    parts, done = list[str](), 0
    for at, statement in zip(_starts(text, statements), statements, strict=True):
        new = of(statement.sql)
        if new == statement.sql:
            continue
        end = at + len(statement.sql)
        if not new and (behind := _END.match(text, end)):
            end = behind.end()
        lines = "\n" * (text[at:end].count("\n") - new.count("\n"))
        parts += [text[done:at], new, lines]
        done = end
    return "".join([*parts, text[done:]])


def _starts(text: str, statements: list[Statement]) -> Iterator[int]:
    lines = [0, *(found.end() for found in _LINE.finditer(text))]
    return (lines[one.line - 1] + one.column - 1 for one in statements)


def headed(text: str, dialect: Dialect, head: re.Pattern[str]) -> dict[str, str]:
    """By what `head` finds in a comment of its own, the text behind it."""
    try:
        comments = [token for token in Tokens(text, dialect) if token.kind is Kind.COMMENT]
        found = [(match[1], token.start, token.end) for token in comments if (match := head.fullmatch(token.text))]
    except Unreadable:
        found = [(match[1], *match.span()) for match in re.finditer(rf"^{head.pattern}$", text, re.MULTILINE)]
    ends = [start for _, start, _ in found[1:]] + [len(text)]
    return {name: text[begin:end] for (name, _, begin), end in zip(found, ends, strict=True)}
