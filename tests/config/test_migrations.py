"""`migrations:` in the file: what is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenroom.config.loader import load
from greenroom.errors import UsageError

FILE = """
service: shop
environment:
  type: process
  processes: {web: {command: "python app.py --port {port}"}}
migrations: %s
"""
URL = "postgresql://ann:s3cr3t@db.example/shop"


def refusal(section: str, folder: Path) -> str:
    (folder / "greenroom.yaml").write_text(FILE % section)
    with pytest.raises(UsageError) as caught:
        load(folder / "greenroom.yaml", {"DATABASE_URL": URL})
    return caught.value.message


@pytest.mark.parametrize("type", ["alembic", "django"])
def test_a_secret_in_a_tools_command_is_refused_and_not_shown(type: str, tmp_path: Path) -> None:
    command = "alembic -x url=${DATABASE_URL}"
    said = refusal(f'{{type: {type}, url: "${{DATABASE_URL}}", command: "{command}"}}', tmp_path)
    assert "migrations.command: holds ${DATABASE_URL}, which everybody could read in the process list" in said
    assert "s3cr3t" not in said


def test_so_it_is_in_commands_of_ones_own(tmp_path: Path) -> None:
    said = refusal(
        '{type: command, url: "${DATABASE_URL}", print: "show ${DATABASE_URL}", apply: "do it", verify: "look"}',
        tmp_path,
    )
    assert "migrations.print: holds ${DATABASE_URL}" in said
    assert "s3cr3t" not in said


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("{}", "migrations.url: is missing"),
        ("{url: 'oracle://h/x'}", "migrations.url: is no address of a database that Greenroom knows"),
        ("{url: 'sqlite:///x.db', contract: later}", "migrations.contract"),
        ("{url: 'sqlite:///x.db', soft_drop: 24}", "24 has no unit"),
        ("{url: 'sqlite:///x.db', colours: {blue: shop}}", "names a role for blue and another for green"),
        ("{type: flyway, url: 'sqlite:///x.db'}", "there is no migrator `flyway`"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(section: str, says: str, tmp_path: Path) -> None:
    assert says in refusal(section, tmp_path)
