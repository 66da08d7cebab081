"""The ways to ask MySQL and MariaDB for a change of a table while users read and write it: the server says which it can do.

A statement that says nothing gets the gentlest way first. None of them is COPY, which keeps writers out for as long as the
table is copied: that is what a server would do by itself where nothing is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from greenroom.adapters.database.reading.tokens import Kind, Token, Tokens
from greenroom.domain.schema import Dialect

WAYS_OUT = (
    "Write it in steps that the server can do while users write (a new column beside the old one, filled by a backfill,"
    " the old one dropped by a later contract), or change this table outside of Greenroom by pt-online-schema-change or"
    " gh-ost."
)


class Way(StrEnum):
    INSTANT = "INSTANT"
    """Only the dictionary changes."""
    INPLACE = "INPLACE"
    """The server builds while users read and write; their writes are kept and done again."""
    ASKED = "as it is written"
    """The statement itself says ALGORITHM."""
    PLAIN = "plain"
    """Nothing to choose: it does not change a table that is there, or only its name."""


@dataclass(frozen=True, slots=True)
class Form:
    way: Way
    sql: str


def forms(sql: str) -> list[Form]:
    """In the order in which they are tried."""
    tokens = words(sql)
    kind = head(tokens)
    said = {token.word for token in tokens}
    if kind not in ("ALTER TABLE", "CREATE INDEX", "DROP INDEX"):
        return [Form(Way.PLAIN, sql)]
    if "ALGORITHM" in said:
        return [Form(Way.ASKED, sql)]
    if kind == "ALTER TABLE":
        lock = "" if "LOCK" in said else ", LOCK=NONE"
        instant = [] if lock == "" else [Form(Way.INSTANT, f"{sql}\n, ALGORITHM=INSTANT")]
        return [*instant, Form(Way.INPLACE, f"{sql}\n, ALGORITHM=INPLACE{lock}")]
    return [Form(Way.INPLACE, f"{sql}\nALGORITHM=INPLACE{'' if 'LOCK' in said else ' LOCK=NONE'}")]


def words(sql: str) -> list[Token]:
    """Without comments; what stands in `/*! */` is code, and its marks are not words."""
    return [token for token in Tokens(sql, Dialect.MYSQL) if token.kind not in (Kind.COMMENT, Kind.CODE)]


def head(tokens: Sequence[Token]) -> str:
    """`ALTER TABLE`, `CREATE INDEX`, `INSERT` …: what it is, without what may stand between."""
    first = tokens[0].word if tokens else ""
    if first not in ("ALTER", "CREATE", "DROP", "RENAME", "TRUNCATE"):
        return first
    for token in tokens[1:8]:
        if token.word in _OBJECTS:
            return f"{first} {token.word}"
    return first


_OBJECTS = {
    "DATABASE", "EVENT", "FUNCTION", "INDEX", "PACKAGE", "PROCEDURE", "ROLE", "SCHEMA", "SEQUENCE", "SERVER", "TABLE",
    "TABLES", "TABLESPACE", "TRIGGER", "USER", "VIEW",
}  # fmt: skip

DATA = {"DELETE", "INSERT", "REPLACE", "UPDATE", "WITH"}
"""What a transaction can undo, on tables of InnoDB."""


def names(sql: str) -> set[str]:
    """Every word and name in it, in small letters: the tables that it may be about are among them."""
    found = set()
    for token in words(sql):
        if token.kind is Kind.NAME:
            found.add(token.text[1:-1].replace("``", "`").lower())
        elif token.kind is Kind.WORD:
            found.add(token.text.lower())
    return found
