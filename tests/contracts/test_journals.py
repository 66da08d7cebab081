"""The journals keep the contract of their port."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.journals.machine import Machine
from greenroom.adapters.journals.postgres import PostgresJournal
from greenroom.adapters.journals.sqlite import SqliteJournal
from greenroom.domain import codec
from greenroom.ports import Owner
from greenroom.testing.clock import FakeClock
from greenroom.testing.contracts.journal import JournalContract
from greenroom.testing.memory import MemoryJournal
from tests.rigs import postgres
from tests.rigs.host_journal import HostJournalBench


class MemoryBench:
    def __init__(self) -> None:
        self._clock = FakeClock()
        self._dead: set[str] = set()
        self._journal = MemoryJournal(self._clock, lambda owner: owner.identity in self._dead)

    def open(self) -> MemoryJournal:
        return self._journal

    def advance(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    def wall_jumps(self, seconds: float) -> None:
        """The fake clock is the store's; there is no wall."""

    def kill(self, owner: Owner) -> None:
        self._dead.add(owner.identity)

    def witness(self) -> Sequence[tuple[int, int, dict[str, Any]]]:
        return [(e.seq, e.epoch, codec.encode(e.record)) for e in self._journal._entries]


class SqliteBench:
    """A real file; only the machine's clocks and its knowledge of who lives are given."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state" / "journal.db"
        self.steady, self.wall = 5000.0, 1_790_000_000.0
        self._dead: set[str] = set()
        self._opened: list[SqliteJournal] = []
        self.machine = self.booted("boot-1")

    def booted(self, boot: str) -> Machine:
        return Machine(boot, lambda: self.steady, lambda: self.wall, self._alive)

    def open(self, machine: Machine | None = None) -> SqliteJournal:
        self._opened.append(SqliteJournal(self.path, service="shop", machine=machine or self.machine))
        return self._opened[-1]

    def advance(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += seconds

    def wall_jumps(self, seconds: float) -> None:
        self.wall += seconds

    def kill(self, owner: Owner) -> None:
        self._dead.add(owner.identity)

    def witness(self) -> Sequence[tuple[int, int, dict[str, Any]]]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            rows = db.execute("SELECT seq, epoch, body FROM entries ORDER BY seq").fetchall()
        return [(seq, epoch, json.loads(body)) for seq, epoch, body in rows]

    def close(self) -> None:
        for journal in self._opened:
            journal.close()

    def _alive(self, owner: Owner) -> bool | None:
        return False if owner.identity in self._dead else None


class PostgresBench:
    """A real server. Its clock is the real one and what the bench adds; so is this machine's."""

    def __init__(self, cluster: postgres.Cluster) -> None:
        self.cluster, self.database = cluster, cluster.database()
        self.ahead, self.wall = 0.0, time.time()
        self._dead: set[str] = set()
        self._opened: list[PostgresJournal] = []
        with cluster.connect(self.database) as db:
            db.execute("CREATE TABLE public.ahead AS SELECT 0.0::double precision AS seconds")

    def machine(self, steady: float = 0.0) -> Machine:
        """`steady`: what another machine's count differs by."""
        return Machine("boot-1", lambda: time.monotonic() + self.ahead + steady, lambda: self.wall, self._alive)

    def open(self, machine: Machine | None = None) -> PostgresJournal:
        clock = "(clock_timestamp() + (SELECT seconds FROM public.ahead) * interval '1 second')"
        url, machine = self.cluster.url(self.database), machine or self.machine()
        self._opened.append(PostgresJournal(url, service="shop", machine=machine, clock=clock))
        return self._opened[-1]

    def advance(self, seconds: float) -> None:
        self.ahead += seconds
        self.server_jumps(seconds)
        self.wall += seconds

    def server_jumps(self, seconds: float) -> None:
        """Somebody sets the server's clock."""
        with self.cluster.connect(self.database) as db:
            db.execute("UPDATE public.ahead SET seconds = seconds + %s", [seconds])

    def wall_jumps(self, seconds: float) -> None:
        """Of this machine: the store's clock is the server's."""
        self.wall += seconds

    def kill(self, owner: Owner) -> None:
        self._dead.add(owner.identity)

    def witness(self) -> Sequence[tuple[int, int, dict[str, Any]]]:
        query = "SELECT seq, epoch, body FROM greenroom.entries WHERE service = 'shop' ORDER BY seq"
        with self.cluster.connect(self.database) as db:
            return [(seq, epoch, json.loads(body)) for seq, epoch, body in db.execute(query).fetchall()]

    def close(self) -> None:
        for journal in self._opened:
            journal.close()
        self.cluster.drop(self.database)

    def _alive(self, owner: Owner) -> bool | None:
        return False if owner.identity in self._dead else None


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def bench(self) -> MemoryBench:
        return MemoryBench()


class TestSqliteJournal(JournalContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[SqliteBench]:
        bench = SqliteBench(tmp_path)
        yield bench
        bench.close()

    def test_time_goes_on_after_a_reboot_with_a_wrong_clock(self, bench: SqliteBench) -> None:
        """No stamp runs backwards, and no lease outlives its ttl, whatever the wall clock says at the next boot."""
        journal = bench.open()
        [entry] = journal.append([codec.loads(_RECORD)], expected=0)
        lease = journal.claim(Owner("ada/1", "ada"), 10)
        for boot, wall in (("boot-2", 0.0), ("boot-3", bench.wall - 86400), ("boot-4", bench.wall + 600)):
            bench.steady, bench.wall = 3.0, wall
            journal = bench.open(bench.booted(boot))
            assert journal.now() >= entry.at
            bench.advance(10)
            bob = journal.claim(Owner(f"bob/{boot}", "bob"), 10)
            assert bob.owner.text == "bob"
            assert bob.epoch == lease.epoch + 1
            assert bob.since >= lease.since
            lease = bob
        assert journal.now() == pytest.approx(bench.wall)

    def test_two_machines_whose_clocks_differ_agree(self, bench: SqliteBench) -> None:
        ahead = bench.open(Machine("ahead", lambda: bench.steady, lambda: bench.wall + 300, lambda _: None))
        behind = bench.open()
        lease = ahead.claim(Owner("ada/1", "ada"), 10)
        assert behind.claim(Owner("bob/1", "bob"), 10) == lease
        assert behind.now() >= lease.since
        bench.advance(10)
        assert behind.claim(Owner("bob/1", "bob"), 10).owner.text == "bob"


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    with postgres.shared() as made:
        yield made


@pytest.mark.real
@pytest.mark.xdist_group("postgres")
class TestPostgresJournal(JournalContract):
    @pytest.fixture
    def bench(self, cluster: postgres.Cluster) -> Iterator[PostgresBench]:
        bench = PostgresBench(cluster)
        yield bench
        bench.close()

    def test_time_goes_on_though_the_servers_clock_is_set_back(self, bench: PostgresBench) -> None:
        """For who was there, and for who comes later: no stamp runs backwards, a lease ends after its ttl."""
        journal = bench.open()
        [before] = journal.append([codec.loads(_RECORD)], expected=0)
        lease = journal.claim(Owner("ada/1", "ada"), 10)
        bench.server_jumps(-86400)
        later = bench.open(bench.machine(-900_000))
        assert journal.now() >= lease.since
        assert later.now() >= lease.since
        [after] = later.append([codec.loads(_RECORD)], expected=1)
        assert after.at >= before.at
        bench.advance(10)
        assert journal.now() == pytest.approx(lease.expires, abs=1)
        bob = journal.claim(Owner("bob/1", "bob"), 10)
        assert bob.owner.text == "bob"
        assert bob.since >= lease.expires
        assert later.claim(Owner("ada/1", "ada"), 10).owner.text == "bob"

    def test_machines_that_count_differently_agree(self, bench: PostgresBench) -> None:
        one, other = bench.open(), bench.open(bench.machine(5_000_000))
        assert one.now() == pytest.approx(other.now(), abs=1)
        lease = one.claim(Owner("ada/1", "ada"), 10)
        assert other.holder() == lease
        bench.advance(11)
        assert other.claim(Owner("bob/1", "bob"), 10).owner.text == "bob"


class TestHostJournal(JournalContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> HostJournalBench:
        return HostJournalBench(tmp_path)

    def test_time_goes_on_after_a_reboot_with_a_wrong_clock(self, bench: HostJournalBench) -> None:
        """No stamp runs backwards, and no lease outlives its ttl, whatever the wall clock says at the next boot."""
        journal = bench.open()
        [entry] = journal.append([codec.loads(_RECORD)], expected=0)
        lease = journal.claim(Owner("ada/1", "ada"), 10)
        for boot, wall in (("boot-2", 0.0), ("boot-3", bench.wall - 86400), ("boot-4", bench.wall + 600)):
            bench.boots(boot, wall)
            journal = bench.open()
            assert journal.now() >= entry.at
            bench.advance(10)
            bob = journal.claim(Owner(f"bob/{boot}", "bob"), 10)
            assert bob.owner.text == "bob"
            assert bob.epoch == lease.epoch + 1
            assert bob.since >= lease.since
            lease = bob
        assert journal.now() == pytest.approx(bench.wall)


_RECORD = '{"kind": "started", "v": 1, "release": "r", "verb": "v", "key": "k"}'
