"""A file cut into statements: where each dialect's server would cut it, and errors with their place."""

from __future__ import annotations

import pytest

from greenroom.adapters.database.reading import Allow, Unreadable, split
from greenroom.domain.schema import Dialect

POSTGRES, MYSQL, SQLITE = Dialect.POSTGRES, Dialect.MYSQL, Dialect.SQLITE


def pieces(text: str, dialect: Dialect = POSTGRES) -> list[str]:
    return [statement.sql for statement in split(text, dialect, "m/expand.sql")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
        (";; SELECT 1 ;;", ["SELECT 1"]),
        ("", []),
        ("-- nothing\n/* at all */", []),
        ("SELECT ';' || ''';'; SELECT 2", ["SELECT ';' || ''';'", "SELECT 2"]),
        (r"SELECT '\'; SELECT 2", [r"SELECT '\'", "SELECT 2"]),
        (r"SELECT E'\';'; SELECT 2", [r"SELECT E'\';'", "SELECT 2"]),
        ("SELECT E'a'\n  '\\';'; SELECT 2", ["SELECT E'a'\n  '\\';'", "SELECT 2"]),
        ("SELECT E'a' -- and\n -- on\n '\\';'; SELECT 2", ["SELECT E'a' -- and\n -- on\n '\\';'", "SELECT 2"]),
        ("SELECT U&';' UESCAPE '!'; SELECT 2", ["SELECT U&';' UESCAPE '!'", "SELECT 2"]),
        ('SELECT 1 AS ";"";"; SELECT 2', ['SELECT 1 AS ";"";"', "SELECT 2"]),
        ("SELECT $$;$$; SELECT 2", ["SELECT $$;$$", "SELECT 2"]),
        ("SELECT $a$;$b$;$$;$a$; SELECT 2", ["SELECT $a$;$b$;$$;$a$", "SELECT 2"]),
        ("SELECT a$b$ FROM c$b$; SELECT 2", ["SELECT a$b$ FROM c$b$", "SELECT 2"]),
        ("SELECT $1; SELECT 2", ["SELECT $1", "SELECT 2"]),
        ("SELECT 1 /* ; /* ; */ ; */; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT 1 -- ; '\n; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT 1 --;\r; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT 5 - -1; SELECT 2", ["SELECT 5 - -1", "SELECT 2"]),
        ("\ufeffSELECT 1", ["SELECT 1"]),
        ("SELECT 'ü;é', \"ñ;\"; SELECT ñ", ["SELECT 'ü;é', \"ñ;\"", "SELECT ñ"]),
        (
            "CREATE RULE r AS ON DELETE TO t DO (DELETE FROM a; DELETE FROM b); SELECT 2",
            ["CREATE RULE r AS ON DELETE TO t DO (DELETE FROM a; DELETE FROM b)", "SELECT 2"],
        ),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3",
            [
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
                "SELECT 3",
            ],
        ),
        ("BEGIN; SELECT 1; END", ["BEGIN", "SELECT 1", "END"]),
        ("SELECT t.begin, t.end FROM t; SELECT 2", ["SELECT t.begin, t.end FROM t", "SELECT 2"]),
    ],
)
def test_postgres(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("""SELECT '\\';', "\\";", `;`; SELECT 2""", None),
        ("SELECT 1 # ;\n; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT 1 --1; SELECT 2", ["SELECT 1 --1", "SELECT 2"]),
        ("SELECT 1 -- 1;\n; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT /* /* ; */ 1; SELECT 2", ["SELECT /* /* ; */ 1", "SELECT 2"]),
        ("/*!50110 SET a = ';' */; SELECT 2", ["/*!50110 SET a = ';' */", "SELECT 2"]),
        ("SELECT 1 # ;\r; SELECT 3\n; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT $$; SELECT 2", ["SELECT $$", "SELECT 2"]),
        (
            "DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; END//\nDELIMITER ;\nSELECT 2;",
            ["CREATE PROCEDURE p() BEGIN SELECT 1; END", "SELECT 2"],
        ),
        (
            "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN IF NEW.x THEN SET NEW.y = 1; END IF; CASE NEW.z WHEN 1"
            " THEN SET NEW.y = CASE WHEN 1 THEN 2 END; END CASE; END; SELECT 2",
            None,
        ),
        ("CREATE INDEX begin ON function (a); SELECT 2", ["CREATE INDEX begin ON function (a)", "SELECT 2"]),
        ("CREATE DEFINER=`a;`@`b` TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.y = 1; SELECT 2", None),
        (
            "BEGIN NOT ATOMIC SELECT 1; SELECT 2; END; SELECT 3",
            ["BEGIN NOT ATOMIC SELECT 1; SELECT 2; END", "SELECT 3"],
        ),
    ],
)
def test_mysql(text: str, expected: list[str] | None) -> None:
    """Where nothing else is expected: all but the last `; SELECT 2` is one statement."""
    assert pieces(text, MYSQL) == (expected or [text.removesuffix("; SELECT 2"), "SELECT 2"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT [;], `;`, \";\", ';''', x'00'; SELECT 2", ["SELECT [;], `;`, \";\", ';''', x'00'", "SELECT 2"]),
        ("SELECT /* /* ; */ 1; SELECT 2", ["SELECT /* /* ; */ 1", "SELECT 2"]),
        (r"SELECT '\'; SELECT 2", [r"SELECT '\'", "SELECT 2"]),
        (
            "CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN SELECT new.end, CASE WHEN 1 THEN 2 END; SELECT 3; END; SELECT 4",
            [
                "CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN SELECT new.end, CASE WHEN 1 THEN 2 END; SELECT 3; END",
                "SELECT 4",
            ],
        ),
        ("SELECT 1 -- ;\r; SELECT 3\n; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("BEGIN; SELECT 1; END; SELECT 2", ["BEGIN", "SELECT 1", "END", "SELECT 2"]),
    ],
)
def test_sqlite(text: str, expected: list[str]) -> None:
    assert pieces(text, SQLITE) == expected


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("SELECT 1;\n  SELECT 'abc;\n", "2:10", "a string begins here and never ends"),
        ("SELECT 1;\n  SELECT E'abc\\';\n", "2:10", "a string begins here and never ends"),
        ('SELECT\n"abc', "2:1", "a quoted name begins here and never ends"),
        ("SELECT 1 /* /* */", "1:10", "a comment begins here and never ends"),
        ("\r\nSELECT $x$ $$ $y$", "2:8", "a text in $x$ begins here and never ends"),
        ("SELECT (1;\nSELECT 2;", "1:8", "( is never closed"),
        ("SELECT 1);", "1:9", ") closes nothing"),
        ("SELECT 1;\n\\d users", "2:1", "a command of the client, not SQL"),
        ("SELECT 1 \\gset", "1:10", "a command of the client, not SQL"),
        ("COPY users FROM stdin;\n1\tAnn's\n\\.\n", "1:1", "COPY FROM STDIN: a file of SQL holds no data"),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1;", "1:33", "BEGIN has no END"),
        ("SELECT 1\0", "1:9", "a zero byte, which no server takes"),
        (
            "-- greenroom: allow drop-column\nSELECT 1",
            "1:1",
            "a directive that is not understood or stands in the wrong place",
        ),
        (
            "-- greenroom: allow drop-column: \nSELECT 1",
            "1:1",
            "a directive that is not understood or stands in the wrong place",
        ),
        ("-- greenroom: skip this\nSELECT 1", "1:1", "a directive that is not understood or stands in the wrong place"),
        (
            "SELECT 1 -- greenroom: allow x: y\n",
            "1:10",
            "a directive that is not understood or stands in the wrong place",
        ),
        (
            "SELECT 1; -- greenroom: allow x: y\nSELECT 2",
            "1:11",
            "a directive that is not understood or stands in the wrong place",
        ),
        (
            "/* greenroom: allow x: y */ SELECT 1",
            "1:1",
            "a directive that is not understood or stands in the wrong place",
        ),
        ("SELECT 1;\n-- greenroom: allow x: y\n", "2:1", "no statement follows this directive"),
    ],
)
def test_what_cannot_be_cut_is_said_with_its_place(text: str, place: str, problem: str) -> None:
    with pytest.raises(Unreadable) as caught:
        split(text, POSTGRES, "m/expand.sql")
    assert caught.value.message == f"m/expand.sql:{place}: {problem}"
    assert caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "dialect", "place"),
    [
        ('SELECT "a\\";', MYSQL, "1:8"),
        ("SELECT `a", MYSQL, "1:8"),
        ("SELECT 1; /*!40101 SET a", MYSQL, "1:11"),
        ("DELIMITER\nSELECT 1", MYSQL, "1:1"),
        ("SELECT [a", SQLITE, "1:8"),
        ("CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1;", SQLITE, "1:36"),
        (".read other.sql", SQLITE, "1:1"),
    ],
)
def test_of_the_other_dialects_too(text: str, dialect: Dialect, place: str) -> None:
    with pytest.raises(Unreadable) as caught:
        split(text, dialect, "f")
    assert caught.value.place == f"f:{place}"


def test_statements_know_where_they_are() -> None:
    text = "-- first\nSELECT 1;\n\n  /* x */ SELECT\n    2 + nothing; SELECT 3"
    first, second, third = split(text, POSTGRES, "m/expand.sql")
    assert [(s.number, s.line, s.column) for s in (first, second, third)] == [(1, 2, 1), (2, 4, 11), (3, 5, 18)]
    assert second.place() == "m/expand.sql:4:11"
    assert second.place(second.sql.index("nothing")) == "m/expand.sql:5:9"
    assert first.place(7) == "m/expand.sql:2:8"


def test_directives_belong_to_the_statement_behind_them() -> None:
    text = (
        "-- an ordinary comment\n"
        "-- greenroom: allow drop-index: nobody scans it: see #12\n"
        "--greenroom: allow maintenance by Ann Lee: at night\n"
        "DROP INDEX a;\nDROP INDEX b;"
    )
    first, second = split(text, POSTGRES, "f")
    assert first.allows == (
        Allow("drop-index", "", "nobody scans it: see #12"),
        Allow("maintenance", "Ann Lee", "at night"),
    )
    assert second.allows == ()
