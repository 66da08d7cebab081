"""One statement at a time runs on the shadow, in a transaction of its own, and is looked at before it commits."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Timer
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from greenroom.adapters.database.postgres_errors import said
from greenroom.adapters.database.reading import Statement
from greenroom.adapters.database.shadow import catalogue
from greenroom.adapters.database.shadow.facts import KEEPS_OUT, Facts, Failure, Lock
from greenroom.adapters.database.shadow.forbidden import why_not
from greenroom.adapters.database.shadow.snapshot import Snapshot, differences, rewritten, take

Connection = psycopg.Connection[Any]
Touched = dict[int, tuple[int, int, int]]

_OURS = b"SET LOCAL search_path = pg_catalog"
_ENDED = "it ends the transaction that it runs in: Greenroom could not undo it, nor write down that it ran"
_SETS = re.compile(r"SET\b|BEGIN\b|START\b", re.IGNORECASE)
_MODES = {mode.title().replace(" ", "") + "Lock": mode for mode in KEEPS_OUT}


@dataclass(frozen=True, slots=True)
class _Begun:
    at: str
    touched: Touched
    settings: frozenset[tuple[str, str]]


class Observer:
    """Of one session in one shadow. `home`: the schema that names leave out.

    `end`: ends it from outside, once a statement lasts longer than `patience`.

    The session has a timeout of its own, which SQL may take away.
    """

    def __init__(self, db: Connection, end: Callable[[int], None], patience: float, home: str = "public") -> None:
        self._db, self._end, self._patience, self._home, self._barked = db, end, patience, home, False
        with db.transaction():
            self._before = self._look()

    def apply(self, statement: Statement) -> Failure | None:
        """Run it unobserved, as it ran in the target."""
        if why_not(statement):
            return None
        _, failure = self._run(statement, observed=False)
        with self._db.transaction():
            self._before = self._look()
        return failure

    def rehearse(self, statement: Statement) -> Facts:
        if why := why_not(statement):
            message = f"it is not run on a shadow, since it {why}"
            hint = "do that apart from migrations, by an administrator"
            return _failed(statement, Failure(message, "", statement.line, statement.column, hint))
        began = time.monotonic()
        facts, failure = self._run(statement, observed=True)
        if failure is not None:
            return _failed(statement, failure)
        return replace(facts, took=time.monotonic() - began)

    def _run(self, statement: Statement, observed: bool) -> tuple[Facts, Failure | None]:
        text, facts = statement.sql.encode("utf-8", "surrogateescape"), Facts(statement.number)
        try:
            with self._watched():
                begun = self._begin()
                self._db.execute(text, binary=True)
                if self._ended(begun):
                    return facts, Failure(_ENDED, "2D000", statement.line, statement.column)
                if observed:
                    facts = self._seen(statement, begun)
                self._db.execute("COMMIT")
        except psycopg.Error as error:
            self._settle()
            if isinstance(error, psycopg.errors.ActiveSqlTransaction) and not _SETS.match(statement.sql):
                return self._alone(statement, text, observed)
            return facts, self._failure(statement, error)
        finally:
            self._settle()
        return facts, None

    def _alone(self, statement: Statement, text: bytes, observed: bool) -> tuple[Facts, Failure | None]:
        """What cannot run in a transaction; its locks are gone when it has ended, so they are told by what it did."""
        try:
            with self._watched():
                self._db.execute(text, binary=True)
                with self._db.transaction():
                    after = self._look()
        except psycopg.Error as error:
            return Facts(statement.number), self._failure(statement, error)
        facts = self._facts(statement, after) if observed else Facts(statement.number)
        taken = [Lock(table, "ACCESS EXCLUSIVE") for table in facts.rewrites]
        of = {difference.table for difference in facts.differences if difference.table} - set(facts.rewrites)
        taken += [Lock(table, "SHARE UPDATE EXCLUSIVE") for table in sorted(of) if self._known(table)]
        self._before = after
        return replace(facts, locks=tuple(taken), autocommit=True), None

    # --- looking ----------------------------------------------------------------------------------------------

    def _begin(self) -> _Begun:
        self._db.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        return _Begun(self._now(), self._touched(), self._settings())

    def _ended(self, begun: _Begun) -> bool:
        """COMMIT AND CHAIN begins another transaction at once, at another time."""
        return self._db.info.transaction_status is not TransactionStatus.INTRANS or self._now() != begun.at

    def _seen(self, statement: Statement, begun: _Begun) -> Facts:
        settings = {name for name, _ in self._settings() ^ begun.settings}
        self._db.execute(_OURS)
        locks = tuple(self._locks())
        reads, writes, changes = self._difference(begun.touched)
        after = self._look()
        facts = self._facts(statement, after)
        self._before = after
        held = {lock.relation for lock in locks if lock.mode == "ROW EXCLUSIVE" and lock.kind == "table"}
        changed = changes | (held & reads) | {table for table in held if self._read_to_change(table, locks)}
        return replace(
            facts,
            locks=locks,
            scans=tuple(sorted(reads)),
            writes=tuple(sorted(held | writes)),
            changes=tuple(sorted(changed)),
            settings=tuple(sorted(settings)),
        )

    def _read_to_change(self, table: str, locks: tuple[Lock, ...]) -> bool:
        """UPDATE and DELETE plan with the indexes of their table, under the same lock; INSERT does not."""
        indexes = {relation.name for relation in self._before.relations.values() if relation.kind == "index"}
        of = {lock.relation for lock in locks if lock.mode == "ROW EXCLUSIVE" and lock.relation in indexes}
        mine = {r.table for r in self._before.relations.values() if r.name in of}
        return any(self._before.relations[oid].name == table for oid in mine if oid in self._before.relations)

    def _facts(self, statement: Statement, after: Snapshot) -> Facts:
        files = rewritten(self._before, after)
        return Facts(
            statement.number,
            differences=differences(self._before, after),
            rewrites=files["table"],
            rebuilt=files["index"],
            restarted=files["sequence"],
        )

    def _look(self) -> Snapshot:
        self._db.execute(_OURS)
        return take(self._db, self._home)

    def _locks(self) -> Iterator[Lock]:
        """Of what was there before, the strongest of each."""
        strongest: dict[int, str] = {}
        order = list(KEEPS_OUT)
        for oid, mode in self._db.execute(catalogue.LOCKS.encode()).fetchall():
            name = _MODES.get(mode, mode)
            if oid in self._before.relations and name in order:
                kept = strongest.get(oid)
                strongest[oid] = name if kept is None else min(kept, name, key=order.index)
        for oid in sorted(strongest, key=lambda oid: (order.index(strongest[oid]), self._before.relations[oid].name)):
            relation = self._before.relations[oid]
            yield Lock(relation.name, strongest[oid], relation.kind)

    def _now(self) -> str:
        [(now,)] = self._db.execute("SELECT pg_catalog.now()::text").fetchall()
        return str(now)

    def _settings(self) -> frozenset[tuple[str, str]]:
        return frozenset(self._db.execute(catalogue.SETTINGS.encode()).fetchall())

    def _touched(self) -> Touched:
        return {oid: (read, made, changed) for oid, read, made, changed in self._db.execute(catalogue.TOUCHED.encode())}

    def _difference(self, before: Touched) -> tuple[set[str], set[str], set[str]]:
        """Tables of before that were read, written, changed."""
        found: tuple[set[str], set[str], set[str]] = (set(), set(), set())
        for oid, now in self._touched().items():
            relation = self._before.relations.get(oid)
            if relation is not None:
                for names, count, was in zip(found, now, before.get(oid, (0, 0, 0)), strict=True):
                    names.update([relation.name] if count > was else [])
        return found

    def _known(self, table: str) -> bool:
        return any(relation.name == table for relation in self._before.relations.values())

    # --- what goes wrong --------------------------------------------------------------------------------------

    @contextmanager
    def _watched(self) -> Iterator[None]:
        timer = Timer(self._patience, self._bark, (self._db.info.backend_pid,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _bark(self, pid: int) -> None:
        self._barked = True
        self._end(pid)

    def _settle(self) -> None:
        if not self._db.closed and self._db.info.transaction_status is not TransactionStatus.IDLE:
            with contextlib.suppress(psycopg.Error):
                self._db.execute("ROLLBACK")

    def _failure(self, statement: Statement, error: psycopg.Error) -> Failure:
        diagnosis, message = error.diag, said(error)
        position = int(diagnosis.statement_position or 1)
        place = statement.place(position - 1).rsplit(":", 2)
        hint = diagnosis.message_hint or ""
        lost = self._db.closed or self._db.broken
        if lost and not self._barked:
            raise error
        if error.sqlstate == "57014" or lost:
            message = "it does not come to an end, on tables without rows"
        elif error.sqlstate == "42501":
            hint = "the rehearsal has no rights beyond its own database; write it so that the owner of the tables may do it"
        return Failure(message, error.sqlstate or "", int(place[1]), int(place[2]), hint)


def _failed(statement: Statement, failure: Failure) -> Facts:
    return Facts(statement.number, error=failure)
