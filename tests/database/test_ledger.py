"""The ledger: its tables are made once, its rows come back as they were written, an older lease is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from greenroom.adapters.database import tables
from greenroom.adapters.database.ledger import Done, Filling, Held, Ledger, Outdated, Recorded
from greenroom.adapters.database.state import state
from greenroom.adapters.database.target import Broken, Session, of
from greenroom.domain.schema import Progress, Stage, Stand
from greenroom.errors import Permanent
from tests.rigs import postgres
from tests.rigs.migrating import SERVICE, Base, order
from tests.rigs.postgres import Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]
ROW = Recorded("0007_a", Stage.EXPAND, "c0ffee", "migrations/0007_a/expand.sql", "SELECT 'ü%' -- \n")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


@pytest.fixture
def base(cluster: Cluster) -> Iterator[Base]:
    with Base.lent(cluster) as made:
        yield made


@pytest.fixture
def session(base: Base) -> Iterator[Session]:
    made = base.target.open("test")
    yield made
    made.close()


@pytest.fixture
def ledger(session: Session) -> Ledger:
    made = Ledger(session, SERVICE)
    made.make()
    return made


def test_it_is_made_once_by_whoever_comes_first(base: Base) -> None:
    """Ten at once; a second time changes nothing."""
    failed: list[BaseException] = []
    begin = threading.Barrier(10)

    def make() -> None:
        session = base.target.open("test")
        try:
            begin.wait()
            Ledger(session, SERVICE).make()
        except BaseException as error:
            failed.append(error)
        finally:
            session.close()

    threads = [threading.Thread(target=make) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    found = base.sql("SELECT relname FROM pg_class WHERE relnamespace = 'greenroom'::regnamespace AND relkind = 'r'")
    assert {name for (name,) in found} >= set(tables.TABLES)
    assert base.sql("SELECT value FROM greenroom.ledger") == [("1",)]


def test_looking_makes_nothing(base: Base, session: Session) -> None:
    assert not Ledger(session, SERVICE).made
    assert state(session, SERVICE).parts == ()
    assert base.sql("SELECT to_regnamespace('greenroom')::text") == [(None,)]


def test_it_is_made_beside_a_journal(base: Base, session: Session) -> None:
    """Which lives in a schema of the same name, and may have been there first."""
    base.sql("CREATE SCHEMA greenroom")
    base.sql("CREATE TABLE greenroom.meta (name text, value text)")
    Ledger(session, SERVICE).make()
    assert Ledger(session, SERVICE).made


def test_one_of_a_newer_greenroom_is_left_alone(base: Base, ledger: Ledger) -> None:
    base.sql("UPDATE greenroom.ledger SET value = '2'")
    with pytest.raises(Permanent, match="has format 2; this Greenroom knows 1"):
        ledger.make()


class TestRights:
    def refused(self, url: str) -> Permanent:
        session = of(url).open("test")
        try:
            with pytest.raises(Permanent) as caught:
                Ledger(session, SERVICE).make()
        finally:
            session.close()
        assert "GRANT them" in caught.value.hint
        return caught.value

    def test_to_make_a_schema(self, base: Base) -> None:
        _, url = base.role()
        assert f"CREATE on the database {base.name}" in self.refused(url).message
        assert base.sql("SELECT to_regnamespace('greenroom')::text") == [(None,)]

    def test_to_use_it(self, base: Base, ledger: Ledger) -> None:
        role, url = base.role()
        assert "USAGE on the schema greenroom" in self.refused(url).message
        base.sql(f"GRANT USAGE ON SCHEMA greenroom TO {role}")
        base.sql(f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA greenroom TO {role}")
        said = self.refused(url).message
        assert all(f"UPDATE, DELETE on greenroom.{table}" in said for table in tables.TABLES)

    def test_enough(self, base: Base, ledger: Ledger) -> None:
        role, url = base.role()
        base.sql(f"GRANT USAGE ON SCHEMA greenroom TO {role}")
        base.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA greenroom TO {role}")
        session = of(url).open("test")
        Ledger(session, SERVICE).make()
        Ledger(session, SERVICE).put_migration(ROW)
        session.close()


class TestRows:
    def test_a_migration(self, ledger: Ledger) -> None:
        ledger.put_migration(ROW)
        assert ledger.migration("0007_a", Stage.EXPAND) == ROW
        ledger.begin(replace(ROW, overrides={"drop-column": "ann: nobody reads it"}), order())
        began = ledger.migration("0007_a", Stage.EXPAND)
        assert began is not None
        assert (began.state, began.release, began.version, began.by) == (Stand.RUNNING, "r-1", "42", "ann")
        assert began.overrides == {"drop-column": "ann: nobody reads it"}
        assert began.begun_at == pytest.approx(ledger.now(), abs=30)
        ledger.begin(began, order(release="r-2"))
        again = ledger.migration("0007_a", Stage.EXPAND)
        assert again is not None
        assert again.begun_at == began.begun_at
        ledger.end("0007_a", Stage.EXPAND)
        ended = ledger.migration("0007_a", Stage.EXPAND)
        assert ended is not None
        assert ended.state is Stand.DONE
        assert ended.done_at is not None

    def test_their_order(self, ledger: Ledger) -> None:
        for name in ("0010_b", "0007_a"):
            for stage in (Stage.CONTRACT, Stage.EXPAND, Stage.BACKFILL):
                ledger.put_migration(replace(ROW, name=name, stage=stage))
        assert [(row.name, row.stage) for row in ledger.migrations()] == [
            (name, stage) for name in ("0007_a", "0010_b") for stage in Stage
        ]

    def test_statements(self, ledger: Ledger) -> None:
        ledger.did("0007_a", Stage.EXPAND, 1, "abc", 0.5)
        ledger.put_statement(Done("0007_a", Stage.EXPAND, 2, "def", Stand.RUNNING))
        found = ledger.statements("0007_a", Stage.EXPAND)
        assert (found[1].state, found[1].took, found[2].state) == (Stand.DONE, 0.5, Stand.RUNNING)
        assert ledger.statements("0007_a", Stage.CONTRACT) == {}

    def test_backfills(self, ledger: Ledger) -> None:
        row = Filling("0007_a", 1, None, '["9"]', '["3"]', 3, 9, 1000, Stand.RUNNING)
        ledger.put_filling(row)
        ledger.put_filling(replace(row, number=2, verified_at=5.0))
        assert ledger.fillings("0007_a") == [row, replace(row, number=2, verified_at=5.0)]
        assert ledger.fillings("0008_b") == []
        assert ledger.filling("0007_a", 1, lock=True) == row

    def test_a_service_sees_its_own(self, session: Session, ledger: Ledger) -> None:
        ledger.put_migration(ROW)
        ledger.did("0007_a", Stage.EXPAND, 1, "abc", 0.0)
        other = Ledger(session, "mail")
        assert other.migrations() == []
        assert other.statements("0007_a", Stage.EXPAND) == {}
        assert other.held() is None

    def test_what_is_written_goes_with_the_transaction(self, base: Base, session: Session, ledger: Ledger) -> None:
        with pytest.raises(Broken), session.transaction():
            ledger.session.run(f"SELECT {ledger.did('0007_a', Stage.EXPAND, 1, 'abc', 0.0)}")
        assert ledger.statements("0007_a", Stage.EXPAND) == {}


class TestLease:
    def test_the_newest_epoch_counts(self, session: Session, ledger: Ledger) -> None:
        with session.transaction():
            assert ledger.claim(order(epoch=5)).epoch == 5
        ledger.fence(order(epoch=5))
        with pytest.raises(Outdated, match="epoch 5, release r-1 by ann"):
            ledger.fence(order(epoch=4))
        with pytest.raises(Outdated), session.transaction():
            ledger.claim(order(epoch=4))
        with session.transaction():
            ledger.claim(order(release="r-2", epoch=6))
        held = ledger.held()
        assert held is not None
        assert (held.release, held.epoch, held.state) == ("r-2", 6, "open")

    def test_a_person_is_not_fenced_and_fences_nobody(self, session: Session, ledger: Ledger) -> None:
        with session.transaction():
            ledger.claim(order(epoch=5))
        with session.transaction():
            assert ledger.claim(order(epoch=0)).epoch == 5
        ledger.fence(order(epoch=0))

    def test_a_contract_under_way_is_not_forgotten(self, session: Session, ledger: Ledger) -> None:
        ledger.put_held(Held("r-1", "42", 5, "contracting", "ann", 0.0))
        with session.transaction():
            held = ledger.claim(order(release="r-2", epoch=6))
        assert (held.release, held.epoch, held.state) == ("r-1", 6, "contracting")

    def test_its_row_is_one_lock(self, base: Base, session: Session, ledger: Ledger) -> None:
        """Who has claimed it is alone until the transaction ends."""
        other = base.target.open("test")
        with session.transaction():
            ledger.claim(order())
            assert other.rows("SELECT 1 FROM greenroom.release FOR UPDATE SKIP LOCKED") == []
        assert other.rows("SELECT 1 FROM greenroom.release FOR UPDATE SKIP LOCKED") == [(1,)]
        other.close()


def test_the_state_that_people_see(session: Session, ledger: Ledger) -> None:
    ledger.begin(ROW, order())
    ledger.did("0007_a", Stage.EXPAND, 1, "abc", 0.0)
    ledger.put_migration(replace(ROW, stage=Stage.BACKFILL, state=Stand.RUNNING, begun_at=7.0))
    ledger.put_filling(Filling("0007_a", 1, None, '["9"]', '["3"]', 3, 9, 1000, Stand.RUNNING, rate=2.0))
    ledger.put_migration(replace(ROW, stage=Stage.CONTRACT))
    expand, backfill, contract = state(session, SERVICE).parts
    assert (expand.stand, expand.detail, expand.release) == (Stand.RUNNING, "1 statements done", "r-1")
    assert backfill.progress == Progress(3, 9, 2.0, 3.0)
    assert (contract.stand, contract.since) == (Stand.PENDING, 0.0)
