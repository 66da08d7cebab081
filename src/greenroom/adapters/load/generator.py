"""Sends requests at their moments, whatever becomes of the ones before: an open loop.

A request that is due takes a free connection, or a new one; only where all that are allowed are busy it waits, and its
latency counts from its moment all the same. Nothing here allocates for ever: what waits is known by its number alone.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from itertools import islice
from math import inf
from typing import Any

from greenroom.adapters.load.connection import Broken, Connection, Exhausted, Target
from greenroom.adapters.load.plan import Plan, mixed
from greenroom.adapters.load.tally import Tally

_SLICE = 0.01
"""The longest sleep, so that what arrived is never much older than it looks."""
_TICK = 0.05
_TELL = 0.5
_ROUND = 64
"""Requests that are sent before answers are read again."""
_HOPELESS = 100
"""Errors after which a run that fails for the most part is given up."""


class Generator:
    """`tell` is given the progress, now and then."""

    def __init__(self, plan: Plan, target: Target, tell: Callable[[dict[str, Any]], None]) -> None:
        self.plan, self.tally = plan, Tally(plan.good)
        self._target, self._tell = target, tell
        self._schedule = plan.schedule
        self._moments = self._schedule.moments()
        self._mix = mixed([shot.weight for shot in plan.shots])
        self._requests = [shot.rendered(plan.authority) for shot in plan.shots]
        self._epoll = select.epoll()  # early: `select` takes small numbers only
        self._connections: dict[int, Connection] = {}
        self._free: list[Connection] = []
        self._busy: dict[Connection, None] = {}
        """In the order in which they began."""
        self._due = next(self._moments, inf)
        self._starved, self._fed = False, 0.0
        """All connections are busy and something is due; when that ended last."""
        self._begin = time.perf_counter()
        self._asked = self._unread = 0.0
        """When epoll was asked last. What is read now had not arrived before `_unread`."""
        self._told = self._ticked = 0.0
        self._sent_before = 0

    def run(self) -> dict[str, Any]:
        """To the end; the report."""
        clock = time.perf_counter
        self._begin = clock() + 0.02
        hopeless = False
        while self._due < inf or self._busy:
            self._send_due()
            self._read(self._wait())
            now = clock() - self._begin
            if now >= self._ticked + _TICK:
                self._ticked = now
                self._give_up(now)
                hopeless = self._hopeless()
                if hopeless:
                    break
                if now >= self._told + _TELL:
                    self._report(now)
        seconds = clock() - self._begin
        for connection in self._connections.values():
            connection.close()
        return {**self.tally.document(self._schedule.requests), "seconds": seconds, "hopeless": hopeless}

    # --- sending

    def _send_due(self) -> None:
        clock, begin = time.perf_counter, self._begin
        now = clock() - begin
        for _ in range(_ROUND):
            if self._due > now:
                return
            if not self._free and len(self._connections) >= self.plan.connections:
                self._starved = True
                return
            due, self._due = self._due, next(self._moments, inf)
            try:
                self._send(due, next(self._mix), now)
            except Exhausted as error:
                self.tally.obstacles[str(error)] += 1
            now = clock() - begin

    def _send(self, due: float, shot: int, now: float) -> None:
        connection = self._free.pop() if self._free else self._opened()
        connection.due, connection.begun, connection.shot = due, now, shot
        self._ask(connection)
        self.tally.sent += 1
        self.tally.delay.add(now - due)
        self.tally.lag.add(max(0.0, now - max(due, self._fed)))

    def _opened(self) -> Connection:
        connection = Connection(self._target)
        self._connections[connection.number] = connection
        return connection

    def _ask(self, connection: Connection) -> None:
        self._busy[connection] = None
        try:
            connection.ask(self._requests[connection.shot], self.plan.shots[connection.shot].bodiless)
            self._follow(connection)
        except Broken as error:
            self._broken(connection, str(error))
        except Exhausted:
            self._drop(connection)
            raise

    # --- reading

    def _wait(self) -> list[tuple[int, int]]:
        """What has happened, or until something is due."""
        before, asked = self._asked, time.perf_counter() - self._begin
        events = self._epoll.poll(0)
        if not events:
            before = asked
            left = _SLICE if self._starved else min(self._due - asked, _SLICE)
            if left > 0:  # epoll's own timeout knows no less than a millisecond
                select.select((self._epoll,), (), (), left)
                asked = time.perf_counter() - self._begin
                events = self._epoll.poll(0)
        self._unread, self._asked = before, asked
        return events

    def _read(self, events: list[tuple[int, int]]) -> None:
        for number, _ in events:
            connection = self._connections.get(number)
            if connection is None:
                continue
            if connection not in self._busy:
                if not connection.still_good():
                    self._free.remove(connection)
                    self._drop(connection)
                continue
            try:
                if connection.advance():
                    self._answered(connection)
                elif connection.wants != connection.registered:
                    self._follow(connection)
            except Broken as error:
                self._broken(connection, str(error))

    def _answered(self, connection: Connection) -> None:
        now = time.perf_counter() - self._begin
        tally = self.tally
        tally.answer(connection.reader.status)
        tally.latency.add(now - connection.due)
        tally.service.add(max(0.0, self._unread - connection.begun))
        del self._busy[connection]
        if connection.reader.reusable:
            connection.rest()
            if connection.wants != connection.registered:
                self._follow(connection)
            self._free.append(connection)
            self._feed(now)
        else:
            self._drop(connection)

    def _broken(self, connection: Connection, kind: str) -> None:
        """One that had been closed while it rested is no failure of the request: it is sent again on a new one."""
        again = connection.stale and self.plan.shots[connection.shot].repeatable
        due, begun, shot = connection.due, connection.begun, connection.shot
        self._drop(connection)
        if not again:
            self.tally.lose(kind)
            return
        self.tally.reopened += 1
        try:
            fresh = self._opened()
            fresh.due, fresh.begun, fresh.shot = due, begun, shot
            self._ask(fresh)
        except Exhausted as error:
            self.tally.obstacles[str(error)] += 1
            self.tally.sent -= 1

    def _follow(self, connection: Connection) -> None:
        if not connection.registered:
            self._epoll.register(connection.number, connection.wants)
        elif connection.registered != connection.wants:
            self._epoll.modify(connection.number, connection.wants)
        connection.registered = connection.wants

    def _drop(self, connection: Connection) -> None:
        self._busy.pop(connection, None)
        del self._connections[connection.number]
        connection.close()  # which epoll notices by itself
        self._feed(time.perf_counter() - self._begin)

    def _feed(self, now: float) -> None:
        """There is a connection to be had."""
        if self._starved:
            self._starved, self._fed = False, now

    # --- now and then

    def _give_up(self, now: float) -> None:
        """What was not answered in time, and what could not even be sent in that time."""
        late = [c for c in islice(self._busy, 1000) if c.begun < now - self.plan.timeout]
        for connection in late:
            self.tally.lose("timeout")
            self.tally.latency.add(now - connection.due)
            self.tally.service.add(self.plan.timeout)
            self._drop(connection)
        while self._due < now - self.plan.timeout:
            self.tally.delay.add(now - self._due)
            self.tally.lag.add(0.0 if self._starved else now - max(self._due, self._fed))
            self._due = next(self._moments, inf)

    def _hopeless(self) -> bool:
        tally = self.tally
        many = tally.failed >= _HOPELESS and tally.failed > self.plan.most_errors
        return many and tally.failed * 2 > tally.answered + tally.lost

    def _report(self, now: float) -> None:
        tally = self.tally
        rate = (tally.answered - self._sent_before) / (now - self._told)
        self._told, self._sent_before = now, tally.answered
        self._tell(
            {
                "seconds": round(now, 2),
                "rate": round(rate, 1),
                "wanted": round(self._schedule.rate(now), 1),
                "p99": round(tally.latency.quantile(0.99), 6),
                "sent": tally.sent,
                "failed": tally.failed,
            }
        )
