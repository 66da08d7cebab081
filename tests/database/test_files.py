"""The folder of migrations: everything that is wrong with it is told at once, with file, line and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenroom.adapters.database import files
from greenroom.domain.schema import Dialect, Stage

GOOD = "ALTER TABLE users ADD COLUMN new text;\n"


def read(folder: Path, dialect: Dialect = Dialect.POSTGRES) -> files.Found:
    return files.read(folder / "migrations", "migrations", dialect)


def write(folder: Path, name: str, content: str | bytes = GOOD) -> None:
    path = folder / "migrations" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def only(folder: Path) -> str:
    [problem] = read(folder).problems
    return problem


def test_in_the_order_of_names(tmp_path: Path) -> None:
    write(tmp_path, "0008_b/contract.sql")
    write(tmp_path, "0007_a/expand.sql")
    write(tmp_path, "0007_a/backfill.yaml", "table: users\nset: {new: old}\n")
    found = read(tmp_path)
    assert found.problems == ()
    assert [migration.name for migration in found.migrations] == ["0007_a", "0008_b"]
    scripts = found.migrations[0].scripts
    assert scripts[Stage.EXPAND].file == "migrations/0007_a/expand.sql"
    assert scripts[Stage.BACKFILL].text.startswith("table: users")


def test_what_lies_beside_is_left_alone(tmp_path: Path) -> None:
    for name in (
        "README.md",
        ".gitkeep",
        "0007_a/notes.md",
        "0007_a/.editorconfig",
        "_template/expand.sql",
        ".old/x.sql",
    ):
        write(tmp_path, name)
    write(tmp_path, "0007_a/expand.sql")
    found = read(tmp_path)
    assert found.problems == ()
    assert [migration.name for migration in found.migrations] == ["0007_a"]


def test_a_byte_order_mark_and_line_ends_change_nothing(tmp_path: Path) -> None:
    write(tmp_path, "0007_a/expand.sql")
    plain = read(tmp_path).migrations[0]
    write(tmp_path, "0007_a/expand.sql", b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    again = read(tmp_path)
    assert again.problems == ()
    assert again.migrations[0].checksum == plain.checksum


def test_no_folder(tmp_path: Path) -> None:
    assert files.read(tmp_path / "migrations", "migrations", Dialect.POSTGRES) == files.Found((), ())
    assert files.read(tmp_path / "db", "db", Dialect.POSTGRES).problems == (
        "db: there is no such folder; make it, with a folder for each migration, or see migrations.folder",
    )
    (tmp_path / "migrations").write_text("")
    assert "is no folder" in only(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("0009.sql", "put it into a folder of its own, as NAME/expand.sql"),
        ("notes.txt", "take it away"),
        ("0007_a/expnad.sql", "did you mean expand.sql?"),
        ("0007_a/expand.SQL", "did you mean expand.sql?"),
        ("0007_a/backfill.yml", "did you mean backfill.yaml?"),
        ("0007_a/notes.txt", "a migration is made of expand.sql, backfill.sql, backfill.yaml, contract.sql"),
        ("0007_a/more/expand.sql", "a migration is made of"),
    ],
)
def test_a_stray_file(tmp_path: Path, name: str, said: str) -> None:
    write(tmp_path, "0007_a/expand.sql")
    write(tmp_path, name)
    problem = only(tmp_path)
    assert problem.startswith(f"migrations/{'/'.join(name.split('/')[:2])}: ")
    assert said in problem


def test_a_migration_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "migrations" / "0007_a").mkdir(parents=True)
    assert "migrations/0007_a: holds no migration" in only(tmp_path)


def test_two_backfills(tmp_path: Path) -> None:
    write(tmp_path, "0007_a/backfill.sql", "UPDATE users SET new = old")
    write(tmp_path, "0007_a/backfill.yaml", "table: users\nset: {new: old}")
    assert "there is a backfill.yaml as well: keep one of them" in only(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expand.sql: is empty"),
        (" \n\t\n", "expand.sql: is empty"),
        ("-- later\n/* or never */\n;;\n", "expand.sql: holds comments and no statement"),
        (b"SELECT 1;\n-- caf\xe9\n", "expand.sql:2: not UTF-8 (byte 0xe9)"),
        (GOOD.encode("utf-16"), "expand.sql:1: not UTF-8"),
        (b"SELECT 1;\nSELECT '\0';\n", "expand.sql:2: holds a NUL character"),
        (f"{GOOD}SELECT 'never closed;\n", "expand.sql:2:8"),
        (f"{GOOD}\n/* never closed\n", "expand.sql:3:1"),
        (f"{GOOD}DO $$ BEGIN END $;\n", "expand.sql:2:4"),
        (f"{GOOD}\\i other.sql\n", "expand.sql:2:1"),
        ("-- greenroom: alow drop-column: why\nSELECT 1;\n", "expand.sql:1:1"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, text: str | bytes, said: str) -> None:
    write(tmp_path, "0007_a/expand.sql", text)
    assert only(tmp_path).startswith(f"migrations/0007_a/{said}")
    assert read(tmp_path).migrations == ()


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("-- contract", "expand.sql:2: a part for contract in a file of expand: move what follows to contract.sql"),
        ("-- Contract:", "expand.sql:2: a part for contract"),
        ("-- phase: backfill", "expand.sql:2: a part for backfill"),
        ("--- backfill ---", "expand.sql:2: a part for backfill"),
        ("-- +goose Down", "expand.sql:2: a part that goes back"),
        ("-- +migrate Down", "expand.sql:2: a part that goes back"),
        ("-- migrate:down", "expand.sql:2: a part that goes back"),
        ("-- //@UNDO", "expand.sql:2: a part that goes back"),
        ("-- rollback", "expand.sql:2: a part that goes back"),
    ],
)
def test_several_stages_in_one_file(tmp_path: Path, marker: str, said: str) -> None:
    write(tmp_path, "0007_a/expand.sql", f"{GOOD}{marker}\nALTER TABLE users DROP COLUMN old;\n")
    assert said in only(tmp_path)


@pytest.mark.parametrize(
    "comment",
    ["-- expand", "-- +migrate Up", "-- the contract of ann", "-- backfill comes later", "SELECT '-- contract';"],
)
def test_a_comment_is_a_comment(tmp_path: Path, comment: str) -> None:
    write(tmp_path, "0007_a/expand.sql", f"{comment}\n{GOOD}")
    assert read(tmp_path).problems == ()


@pytest.mark.parametrize("name", ["0007 a", "0007,a", "-a", "ü", "a" * 101])
def test_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"{name}/expand.sql")
    assert only(tmp_path).startswith(f"migrations/{name}: a migration's name is made of")


def test_names_that_say_two_orders(tmp_path: Path) -> None:
    for name in ("10_b", "9_a"):
        write(tmp_path, f"{name}/expand.sql")
    assert only(tmp_path) == (
        "migrations/10_b: comes before 9_a by name, and after it by number: write numbers with the same count of digits"
    )


def test_names_that_differ_in_capitals(tmp_path: Path) -> None:
    for name in ("0007_A", "0007_a"):
        write(tmp_path, f"{name}/expand.sql")
    problems = read(tmp_path).problems
    assert len(problems) == 2
    assert all("differs in capitals only" in problem for problem in problems)


def test_what_is_too_large(tmp_path: Path) -> None:
    write(tmp_path, "0007_a/expand.sql", b"SELECT 1; " + b" " * files.LARGEST)
    assert "larger than 5 MB: load data outside of migrations" in only(tmp_path)


def test_everything_at_once(tmp_path: Path) -> None:
    write(tmp_path, "stray.sql")
    write(tmp_path, "0007_a/expand.sql", "SELECT 'never closed")
    write(tmp_path, "0008_b/expand.sql", "")
    write(tmp_path, "0009_c/expand.sql")
    found = read(tmp_path)
    assert len(found.problems) == 3
    assert [migration.name for migration in found.migrations] == ["0009_c"]
