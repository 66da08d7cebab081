"""The journal in DynamoDB keeps the contract of its port."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import boto3
import pytest

from greenroom.adapters.journals.dynamodb import DynamoDbJournal
from greenroom.adapters.journals.machine import Machine
from greenroom.domain.records import Started
from greenroom.ports import Owner
from greenroom.testing.contracts.journal import ADA, BOB, JournalContract
from tests.rigs import aws_front

_TABLES = itertools.count(1)


class DynamoDbBench:
    """moto's tables. Its clock is the bench's; so is this machine's."""

    def __init__(self, upstream: tuple[str, int], table: str) -> None:
        self.table = table
        self.steady, self.wall, self.store = 5000.0, 1_790_000_000.0, 1_790_000_000.25
        self._dead: set[str] = set()
        self.front = aws_front.Front(upstream, lambda: self.store)
        self.witnessing: Any = boto3.client(
            "dynamodb", endpoint_url="http://{}:{}".format(*upstream), region_name=aws_front.REGION
        )

    def machine(self, differs: float = 0.0) -> Machine:
        """`differs`: what another machine's count differs by."""
        return Machine("boot-1", lambda: self.steady + differs, lambda: self.wall, self._alive)

    def open(self, machine: Machine | None = None) -> DynamoDbJournal:
        machine = machine or self.machine()
        return DynamoDbJournal(
            self.front.access(),
            self.table,
            service="shop",
            make_table=True,
            machine=machine,
            patience=20,
            answer_within=20,
        )

    def advance(self, seconds: float) -> None:
        self.steady += seconds
        self.store += seconds
        self.wall += seconds

    def store_jumps(self, seconds: float) -> None:
        self.store += seconds

    def wall_jumps(self, seconds: float) -> None:
        self.wall += seconds

    def kill(self, owner: Owner) -> None:
        self._dead.add(owner.identity)

    def witness(self) -> Sequence[tuple[int, int, dict[str, Any]]]:
        pages = self.witnessing.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
        items = sorted((item for page in pages for item in page["Items"]), key=lambda item: item["item"]["S"])
        return [
            (int(item["seq"]["N"]), int(item["epoch"]["N"]), json.loads(item["body"]["S"]))
            for item in items
            if item["service"]["S"] == "shop" and "body" in item
        ]

    def close(self) -> None:
        self.front.close()
        self.witnessing.delete_table(TableName=self.table)

    def _alive(self, owner: Owner) -> bool | None:
        return False if owner.identity in self._dead else None


@pytest.fixture(scope="session")
def upstream() -> Iterator[tuple[str, int]]:
    with aws_front.moto() as address:
        yield address


@pytest.mark.real
@pytest.mark.xdist_group("moto")
class TestDynamoDbJournal(JournalContract):
    @pytest.fixture
    def bench(self, upstream: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDbBench]:
        aws_front.nobody(monkeypatch)
        bench = DynamoDbBench(upstream, f"greenroom-{next(_TABLES)}")
        yield bench
        bench.close()

    def test_time_goes_on_though_the_stores_clock_is_set_back(self, bench: DynamoDbBench) -> None:
        """For who was there, and for who comes later: no stamp runs backwards, a lease ends after its ttl."""
        journal = bench.open()
        [before] = journal.append([Started("r", "v", "k")], expected=0)
        lease = journal.claim(ADA, 10)
        bench.store_jumps(-86400)
        later = bench.open(bench.machine(-4000))
        assert journal.now() >= lease.since
        assert later.now() >= lease.since
        [after] = later.append([Started("r", "v", "k")], expected=1)
        assert after.at >= before.at
        assert later.claim(BOB, 10).owner == ADA
        bench.advance(11)
        assert journal.now() == pytest.approx(lease.expires + 1, rel=0, abs=1)
        bob = later.claim(BOB, 10)
        assert bob.owner == BOB
        assert bob.since >= lease.expires
        assert journal.claim(ADA, 10) == bob

    def test_machines_that_count_differently_agree(self, bench: DynamoDbBench) -> None:
        one, other = bench.open(), bench.open(bench.machine(5_000_000))
        assert one.now() == pytest.approx(other.now(), rel=0, abs=1)
        lease = one.claim(ADA, 10)
        assert other.holder() == lease
        bench.advance(11)
        assert other.claim(BOB, 10).owner == BOB
