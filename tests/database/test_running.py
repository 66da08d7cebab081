"""Statements are carried out one by one, each once; who is in the way is named; what is wrong is refused before anything."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from greenroom.adapters.database.ledger import Done, Outdated
from greenroom.adapters.database.reading import split
from greenroom.adapters.database.running import Hindered, Pace, Refusal, expand
from greenroom.adapters.database.running.lookout import Watch
from greenroom.adapters.database.running.runner import checksum
from greenroom.adapters.database.running.standing import unexpanded
from greenroom.adapters.database.target import Broken, Full, of
from greenroom.domain.schema import Dialect, Order, Stage, Stand
from greenroom.errors import Permanent
from tests.rigs import postgres
from tests.rigs.migrating import Base, migration, order, until
from tests.rigs.postgres import Cluster

QUICK = Pace(tries=3)
ADD = "ALTER TABLE users ADD COLUMN new text;"
BUILD = "CREATE INDEX CONCURRENTLY users_old ON users (old)"
WAITING = (
    "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'greenroom runner%'"
)

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


@pytest.fixture
def base(cluster: Cluster) -> Iterator[Base]:
    with Base.lent(cluster, 100) as made:
        yield made


class InBackground:
    """A call in a thread; `result()` waits for it, and raises what it raised."""

    def __init__(self, call: Any, *given: Any, **more: Any) -> None:
        self._found: Any = None
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._call, args=(call, given, more), daemon=True)
        self.thread.start()

    def _call(self, call: Any, given: Any, more: Any) -> None:
        try:
            self._found = call(*given, **more)
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        self.thread.join(30.0)
        assert not self.thread.is_alive()
        if self._error is not None:
            raise self._error
        return self._found


class TestExpand:
    def test_all_of_it_in_the_order_of_names(self, base: Base) -> None:
        first = migration("0007_a", expand=f"{ADD}\nINSERT INTO users VALUES (-1);")
        second = migration("0008_b", expand="ALTER TABLE users RENAME COLUMN new TO newer")
        outcome = base.expand(first, second)
        assert (outcome.statements, outcome.migrations) == (3, ("0007_a", "0008_b"))
        assert base.columns() == ["id", "old", "newer"]
        with base.ledger() as ledger:
            assert [(row.name, row.state, row.by) for row in ledger.migrations()] == [
                ("0007_a", Stand.DONE, "ann"),
                ("0008_b", Stand.DONE, "ann"),
            ]
            assert set(ledger.statements("0007_a", Stage.EXPAND)) == {1, 2}

    def test_nothing_twice(self, base: Base) -> None:
        base.expand(migration(expand=ADD))
        assert base.expand(migration(expand=ADD), given=order("r-2")).migrations == ()
        with base.ledger() as ledger:
            assert [row.release for row in ledger.migrations()] == ["r-1"]

    def test_the_texts_of_the_other_stages_are_kept(self, base: Base) -> None:
        base.expand(
            migration(expand=ADD, backfill="UPDATE users SET new = old", contract="ALTER TABLE users DROP COLUMN old")
        )
        with base.ledger() as ledger:
            kept = {row.stage: row for row in ledger.migrations()}
        assert kept[Stage.CONTRACT].text == "ALTER TABLE users DROP COLUMN old"
        assert {kept[stage].state for stage in (Stage.BACKFILL, Stage.CONTRACT)} == {Stand.PENDING}

    def test_constraints_are_added_and_validated(self, base: Base) -> None:
        base.expand(
            migration(
                expand="ALTER TABLE users ADD CONSTRAINT positive CHECK (id > 0) NOT VALID;\n"
                "ALTER TABLE users VALIDATE CONSTRAINT positive;"
            )
        )
        assert base.sql("SELECT convalidated FROM pg_constraint WHERE conname = 'positive'") == [(True,)]

    def test_a_statement_that_is_wrong_says_where_and_what_was_done_stays(self, base: Base) -> None:
        text = f"-- what the new version needs\n{ADD}\n\n  ALTER TABLE users\n  ADD COLUM newer text;\n"
        with pytest.raises(Broken, match=r"migrations/0007_new_preference/expand\.sql:5:19: syntax error"):
            base.expand(migration(expand=text))
        assert base.columns() == ["id", "old", "new"]
        mended = text.replace("COLUM ", "COLUMN ")
        assert base.expand(migration(expand=mended)).statements == 1
        assert base.columns() == ["id", "old", "new", "newer"]

    def test_bad_data_is_not_shown(self, base: Base) -> None:
        with pytest.raises(Broken, match="check constraint") as caught:
            base.expand(migration(expand="ALTER TABLE users ADD CONSTRAINT short CHECK (length(old) < 3);"))
        assert "likes" not in caught.value.message

    def test_pitfall_6_a_statement_that_ends_its_transaction_is_not_recorded(self, base: Base) -> None:
        with pytest.raises(Permanent, match="ended the transaction"):
            base.expand(migration(expand="COMMIT; ALTER TABLE users ADD COLUMN new text"))
        with base.ledger() as ledger:
            assert 2 not in ledger.statements("0007_new_preference", Stage.EXPAND)
        assert base.columns() == ["id", "old"]

    def test_a_statement_timeout(self, base: Base) -> None:
        with pytest.raises(Broken, match="statement timeout"):
            base.expand(migration(expand="SELECT pg_sleep(30)"), pace=Pace(statement_timeout=0.05))


class TestRefused:
    """Before anything is touched, and all of it at once."""

    def refused(self, base: Base, *migrations: Any, given: Order | None = None) -> tuple[str, ...]:
        before = base.columns()
        with pytest.raises(Refusal) as caught:
            base.expand(*migrations, given=given or order("r-2", "43", epoch=2))
        assert base.columns() == before
        return caught.value.problems

    def test_what_ran_was_changed(self, base: Base) -> None:
        base.expand(migration(expand=f"{ADD}\nINSERT INTO users VALUES (-1);"))
        [said] = self.refused(base, migration(expand=f"{ADD}\nINSERT INTO users VALUES (-2);"))
        assert said.startswith("migrations/0007_new_preference/expand.sql (line 2) is not what ran here")
        assert "release r-1 (version 42, ann, " in said
        assert "put the old text back, and write the change as a new migration" in said

    def test_what_ran_has_grown_or_shrunk(self, base: Base) -> None:
        base.expand(migration(expand=f"{ADD}\nINSERT INTO users VALUES (-1);"))
        [said] = self.refused(base, migration(expand=ADD))
        assert "statement 2 is gone" in said
        [said] = self.refused(base, migration(expand=f"{ADD}\nINSERT INTO users VALUES (-1);\nSELECT 1;"))
        assert "line 3 is new" in said

    def test_comments_and_line_ends_may_change(self, base: Base) -> None:
        base.expand(migration(expand=f"{ADD}\nINSERT INTO users\nVALUES (-1);"))
        base.expand(migration(expand=f"-- why\r\n{ADD}\r\n\r\nINSERT INTO users\r\nVALUES (-1)"))

    def test_two_releases_with_one_name(self, base: Base) -> None:
        base.expand(migration("0007_a", expand=ADD))
        [said] = self.refused(base, migration("0007_a", expand="CREATE TABLE other ()"))
        assert "a name of its own" in said

    def test_a_name_that_never_ran_may_get_another_text(self, base: Base) -> None:
        with pytest.raises(Broken):
            base.expand(migration("0007_a", expand="CREATE TABEL x"))
        base.expand(migration("0007_a", expand=ADD), given=order("r-2", "43"))
        assert "new" in base.columns()

    def test_names_out_of_order(self, base: Base) -> None:
        base.expand(migration("0007_a", expand=ADD))
        [said] = self.refused(base, migration("0006_b", expand="SELECT 1"), migration("0007_a", expand=ADD))
        assert (
            said
            == "0006_b comes before 0007_a, which ran here with release r-1 (version 42): give it a name that comes after."
        )

    def test_not_what_was_pinned(self, base: Base) -> None:
        one = migration("0007_a", expand=ADD)
        given = order(pinned={"0007_a": one.checksum})
        [said] = self.refused(base, migration("0007_a", expand=f"{ADD} SELECT 1"), given=given)
        assert "had another text when release r-1 was asked for" in said
        base.expand(one, given=given)

    def test_everything_that_is_wrong(self, base: Base) -> None:
        base.expand(migration("0007_a", expand=ADD))
        assert (
            len(self.refused(base, migration("0006_b", expand="SELECT 1"), migration("0007_a", expand="SELECT 2"))) == 2
        )

    def test_all_rights_that_are_missing(self, base: Base) -> None:
        """Before the first statement, though it could run."""
        name, url = base.role()
        base.sql(f"GRANT CREATE ON DATABASE {base.name} TO {name}; CREATE TABLE orders (id int)")
        base.sql(f"CREATE TABLE mine (id int); ALTER TABLE mine OWNER TO {name}")
        text = (
            f"ALTER TABLE mine ADD COLUMN new text;\n{ADD}\nCREATE INDEX o ON orders (id);\nCREATE TABLE made (id int);"
        )
        with pytest.raises(Refusal) as caught:
            expand(of(url), order(), [migration(expand=text)], base.said.append)
        assert caught.value.problems == (
            f"the role {name} may not change users, orders, which ann owns: GRANT ann TO {name}",
            f"the role {name} may not make tables in the schema public: GRANT CREATE ON SCHEMA public TO {name}",
        )
        assert base.columns("mine") == ["id"]
        base.sql(f"GRANT INSERT ON users TO {name}")
        seed = migration(expand="ALTER TABLE mine ADD COLUMN new text;\nINSERT INTO users VALUES (-1);")
        assert expand(of(url), order(), [seed], base.said.append).statements == 2

    def test_an_older_lease(self, base: Base) -> None:
        base.expand(migration("0007_a", expand=ADD), given=order(epoch=7))
        with pytest.raises(Outdated, match="epoch 7"):
            base.expand(migration("0008_b", expand="CREATE TABLE late ()"), given=order(epoch=6))
        assert base.sql("SELECT to_regclass('late')::text") == [(None,)]

    def test_a_contract_of_what_never_was_expanded(self, base: Base) -> None:
        whole = migration("0007_a", expand=ADD, contract="ALTER TABLE users DROP COLUMN old")
        with base.ledger() as ledger:
            ledger.make()
            assert unexpanded(ledger, [whole]) == [
                "the contract of 0007_a cannot run: its expand never ran here; deploy the release that brings it first."
            ]
        base.expand(whole)
        with base.ledger() as ledger:
            assert unexpanded(ledger, [whole]) == []

    def test_a_contract_of_its_own_needs_no_expand(self, base: Base) -> None:
        with base.ledger() as ledger:
            ledger.make()
            assert unexpanded(ledger, [migration("0009_c", contract="DROP TABLE users")]) == []


class TestBlocked:
    def test_who_is_in_the_way_is_named(self, base: Base) -> None:
        with base.application() as other, other.transaction():
            other.execute("SELECT count(*) FROM users")
            with pytest.raises(Hindered) as caught:
                base.expand(migration(expand=ADD), pace=QUICK)
            pid = other.info.backend_pid
        said = caught.value.message
        assert said.startswith("migrations/0007_new_preference/expand.sql:1:1: another session holds a lock")
        assert "(3 tries in " in said
        assert f"in the way: session {pid} (report of ann, its transaction is " in said
        assert "idle in transaction): SELECT count(*) FROM users" in said
        assert f"`SELECT pg_terminate_backend({pid})`" in caught.value.hint
        assert base.columns() == ["id", "old"]

    def test_it_is_tried_again_when_the_way_is_free(self, base: Base) -> None:
        with base.application() as other:
            with other.transaction():
                other.execute("SELECT count(*) FROM users")
                work = InBackground(base.expand, migration(expand=ADD))
                until(lambda: any("tries again" in text for text in base.said), base.said)
            work.result()
        assert base.columns() == ["id", "old", "new"]

    def test_pitfall_10_the_limit_holds_in_every_attempt(self, base: Base) -> None:
        """Also in the one that succeeds, which writes down what it had."""
        base.sql("CREATE TABLE seen (lock_timeout text)")
        with base.application() as other:
            with other.transaction():
                other.execute("LOCK TABLE seen IN SHARE MODE")
                work = InBackground(
                    base.expand, migration(expand="INSERT INTO seen SELECT current_setting('lock_timeout')")
                )
                until(lambda: any("tries again" in text for text in base.said), base.said)
            work.result()
        [(limit,)] = base.sql("SELECT lock_timeout FROM seen")
        assert limit in ("50ms", "100ms", "200ms")

    def test_a_role_of_its_own_that_owns_the_table_and_sees_little(self, base: Base) -> None:
        """No superuser: of others' sessions it is told who they are, and not what they ask."""
        name, url = base.role()
        base.sql(f"ALTER TABLE users OWNER TO {name}; GRANT CREATE ON DATABASE {base.name} TO {name}")
        with base.application() as other, other.transaction():
            other.execute("SELECT count(*) FROM users")
            with pytest.raises(Hindered, match=rf"session {other.info.backend_pid} \(report"):
                expand(of(url), order(), [migration(expand=ADD)], base.said.append, pace=QUICK)
        assert expand(of(url), order(), [migration(expand=ADD)], base.said.append).statements == 1

    def test_a_long_transaction_is_named_before(self, base: Base) -> None:
        with base.application() as other, other.transaction():
            other.execute("SELECT count(*) FROM users")
            session = base.target.open("test")
            watch = Watch(base.target, session.number, base.said.append)
            watch.warn(0.0)
            watch.close()
            session.close()
            pid = other.info.backend_pid
        assert any(f"may be in the way: session {pid} (report" in text for text in base.said)

    def test_a_deadlock_with_the_application_is_ours_to_lose(self, base: Base) -> None:
        """It holds users and wants orders; the statement holds orders and wants users."""
        base.sql("CREATE TABLE orders (id bigint PRIMARY KEY, buyer bigint); INSERT INTO orders VALUES (1, 1)")
        key = "ALTER TABLE orders ADD CONSTRAINT buyer FOREIGN KEY (buyer) REFERENCES users NOT VALID"
        with base.application() as other:
            with other.transaction():
                other.execute("UPDATE users SET old = 'mine' WHERE id = 1")
                work = InBackground(base.expand, migration(expand=key))
                until(lambda: base.sql(WAITING) or base.said[1:], "the statement waits for users")
                other.execute("UPDATE orders SET buyer = 2")
            work.result()
        assert base.sql("SELECT conname FROM pg_constraint WHERE contype = 'f'") == [("buyer",)]
        assert base.sql("SELECT buyer FROM orders") == [(2,)]

    def test_others_wait_for_a_moment_only(self, base: Base) -> None:
        """Behind a reader that stays, a statement that waits is tried once, and others pass."""
        with base.application() as reader, base.application("shop") as shop, reader.transaction():
            reader.execute("SELECT count(*) FROM users")
            work = InBackground(base.expand, migration(expand=ADD), pace=Pace(tries=6))
            until(lambda: any("tries again" in text for text in base.said), base.said)
            shop.execute("SET lock_timeout = '1s'")
            for _ in range(20):
                shop.execute("SELECT count(*) FROM users")
            with pytest.raises(Hindered):
                work.result()
        assert sum("tries again" in text for text in base.said) == 1


class TestConcurrently:
    def test_an_index_is_built_and_dropped(self, base: Base) -> None:
        base.expand(
            migration(
                expand=f'{BUILD};\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "Odd ""name" ON ONLY public.users (id);'
            )
        )
        assert base.indexes() == {"users_pkey": True, "users_old": True, 'Odd "name': True}
        base.expand(migration("0008_b", expand="DROP INDEX CONCURRENTLY IF EXISTS users_old"), given=order("r-2"))
        assert "users_old" not in base.indexes()

    def test_pitfall_3_an_invalid_index_is_built_again(self, base: Base) -> None:
        """Which a rerun with IF NOT EXISTS would take for built."""
        invalid(base)
        base.expand(migration(expand=BUILD.replace("CONCURRENTLY", "CONCURRENTLY IF NOT EXISTS")))
        assert base.indexes()["users_old"] is True
        assert any("drops the invalid index users_old" in text for text in base.said)

    def test_pitfall_3_no_lock_timeout_while_it_is_built(self, base: Base) -> None:
        """It waits for a transaction much longer than any lock timeout, and users are not in its way, nor it in theirs."""
        with base.application() as other:
            with other.transaction():
                other.execute("UPDATE users SET old = 'x' WHERE id = 1")
                work = InBackground(base.expand, migration(expand=BUILD))
                until(lambda: base.sql(WAITING), "the build waits")
                with base.application("shop") as shop:
                    shop.execute("SET lock_timeout = '1s'")
                    for _ in range(10):
                        shop.execute("UPDATE users SET old = 'y' WHERE id = 2")
                other.execute("SELECT pg_sleep(0.3)")
            work.result()
        assert base.indexes()["users_old"] is True

    def test_what_it_cannot_be_leaves_nothing(self, base: Base) -> None:
        base.sql("UPDATE users SET old = 'same'")
        with pytest.raises(Broken, match="could not create unique index"):
            base.expand(migration(expand=BUILD.replace("INDEX", "UNIQUE INDEX")))
        assert "users_old" not in base.indexes()
        base.expand(migration(expand=BUILD))
        assert base.indexes()["users_old"] is True

    def test_one_that_is_there_and_not_ours_is_refused(self, base: Base) -> None:
        base.sql("CREATE INDEX users_old ON users (id)")
        with pytest.raises(Broken, match="already exists"):
            base.expand(migration(expand=BUILD))

    def test_begun_and_whole_is_done(self, base: Base) -> None:
        """A runner that died after the build and before the ledger."""
        [statement] = split(BUILD, Dialect.POSTGRES)
        with base.ledger() as ledger:
            ledger.make()
            ledger.put_statement(Done("0007_new_preference", Stage.EXPAND, 1, checksum(statement), Stand.RUNNING))
        base.sql("CREATE INDEX users_old ON users (old)")
        [(made,)] = base.sql("SELECT 'users_old'::regclass::oid")
        base.expand(migration(expand=BUILD))
        assert base.sql("SELECT 'users_old'::regclass::oid") == [(made,)]

    @pytest.mark.parametrize(
        ("sql", "said"),
        [
            ("CREATE INDEX CONCURRENTLY ON users (old)", "the index has no name"),
            ("REINDEX TABLE CONCURRENTLY users", "Run it by hand, beside the release"),
        ],
    )
    def test_what_could_not_be_found_again_is_refused_before_anything_runs(
        self, base: Base, sql: str, said: str
    ) -> None:
        with pytest.raises(Refusal, match=r"expand\.sql:2:1: .*") as caught:
            base.expand(migration(expand=f"{ADD}\n{sql}"))
        assert said in caught.value.message
        assert base.columns() == ["id", "old"]

    @pytest.mark.parametrize("sql", ["VACUUM users", "CREATE DATABASE other"])
    def test_what_can_be_neither_held_nor_seen_is_refused(self, base: Base, sql: str) -> None:
        with pytest.raises(Permanent, match=r"expand\.sql:1:1: .*(transaction)"):
            base.expand(migration(expand=sql))


def invalid(base: Base) -> None:
    """As a build leaves it that is cancelled."""
    with base.application() as other, base.application("builder") as builder, other.transaction():
        other.execute("UPDATE users SET old = 'x' WHERE id = 1")
        builder.execute("SET lock_timeout = '50ms'")
        with pytest.raises(Exception, match="lock timeout"):
            builder.execute(BUILD)
    assert base.indexes()["users_old"] is False


def test_the_pace_of_attempts() -> None:
    pace = Pace()
    assert [pace.patience(n, longer=True) for n in (1, 2, 3, 4)] == [0.05, 0.1, 0.2, 0.2]
    assert [pace.patience(n, longer=False) for n in (1, 2, 3, 4)] == [0.05] * 4
    assert [pace.pause(n, lambda: 1.0) for n in (1, 2, 3, 20)] == pytest.approx([0.1, 0.2, 0.4, 10.0])
    assert pace.pause(1, lambda: 0.0) == pytest.approx(0.05)
    assert Pace(lock_timeout=0.02).patience(1, longer=False) == 0.02


def test_ft_16_a_full_disk(base: Base) -> None:
    """Nothing is half done, and the next run goes on when there is room."""
    disk = base.cluster.folder / "tiny"
    disk.mkdir()
    mount = [
        "mount",
        "-t",
        "tmpfs",
        "-o",
        f"size=4m,mode=700,uid={base.cluster.folder.stat().st_uid}",
        "tiny",
        str(disk),
    ]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a tmpfs")
    try:
        base.sql(f"CREATE TABLESPACE tiny LOCATION '{disk}'")
        large = (
            "CREATE TABLE large TABLESPACE tiny AS SELECT g, repeat('x', 100) AS text FROM generate_series(1, 60000) g"
        )
        with pytest.raises(Full, match="its disk is full") as caught:
            base.expand(migration(expand=f"{ADD}\n{large}"))
        assert "the next try goes on from there" in caught.value.hint
        assert base.columns() == ["id", "old", "new"]
        assert base.sql("SELECT to_regclass('large')::text") == [(None,)]
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert base.expand(migration(expand=f"{ADD}\n{large}")).statements == 1
        base.sql("DROP TABLE large")
        base.sql("DROP TABLESPACE tiny")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
