"""A service whose journal is in PostgreSQL: the database may go away in the middle of a release; the traffic does not."""

from __future__ import annotations

import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.domain.phases import Phase
from greenroom.domain.records import Entry
from greenroom.domain.release import Service
from greenroom.wiring import ground_of, reopen
from tests.rigs import postgres
from tests.rigs.postgres import Cluster
from tests.system.house import House, lost

pytestmark = pytest.mark.xdist_group("postgres")

JOURNAL = 'journal: {type: postgres, url: "${JOURNAL_URL}"}'


class FarHouse(House):
    def service(self) -> Service:
        return reopen("shop", self.file, self.state, ground=ground_of(self.file)).control.state()

    def entries(self, after: int = 0) -> list[Entry]:
        return list(reopen("shop", self.file, self.state, ground=ground_of(self.file)).control.entries(after))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


@pytest.fixture
def home(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FarHouse]:
    monkeypatch.setenv("JOURNAL_URL", cluster.url(cluster.database()))
    made = FarHouse(tmp_path, more=JOURNAL, bake="2s")
    try:
        yield made
    finally:
        made.end()


def test_ft_12_the_database_crashes_in_the_middle_of_a_release(home: FarHouse, cluster: Cluster) -> None:
    home.deployed()
    home.begin()
    assert not (home.state / "journal.db").exists()
    version, began = home.version(), time.monotonic()
    command = home.start("deploy", version)
    home.until_phase(version, Phase.BAKE)
    seen = len(home.entries())
    cluster.stop(signal.SIGQUIT)
    try:
        home.kill(home.engine())
        command.wait()
        assert "the journal cannot be read; this is what runs" in home.run("status").expect(6).out
    finally:
        cluster.start()
    home.run("deploy", version).expect(0)
    home.serves(version)
    assert len(home.entries()) > seen
    assert not lost(home.faults(began), began)
    assert not shown(home, postgres.PASSWORD), "the password is kept where only we can read it"


def shown(home: FarHouse, password: str) -> list[str]:
    """Where others could read it: process lists, and files that are not ours alone."""
    words = (password.encode(), password.split()[0].encode())
    places = [Path(f"/proc/{pid}/cmdline") for pid in home.living()]
    places += [path for path in home.state.rglob("*") if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    return [str(path) for path in places if any(word in path.read_bytes() for word in words)]
