"""SQL cut into tokens, as the server of each dialect cuts it: where a string, a comment or a name ends, and no more.

A file that ends in the middle of one of them is `Unreadable`, with the place where it began.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from greenroom.domain.schema import Dialect
from greenroom.errors import UsageError


class Unreadable(UsageError):
    """Not SQL that can be cut into statements; `place` is FILE:LINE:COLUMN, both from 1."""

    def __init__(self, place: str, problem: str, hint: str) -> None:
        super().__init__(f"{place}: {problem}", hint=hint)
        self.place = place


class Kind(StrEnum):
    WORD = "word"
    NAME = "quoted name"
    STRING = "string"
    NUMBER = "number"
    SYMBOL = "symbol"
    COMMENT = "comment"
    CODE = "comment that is code"
    """`/*!50110` and its `*/`: MySQL runs what is between them."""
    END = "end of statement"


@dataclass(frozen=True, slots=True)
class Token:
    """`text` as it stands in the file; `start` and `end` count characters."""

    kind: Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def word(self) -> str:
        """In capitals if it is a word without quotes, else ""."""
        return self.text.upper() if self.kind is Kind.WORD else ""

    def __str__(self) -> str:
        return self.text


# Only what the servers call white space: a no-break space is a letter to them.
SPACE = re.compile(r"[ \t\n\r\f\v]+")
WORD = re.compile("[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*")
NUMBER = re.compile(r"(?:\d+(?:\.(?!\.)\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
SYMBOL = re.compile(r"::|:=|<=>|<>|<=|>=|!=|=>|\|\||->>|->|.", re.DOTALL)
LINE = re.compile(r"[^\n\r]*")
TO_LINE_FEED = re.compile(r"[^\n]*")
"""To MySQL and SQLite a comment goes on behind a carriage return."""

PLAIN = re.compile(r"'(?:[^']++|'')*+'")
ESCAPED = re.compile(r"'(?:[^'\\]++|''|\\.)*+'", re.DOTALL)
ESCAPED_DOUBLE = re.compile(r'"(?:[^"\\]++|""|\\.)*+"', re.DOTALL)
DOUBLE = re.compile(r'"(?:[^"]++|"")*+"')
BACKTICK = re.compile(r"`(?:[^`]++|``)*+`")
BRACKET = re.compile(r"\[[^\]]*+\]")
DOLLAR = re.compile("\\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\\$")
PARAMETER = re.compile(r"\$\d+")
# PostgreSQL: a string goes on after a line end, under the rules that it began with.
GOES_ON = re.compile(r"(?:[ \t\f\v]|--[^\n\r]*(?=[\n\r]))*[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*(?=[\n\r]))*(?=')")
COMMENT_EDGE = re.compile(r"/\*|\*/")
MYSQL_CODE = re.compile(r"/\*M?!(\d{5,6})?")


class Tokens:
    """The tokens of one text, comments among them. `delimiter` may be changed between two tokens (MySQL's clients)."""

    def __init__(self, text: str, dialect: Dialect, file: str = "") -> None:
        self.text = text
        self.dialect = dialect
        self.file = file
        self.delimiter = ";"
        self.at = 1 if text.startswith("\ufeff") else 0
        self._code: int | None = None

    def __iter__(self) -> Iterator[Token]:
        while (token := self.next()) is not None:
            yield token

    def next(self) -> Token | None:
        if space := SPACE.match(self.text, self.at):
            self.at = space.end()
        if self.at >= len(self.text):
            if self._code is not None:
                self.fail(self._code, "a comment that is code begins here and never ends", "close it with */")
            return None
        kind, end = self._token()
        token = Token(kind, self.text[self.at : end], self.at)
        self.at = end
        return token

    def rest_of_line(self) -> str:
        """What stands behind the last token in its line; it is passed over."""
        found = LINE.match(self.text, self.at)
        rest = found.group() if found else ""
        self.at += len(rest)
        return rest.strip()

    def place(self, at: int) -> str:
        line, column = position(self.text, at)
        return f"{self.file}:{line}:{column}" if self.file else f"{line}:{column}"

    def fail(self, at: int, problem: str, hint: str) -> NoReturn:
        raise Unreadable(self.place(at), problem, hint)

    def _token(self) -> tuple[Kind, int]:
        text, at = self.text, self.at
        if text.startswith(self.delimiter, at):
            return Kind.END, at + len(self.delimiter)
        if text[at] == "\0":
            self.fail(at, "a zero byte, which no server takes", "save the file as UTF-8 text")
        if end := self._comment():
            return Kind.COMMENT, end
        if code := self._mysql_code():
            return Kind.CODE, code
        if quoted := self._quoted():
            return quoted
        if found := WORD.match(text, at):
            return Kind.WORD, found.end()
        if found := NUMBER.match(text, at):
            return Kind.NUMBER, found.end()
        found = SYMBOL.match(text, at)
        return Kind.SYMBOL, found.end() if found else at + 1

    def _comment(self) -> int | None:
        text, at, mysql = self.text, self.at, self.dialect is Dialect.MYSQL
        dashes = text.startswith("--", at) and (not mysql or text[at + 2 : at + 3] in ("", *" \t\n\r\f\v"))
        if dashes or (mysql and text[at] == "#"):
            found = (LINE if self.dialect is Dialect.POSTGRES else TO_LINE_FEED).match(text, at)
            return found.end() if found else at
        if not text.startswith("/*", at) or (mysql and MYSQL_CODE.match(text, at)):
            return None
        depth, end = 1, at + 2
        while depth:
            edge = COMMENT_EDGE.search(text, end)
            if edge is None:
                self.fail(at, "a comment begins here and never ends", "close it with */")
            end = edge.end()
            if edge.group() == "*/":
                depth -= 1
            elif self.dialect is Dialect.POSTGRES:
                depth += 1
        return end

    def _mysql_code(self) -> int | None:
        if self.dialect is not Dialect.MYSQL:
            return None
        if self._code is not None and self.text.startswith("*/", self.at):
            self._code = None
            return self.at + 2
        if found := MYSQL_CODE.match(self.text, self.at):
            self._code = self.at
            return found.end()
        return None

    def _quoted(self) -> tuple[Kind, int] | None:
        match self.dialect:
            case Dialect.POSTGRES:
                return self._postgres()
            case Dialect.MYSQL:
                return self._mysql()
            case Dialect.SQLITE:
                return self._sqlite()

    def _postgres(self) -> tuple[Kind, int] | None:
        text, at = self.text, self.at
        first, two = text[at], text[at : at + 2].lower()
        if two == "e'":
            return Kind.STRING, self._escape_string()
        if two in ("n'", "b'", "x'"):
            return Kind.STRING, self._to_end(PLAIN, at + 1)
        if two == "u&" and text[at + 2 : at + 3] in ("'", '"'):
            string = text[at + 2] == "'"
            return (Kind.STRING if string else Kind.NAME), self._to_end(PLAIN if string else DOUBLE, at + 2)
        if first == "$" and (dollar := DOLLAR.match(text, at)):
            end = text.find(dollar.group(), dollar.end())
            if end < 0:
                self.fail(
                    at, f"a text in {dollar.group()} begins here and never ends", f"close it with {dollar.group()}"
                )
            return Kind.STRING, end + len(dollar.group())
        if first == "$" and (parameter := PARAMETER.match(text, at)):
            return Kind.SYMBOL, parameter.end()
        if first == "'":
            return Kind.STRING, self._to_end(PLAIN, at)
        return (Kind.NAME, self._to_end(DOUBLE, at)) if first == '"' else None

    def _escape_string(self) -> int:
        end = self._to_end(ESCAPED, self.at + 1)
        while more := GOES_ON.match(self.text, end):
            end = self._to_end(ESCAPED, more.end())
        return end

    def _mysql(self) -> tuple[Kind, int] | None:
        at = self.at
        first, two = self.text[at], self.text[at : at + 2].lower()
        if two in ("n'", "b'", "x'"):
            return Kind.STRING, self._to_end(ESCAPED, at + 1)
        if first == "'":
            return Kind.STRING, self._to_end(ESCAPED, at)
        if first == '"':
            return Kind.STRING, self._to_end(ESCAPED_DOUBLE, at)
        return (Kind.NAME, self._to_end(BACKTICK, at)) if first == "`" else None

    def _sqlite(self) -> tuple[Kind, int] | None:
        at = self.at
        first, two = self.text[at], self.text[at : at + 2].lower()
        if two == "x'":
            return Kind.STRING, self._to_end(PLAIN, at + 1)
        if first == "'":
            return Kind.STRING, self._to_end(PLAIN, at)
        name = {'"': DOUBLE, "`": BACKTICK, "[": BRACKET}.get(first)
        return (Kind.NAME, self._to_end(name, at)) if name else None

    def _to_end(self, pattern: re.Pattern[str], at: int) -> int:
        found = pattern.match(self.text, at)
        if found is None:
            quote = self.text[at]
            what = "a string" if quote == "'" or (quote == '"' and self.dialect is Dialect.MYSQL) else "a quoted name"
            self.fail(self.at, f"{what} begins here and never ends", f"close it with {']' if quote == '[' else quote}")
        return found.end()


def position(text: str, at: int) -> tuple[int, int]:
    """Line and column, from 1. A line ends with \\n, \\r or both together."""
    before = text[:at].replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
