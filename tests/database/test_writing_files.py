"""What the helpers write on the disk, and how they read names and expressions: without a server."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from greenroom.adapters.database.writing import Draft, names
from greenroom.adapters.database.writing.asking import steady
from greenroom.adapters.database.writing.draft import draft, numbered
from greenroom.adapters.database.writing.retype import widens
from greenroom.adapters.database.writing.sync import function
from greenroom.domain.schema import Stage
from greenroom.errors import UsageError

FILES = [
    (Stage.EXPAND, "sql", "SELECT 1;\n"),
    (Stage.BACKFILL, "yaml", "table: t\n"),
    (Stage.CONTRACT, "sql", "SELECT 2;\n"),
]


def quote(name: str) -> str:
    return name if name.isidentifier() and name.islower() else '"' + name.replace('"', '""') + '"'


def made(folder: Path, name: str = "") -> Draft:
    return draft(folder, name, "users_new", FILES, [])


def test_files_are_written_under_the_next_number(tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    one = made(folder)
    assert one.migration.name == "0001_users_new"
    assert not folder.exists()
    paths = one.save(folder)
    assert {path.name: path.read_text() for path in paths} == {
        "expand.sql": "SELECT 1;\n", "backfill.yaml": "table: t\n", "contract.sql": "SELECT 2;\n",
    }  # fmt: skip
    assert one.migration.scripts[Stage.BACKFILL].file == "migrations/0001_users_new/backfill.yaml"
    assert made(folder).migration.name == "0002_users_new"


@pytest.mark.parametrize(
    ("there", "next_one"), [([], "0001_x"), (["007_a", "12_b"], "13_x"), (["0099_a", "c"], "0100_x")]
)
def test_numbers_go_on_as_they_were_written(tmp_path: Path, there: list[str], next_one: str) -> None:
    for name in there:
        (tmp_path / name).mkdir()
    (tmp_path / "9999_a_file").touch()
    assert numbered(tmp_path, "x") == next_one
    assert numbered(tmp_path, 'Odd "Näme"').endswith("_odd_n_me")


def test_what_is_there_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "0001_mine").mkdir()
    (tmp_path / "0001_mine" / "expand.sql").write_text("-- by hand")
    with pytest.raises(UsageError, match="exists already") as refused:
        made(tmp_path, "0001_mine").save(tmp_path)
    assert "--name" in refused.value.hint
    assert [path.name for path in (tmp_path / "0001_mine").iterdir()] == ["expand.sql"]
    assert (tmp_path / "0001_mine" / "expand.sql").read_text() == "-- by hand"


def test_of_two_at_once_one_writes(tmp_path: Path) -> None:
    outcomes: list[str] = []
    barrier = threading.Barrier(4)

    def save() -> None:
        one = made(tmp_path, "0001_same")
        barrier.wait(10)
        try:
            outcomes.append(f"{len(one.save(tmp_path))} files")
        except UsageError as error:
            outcomes.append(error.message.rpartition("/")[2])

    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(outcomes) == ["0001_same exists already"] * 3 + ["3 files"]


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "a b", "é"])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    if name:
        with pytest.raises(UsageError, match="no name for a migration"):
            made(tmp_path, name)


def test_a_folder_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError):
        made(tmp_path / "file" / "migrations").save(tmp_path / "file" / "migrations")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("users.city", names.Place("", "users", "city")),
        ("Users.City", names.Place("", "users", "city")),
        ('shop."Users"."The ""City"""', names.Place("shop", "Users", 'The "City"')),
        (' users . "a.b" ', names.Place("", "users", "a.b")),
    ],
)
def test_a_column_is_named_as_in_sql(text: str, place: names.Place) -> None:
    assert names.place(text) == place


@pytest.mark.parametrize(
    ("sql", "swapped"),
    [
        ("btree (old, lower(old)) WHERE (old > 'old'::text)", "btree (N, lower(N)) WHERE (N > 'old'::text)"),
        ("btree (old(x), (old)::old, y COLLATE old)", "btree (old(x), (N)::old, y COLLATE old)"),
        ('btree ("old", "Old", older, f.old)', 'btree (N, "Old", older, f.old)'),
        ("CHECK ((old ~ E'\\'old'))", "CHECK ((N ~ E'\\'old'))"),
    ],
)
def test_only_the_column_is_swapped(sql: str, swapped: str) -> None:
    assert names.swapped(sql, "old", "N")[0] == swapped


def test_names_are_derived_short_and_free() -> None:
    assert names.derived("users_old_idx", "old", "new", ()) == "users_new_idx"
    assert names.derived("by_day", "old", "new", ()) == "by_day_new"
    long = names.derived("old" + "x" * 58, "old", "ä" * 30, ())
    assert len(long.encode()) <= 63
    taken = names.derived("users_old_idx", "old", "new", {"users_new_idx"})
    assert taken != "users_new_idx"
    assert names.derived("users_old_idx", "old", "new", {"users_new_idx", taken}) not in ("users_new_idx", taken)


def test_expressions_are_read_over_the_row() -> None:
    columns = {"name", "Full Name", "id"}
    row = names.of_row("split_part(name, 'name', 1) || users.name || \"Full Name\"::name", columns, "users", quote)
    assert row == "split_part(NEW.name, 'name', 1) || NEW.name || NEW.\"Full Name\"::name"
    assert names.listed("f(a, b), 'c, d', (e, g)[1]") == ["f(a, b)", "'c, d'", "(e, g)[1]"]
    for wrong in ("(SELECT 1)", "name; DROP TABLE users", "name -- that", "NEW.name"):
        with pytest.raises(UsageError):
            names.of_row(wrong, columns, "users", quote)


@pytest.mark.parametrize(
    "default",
    [
        "0",
        "'-1'::integer",
        "(-1)",
        "1.5",
        "true",
        "'it''s'::text",
        "'{}'::text[]",
        "'a'::shop.mood",
        "now()",
        "CURRENT_DATE",
    ],
)
def test_a_default_that_is_the_same_for_a_transaction(default: str) -> None:
    assert steady(default)


@pytest.mark.parametrize(
    "default",
    [
        "nextval('s'::regclass)",
        "gen_random_uuid()",
        "clock_timestamp()",
        "('a'::text || random())",
        "'a'::text || f('b'::text)",
    ],
)
def test_one_that_is_not(default: str) -> None:
    assert not steady(default)


@pytest.mark.parametrize(
    ("old", "new", "fits"),
    [
        ("integer", "bigint", True),
        ("smallint", "numeric", True),
        ("integer", "numeric(10,0)", False),
        ("integer", "double precision", True),
        ("bigint", "double precision", False),
        ("bigint", "integer", False),
        ("character varying(10)", "text", True),
        ("character varying(10)", "varchar(20)", True),
        ("character varying(20)", "varchar(10)", False),
        ("character varying", "varchar(10)", False),
        ("text", "character varying", False),
        ("character(3)", "text", False),
        ("numeric(10,2)", "numeric(12,4)", True),
        ("numeric(10,2)", "numeric(11,4)", False),
        ("numeric(10,2)", "numeric", True),
        ("numeric", "numeric(10,2)", False),
        ("real", "double precision", True),
        ("text", "integer", False),
        ("timestamp without time zone", "timestamp with time zone", False),
        ("text", "jsonb", False),
    ],
)
def test_which_types_hold_all_of_another(old: str, new: str, fits: bool) -> None:
    assert widens(old, new) is fits


def test_a_body_that_holds_our_dollar_quote_gets_another_one() -> None:
    text = function("f", "x := '$greenroom$';")
    assert text.count("$greenroom_$") == 2
