"""What a statement does, read from its tokens; whatever is left over makes it opaque."""

from __future__ import annotations

import pytest

from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading import changes, split
from greenroom.adapters.database.reading.change import Change, Column, Constraint, Key
from greenroom.domain.schema import Dialect

POSTGRES, MYSQL, SQLITE = Dialect.POSTGRES, Dialect.MYSQL, Dialect.SQLITE


def read(sql: str, dialect: Dialect = POSTGRES) -> list[Change]:
    [statement] = split(sql, dialect)
    return list(changes(statement, dialect))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "ALTER TABLE ONLY public.Users ADD COLUMN IF NOT EXISTS \"New\" varchar(20)[] DEFAULT 'a'::text NOT NULL",
            [c.AddColumn("public.users", Column("New", "varchar(20)[]", False, "'a'::text"), True)],
        ),
        (
            "alter table a add b double precision default -(1 + 2) check (b > 0), drop column if exists z cascade",
            [
                c.AddColumn("a", Column("b", "double precision", default="-(1 + 2)", check="b > 0")),
                c.DropColumn("a", "z", True, True),
            ],
        ),
        (
            "ALTER TABLE a ADD b timestamp(3) with time zone REFERENCES c (id) ON DELETE SET NULL DEFERRABLE",
            [c.AddColumn("a", Column("b", "timestamp(3) with time zone", references=Key("c", ("id",), "SET NULL")))],
        ),
        (
            "ALTER TABLE a ADD CONSTRAINT k FOREIGN KEY (b) REFERENCES shop.c ON DELETE CASCADE NOT VALID",
            [
                c.AddConstraint(
                    "a", Constraint("foreign", "k", ("b",), references=Key("shop.c", (), "CASCADE"), not_valid=True)
                )
            ],
        ),
        ("ALTER TABLE a ADD UNIQUE USING INDEX i", [c.AddConstraint("a", Constraint("unique", using_index="i"))]),
        (
            "ALTER TABLE a ALTER b SET DATA TYPE numeric(10,2) USING b::numeric, ALTER COLUMN c DROP DEFAULT",
            [c.AlterType("a", "b", "numeric(10, 2)", "b::numeric"), c.DropDefault("a", "c")],
        ),
        ("ALTER TABLE a RENAME b TO c", [c.RenameColumn("a", "b", "c")]),
        ("ALTER TABLE s.a RENAME TO b", [c.RenameTable("s.a", "s.b")]),
        ("ALTER TABLE a SET SCHEMA s", [c.RenameTable("a", "s.a")]),
        ("ALTER TABLE a DISABLE TRIGGER ALL", [c.AlterTable("a", "DISABLE TRIGGER", "DISABLE TRIGGER ALL")]),
        (
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON a USING btree (lower(b), c DESC NULLS LAST) WHERE d > 1",
            [c.CreateIndex("a", "i", ("lower(b)", "c"), True, True, True, where="d > 1", method="btree")],
        ),
        ("DROP INDEX CONCURRENTLY a, s.b", [c.DropIndex("a", True), c.DropIndex("s.b", True)]),
        ("DROP TABLE IF EXISTS a, b CASCADE", [c.DropTable("a", True, True), c.DropTable("b", True, True)]),
        ("TRUNCATE ONLY a RESTART IDENTITY CASCADE", [c.Truncate("a", True)]),
        (
            "UPDATE a AS x SET b = c + 1, (d, e) = (SELECT 1, 2) FROM y WHERE x.z = y.z",
            [
                c.Update(
                    "a",
                    (("b", "c + 1"), ("d", "(SELECT 1, 2)"), ("e", "(SELECT 1, 2)")),
                    "x.z = y.z",
                    ("y",),
                    alias="x",
                )
            ],
        ),
        (
            "INSERT INTO a (b) SELECT c FROM d JOIN e ON d.x = e.x ON CONFLICT (b) DO NOTHING",
            [c.Insert("a", ("b",), True, "nothing")],
        ),
        ("SELECT now(), pg_catalog.random(), f(x) FROM a FOR UPDATE", [c.Query(("now", "random", "f"), True)]),
        ("COMMENT ON COLUMN a.b IS 'x'", [c.Setting("", "COMMENT ON COLUMN a.b")]),
        ("SET LOCAL lock_timeout = 0", [c.Session("SET")]),
        ("VACUUM (FULL, ANALYZE) a", [c.Maintenance("VACUUM FULL")]),
        ("ALTER SYSTEM SET a = 1", [c.Server("ALTER SYSTEM")]),
    ],
)
def test_postgres(sql: str, expected: list[Change]) -> None:
    assert read(sql) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "ALTER TABLE a ADD COLUMN (B int unsigned NOT NULL DEFAULT 0 COMMENT 'x' AFTER c, d int), ADD KEY k (b(10)),"
            " ALGORITHM=INPLACE, LOCK NONE",
            [
                c.AddColumn("a", Column("b", "int unsigned", False, "0", place="AFTER c")),
                c.AddColumn("a", Column("d", "int")),
                c.CreateIndex("a", "k", ("b(10)",)),
                c.Algorithm("a", "ALGORITHM", "INPLACE"),
                c.Algorithm("a", "LOCK", "NONE"),
            ],
        ),
        (
            "ALTER TABLE `A` CHANGE b c varchar(30) NULL ON UPDATE CURRENT_TIMESTAMP(6), DROP PRIMARY KEY",
            [
                c.Redefine("A", "b", Column("c", "varchar(30)", on_update="CURRENT_TIMESTAMP(6)")),
                c.DropConstraint("A", "primary", kind="primary"),
            ],
        ),
        ("RENAME TABLE a TO b, c TO d", [c.RenameTable("a", "b"), c.RenameTable("c", "d")]),
        ("CREATE /*!50000 UNIQUE */ INDEX i ON t (a)", [c.CreateIndex("t", "i", ("a",), True)]),
        ("REPLACE INTO a VALUES (1)", [c.Insert("a", conflict="replace")]),
        ("DROP INDEX i ON t", [c.DropIndex("i", table="t")]),
        ("UPDATE a SET b = 1 ORDER BY c LIMIT 3", [c.Update("a", (("b", "1"),), limited=True)]),
    ],
)
def test_mysql(sql: str, expected: list[Change]) -> None:
    assert read(sql, MYSQL) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "CREATE TABLE [Users] (Id INTEGER PRIMARY KEY AUTOINCREMENT, name, age INT NOT NULL ON CONFLICT IGNORE) STRICT",
            [
                c.CreateTable(
                    "users",
                    (
                        Column("id", "integer", primary=True, auto_increment=True),
                        Column("name"),
                        Column("age", "int", nullable=False),
                    ),
                    options="STRICT",
                )
            ],
        ),
        ("ALTER TABLE main.users ADD x TEXT", [c.AddColumn("users", Column("x", "text"))]),
        ("INSERT OR REPLACE INTO a VALUES (1)", [c.Insert("a", conflict="replace")]),
        ("PRAGMA foreign_keys = OFF", [c.Session("PRAGMA")]),
    ],
)
def test_sqlite(sql: str, expected: list[Change]) -> None:
    assert read(sql, SQLITE) == expected


@pytest.mark.parametrize(
    ("sql", "dialect"),
    [
        ("DO $$ BEGIN END $$", POSTGRES),
        ("ALTER TABEL users DROP a", POSTGRES),
        ("ALTER TABLE users", POSTGRES),
        ("ALTER TABLE users ADD COLUMN", POSTGRES),
        ("ALTER TABLE users DROP a b", POSTGRES),
        ("DROP TABLE users extra", POSTGRES),
        ('ALTER TABLE U&"\\0075sers" DROP a', POSTGRES),
        ('DROP TABLE "public.users"', POSTGRES),
        ("SELECT * INTO b FROM a", POSTGRES),
        ("WITH gone AS (DELETE FROM a RETURNING *) SELECT * FROM gone", POSTGRES),
        ("UPDATE a SET b = 1 WHERE c IN (WITH d AS (DELETE FROM e RETURNING f) SELECT f FROM d)", POSTGRES),
        ("CREATE TABLE a AS WITH b AS (DELETE FROM c RETURNING *) SELECT * FROM b", POSTGRES),
        ("CREATE TABLE a AS EXECUTE b", POSTGRES),
        ("EXPLAIN (ANALYZE) DELETE FROM a", POSTGRES),
        ("MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE", POSTGRES),
        ("CREATE SCHEMA s CREATE TABLE t (a int)", POSTGRES),
        ("/*!80000 DROP TABLE a */", MYSQL),
        ("/*M!100100 DROP TABLE a */", MYSQL),
        ("CREATE OR REPLACE TABLE a (b int)", MYSQL),
        ("CREATE VIRTUAL TABLE a USING fts5(b)", SQLITE),
        ("gibberish", POSTGRES),
    ],
)
def test_what_is_not_understood_is_opaque(sql: str, dialect: Dialect) -> None:
    [found] = read(sql, dialect)
    assert isinstance(found, c.Opaque)
    assert found.why


def test_where_understanding_ends_is_known() -> None:
    [found] = read("DROP TABLE users,\n  1")
    assert isinstance(found, c.Opaque)
    assert found.at == len("DROP TABLE users,\n  ")


def test_an_action_of_a_newer_server_is_named() -> None:
    assert read("ALTER TABLE users DROP a, FROBNICATE all")[1] == c.AlterTable(
        "users", "FROBNICATE ALL", "FROBNICATE all"
    )
