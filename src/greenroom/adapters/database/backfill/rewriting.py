"""`UPDATE t SET … WHERE …` of a file, read as what it does to each row, so that it can be done by ranges of keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from greenroom.adapters.database.backfill.fill import Fill, Unfit
from greenroom.adapters.database.backfill.pieces import joined, sound, tokens
from greenroom.adapters.database.reading.split import Statement
from greenroom.adapters.database.reading.tokens import Kind, Token
from greenroom.domain.schema import Dialect

DECLARED = (
    "write it as backfill.yaml instead: `table:`, `set: {{column: expression}}`, `where:`, and `verify:` (what is true of a"
    " row that is done); an expression may be a subquery, as (SELECT o.name FROM other o WHERE o.id = {name}.other_id)"
)
_ENDS = {"FROM", "RETURNING", "ORDER", "LIMIT"}


def rewritten(statement: Statement, dialect: Dialect) -> Fill:
    """Raises `Unfit` for whatever is not a plain UPDATE of one table."""
    return _Update(statement, dialect).fill()


class _Update:
    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        self.statement, self.dialect = statement, dialect
        self.sql = statement.sql
        self.found = tokens(statement.sql, dialect, statement.file)
        self.at, self.table, self.alias = 0, "t", ""

    def fill(self) -> Fill:
        if self.found[0].word != "UPDATE":
            first = self.found[0].word or self.found[0].text
            self.fail(f"{first} is no UPDATE: a backfill goes through a table by ranges of its key", self.found[0])
        if code := next((token for token in self.found if token.kind is Kind.CODE), None):
            self.fail("a comment that only some servers run", code)
        self.at = 1
        self._target()
        sets, where = self._parts()
        fill = Fill(self.table, tuple(sets), where, alias=self.alias, place=self.statement.place())
        return sound(fill, self.dialect, self._declared())

    def _target(self) -> None:
        """UPDATE name[.name] [[AS] alias] SET"""
        start = self.at
        if self._word() in ("ONLY", "LOW_PRIORITY", "IGNORE", "OR"):
            self.fail(f"UPDATE {self._word()} means other rows or errors than a batch has", self.found[self.at])
        while self.at < len(self.found) and (self.at - start) % 2 == (self.found[self.at].text == "."):
            self.at += 1
        named = self.found[start : self.at]
        if not named or len(named) > 3 or any(t.kind not in (Kind.WORD, Kind.NAME) for t in named[::2]):
            self.fail("the table is not understood", self.found[start])
        if len(named) % 2 == 0:  # a name, and at once its alias
            named, self.at = named[:-1], self.at - 1
        self.table = joined(named, self.sql)
        self.at += self._word() == "AS"
        if self._word() != "SET":
            self.alias = self.found[self.at].text if self.at < len(self.found) else ""
            self.at += 1
        if self._word() != "SET":
            self.fail("UPDATE of several tables, or of something that is none", self.found[min(self.at, self._last)])
        self.at += 1

    def _parts(self) -> tuple[list[tuple[str, str]], str]:
        """The assignments, and the WHERE."""
        rest = self.found[self.at :]
        words = [(i, token.word) for i, token in _outside(rest) if token.word == "WHERE" or token.word in _ENDS]
        ends = [(i, word) for i, word in words if not (word == "FROM" and i and rest[i - 1].word == "DISTINCT")]
        for i, word in ends:
            if word != "WHERE":
                self.fail(f"{word} in an UPDATE cannot be kept to a range of keys", rest[i])
        cut = ends[0][0] if ends else len(rest)
        if len(ends) > 1:
            self.fail("a second WHERE", rest[ends[1][0]])
        return self._assignments(rest[:cut]), joined(rest[cut + 1 :], self.sql)

    def _assignments(self, parts: Sequence[Token]) -> list[tuple[str, str]]:
        commas = [i for i, token in _outside(parts) if token.text == ","]
        found = []
        for start, end in zip([0, *(i + 1 for i in commas)], [*commas, len(parts)], strict=True):
            one = parts[start:end]
            mysql = self.dialect is Dialect.MYSQL  # which takes u.column = …
            if mysql and len(one) >= 5 and one[1].text == "." and one[3].text == "=":
                one = one[2:]
            if len(one) < 3 or one[0].kind not in (Kind.WORD, Kind.NAME) or one[1].text != "=":
                self.fail("SET is understood as `column = expression, …` only", (one or self.found[-1:])[0])
            found.append((one[0].text, joined(one[2:], self.sql)))
        return found

    @property
    def _last(self) -> int:
        return len(self.found) - 1

    def _word(self) -> str:
        return self.found[self.at].word if self.at < len(self.found) else ""

    def _declared(self) -> str:
        return DECLARED.format(name=self.alias or self.table)

    def fail(self, problem: str, token: Token) -> NoReturn:
        raise Unfit(self.statement.place(token.start), problem, self._declared())


def _outside(parts: Sequence[Token]) -> list[tuple[int, Token]]:
    """Those that stand in no brackets."""
    depth, found = 0, []
    for i, token in enumerate(parts):
        if token.kind is Kind.SYMBOL and token.text in ")]":
            depth -= 1
        if not depth:
            found.append((i, token))
        if token.kind is Kind.SYMBOL and token.text in "([":
            depth += 1
    return found
