"""SQL in pieces: expressions checked on their own, so that they can stand in another statement and mean the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from greenroom.adapters.database.backfill.fill import Fill, Unfit
from greenroom.adapters.database.reading.tokens import Kind, Token, Tokens
from greenroom.domain.schema import Dialect

_CHANGING = frozenset(
    name
    for line in (
        "now current_timestamp current_date current_time localtime localtimestamp clock_timestamp statement_timestamp",
        "transaction_timestamp timeofday sysdate curdate curtime utc_timestamp utc_date utc_time unix_timestamp",
        "random rand randomblob uuid uuid_short gen_random_uuid gen_random_bytes uuidv4 uuidv7",
        "uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 nextval currval lastval setval",
        "last_insert_id last_insert_rowid txid_current pg_current_xact_id",
    )
    for name in line.split()
)
"""Functions whose value is another one at another time: what they gave cannot be compared with what they give."""


def tokens(text: str, dialect: Dialect, file: str = "") -> list[Token]:
    """Without comments."""
    return [token for token in Tokens(text, dialect, file) if token.kind is not Kind.COMMENT]


def joined(parts: Sequence[Token], text: str) -> str:
    """The text of these neighbours as it stands there, but for the comments between them."""
    found, end = "", 0
    for token in parts:
        gap = text[end : token.start] if found else ""
        found += gap if not gap.strip() else " "
        found += token.text
        end = token.end
    return found


def bare(name: str) -> str:
    """A name as the server keeps it: without quotes; one without them in small letters."""
    if len(name) > 1 and name[0] in '"`[':
        mark = "]" if name[0] == "[" else name[0]
        return name[1:-1].replace(mark * 2, mark)
    return name.lower()


def is_name(text: str, dialect: Dialect, *, parts: int = 1) -> bool:
    """`users`, `"Users"`; with `parts` 2 also `shop.users`."""
    found = tokens(text, dialect)
    names, dots = found[::2], found[1::2]
    return (
        0 < len(names) <= parts
        and len(found) == 2 * len(names) - 1
        and all(token.kind in (Kind.WORD, Kind.NAME) for token in names)
        and all(token.text == "." for token in dots)
    )


def expression(text: str, dialect: Dialect, place: str, what: str) -> exp.Expression:
    """One expression and nothing else, or `Unfit`."""
    hint = f"write one expression of SQL for {what}"
    found = tokens(text, dialect)
    if not found:
        raise Unfit(place, f"{what} is empty", hint)
    if any(token.kind in (Kind.END, Kind.CODE) for token in found) or not _closed(found):
        raise Unfit(place, f"{what} is no expression on its own: {text.strip()}", hint)
    try:
        [tree] = sqlglot.parse(f"SELECT {joined(found, text)}", read=_READ[dialect])
    except (SqlglotError, ValueError, RecursionError):
        raise Unfit(place, f"{what} is not understood: {text.strip()}", hint) from None
    selected = tree.args.get("expressions", []) if isinstance(tree, exp.Select) else []
    used = {name for name, value in tree.args.items() if value} if tree is not None else set()
    if len(selected) != 1 or used != {"expressions"} or isinstance(selected[0], exp.Alias | exp.Star | exp.Command):
        raise Unfit(place, f"{what} is not one expression: {text.strip()}", hint)
    tree = selected[0]
    assert isinstance(tree, exp.Expression)
    return tree


_READ = {Dialect.POSTGRES: "postgres", Dialect.MYSQL: "mysql", Dialect.SQLITE: "sqlite"}


def _closed(found: Iterable[Token]) -> bool:
    depth = 0
    for token in found:
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind is Kind.SYMBOL else 0
        if depth < 0:
            return False
    return depth == 0


def sound(fill: Fill, dialect: Dialect, way_out: str) -> Fill:
    """The same, if it can be done in pieces and again: comments taken out, `verify` filled in where the `where` says it."""
    if not fill.sets:
        raise Unfit(fill.place, "`set` names no column", way_out)
    columns = [bare(column) for column, _ in fill.sets]
    if twice := next((column for column in columns if columns.count(column) > 1), ""):
        raise Unfit(fill.place, f"{twice} is set twice", "set it once")
    where = _optional(fill.where, dialect, fill.place, "`where`")
    verify = _optional(fill.verify, dialect, fill.place, "`verify`")
    sets = []
    for column, value in fill.sets:
        tree = expression(value, dialect, fill.place, f"the value of {column}")
        sets.append((column, _clean(value, dialect)))
        trouble = _trouble(tree, value, columns, bare(fill.name), dialect)
        if trouble and not verify:
            verify = _until_filled(where, columns, dialect, fill)
            if not verify:
                raise Unfit(fill.place, f"{column} becomes {value.strip()}: {trouble}", way_out)
    return replace(fill, sets=tuple(sets), where=where, verify=verify)


def _optional(text: str, dialect: Dialect, place: str, what: str) -> str:
    if not text.strip():
        return ""
    expression(text, dialect, place, what)
    return _clean(text, dialect)


def _clean(text: str, dialect: Dialect) -> str:
    return joined(tokens(text, dialect), text)


def _trouble(tree: exp.Expression, value: str, columns: Sequence[str], name: str, dialect: Dialect) -> str:
    """Why a second time would give something else. A column of a subquery's own table counts if it is not said whose."""
    if isinstance(tree, exp.Column) and tree.name.lower() == "default" and not tree.table:
        return "a backfill that goes on after a crash cannot tell whether that is done"
    if changing := next((t.text for t in tokens(value, dialect) if t.text.lower() in _CHANGING), ""):
        return f"{changing} gives another value each time, so nobody can tell whether a row is done"
    for column in tree.find_all(exp.Column):
        if _name(column.this) in columns and (not column.table or _name(column.args["table"]) == name):
            return f"it is made from {column.name}, which it changes: a row done twice would differ from one done once"
    return ""


def _name(identifier: exp.Expression) -> str:
    return identifier.name if identifier.args.get("quoted") else identifier.name.lower()


def _until_filled(where: str, columns: Sequence[str], dialect: Dialect, fill: Fill) -> str:
    """`where … column IS NULL` says by itself when a row is done: the column is filled."""
    if not where:
        return ""
    tree = expression(where, dialect, fill.place, "`where`")
    for part in tree.flatten() if isinstance(tree, exp.And) else [tree]:
        inner = part.unnest()
        if isinstance(inner, exp.Is) and isinstance(inner.expression, exp.Null) and isinstance(inner.this, exp.Column):
            column = inner.this
            mine = not column.table or _name(column.args["table"]) == bare(fill.name)
            if mine and _name(column.this) in columns:
                written = next(name for name, _ in fill.sets if bare(name) == _name(column.this))
                return f"{fill.name}.{written} IS NOT NULL"
    return ""
