"""What a file of a backfill says is done to each row; what cannot be done by ranges of keys is refused, with the way out."""

from __future__ import annotations

import pytest

from greenroom.adapters.database.backfill import BackfillSettings, Fill, Unfit
from greenroom.adapters.database.backfill.postgres import PostgresServer
from greenroom.adapters.database.backfill.running import of_script
from greenroom.domain.schema import Dialect, Script


def read(text: str, file: str = "migrations/7/backfill.sql", dialect: Dialect = Dialect.POSTGRES) -> list[Fill]:
    return of_script(Script(file, text), dialect)


def yaml(text: str) -> list[Fill]:
    return read(text, "migrations/7/backfill.yaml")


def test_a_plain_update() -> None:
    [fill] = read("-- all of them\nUPDATE users SET new_preference = old_preference;\n")
    assert (fill.table, fill.sets, fill.where, fill.name) == (
        "users",
        (("new_preference", "old_preference"),),
        "",
        "users",
    )
    assert fill.place == "migrations/7/backfill.sql:2:1"


@pytest.mark.parametrize(
    ("text", "table", "name", "sets", "where"),
    [
        ("UPDATE users u SET a = u.b", "users", "u", (("a", "u.b"),), ""),
        ("UPDATE shop.users AS u SET a = b", "shop.users", "u", (("a", "b"),), ""),
        ("UPDATE shop . users SET a = b", "shop . users", "users", (("a", "b"),), ""),
        ('UPDATE "My Users" SET "newOne" = "old, one"', '"My Users"', '"My Users"', (('"newOne"', '"old, one"'),), ""),
        ("UPDATE t SET a = f(b, c), d = e[1, 2], g = (h, 1) WHERE x = 1", "t", "t",
         (("a", "f(b, c)"), ("d", "e[1, 2]"), ("g", "(h, 1)")), "x = 1"),
        ("UPDATE t SET a = b -- WHERE c\n, d = e", "t", "t", (("a", "b"), ("d", "e")), ""),
        ("UPDATE t SET a = 'it''s, WHERE = ;' WHERE b IS DISTINCT FROM 'FROM'", "t", "t",
         (("a", "'it''s, WHERE = ;'"),), "b IS DISTINCT FROM 'FROM'"),
        ("UPDATE t SET a = x IS DISTINCT FROM y", "t", "t", (("a", "x IS DISTINCT FROM y"),), ""),
        ("UPDATE t SET a = extract(year FROM b), c = substring(d FROM 2)", "t", "t",
         (("a", "extract(year FROM b)"), ("c", "substring(d FROM 2)")), ""),
        ("UPDATE t SET a = (SELECT o.x FROM o WHERE o.id = t.o_id)", "t", "t",
         (("a", "(SELECT o.x FROM o WHERE o.id = t.o_id)"),), ""),
        ("UPDATE t SET a = b /* twice */ || /* done */ c", "t", "t", (("a", "b   ||   c"),), ""),
        ("UPDATE t SET a = b::jsonb->>'x'", "t", "t", (("a", "b::jsonb->>'x'"),), ""),
    ],
)  # fmt: skip
def test_the_parts_are_kept_as_they_are_written(
    text: str, table: str, name: str, sets: tuple[tuple[str, str], ...], where: str
) -> None:
    [fill] = read(text)
    found = tuple((column, " ".join(value.split())) for column, value in fill.sets)
    assert (fill.table, fill.name, fill.where) == (table, name, where)
    assert found == tuple((column, " ".join(value.split())) for column, value in sets)


def test_several_updates_are_several_backfills() -> None:
    assert [fill.table for fill in read("UPDATE a SET x = y; UPDATE b SET x = y;")] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("UPDATE a SET x = b.y FROM b WHERE a.id = b.id", "FROM in an UPDATE"),
        ("UPDATE a SET x = y RETURNING id", "RETURNING in an UPDATE"),
        ("UPDATE a SET x = y WHERE z ORDER BY id LIMIT 5", "ORDER in an UPDATE"),
        ("UPDATE ONLY a SET x = y", "UPDATE ONLY"),
        ("UPDATE a, b SET x = y", "several tables"),
        ("UPDATE a JOIN b ON a.id = b.id SET x = y", "several tables"),
        ("UPDATE a SET (x, y) = (1, 2)", "`column = expression"),
        ("UPDATE a SET x[1] = 2", "`column = expression"),
        ("UPDATE a SET x.y = 2", "`column = expression"),
        ("UPDATE a SET x = y WHERE CURRENT OF c", "not understood"),
        ("UPDATE a", "several tables"),
        ("UPDATE a SET", "`column = expression"),
        ("UPDATE a SET x = DEFAULT", "cannot tell whether that is done"),
        ("UPDATE a SET x = y, x = z", "set twice"),
        ("UPDATE a SET x = x + 1", "a row done twice"),
        ("UPDATE a b SET x = lower(b.x)", "a row done twice"),
        ("UPDATE a SET x = random()", "another value each time"),
        ("UPDATE a SET x = now()", "another value each time"),
        ("UPDATE a SET x = CURRENT_TIMESTAMP WHERE y IS NULL", "another value each time"),
        ("DELETE FROM a", "DELETE is no UPDATE"),
        ("INSERT INTO a SELECT * FROM b", "INSERT is no UPDATE"),
        ("WITH c AS (SELECT 1) UPDATE a SET x = y", "WITH is no UPDATE"),
        ("DO $$ BEGIN UPDATE a SET x = y; END $$", "DO is no UPDATE"),
        ("BEGIN; UPDATE a SET x = y; COMMIT", "BEGIN is no UPDATE"),
    ],
)
def test_what_cannot_be_batched_is_refused_with_the_way_out(text: str, problem: str) -> None:
    with pytest.raises(Unfit, match=problem) as caught:
        read(text)
    assert caught.value.message.startswith("migrations/7/backfill.sql:1:")
    assert caught.value.hint


def test_the_way_out_of_a_join_works() -> None:
    """What the hint says can be written."""
    with pytest.raises(Unfit) as caught:
        read("UPDATE a SET x = b.y FROM b WHERE a.id = b.id")
    assert "backfill.yaml" in caught.value.hint
    [fill] = yaml("table: a\nset:\n  x: (SELECT b.y FROM b WHERE b.id = a.id)\n")
    assert fill.sets == (("x", "(SELECT b.y FROM b WHERE b.id = a.id)"),)


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(Unfit, match="no statement"):
        read("-- nothing yet\n")


def test_values_that_are_new_each_time_are_done_when_they_are_there() -> None:
    [fill] = read("UPDATE t SET token = gen_random_uuid() WHERE active AND t.token IS NULL")
    assert fill.verify == "t.token IS NOT NULL"
    [fill] = yaml("table: t\nset: {n: n + 1}\nverify: counted\n")
    assert fill.verify == "counted"


def test_a_column_of_another_table_is_no_column_of_this_one() -> None:
    [fill] = read("UPDATE t SET name = (SELECT o.name FROM o WHERE o.id = t.o_id)")
    assert fill.verify == ""


def test_what_is_pending() -> None:
    [fill] = read("UPDATE t SET a = b, c = 1.5 WHERE d OR e")
    types = {"a": "text", "c": "numeric(3,1)"}
    pending = fill.pending(lambda column, name, value: PostgresServer().differs(name, types[column], value))
    assert pending == (
        "(d OR e) AND ((t.a IS DISTINCT FROM CAST((b) AS text)) OR (t.c IS DISTINCT FROM CAST((1.5) AS numeric(3,1))))"
    )


def test_declared() -> None:
    [fill] = yaml(
        "table: users\nset: {new_preference: old_preference, seen: true, n: 0, gone: null}\n"
        "where: old_preference IS NOT NULL\nkey: [tenant, id]\nverify: new_preference IS NOT NULL\n"
    )
    assert fill.sets == (("new_preference", "old_preference"), ("seen", "TRUE"), ("n", "0"), ("gone", "NULL"))
    assert (fill.where, fill.key, fill.verify) == (
        "old_preference IS NOT NULL",
        ("tenant", "id"),
        "new_preference IS NOT NULL",
    )
    assert [one.table for one in yaml("- {table: a, set: {x: y}}\n- {table: b, set: {x: y}}\n")] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "dictionary"),
        ("table: [", "not YAML"),
        ("table: users", "set"),
        ("table: users\nset: {}", "set"),
        ("table: users\nset: {a: b}\nbatch: 5", "batch"),
        ("table: users; DROP TABLE users\nset: {a: b}", "no name of a table"),
        ("table: a.b.c\nset: {a: b}", "no name of a table"),
        ("table: users\nset: {a b: c}", "no name of a column"),
        ("table: users\nset: {a: b}\nkey: id desc", "no name of a column"),
        ("table: users\nset: {a: ''}", "is empty"),
        ("table: users\nset: {a: 'b, c = d'}", "not one expression"),
        ("table: users\nset: {a: 'b; DELETE FROM users'}", "no expression on its own"),
        ("table: users\nset: {a: 'b) WHERE (true'}", "not one expression|no expression"),
        ("table: users\nset: {a: '(b'}", "no expression on its own"),
        ("table: users\nset: {a: b}\nwhere: 'true ORDER BY id'", "not one expression"),
        ("- {table: a, set: {x: y}}\n- {table: b}", "entry 2"),
    ],
)
def test_what_is_declared_wrong(text: str, problem: str) -> None:
    with pytest.raises(Unfit, match=problem) as caught:
        yaml(text)
    assert caught.value.message.startswith("migrations/7/backfill.yaml")
    assert caught.value.hint


def test_settings_say_what_is_wrong_before_anything_runs() -> None:
    with pytest.raises(ValueError, match="no address of a database") as caught:
        BackfillSettings(replicas=["postgres//ann:s3cret@db"])
    assert "write it like" in str(caught.value)
    with pytest.raises(ValueError, match="has no unit"):
        BackfillSettings.model_validate({"batch_time": 50})
    with pytest.raises(ValueError, match="Extra inputs"):
        BackfillSettings.model_validate({"chunk": 50})
