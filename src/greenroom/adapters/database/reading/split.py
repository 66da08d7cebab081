"""A file of SQL, cut into its statements; comments that speak to Greenroom belong to the statement that follows.

-- greenroom: allow RULE: REASON
-- greenroom: allow RULE by NAME: REASON
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from greenroom.adapters.database.reading.tokens import Kind, Token, Tokens, Unreadable, position
from greenroom.domain.schema import Dialect

DIRECTIVE = re.compile(r"(?:--|#|/\*)\s*greenroom\s*:\s*(.*)", re.DOTALL | re.IGNORECASE)
ALLOW = re.compile(r"allow\s+([a-z][a-z0-9-]*)(?:\s+by\s+([^:]+?))?\s*:\s*(\S.*)")
HOW = "write `-- greenroom: allow RULE: REASON` in a line of its own, right before the statement"


@dataclass(frozen=True, slots=True)
class Allow:
    """An override in the file: `rule` does not stop the statement. `by` is "" where nobody is named."""

    rule: str
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement without its delimiter and without the comments before it. All numbers count from 1."""

    file: str
    line: int
    sql: str
    number: int
    allows: tuple[Allow, ...] = ()
    column: int = 1

    def place(self, at: int = 0) -> str:
        """FILE:LINE:COLUMN of a character of `sql`; of its first where nothing is said."""
        line, column = position(self.sql, at)
        column += self.column - 1 if line == 1 else 0
        return f"{self.file}:{self.line + line - 1}:{column}"


def split(text: str, dialect: Dialect, file: str = "") -> list[Statement]:
    """Every statement of the file, in order; empty ones are passed over. Raises `Unreadable`."""
    return _Splitter(text, dialect, file).statements()


class _Splitter:
    def __init__(self, text: str, dialect: Dialect, file: str) -> None:
        self.tokens = Tokens(text, dialect, file)
        self.file = file
        self.found: list[Statement] = []
        self._begin()

    def _begin(self) -> None:
        self.current: list[Token] = []
        self.open: list[Token] = []
        self.allows: list[Allow] = []
        self.body = _Body(self.tokens.dialect)
        self.directive: Token | None = None

    def statements(self) -> list[Statement]:
        for token in self.tokens:
            if token.kind is Kind.COMMENT:
                self._comment(token)
            elif token.kind is Kind.END and not self._within():
                self._finish()
            else:
                self._add(token)
        self.body.settle()
        if self.open:
            self.tokens.fail(self.open[-1].start, f"{self.open[-1]} is never closed", "close it, or take it away")
        if self.body.begun:
            self.tokens.fail(self.body.begun.start, f"{self.body.begun} has no END", "end the body with END;")
        self._finish()
        if self.directive:
            self.tokens.fail(self.directive.start, "no statement follows this directive", HOW)
        return self.found

    def _within(self) -> bool:
        """The delimiter of a client ends a statement anywhere; `;` not within parentheses and bodies."""
        self.body.settle()
        return self.tokens.delimiter == ";" and bool(self.open or self.body.begun)

    def _add(self, token: Token) -> None:
        if not self.current and self._delimiter(token):
            return
        if token.text == "\\" and token.kind is Kind.SYMBOL:
            self.tokens.fail(
                token.start, "a command of the client, not SQL", "leave it out: only the server reads this file"
            )
        if token.text == "." and not self.current:
            self.tokens.fail(
                token.start, "a command of a shell, not SQL", "leave it out: only the server reads this file"
            )
        if token.text == "(":
            self.open.append(token)
        elif token.text == ")":
            if not self.open:
                self.tokens.fail(token.start, ") closes nothing", "take it away, or open it")
            self.open.pop()
        self.current.append(token)
        if self.tokens.delimiter == ";" and not self.open:
            self.body.read(token, self.current)

    def _delimiter(self, token: Token) -> bool:
        if self.tokens.dialect is not Dialect.MYSQL or token.word != "DELIMITER":
            return False
        delimiter = self.tokens.rest_of_line()
        if not delimiter or " " in delimiter or delimiter[0] in "'\"`":
            self.tokens.fail(
                token.start, "DELIMITER without one", "write `DELIMITER //`, and `DELIMITER ;` behind the body"
            )
        self.tokens.delimiter = delimiter
        return True

    def _comment(self, token: Token) -> None:
        found = DIRECTIVE.match(token.text)
        if not found:
            return
        text = self.tokens.text
        before = text[: token.start].replace("\r", "\n").rsplit("\n", 1)[-1]
        allowed = ALLOW.fullmatch(found[1].strip())
        if not token.text.startswith("--") or self.current or before.strip("\ufeff \t\f\v") or not allowed:
            self.tokens.fail(token.start, "a directive that is not understood or stands in the wrong place", HOW)
        self.allows.append(Allow(allowed[1], (allowed[2] or "").strip(), allowed[3].strip()))
        self.directive = token

    def _finish(self) -> None:
        if not self.current:
            return
        first, last = self.current[0], self.current[-1]
        line, column = position(self.tokens.text, first.start)
        sql = self.tokens.text[first.start : last.end]
        if _from_stdin(self.current):
            hint = "write INSERT statements, or load the data outside of the migration"
            raise Unreadable(self.tokens.place(first.start), "COPY FROM STDIN: a file of SQL holds no data", hint)
        self.found.append(Statement(self.file, line, sql, len(self.found) + 1, tuple(self.allows), column))
        self._begin()


def _from_stdin(tokens: list[Token]) -> bool:
    words = [token.word for token in tokens]
    return words[0] == "COPY" and any(pair == ("FROM", "STDIN") for pair in pairwise(words))


class _Body:
    """Whether we are in the body of a routine or trigger, whose `;` end nothing. `begun`: its first token."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.begun: Token | None = None
        self.depth = 0
        self.ending = False

    def read(self, token: Token, current: list[Token]) -> None:
        previous = current[-2] if len(current) > 1 else None
        word = "" if previous is not None and previous.text == "." else token.word
        match self.dialect:
            case Dialect.POSTGRES:
                self._postgres(word, previous, current)
            case Dialect.MYSQL:
                self._mysql(word, previous, current)
            case Dialect.SQLITE:
                self._sqlite(word, previous, current)

    def settle(self) -> None:
        """The END that was read last is no END IF."""
        if self.ending:
            self.ending = False
            self._close()

    def _open(self, token: Token) -> None:
        self.begun = self.begun or token
        self.depth += 1

    def _close(self) -> None:
        self.depth -= 1
        if not self.depth:
            self.begun = None

    def _postgres(self, word: str, previous: Token | None, current: list[Token]) -> None:
        """SQL-standard bodies: BEGIN ATOMIC … END, with CASE … END within."""
        if self.begun is None:
            if word == "ATOMIC" and previous is not None and previous.word == "BEGIN" and _creates(current, ROUTINES):
                self._open(previous)
        elif word == "CASE":
            self._open(current[-1])
        elif word == "END":
            self._close()

    def _mysql(self, word: str, previous: Token | None, current: list[Token]) -> None:
        """END IF, END LOOP … end nothing that is counted; what they end can only stand in a BEGIN."""
        last = previous.word if previous is not None else ""
        if self.ending and word in ("IF", "LOOP", "REPEAT", "WHILE", "FOR"):
            self.ending = False
            return
        self.settle()
        if word == "BEGIN" and (self.begun or _creates(current, MYSQL_ROUTINES)):
            self._open(current[-1])
        elif word == "NOT" and last == "BEGIN" and len(current) == 2 and previous is not None:
            self._open(previous)
        elif self.begun and word == "CASE" and last != "END":
            self._open(current[-1])
        elif self.begun and word == "END":
            self.ending = True

    def _sqlite(self, word: str, previous: Token | None, current: list[Token]) -> None:
        """A trigger ends with `; END`, as the shell of SQLite has it."""
        if self.begun is None:
            if word == "BEGIN" and _creates(current, {"TRIGGER"}):
                self._open(current[-1])
        elif word == "END" and previous is not None and previous.kind is Kind.END:
            self._close()


ROUTINES = {"FUNCTION", "PROCEDURE"}
MYSQL_ROUTINES = ROUTINES | {"TRIGGER", "EVENT", "PACKAGE"}
OTHERS = {
    "TABLE",
    "INDEX",
    "VIEW",
    "DATABASE",
    "SCHEMA",
    "USER",
    "ROLE",
    "SEQUENCE",
    "SERVER",
    "TYPE",
    "DOMAIN",
    "RULE",
}


def _creates(tokens: list[Token], what: set[str]) -> bool:
    """CREATE [OR REPLACE] [DEFINER = …] FUNCTION …"""
    words = [token.word for token in tokens if token.kind is not Kind.CODE]
    kind = next((word for word in words if word in what or word in OTHERS), "")
    return words[0] == "CREATE" and kind in what
