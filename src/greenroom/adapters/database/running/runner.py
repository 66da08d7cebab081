"""Carries statements out, so that each is done once, whoever is killed when.

Groups of statements run in one transaction each, and the ledger's rows are written by it. A lock that is not to be had at
once is given up, and the whole transaction tried again, with its limits set anew; after so many tries whoever is in the way
is named. Statements that no transaction can hold (`outside`) are looked up before they are repeated.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from hashlib import sha256

from greenroom.adapters.database.ledger import Done, Ledger
from greenroom.adapters.database.reading import Statement
from greenroom.adapters.database.running import outside
from greenroom.adapters.database.running.lookout import Watch
from greenroom.adapters.database.running.outside import Outside
from greenroom.adapters.database.running.pace import Pace
from greenroom.adapters.database.running.tell import Tell
from greenroom.adapters.database.target import Blocked, Broken, Session, Target
from greenroom.domain.schema import Dialect, Stage, Stand
from greenroom.errors import Permanent, Temporary
from greenroom.units import show_duration

_LOOK_EVERY = 0.1


class Hindered(Temporary):
    """It could not get its locks in so many tries; what it has done before stays done."""


def checksum(statement: Statement) -> str:
    """Of what the server is told; comments in front of it and line ends do not count."""
    return sha256(statement.sql.replace("\r\n", "\n").encode()).hexdigest()


class Runner:
    """`guard` is called in each transaction before anything else: it raises where the statement must not run any more.

    The session is the caller's, with the lock of `alone`; the runner closes only the one that it looks around with.
    """

    def __init__(
        self,
        target: Target,
        ledger: Ledger,
        guard: Callable[[], object],
        tell: Tell,
        pace: Pace | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.ledger, self.session, self.pace = ledger, ledger.session, pace or Pace()
        self._guard, self._tell, self._sleep, self._chance = guard, tell, sleep, chance
        self._dialect = target.dialect
        self.watch = Watch(target, ledger.session.number, tell)

    def close(self) -> None:
        self.watch.close()

    def carry_out(self, name: str, stage: Stage, groups: Sequence[Sequence[Statement]]) -> int:
        """Whatever of it is not done yet, in order; how many statements that was. A group is one transaction."""
        count = 0
        for group in groups:
            done = self.ledger.statements(name, stage)
            left = [one for one in group if one.number not in done or done[one.number].state is not Stand.DONE]
            if left:
                self._tell(f"{left[0].place()}: {_short(left[0].sql)}")
                self._group(name, stage, left)
            count += len(left)
        return count

    def _group(self, name: str, stage: Stage, group: Sequence[Statement]) -> None:
        ways = [outside.of(statement, self._dialect) for statement in group]
        if len(ways) == 1 and ways[0] is not None:
            self._outside(name, stage, group[0], ways[0])
        elif any(ways):
            raise Permanent(f"{group[0].place()}: not all of these statements can be held by one transaction.")
        else:
            self._inside(name, stage, group)

    # --- in a transaction -------------------------------------------------------------------------------------

    def _inside(self, name: str, stage: Stage, group: Sequence[Statement]) -> None:
        def attempt(lock_timeout: float) -> float:
            """The ledger first: what comes after the statement would keep its locks longer."""
            with self.session.transaction(lock_timeout=lock_timeout, statement_timeout=self.pace.statement_timeout):
                self._guard()
                done = self.ledger.statements(name, stage)
                for statement in group:
                    if statement.number not in done or done[statement.number].state is not Stand.DONE:
                        self.ledger.did(name, stage, statement.number, checksum(statement), 0.0)
                began = time.monotonic()
                for statement in group:
                    if statement.number not in done or done[statement.number].state is not Stand.DONE:
                        self._run(statement)
                return time.monotonic() - began

        took = self._until_done(group[0], attempt)
        self._took(name, stage, group, took)

    def _run(self, statement: Statement) -> None:
        try:
            if self._dialect is Dialect.MYSQL:
                from greenroom.adapters.database.mysql.outside import undoable

                undoable(self.session, statement.sql)
            self.session.run(statement.sql)
        except Broken as error:
            raise located(statement, error) from error

    def _took(self, name: str, stage: Stage, group: Sequence[Statement], took: float) -> None:
        for statement in group:
            self.ledger.did(name, stage, statement.number, checksum(statement), took / len(group))

    # --- outside of one ---------------------------------------------------------------------------------------

    def _outside(self, name: str, stage: Stage, statement: Statement, way: Outside) -> None:
        with self.session.transaction(lock_timeout=self.pace.lock_timeout):
            self._guard()
            before = self.ledger.statements(name, stage).get(statement.number)
            if before is None or before.state is Stand.PENDING:
                self.ledger.put_statement(Done(name, stage, statement.number, checksum(statement), Stand.RUNNING))
        if before is not None and before.state is Stand.RUNNING and way.done(self.session):
            self._tell(f"{statement.place()}: it was done, by a run that was interrupted")
            self.ledger.did(name, stage, statement.number, checksum(statement), 0.0)
            return

        def attempt(_: float) -> float:
            began = time.monotonic()
            way.clear(self.session, self._tell)
            try:
                way.run(self.session, self.pace.statement_timeout)
            except Broken as error:
                way.clear(self.session, self._tell)
                self.ledger.put_statement(Done(name, stage, statement.number, checksum(statement), Stand.PENDING))
                raise located(statement, error) from error
            return time.monotonic() - began

        took = self._until_done(statement, attempt)
        self.ledger.did(name, stage, statement.number, checksum(statement), took)

    # --- again and again --------------------------------------------------------------------------------------

    def _until_done(self, statement: Statement, attempt: Callable[[float], float]) -> float:
        began, stays = time.monotonic(), False
        for number in range(1, self.pace.tries + 1):
            last = number == self.pace.tries
            if not stays or last:
                try:
                    with self.watch.over():
                        return attempt(self.pace.patience(number, not stays))
                except Blocked as error:
                    blocked = error
                if not last:
                    self._tell(f"{statement.place()}: {blocked.message}; {self._in_the_way()}; tries again")
            if not last:
                stays = self._pause(number)
        waited = show_duration(time.monotonic() - began)
        raise Hindered(
            f"{statement.place()}: {blocked.message} ({self.pace.tries} tries in {waited}); {self._in_the_way()}",
            hint=f"Wait until it has ended, or end it{self._by_hand()}; what was done before stays done, and the next deploy"
            " goes on from here.",
        ) from blocked

    def _pause(self, attempt: int) -> bool:
        """Shorter if whoever was in the way has gone. True: it is there still, and an attempt would only hold up others."""
        left, stays = self.pace.pause(attempt, self._chance), False
        while left > 0:
            self._sleep(min(_LOOK_EVERY, left))
            left -= _LOOK_EVERY
            stays = self.watch.stays()
            if self.watch.seen and not stays:
                return False
        return stays

    def _by_hand(self) -> str:
        """How those are ended who are known to be in the way."""
        numbers = [one.number for one in self.watch.seen[:3] if one.number]
        match self._dialect:
            case Dialect.POSTGRES if numbers:
                return f" (`SELECT {', '.join(f'pg_terminate_backend({number})' for number in numbers)}`)"
            case Dialect.MYSQL if numbers:
                return f" ({', '.join(f'`KILL {number}`' for number in numbers)})"
            case _:
                return ""

    def _in_the_way(self) -> str:
        seen = self.watch.seen
        return f"in the way: {'; '.join(map(str, seen[:3]))}" if seen else "who was in the way could not be seen"


def located(statement: Statement, error: Broken) -> Broken:
    """With the place in the file."""
    place = statement.place(error.position - 1) if error.position else statement.place()
    return Broken(f"{place}: {error.message}", code=error.code, position=error.position, hint=error.hint)


def _short(sql: str) -> str:
    text = " ".join(sql.split())
    return text[:99] + "…" if len(text) > 100 else text


__all__ = ["Hindered", "Pace", "Runner", "Session", "checksum", "located"]
