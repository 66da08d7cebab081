"""What is said of MariaDB, tried on MariaDB: what is allowed it does while users write, what it cannot is refused before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from greenroom.adapters.database.judging import RULES, Context, Schema, judge
from greenroom.adapters.database.judging.rules import mysql
from greenroom.adapters.database.mysql import schema
from greenroom.adapters.database.mysql.online import Way, forms
from greenroom.adapters.database.mysql.target import MysqlTarget
from greenroom.adapters.database.reading import split
from greenroom.adapters.database.target import Broken
from greenroom.domain.schema import Dialect, Ruled, Ruling, Stage
from tests.rigs import mariadb
from tests.rigs.mariadb import Server

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("mariadb")]
SCHEMA = """
CREATE TABLE parents (id int PRIMARY KEY) ENGINE=InnoDB;
CREATE TABLE t (
    id int PRIMARY KEY AUTO_INCREMENT, a int, b varchar(50), old varchar(50), c int NOT NULL DEFAULT 0,
    e enum('x', 'y') NOT NULL DEFAULT 'x', n varchar(20) NOT NULL, txt text, d decimal(10, 2), at datetime,
    l varchar(100) CHARACTER SET latin1, KEY ka (a), UNIQUE KEY ub (b),
    CONSTRAINT big CHECK (c >= 0), CONSTRAINT up FOREIGN KEY (c) REFERENCES parents (id)
) ENGINE=InnoDB CHARACTER SET utf8mb4;
"""
ROWS = "INSERT INTO parents VALUES (0); INSERT INTO t (a, b, n) VALUES (1, 'q', 'n'), (2, 'r', 'm')"
OLD = {
    "write": "INSERT INTO t (a, b, n) VALUES (3, '{0}', 'n')",
    "read": "SELECT a, b, old, c, e, n, txt, d, at, l FROM t",
    "change": "UPDATE t SET a = 7, n = REPEAT('n', 20), e = 'y' WHERE id = 1",
    "twin": "INSERT INTO t (a, b, n, d) VALUES (3, '{0}twin', 'n', 12345678.9)",
}
"""What the running version does; `{0}` differs each time."""

ALTERS = [
    "ADD COLUMN z INT",
    "ADD COLUMN z INT NOT NULL",
    "ADD COLUMN z INT NOT NULL DEFAULT 5",
    "ADD COLUMN z INT AFTER id",
    "ADD COLUMN z INT FIRST, ADD COLUMN y INT",
    "ADD COLUMN z DATETIME DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP",
    "ADD COLUMN z VARCHAR(36) DEFAULT (UUID())",
    "ADD COLUMN z INT AS (a * 2) VIRTUAL",
    "ADD COLUMN z INT AS (a * 2) STORED",
    "ADD COLUMN z INT UNIQUE",
    "ADD COLUMN z INT NOT NULL DEFAULT 1 UNIQUE",
    "ADD COLUMN z INT CHECK (z > 0)",
    "ADD COLUMN z INT CHECK (z IS NOT NULL)",
    "ADD COLUMN z INT REFERENCES parents (id)",
    "ADD COLUMN z INT, ADD INDEX kz (z)",
    "ADD COLUMN z INT, ALGORITHM=COPY",
    "ADD COLUMN z INT, ALGORITHM=INPLACE, LOCK=SHARED",
    "DROP COLUMN old",
    "RENAME COLUMN d TO dd",
    "CHANGE d dd DECIMAL(10, 2)",
    "MODIFY d DECIMAL(12, 2)",
    "MODIFY d DECIMAL(8, 2)",
    "MODIFY a BIGINT",
    "MODIFY a INT UNSIGNED",
    "MODIFY a INT(11)",
    "MODIFY b VARCHAR(63)",
    "MODIFY b VARCHAR(64)",
    "MODIFY b VARCHAR(40)",
    "MODIFY l VARCHAR(200) CHARACTER SET latin1",
    "MODIFY l VARCHAR(100) CHARACTER SET utf8mb4",
    "MODIFY b TEXT",
    "MODIFY txt LONGTEXT",
    "MODIFY b VARCHAR(50) COLLATE utf8mb4_bin",
    "MODIFY e ENUM('x', 'y', 'z') NOT NULL DEFAULT 'x'",
    "MODIFY e ENUM('z', 'x', 'y') NOT NULL DEFAULT 'x'",
    "MODIFY e ENUM('x') NOT NULL DEFAULT 'x'",
    "MODIFY a INT NOT NULL",
    "MODIFY n VARCHAR(20) NULL",
    "MODIFY n VARCHAR(20) NOT NULL COMMENT 'a name'",
    "MODIFY c INT NOT NULL",
    "MODIFY c INT NOT NULL DEFAULT 0 FIRST",
    "ALTER COLUMN c DROP DEFAULT",
    "ADD INDEX kn (n)",
    "ADD UNIQUE INDEX un (n)",
    "ADD FULLTEXT INDEX words (txt)",
    "RENAME INDEX ka TO kb",
    "DROP PRIMARY KEY, ADD PRIMARY KEY (id, n)",
    "ADD CONSTRAINT up2 FOREIGN KEY (a) REFERENCES parents (id)",
    "DROP FOREIGN KEY up",
    "ADD CONSTRAINT a1 CHECK (a > 0)",
    "DROP CONSTRAINT big",
    "COMMENT = 'words'",
    "CONVERT TO CHARACTER SET latin1",
    "DEFAULT CHARACTER SET latin1",
    "AUTO_INCREMENT = 100",
    "ENGINE=InnoDB",
    "FORCE",
    "ROW_FORMAT=COMPRESSED",
    "PARTITION BY HASH (id) PARTITIONS 4",
    "ORDER BY n",
]
CANNOT = {"change-type", "copies-table", "keeps-writers-out", "narrows-type", "volatile-default", "add-generated"}
CANNOT |= {"foreign-key-locks", "asks-for-lock", "partition", "table-action"}
"""Rules by which it is said that the server cannot do it while users write."""


def judged(sql: str, stage: Stage = Stage.EXPAND, schema: str = SCHEMA) -> list[Ruled]:
    context = Context(Dialect.MYSQL, "41", Schema(split(schema, Dialect.MYSQL)))
    return judge(split(sql, Dialect.MYSQL, "expand.sql"), stage, context)


def worst(found: list[Ruled]) -> Ruling:
    return Ruling.worst([one.ruling for one in found])


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with mariadb.shared() as made:
        yield made


@pytest.fixture(scope="module")
def shop(server: Server) -> Iterator[str]:
    name = server.database()
    yield name
    server.drop(name)


def fresh(server: Server, shop: str) -> None:
    again = "DROP TABLE IF EXISTS t; DROP TABLE IF EXISTS parents;"
    statements = [one.sql for one in split(again + SCHEMA + ROWS, Dialect.MYSQL)]
    server.run(*statements, database=shop)


def taken(server: Server, shop: str, sql: str) -> Way | None:
    """How the server does it, None if it cannot while users write."""
    session = MysqlTarget(server.url(shop)).open("test")
    try:
        for form in forms(sql):
            try:
                session.run(form.sql)
                return form.way
            except Broken:
                continue
        return None
    finally:
        session.close()


def used(server: Server, shop: str, mark: str) -> set[str]:
    """What the running version can do."""
    good = set()
    with closing(MysqlTarget(server.url(shop)).open("test")) as session:
        for name, sql in OLD.items():
            with suppress(Broken):
                session.rows(sql.format(mark))
                good.add(name)
    return good


@pytest.mark.parametrize("action", ALTERS)
def test_what_is_allowed_can_be_done_while_the_running_version_goes_on(server: Server, shop: str, action: str) -> None:
    sql = f"ALTER TABLE t {action}"
    found = judged(sql)
    rules = {one.rule for one in found if one.ruling is Ruling.REFUSE}
    fresh(server, shop)
    assert used(server, shop, "before") == set(OLD)
    way = taken(server, shop, sql)
    after = used(server, shop, "after")
    if worst(found) is not Ruling.REFUSE:
        assert way is not None, "it is allowed, and the server cannot do it online"
        assert after == set(OLD)
    elif rules <= CANNOT:
        assert way is None or way is Way.ASKED, "it is refused, and the server could have done it"
    else:
        assert rules, found


@pytest.mark.parametrize("action", ["ENGINE=InnoDB", "MODIFY n VARCHAR(20) NULL", "MODIFY a INT NOT NULL"])
def test_what_builds_the_table_anew_is_told(action: str) -> None:
    assert worst(judged(f"ALTER TABLE t {action}", Stage.CONTRACT)) is Ruling.WARN


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("DROP TABLE t, parents", "several-at-once"),
        ("RENAME TABLE t TO a, parents TO b", "several-at-once"),
        ("CREATE TABLE x (n INT) ENGINE=InnoDB AS SELECT 1 AS n", "table-from-query"),
        ("CREATE TABLE x (id INT) ENGINE = aria", "no-transactions"),
        ("ALTER TABLE t ENGINE=MyISAM", "no-transactions"),
        ("ALTER TABLE shop.t ADD COLUMN z INT", "other-database"),
        ("/*!99999 ALTER TABLE t ADD COLUMN z INT */", "not-understood"),
        ("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM t", "server-wide"),
        ("CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1", "create-trigger"),
        ("CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW DELETE FROM parents", "create-trigger"),
        ("CREATE OR REPLACE TABLE t (id INT)", "not-understood"),
        ("ALTER TABLE t DROP PARTITION p0", "partition"),
        ("ALTER TABLE t DISCARD TABLESPACE", "table-action"),
        ("LOCK TABLES t WRITE", "lock-table"),
        ("ALTER TABLE t ADD UNIQUE KEY (n)", "unique-breaks-writes"),
        ("ALTER TABLE t DROP INDEX ub", "drop-index"),
        ("OPTIMIZE TABLE t", "maintenance"),
        ("SET GLOBAL read_only = 1", "session-setting"),
        ("CALL everything()", "not-understood"),
    ],
)
def test_what_is_refused_says_why(sql: str, rule: str) -> None:
    found = judged(sql)
    assert rule in {one.rule for one in found if one.ruling is Ruling.REFUSE}
    assert all(one.reason and one.instead for one in found if one.rule)


def test_a_release_may_do_with_its_own_tables_what_it_likes() -> None:
    made = "CREATE TABLE x (id INT PRIMARY KEY, a INT, w TEXT) ENGINE=InnoDB;"
    for action in ("MODIFY a BIGINT", "ADD CHECK (a > 0)", "ADD FULLTEXT INDEX (w)", "CONVERT TO CHARACTER SET latin1"):
        assert worst(judged(f"{made} ALTER TABLE x {action}")) is Ruling.ALLOW, action


def test_without_the_schema_a_new_definition_is_refused() -> None:
    context = Context(Dialect.MYSQL, "41")
    found = judge(split("ALTER TABLE t MODIFY b VARCHAR(60)", Dialect.MYSQL), Stage.EXPAND, context)
    assert [one.rule for one in found] == ["redefines-unknown"]


def test_a_trigger_that_fills_what_is_new_is_allowed() -> None:
    added = "ALTER TABLE t ADD COLUMN z VARCHAR(50);"
    good = "CREATE TRIGGER zz BEFORE INSERT ON t FOR EACH ROW SET NEW.z = COALESCE(NEW.z, NEW.old)"
    assert worst(judged(f"{added} {good}")) is Ruling.ALLOW
    assert worst(judged(f"{added} {good.replace('NEW.z =', 'NEW.b =')}")) is Ruling.REFUSE
    assert worst(judged(f"{added} {good.replace('COALESCE', 'secret')}")) is Ruling.REFUSE


def test_a_column_goes_after_the_trigger_that_needs_it() -> None:
    trigger = "CREATE TRIGGER zz BEFORE INSERT ON t FOR EACH ROW SET NEW.b = NEW.old;"
    drop = "ALTER TABLE t DROP COLUMN old"
    found = judged(drop, Stage.CONTRACT, SCHEMA + trigger)
    assert "column-before-trigger" in {one.rule for one in found}
    assert worst(judged(f"DROP TRIGGER zz; {drop}", Stage.CONTRACT, SCHEMA + trigger)) is Ruling.ALLOW
    assert worst(judged("ALTER TABLE t DROP COLUMN txt", Stage.CONTRACT, SCHEMA + trigger)) is Ruling.ALLOW


@pytest.mark.parametrize("rule", mysql.RULES, ids=lambda rule: rule.id)
def test_each_rule_has_its_examples(rule: object) -> None:
    one = RULES[rule.id]  # type: ignore[attr-defined]
    refused = judged(one.refused.sql, one.refused.stage, one.refused.schema)
    assert one.id in {each.rule for each in refused if each.ruling is one.ruling}
    allowed = judged(one.allowed.sql, one.allowed.stage, one.allowed.schema)
    assert one.id not in {each.rule for each in allowed}
    assert worst(allowed) is not Ruling.REFUSE


def test_the_schema_that_the_server_tells_is_judged_like_the_one_that_was_written(server: Server, shop: str) -> None:
    fresh(server, shop)
    server.run(
        "CREATE OR REPLACE VIEW v AS SELECT id FROM t",
        "CREATE TRIGGER zz BEFORE INSERT ON t FOR EACH ROW BEGIN SET NEW.old = NEW.b; SET NEW.a = 1; END",
        database=shop,
    )
    with closing(MysqlTarget(server.url(shop)).open("test")) as session:
        told = schema.text(session)
    server.run("DROP VIEW v", database=shop)
    assert "DEFINER=" not in told.replace(" ", "")
    for action in ALTERS:
        if action != "DROP COLUMN old":  # which the trigger needs
            sql = f"ALTER TABLE t {action}"
            unlike = {"", "check-breaks-writes", "drop-constraint"}  # a trigger more: what it writes is not known
            rules = {one.rule for one in judged(sql, schema=told)} - unlike
            wanted = {one.rule for one in judged(sql)} - unlike
            assert rules == wanted, action
    found = judged("ALTER TABLE t DROP COLUMN old", Stage.CONTRACT, told)
    assert "column-before-trigger" in {one.rule for one in found}
