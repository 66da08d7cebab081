"""What the judge says beside its verdict: a statement that can be copied, and no advice that is followed already."""

from __future__ import annotations

import pytest

from greenroom.adapters.database.judging import Example
from greenroom.adapters.database.reading import split
from greenroom.adapters.database.shadow.facts import Facts
from greenroom.domain.schema import Dialect, Ruling, Stage
from tests.database.examples import judged


@pytest.mark.parametrize(
    ("sql", "instead"),
    [
        ("CREATE INDEX i ON orders (user_id)", "CREATE INDEX CONCURRENTLY i ON orders (user_id);"),
        ("CREATE INDEX ON orders (user_id, note)", "CREATE INDEX CONCURRENTLY ON orders (user_id, note);"),
        (
            "CREATE UNIQUE INDEX i ON orders USING btree (id) WHERE id > 7",
            "CREATE UNIQUE INDEX CONCURRENTLY i ON orders USING btree (id) WHERE id > 7;",
        ),
    ],
)
def test_the_index_that_is_proposed_is_the_same_one(sql: str, instead: str) -> None:
    [told] = [one for one in judged(Example(sql)) if one.rule == "index-locks"]
    assert told.instead == instead
    assert {one.ruling for one in judged(Example(instead))} == {Ruling.ALLOW}


@pytest.mark.parametrize(
    ("sql", "ruling"),
    [
        ("ALTER TABLE users ALTER COLUMN email SET NOT NULL", Ruling.ALLOW),
        ("ALTER TABLE users ALTER COLUMN id SET NOT NULL", Ruling.ALLOW),
        ("ALTER TABLE users ALTER COLUMN age SET NOT NULL", Ruling.REFUSE),
        ("ALTER TABLE users ALTER email DROP NOT NULL, ALTER email SET NOT NULL", Ruling.REFUSE),
    ],
)
def test_not_null_where_it_is_so_already_does_nothing(sql: str, ruling: Ruling) -> None:
    assert Ruling.worst([one.ruling for one in judged(Example(sql))]) is ruling


def test_without_a_schema_nobody_knows_whether_it_is_so() -> None:
    [told] = judged(Example("ALTER TABLE users ALTER COLUMN email SET NOT NULL", schema=""))
    assert (told.rule, told.ruling) == ("set-not-null", Ruling.REFUSE)


@pytest.mark.parametrize("sql", ["DO $$ BEGIN EXECUTE 'SELECT 1'; END $$", "SELECT tidy_up()"])
def test_a_server_for_the_rehearsal_is_asked_for_where_there_is_none(sql: str) -> None:
    [alone] = judged(Example(sql))
    assert "`--shadow`" in alone.instead
    statement = split(sql, Dialect.POSTGRES)[0]
    skipped = {1: Facts(statement.number, skipped="it was not run")}
    [rehearsed] = judged(Example(sql, Stage.EXPAND), skipped)
    assert rehearsed.rule == alone.rule
    assert "shadow" not in rehearsed.instead
    assert rehearsed.instead
