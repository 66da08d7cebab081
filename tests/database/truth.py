"""What a change of the schema does to those who use the database meanwhile, observed on a real PostgreSQL.

The change runs as the runner would run it, a transaction a statement, between two rounds of everything that the running
version does: on a connection that has prepared it all before, and on a fresh one. Nothing here reads the SQL.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql as compose
from psycopg.pq import TransactionStatus

from greenroom.domain.schema import Stage
from tests.database.corpus.cases import Application, Case
from tests.database.in_step import InStep
from tests.database.picture import PATIENCE, Picture, index_less, relations, work
from tests.rigs.postgres import Cluster

READERS = frozenset({"AccessExclusiveLock"})
WRITERS = READERS | {"ShareLock", "ShareRowExclusiveLock", "ExclusiveLock"}
_SETTINGS = (
    "SELECT current_user, current_setting('lock_timeout'), current_setting('statement_timeout'), "
    "current_setting('search_path'), current_setting('session_replication_role'), current_setting('row_security'), "
    "current_setting('idle_in_transaction_session_timeout'), current_setting('transaction_isolation')"
)
_PLACE = "SET timezone = 'Europe/Zurich'; SET lock_timeout = '10s'; SET statement_timeout = '60s'"
_LOCKS = "SELECT relation::bigint, mode FROM pg_locks WHERE pid = %s AND locktype = 'relation'"
_OUTSIDE = "25001"
"""`active_sql_transaction`: cannot run inside a transaction."""
Hazards = dict[str, set[str]]


class Bench:
    """The base as a template; each case gets a copy."""

    def __init__(self, cluster: Cluster, base: str, application: Application) -> None:
        self.cluster = cluster
        self.application = application
        with cluster.connect("postgres") as db:
            if not db.execute("SELECT FROM pg_roles WHERE rolname = 'app'").fetchall():
                db.execute("CREATE ROLE app LOGIN")
        self.template = cluster.database()
        with self._owner(self.template) as db:
            db.execute(base)
            self.picture = Picture.of(db)
        self._maker = ThreadPoolExecutor(1)  # the next copy is made, and the last one dropped, while a case is observed
        self._next = self._maker.submit(self._copy)

    def end(self) -> None:
        self._maker.shutdown()

    def _copy(self) -> str:
        return self.cluster.database(f"TEMPLATE {self.template} STRATEGY FILE_COPY")

    def _owner(self, database: str) -> psycopg.Connection[Any]:
        """At a place whose clock is not UTC, which would hide rewrites."""
        owner = self.cluster.connect(database)
        owner.execute(_PLACE)
        return owner

    def app(self, database: str) -> psycopg.Connection[Any]:
        where = {"host": str(self.cluster.folder), "port": self.cluster.port, "dbname": database}
        return psycopg.connect(**where, user="app", prepare_threshold=None)

    @contextmanager
    def copy(self) -> Iterator[str]:
        name = self._next.result()
        self._next = self._maker.submit(self._copy)
        try:
            yield name
        finally:
            self._maker.submit(self.cluster.drop, name)

    def observe(self, case: Case) -> Mapping[str, tuple[str, ...]]:
        with self.copy() as name, self._owner(name) as owner, self.app(name) as user:
            for statement in (*case.schema, *case.applied):
                owner.execute(statement)
            before = Picture.of(owner) if case.schema or case.applied else self.picture
            hazards: Hazards = defaultdict(set)
            used = Use({**self.application.serving(case.stage), **case.old}, self.application, user)
            used.begin()
            step = InStep(case, used.statements, self._added(before), _asking(owner), psycopg.Error)
            mover = Mover(owner, before, self, name, case.stage)
            try:
                mover.run(case.sql, hazards, used)
            except psycopg.Error as error:
                hazards["fails"].add(str(error.sqlstate))
            self._after(case, owner, name, before, used, hazards)
            hazards["stale"] |= step.stale()
            return {kind: tuple(sorted(found)) for kind, found in sorted(hazards.items()) if found}

    def _added(self, before: Picture) -> dict[str, list[str]]:
        """What is there beside the base, before the change."""
        found: dict[str, list[str]] = defaultdict(list)
        for oid, column in before.columns.keys() - self.picture.columns.keys():
            found[before.names[oid]].append(column)
        return found

    def _after(
        self, case: Case, owner: psycopg.Connection[Any], name: str, before: Picture, used: Use, hazards: Hazards
    ) -> None:
        owner.execute("RESET ROLE")
        owner.execute("RESET ALL")
        owner.execute(_PLACE)
        after = Picture.of(owner)
        for lost in before.lost(after, owner):
            if case.stage is not Stage.CONTRACT or not _named(lost, case.sql):
                hazards["loses"].add(lost)
        hazards["invalid"] |= after.invalid - before.invalid
        with self.app(name) as fresh:
            used.again(fresh, hazards)
            if case.stage is not Stage.CONTRACT:
                used.unguarded(fresh, hazards)
                if before.indexes != after.indexes:
                    hazards["slows"] |= index_less(owner, used.quick)
            for sql in case.new.values():
                try:
                    fresh.execute(sql)
                except psycopg.Error as error:
                    hazards["fails"].add(f"new: {error.sqlstate}")
                    fresh.rollback()
            fresh.commit()
            if case.new:
                used.again(fresh, hazards, answers=False)
                hazards["surprises"] |= before.nulls(after, owner)


def _asking(owner: psycopg.Connection[Any]) -> Callable[[str], Any]:
    def ask(sql: str) -> Any:
        done = owner.execute(sql)
        return done.fetchall() if done.description else None

    return ask


def _named(lost: str, statements: tuple[str, ...]) -> bool:
    """A contract takes what it names: the column, or the table as a whole."""
    table, _, column = lost.rpartition(".")
    plain = [sql.replace("IF EXISTS ", "") for sql in statements]
    return any(f"DROP TABLE {table}" in sql or (table in sql and f"DROP COLUMN {column}" in sql) for sql in plain)


class Use:
    """A version at work: `begin` on the connection that was there before, `again` on it and on a fresh one."""

    def __init__(self, statements: Mapping[str, str], application: Application, user: psycopg.Connection[Any]) -> None:
        reads = {name: sql for name, sql in statements.items() if sql.startswith("SELECT")}
        self.statements = {**reads, **statements}  # reads come first, so that no write changes their answers
        self.prepared = {name: f'EXECUTE "{name}"' for name in self.statements}
        self.guards = application.guards
        self.quick = {name: statements[name] for name in application.quick if name in statements}
        self.user = user
        self.answers: dict[str, Any] = {}

    def begin(self) -> None:
        self.user.execute("; ".join(f'PREPARE "{name}" AS {sql}' for name, sql in self.statements.items()))
        self.user.commit()
        self.answers, failed = self._round(self.user, self.prepared)
        assert not any(failed.values()), f"fails before the change: {failed}"

    def again(self, fresh: psycopg.Connection[Any], hazards: Hazards, answers: bool = True) -> None:
        self.meanwhile(hazards, answers)
        self._look(fresh, self.statements, hazards, answers)

    def meanwhile(self, hazards: Hazards, answers: bool = False) -> None:
        self._look(self.user, self.prepared, hazards, answers)

    def _look(
        self, connection: psycopg.Connection[Any], statements: Mapping[str, str], hazards: Hazards, answers: bool
    ) -> None:
        found, failed = self._round(connection, statements)
        for kind, names in failed.items():
            hazards[kind] |= names
        if answers:
            hazards["answers"] |= {name for name, rows in found.items() if rows != self.answers[name]}

    def _round(
        self, connection: psycopg.Connection[Any], statements: Mapping[str, str]
    ) -> tuple[dict[str, Any], Hazards]:
        """Everything in one transaction, which is taken back; one by one, where something in it fails."""
        try:
            answers = {name: self._rows(connection, name, sql) for name, sql in statements.items()}
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            return answers, {}
        except psycopg.Error:
            connection.rollback()
        finally:
            connection.rollback()
        answers = {}
        failed: Hazards = defaultdict(set)
        for name, sql in statements.items():
            try:
                answers[name] = self._rows(connection, name, sql)
                connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            except psycopg.Error as error:
                failed["replans" if "cached plan" in str(error) else "breaks"].add(name)
            connection.rollback()
        return answers, failed

    def _rows(self, connection: psycopg.Connection[Any], name: str, sql: str) -> Any:
        done = connection.execute(sql)
        return sorted(done.fetchall(), key=repr) if self.statements[name].startswith("SELECT") else None

    def unguarded(self, fresh: psycopg.Connection[Any], hazards: Hazards) -> None:
        for name, sql in self.guards.items():
            try:
                fresh.execute(sql)
                hazards["unguards"].add(name)
            except (psycopg.errors.IntegrityError, psycopg.errors.DataError):
                pass
            except psycopg.Error:
                pass  # the table is not there any more, or the like: `breaks` has it
            fresh.rollback()


class Mover:
    """Carries the change out, a transaction a statement, and looks at its locks and its work before each ends."""

    def __init__(self, owner: psycopg.Connection[Any], before: Picture, bench: Bench, name: str, stage: Stage) -> None:
        self.owner = owner
        self.before = before
        self.bench = bench
        self.name = name
        self.stage = stage

    def run(self, statements: tuple[str, ...], hazards: Hazards, used: Use) -> None:
        was = self.owner.execute(_SETTINGS).fetchall()
        for number, sql in enumerate(statements):
            if number:  # the running version does not stop between two statements
                used.meanwhile(hazards)
            try:
                self._inside(sql, was, hazards)
            except psycopg.Error as error:
                self.owner.execute("ROLLBACK")
                if error.sqlstate != _OUTSIDE:
                    raise
                self._outside(sql, hazards)

    def _inside(self, sql: str, was: Any, hazards: Hazards) -> None:
        self.owner.execute("BEGIN")
        done_before = work(self.owner)
        files = relations(self.owner)
        self.owner.execute(sql)
        if self.owner.info.transaction_status != TransactionStatus.INTRANS:
            hazards["session"].add("ends the transaction")
            self.owner.execute("BEGIN")
        if self.owner.execute(_SETTINGS).fetchall() != was:
            hazards["session"].add("changes settings")
        locks = self.owner.execute(_LOCKS, [self.owner.info.backend_pid]).fetchall()
        done = {
            oid: tuple(n - o for n, o in zip(new, done_before.get(oid, (0, 0)), strict=True))
            for oid, new in work(self.owner).items()
        }
        self._weigh(locks, done, files, relations(self.owner), hazards)
        self.owner.execute("COMMIT")

    def _weigh(self, locks: Any, done: Any, files: Any, now: Any, hazards: Hazards) -> None:
        """A lock matters where the same transaction works through a table that had rows before the change."""
        known = self.before.rows
        read = {oid for oid, (rows, _) in done.items() if oid in known and rows >= known[oid] / 2 > 0}
        written = {oid for oid, (_, rows) in done.items() if oid in known and rows >= known[oid] / 2 > 0}
        rewritten = {oid for oid, file in now.items() if oid in self.before.files and files.get(oid, file) != file}
        rewritten = {oid for oid in rewritten if self.before.weight(oid)}
        hazards["rewrites"] |= {self.before.names[oid] for oid in rewritten}
        if read | written | rewritten:
            for oid, mode in locks:
                if known.get(oid):
                    self._blocked(oid, mode, hazards)
        if self.stage is not Stage.BACKFILL:  # there it goes in small steps
            hazards["blocks_writers"] |= {self.before.names[oid] for oid in written}

    def _blocked(self, oid: int, mode: str, hazards: Hazards) -> None:
        if mode in READERS:
            hazards["blocks_readers"].add(self.before.names[oid])
        if mode in WRITERS and not self.before.derived(oid):
            hazards["blocks_writers"].add(self.before.names[oid])

    def _outside(self, sql: str, hazards: Hazards) -> None:
        """Where somebody's transaction is open on every table, so that it has to wait and its locks can be seen."""
        files = relations(self.owner)
        pid = self.owner.info.backend_pid
        seen: set[tuple[int, str]] = set()
        with self.bench._owner(self.name) as looker, self.bench.app(self.name) as writer:
            for table in self.before.tables():
                writer.execute(compose.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(compose.Identifier(table)))
            errors: list[psycopg.Error] = []
            thread = threading.Thread(target=_run, args=(self.owner, sql, errors))
            thread.start()
            end = time.monotonic() + PATIENCE
            waits = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
            while thread.is_alive() and time.monotonic() < end:
                seen.update(looker.execute(_LOCKS, [pid]).fetchall())
                if looker.execute(waits, [pid]).fetchall() == [(True,)]:
                    break
                time.sleep(0.001)
            seen.update(looker.execute(_LOCKS, [pid]).fetchall())
            writer.rollback()
            thread.join(PATIENCE)
        self._weigh(seen, {}, files, relations(self.owner), hazards)
        if errors:
            raise errors[0]


def _run(owner: psycopg.Connection[Any], sql: str, errors: list[psycopg.Error]) -> None:
    try:
        owner.execute(sql)
    except psycopg.Error as error:
        errors.append(error)
