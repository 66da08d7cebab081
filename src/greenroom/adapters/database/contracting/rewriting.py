"""Functions of triggers on PostgreSQL: which name a thing that goes, and the same function with another name for it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from greenroom.adapters.database.contracting.going import Going
from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.reading.tokens import Kind, Token, Tokens, Unreadable
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Dialect

_NAMING = """
SELECT p.oid::regprocedure::text, p.prosrc, l.lanname,
       CASE WHEN p.prokind IN ('f', 'p') THEN pg_get_functiondef(p.oid) ELSE '' END,
       count(t.oid) FILTER (WHERE t.tgrelid = to_regclass(%s)), count(t.oid), coalesce(min(t.tgname), '')
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
LEFT JOIN pg_catalog.pg_trigger t ON t.tgfoid = p.oid AND NOT t.tgisinternal
WHERE l.lanname NOT IN ('c', 'internal') AND p.pronamespace NOT IN
      ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) AND p.prosrc ~* %s
      AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                      AND d.deptype = 'e')
GROUP BY p.oid, l.lanname ORDER BY p.oid
"""


class Stubborn(Exception):
    """Why this function cannot be rewritten: what the sentence about it goes on with."""


@dataclass(frozen=True, slots=True)
class Function:
    """`here`: triggers of the table that run it, `all`: of any. `trigger`: the name of one of them."""

    name: str
    source: str
    language: str
    definition: str
    here: int
    all: int
    trigger: str = ""

    @property
    def text(self) -> str:
        return (
            f"the function {self.name} of the trigger {self.trigger}" if self.trigger else f"the function {self.name}"
        )


def naming(session: Session, going: Going) -> list[Function]:
    """Functions whose text names it, whether they mean it or not: the server does not know what they use."""
    word = going.words[-1]
    table = GRAMMARS[Dialect.POSTGRES].quote(going.table or going.name)
    rows = session.rows(_NAMING, [table, rf"\m{re.escape(word)}\M"])
    return [Function(*row) for row in rows]


def functions_of(session: Session, going: Going) -> list[Function]:
    """Those that its renaming would break: for a column the functions of its table's triggers, else any trigger's."""
    found = naming(session, going)
    if going.kind == "column":
        return [one for one in found if one.here]
    return [one for one in found if one.all and _elsewhere(one, going.words[-1])]


def rewritten(function: Function, old: str, new: str) -> str:
    """Its definition with `NEW.new` for `NEW.old`, and OLD alike. Raises `Stubborn` where it names it in any other way."""
    if function.language != "plpgsql":
        raise Stubborn(f"is written in {function.language}")
    if function.all != function.here:
        raise Stubborn("works for other tables, too")
    if other := _elsewhere(function, old):
        raise Stubborn(other)
    source, at, made = function.source, 0, ""
    for token in _of_the_row(_tokens(source), old):
        made += source[at : token.start] + GRAMMARS[Dialect.POSTGRES].quote(new)
        at = token.end
    return function.definition.replace(source, made + source[at:])


def _elsewhere(function: Function, name: str) -> str:
    """How it names this in other ways than as NEW.name and OLD.name; "" if it does not."""
    try:
        tokens = _tokens(function.source)
    except Unreadable as error:
        return f"cannot be read ({error.message})"
    row = set(_of_the_row(tokens, name))
    for i, token in enumerate(tokens):
        if token.kind is Kind.STRING and re.search(rf"\b{re.escape(name)}\b", token.text, re.IGNORECASE):
            return "names it within a string"
        if token not in row and _is(token, name) and not _keyword(tokens, i):
            return "names it in other ways than as NEW and OLD"
    return ""


def _tokens(source: str) -> list[Token]:
    return [token for token in Tokens(source, Dialect.POSTGRES) if token.kind is not Kind.COMMENT]


def _of_the_row(tokens: list[Token], name: str) -> list[Token]:
    """`name` of NEW.name and OLD.name."""
    return [
        token
        for i, token in enumerate(tokens)
        if i > 1 and _is(token, name) and tokens[i - 1].text == "." and tokens[i - 2].word in ("NEW", "OLD")
    ]


def _keyword(tokens: list[Token], i: int) -> bool:
    """The column `old` of a table is not the row OLD."""
    return tokens[i].word in ("NEW", "OLD") and i + 1 < len(tokens) and tokens[i + 1].text == "."


def _is(token: Token, name: str) -> bool:
    if token.kind is Kind.WORD:
        return token.text.lower() == name
    return token.kind is Kind.NAME and token.text[1:-1].replace('""', '"') == name
