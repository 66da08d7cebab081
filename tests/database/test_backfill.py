"""Backfills of a real PostgreSQL: every row filled once, whatever its key, and seen to be filled."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

from greenroom.adapters.database import target as targets
from greenroom.adapters.database.backfill import BackfillSettings, Unfit, progress, verified
from greenroom.adapters.database.running.standing import Refusal
from greenroom.adapters.database.target import Broken
from greenroom.domain.schema import Stand
from greenroom.errors import Permanent
from tests.rigs import postgres
from tests.rigs.backfilling import NAME, SERVICE, SYNC, Shop, order, until
from tests.rigs.postgres import Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]


SPOIL = """
CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.new_preference := NULL; RETURN NEW; END $$
"""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


def test_every_row_is_filled_once(cluster: Cluster) -> None:
    shop = Shop(cluster, 2_500)
    assert shop.run().done
    assert shop.wrong() == 0
    assert shop.versions() == {1: 2_500}
    row = shop.row()
    assert row is not None
    assert (row.rows, row.of, row.state, row.at) == (2_500, 2_500, Stand.DONE, '["2500"]')


def test_what_is_done_is_not_done_again(cluster: Cluster) -> None:
    shop = Shop(cluster, 300)
    assert shop.run().done
    shop.sql("UPDATE users SET new_preference = 'written since' WHERE id = 7")
    assert shop.run().done
    assert shop.sql("SELECT new_preference FROM users WHERE id = 7") == [("written since",)]


def test_the_file_may_be_mended_before_it_begins_and_not_after(cluster: Cluster) -> None:
    shop = Shop(cluster, 300)
    with pytest.raises(Unfit, match="refuses it"):
        shop.run("UPDATE users SET new_preference = older_preference")
    assert shop.run().done
    with pytest.raises(Refusal, match="is not what ran here"):
        shop.run("UPDATE users SET new_preference = upper(old_preference)")
    assert shop.versions() == {1: 300}


def test_an_empty_table(cluster: Cluster) -> None:
    shop = Shop(cluster)
    assert shop.run().done
    row = shop.row()
    assert row is not None
    assert (row.rows, row.of, row.state) == (0, 0, Stand.DONE)


def test_nulls_stay_null_and_count_as_done(cluster: Cluster) -> None:
    shop = Shop(cluster, 500)
    shop.sql("UPDATE users SET old_preference = NULL WHERE id % 3 = 0")
    shop.sql("UPDATE users SET new_preference = 'stale' WHERE id = 3")
    assert shop.run().done
    assert shop.wrong() == 0
    assert shop.sql("SELECT new_preference FROM users WHERE id = 3") == [(None,)]


@pytest.mark.parametrize(
    ("key", "insert"),
    [
        ("id uuid PRIMARY KEY", "SELECT md5(g::text)::uuid"),
        ("id text PRIMARY KEY", "SELECT chr(33 + g % 90) || '%s ''\"\\ü' || g"),
        ("id varchar(20) COLLATE \"C\" PRIMARY KEY", "SELECT lpad(g::text, g % 20, 'é')"),
        ("id numeric(20, 5) PRIMARY KEY", "SELECT g / 7.0 - 30"),
        ("id timestamptz PRIMARY KEY", "SELECT timestamptz '2020-01-01' + g * interval '0.000001 s'"),
        ("id bytea PRIMARY KEY", "SELECT decode(md5(g::text), 'hex')"),
        ('"Strange ""Key%" int PRIMARY KEY', "SELECT -g"),
    ],
)  # fmt: skip
def test_keys_of_every_type(cluster: Cluster, key: str, insert: str) -> None:
    shop = Shop(cluster, key=key)
    shop.sql(f"INSERT INTO users SELECT k, 'a' FROM ({insert} AS k FROM generate_series(1, 300) g) s GROUP BY k")
    [(rows,)] = shop.sql("SELECT count(*)::int FROM users")
    assert shop.run(settings=BackfillSettings(max_batch=17)).done
    assert shop.versions() == {1: rows}


def test_a_wide_key(cluster: Cluster) -> None:
    key = "tenant uuid, name text, day date, n int, PRIMARY KEY (tenant, name, day, n)"
    shop = Shop(cluster, key=key)
    shop.sql(
        "INSERT INTO users SELECT md5((g % 3)::text)::uuid, 'x' || g % 7, date '2024-01-01' + g % 5, g, 'p' || g"
        " FROM generate_series(1, 900) g"
    )
    assert shop.run(settings=BackfillSettings(max_batch=40)).done
    assert shop.wrong() == 0
    assert shop.versions() == {1: 900}


def test_a_key_that_is_declared(cluster: Cluster) -> None:
    shop = Shop(cluster, 400, key="id bigint NOT NULL UNIQUE")
    with pytest.raises(Unfit, match="no primary key") as caught:
        shop.run()
    assert "key: [id]" in caught.value.hint
    assert shop.row() is None
    assert shop.run("table: users\nset: {new_preference: old_preference}\nkey: id\n", file="backfill.yaml").done
    assert shop.wrong() == 0


@pytest.mark.parametrize(
    ("key", "text", "problem"),
    [
        ("id bigint", "table: users\nset: {new_preference: old_preference}", "no primary key"),
        ("id bigint UNIQUE", "table: users\nset: {new_preference: old_preference}\nkey: id", "no unique key"),
        ("id bigint PRIMARY KEY", "table: userz\nset: {new_preference: old_preference}", "no table userz"),
        ("id bigint PRIMARY KEY", "table: users\nset: {newer: old_preference}", "no column newer"),
        ("id bigint PRIMARY KEY", "table: users\nset: {new_preference: old}", "refuses it"),
        ("id bigint PRIMARY KEY", "table: users\nset: {version: old_preference}", "refuses it"),
        ("id bigint PRIMARY KEY", "table: users\nset: {id: version}", "is the key to go by"),
        ("id bigint PRIMARY KEY", "table: seen\nset: {new_preference: old_preference}", "seen is no table"),
    ],
)
def test_what_cannot_be_walked_is_refused_before_anything_runs(
    cluster: Cluster, key: str, text: str, problem: str
) -> None:
    shop = Shop(cluster, 10, key=key)
    shop.sql("CREATE VIEW seen AS SELECT * FROM users")
    with pytest.raises(Unfit, match=problem) as caught:
        shop.run(text, file="backfill.yaml")
    assert caught.value.hint or "refuses" in problem
    assert shop.versions() == {0: 10}


def test_a_value_that_the_column_rounds_is_done_once(cluster: Cluster) -> None:
    shop = Shop(cluster, 200)
    shop.sql("ALTER TABLE users ADD price numeric(8, 1)")
    assert shop.run("UPDATE users SET price = id / 3.0").done
    assert shop.versions() == {1: 200}


def test_types_without_equality(cluster: Cluster) -> None:
    shop = Shop(cluster, 200)
    shop.sql("ALTER TABLE users ADD details json")
    assert shop.run("UPDATE users SET details = json_build_object('a', old_preference)").done
    assert shop.versions() == {1: 200}


def test_expressions_keep_their_percent_signs(cluster: Cluster) -> None:
    shop = Shop(cluster, 120)
    text = "UPDATE users u SET new_preference = '100% ' || u.id % 7 WHERE u.old_preference LIKE 'likes 1%' -- so"
    assert shop.run(text).done
    [(filled,)] = shop.sql("SELECT count(*)::int FROM users WHERE new_preference = '100% ' || id % 7")
    [(meant,)] = shop.sql("SELECT count(*)::int FROM users WHERE old_preference LIKE 'likes 1%'")
    assert filled == meant == 32
    assert shop.versions() == {0: 120 - meant, 1: meant}


def test_values_that_are_new_each_time_are_given_once(cluster: Cluster) -> None:
    shop = Shop(cluster, 300)
    assert shop.run("UPDATE users SET new_preference = gen_random_uuid()::text WHERE new_preference IS NULL").done
    assert shop.versions() == {1: 300}


def test_partitions(cluster: Cluster) -> None:
    shop = Shop(cluster, 0, key="id bigint")
    shop.sql("ALTER TABLE users RENAME TO plain")
    shop.sql("CREATE TABLE users (LIKE plain INCLUDING ALL, PRIMARY KEY (id)) PARTITION BY RANGE (id)")
    shop.sql("CREATE TABLE low PARTITION OF users FOR VALUES FROM (1) TO (100)")
    shop.sql("CREATE TABLE high PARTITION OF users FOR VALUES FROM (100) TO (1000)")
    shop.sql("INSERT INTO users SELECT g, 'a' || g FROM generate_series(1, 500) g; ANALYZE users")
    assert shop.run(settings=BackfillSettings(max_batch=33)).done
    assert shop.wrong() == 0


def test_rows_that_come_meanwhile_are_found(cluster: Cluster) -> None:
    """Nothing keeps the columns equal here: those above the first upper key, and those behind the checkpoint."""
    shop = Shop(cluster, 1_000)
    came = iter([True])

    def between(_: float) -> None:
        row = shop.row()
        if row is not None and row.rows >= 500 and next(came, False):
            shop.sql("INSERT INTO users VALUES (-5, 'below'), (2000, 'above')")

    assert shop.run(sleep=between).done
    assert shop.wrong() == 0
    assert shop.versions() == {1: 1_002}
    assert any("1 rows still differ" in text for text in shop.said)


def test_a_verification_that_fails_names_keys_and_no_values(cluster: Cluster) -> None:
    shop = Shop(cluster, 400)
    shop.sql(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.new_preference := NULL; RETURN NEW; END $$"
    )
    shop.sql(
        "CREATE TRIGGER zz_spoil BEFORE UPDATE ON users FOR EACH ROW WHEN (NEW.id % 100 = 0) EXECUTE FUNCTION spoil()"
    )
    outcome = shop.run(settings=BackfillSettings(max_batch=100, sweeps=2))
    assert not outcome.done
    assert "4 rows still differ" in outcome.reason
    assert "100, 200, 300, 400" in outcome.reason
    assert "likes" not in outcome.reason
    assert shop.versions() == {1: 396, 2: 4}
    row = shop.row()
    assert row is not None
    assert row.verified_at is None
    shop.sql("DROP TRIGGER zz_spoil ON users")
    assert shop.run().done
    assert shop.wrong() == 0


def test_a_row_that_the_server_refuses(cluster: Cluster) -> None:
    shop = Shop(cluster, 300)
    shop.sql("ALTER TABLE users ADD CONSTRAINT short CHECK (length(new_preference) < 9)")
    with pytest.raises(Broken, match="short") as caught:
        shop.run()
    assert "likes 100" not in caught.value.message
    shop.sql("ALTER TABLE users DROP CONSTRAINT short")
    assert shop.run().done
    assert shop.versions() == {1: 300}


def test_rows_that_take_long_make_batches_smaller(cluster: Cluster) -> None:
    """A batch that would hold its rows longer than the server lets a deadlock be is cancelled, and halved."""
    shop = Shop(cluster, 200)
    shop.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END $$;"
        " CREATE TRIGGER slow BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    assert shop.run(settings=BackfillSettings(max_batch=200)).done
    row = shop.row()
    assert row is not None
    assert row.batch < 150
    assert shop.versions() == {1: 200}


def test_rows_that_are_hidden_from_this_role_are_no_rows_that_are_done(cluster: Cluster) -> None:
    shop = Shop(cluster, 20)
    shop.sql("CREATE ROLE clerk LOGIN PASSWORD 'x'; GRANT CREATE ON DATABASE " + shop.name + " TO clerk")
    try:
        shop.sql("GRANT ALL ON users TO clerk; CREATE POLICY few ON users USING (id < 5)")
        shop.sql("ALTER TABLE users ENABLE ROW LEVEL SECURITY")
        shop.url = cluster.url(shop.name, "clerk", "x")
        with pytest.raises(Unfit, match="row-level security"):
            shop.run()
    finally:
        shop.sql("DROP OWNED BY clerk CASCADE; DROP ROLE clerk")


def test_progress_is_what_the_ledger_says(cluster: Cluster) -> None:
    shop = Shop(cluster, 1_000)
    seen = []

    def between(_: float) -> None:
        session = targets.of(shop.url).open("test")
        seen.append((progress(session, SERVICE), verified(session, SERVICE, NAME)))
        session.close()

    assert shop.run(sleep=between).done
    begun = [one for one, _ in seen if 0 < one.rows < 1_000]
    assert all(one.of == 1_000 and one.rate > 0 and one.left is not None for one in begun[1:])
    assert [one.rows for one in begun] == sorted(one.rows for one in begun)
    assert "users.new_preference" in " ".join(shop.said)


def test_an_outdated_runner_stops(cluster: Cluster) -> None:
    shop = Shop(cluster, 300)
    session = targets.of(shop.url).open("test")
    from greenroom.adapters.database.ledger import Ledger

    ledger = Ledger(session, SERVICE)
    ledger.make()
    with session.transaction():
        ledger.claim(order(epoch=5))
    session.close()
    with pytest.raises(Permanent, match="epoch 5"):
        shop.run()
    assert shop.versions() == {0: 300}


def test_the_application_wins_a_deadlock(cluster: Cluster) -> None:
    """It holds a row that the batch comes to, and then wants one that the batch has changed."""
    shop = Shop(cluster, 100)
    application = cluster.connect(shop.name)
    application.autocommit = False
    application.execute("UPDATE users SET old_preference = 'tea' WHERE id = 50")
    outcomes = []
    runner = threading.Thread(target=lambda: outcomes.append(shop.run()))
    runner.start()
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'greenroom backfill' AND wait_event_type = 'Lock'"
    )
    until(lambda: shop.sql(waiting), "the batch meets the row")
    application.execute("UPDATE users SET old_preference = 'milk' WHERE id = 1")
    application.commit()
    application.close()
    runner.join(30)
    assert outcomes[0].done
    assert shop.wrong() == 0
    assert shop.sql("SELECT id, new_preference, version FROM users WHERE id IN (1, 50) ORDER BY 1") == [
        (1, "milk", 2),
        (50, "tea", 2),
    ]


def test_who_is_in_the_way_is_named(cluster: Cluster) -> None:
    shop = Shop(cluster, 100)
    application = cluster.connect(shop.name)
    application.autocommit = False
    application.execute("SET application_name = 'nightly report'")
    application.execute("UPDATE users SET old_preference = 'tea' WHERE id = 50")
    with pytest.raises(targets.Blocked, match="nightly report"):
        shop.run(settings=BackfillSettings(max_batch=100, tries=4))
    application.rollback()
    application.close()
    assert shop.run().done
    assert shop.versions() == {1: 100}


def test_pitfall_8_nothing_is_verified_before_every_row_was_seen(cluster: Cluster) -> None:
    """The new version reads NULL in whatever is not filled."""
    shop = Shop(cluster, 500)
    shop.sql(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.new_preference := NULL; RETURN NEW; END $$"
    )
    shop.sql("CREATE TRIGGER zz_spoil BEFORE UPDATE ON users FOR EACH ROW WHEN (NEW.id = 250) EXECUTE FUNCTION spoil()")
    seen = set()

    def is_verified(_: float = 0.0) -> bool:
        session = targets.of(shop.url).open("test")
        found = verified(session, SERVICE, NAME)
        session.close()
        seen.add((found, shop.wrong() == 0))
        return found

    assert not shop.run(sleep=is_verified).done  # type: ignore[arg-type]
    assert not is_verified()
    shop.sql("DROP TRIGGER zz_spoil ON users")
    assert shop.run(sleep=is_verified).done  # type: ignore[arg-type]
    assert is_verified()
    assert (True, False) not in seen


def test_pitfall_9_no_write_of_the_application_is_lost(cluster: Cluster) -> None:
    """Both versions write while it runs, each its own column; at the end every row has the last that anybody wrote."""
    shop = Shop(cluster, 600)
    shop.sql(SYNC)
    over, last, errors = threading.Event(), dict[int, str](), list[Exception]()

    def write(column: str, start: int) -> None:
        number = 0
        with cluster.connect(shop.name) as db:
            while not over.is_set():
                number += 1
                key = start + 2 * (number * 37 % 300)
                try:
                    db.execute(f"UPDATE users SET {column} = %s WHERE id = %s", [f"{column} {number}", key])  # type: ignore[arg-type]
                except psycopg.Error as error:
                    errors.append(error)
                last[key] = f"{column} {number}"

    writers = [threading.Thread(target=write, args=args) for args in (("old_preference", 1), ("new_preference", 2))]
    for writer in writers:
        writer.start()
    try:
        until(lambda: len(last) > 100, "the application writes")
        outcome = shop.run(settings=BackfillSettings(max_batch=20))
    finally:
        over.set()
        for writer in writers:
            writer.join()
    assert outcome.done
    assert errors == []
    assert shop.wrong() == 0
    rows = dict(shop.sql("SELECT id, new_preference FROM users"))  # type: ignore[arg-type]
    assert {key: rows[key] for key in last} == last


def test_pitfall_11_what_the_old_column_has_and_the_new_one_lacks_is_said(cluster: Cluster) -> None:
    shop = Shop(cluster, 10)
    shop.sql("CREATE INDEX by_old ON users (lower(old_preference)) WHERE old_preference IS NOT NULL")
    shop.sql("ALTER TABLE users ADD CONSTRAINT old_ok CHECK (old_preference <> '')")
    assert shop.run().done
    told = [text for text in shop.said if "none like it" in text]
    assert len(told) == 2
    assert "index by_old holds users.old_preference" in told[0]
    assert "constraint old_ok holds users.old_preference" in told[1]
    shop.sql("CREATE INDEX by_new ON users (lower(new_preference)) WHERE new_preference IS NOT NULL")
    shop.sql("ALTER TABLE users ADD CONSTRAINT new_ok CHECK (new_preference <> '') NOT VALID")
    shop.said.clear()
    assert shop.run().done
    assert not [text for text in shop.said if "none like it" in text]


def test_pitfall_11_nulls_that_may_not_be_twice_are_said_before_they_collide(cluster: Cluster) -> None:
    shop = Shop(cluster, 1)
    shop.sql("CREATE UNIQUE INDEX strict ON users (new_preference) NULLS NOT DISTINCT")
    assert shop.run().done
    assert any("NULLS NOT DISTINCT index strict" in text for text in shop.said)
