"""The journal's file among real processes: killed, racing, paused, on a full disk, damaged, of a newer Greenroom."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from greenroom.adapters.journals.machine import alive, owner
from greenroom.adapters.journals.sqlite import SqliteJournal
from greenroom.domain.records import Record, Started
from greenroom.errors import JournalCorrupt, JournalMissing, JournalNewer, JournalUnusable, UsageError

IMPORTS = """
import os, sqlite3, sys
from pathlib import Path
from greenroom.adapters.journals.machine import owner
from greenroom.adapters.journals.sqlite import SqliteJournal
from greenroom.domain.records import Started
from greenroom.errors import JournalUnusable
"""


@contextmanager
def running(program: str, *arguments: Path | str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", IMPORTS + program, *map(str, arguments)]
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


def witness(path: Path) -> list[tuple[int, int, str]]:
    """(seq, epoch, body), without the adapter."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return db.execute("SELECT seq, epoch, body FROM entries ORDER BY seq").fetchall()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


WRITER = """
journal = SqliteJournal(Path(sys.argv[1]))
me = owner("a CI job")
lease = journal.claim(me, 3600)
print(lease.epoch if lease.owner == me else 0, flush=True)
last = len(journal.read())
while True:
    three = [Started("r-1", str(last), str(n)) for n in range(3)]
    last = journal.append(three, expected=last, epoch=lease.epoch)[-1].seq
    print(last, flush=True)
"""


@pytest.mark.real
def test_ft_12_ft_13_a_killed_writer_leaves_whole_entries_and_no_lock(path: Path) -> None:
    """Killed anywhere in a write: what was acknowledged stands, nothing is half there, the lease is free at once."""
    epochs, acknowledged = [0], 0
    for round in range(10):
        with running(WRITER, path) as process:
            epochs.append(int(line(process)))
            for _ in range(1 + 3 * round):
                acknowledged = int(line(process))
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but nobody has reaped it
            with closing(SqliteJournal(path, create=False)) as journal:
                assert journal.holder() is None
            assert process.stdout is not None
            acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
        rows = witness(path)
        assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
        assert len(rows) % 3 == 0
        assert len(rows) - 3 <= acknowledged <= len(rows)
    assert epochs == sorted(set(epochs)), "each took the lease from its dead predecessor, under a higher epoch"


RACER = """
me = owner()
print("ready", flush=True)
for line in sys.stdin:
    journal = SqliteJournal(Path(line.strip()), service="shop")
    print("won" if journal.claim(me, 60).owner == me else "lost", flush=True)
"""


@pytest.mark.real
def test_of_two_processes_at_the_same_instant_one_wins(tmp_path: Path) -> None:
    """In each round both find no journal, make it, and claim it."""
    with running(RACER) as one, running(RACER) as other:
        assert [line(one), line(other)] == ["ready", "ready"]
        for round in range(20):
            for racer in (one, other):
                tell(racer, str(tmp_path / str(round) / "journal.db"))
            assert sorted([line(one), line(other)]) == ["lost", "won"]


HOLDER = """
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("holding", flush=True)
sys.stdin.read()
"""


@pytest.mark.real
def test_a_writer_that_hangs_is_named_and_readers_do_not_wait_for_it(path: Path) -> None:
    with closing(SqliteJournal(path, busy=0.2)) as journal:
        journal.append(some(2), expected=0)
        with running(HOLDER, path) as process:
            assert line(process) == "holding"
            assert len(journal.read()) == 2
            assert journal.holder() is None
            with pytest.raises(JournalUnusable, match=f"locked by process {process.pid}") as error:
                journal.append(some(1), expected=2)
            assert "kill -9" in error.value.hint
        journal.append(some(1), expected=2)


FULL_DISK = """
path = Path(sys.argv[1]) / "journal.db"
ballast = path.with_name("ballast")
big = [Started("r-1", "x" * 200_000, "k")]
small = [Started("r-1", "x", "k")]

def fill():
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                pass

def refused(act):
    try:
        act()
    except JournalUnusable as error:
        assert "disk is full" in error.message and error.hint, error
    else:
        raise AssertionError("it was written to a full disk")

fill()
refused(lambda: SqliteJournal(path))
ballast.unlink()
journal = SqliteJournal(path)
journal.append(small * 2, expected=0)

fill()  # while it is in use
refused(lambda: journal.append(small + big, expected=2))
assert len(journal.read()) == 2
second = SqliteJournal(path, create=False)
assert len(second.read()) == 2
second.close()
journal.close()
again = SqliteJournal(path)
assert len(again.read()) == 2
refused(lambda: again.append(big, expected=2))
ballast.unlink()
again.append(big, expected=2)
again.close()

fill()  # while it is at rest: nothing but the one file is there
assert sorted(os.listdir(path.parent)) == ["ballast", "journal.db"], os.listdir(path.parent)
rested = SqliteJournal(path)
assert len(rested.read()) == 3 and rested.holder() is None
refused(lambda: rested.append(big, expected=3))
refused(lambda: rested.claim(owner(), 10))
assert len(rested.read()) == 3
ballast.unlink()
assert rested.claim(owner(), 10).owner == owner()
rested.append(small, expected=3)
assert [entry.seq for entry in rested.read()] == [1, 2, 3, 4]
print("all well")
"""


@pytest.mark.real
def test_ft_12_a_full_disk_loses_nothing_and_hides_nothing(tmp_path: Path) -> None:
    """On a disk of one megabyte, in a mount namespace that ends with the process."""
    for alone in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        mount = [*alone, "sh", "-c", 'mount -t tmpfs -o size=1m none "$0" && exec "$@"', str(tmp_path)]
        if shutil.which("unshare") and subprocess.run([*mount, "true"], capture_output=True).returncode == 0:
            break
    else:
        pytest.skip("no right to mount a tmpfs")
    command = [*mount, sys.executable, "-c", IMPORTS + FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("all well\n", 0), done.stderr


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _overwrite(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * len(content[4096:])
    path.write_bytes(content)


def _other_database(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE shopping (what TEXT)")


def _edit(statement: str) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("DROP TRIGGER entries_stay")
            db.execute("DROP TRIGGER entries_last")
            db.execute(statement)

    return edit


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("a note\n" * 1000),
        _truncate,
        _overwrite,
        _other_database,
        _edit("UPDATE entries SET body = '{' WHERE seq = 40"),
        _edit("DELETE FROM entries WHERE seq = 40"),
        _edit("UPDATE lease SET owner = '{}'"),
        _edit("UPDATE meta SET value = '' WHERE name = 'format'"),
    ],
    ids=["empty", "text", "cut", "overwritten", "another", "body", "hole", "lease", "format"],
)
def test_a_damaged_file_is_called_so_and_left_as_it_is(path: Path, damage: Callable[[Path], None]) -> None:
    with closing(SqliteJournal(path)) as journal:
        for n in range(0, 100, 10):
            journal.append(some(10, "x" * 500), expected=n)
    damage(path)
    found = path.read_bytes()
    for create in (True, False):
        with pytest.raises(JournalCorrupt, match=r"journal\.db is damaged") as error:
            use(path, create)
        assert "Put it aside" in error.value.hint
    assert path.read_bytes() == found


def use(path: Path, create: bool) -> None:
    with closing(SqliteJournal(path, create=create)) as journal:
        journal.read()
        journal.holder()


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (_edit("UPDATE meta SET value = '2' WHERE name = 'format'"), "has format 2"),
        (_edit("UPDATE entries SET body = replace(body, '\"v\": 1', '\"v\": 9')"), "entry 1: .* of version 9"),
    ],
    ids=["file", "record"],
)
def test_a_newer_journal_is_refused(path: Path, edit: Callable[[Path], None], what: str) -> None:
    SqliteJournal(path).append(some(1), expected=0)
    edit(path)
    with pytest.raises(JournalNewer, match=what):
        use(path, create=False)


def test_looking_makes_and_changes_nothing(path: Path) -> None:
    with pytest.raises(JournalMissing):
        SqliteJournal(path, create=False)
    with pytest.raises(JournalMissing):
        SqliteJournal(path / "below" / "journal.db", create=False)
    assert os.listdir(path.parent) == []
    with closing(SqliteJournal(path)) as journal:
        journal.append(some(1), expected=0)
    found = path.read_bytes()
    use(path, create=False)
    assert path.read_bytes() == found
    with pytest.raises(JournalUnusable, match="is not a file"):
        SqliteJournal(path.parent)


def test_a_file_that_is_taken_away_is_noticed_and_its_remains_are_not_mixed_in(path: Path) -> None:
    old = SqliteJournal(path)
    old.append(some(5), expected=0)
    path.rename(path.with_name("aside.db"))  # its -wal, with the five entries, stays behind
    with pytest.raises(JournalMissing):
        old.read()
    with closing(SqliteJournal(path)) as new:
        assert list(new.read()) == []
        new.append(some(1, "new"), expected=0)
        with pytest.raises(JournalUnusable, match="was replaced"):
            old.append(some(1), expected=5)
        old.close()
        assert len(new.read()) == 1
    assert len(witness(path)) == 1


def test_two_services_do_not_share_a_journal(path: Path) -> None:
    SqliteJournal(path, service="shop").close()
    SqliteJournal(path).close()
    with pytest.raises(UsageError, match=r"'shop'.*'blog'"):
        SqliteJournal(path, service="blog")


def test_a_person_can_read_it_and_nobody_can_rewrite_it(path: Path) -> None:
    with closing(SqliteJournal(path)) as journal:
        [entry] = journal.append([Started("r-0001", "stop", "käse \udcff")], expected=0)
    with closing(sqlite3.connect(path)) as db:
        [(time, at, release, kind, body)] = db.execute("SELECT time, at, release, kind, body FROM entries").fetchall()
        assert (at, release, kind) == (entry.at, "r-0001", "started")
        assert time.endswith("Z")
        assert "käse" in body
        for statement in ("UPDATE entries SET epoch = 9", "DELETE FROM entries"):
            with pytest.raises(sqlite3.IntegrityError):
                db.execute(statement)


def test_ft_13_who_lives_is_only_said_where_it_is_known() -> None:
    me = owner("me")
    assert alive(me) is True
    assert owner("me") == me
    assert alive(replace(me, started="1")) is False, "the number is another process's now"
    assert alive(replace(me, host="elsewhere")) is None
    assert alive(replace(me, boot="another boot")) is None
    assert alive(replace(me, pid=0)) is None
    with running("print(owner().pid, owner().started, flush=True); sys.stdin.read()") as process:
        pid, started = line(process).split()
        other = replace(me, pid=int(pid), started=started)
        assert alive(other) is True
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert alive(other) is False, "dead, though nobody has reaped it"
        process.wait()
        assert alive(other) is False
