"""Backfills of columns that the running version does not know, while it goes on writing what they are filled from."""

from __future__ import annotations

import pytest

from greenroom.adapters.database.judging import Example
from greenroom.adapters.database.judging.rule import SHOP
from greenroom.adapters.database.judging.trigger_code import Gives, Moments, gives
from greenroom.domain.schema import Dialect, Ruling, Stage
from tests.database.examples import judged

RULE = "backfill-not-in-step"
NEW = "ALTER TABLE users ADD COLUMN preference text;"
FILL = "UPDATE users SET preference = old_preference WHERE preference IS NULL"
ELSEWHERE = "CREATE TABLE users (id INTEGER PRIMARY KEY, old_preference varchar(20));"


def trigger(body: str, when: str = "BEFORE INSERT OR UPDATE", table: str = "users", more: str = "plpgsql") -> str:
    return (
        f"CREATE FUNCTION sync() RETURNS trigger LANGUAGE {more} AS $$ BEGIN {body} RETURN NEW; END $$;"
        f" CREATE TRIGGER sync {when} ON {table} FOR EACH ROW EXECUTE FUNCTION sync();"
    )


FOLLOWS = "NEW.preference := NEW.old_preference;"


def ruling(sql: str, before: str, schema: str = SHOP, dialect: Dialect = Dialect.POSTGRES) -> Ruling | None:
    """Of this rule alone."""
    found = judged(Example(sql, Stage.BACKFILL, schema, before, dialect))
    return next((one.ruling for one in found if one.rule == RULE), None)


@pytest.mark.parametrize(
    ("sql", "before"),
    [
        (FILL, NEW),
        ("UPDATE users SET preference = upper(coalesce(users.old_preference, '')) WHERE preference IS NULL", NEW),
        ("UPDATE users u SET preference = u.old_preference", NEW),
        ('UPDATE "users" SET "preference" = "old_preference"', NEW),
        ("UPDATE users SET preference = id::text", NEW),
        ("UPDATE users SET preference = 'none'", NEW),
        ("UPDATE users SET preference = 'none'", f"{NEW} ALTER TABLE users ALTER preference SET DEFAULT NULL;"),
        (
            "UPDATE users SET preference = 'none' WHERE age > 70",
            f"{NEW} ALTER TABLE users ALTER preference SET DEFAULT 'x'",
        ),
        (FILL, "ALTER TABLE users ADD COLUMN preference text DEFAULT 'none'"),
        (FILL, NEW + trigger(FOLLOWS, "BEFORE INSERT")),
        (FILL, NEW + trigger(FOLLOWS, "BEFORE UPDATE")),
        (FILL, NEW + trigger(FOLLOWS, "BEFORE INSERT OR UPDATE OF age")),
        (FILL, NEW + trigger(FOLLOWS, table="orders")),
        (FILL, NEW + trigger("IF NEW.preference = 'x' THEN NEW.age := 1; END IF;")),
        (FILL, NEW + trigger("UPDATE users SET age = 1 WHERE preference = 'x';", "AFTER INSERT OR UPDATE")),
        (FILL, f"{NEW}{trigger(FOLLOWS)} DROP TRIGGER sync ON users"),
        ("UPDATE users SET other = preference", f"{NEW} ALTER TABLE users ADD COLUMN other text; {trigger(FOLLOWS)}"),
        ("UPDATE users SET preference = (SELECT max(note) FROM orders)", NEW + trigger(FOLLOWS)),
        ("UPDATE users SET preference = (SELECT email FROM mails WHERE mails.id = users.id)", NEW + trigger(FOLLOWS)),
        (
            "UPDATE carts SET note = (SELECT o.note FROM orders o WHERE o.id = carts.id)",
            "CREATE TABLE carts (id int, note text)",
        ),
        ("UPDATE orders SET note = status", ""),
    ],
)
def test_refused(sql: str, before: str) -> None:
    assert ruling(sql, before) is Ruling.REFUSE


@pytest.mark.parametrize(
    ("sql", "before"),
    [
        (FILL, NEW + trigger(FOLLOWS)),
        (
            FILL,
            NEW
            + trigger(
                'NEW."preference" = upper(NEW.old_preference);', "BEFORE UPDATE OF age, old_preference OR INSERT"
            ),
        ),
        (FILL, NEW + trigger("IF NEW.age > 1 THEN NEW.preference := 'x'; ELSE NEW.preference := 'y'; END IF;")),
        (FILL, NEW + trigger("SELECT NEW.old_preference INTO NEW.preference FROM orders;")),
        (FILL, NEW + trigger("UPDATE users SET preference = 'x' WHERE id = NEW.id;", "AFTER INSERT OR UPDATE")),
        (FILL, NEW + trigger(FOLLOWS).replace("$$", "'")),
        ("UPDATE users SET preference = 'none'", f"{NEW} ALTER TABLE users ALTER preference SET DEFAULT 'none';"),
        (
            "UPDATE users SET preference = 'none' WHERE id > 7",
            "ALTER TABLE users ADD COLUMN preference text DEFAULT 'none'",
        ),
        ("UPDATE users SET preference = 'none'", NEW + trigger("NEW.preference := 'none';", "BEFORE INSERT")),
        ("UPDATE users SET preference = NULL", NEW),
        ("UPDATE users SET preference = other", f"{NEW} ALTER TABLE users ADD COLUMN other text;"),
        ("UPDATE users SET number = number", "ALTER TABLE users ADD COLUMN number bigserial"),
        ("UPDATE carts SET note = 'x' || note", "CREATE TABLE carts (id int, note text)"),
        ("UPDATE users SET old_preference = old_preference", NEW),
    ],
)
def test_allowed(sql: str, before: str) -> None:
    assert ruling(sql, before) is None


@pytest.mark.parametrize(
    ("before", "schema"),
    [
        (NEW, ""),
        (NEW, "CREATE TABLE users (LIKE people);"),
        (NEW + trigger("EXECUTE 'SELECT 1';"), SHOP),
        (NEW + trigger("NEW := jsonb_populate_record(NEW, '{}');"), SHOP),
        (NEW + trigger("x", more="plpython3u"), SHOP),
        (
            f"{NEW} CREATE TRIGGER sync BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION of_an_extension()",
            SHOP,
        ),
    ],
)
def test_who_cannot_know_warns(before: str, schema: str) -> None:
    assert ruling(FILL, before, schema) is Ruling.WARN


@pytest.mark.parametrize("dialect", [Dialect.MYSQL, Dialect.SQLITE])
def test_elsewhere(dialect: Dialect) -> None:
    if dialect is Dialect.MYSQL:
        both = "; ".join(
            f"CREATE TRIGGER t{event} BEFORE {event} ON users FOR EACH ROW SET NEW.preference = NEW.old_preference"
            for event in ("INSERT", "UPDATE")
        )
    else:
        both = "; ".join(
            f"CREATE TRIGGER t{event} AFTER {event} ON users BEGIN UPDATE users SET preference = NEW.old_preference; END"
            for event in ("INSERT", "UPDATE")
        )
    assert ruling(FILL, NEW, ELSEWHERE, dialect) is Ruling.REFUSE
    assert ruling(FILL, NEW + both.partition("; CREATE")[0], ELSEWHERE, dialect) is Ruling.REFUSE
    assert ruling(FILL, NEW + both, ELSEWHERE, dialect) is None


def test_the_words_name_what_is_written_and_the_way_out() -> None:
    [told] = [one for one in judged(Example(FILL, Stage.BACKFILL, before=NEW)) if one.rule == RULE]
    assert told.reason == (
        "Version 41 may still write `users.old_preference` once the backfill is verified, and no trigger of `users` carries"
        " that into `users.preference`: the new version finds an old value there, or none."
    )
    assert "greenroom db rename" in told.instead
    constant = Example("UPDATE users SET preference = 'none'", Stage.BACKFILL, before=NEW)
    [told] = [one for one in judged(constant) if one.rule == RULE]
    assert told.instead.startswith("ALTER TABLE users ALTER COLUMN preference SET DEFAULT 'none';")


def test_who_knows_better_says_so() -> None:
    sql = f"-- greenroom: allow {RULE} by ann: nobody has changed it since 2019\n{FILL}"
    [told] = [one for one in judged(Example(sql, Stage.BACKFILL, before=NEW)) if one.rule == RULE]
    assert (told.ruling, told.override) == (Ruling.WARN, "ann: nobody has changed it since 2019")


def test_what_is_read_of_a_trigger() -> None:
    postgres = Dialect.POSTGRES
    assert Moments.of('AFTER UPDATE OF a, "B" OR INSERT', postgres) == Moments(True, True, frozenset({"a", "B"}))
    assert Moments.of("BEFORE DELETE", postgres) == Moments(False, False)
    assert gives("", "users", "a", postgres) is Gives.MAYBE
    assert (
        gives("() RETURNS trigger AS $x$ BEGIN NEW.a := 1; END $x$ LANGUAGE plpgsql", "users", "a", postgres)
        is Gives.YES
    )
    assert (
        gives("() RETURNS trigger AS $x$ BEGIN NEW.ab := NEW.a; END $x$ LANGUAGE plpgsql", "users", "a", postgres)
        is Gives.NO
    )
