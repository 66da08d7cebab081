"""Names as PostgreSQL reads and writes them: quoted where they must be, never longer than 63 bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from hashlib import sha256

from greenroom.adapters.database.reading.tokens import Kind, Token, Tokens
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Dialect
from greenroom.errors import UsageError

LONGEST = 63
PREFIX = "zzzz_greenroom"
"""Triggers of a table fire in the order of their names: ours is the last, and sees what the others made of the row."""

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")

Quote = Callable[[str], str]


def quoting(session: Session) -> Quote:
    """Puts a name into double quotes where this server needs them."""
    reserved = {word for (word,) in session.rows("SELECT word FROM pg_catalog.pg_get_keywords() WHERE catcode <> 'U'")}

    def quote(name: str) -> str:
        if _PLAIN.fullmatch(name) and name not in reserved:
            return name
        return '"' + name.replace('"', '""') + '"'

    return quote


@dataclass(frozen=True, slots=True)
class Place:
    """A column as somebody names it: `users.city`, `shop.users."City"`. `table` has its schema if one was named."""

    schema: str
    table: str
    column: str

    def written(self, quote: Quote) -> str:
        return f"{quote(self.schema)}.{quote(self.table)}" if self.schema else quote(self.table)


def place(text: str) -> Place:
    """Raises `UsageError` where it is no `TABLE.COLUMN`."""
    parts = _parts(text)
    if len(parts) not in (2, 3):
        raise UsageError(
            f"{text!r} does not name a column of a table",
            hint='write TABLE.COLUMN, as users.city or shop."Users"."City"',
        )
    return Place(parts[0] if len(parts) == 3 else "", parts[-2], parts[-1])


def single(text: str, what: str = "a column") -> str:
    """One name, without a table before it. Raises `UsageError`."""
    parts = _parts(text)
    if len(parts) != 1:
        raise UsageError(
            f"{text!r} is not the name of {what}", hint="write one name, in double quotes if it is an odd one"
        )
    return parts[0]


def _parts(text: str) -> list[str]:
    """Folded as the server does, unless quoted; [] if this is no name at all."""
    tokens = list(Tokens(text, Dialect.POSTGRES))
    names, dots = tokens[::2], tokens[1::2]
    if any(dot.text != "." for dot in dots) or len(names) != len(dots) + 1:
        return []
    if any(token.kind not in (Kind.WORD, Kind.NAME) or token.text == '""' for token in names):
        return []
    found = [_bare(token) if token.kind is Kind.NAME else token.text.lower() for token in names]
    for name in found:
        if len(name.encode()) > LONGEST:
            raise UsageError(f"{name!r} is longer than {LONGEST} bytes", hint="PostgreSQL would cut it: shorten it")
    return found


def derived(name: str, old: str, new: str, taken: Collection[str]) -> str:
    """What `name`, of an index or a constraint of the column `old`, is called for the column `new`."""
    text = name.replace(old, new) if old in name else f"{name}_{new}"
    return fitting(text, taken)


def fitting(text: str, taken: Collection[str] = ()) -> str:
    """`text`, or something like it that is short enough and not taken."""
    made, count = text, 0
    while len(made.encode()) > LONGEST or made in taken:
        mark = sha256(f"{text}{count or ''}".encode()).hexdigest()[:8]
        made = text.encode()[: LONGEST - 9].decode(errors="ignore") + "_" + mark
        count += 1
    return made


def swapped(sql: str, old: str, new: str) -> tuple[str, int]:
    """`sql`, as the server prints it for one table, with `new` (quoted) in place of the column `old`; how often.

    A name before `(` is a function, one behind `::`, COLLATE or a dot is none of a column of this table.
    """
    made, end, count = "", 0, 0
    tokens = [token for token in Tokens(sql, Dialect.POSTGRES) if token.kind is not Kind.COMMENT]
    for i, token in enumerate(tokens):
        before = tokens[i - 1].text if i else ""
        after = tokens[i + 1].text if i + 1 < len(tokens) else ""
        if _is(token, old) and before not in ("::", ".", "COLLATE", "TABLESPACE") and after not in ("(", "."):
            made += sql[end : token.start] + new
            end, count = token.end, count + 1
    return made + sql[end:], count


def _is(token: Token, name: str) -> bool:
    return token.text == name if token.kind is Kind.WORD else token.kind is Kind.NAME and _bare(token) == name


def _bare(token: Token) -> str:
    return token.text[1:-1].replace('""', '"')


def of_row(sql: str, columns: Collection[str], table: str, quote: Quote) -> str:
    """An expression over columns of one table, as PL/pgSQL writes it over the row NEW. Raises `UsageError`."""
    made, end = "", 0
    tokens = _expression(sql)
    for i, token in enumerate(tokens):
        before = tokens[i - 1].text if i else ""
        after = tokens[i + 1].text if i + 1 < len(tokens) else ""
        found = _folded(token)
        if found == table and after == "." and before != ".":
            made, end = made + sql[end : token.start], tokens[i + 2].start if i + 2 < len(tokens) else token.end
        elif (
            found in columns
            and after != "("
            and before not in ("::", "COLLATE", "AS")
            and (before != "." or (i > 1 and _folded(tokens[i - 2]) == table))
        ):
            made, end = f"{made}{sql[end : token.start]}NEW.{quote(found)}", token.end
    return made + sql[end:]


def mentions(sql: str, name: str) -> bool:
    return any(_folded(token) == name for token in _expression(sql))


def listed(sql: str) -> list[str]:
    """`a, f(b, c)`: what stands between the commas that are in no brackets."""
    depth, starts, ends = 0, [0], []
    for token in _expression(sql):
        if token.kind is Kind.SYMBOL:
            depth += (token.text in "([") - (token.text in ")]")
            if token.text == "," and not depth:
                ends.append(token.start)
                starts.append(token.end)
    return [sql[start:end].strip() for start, end in zip(starts, [*ends, len(sql)], strict=True)]


def _expression(sql: str) -> list[Token]:
    tokens = list(Tokens(sql, Dialect.POSTGRES))
    for i, token in enumerate(tokens):
        row = token.word in ("NEW", "OLD") and i + 1 < len(tokens) and tokens[i + 1].text == "."
        if token.kind in (Kind.END, Kind.COMMENT) or token.word in ("SELECT", "WITH") or row:
            raise UsageError(
                f"{sql!r} holds {token.text!r}: it must be an expression over the columns of one row",
                hint="write it like split_part(name, ' ', 1); what needs other tables cannot be kept equal row by row",
            )
    return tokens


def _folded(token: Token) -> str:
    """The name that it is, "" if it is none."""
    if token.kind is Kind.WORD:
        return token.text.lower()
    return _bare(token) if token.kind is Kind.NAME else ""
