"""The journal in PostgreSQL among real processes: killed, racing, cut off, without rights, of a newer Greenroom."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from threading import Thread
from urllib.parse import quote

import psycopg
import pytest

from greenroom.adapters.journals.database import Address, unusable
from greenroom.adapters.journals.machine import owner
from greenroom.adapters.journals.postgres import PostgresJournal
from greenroom.domain.records import Record, Started
from greenroom.errors import Conflict, JournalCorrupt, JournalMissing, JournalNewer, JournalUnusable, UsageError
from tests.rigs import postgres
from tests.rigs.postgres import Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]

IMPORTS = """
import os, sys
from greenroom.adapters.journals.machine import owner
from greenroom.adapters.journals.postgres import PostgresJournal
from greenroom.domain.records import Started
from greenroom.errors import JournalUnusable, LeaseLost
"""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    name = cluster.database()
    yield name
    cluster.drop(name)


@pytest.fixture
def url(cluster: Cluster, database: str) -> str:
    return cluster.url(database)


@pytest.fixture
def journal(url: str) -> Iterator[PostgresJournal]:
    with closing(PostgresJournal(url, service="shop")) as opened:
        yield opened


@contextmanager
def running(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", IMPORTS + program, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    """The next line it prints; the test's own timeout ends the wait."""
    assert process.stdout is not None
    text = process.stdout.readline().strip()
    assert text, "it ended without an answer"
    return text


def tell(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{text}\n")
    process.stdin.flush()


def some(count: int, subject: str = "x") -> list[Record]:
    return [Started("r-1", subject, str(n)) for n in range(count)]


def witness(cluster: Cluster, database: str) -> list[int]:
    """The numbers of the entries, without the adapter."""
    with cluster.connect(database) as db:
        return [seq for (seq,) in db.execute("SELECT seq FROM greenroom.entries WHERE service = 'shop' ORDER BY seq")]


WRITER = """
journal = PostgresJournal(sys.argv[1], service="shop")
me = owner("a CI job")
lease = journal.claim(me, 3600)
print(lease.epoch if lease.owner == me else 0, flush=True)

def seen():
    while True:
        try:
            return len(journal.read())
        except JournalUnusable:
            pass

last = seen()
while True:
    three = [Started("r-1", str(last), str(n)) for n in range(3)]
    try:
        last = journal.append(three, expected=last, epoch=lease.epoch)[-1].seq
        print(last, flush=True)
    except JournalUnusable:
        last = seen()
"""


def test_ft_12_ft_13_a_killed_writer_leaves_whole_entries_and_no_lock(
    cluster: Cluster, database: str, url: str
) -> None:
    """Killed anywhere in a write: what was acknowledged stands, nothing is half there, the lease is free at once."""
    epochs, acknowledged = [0], 0
    for round in range(6):
        with running(WRITER, url) as process:
            epochs.append(int(line(process)))
            for _ in range(1 + 5 * round):
                acknowledged = int(line(process))
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but nobody has reaped it
            with closing(PostgresJournal(url, service="shop", create=False)) as journal:
                assert journal.holder() is None
                rows = [entry.seq for entry in journal.read()]
            assert process.stdout is not None
            acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
        assert rows == list(range(1, len(rows) + 1))
        assert len(rows) % 3 == 0
        assert len(rows) - 3 <= acknowledged <= len(rows)
    assert epochs == sorted(set(epochs)), "each took the lease from its dead predecessor, under a higher epoch"


def test_ft_13_a_cancelled_runner_on_another_machine_keeps_the_lease_no_longer_than_its_time(
    journal: PostgresJournal, url: str
) -> None:
    """It cannot be seen from here whether it lives."""
    runner = replace(owner("a CI job"), identity="runner-1", host="runner-1", boot="another")
    lease = journal.claim(runner, 0.3, why="deploy 2")
    with closing(PostgresJournal(url, service="shop")) as other:
        me = owner("the next CI job")
        while (taken := other.claim(me, 10)).owner != me:
            assert taken == lease
        assert taken.epoch == lease.epoch + 1
        assert taken.since >= lease.expires


SLEEPER = """
journal = PostgresJournal(sys.argv[1], service="shop")
lease = journal.claim(owner("asleep"), 3600)
print(lease.epoch, flush=True)
sys.stdin.readline()
try:
    journal.append([Started("r-1", "late", "k")], expected=0, epoch=lease.epoch)
except LeaseLost as error:
    print(f"lost: {error}", flush=True)
"""


def test_ft_51_a_leader_that_was_stopped_writes_nothing_when_it_wakes_up(journal: PostgresJournal, url: str) -> None:
    with running(SLEEPER, url) as process:
        before = int(line(process))
        os.kill(process.pid, signal.SIGSTOP)
        taken = journal.claim(owner("me"), 60, why="it hangs", force=True)
        assert taken.epoch > before
        os.kill(process.pid, signal.SIGCONT)
        tell(process, "go on")
        assert (
            line(process) == f"lost: The lease of epoch {before} is not the current one; me holds epoch {taken.epoch}."
        )
    assert list(journal.read()) == []


RACER = """
me = owner()
print("ready", flush=True)
for line in sys.stdin:
    journal = PostgresJournal(line.strip(), service="shop")
    print("won" if journal.claim(me, 60).owner == me else "lost", flush=True)
"""


def test_of_two_processes_at_the_same_instant_one_wins(cluster: Cluster) -> None:
    """In each round both find no journal, make it, and claim it."""
    with running(RACER) as one, running(RACER) as other:
        assert [line(one), line(other)] == ["ready", "ready"]
        for _ in range(5):
            database = cluster.database()
            for racer in (one, other):
                tell(racer, cluster.url(database))
            assert sorted([line(one), line(other)]) == ["lost", "won"]


def test_a_connection_that_is_lost_anywhere_writes_all_or_nothing(cluster: Cluster, database: str, url: str) -> None:
    """The server ends the writer's sessions again and again, whatever they are doing."""
    with running(WRITER, url) as process:
        line(process)
        with cluster.connect(database) as db:
            for _ in range(60):
                db.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND client_addr IS NOT NULL"
                )
                line(process)
        last = int(line(process))
        process.kill()
    rows = witness(cluster, database)
    assert rows == list(range(1, len(rows) + 1))
    assert len(rows) % 3 == 0
    assert len(rows) >= last > 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restarted", "crashed"])
def test_a_server_that_was_away_is_used_again_at_the_next_call(
    cluster: Cluster, journal: PostgresJournal, how: signal.Signals
) -> None:
    lease = journal.claim(owner("me"), 3600)
    journal.append(some(3), expected=0, epoch=lease.epoch)
    cluster.stop(how)
    try:
        for act in (journal.read, journal.holder, lambda: journal.append(some(1), expected=3)):
            with pytest.raises(JournalUnusable, match="cannot be reached") as error:
                act()
            assert "The traffic is not affected" in error.value.hint
        assert journal.now() >= lease.since, "the time goes on"
    finally:
        cluster.start()
    assert len(journal.read()) == 3
    journal.append(some(1), expected=3, epoch=lease.epoch)
    assert journal.holder() == lease


def test_a_server_that_hangs_is_not_waited_for(cluster: Cluster, database: str, url: str) -> None:
    journal = PostgresJournal(url, service="shop", patience=1.0)
    journal.append(some(1), expected=0)
    hanging = cluster.sessions(database)
    for pid in hanging:
        os.kill(pid, signal.SIGSTOP)
    try:
        for act in (journal.read, lambda: journal.append(some(1), expected=1)):
            with pytest.raises(JournalUnusable, match="did not answer in time"):
                act()
        assert [entry.seq for entry in journal.read()] == [1], "by a new connection"
    finally:
        for pid in hanging:
            os.kill(pid, signal.SIGCONT)
    last = len(journal.read())
    journal.append(some(1), expected=last)
    journal.close()
    assert witness(cluster, database) == list(range(1, last + 2))


def test_something_else_that_listens_there_and_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://ann:hunter2@127.0.0.1:{silent.getsockname()[1]}/shop"
        assert "cannot be reached: " in refused(url).message


def test_a_session_that_holds_the_journal_is_said_and_readers_do_not_wait_for_it(
    cluster: Cluster, database: str, journal: PostgresJournal
) -> None:
    journal.append(some(2), expected=0)
    with cluster.connect(database) as db:
        db.execute("BEGIN")
        db.execute("SELECT * FROM greenroom.lease FOR UPDATE")
        with pytest.raises(JournalUnusable, match="held by another session") as error:
            journal.append(some(1), expected=2)
        assert "pg_stat_activity" in error.value.hint
        assert len(journal.read()) == 2
        assert journal.holder() is None
        db.execute("ROLLBACK")
    journal.append(some(1), expected=2)


def test_threads_read_while_one_waits_to_write(cluster: Cluster, database: str, journal: PostgresJournal) -> None:
    done: list[bool] = []
    with cluster.connect(database) as db:
        db.execute("BEGIN")
        db.execute("SELECT * FROM greenroom.lease FOR UPDATE")
        writer = Thread(target=lambda: done.append(bool(journal.append(some(1), expected=0))))
        writer.start()
        assert len(journal.read()) == 0
        assert not done
        db.execute("COMMIT")
    writer.join(60)
    assert done == [True]


def test_looking_makes_nothing(cluster: Cluster, database: str, url: str) -> None:
    with pytest.raises(JournalMissing, match="nothing was ever recorded here"):
        PostgresJournal(url, service="shop", create=False)
    with cluster.connect(database) as db:
        assert db.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'greenroom'").fetchall() == []
    PostgresJournal(url, service="blog").close()
    with pytest.raises(JournalMissing, match="no journal of shop"):
        PostgresJournal(url, service="shop", create=False)
    with cluster.connect(database) as db:
        assert db.execute("SELECT service FROM greenroom.lease").fetchall() == [("blog",)]


def test_services_share_a_database_and_notice_nothing_of_each_other(url: str) -> None:
    with closing(PostgresJournal(url, service="shop")) as shop, closing(PostgresJournal(url, service="blog")) as blog:
        lease = shop.claim(owner("me"), 60)
        shop.append(some(3), expected=0, epoch=lease.epoch)
        assert list(blog.read()) == []
        assert blog.holder() is None
        blog.append(some(1), expected=0)
        with pytest.raises(Conflict):
            blog.append(some(1), expected=3)
        assert (len(shop.read()), len(blog.read())) == (3, 1)


def test_an_epoch_of_a_journal_that_was_made_anew_is_higher(
    cluster: Cluster, database: str, journal: PostgresJournal, url: str
) -> None:
    assert journal.claim(owner("me"), 60).epoch > 1_500_000_000
    with cluster.connect(database) as db:
        db.execute("ALTER SCHEMA greenroom RENAME TO greenroom_broken")
    with pytest.raises(JournalMissing):
        journal.read()
    with closing(PostgresJournal(url, service="shop")) as fresh:
        assert list(fresh.read()) == []


def test_a_person_can_read_it_and_nobody_can_rewrite_it(
    cluster: Cluster, database: str, journal: PostgresJournal
) -> None:
    [entry] = journal.append([Started("r-0001\0", "stop", "käse \udcff \0")], expected=0)
    assert list(journal.read()) == [entry]
    with cluster.connect(database) as db:
        [(at, apart, release, kind, body)] = db.execute(
            "SELECT at, extract(epoch FROM time)::float8 - at, release, kind, body FROM greenroom.entries"
        ).fetchall()
        assert (at, release, kind) == (entry.at, "r-0001\\0", "started")
        assert abs(apart) < 0.001
        assert "käse" in body
        for statement in (
            "UPDATE greenroom.entries SET epoch = 9",
            "DELETE FROM greenroom.entries",
            "TRUNCATE greenroom.entries",
        ):
            with pytest.raises(psycopg.errors.RaiseException, match="entries never change"):
                db.execute(statement)


# --- refused before anything is written -------------------------------------------------------------------------------


def refused(url: str, service: str = "shop") -> JournalUnusable:
    with pytest.raises(JournalUnusable) as error:
        PostgresJournal(url, service=service)
    assert error.value.hint
    return error.value


def test_a_user_without_rights_is_told_what_is_missing_and_may_be_given_a_schema(
    cluster: Cluster, database: str
) -> None:
    with cluster.connect(database) as db:
        db.execute("DROP ROLE IF EXISTS deploy")
        db.execute("CREATE ROLE deploy LOGIN PASSWORD 'x'")
        db.execute(f"REVOKE ALL ON DATABASE {database} FROM public")
        db.execute(f"GRANT CONNECT ON DATABASE {database} TO deploy")
    url = cluster.url(database, "deploy", "x")
    error = refused(url)
    assert "does not let us in: permission denied for database" in error.message
    assert "a schema greenroom" in error.hint
    with cluster.connect(database) as db:
        db.execute("CREATE SCHEMA greenroom AUTHORIZATION deploy")
    with closing(PostgresJournal(url, service="shop")) as journal:
        journal.append(some(1), expected=0)
    with cluster.connect(database) as db:
        db.execute("DROP SCHEMA greenroom CASCADE")


def test_a_copy_that_cannot_be_written_is_not_taken_for_a_journal(cluster: Cluster, database: str, url: str) -> None:
    with cluster.connect(database) as db:
        db.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    assert "session is read-only" in refused(url).message


def test_a_database_that_cannot_hold_every_text_is_refused(cluster: Cluster) -> None:
    database = cluster.database("ENCODING 'LATIN1' TEMPLATE template0")
    assert "its encoding is LATIN1" in refused(cluster.url(database)).message
    cluster.drop(database)


def use(url: str) -> None:
    with closing(PostgresJournal(url, service="shop", create=False)) as journal:
        journal.read()
        journal.holder()


@pytest.mark.parametrize(
    ("damage", "kind", "said"),
    [
        ("UPDATE greenroom.meta SET value = '2'", JournalNewer, "has format 2"),
        ("UPDATE greenroom.meta SET value = ''", JournalCorrupt, "names no format"),
        ("DELETE FROM greenroom.entries WHERE seq = 4", JournalCorrupt, "entries are missing"),
        (
            "UPDATE greenroom.entries SET body = '{' WHERE seq = 4",
            JournalCorrupt,
            "entry 4 of shop: A record is damaged",
        ),
        (
            "UPDATE greenroom.entries SET body = replace(body, '\"v\": 1', '\"v\": 9')",
            JournalNewer,
            "entry 1: .*version 9",
        ),
        ("UPDATE greenroom.lease SET owner = '{}'", JournalCorrupt, "the lease of shop"),
        ("ALTER TABLE greenroom.entries RENAME body TO text", JournalCorrupt, "is damaged, or not a journal"),
        ("DELETE FROM greenroom.lease", JournalMissing, "no journal of shop"),
    ],
)
def test_what_is_damaged_or_newer_is_called_so(
    cluster: Cluster, database: str, url: str, journal: PostgresJournal, damage: str, kind: type[Exception], said: str
) -> None:
    journal.append(some(6), expected=0)
    with cluster.connect(database) as db:
        db.execute("ALTER TABLE greenroom.entries DISABLE TRIGGER USER")
        db.execute(damage)
    with pytest.raises(kind, match=said) as error:
        use(url)
    assert "The traffic is not affected" in getattr(error.value, "hint", "") or kind is JournalMissing


HUNTER = "hunt/er@2 %41"


def secretless(act: Callable[[], object], *secrets: str) -> str:
    """Its message; no secret is in it, nor in what a traceback of it would show."""
    with pytest.raises((JournalUnusable, UsageError)) as error:
        act()
    whole = "".join(traceback.format_exception_only(error.value)) + error.value.hint + str(error.value.__cause__)
    for secret in secrets:
        assert secret not in whole
    assert error.value.hint
    return error.value.message


def test_a_password_is_in_no_error(cluster: Cluster, database: str) -> None:
    wrong = secretless(lambda: PostgresJournal(cluster.url(database, "ann", HUNTER), service="shop"), HUNTER)
    assert f"The journal in the database {database} at 127.0.0.1:{cluster.port} as ann refuses us: password" in wrong
    nobody = f"postgresql://ann:{quote(HUNTER, safe='')}@127.0.0.1:1/shop"
    gone = secretless(lambda: PostgresJournal(nobody, service="shop"), HUNTER)
    assert gone == "The journal in the database shop at 127.0.0.1:1 as ann cannot be reached: Connection refused."


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ann:hunter@2word@db.example/shop",
        "postgresql://ann:hunter/2word@db.example/shop",
        "postgresql://ann:hunter%2word@db.example/shop",
        "host=db.example password=hunter 2word",
        "hunter2word",
    ],
)
def test_a_password_that_is_written_wrongly_is_not_shown_as_something_else(address: str) -> None:
    said = secretless(lambda: PostgresJournal(address, service="shop"), "hunter", "2word")
    assert said == "journal.url is no address of a PostgreSQL database"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (psycopg.errors.DiskFull("no space"), "its disk is full"),
        (psycopg.errors.DeadlockDetected("x"), "held by another session"),
        (psycopg.errors.QueryCanceled("x"), "did not answer in time"),
        (psycopg.errors.DataCorrupted("a page"), "is damaged, or not a journal: a page"),
        (psycopg.errors.OutOfMemory("x"), "cannot be used: x"),
        (psycopg.errors.AdminShutdown("x"), "cannot be reached: x"),
    ],
)
def test_the_servers_troubles_are_put_into_words(error: psycopg.Error, said: str) -> None:
    found = unusable(Address("postgresql://ann:hunter2@db.example/shop"), error)
    assert said in found.message
    assert "database shop at db.example as ann" in found.message
    assert found.hint.startswith("The traffic is not affected.")
