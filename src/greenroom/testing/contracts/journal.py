"""What every journal promises, as tests: subclass `JournalContract` and give it a `bench`."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Barrier, Thread
from typing import Any, Protocol

import pytest

from greenroom.domain import codec
from greenroom.domain.model import Verdict
from greenroom.domain.phases import Phase
from greenroom.domain.records import Finished, Judged, Moved, Outcome, Record, Requested, Started
from greenroom.errors import Conflict, LeaseLost
from greenroom.ports import Journal, Owner

ADA = Owner("ada/1", "ada's deploy")
BOB = Owner("bob/1", "bob's deploy")

ONE_OF_EACH: tuple[Record, ...] = (
    Requested("deploy", "ada", "a fix: ü, \n and \udc80", "r-1", {"version": "1.4", "plan": {"bake": 600.0}}),
    Moved("r-1", Phase.BUILD, "requested", 0, {"share": 0.05}),
    Started("r-1", "build", "r-1/build/0/build/blue/0"),
    Finished("r-1", "build", "r-1/build/0/build/blue/0", Outcome.DONE, "made", {"reference": "/a/b"}),
    Judged("r-1", "check:home", Verdict.WAIT, "not yet", {"pid": 3}),
)


class JournalBench(Protocol):
    """What the contract needs to know of a journal beside its port."""

    def open(self) -> Journal:
        """The same journal, opened once more, as another process would."""

    def advance(self, seconds: float) -> None:
        """Let time pass for the store."""

    def wall_jumps(self, seconds: float) -> None:
        """Somebody sets the wall clock; no time passes."""

    def kill(self, owner: Owner) -> None:
        """From now on this owner is provably dead."""

    def witness(self) -> Sequence[tuple[int, int, dict[str, Any]]]:
        """(seq, epoch, document) of all entries, read without the adapter."""


class JournalContract:
    """A subclass gives a fixture `bench` that returns a `JournalBench`, fresh for each test."""

    @pytest.fixture
    def bench(self) -> JournalBench:
        raise NotImplementedError("a subclass gives the bench")

    @pytest.fixture
    def journal(self, bench: JournalBench) -> Journal:
        return bench.open()

    def test_what_was_appended_is_read_by_everybody_in_order(self, bench: JournalBench, journal: Journal) -> None:
        other = bench.open()
        assert list(other.read()) == []
        first = journal.append(ONE_OF_EACH[:2], expected=0)
        second = other.append(ONE_OF_EACH[2:], expected=2)
        entries = [*first, *second]
        assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5]
        assert tuple(entry.record for entry in entries) == ONE_OF_EACH
        assert list(journal.read()) == list(other.read()) == list(bench.open().read()) == entries
        assert list(journal.read(3)) == entries[3:]
        assert list(journal.read(5)) == list(journal.read(99)) == []
        witness = [(seq, epoch, codec.decode(document)) for seq, epoch, document in bench.witness()]
        assert witness == [(entry.seq, 0, entry.record) for entry in entries]

    def test_an_append_from_a_stale_view_is_refused_whole(self, bench: JournalBench, journal: Journal) -> None:
        journal.append(ONE_OF_EACH[:1], expected=0)
        for stale in (0, 2):
            with pytest.raises(Conflict):
                bench.open().append(ONE_OF_EACH, expected=stale)
        assert len(bench.witness()) == len(journal.read()) == 1

    def test_what_is_not_json_is_refused_whole(self, bench: JournalBench, journal: Journal) -> None:
        with pytest.raises(TypeError):
            journal.append([ONE_OF_EACH[0], Requested("deploy", "ada", details={"set": {1}})], expected=0)
        assert len(bench.witness()) == 0
        journal.append(ONE_OF_EACH, expected=0)

    def test_an_entry_names_the_epoch_it_was_written_under(self, bench: JournalBench, journal: Journal) -> None:
        epoch = journal.claim(ADA, 10).epoch
        assert epoch > 0
        assert journal.append(ONE_OF_EACH[:1], expected=0, epoch=epoch)[0].epoch == epoch
        assert journal.append(ONE_OF_EACH[:1], expected=1)[0].epoch == 0
        assert [entry.epoch for entry in journal.read()] == [row[1] for row in bench.witness()] == [epoch, 0]

    def test_a_lease_is_held_renewed_and_given_back(self, bench: JournalBench, journal: Journal) -> None:
        other = bench.open()
        assert journal.holder() is None
        lease = journal.claim(ADA, 10, why="deploy 1.4")
        assert (lease.owner, lease.why) == (ADA, "deploy 1.4")
        assert lease.expires == pytest.approx(lease.since + 10)
        bench.advance(8)
        renewed = journal.claim(ADA, 10)
        assert (renewed.epoch, renewed.since, renewed.why) == (lease.epoch, lease.since, "deploy 1.4")
        bench.advance(8)
        assert other.claim(BOB, 10) == renewed == other.holder()
        assert other.claim(BOB, 0) == renewed == other.holder(), "only the holder gives a lease back"
        journal.claim(ADA, 0)
        assert journal.holder() is None
        assert other.holder() is None
        with pytest.raises(LeaseLost):
            journal.append(ONE_OF_EACH, expected=0, epoch=lease.epoch)
        taken = other.claim(BOB, 10)
        assert taken.owner == BOB
        assert taken.epoch > lease.epoch

    def test_giving_back_what_nobody_holds_is_nothing(self, journal: Journal) -> None:
        journal.claim(ADA, 0)
        assert journal.holder() is None

    def test_ft_13_a_lease_ends_by_expiry_and_its_holder_is_named_until_then(
        self, bench: JournalBench, journal: Journal
    ) -> None:
        lease = journal.claim(ADA, 10, why="deploy 1.4")
        other = bench.open()
        bench.advance(9)
        assert other.claim(BOB, 10).owner.text == "ada's deploy"
        bench.advance(2)
        assert other.holder() is None
        taken = other.claim(BOB, 10)
        assert (taken.owner, taken.since >= lease.expires) == (BOB, True)
        assert taken.epoch > lease.epoch

    def test_ft_13_a_holder_that_is_dead_loses_the_lease_at_once(self, bench: JournalBench, journal: Journal) -> None:
        lease = journal.claim(ADA, 3600)
        other = bench.open()
        assert other.claim(BOB, 10).owner == ADA
        bench.kill(ADA)
        assert other.holder() is None
        assert other.claim(BOB, 10).owner == BOB
        assert other.claim(BOB, 10).epoch > lease.epoch

    def test_a_lease_can_be_taken_by_force(self, bench: JournalBench, journal: Journal) -> None:
        lease = journal.claim(ADA, 3600)
        taken = bench.open().claim(BOB, 10, why="ada is on holiday", force=True)
        assert (taken.owner, taken.why) == (BOB, "ada is on holiday")
        assert taken.epoch > lease.epoch
        assert journal.claim(ADA, 10) == taken

    def test_ft_51_a_leader_that_wakes_up_late_writes_nothing(self, bench: JournalBench, journal: Journal) -> None:
        old = journal.claim(ADA, 10)
        journal.append(ONE_OF_EACH[:1], expected=0, epoch=old.epoch)
        bench.advance(11)  # ada is paused
        other = bench.open()
        new = other.claim(BOB, 10)
        with pytest.raises(LeaseLost):
            journal.append(ONE_OF_EACH[1:2], expected=1, epoch=old.epoch)
        other.append(ONE_OF_EACH[1:2], expected=1, epoch=new.epoch)
        bench.advance(11)
        again = journal.claim(ADA, 10)
        assert again.epoch > new.epoch, "a lease that comes back is another lease"
        with pytest.raises(LeaseLost):
            other.append(ONE_OF_EACH[1:2], expected=2, epoch=new.epoch)
        assert len(bench.witness()) == 2

    def test_a_late_heartbeat_loses_nothing_while_nobody_took_over(self, bench: JournalBench, journal: Journal) -> None:
        lease = journal.claim(ADA, 10)
        bench.advance(60)
        journal.append(ONE_OF_EACH[:1], expected=0, epoch=lease.epoch)
        assert journal.claim(ADA, 10).epoch == lease.epoch

    def test_the_clock_follows_time_and_not_the_wall(self, bench: JournalBench, journal: Journal) -> None:
        before = journal.now()
        assert before > 1_000_000_000, "seconds since 1970"
        for jump in (-86400, 2 * 86400, -10 * 86400):
            bench.wall_jumps(jump)
            for reader in (journal, bench.open()):
                assert reader.now() == pytest.approx(before, abs=1)
        journal.claim(ADA, 10)
        bench.wall_jumps(86400)
        assert bench.open().claim(BOB, 10).owner == ADA, "a jump ends no lease"
        bench.advance(100)
        assert bench.open().now() == pytest.approx(before + 100, abs=1)
        entries = [*journal.append(ONE_OF_EACH, expected=0), *bench.open().append(ONE_OF_EACH, expected=5)]
        stamps = [entry.at for entry in entries]
        assert stamps == sorted(stamps)
        assert stamps[0] == pytest.approx(before + 100, abs=1)

    def test_of_threads_at_the_same_instant_one_wins(self, bench: JournalBench, journal: Journal) -> None:
        """Both for the lease and for each place in the sequence; half of them share an object, half have their own."""
        together, won, written = Barrier(4), [], []

        def contend(n: int) -> None:
            mine = journal if n % 2 else bench.open()
            me = Owner(f"thread/{n}", f"thread {n}")
            together.wait(30)
            if mine.claim(me, 60).owner == me:
                won.append(n)
            for _ in range(10):
                try:
                    seen = len(mine.read())
                    mine.append([Started("r-1", str(n), f"{n}")] * 3, expected=seen)
                    written.append(seen)
                except Conflict:
                    pass

        threads = [Thread(target=contend, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(won) == 1
        assert written
        assert sorted(written) == list(range(0, 3 * len(written), 3))
        rows = bench.witness()
        assert [row[0] for row in rows] == list(range(1, 3 * len(written) + 1))
        assert all(len({row[2]["verb"] for row in rows[n : n + 3]}) == 1 for n in range(0, len(rows), 3))
