"""A journal on a host: killed at every step, cut off, on a full disk, damaged, taken over from another machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.hosts.ssh import SshHost
from greenroom.adapters.journals.host import HostJournal
from greenroom.adapters.journals.machine import this_machine
from greenroom.domain.records import Record, Started
from greenroom.errors import (
    JournalCorrupt,
    JournalMissing,
    JournalNewer,
    JournalUnusable,
    Temporary,
    Uncertain,
    UsageError,
)
from greenroom.ports import Owner, Ran
from greenroom.testing.contracts.host import until
from tests.rigs.host_journal import HostJournalBench, rows
from tests.rigs.sshd import Sshd, make_key, serving

ADA, BOB = Owner("ada/1", "ada's deploy"), Owner("bob/1", "bob's deploy")


def some(count: int, subject: str = "x") -> list[Record]:
    return [Started("r-1", subject, str(n)) for n in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def journal(folder: Path, create: bool = True) -> HostJournal:
    return HostJournal(LocalHost(), str(folder), service="shop", create=create)


class Watched(LocalHost):
    """Counts the calls, and the bytes that come back."""

    calls = got = 0

    def run(self, command: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Ran:
        self.calls += 1
        ran = super().run(command, stdin=stdin, timeout=timeout)
        self.got += len(ran.out)
        return ran


def test_each_call_goes_once_to_the_host_and_only_what_is_new_is_fetched(folder: Path) -> None:
    host = Watched()
    book = HostJournal(host, str(folder))
    for n in range(0, 100, 10):
        book.append(some(10, "x" * 500), expected=n)
    assert len(book.read()) == 100
    host.calls = host.got = 0
    assert list(book.read(100)) == []
    assert [entry.seq for entry in book.read(95)] == [96, 97, 98, 99, 100]
    assert host.got < 15_000
    lease = book.claim(ADA, 10)
    book.append(some(1), expected=100, epoch=lease.epoch)
    assert book.holder() == lease
    assert [entry.seq for entry in book.read(100)] == [101]
    assert book.now() >= lease.since
    assert host.calls == 6
    host.got = 0
    assert HostJournal(host, str(folder), create=False).holder() == lease
    assert host.got < 2_000, "who only asks for the holder fetches no entries"


class Deadly(LocalHost):
    """A machine at which everything is killed before (or after) the nth program that a script starts."""

    PROGRAMS = ("mkdir", "flock", "stat", "truncate", "sha256sum", "sync", "mv", "tail", "head")

    def __init__(self, folder: Path) -> None:
        self._shadow, self._count = folder / "shadow", folder / "count"
        self._shadow.mkdir()
        self.at, self.when = 0, "before"
        for name in self.PROGRAMS:
            program = self._shadow / name
            program.write_text(
                "#!/bin/sh\n"
                f"n=$(($(cat {self._count}) + 1))\necho $n >{self._count}\n"
                '[ "$n$WHEN" = "${AT}before" ] && kill -9 0\n'
                f'{shutil.which(name)} "$@"\ncode=$?\n'
                '[ "$n$WHEN" = "${AT}after" ] && kill -9 0\n'
                "exit $code\n"
            )
            program.chmod(0o755)

    def run(self, command: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Ran:
        self._count.write_text("0\n")
        told = [f"PATH={self._shadow}:{os.environ['PATH']}", f"AT={self.at}", f"WHEN={self.when}"]
        return super().run(["env", *told, *command], stdin=stdin, timeout=timeout)

    @property
    def survived(self) -> bool:
        return int(self._count.read_text()) < self.at


@pytest.mark.parametrize("when", ["before", "after"])
def test_ft_12_killed_at_any_step_an_append_is_whole_or_absent(folder: Path, tmp_path: Path, when: str) -> None:
    host = Deadly(tmp_path)
    book = HostJournal(host, str(folder))
    book.append(some(2), expected=0)
    last = written = 2
    for host.at in range(1, 50):
        host.when = when
        with suppress(JournalUnusable):
            written = book.append(some(3, str(host.at)), expected=last)[-1].seq
        found = rows(folder)
        assert len(found) in (last, last + 3), f"killed {when} step {host.at}"
        assert len(found) >= written, "what was acknowledged stands"
        last = len(found)
        survived = host.survived
        host.at = 0
        assert len(journal(folder).read()) == last
        last = written = journal(folder).append(some(1), expected=last)[-1].seq
        if survived:
            break
    else:
        pytest.fail("it never came to its end")
    assert [entry.seq for entry in book.read()] == list(range(1, last + 1))


@pytest.mark.parametrize("when", ["before", "after"])
def test_ft_12_killed_at_any_step_a_lease_is_held_by_one_and_a_journal_is_made_once(tmp_path: Path, when: str) -> None:
    host = Deadly(tmp_path)
    host.when = when
    for at in range(1, 50):
        folder = tmp_path / str(at)
        host.at = at
        with suppress(JournalUnusable):
            HostJournal(host, str(folder))
        host.at = 0
        book = HostJournal(host, str(folder))
        host.at = at
        held = None
        with suppress(JournalUnusable):
            held = book.claim(ADA, 60)
        survived = host.survived
        host.at = 0
        found = journal(folder).claim(BOB, 60)
        assert held is None or found == held, f"killed {when} step {at}"
        assert found.owner in (ADA, BOB)
        assert journal(folder).append(some(1), expected=0, epoch=found.epoch)
        if survived:
            return
    pytest.fail("it never came to its end")


class Cut(LocalHost):
    """A machine at which only the first bytes of a script arrive."""

    share = 1.0

    def run(self, command: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Ran:
        return super().run(command, stdin=stdin[: int(len(stdin) * self.share)], timeout=timeout)


def test_a_script_that_arrived_in_part_does_nothing(folder: Path) -> None:
    host = Cut()
    book = HostJournal(host, str(folder))
    book.append(some(1), expected=0)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for host.share in (0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        for act in (lambda: book.append(some(1), expected=1), lambda: book.claim(ADA, 10)):
            with pytest.raises(JournalUnusable):
                act()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("torn", [b"{", b'{"seq":2,"at":1.0,"epoch":0,"records":[]', b"\0" * 5000, b"a\nb\n\xff"])
def test_ft_12_what_a_power_cut_left_behind_does_not_count_and_goes(folder: Path, torn: bytes) -> None:
    book = journal(folder)
    book.append(some(1), expected=0)
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(torn)
    assert len(book.read()) == len(journal(folder).read()) == 1
    book.append(some(2), expected=1)
    assert [entry.seq for entry in book.read()] == [1, 2, 3]
    assert (folder / "journal.jsonl").read_bytes().count(b"\n") == 2, "one line for each append, and nothing else"


class Lost(LocalHost):
    """A machine whose answers are lost, or which is not reached at all."""

    error: Exception | None = None

    def run(self, command: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Ran:
        if isinstance(self.error, Temporary):
            raise self.error
        ran = super().run(command, stdin=stdin, timeout=timeout)
        if self.error is not None:
            raise self.error
        return ran


def test_a_machine_that_is_cut_off_is_a_journal_that_cannot_be_used_now(folder: Path) -> None:
    host = Lost()
    book = HostJournal(host, str(folder))
    host.error = Temporary("app1 cannot be reached: no route", hint="is it up?")
    for act in (lambda: book.append(some(1), expected=0), lambda: book.claim(ADA, 9), book.read, book.holder):
        with pytest.raises(JournalUnusable, match="no route") as error:
            act()
        assert error.value.hint == "is it up?"
    host.error = Uncertain("the connection was lost while sh ran")
    with pytest.raises(JournalUnusable, match="may have been written"):
        book.append(some(1), expected=0)
    host.error = None
    assert len(book.read()) == 1
    assert book.now() > 1_000_000_000


FULL_DISK = """
import os, sys
from pathlib import Path
from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.journals.host import HostJournal
from greenroom.domain.records import Started
from greenroom.errors import JournalUnusable
from greenroom.ports import Owner
folder = Path(sys.argv[1])
ballast = folder / "ballast"
small, big = [Started("r-1", "x", "k")], [Started("r-1", "x" * 200_000, "k")]

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
        assert "disk is full" in error.message and "Free some space" in error.hint, error
    else:
        raise AssertionError("it was written to a full disk")

journal = HostJournal(LocalHost(), str(folder / "journal"))
journal.append(small * 2, expected=0)
lease = journal.claim(Owner("ada", "ada"), 60)
fill()
refused(lambda: journal.append(big, expected=2))
refused(lambda: journal.claim(Owner("ada", "ada"), 60))
assert len(journal.read()) == 2 and journal.holder() == lease
assert sorted(os.listdir(folder / "journal")) == ["head", "journal.jsonl", "lock"]
ballast.unlink()
journal.append(big, expected=2, epoch=lease.epoch)
assert [entry.seq for entry in HostJournal(LocalHost(), str(folder / "journal")).read()] == [1, 2, 3]
print("all well")
"""


@pytest.mark.real
def test_ft_12_ft_16_a_full_disk_loses_nothing_and_is_called_so(tmp_path: Path) -> None:
    """On a disk of one megabyte, in a mount namespace that ends with the process."""
    mount = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m none "$0" && exec "$@"', str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run([*mount, "true"], capture_output=True).returncode != 0:
        pytest.skip("no right to mount a tmpfs")
    command = [*mount, sys.executable, "-c", FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("all well\n", 0), done.stderr


def _edit(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        content = (folder / name).read_bytes()
        assert old in content
        (folder / name).write_bytes(content.replace(old, new, 1))

    return edit


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "head").write_bytes(b""),
        lambda folder: (folder / "head").write_text("a note\n" * 100),
        lambda folder: (folder / "head").unlink(),
        lambda folder: (folder / "journal.jsonl").unlink(),
        lambda folder: os.truncate(folder / "journal.jsonl", 2000),
        _edit("head", b"\nseq 100", b"\nseq 99"),
        _edit("head", b"\nseq 100", b"\nseq 1e2"),
        _edit("head", b"\nend", b"\n"),
        _edit("head", b"\nowner ", b"\nowner {}"),
        _edit("journal.jsonl", b'"key": "5"', b'"key": "6"'),
        _edit("journal.jsonl", b'"epoch":0', b'"epoch":1'),
        _edit("journal.jsonl", b"\n", b"\n{}\n"),
    ],
)
def test_a_damaged_journal_is_called_so_and_left_as_it_is(folder: Path, damage: Callable[[Path], None]) -> None:
    book = journal(folder)
    for n in range(0, 100, 10):
        book.append(some(10, "x" * 50), expected=n)
    damage(folder)
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    for create in (True, False):
        with pytest.raises(JournalCorrupt, match=r"journal is damaged") as error:
            use(folder, create)
        assert "Put it aside" in error.value.hint
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == found


def use(folder: Path, create: bool = True) -> None:
    book = journal(folder, create)
    book.read()
    book.holder()


def test_a_newer_journal_is_refused(folder: Path) -> None:
    journal(folder).append(some(1), expected=0)
    _edit("head", b"greenroom-journal 1", b"greenroom-journal 2")(folder)
    with pytest.raises(JournalNewer, match="has format 2"):
        use(folder)


def test_looking_makes_and_changes_nothing(folder: Path) -> None:
    for missing in (folder, folder / "below"):
        with pytest.raises(JournalMissing):
            journal(missing, create=False)
    assert not folder.exists()
    journal(folder).append(some(1), expected=0)
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    use(folder, create=False)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == found
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())} == {0}


def test_one_that_is_taken_away_or_replaced_is_noticed(folder: Path) -> None:
    old = journal(folder)
    old.append(some(5), expected=0)
    folder.rename(folder.with_name("aside"))
    with pytest.raises(JournalMissing):
        old.read()
    journal(folder).append(some(5, "new"), expected=0)
    for act in (lambda: old.append(some(1), expected=5), old.read, lambda: old.claim(ADA, 10)):
        with pytest.raises(JournalUnusable, match="was replaced"):
            act()
    assert len(journal(folder).read()) == 5


def test_two_services_do_not_share_a_journal(folder: Path) -> None:
    journal(folder)
    HostJournal(LocalHost(), str(folder))
    with pytest.raises(UsageError, match=r"'shop'.*'blog'"):
        HostJournal(LocalHost(), str(folder), service="blog")


def test_a_writer_that_hangs_is_told_and_readers_do_not_wait_for_it(folder: Path) -> None:
    book = journal(folder)
    book.append(some(2), expected=0)
    command = ["flock", str(folder / "lock"), "sh", "-c", "echo held; exec sleep 600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            assert len(book.read()) == 2
            assert book.holder() is None
            with pytest.raises(JournalUnusable, match="locked by another process"):
                book.append(some(1), expected=2)
        finally:
            os.killpg(holder.pid, signal.SIGKILL)
    book.append(some(1), expected=2)


class Shell(LocalHost):
    def __init__(self, *words: str) -> None:
        self._words = words

    def run(self, command: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Ran:
        return super().run([*self._words, *command[1:]], stdin=stdin, timeout=timeout)


SHELLS = [words for words in (("dash",), ("bash",), ("bash", "--posix"), ("busybox", "sh")) if shutil.which(words[0])]


@pytest.mark.parametrize("words", SHELLS, ids=" ".join)
def test_every_shell_writes_and_reads_the_same(tmp_path: Path, words: tuple[str, ...]) -> None:
    bench = HostJournalBench(tmp_path, Shell(*words))
    book = bench.open()
    odd = "it's \\n \" $HOME `id` %s \x00\x01\x7f\x81 ā ł 大 🎭 \udc80 \\ \n end \\"
    lease = book.claim(replace(ADA, identity=odd, text=odd), 10, why=odd)
    assert (lease.owner.text, lease.why) == (odd, odd)
    book.append([Started(odd, odd, odd * 1000)], expected=0, epoch=lease.epoch)
    again = HostJournalBench.open(bench)
    assert [entry.record for entry in again.read()] == [Started(odd, odd, odd * 1000)]
    assert again.claim(replace(ADA, identity=odd, text=odd), 10) == replace(lease, owner=lease.owner)
    assert again.claim(BOB, 10) == lease
    assert len(bench.witness()) == 1


# From other machines, over real SSH

RUNNER = """
import sys
from pathlib import Path
from greenroom.adapters.hosts.settings import HostSettings
from greenroom.adapters.hosts.ssh import SshHost
from greenroom.adapters.journals.host import HostJournal
from greenroom.adapters.journals.machine import owner
from greenroom.domain.records import Started
from greenroom.errors import LeaseLost
settings, folder, ttl = HostSettings.model_validate_json(sys.argv[1]), sys.argv[2], float(sys.argv[3])
journal = HostJournal(SshHost("app1", settings), folder, service="shop")
lease = journal.claim(owner("a CI job"), ttl, why="deploy 1.4")
last = len(journal.read())
print(lease.owner.text, flush=True)
for line in sys.stdin:
    try:
        last = journal.append([Started("r-1", "build", str(n)) for n in range(3)], expected=last, epoch=lease.epoch)[-1].seq
        print(last, flush=True)
    except LeaseLost as error:
        print("lost:", error, flush=True)
"""


@contextmanager
def runner(server: Sshd, keys: Path, folder: Path, ttl: float) -> Iterator[subprocess.Popen[str]]:
    settings = server.settings(keys / "key", keys / "known_hosts").model_dump_json()
    command = [sys.executable, "-c", RUNNER, settings, str(folder), str(ttl)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def tell(process: subprocess.Popen[str]) -> str:
    """Have it append; what it says."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return line(process)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    text = process.stdout.readline().strip()
    assert text, "it ended without an answer"
    return text


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    make_key(folder / "key")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Sshd]:
    with serving(tmp_path_factory.mktemp("sshd"), "127.0.0.33") as server:
        server.let_in(keys / "key")
        (keys / "known_hosts").write_text(server.known())
        yield server


@contextmanager
def elsewhere(server: Sshd, keys: Path, folder: Path) -> Iterator[HostJournal]:
    """The same journal from another machine, which knows nothing of this one's processes."""
    host = SshHost("app1", server.settings(keys / "key", keys / "known_hosts"))
    try:
        yield HostJournal(host, str(folder), service="shop", machine=replace(this_machine(), alive=lambda _: None))
    finally:
        host.close()


@pytest.mark.real
@pytest.mark.xdist_group("host-journal")
def test_ft_12_ft_13_a_killed_runners_lock_ends_and_another_machine_continues(
    server: Sshd, keys: Path, folder: Path
) -> None:
    with runner(server, keys, folder, ttl=2.0) as process:
        assert line(process) == "a CI job"
        assert tell(process) == "3"
        process.kill()
    with elsewhere(server, keys, folder) as book:
        until(lambda: book.claim(BOB, 60).owner == BOB)
        lease = book.claim(BOB, 60)
        entries = book.read()
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        assert lease.epoch > entries[-1].epoch > 0
        assert book.append(some(1), expected=len(entries), epoch=lease.epoch)[0].seq == len(entries) + 1


@pytest.mark.real
@pytest.mark.xdist_group("host-journal")
def test_ft_51_a_runner_that_slept_through_the_takeover_writes_nothing(server: Sshd, keys: Path, folder: Path) -> None:
    with runner(server, keys, folder, ttl=0.5) as process, elsewhere(server, keys, folder) as book:
        assert line(process) == "a CI job"
        assert tell(process) == "3"
        process.send_signal(signal.SIGSTOP)
        until(lambda: book.claim(BOB, 60).owner == BOB)
        process.send_signal(signal.SIGCONT)
        assert tell(process).startswith("lost:")
        assert [entry.seq for entry in book.read()] == [1, 2, 3]


@pytest.mark.real
@pytest.mark.xdist_group("host-journal")
def test_ft_13_on_the_holders_own_machine_its_death_is_seen_at_once(server: Sshd, keys: Path, folder: Path) -> None:
    with runner(server, keys, folder, ttl=3600) as process:
        assert line(process) == "a CI job"
        host = SshHost("app1", server.settings(keys / "key", keys / "known_hosts"))
        book = HostJournal(host, str(folder))
        assert book.claim(BOB, 10).owner.text == "a CI job"
        process.kill()
        process.wait()
        assert book.holder() is None
        assert book.claim(BOB, 10).owner == BOB
        host.close()


@pytest.mark.real
@pytest.mark.xdist_group("host-journal")
@pytest.mark.parametrize("there", ["goes on", "dies"])
def test_ft_12_an_append_cut_off_in_the_middle_is_whole_or_absent(
    server: Sshd, keys: Path, folder: Path, there: str
) -> None:
    host = SshHost("app1", server.settings(keys / "key", keys / "known_hosts"))
    book = HostJournal(host, str(folder))
    book.append(some(1), expected=0)
    hold = ["flock", str(folder / "lock"), "sh", "-c", "echo held; read -r _"]
    with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert line(holder) == "held"
        trouble: list[JournalUnusable] = []

        def append() -> None:
            with pytest.raises(JournalUnusable, match="may have been written") as error:
                book.append(some(3), expected=1)
            trouble.append(error.value)

        waiting = threading.Thread(target=append)
        waiting.start()
        until(lambda: any(name == "flock" for name in server.programs().values()))
        server.cut(connections_only=there == "goes on")
        waiting.join(30)
        assert trouble
        holder.communicate("")
    if there == "goes on":
        until(lambda: len(book.read()) == 4)
    last = len(book.read())
    assert last == (4 if there == "goes on" else 1)
    assert book.append(some(1), expected=last)[0].seq == last + 1
    assert [row[0] for row in rows(folder)] == list(range(1, last + 2))
    host.close()
