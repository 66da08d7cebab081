"""A journal in a DynamoDB table: it lives in the account, with the traffic, whoever gives the commands."""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TypeVar

from greenroom.adapters.aws.access import Access
from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.hearing import Heard
from greenroom.adapters.journals.dynamodb_items import Head, Row
from greenroom.adapters.journals.dynamodb_table import Table
from greenroom.adapters.journals.machine import Machine, this_machine
from greenroom.adapters.journals.store import SAFE
from greenroom.domain import codec
from greenroom.domain.records import Entry, Record
from greenroom.errors import (
    Conflict,
    JournalCorrupt,
    JournalMissing,
    JournalUnusable,
    LeaseLost,
    PortError,
    Temporary,
    Uncertain,
)
from greenroom.ports import Lease, Owner

T = TypeVar("T")

TRIED_WITHIN, CONNECT_WITHIN, ANSWER_WITHIN = 2.0, 1.0, 1.5
"""Seconds: for the beginning of the last request of a call, and for that one. Together less than half a lease."""

READY_WITHIN = 60.0
"""Seconds for a new table."""


class DynamoDbJournal:
    """`ports.Journal` of one service. Safe for threads; several services share the table.

    Every write is one conditional request on the service's head: whoever was not the first looks again and decides again.
    For a call's time (`patience`) what is throttled is asked again, and what may have been written is looked up before it
    is written again. An append that raised `JournalUnusable` is whole or absent: read before repeating it.

    Opening makes this service's place where it is missing and `create` is true, and with `make_table` the table too.

    DynamoDB has no clock: the time is that of its answers (`Heard`), half a second off at most. It never runs backwards,
    and a lease has ended when it has for every time that it may be. Who writes is fenced by epochs, not by time.
    """

    def __init__(
        self,
        access: Access,
        table: str,
        *,
        service: str,
        create: bool = True,
        make_table: bool = False,
        machine: Machine | None = None,
        patience: float = TRIED_WITHIN,
        answer_within: float = ANSWER_WITHIN,
    ) -> None:
        self._machine, self._patience = machine or this_machine(), patience
        self._clock = Heard(self._machine.steady)
        try:
            client = Client(access, connect_within=CONNECT_WITHIN, answer_within=answer_within)
            client.confirm()
        except PortError as error:
            raise JournalUnusable(f"The journal in the table {table}: {error.message}", hint=error.hint) from error
        self._table = Table(client, table, service, self._clock, self._machine.steady)
        try:
            self.holder()  # which says what is wrong, and finds the time
        except JournalMissing:
            if not create:
                raise
            self._make(make_table)

    def close(self) -> None:
        """Nothing is held between two calls but connections, which may be lost at any time."""

    def read(self, after: int = 0) -> Sequence[Entry]:
        after = max(0, after)
        tries = self._tries()
        while True:
            last = self._head(tries).last
            if last <= after:
                return []
            rows = tries.of(partial(self._table.rows, after, last))
            if rows is not None:
                return [self._entry(row) for row in rows]
            # A transaction becomes visible item by item, and the head may be the first.
            tries.again(self._table.damaged("entries are missing"))

    def append(self, records: Sequence[Record], *, expected: int, epoch: int | None = None) -> Sequence[Entry]:
        bodies, token = [codec.dumps(record) for record in records], secrets.token_hex(8)
        tries = self._tries()
        while True:
            head = self._head(tries)
            if tries.repeated and (mine := self._written(tries, head, expected, len(bodies), token)):
                return mine
            lease = self._lease(head)
            if epoch is not None and (lease is None or lease.epoch != epoch):
                raise LeaseLost(f"The lease of epoch {epoch} is not the current one; {_held_by(lease)}.")
            if head.last != expected:
                raise Conflict(f"The journal is at {head.last}, not at {expected}.")
            now = self._now(head)
            rows = [
                Row(seq, now, epoch or 0, record.release, type(record).__name__.lower(), body, token)
                for seq, (record, body) in enumerate(zip(records, bodies, strict=True), start=expected + 1)
            ]
            wanted = replace(head, rev=head.rev + 1, write=token, last=expected + len(rows), at=now)
            if self._swap(tries, head, wanted, rows):
                return [self._entry(row) for row in rows]

    def claim(self, owner: Owner, ttl: float, *, why: str = "", force: bool = False) -> Lease:
        tries, token = self._tries(), secrets.token_hex(8)
        while True:
            head = self._head(tries)
            now, lease = self._now(head), self._lease(head)
            if lease is not None and lease.owner.identity == owner.identity:
                granted = Lease(owner, lease.epoch, lease.since, now + max(0.0, ttl), why or lease.why)
            elif lease is not None and self._holds(lease) and (not force or ttl <= 0):
                return lease
            elif ttl <= 0:  # there is nothing of ours to give back
                return Lease(owner, head.epoch, now, now, why)
            else:
                granted = Lease(owner, head.epoch + 1, now, now + ttl, why)
            if self._swap(tries, head, _granted(head, granted, now, token)):
                return granted

    def holder(self) -> Lease | None:
        lease = self._lease(self._head(self._tries()))
        return lease if lease is not None and self._holds(lease) else None

    def now(self) -> float:
        return self._clock.now()

    # --- one request ------------------------------------------------------------------------------------------

    def _head(self, tries: _Tries) -> Head:
        """`JournalMissing` if there is none."""
        head = tries.of(self._table.head)
        if head is None:
            raise self._table.unbegun()
        self._clock.not_before(max(head.at, head.renewed))
        return head

    def _swap(self, tries: _Tries, seen: Head, wanted: Head, rows: Sequence[Row] = ()) -> bool:
        """False: look again. It may have been written all the same, if there was no answer."""
        try:
            if self._table.swap(seen, wanted, rows):
                return True
        except (Temporary, Uncertain) as error:
            tries.again(self._table.unusable(error), error)
            return False
        tries.again(JournalUnusable(f"Too many write to the journal in the {self._table}.", hint=f"{SAFE} Try again."))
        return False

    def _written(self, tries: _Tries, head: Head, expected: int, count: int, token: str) -> list[Entry]:
        """The entries of an append that had no answer, if they are there."""
        if not count or head.last < expected + count:
            return []
        rows = tries.of(lambda: self._table.rows(expected, expected + count))
        return [self._entry(row) for row in rows or [] if row.write == token]

    def _make(self, make_table: bool) -> None:
        """The table, and this service's place in it. Epochs begin at the second in which it was made: a journal that
        replaces a lost one is not taken for the past."""
        try:
            self._tries().of(self._table.head)
        except JournalMissing as missing:
            if not make_table:
                raise self._table.absent() from missing
            self._tries().of(self._table.make)
            self._wait(self._table.ready)
        if make_table:
            self._wait(self._table.protect)
        tries = self._tries()
        tries.of(self._table.head)  # and with it the time
        tries.of(lambda: self._table.begin(Head(rev=0, write="", epoch=int(self.now()))))
        self._head(tries)

    def _wait(self, done: Callable[[], bool]) -> None:
        """For a new table."""
        until = time.monotonic() + READY_WITHIN
        while not self._tries().of(done):
            if time.monotonic() > until:
                raise JournalUnusable(f"The {self._table} is still being made.", hint=f"{SAFE} Try again in a minute.")
            time.sleep(0.5)

    def _tries(self) -> _Tries:
        return _Tries(self._table, self._patience)

    # --- what was found ---------------------------------------------------------------------------------------

    def _now(self, head: Head) -> float:
        return max(self.now(), head.at, head.renewed)

    def _holds(self, lease: Lease) -> bool:
        return lease.expires > self._clock.earliest() and self._machine.alive(lease.owner) is not False

    def _lease(self, head: Head) -> Lease | None:
        """The lease that was granted last and not given back; it may have expired."""
        if not head.owner:
            return None
        try:
            return Lease(Owner(**json.loads(head.owner)), head.epoch, head.since, head.expires, head.why)
        except (ValueError, TypeError) as error:
            raise self._table.damaged(f"the lease: {error}") from None

    def _entry(self, row: Row) -> Entry:
        try:
            return Entry(row.seq, row.at, row.epoch, codec.loads(row.body))
        except JournalCorrupt as error:
            raise self._table.damaged(f"entry {row.seq}: {error.message}") from None
        except JournalUnusable as error:
            raise type(error)(f"The {self._table}, entry {row.seq}: {error.message}", hint=error.hint) from None


class _Tries:
    """The time of one call. What did not happen is tried again as long as one more request fits in."""

    def __init__(self, table: Table, patience: float) -> None:
        self._table = table
        self._until = time.monotonic() + patience
        self._pause = 0.02
        self.repeated = False

    def of(self, request: Callable[[], T]) -> T:
        """`JournalUnusable` when the time is over."""
        while True:
            try:
                return request()
            except (Temporary, Uncertain) as error:
                self.again(self._table.unusable(error), error)

    def again(self, end: JournalUnusable, cause: Exception | None = None) -> None:
        """Wait a little, unless it is over: then it ends so."""
        pause = self._pause * random.uniform(0.5, 1.0)
        if time.monotonic() + pause > self._until:
            raise end from cause
        time.sleep(pause)
        self._pause *= 2
        self.repeated = True


def _granted(head: Head, lease: Lease, now: float, token: str) -> Head:
    return replace(
        head,
        rev=head.rev + 1,
        write=token,
        epoch=lease.epoch,
        owner=json.dumps(asdict(lease.owner)) if lease.expires > now else "",
        why=lease.why,
        since=lease.since,
        renewed=now,
        expires=lease.expires,
    )


def _held_by(lease: Lease | None) -> str:
    return f"{lease.owner.text} holds epoch {lease.epoch}" if lease is not None else "nobody holds it"
