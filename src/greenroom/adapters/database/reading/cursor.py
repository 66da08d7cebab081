"""A walk over the tokens of one statement. What is not expected is `NotUnderstood`: nothing is passed over in silence."""

from __future__ import annotations

import re
from collections.abc import Iterable

from greenroom.adapters.database.reading.tokens import Kind, Token, Tokens
from greenroom.domain.schema import Dialect

OLD_CODE = re.compile(r"/\*!0?[345]0[0-6]\d\d")
"""Comments that every MySQL and MariaDB of today runs as code: up to version 5.6."""


class NotUnderstood(Exception):
    """Says what stands where something else was expected; `at`: which character of the statement."""

    def __init__(self, why: str, at: int = 0) -> None:
        super().__init__(why)
        self.at = at


class Cursor:
    def __init__(self, sql: str, dialect: Dialect) -> None:
        self.sql = sql
        self.dialect = dialect
        self.at = 0
        self.tokens = [token for token in Tokens(sql, dialect) if token.kind is not Kind.COMMENT]
        self._open_code()

    def _open_code(self) -> None:
        """MySQL's comments that are code: read through where every server runs them."""
        marks = [token.text for token in self.tokens if token.kind is Kind.CODE and token.text != "*/"]
        if unsure := [mark for mark in marks if not OLD_CODE.match(mark)]:
            raise NotUnderstood(f"{unsure[0]} … */ is code to some servers and a comment to others")
        self.tokens = [token for token in self.tokens if token.kind is not Kind.CODE]
        self.texts = tuple(token.word or token.text for token in self.tokens)

    @property
    def postgres(self) -> bool:
        return self.dialect is Dialect.POSTGRES

    @property
    def mysql(self) -> bool:
        return self.dialect is Dialect.MYSQL

    @property
    def sqlite(self) -> bool:
        return self.dialect is Dialect.SQLITE

    @property
    def ended(self) -> bool:
        return self.at >= len(self.tokens)

    def peek(self, ahead: int = 0) -> Token | None:
        at = self.at + ahead
        return self.tokens[at] if 0 <= at < len(self.tokens) else None

    def word(self, ahead: int = 0) -> str:
        token = self.peek(ahead)
        return token.word if token else ""

    def text(self, ahead: int = 0) -> str:
        """Of the next token, in capitals where it is a word; "" at the end."""
        at = self.at + ahead
        return self.texts[at] if 0 <= at < len(self.texts) else ""

    def sees(self, *texts: str) -> bool:
        """Whether these words or symbols come next."""
        return self.texts[self.at : self.at + len(texts)] == texts

    def take(self, *texts: str) -> bool:
        """Passes these words or symbols if they come next."""
        if not self.sees(*texts):
            return False
        self.at += len(texts)
        return True

    def one_of(self, *texts: str) -> str:
        """Passes one of these if it comes next, and says which; else ""."""
        text = self.text()
        if text in texts:
            self.at += 1
            return text
        return ""

    def need(self, *texts: str) -> None:
        if not self.take(*texts):
            raise self.surprise(" ".join(texts))

    def surprise(self, expected: str = "") -> NotUnderstood:
        token = self.peek()
        shown, at = (f"`{token.text[:40]}`", token.start) if token else ("the end", len(self.sql))
        where = f", where {expected} was expected" if expected else ""
        return NotUnderstood(f"{shown} is not understood here{where}", at)

    def end(self) -> None:
        if not self.ended:
            raise self.surprise()

    def next(self) -> Token:
        token = self.peek()
        if token is None:
            raise self.surprise("more")
        self.at += 1
        return token

    def string(self) -> str:
        token = self.next()
        if token.kind is not Kind.STRING:
            self.at -= 1
            raise self.surprise("a string")
        return token.text

    def part(self) -> str:
        """One name without dots, as the server folds it."""
        token = self.next()
        if token.kind is Kind.NAME or (token.kind is Kind.STRING and self.sqlite):
            return self._unquoted(token)
        if token.kind is not Kind.WORD:
            self.at -= 1
            raise self.surprise("a name")
        return token.text if self.mysql else token.text.lower()

    def column(self) -> str:
        """As `part`: MySQL does not tell capitals in the names of columns."""
        return self.part().lower() if self.mysql else self.part()

    def name(self) -> str:
        """A name with or without its schema, as it is written; SQLite's, which everybody has, is left out."""
        parts = [self.part()]
        while self.take("."):
            parts.append(self.part())
        if self.sqlite and len(parts) > 1 and parts[0] == "main":
            del parts[0]
        return ".".join(parts)

    def names(self) -> list[str]:
        found = [self.name()]
        while self.take(","):
            found.append(self.name())
        return found

    def columns(self) -> tuple[str, ...]:
        """`(a, b)`"""
        self.need("(")
        found = [self.column()]
        while self.take(","):
            found.append(self.column())
        self.need(")")
        return tuple(found)

    def _unquoted(self, token: Token) -> str:
        text = token.text
        if text[0] in "uU":
            raise NotUnderstood(f"{text[:40]}: a name written with escapes")
        quote = "]" if text[0] == "[" else text[0]
        name = text[1:-1].replace(quote * 2, quote) if quote != "]" else text[1:-1]
        if "." in name or not name:
            raise NotUnderstood(f"{text[:40]}: a name with a dot in it, or an empty one")
        return name.lower() if self.sqlite else name

    def group(self) -> str:
        """`( … )` as written, without its parentheses."""
        first = self.peek()
        self.need("(")
        depth = 1
        while depth:
            token = self.next()
            depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind is Kind.SYMBOL else 0
        assert first is not None
        return self.sql[first.end : token.start].strip()

    def groups(self) -> list[str]:
        """The parts of `( a, b, … )` as written."""
        first = self.peek()
        self.need("(")
        depth, begin, found = 1, first.end if first else 0, []
        while depth:
            token = self.next()
            if token.kind is not Kind.SYMBOL:
                continue
            depth += {"(": 1, ")": -1, "[": 1, "]": -1}.get(token.text, 0)
            if depth == 0 or (depth == 1 and token.text == ","):
                found.append(self.sql[begin : token.start].strip())
                begin = token.end
        return found

    def until(self, stops: Iterable[str], *, at_least: int = 1) -> str:
        """As written, up to one of these words or symbols outside of parentheses, or the end."""
        stops, first, depth, taken = set(stops), self.peek(), 0, 0
        last = first
        while (token := self.peek()) is not None:
            text = token.word or token.text
            if depth == 0 and (text == ")" or (taken >= at_least and text in stops and self.text(-1) != ".")):
                break
            if token.kind is Kind.SYMBOL:
                depth += {"(": 1, ")": -1, "[": 1, "]": -1}.get(text, 0)
            elif token.kind is Kind.END:
                raise self.surprise()
            last = self.next()
            taken += 1
        if taken < at_least:
            raise self.surprise("an expression")
        return self.sql[first.start : last.end] if taken and first and last else ""

    def rest(self) -> str:
        """All that is left, as written."""
        first = self.peek()
        self.at = len(self.tokens)
        return self.sql[first.start :] if first else ""
