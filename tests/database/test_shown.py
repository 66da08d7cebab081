"""What tools print: their own transactions and tables are left out, and nothing that only looks like them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.database.reading import split
from greenroom.adapters.migrators.alembic import Alembic, AlembicSettings
from greenroom.adapters.migrators.commands import Commands
from greenroom.adapters.migrators.django import Django, DjangoSettings
from greenroom.adapters.migrators.shown import control, rewritten
from greenroom.domain.schema import Dialect, Stage

POSTGRES = "postgresql://ann@127.0.0.1/shop"
BODY = """CREATE PROCEDURE tidy() LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM notes;
COMMIT;
ALTER TABLE "notes" DROP COLUMN "text" CASCADE;
UPDATE alembic_version SET version_num = 'x';
-- Running upgrade a -> b
END $$;
INSERT INTO notes VALUES ('a text
BEGIN;
of three lines');
"""
"""With lines in it that look like others."""


def left(text: str, dialect: Dialect = Dialect.POSTGRES) -> str:
    return rewritten(text, dialect, lambda sql: "" if control(sql) else sql)


@pytest.mark.parametrize(
    ("shown", "kept"),
    [
        (f"BEGIN;\n{BODY}COMMIT;\n", f"\n{BODY}\n"),
        ("begin ;  \nSELECT 1; COMMIT; SELECT 2;\n", "\nSELECT 1; SELECT 2;\n"),
        ("-- BEGIN;\nBEGIN;\nSELECT 'COMMIT;';\n", "-- BEGIN;\n\nSELECT 'COMMIT;';\n"),
        ("START\n  TRANSACTION;\nSELECT 1\n", "\n\nSELECT 1\n"),
        ("\ufeffBEGIN;\r\nSELECT 1;\x0b\r\nCOMMIT", "\r\nSELECT 1;\x0b\r\n"),
        ("BEGIN;\nSELECT 'never closed;\n", "BEGIN;\nSELECT 'never closed;\n"),
        ("", ""),
    ],
)
def test_what_is_left_of_it(shown: str, kept: str) -> None:
    assert left(shown) == kept


def test_every_statement_stays_in_its_line() -> None:
    shown = f"BEGIN;\n\n{BODY}\nCOMMIT;\nSELECT 1;\n"
    lines = {one.sql: one.line for one in split(shown, Dialect.POSTGRES)}
    assert {one.sql: one.line for one in split(left(shown), Dialect.POSTGRES)}.items() <= lines.items()


def test_of_a_body_in_mysql_nothing_is_cut() -> None:
    body = "CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW\nBEGIN\nSET NEW.a = 'x\nCOMMIT;\n';\nEND;\n"
    assert left(f"{body}COMMIT;\n", Dialect.MYSQL) == f"{body}\n"


class Printing(Commands):
    """A tool that prints `text`, whatever it is asked."""

    text = ""

    def run(self, command: str, **_: Any) -> str:
        return self.text


def tool(text: str) -> Printing:
    made = Printing(Path(), {}, {}, 1.0)
    object.__setattr__(made, "text", text)
    return made


def test_alembic_keeps_what_a_body_or_a_text_holds() -> None:
    history = "Rev: e2 (head)\nParent: e1\nPath: e2.py\n\nRev: e1\nParent: <base>\nBranch names: expand\nPath: e1.py\n"
    printed = (
        "BEGIN;\n\nCREATE TABLE alembic_version (\n    version_num VARCHAR(32) NOT NULL\n);\n\n"
        f"-- Running upgrade  -> e1\n\n{BODY}\n"
        "INSERT INTO alembic_version (version_num) VALUES ('e1') RETURNING alembic_version.version_num;\n\n"
        "-- Running upgrade e1 -> e2\n\nSELECT 2;\n\nUPDATE alembic_version SET version_num='e2';\n\nCOMMIT;\n"
    )

    class Told(Printing):
        def run(self, command: str, **_: Any) -> str:
            return history if " history " in command else printed if "--sql" in command else ""

    settings = AlembicSettings.model_validate({"url": POSTGRES, "stages": {"expand": "e2"}})
    steps = Alembic(settings, Told(Path(), {}, {}, 1.0)).pending([Stage.EXPAND])[Stage.EXPAND]
    assert [(step.name, step.sql) for step in steps] == [("e1", BODY), ("e2", "SELECT 2;\n")]


def test_django_keeps_what_a_body_or_a_text_holds() -> None:
    sql = f'BEGIN;\n{BODY}ALTER TABLE "shop_user" DROP COLUMN "name" CASCADE;\nCOMMIT;\n'
    found = [{"app": "shop", "name": "0001", "sql": sql, "error": "", "needs": [], "python": [], "atomic": True}]
    settings = DjangoSettings.model_validate({"url": POSTGRES})
    [step] = Django(settings, tool("greenroom looks: " + json.dumps(found))).pending([Stage.EXPAND])[Stage.EXPAND]
    assert step.sql == f'{BODY}ALTER TABLE "shop_user" DROP COLUMN "name";\n'
