"""What is said of SQLite, tried on SQLite: what is allowed it does, and the running version goes on."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from greenroom.adapters.database.judging import Context, Schema, judge
from greenroom.adapters.database.judging.rule import Rule
from greenroom.adapters.database.judging.rules import sqlite
from greenroom.adapters.database.reading import split
from greenroom.adapters.database.sqlite import schema
from greenroom.adapters.database.target import Broken, of
from greenroom.domain.schema import Dialect, Ruled, Ruling, Stage

SCHEMA = """
CREATE TABLE parents (id INTEGER PRIMARY KEY);
CREATE TABLE t (
    id INTEGER PRIMARY KEY, a INTEGER, b TEXT UNIQUE, old TEXT, c INTEGER NOT NULL DEFAULT 0, n TEXT NOT NULL,
    up INTEGER REFERENCES parents (id)
);
CREATE INDEX ka ON t (a);
CREATE VIEW v AS SELECT id, n FROM t;
CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET old = NEW.b WHERE id = NEW.id; END;
"""
ROWS = "INSERT INTO parents VALUES (0); INSERT INTO t (a, b, n) VALUES (1, 'q', 'n'), (2, 'r', 'm')"
OLD = {
    "write": "INSERT INTO t (a, b, n) VALUES (3, '{0}', 'n')",
    "read": "SELECT a, b, old, c, n, up FROM t",
    "change": "UPDATE t SET a = 7, n = 'long' WHERE id = 1",
    "twin": "INSERT INTO t (a, b, n) VALUES (3, '{0}twin', 'n')",
    "view": "SELECT id, n FROM v",
}
"""What the running version does; `{0}` differs each time."""

STATEMENTS = [
    "ALTER TABLE t ADD COLUMN z TEXT",
    "ALTER TABLE t ADD COLUMN z TEXT NOT NULL",
    "ALTER TABLE t ADD COLUMN z TEXT NOT NULL DEFAULT 'x'",
    "ALTER TABLE t ADD COLUMN z TEXT NOT NULL DEFAULT NULL",
    "ALTER TABLE t ADD COLUMN z TEXT DEFAULT CURRENT_TIMESTAMP",
    "ALTER TABLE t ADD COLUMN z TEXT DEFAULT (datetime('now'))",
    "ALTER TABLE t ADD COLUMN z INTEGER UNIQUE",
    "ALTER TABLE t ADD COLUMN z INTEGER PRIMARY KEY",
    "ALTER TABLE t ADD COLUMN z INTEGER CHECK (z > 0)",
    "ALTER TABLE t ADD COLUMN z INTEGER DEFAULT 0 CHECK (z > 0)",
    "ALTER TABLE t ADD COLUMN z INTEGER REFERENCES parents (id)",
    "ALTER TABLE t ADD COLUMN z INTEGER DEFAULT 1 REFERENCES parents (id)",
    "ALTER TABLE t ADD COLUMN z INTEGER AS (a * 2) VIRTUAL",
    "ALTER TABLE t ADD COLUMN z INTEGER AS (a * 2) STORED",
    "ALTER TABLE t DROP COLUMN a",
    "ALTER TABLE t RENAME COLUMN n TO name",
    "ALTER TABLE t RENAME TO things",
    "CREATE INDEX kn ON t (n)",
    "CREATE UNIQUE INDEX kn ON t (n)",
    "CREATE INDEX kz ON t (z)",
    "DROP INDEX ka",
    "DROP TABLE parents",
    "DROP VIEW v",
    "DROP TRIGGER g",
    "CREATE TABLE more (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t (id) ON DELETE CASCADE)",
    "CREATE TRIGGER no BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, 'no'); END",
    "CREATE TRIGGER zzzz_greenroom_x AFTER UPDATE ON t WHEN NEW.a > 1 BEGIN DELETE FROM t; END",
    "INSERT INTO parents VALUES (17)",
    "UPDATE t SET n = 'x'",
    "DELETE FROM t",
    "ALTER TABLE nowhere ADD COLUMN z TEXT",
    "CREATE TABLE t (id INTEGER)",
]


def judged(sql: str, stage: Stage = Stage.EXPAND, text: str = SCHEMA) -> list[Ruled]:
    context = Context(Dialect.SQLITE, "41", Schema(split(text, Dialect.SQLITE)))
    return judge(split(sql, Dialect.SQLITE, "expand.sql"), stage, context)


def worst(found: list[Ruled]) -> Ruling:
    return Ruling.worst([one.ruling for one in found])


def used(path: Path, mark: str) -> set[str]:
    """What the running version can do."""
    good = set()
    for name, sql in OLD.items():
        db = sqlite3.connect(path)
        db.execute("PRAGMA foreign_keys = ON")
        try:
            db.execute(sql.format(mark)).fetchall()
            db.commit()
            good.add(name)
        except sqlite3.Error:
            pass
        finally:
            db.close()
    return good


@pytest.mark.parametrize("sql", STATEMENTS)
def test_what_is_allowed_can_be_done_and_the_running_version_goes_on(tmp_path: Path, sql: str) -> None:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as db:
        db.executescript(SCHEMA + ROWS)
    db.close()
    assert used(path, "before") == set(OLD)
    session = of(f"sqlite:///{path}").open("test")
    try:
        session.run(sql)
        done = True
    except Broken:
        done = False
    finally:
        session.close()
    found = judged(sql)
    if worst(found) is not Ruling.REFUSE:
        assert done, "it is allowed, and SQLite refuses it"
        assert used(path, "after") == set(OLD)
    assert all(one.reason for one in found if one.rule)


def test_a_table_made_anew_is_refused_in_every_stage() -> None:
    sql = "CREATE TABLE u (id INTEGER PRIMARY KEY); INSERT INTO u SELECT id FROM t; DROP TABLE t; ALTER TABLE u RENAME TO t"
    assert worst(judged(sql)) is Ruling.REFUSE
    found = judged(sql, Stage.CONTRACT)
    assert "rebuilt-by-hand" in {one.rule for one in found if one.ruling is Ruling.REFUSE}


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("ALTER TABLE t DROP COLUMN a", "sqlite-cannot"),
        ("ALTER TABLE t DROP COLUMN b", "sqlite-cannot"),
        ("ALTER TABLE t DROP COLUMN old", "column-before-trigger"),
        ("DROP INDEX ka; ALTER TABLE t DROP COLUMN a", ""),
        ("DROP TRIGGER g; ALTER TABLE t DROP COLUMN old", ""),
    ],
)
def test_a_column_goes_after_what_needs_it(tmp_path: Path, sql: str, rule: str) -> None:
    refused = {one.rule for one in judged(sql, Stage.CONTRACT) if one.ruling is Ruling.REFUSE}
    with sqlite3.connect(tmp_path / "shop.db") as db:
        db.executescript(SCHEMA)
    db.close()
    session = of(f"sqlite:///{tmp_path}/shop.db").open("test")
    told = schema.text(session)
    assert {one.rule for one in judged(sql, Stage.CONTRACT, told) if one.ruling is Ruling.REFUSE} == refused
    if rule == "column-before-trigger":
        assert rule in refused
        session.run(sql)  # SQLite lets it happen, and then
        with pytest.raises(Broken, match="no such column"):
            session.run("INSERT INTO t (a, b, n) VALUES (3, 'x', 'n')")
    elif rule:
        assert rule in refused
        with pytest.raises(Broken):
            session.run(sql)
    else:
        assert not refused
        for statement in split(sql, Dialect.SQLITE):
            session.run(statement.sql)
    session.close()


@pytest.mark.parametrize("rule", sqlite.RULES, ids=lambda rule: rule.id)
def test_each_rule_has_its_examples(rule: Rule) -> None:
    refused = judged(rule.refused.sql, rule.refused.stage, rule.refused.schema)
    assert rule.id in {each.rule for each in refused if each.ruling is rule.ruling}
    allowed = judged(rule.allowed.sql, rule.allowed.stage, rule.allowed.schema)
    assert rule.id not in {each.rule for each in allowed} or rule.ruling is Ruling.WARN
    assert worst(allowed) is not Ruling.REFUSE
