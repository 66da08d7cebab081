"""What the tests of written migrations share: to carry out their files, and two versions that write at the same time."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from greenroom.adapters.database.reading import split
from greenroom.adapters.database.target import Blocked, Session
from greenroom.adapters.database.writing import Draft
from greenroom.domain.schema import Dialect, Stage

NOWHERE = Path("migrations")


def statements(draft: Draft, stage: Stage) -> list[str]:
    script = draft.migration.scripts[stage]
    return [statement.sql for statement in split(script.text, Dialect.POSTGRES, script.file)]


def carry_out(session: Session, draft: Draft, stage: Stage, after_each: Callable[[], None] = lambda: None) -> None:
    """One transaction a statement, with a short lock timeout, and again where somebody stood in the way."""
    for sql in statements(draft, stage):
        for attempt in itertools.count():
            try:
                if "CONCURRENTLY" in sql:
                    session.run(sql)
                else:
                    with session.transaction(lock_timeout=0.2):
                        session.run(sql)
                break
            except Blocked:
                assert attempt < 50, sql
                time.sleep(random.uniform(0.005, 0.05))
        after_each()


def emptied(db: psycopg.Connection[Any]) -> None:
    """A database as good as new, in a tenth of the time."""
    for what, query in {
        "PUBLICATION": "SELECT quote_ident(pubname) FROM pg_publication",
        "EVENT TRIGGER": "SELECT quote_ident(evtname) FROM pg_event_trigger",
        "SCHEMA": "SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$)'",
    }.items():
        for (name,) in db.execute(query).fetchall():
            db.execute(f"DROP {what} {name} CASCADE")
    db.execute("CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO PUBLIC")


@dataclass
class Version:
    """An application that knows one name of the column. Each write raises the row's counter and tells what it left."""

    column: str
    connect: Callable[[], psycopg.Connection[Any]]
    prepared: bool = False
    written: dict[tuple[int, int], str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def run(self, seed: int, stop: threading.Event, rows: int) -> None:
        dice = random.Random(seed)
        with self.connect() as db:
            if self.prepared:
                db.prepare_threshold = 1
            for number in itertools.count():
                if stop.is_set():
                    return
                value = f"{self.column}-{seed}-{number}"
                try:
                    self.write(db, dice, dice.randint(1, rows), value)
                except psycopg.Error as error:
                    self.errors.append(f"{type(error).__name__}: {error}")

    def write(self, db: psycopg.Connection[Any], dice: random.Random, row: int, value: str) -> None:
        c = self.column
        match dice.randrange(6):
            case 0 | 1:
                sql = f"UPDATE users SET {c} = %s, version = version + 1 WHERE id = %s RETURNING id, version, {c}"
                found = db.execute(sql, [value, row]).fetchall()
            case 2:  # another column only, by an ORM that writes back what it read
                sets = f"{c} = {c}, other = %s, version = version + 1"
                sql = f"UPDATE users SET {sets} WHERE id = %s RETURNING id, version, {c}"
                found = db.execute(sql, [value, row]).fetchall()
            case 3:
                found = db.execute(
                    f"INSERT INTO users ({c}) VALUES (%s) RETURNING id, version, {c}", [value]
                ).fetchall()
            case 4:
                sql = (
                    f"INSERT INTO users AS u (id, {c}) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE"
                    f" SET {c} = EXCLUDED.{c}, version = u.version + 1 RETURNING id, version, {c}"
                )
                found = db.execute(sql, [row, value]).fetchall()
            case _:
                db.execute(
                    f"MERGE INTO users u USING (SELECT %s::int AS id, %s::text AS v) s ON u.id = s.id"
                    f" WHEN MATCHED THEN UPDATE SET other = s.v, version = version + 1"
                    f" WHEN NOT MATCHED THEN INSERT (id, {c}) VALUES (s.id, s.v)",
                    [row, value],
                )
                found = []
        for number, version, left in found:
            self.written[number, version] = left


@contextmanager
def at_once(*crews: tuple[Version, int], rows: int = 40) -> Iterator[None]:
    """So many threads of each version write until the block ends."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=version.run, args=(seed, stop, rows), daemon=True)
        for seed, version in enumerate(version for version, count in crews for _ in range(count))
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


def until(done: Callable[[], bool], what: str, patience: float = 30.0) -> None:
    end = time.monotonic() + patience
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.005)
