"""The journal in DynamoDB when AWS fails, among racing processes, with big records, without rights."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest

from greenroom.adapters.aws.hearing import Heard
from greenroom.adapters.journals.dynamodb import DynamoDbJournal
from greenroom.adapters.journals.machine import owner
from greenroom.domain.records import Record, Requested, Started
from greenroom.errors import Conflict, JournalCorrupt, JournalMissing, JournalNewer, JournalUnusable, LeaseLost
from greenroom.ports import Journal, Owner
from greenroom.wiring import open_service
from tests.rigs import aws_front
from tests.rigs.aws_front import Fault, Front

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("moto")]

ADA, BOB = Owner("ada/1", "ada's deploy"), Owner("bob/1", "bob's deploy")
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "journal-aws.md"
_TABLES = itertools.count(1)


@pytest.fixture(scope="module")
def upstream() -> Iterator[tuple[str, int]]:
    with aws_front.moto() as address:
        yield address


class Account:
    """An account with a table's name in it. `plain` is for looking and damaging, past the adapter and the front."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.table = f"greenroom-{next(_TABLES)}"
        self.front, self.side = Front(upstream, time.time), Front(upstream, time.time)
        url = "http://{}:{}".format(*upstream)
        self.plain: Any = boto3.client("dynamodb", endpoint_url=url, region_name=aws_front.REGION)

    def open(self, service: str = "shop", *, aside: bool = False, **more: Any) -> DynamoDbJournal:
        front = self.side if aside else self.front
        return DynamoDbJournal(
            front.access(),
            self.table,
            service=service,
            **{"make_table": True, "patience": 20, "answer_within": 20, **more},
        )

    def items(self) -> list[dict[str, Any]]:
        pages = self.plain.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
        return sorted((item for page in pages for item in page["Items"]), key=lambda item: item["item"]["S"])

    def seqs(self) -> list[int]:
        return [int(item["seq"]["N"]) for item in self.items() if "parts" in item]

    def change(self, item: str, **values: dict[str, str]) -> None:
        [found] = [each for each in self.items() if each["item"]["S"] == item]
        self.plain.put_item(TableName=self.table, Item=found | values)

    def remove(self, item: str) -> None:
        key = {"service": {"S": "shop"}, "item": {"S": item}}
        self.plain.delete_item(TableName=self.table, Key=key)

    def close(self) -> None:
        self.front.close()
        self.side.close()
        if self.table in self.plain.list_tables()["TableNames"]:
            self.plain.delete_table(TableName=self.table)


@pytest.fixture
def account(upstream: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    aws_front.nobody(monkeypatch)
    account = Account(upstream)
    yield account
    account.close()


def some(count: int, subject: str = "x") -> list[Record]:
    return [Started("r-1", subject, str(n)) for n in range(count)]


# --- AWS fails --------------------------------------------------------------------------------------------------------


def a_day(account: Account) -> None:
    """Opening what is not there, and each kind of call."""
    journal = account.open()
    lease = journal.claim(ADA, 60, why="deploy")
    assert lease.owner == ADA
    assert [entry.seq for entry in journal.append(some(3), expected=0, epoch=lease.epoch)] == [1, 2, 3]
    assert len(journal.read(1)) == 2
    assert journal.claim(ADA, 60).epoch == lease.epoch
    assert [entry.seq for entry in journal.append(some(2), expected=3)] == [4, 5]
    assert journal.holder() is not None
    journal.claim(ADA, 0)
    assert journal.holder() is None
    assert account.seqs() == [1, 2, 3, 4, 5]
    assert len(journal.read()) == 5


def test_ft_12_ft_22_a_lost_answer_to_any_write_changes_nothing(upstream: tuple[str, int], account: Account) -> None:
    """It was done and nobody said so: nothing is written twice, nothing is half there."""
    a_day(account)
    writes = [at for at, call in enumerate(account.front.calls) if not call.startswith(("Get", "Query", "Describe"))]
    assert len(writes) == 8, account.front.calls
    for at in writes:
        each = Account(upstream)
        each.front.faults = [Fault("reset-after", skip=at)]
        try:
            a_day(each)
            assert not each.front.faults[0].times, "it has struck"
        finally:
            each.close()


@pytest.mark.parametrize("kind", ["throttle", "error", "error-after"])
def test_ft_12_ft_22_every_third_call_may_fail(account: Account, kind: str) -> None:
    account.front.faults = [Fault(kind, times=10_000, between=2)]
    a_day(account)
    assert 10_000 - account.front.faults[0].times > 8


@pytest.mark.parametrize("operation", ["UpdateItem", "TransactWriteItems"])
def test_ft_12_a_write_without_an_answer_in_time_is_looked_up(account: Account, operation: str) -> None:
    journal = account.open()
    patient = account.open(answer_within=1)
    lease = journal.claim(ADA, 60)
    account.front.faults = [Fault("hang-after", operation)]
    assert patient.claim(ADA, 60).epoch == lease.epoch
    assert len(patient.append(some(3), expected=0, epoch=lease.epoch)) == 3
    assert account.seqs() == [1, 2, 3]
    assert not account.front.faults[0].times


@pytest.mark.parametrize(
    ("kind", "said"),
    [("throttle", "throttles dynamodb:"), ("error", "failed at dynamodb:"), ("hang", "did not answer dynamodb:")],
)
def test_ft_22_what_does_not_pass_is_said_and_nothing_is_written(account: Account, kind: str, said: str) -> None:
    account.open().append(some(1), expected=0)
    journal = account.open(patience=0.3, answer_within=0.3 if kind == "hang" else 20)
    account.front.faults = [Fault(kind, times=10_000)]
    acts: list[Callable[[], object]] = [
        journal.read,
        journal.holder,
        lambda: journal.append(some(1), expected=1),
        lambda: journal.claim(ADA, 10),
    ]
    for act in acts:
        with pytest.raises(JournalUnusable, match=said) as error:
            act()
        assert account.table in error.value.message
        assert "The traffic is not affected" in error.value.hint
    before = journal.now()
    assert journal.now() >= before > 1_700_000_000, "the time goes on"
    account.front.faults.clear()
    calm = account.open()
    assert len(calm.read()) == 1
    assert calm.holder() is None


def test_an_append_that_cannot_be_looked_up_is_whole_or_absent(account: Account) -> None:
    account.open()
    for fault, there in (("reset-after", 3), ("reset", 3)):
        journal = account.open(patience=1)
        last = len(account.seqs())
        mute = partial(account.front.faults.append, Fault("error", "GetItem", times=10_000))
        account.front.faults += [Fault(fault, "TransactWriteItems", meanwhile=mute)]
        with pytest.raises(JournalUnusable, match=r"failed at dynamodb:GetItem|did not answer dynamodb:Trans"):
            journal.append(some(3), expected=last)
        account.front.faults.clear()
        assert len(account.seqs()) == there
        assert len(account.open().read()) == there


def test_ft_51_an_append_that_had_no_answer_is_found_though_another_has_written_since(account: Account) -> None:
    journal, other = account.open(), account.open(aside=True)
    lease = journal.claim(ADA, 60)

    def taken() -> None:
        epoch = other.claim(BOB, 60, force=True).epoch
        other.append(some(2, "bob"), expected=3, epoch=epoch)

    account.front.faults = [Fault("reset-after", "TransactWriteItems", meanwhile=taken)]
    mine = journal.append(some(3, "ada"), expected=0, epoch=lease.epoch)
    assert list(journal.read()[:3]) == list(mine)
    assert account.seqs() == [1, 2, 3, 4, 5]


def test_ft_51_an_append_that_was_lost_on_its_way_is_not_written_after_the_lease(account: Account) -> None:
    journal, other = account.open(), account.open(aside=True)
    lease = journal.claim(ADA, 60)
    for fenced, ends in ((lease.epoch, LeaseLost), (None, Conflict)):
        last = len(account.seqs())

        def taken(last: int = last) -> None:
            other.append(some(3, "bob"), expected=last, epoch=other.claim(BOB, 60, force=True).epoch)

        account.front.faults = [Fault("reset", "TransactWriteItems", meanwhile=taken)]
        with pytest.raises(ends):
            journal.append(some(3, "ada"), expected=last, epoch=fenced)
    assert {entry.record.verb for entry in journal.read() if isinstance(entry.record, Started)} == {"bob"}


def test_a_lease_that_is_renewed_meanwhile_does_not_hinder_an_append(account: Account) -> None:
    journal, same = account.open(), account.open(aside=True)
    lease = journal.claim(ADA, 60)
    heartbeat = Fault("", "GetItem", meanwhile=lambda: same.claim(ADA, 90))
    account.front.faults = [heartbeat]
    assert len(journal.append(some(3), expected=0, epoch=lease.epoch)) == 3
    assert not heartbeat.times
    assert account.front.calls.count("TransactWriteItems") == 2, "the first was refused"
    held = journal.holder()
    assert held is not None
    assert held.expires > lease.expires + 15


def test_a_table_where_two_transactions_meet_is_asked_again(account: Account) -> None:
    journal = account.open()
    reasons = [{"Code": "TransactionConflict", "Message": "ongoing"}, {"Code": "None"}]
    meets = {"__type": "x#TransactionCanceledException", "message": "cancelled", "CancellationReasons": reasons}
    busy = {**meets, "CancellationReasons": [{"Code": "ThrottlingError"}, {"Code": "None"}]}
    account.front.faults = [Fault("refused", "TransactWriteItems", body=body) for body in (meets, busy)]
    assert len(journal.append(some(1), expected=0)) == 1
    account.front.faults = [Fault("refused", "UpdateItem", body={"__type": "x#TransactionConflictException"})]
    assert journal.claim(ADA, 10).owner == ADA


def test_entries_that_are_not_visible_yet_are_read_again(account: Account) -> None:
    """A transaction is not one moment for who reads many items."""
    journal = account.open()
    journal.append(some(3), expected=0)
    account.front.faults = [Fault("canned", "Query", body={"Items": [], "Count": 0, "ScannedCount": 0})]
    assert len(journal.read()) == 3


def test_an_answer_that_is_not_aws_s_is_no_empty_journal(account: Account) -> None:
    account.open().append(some(1), expected=0)
    account.front.faults = [Fault("garbage-after", times=10_000)]
    with pytest.raises(JournalUnusable, match="is not AWS") as error:
        account.open(patience=0.3)
    assert not isinstance(error.value, JournalMissing)


def test_answers_that_do_not_tell_the_time_are_refused(account: Account) -> None:
    account.open()
    account.front.clock = None
    with pytest.raises(JournalUnusable, match="does not tell the time"):
        account.open()


# --- processes --------------------------------------------------------------------------------------------------------

IMPORTS = """
import sys
from greenroom.adapters.aws.access import Access
from greenroom.adapters.journals.dynamodb import DynamoDbJournal
from greenroom.adapters.journals.machine import owner
from greenroom.domain.records import Started
from greenroom.errors import Conflict, JournalUnusable, LeaseLost

def opened(table):
    access = Access(region="eu-central-1", endpoint=sys.argv[1])
    return DynamoDbJournal(access, table, service="shop", make_table=True, patience=20, answer_within=20)
"""


@contextmanager
def running(program: str, account: Account) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", IMPORTS + program, account.front.url, account.table]
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


RACER = """
me = owner()
print("ready", flush=True)
for line in sys.stdin:
    journal = opened(line.strip())
    won = [0]
    lease = journal.claim(me, 60)
    while len(won) < 5:
        try:
            won.append(journal.append([Started("r-1", me.identity, str(n)) for n in range(3)], expected=won[-1])[-1].seq)
        except Conflict:
            won.append(len(journal.read()))
    print("leads" if lease.owner == me else "follows", flush=True)
"""


def test_ft_51_of_two_engines_at_the_same_instant_one_leads_and_each_place_is_taken_once(
    upstream: tuple[str, int], account: Account
) -> None:
    """In each round both find no table, make it, claim the lease and append."""
    with running(RACER, account) as one, running(RACER, account) as other:
        assert [line(one), line(other)] == ["ready", "ready"]
        for _ in range(3):
            table = f"{account.table}-{next(_TABLES)}"
            for racer in (one, other):
                tell(racer, table)
            assert sorted([line(one), line(other)]) == ["follows", "leads"]
            pages = account.plain.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
            rows = {int(item["seq"]["N"]): item for page in pages for item in page["Items"] if "parts" in item}
            assert sorted(rows) == list(range(1, len(rows) + 1))
            assert len(rows) % 3 == 0
            assert len({row["write"]["S"] for row in rows.values()}) == len(rows) // 3
            account.plain.delete_table(TableName=table)


WRITER = """
journal = opened(sys.argv[2])
me = owner("a CI job")
lease = journal.claim(me, 3600)
print(lease.epoch if lease.owner == me else 0, flush=True)
last = len(journal.read())
while True:
    last = journal.append([Started("r-1", str(last), str(n)) for n in range(3)], expected=last, epoch=lease.epoch)[-1].seq
    print(last, flush=True)
"""


def test_ft_12_ft_13_a_killed_writer_leaves_whole_entries_and_no_lock(account: Account) -> None:
    """Killed anywhere in a write: what was acknowledged stands, nothing is half there, the lease is free at once."""
    epochs, acknowledged = [0], 0
    for round in range(4):
        with running(WRITER, account) as process:
            epochs.append(int(line(process)))
            for _ in range(1 + 3 * round):
                acknowledged = int(line(process))
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but nobody has reaped it
            journal = account.open(create=False)
            assert journal.holder() is None
            assert process.stdout is not None
            acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
        rows = account.seqs()
        assert rows == list(range(1, len(rows) + 1))
        assert len(rows) % 3 == 0
        assert acknowledged <= len(rows) <= acknowledged + 3
        assert len(journal.read()) == len(rows)
    assert epochs == sorted(set(epochs)), "each took the lease from its dead predecessor, under a higher epoch"


SLEEPER = """
journal = opened(sys.argv[2])
lease = journal.claim(owner("asleep"), 3600)
print(lease.epoch, flush=True)
sys.stdin.readline()
try:
    journal.append([Started("r-1", "late", "k")], expected=0, epoch=lease.epoch)
except LeaseLost as error:
    print(f"lost: {error}", flush=True)
"""


def test_ft_51_a_leader_that_was_stopped_writes_nothing_when_it_wakes_up(account: Account) -> None:
    with running(SLEEPER, account) as process:
        before = int(line(process))
        journal = account.open()
        os.kill(process.pid, signal.SIGSTOP)
        taken = journal.claim(owner("me"), 60, why="it hangs", force=True)
        assert taken.epoch > before
        os.kill(process.pid, signal.SIGCONT)
        tell(process, "go on")
        said = line(process)
    assert said == f"lost: The lease of epoch {before} is not the current one; me holds epoch {taken.epoch}."
    assert list(journal.read()) == []


def test_ft_13_a_cancelled_runner_on_another_machine_keeps_the_lease_no_longer_than_its_time(account: Account) -> None:
    journal, me = account.open(), owner("the next CI job")
    runner = replace(owner("a CI job"), identity="runner-1", host="runner-1", boot="another")
    lease = journal.claim(runner, 0.5, why="deploy 2")
    other = account.open()
    while (taken := other.claim(me, 10)).owner != me:
        assert taken == lease
    assert taken.epoch == lease.epoch + 1
    assert taken.since >= lease.expires


# --- big, many, odd ---------------------------------------------------------------------------------------------------


def test_a_record_bigger_than_an_item_is_split_and_read_as_one(account: Account) -> None:
    journal = account.open()
    for n, text in enumerate(("x" * 700_000, "😀" * 200_000, "a\udc80\0ü")):
        entries = journal.append([*some(1), Requested("deploy", "ada", text)], expected=2 * n)
        assert entries[1].record == Requested("deploy", "ada", text)
    assert len(account.items()) > 15
    assert [entry.seq for entry in account.open().read()] == [1, 2, 3, 4, 5, 6]
    assert [entry.record for entry in account.open().read(5)] == [Requested("deploy", "ada", "a\udc80\0ü")]


@pytest.mark.parametrize("records", [some(100), [Requested("deploy", "ada", "x" * 1_000_000)]], ids=["many", "long"])
def test_what_dynamodb_cannot_write_at_once_is_refused_whole(account: Account, records: list[Record]) -> None:
    journal = account.open()
    with pytest.raises(JournalUnusable, match="cannot take") as error:
        journal.append(records, expected=0)
    assert "nothing of this was written" in error.value.hint
    assert account.seqs() == []
    assert len(journal.append(some(99), expected=0)) == 99


def test_a_journal_of_many_pages_is_read_whole(account: Account) -> None:
    journal = account.open()
    for n in range(4):
        journal.append([Requested("deploy", "ada", f"{n}{i}" + "x" * 80_000) for i in range(10)], expected=10 * n)
    account.front.calls.clear()
    entries = account.open().read()
    assert [entry.seq for entry in entries] == list(range(1, 41))
    assert account.front.calls.count("Query") > 2
    account.front.calls.clear()
    assert list(journal.read(40)) == []
    assert account.front.calls == ["GetItem"], "nothing new costs one call"


def test_services_share_a_table_and_notice_nothing_of_each_other(account: Account) -> None:
    shop, blog = account.open(), account.open("blog")
    lease = shop.claim(ADA, 60)
    shop.append(some(3), expected=0, epoch=lease.epoch)
    assert list(blog.read()) == []
    assert blog.holder() is None
    blog.append(some(1), expected=0)
    with pytest.raises(Conflict):
        blog.append(some(1), expected=3)
    assert (len(shop.read()), len(blog.read())) == (3, 1)


def test_no_entry_is_ever_written_over(account: Account) -> None:
    """Also where the head was put back, by a person or a restore."""
    journal = account.open()
    journal.append(some(2), expected=0)
    account.change("head", last={"N": "0"})
    impatient = account.open(patience=0.3)
    with pytest.raises(JournalUnusable):
        impatient.append(some(1, "again"), expected=0)
    assert account.seqs() == [1, 2]
    assert "again" not in str(account.items())


def test_an_epoch_of_a_journal_that_was_made_anew_is_higher(account: Account) -> None:
    journal = account.open()
    assert journal.claim(ADA, 60).epoch > 1_500_000_000
    account.plain.delete_table(TableName=account.table)
    with pytest.raises(JournalMissing, match=f"no table {account.table} in {aws_front.REGION}"):
        journal.read()
    assert list(account.open().read()) == []


_OF_TOMORROW = '{"kind": "started", "v": 9}'


@pytest.mark.parametrize(
    ("damage", "kind", "said"),
    [
        (lambda a: a.remove("000000000002"), JournalCorrupt, "entries are missing"),
        (lambda a: a.remove("000000000003/01"), JournalCorrupt, "entries are missing"),
        (lambda a: a.change("000000000002", body={"S": "{"}), JournalCorrupt, "entry 2: A record is damaged"),
        (lambda a: a.change("000000000002", at={"S": "noon"}), JournalCorrupt, "an entry of shop"),
        (lambda a: a.change("000000000001", body={"S": _OF_TOMORROW}), JournalNewer, "entry 1: .*version 9"),
        (lambda a: a.change("head", format={"N": "2"}), JournalNewer, "has format 2"),
        (lambda a: a.change("head", format={"S": "x"}), JournalCorrupt, "the head of shop"),
        (lambda a: a.change("head", rev={"S": "x"}), JournalCorrupt, "the head of shop"),
        (lambda a: a.change("head", owner={"S": "{}"}), JournalCorrupt, "the lease"),
        (lambda a: a.remove("head"), JournalMissing, "no journal of shop"),
    ],
)  # fmt: skip
def test_damage_is_told_from_nothing(
    account: Account, damage: Callable[[Account], None], kind: type[JournalUnusable], said: str
) -> None:
    journal = account.open()
    journal.append([*some(2), Requested("deploy", "ada", "x" * 100_000)], expected=0)
    damage(account)
    with pytest.raises(kind, match=said) as error:
        use(account.open(create=False, patience=0.3))
    assert account.table in error.value.message


def use(journal: Journal) -> None:
    journal.read()
    journal.holder()


# --- what is missing --------------------------------------------------------------------------------------------------


def test_looking_makes_nothing(account: Account) -> None:
    with pytest.raises(JournalMissing, match="nothing was ever recorded here"):
        account.open(create=False)
    with pytest.raises(JournalUnusable, match="may not make it") as error:
        account.open(make_table=False)
    assert "create: true" in error.value.hint
    assert not isinstance(error.value, JournalMissing)
    assert account.table not in account.plain.list_tables()["TableNames"]
    account.open("blog")
    with pytest.raises(JournalMissing, match="no journal of shop"):
        account.open(create=False)
    assert [item["service"]["S"] for item in account.items()] == ["blog"]


def test_a_table_is_made_to_cost_nothing_idle_and_to_be_restored(account: Account) -> None:
    account.open()
    made = account.plain.describe_table(TableName=account.table)["Table"]
    assert made["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    kept = account.plain.describe_continuous_backups(TableName=account.table)["ContinuousBackupsDescription"]
    assert kept["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


def test_a_table_takes_its_time_to_be_made(account: Account) -> None:
    creating = {"Table": {"TableName": account.table, "TableStatus": "CREATING"}}
    soon = {"__type": "x#ContinuousBackupsUnavailableException", "message": "being enabled"}
    account.front.faults = [
        Fault("canned", "DescribeTable", body=creating),
        Fault("refused", "UpdateContinuousBackups", body=soon),
    ]
    account.open().append(some(1), expected=0)
    assert account.front.calls.count("CreateTable") == 1


def test_a_table_of_something_else_is_not_taken_for_a_journal(account: Account) -> None:
    account.plain.create_table(
        TableName=account.table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(JournalUnusable, match="is no journal") as error:
        account.open()
    assert "journal.table" in error.value.hint
    assert account.items() == []


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("GetItem", "GetItem"),
        ("Query", "Query"),
        ("UpdateItem", "UpdateItem"),
        ("TransactWriteItems", "PutItem"),
        ("PutItem", "PutItem"),
        ("CreateTable", "CreateTable"),
        ("DescribeTable", "DescribeTable"),
        ("UpdateContinuousBackups", "UpdateContinuousBackups"),
    ],
)
def test_a_missing_right_is_named(account: Account, operation: str, action: str) -> None:
    arn = f"arn:aws:dynamodb:{aws_front.REGION}:{aws_front.ACCOUNT}:table/{account.table}"
    user = f"arn:aws:iam::{aws_front.ACCOUNT}:user/ci"
    said = f"User: {user} is not authorized to perform: dynamodb:{action} on resource: {arn}"
    account.front.faults = [Fault("denied", operation, times=10_000, body={"Message": said})]
    with pytest.raises(JournalUnusable, match=f"denies dynamodb:{action} on {arn} to .*user/ci") as error:
        a_day(account)
    assert f"Allow dynamodb:{action} on {arn}" in error.value.hint
    account.front.faults.clear()
    a_day_goes_on = account.open()
    assert len(a_day_goes_on.read()) in (0, 3), "nothing is half there"
    kept = account.plain.describe_continuous_backups(TableName=account.table)["ContinuousBackupsDescription"]
    assert kept["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


def test_another_account_is_refused_before_anything(account: Account) -> None:
    access = account.front.access(account="210987654321")
    with pytest.raises(JournalUnusable, match="the file wants 210987654321"):
        DynamoDbJournal(access, account.table, service="shop", make_table=True)
    assert account.front.calls == ["GetCallerIdentity"]


def test_the_guide_s_policy_allows_what_is_done_and_no_more(account: Account) -> None:
    """The rights to use a table, and those to make it, by the calls that are really made."""
    policy = json.loads(GUIDE.read_text().partition("```json\n")[2].partition("```")[0])
    allowed = {each["Sid"]: {action.partition(":")[2] for action in each["Action"]} for each in policy["Statement"]}
    account.open("blog")
    account.front.calls.clear()
    account.open(make_table=False)
    a_day_in_it = account.open()
    a_day_in_it.append(some(1), expected=0)
    a_day_in_it.claim(ADA, 60)
    a_day_in_it.read()
    assert rights(account.front.calls) == allowed["Journal"]
    account.front.calls.clear()
    fresh = f"{account.table}-fresh"
    DynamoDbJournal(account.front.access(), fresh, service="shop", make_table=True, patience=20, answer_within=20)
    account.plain.delete_table(TableName=fresh)
    assert rights(account.front.calls) - allowed["Journal"] == allowed["JournalTable"]
    resources = {each["Resource"] for each in policy["Statement"]}
    assert resources == {"arn:aws:dynamodb:eu-central-1:123456789012:table/greenroom"}


def rights(calls: list[str]) -> set[str]:
    """A transaction needs the rights for what is in it: here updates and puts."""
    return {right for call in calls for right in ({"UpdateItem", "PutItem"} if call.startswith("Transact") else {call})}


def test_the_resident_engine_is_who_gave_the_command_on_aws_and_no_list_shows_its_keys(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor keeps the variables of no shell."""
    file = tmp_path / "greenroom.yaml"
    file.write_text(
        "service: shop\n"
        "environment: {type: process, processes: {web: {command: python3 app.py}}}\n"
        "router: {type: envoy, listen: 127.0.0.1:8080}\n"
        f"journal: {{type: dynamodb, table: {account.table}, region: eu-central-1, endpoint: '{account.front.url}'}}\n"
    )
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("SHOP_KEY", "hunter3")
    program = open_service(file).engine_program()
    assert program.secrets["AWS_SECRET_ACCESS_KEY"] == "hunter2"
    assert "hunter" not in f"{program.environment} {program.command} {program.labels}"
    assert {name for name in program.secrets if not name.startswith("AWS_")} == set()


# --- the time ---------------------------------------------------------------------------------------------------------


def test_the_time_is_narrowed_by_each_answer_and_never_runs_back() -> None:
    steady, true = 100.0, 1_790_000_000.9
    clock = Heard(lambda: steady)
    for n in range(40):
        sent = steady
        steady, true = steady + 0.02, true + 0.02
        clock.hear(time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(true)), sent)
        assert abs(clock.now() - true) <= 0.52
        assert clock.earliest() <= true
        steady, true = steady + 0.11, true + 0.11
        if n > 10:
            assert abs(clock.now() - true) < 0.1, "by now it has seen a second change"
    before = clock.now()
    clock.hear(time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(true - 86400)), steady)
    assert clock.now() >= before
    clock.hear(time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(true + 3600)), steady)
    assert clock.now() == pytest.approx(true + 3600, rel=0, abs=1)
    clock.not_before(true + 7200)
    steady += 10
    assert clock.now() == pytest.approx(true + 7210, rel=0, abs=0.001)
