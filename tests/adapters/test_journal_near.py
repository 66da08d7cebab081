"""A journal that is far away, for all threads of a process."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from greenroom.adapters.journals.near import NearJournal
from greenroom.domain.records import Entry, Record, Requested
from greenroom.errors import Conflict, JournalUnusable
from greenroom.ports import Lease, Owner
from greenroom.testing.clock import FakeClock
from greenroom.testing.memory import MemoryJournal

US, THEM = Owner("us", "us"), Owner("them", "them")


def said(text: str) -> Record:
    return Requested("note", "anna", text)


class Far(MemoryJournal):
    """Counts how often it is asked, and can lose an answer."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.reads = self.looks = 0
        self.answers = True

    def read(self, after: int = 0) -> Sequence[Entry]:
        self.reads += 1
        return super().read(after)

    def holder(self) -> Lease | None:
        self.looks += 1
        return super().holder()

    def append(self, records: Sequence[Record], *, expected: int, epoch: int | None = None) -> Sequence[Entry]:
        written = super().append(records, expected=expected, epoch=epoch)
        if not self.answers:
            raise JournalUnusable("no answer")
        return written


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def far(clock: FakeClock) -> Far:
    return Far(clock)


@pytest.fixture
def near(far: Far, clock: FakeClock) -> NearJournal:
    return NearJournal(far, 1.0, steady=clock.now)


def texts(entries: Sequence[Entry]) -> list[str]:
    return [getattr(entry.record, "why", "") for entry in entries]


def test_many_readers_ask_once(near: NearJournal, far: Far) -> None:
    far.append([said("a"), said("b")], expected=0)
    assert texts(near.read()) == ["a", "b"]
    assert texts(near.read(1)) == ["b"]
    assert list(near.read(2)) == []
    assert far.reads == 1


def test_what_others_write_is_seen_a_pace_later(near: NearJournal, far: Far, clock: FakeClock) -> None:
    near.read()
    far.append([said("theirs")], expected=0)
    assert list(near.read()) == []
    clock.sleep(1.1)
    assert texts(near.read()) == ["theirs"]


def test_what_we_write_is_seen_at_once(near: NearJournal, far: Far) -> None:
    near.read()
    near.append([said("ours")], expected=0)
    assert texts(near.read()) == ["ours"]
    assert far.reads == 1


def test_after_a_conflict_everything_is_seen(near: NearJournal, far: Far) -> None:
    near.read()
    far.append([said("theirs")], expected=0)
    with pytest.raises(Conflict):
        near.append([said("ours")], expected=0)
    assert texts(near.read()) == ["theirs"]


def test_what_was_written_without_an_answer_is_seen(near: NearJournal, far: Far) -> None:
    near.read()
    far.answers = False
    with pytest.raises(JournalUnusable):
        near.append([said("ours")], expected=0)
    assert texts(near.read()) == ["ours"]


def test_who_begins_in_the_middle_may_go_back(near: NearJournal, far: Far) -> None:
    far.append([said("a"), said("b"), said("c")], expected=0)
    assert texts(near.read(2)) == ["c"]
    assert texts(near.read()) == ["a", "b", "c"]
    assert texts(near.read(1)) == ["b", "c"]


def test_a_write_upon_what_was_not_read_leaves_no_gap(near: NearJournal, far: Far) -> None:
    near.read()
    far.append([said("theirs")], expected=0)
    near.append([said("ours")], expected=1)
    assert texts(near.read()) == ["theirs", "ours"]


def test_the_holder_is_asked_once_in_a_pace_and_a_claim_always(near: NearJournal, far: Far, clock: FakeClock) -> None:
    assert near.holder() is None
    far.claim(THEM, 10.0)
    assert near.holder() is None
    assert near.claim(US, 10.0).owner == THEM
    held = near.holder()
    assert held is not None
    assert held.owner == THEM
    looks = far.looks
    assert near.holder() == held
    assert far.looks == looks
    clock.sleep(1.1)
    near.holder()
    assert far.looks == looks + 1
