"""A backfill whose runner or server is killed, in a batch and between two, and two runners at once: nothing twice."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from greenroom.adapters.database import target as targets
from greenroom.adapters.database.backfill import BackfillSettings
from greenroom.adapters.database.backfill.filler import Filler
from greenroom.adapters.database.backfill.grammar import server
from greenroom.adapters.database.backfill.link import Link
from greenroom.adapters.database.backfill.running import fills
from greenroom.adapters.database.backfill.statements import Statements
from greenroom.adapters.database.backfill.verifying import Work
from greenroom.adapters.database.ledger import Ledger
from greenroom.domain.schema import Dialect
from tests.rigs import postgres
from tests.rigs.backfilling import NAME, SERVICE, Shop, migration, until
from tests.rigs.postgres import Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]

HANGS = """
CREATE TABLE hook (hangs_at bigint);
CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT 1 FROM hook WHERE hangs_at = NEW.id) THEN PERFORM pg_sleep(30); END IF; RETURN NEW; END $$;
CREATE TRIGGER hang BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION hang();
"""
HANGING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND application_name = 'greenroom backfill'"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


def exact(shop: Shop, rows: int) -> None:
    """Each row was changed once, and counted once."""
    row = shop.row()
    assert row is not None
    assert (row.rows, row.of, row.verified_at is not None) == (rows, rows, True)
    assert shop.wrong() == 0
    assert shop.versions() == {1: rows}


def test_killed_between_batches(cluster: Cluster) -> None:
    """Twice, wherever it is; then somebody else goes on."""
    shop = Shop(cluster, 2_000)
    for share in (0.3, 0.6):
        runner = shop.process(share="20%")
        until(lambda: (row := shop.row()) and row.rows >= 2_000 * share, shop.log())  # noqa: B023
        runner.send_signal(signal.SIGKILL)
        runner.wait()
        row = shop.row()
        assert row is not None
        assert row.at is not None
        filled = shop.sql(f"SELECT count(*)::int FROM users WHERE version = 1 AND id <= {json.loads(row.at)[0]}")
        assert filled == [(row.rows,)]
    assert shop.run().done
    exact(shop, 2_000)


def test_killed_in_a_batch(cluster: Cluster) -> None:
    """The server still works on the statement when its client is gone: all of that batch is undone."""
    shop = Shop(cluster, 1_000)
    shop.sql(HANGS)
    shop.sql("INSERT INTO hook VALUES (555)")
    runner = shop.process(batch_time="2s")
    until(lambda: shop.sql(HANGING), "a batch hangs")
    before = shop.row()
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    shop.sql("TRUNCATE hook")  # waits for the end of the batch, which the server brings about by itself
    assert before is not None
    assert shop.sql("SELECT count(*)::int FROM users WHERE version = 1") == [(before.rows,)]
    assert shop.run().done
    exact(shop, 1_000)


def test_who_goes_on_has_the_pace_of_who_went_before(cluster: Cluster) -> None:
    shop = Shop(cluster, 300)
    seen: list[int] = []

    def once(_: float) -> None:
        row = shop.row()
        assert row is not None
        seen.append(row.rows)
        raise InterruptedError

    for _ in range(2):
        with pytest.raises(InterruptedError):
            shop.run(sleep=once)
        shop.sql("UPDATE greenroom.backfill SET batch = 7")
    assert seen == [100, 107]


def test_the_server_crashes_in_the_middle(cluster: Cluster) -> None:
    """The runner waits until it is there again, and goes on from the checkpoint that the server has."""
    shop = Shop(cluster, 3_000)
    outcomes, waiting = [], threading.Event()

    def between(seconds: float) -> None:
        time.sleep(seconds)
        row = shop.row() if not waiting.is_set() else None
        if row is not None and row.rows > 1_000 and not waiting.is_set():
            cluster.stop(signal.SIGQUIT)
            waiting.set()

    runner = threading.Thread(target=lambda: outcomes.append(shop.run(sleep=between)))
    runner.start()
    try:
        assert waiting.wait(30)
        until(lambda: any("waits for the database" in text for text in shop.said), "it sees that the server is gone")
    finally:
        cluster.start()
    runner.join(60)
    assert outcomes
    assert outcomes[0].done
    exact(shop, 3_000)


def test_two_runners_one_after_the_other(cluster: Cluster) -> None:
    shop = Shop(cluster, 3_000)
    runners = [shop.process(share="50%") for _ in range(2)]
    codes = [runner.wait(60) for runner in runners]
    assert codes == [0, 0], shop.log()
    exact(shop, 3_000)


def test_two_runners_at_once_take_turns(cluster: Cluster) -> None:
    """Without the lock of the one runner, as after a failover that forgot it: the checkpoint's row is lock enough."""
    shop = Shop(cluster, 3_000)
    targets_said: list[str] = []

    def run() -> None:
        kind = server(Dialect.POSTGRES)
        settings = BackfillSettings(max_batch=50)
        link = Link(targets.of(shop.url), SERVICE, kind, 60, targets_said.append, Ledger.make)
        [fill] = fills(migration(), Dialect.POSTGRES)
        table = kind.table(link.session, fill)
        work = Work(NAME, 1, "users", Statements(kind, fill, table), kind, table)
        try:
            assert Filler(link, work, settings, targets_said.append, lambda: None).run() is None
            done.append(True)
        finally:
            link.close()

    done: list[bool] = []
    runners = [threading.Thread(target=run) for _ in range(3)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join(60)
    assert done == [True] * 3
    exact(shop, 3_000)


@pytest.mark.soak
def test_killed_at_every_moment(cluster: Cluster) -> None:
    shop = Shop(cluster, 40_000)
    for number in range(40):
        runner = shop.process(max_batch=500, share="50%")
        before = shop.row()
        least = before.rows if before is not None else 0
        until(lambda: ((row := shop.row()) and row.rows > least) or runner.poll() is not None, shop.log())  # noqa: B023
        runner.send_signal(signal.SIGKILL)
        runner.wait()
        if number % 10 == 9:
            cluster.stop(signal.SIGQUIT)
            cluster.start()
    assert shop.run(settings=BackfillSettings(max_batch=1_000)).done
    exact(shop, 40_000)
