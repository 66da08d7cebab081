"""Columns and constraints as CREATE TABLE and ALTER TABLE write them, in all three dialects."""

from __future__ import annotations

from dataclasses import replace

from greenroom.adapters.database.reading.change import Column, Constraint, Key
from greenroom.adapters.database.reading.cursor import Cursor
from greenroom.adapters.database.reading.tokens import Kind

AFTER_A_TYPE = {
    *("NOT", "NULL", "DEFAULT", "CHECK", "UNIQUE", "PRIMARY", "REFERENCES", "GENERATED", "CONSTRAINT", "COLLATE"),
    *("STORAGE", "COMPRESSION", "USING", "AS", "AUTO_INCREMENT", "COMMENT", "FIRST", "AFTER", "ON", "KEY", "VISIBLE"),
    *("INVISIBLE", "COLUMN_FORMAT", "DEFERRABLE", "INITIALLY", "ENFORCED", "VIRTUAL", "STORED", "AUTOINCREMENT", ","),
}
ACTIONS = ("CASCADE", "RESTRICT", "SET NULL", "SET DEFAULT", "NO ACTION")


def column(cursor: Cursor) -> Column:
    """`name type constraint …`"""
    return definition(cursor, cursor.column())


def definition(cursor: Cursor, name: str) -> Column:
    found = Column(name, type_of(cursor))
    while (more := _trait(cursor, found)) is not None:
        found = more
    return found


def type_of(cursor: Cursor) -> str:
    """SQLite needs none; elsewhere it is there. In small letters, quotes left out where nothing is in them."""
    if cursor.sqlite and (cursor.ended or cursor.text() in AFTER_A_TYPE or cursor.sees(")")):
        return ""
    words: list[str] = []
    while not cursor.ended and cursor.text() not in AFTER_A_TYPE and not cursor.sees(")"):
        token = cursor.peek()
        assert token is not None
        if token.text == "(":
            words[-1:] = [f"{words[-1] if words else ''}({', '.join(cursor.groups())})"]
        elif token.text in (".", "["):
            cursor.next()
            words.append("." if token.text == "." else "[]")
            if token.text == "[":
                cursor.until(("]",), at_least=0)
                cursor.need("]")
        elif token.kind in (Kind.WORD, Kind.NAME):
            words.append(cursor.part() if token.kind is Kind.NAME else cursor.next().text.lower())
        else:
            raise cursor.surprise("a type")
    if not words:
        raise cursor.surprise("a type")
    shown = " ".join(words).replace(" . ", ".").replace(" []", "[]")
    return shown.removeprefix("pg_catalog.") if cursor.postgres else shown


def _trait(cursor: Cursor, so_far: Column) -> Column | None:
    """One more constraint or property of the column; None if nothing more comes."""
    if cursor.text() in ("", ",", ")"):
        return None
    if cursor.take("CONSTRAINT"):
        cursor.part()
        return so_far
    if cursor.take("NOT", "NULL"):
        cursor.take("NO", "INHERIT") if cursor.postgres else _on_conflict(cursor)
        return replace(so_far, nullable=False)
    if cursor.take("NULL"):
        return replace(so_far, nullable=True)
    if cursor.take("DEFAULT"):
        return replace(so_far, default=cursor.until(AFTER_A_TYPE | {"ON"}))
    if cursor.take("CHECK"):
        condition = cursor.group()
        _state(cursor)
        return replace(so_far, check=condition)
    if cursor.take("UNIQUE"):
        cursor.take("KEY")
        _index_options(cursor)
        return replace(so_far, unique=True)
    if cursor.take("PRIMARY", "KEY") or (cursor.mysql and cursor.take("KEY")):
        cursor.one_of("ASC", "DESC")
        _index_options(cursor)
        increments = cursor.sqlite and cursor.take("AUTOINCREMENT")
        return replace(so_far, primary=True, auto_increment=so_far.auto_increment or increments)
    if cursor.sees("REFERENCES"):
        return replace(so_far, references=references(cursor))
    return _property(cursor, so_far)


def _property(cursor: Cursor, so_far: Column) -> Column | None:
    if cursor.sees("GENERATED") or (cursor.sees("AS", "(") and not cursor.postgres):
        return _generated(cursor, so_far)
    if cursor.take("COLLATE"):
        return replace(so_far, collation=cursor.name())
    if cursor.one_of("STORAGE", "COMPRESSION") or cursor.take("COLUMN_FORMAT"):
        cursor.part()
        return so_far
    if not cursor.mysql:
        return so_far if _state(cursor) else None
    if cursor.take("AUTO_INCREMENT"):
        return replace(so_far, auto_increment=True)
    if cursor.take("COMMENT"):
        cursor.string()
        return so_far
    if cursor.take("ON", "UPDATE"):
        return replace(so_far, on_update=cursor.until(AFTER_A_TYPE))
    if shown := cursor.one_of("VISIBLE", "INVISIBLE"):
        return replace(so_far, invisible=shown == "INVISIBLE")
    if cursor.take("FIRST"):
        return replace(so_far, place="FIRST")
    if cursor.take("AFTER"):
        return replace(so_far, place=f"AFTER {cursor.column()}")
    return so_far if _state(cursor) else None


def _generated(cursor: Cursor, so_far: Column) -> Column:
    if cursor.take("GENERATED") and not cursor.take("ALWAYS"):
        cursor.need("BY", "DEFAULT")
    cursor.need("AS")
    if cursor.take("IDENTITY"):
        if cursor.sees("("):
            cursor.group()
        return replace(so_far, generated="identity", nullable=False)
    expression = cursor.group()
    kind = cursor.one_of("STORED", "VIRTUAL", "PERSISTENT")
    stored = kind in ("STORED", "PERSISTENT")
    return replace(so_far, generated="stored" if stored else "virtual", default=expression)


def _state(cursor: Cursor) -> bool:
    """When and whether a constraint is enforced; True if something was said."""
    begun = cursor.at
    while (
        cursor.take("NOT", "DEFERRABLE")
        or cursor.take("DEFERRABLE")
        or cursor.take("INITIALLY", "DEFERRED")
        or cursor.take("INITIALLY", "IMMEDIATE")
        or cursor.take("NO", "INHERIT")
        or cursor.take("ENFORCED")
    ):
        pass
    return cursor.at > begun


def _on_conflict(cursor: Cursor) -> bool:
    if cursor.sqlite and cursor.take("ON", "CONFLICT"):
        cursor.part()
    return True


def _index_options(cursor: Cursor) -> bool:
    """True if NULLs count as equal."""
    same = cursor.take("NULLS", "NOT", "DISTINCT")
    if not same:
        cursor.take("NULLS", "DISTINCT")
    if cursor.take("INCLUDE"):
        cursor.group()
    if cursor.take("WITH"):
        cursor.group()
    if cursor.take("USING", "INDEX", "TABLESPACE"):
        cursor.part()
    while cursor.mysql and (cursor.one_of("USING", "KEY_BLOCK_SIZE", "COMMENT")):
        cursor.take("=")
        cursor.next()
    _on_conflict(cursor)
    _state(cursor)
    return same


def references(cursor: Cursor) -> Key:
    cursor.need("REFERENCES")
    table = cursor.name()
    columns = cursor.columns() if cursor.sees("(") else ()
    done = {"DELETE": "", "UPDATE": ""}
    while True:
        if cursor.take("MATCH"):
            cursor.part()
        elif cursor.take("ON"):
            event = cursor.one_of("DELETE", "UPDATE")
            action = next((a for a in ACTIONS if cursor.take(*a.split())), "")
            if not event or not action:
                raise cursor.surprise("an action of a foreign key")
            if action.startswith("SET") and cursor.sees("("):
                cursor.columns()
            done[event] = action
        elif not _state(cursor):
            return Key(table, columns, done["DELETE"], done["UPDATE"])


def constraint_ahead(cursor: Cursor) -> bool:
    """Whether a constraint of the table comes next, not a column."""
    if cursor.word() in ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"):
        return True
    return cursor.postgres and cursor.sees("EXCLUDE") and cursor.text(1) in ("(", "USING")


def constraint(cursor: Cursor) -> Constraint:
    name = ""
    if cursor.take("CONSTRAINT") and not (cursor.mysql and cursor.word() in ("PRIMARY", "UNIQUE", "CHECK", "FOREIGN")):
        name = cursor.part()
    if cursor.take("CHECK"):
        condition = cursor.group()
        _state(cursor)
        not_valid = _not_valid(cursor)
        return Constraint("check", name, condition=condition, not_valid=not_valid)
    if cursor.take("FOREIGN", "KEY"):
        if cursor.mysql and not cursor.sees("("):
            name = name or cursor.part()
        columns = cursor.columns()
        key = references(cursor)
        return Constraint("foreign", name, columns, references=key, not_valid=_not_valid(cursor))
    if cursor.take("EXCLUDE"):
        cursor.until((",",))
        return Constraint("exclude", name)
    return _unique(cursor, name)


def _unique(cursor: Cursor, name: str) -> Constraint:
    primary = cursor.take("PRIMARY", "KEY")
    if not primary:
        cursor.need("UNIQUE")
        if cursor.mysql:
            cursor.one_of("KEY", "INDEX")
    kind = "primary" if primary else "unique"
    if cursor.take("USING", "INDEX"):
        index = cursor.part()
        _state(cursor)
        return Constraint(kind, name, using_index=index)
    same = cursor.take("NULLS", "NOT", "DISTINCT")
    if not same:
        cursor.take("NULLS", "DISTINCT")
    if cursor.mysql and not cursor.sees("("):
        if cursor.word() not in ("USING",):
            name = cursor.part()
        if cursor.take("USING"):
            cursor.part()
    parts = tuple(cursor.groups())
    same = _index_options(cursor) or same
    return Constraint(kind, name, tuple(plain(part, cursor) for part in parts), nulls_not_distinct=same)


def _not_valid(cursor: Cursor) -> bool:
    found = cursor.take("NOT", "VALID")
    _state(cursor)
    return found or cursor.take("NOT", "VALID")


def plain(part: str, cursor: Cursor) -> str:
    """The column that an index's part is, as the server folds it; an expression as it is written."""
    inner = Cursor(part, cursor.dialect)
    if len(inner.tokens) == 1 and inner.tokens[0].kind in (Kind.WORD, Kind.NAME):
        return inner.column()
    if inner.tokens and inner.tokens[0].kind in (Kind.WORD, Kind.NAME):
        rest = inner.tokens[1:]
        if rest and all(token.kind in (Kind.WORD, Kind.NAME) for token in rest):
            return inner.column()  # with a collation, an operator class, an order
    return part
