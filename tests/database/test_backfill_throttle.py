"""What makes a backfill wait: a replica that is behind, a server at work. What cannot be seen makes it wait too."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from greenroom.adapters.database.backfill import BackfillSettings
from greenroom.testing.processes import free_ports
from tests.rigs import postgres
from tests.rigs.backfilling import Shop, until
from tests.rigs.postgres import Cluster, Standby

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]


class Enough(Exception):
    """The test has seen what it wanted."""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Cluster, Standby]]:
    """A primary and a copy of it that follows by streaming replication."""
    primary = Cluster({"max_wal_senders": "4", "wal_level": "replica"})
    try:
        primary.start()
        standby = Standby(primary)
        try:
            standby.start()
            yield primary, standby
        finally:
            standby.end()
    finally:
        primary.end()


def databases(cluster: Cluster) -> set[str]:
    with cluster.connect("postgres") as db:
        return {name for (name,) in db.execute("SELECT datname FROM pg_database").fetchall()}


def paused(shop: Shop, settings: BackfillSettings, looks: int = 12) -> list[str]:
    """What is said while it waits, until it has looked so often."""
    count = iter(range(looks))

    def sleep(_: float) -> None:
        if next(count, None) is None:
            raise Enough

    with pytest.raises(Enough):
        shop.run(settings=settings, sleep=sleep)
    return [text for text in shop.said if "paused" in text]


def test_it_waits_for_a_replica_that_is_behind_and_goes_on(pair: tuple[Cluster, Standby]) -> None:
    primary, standby = pair
    shop = Shop(primary, 4_000)
    settings = BackfillSettings(max_batch=100, max_lag="300ms", replicas=[standby.url(shop.name)])
    outcomes, held = [], threading.Event()

    def between(_: float) -> None:
        row = shop.row() if not held.is_set() else None
        if row is not None and row.rows >= 1_000:
            with standby.connect("postgres") as db:
                db.execute("SELECT pg_wal_replay_pause()")
            held.set()
        time.sleep(0.05)

    runner = threading.Thread(target=lambda: outcomes.append(shop.run(settings=settings, sleep=between)))
    runner.start()
    try:
        until(lambda: any("behind (max_lag 300ms)" in text for text in shop.said), "it waits")
        stopped = shop.row()
        assert stopped is not None
        assert stopped.rows < 4_000
    finally:
        with standby.connect("postgres") as db:
            db.execute("SELECT pg_wal_replay_resume()")
        runner.join(60)
    assert outcomes
    assert outcomes[0].done
    assert shop.versions() == {1: 4_000}


def test_nothing_is_verified_before_the_replica_has_it(pair: tuple[Cluster, Standby]) -> None:
    """The new version may read there. The lag itself is allowed to be as long as it likes here."""
    primary, standby = pair
    shop = Shop(primary, 1_000)
    settings = BackfillSettings(max_batch=100, max_lag="1h", replicas=[standby.url(shop.name)])
    outcomes = []
    until(
        lambda: (shop.name,) in standby.connect("postgres").execute("SELECT datname FROM pg_database").fetchall(), "it"
    )

    def between(_: float) -> None:
        row = shop.row()
        if row is not None and row.rows >= 500:
            with standby.connect("postgres") as db:
                db.execute("SELECT pg_wal_replay_pause()")
        time.sleep(0.02)

    runner = threading.Thread(target=lambda: outcomes.append(shop.run(settings=settings, sleep=between)))
    runner.start()
    try:
        until(lambda: any("waits until it is everywhere" in text for text in shop.said), "it waits at the end")
        row = shop.row()
        assert row is not None
        assert (row.rows, row.verified_at) == (1_000, None)
        assert shop.wrong() == 0
    finally:
        while not outcomes and runner.is_alive():
            with standby.connect("postgres") as db:
                db.execute("SELECT pg_wal_replay_resume()")
            runner.join(0.1)
    assert outcomes[0].done


def test_a_replica_that_cannot_be_reached_makes_it_wait(cluster: Cluster) -> None:
    shop = Shop(cluster, 500)
    [port] = free_ports(1)
    settings = BackfillSettings(replicas=[f"postgresql://ann:s3cret@127.0.0.1:{port}/shop"])
    said = paused(shop, settings)
    assert "cannot be read" in said[0]
    assert f"127.0.0.1:{port}" in said[0]
    assert "s3cret" not in " ".join(shop.said)
    assert shop.versions() == {0: 500}


def test_a_replica_that_holds_another_database_makes_it_wait(cluster: Cluster) -> None:
    shop = Shop(cluster, 500)
    other = cluster.database()
    assert "cannot be read" in paused(shop, BackfillSettings(replicas=[cluster.url(other)]))[0]
    assert shop.versions() == {0: 500}


def test_a_replica_that_shows_nothing_new_is_behind_at_last(cluster: Cluster) -> None:
    """Our own mark is what is looked for: a copy that is readable, and stands still, is no copy."""
    shop, still = Shop(cluster, 3_000), Shop(cluster, 10, apart=True)
    assert still.run().done
    settings = BackfillSettings(max_batch=100, max_lag="50ms", replicas=[still.url])
    outcomes: list[BaseException] = []
    over = threading.Event()

    def between(_: float) -> None:
        if over.wait(0.05):
            raise Enough

    def run() -> None:
        try:
            shop.run(settings=settings, sleep=between)
        except Enough as enough:
            outcomes.append(enough)

    runner = threading.Thread(target=run)
    runner.start()
    try:
        until(lambda: any("behind" in text for text in shop.said), "it waits")
    finally:
        over.set()
        runner.join(30)
    assert len(outcomes) == 1
    assert shop.versions().get(0, 0) > 0


def test_it_waits_while_the_server_is_at_work(cluster: Cluster) -> None:
    shop = Shop(cluster, 1_000)
    stop = threading.Event()

    def work() -> None:
        with cluster.connect(shop.name) as db:
            while not stop.is_set():
                db.execute("SELECT pg_sleep(0.2)")

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    outcomes = []
    settings = BackfillSettings(max_batch=100, max_load=1)
    runner = threading.Thread(target=lambda: outcomes.append(shop.run(settings=settings)))
    runner.start()
    try:
        until(lambda: any("paused" in text for text in shop.said), "it waits")
    finally:
        stop.set()
        for worker in workers:
            worker.join()
        runner.join(30)
    assert "sessions are at work (max_load 1)" in next(text for text in shop.said if "paused" in text)
    assert outcomes[0].done


def test_load_that_may_not_be_seen_makes_it_wait(cluster: Cluster) -> None:
    shop = Shop(cluster, 300)
    shop.sql("CREATE ROLE humble LOGIN PASSWORD 'x'; GRANT CREATE ON DATABASE " + shop.name + " TO humble")
    try:
        shop.sql("GRANT ALL ON users TO humble")
        shop.url = cluster.url(shop.name, "humble", "x")
        said = paused(shop, BackfillSettings(max_load=5))
        assert "the load cannot be seen" in said[0]
        assert shop.sql("SELECT count(*)::int FROM users WHERE version = 0") == [(300,)]
        assert shop.run().done
    finally:
        with psycopg.connect(host=str(cluster.folder), port=cluster.port, user="ann", dbname=shop.name) as db:
            db.execute("DROP OWNED BY humble CASCADE; DROP ROLE humble")
