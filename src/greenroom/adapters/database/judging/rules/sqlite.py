"""Rules about SQLite: one writer at a time, few kinds of ALTER TABLE, and each statement committed by itself."""

from __future__ import annotations

from greenroom.adapters.database.judging.rule import Example, Rule
from greenroom.domain.schema import Dialect, Ruling, Stage

_SHOP = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);"


def _example(sql: str, stage: Stage = Stage.EXPAND, schema: str = _SHOP) -> Example:
    return Example(sql, stage, schema, dialect=Dialect.SQLITE)


RULES = (
    Rule(
        "one-writer",
        "Nobody can write while this runs",
        "{what} reads or writes all of `{table}` in one transaction, and SQLite has one writer at a time: {running}"
        " waits, and fails once its `busy_timeout` is over. Readers go on if the file is in WAL mode.",
        "at a quiet hour, with a `busy_timeout` in the application that is longer than it takes on a copy of the file",
        _example("CREATE INDEX by_name ON users (name)"),
        _example("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT); CREATE INDEX by_text ON notes (text)"),
        Ruling.WARN,
    ),
    Rule(
        "rebuilt-by-hand",
        "A table is made anew under its old name",
        "Each statement is committed by itself: between DROP TABLE and RENAME nobody finds `{table}`, what is"
        " written between the copy and the DROP is lost, and its indexes, triggers and views go with it.",
        "a new column beside the old one (ADD COLUMN, backfill.sql, DROP COLUMN in contract.sql); what only a table"
        " made anew can have is done with the application stopped, outside of a release",
        _example(
            "CREATE TABLE new_users (id INTEGER PRIMARY KEY, name TEXT NOT NULL); INSERT INTO new_users SELECT *"
            " FROM users; DROP TABLE users; ALTER TABLE new_users RENAME TO users",
            Stage.CONTRACT,
        ),
        _example("ALTER TABLE users DROP COLUMN name", Stage.CONTRACT),
    ),
    Rule(
        "sqlite-cannot",
        "SQLite has no such change",
        "{what}: SQLite refuses it.",
        "{way}",
        _example("ALTER TABLE users ADD COLUMN code TEXT UNIQUE"),
        _example("ALTER TABLE users ADD COLUMN code TEXT"),
    ),
)
