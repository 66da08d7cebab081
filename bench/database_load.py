"""One version of an application that works with `users`: so many operations a second, sent on time, each of them logged.

    python -m bench.database_load COLUMN NAME LOG ROWS       (the address in DATABASE_URL)

Lines on its standard input say the rate: `150`; it ends with its input. Six of ten operations change a row, one adds one,
three read. Every change adds one to the row's `version` and keeps what it was: so the log knows what each version of each
row must hold, whichever application wrote it. Latency counts from the moment when the operation was due.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

import psycopg

WORKERS = 8
HOT = 2_000
"""Every fifth operation goes to one of so many rows, so that both versions meet."""


class Application:
    def __init__(self, url: str, column: str, name: str, log: TextIO, rows: int) -> None:
        self.url, self.column, self.name, self.log, self.rows = url, column, name, log, rows
        self.rate, self.over = 0.0, threading.Event()
        self.next, self.lock = time.monotonic(), threading.Lock()
        self.ended = 0

    def due(self) -> float | None:
        """When the next operation is, None if there is none for now."""
        with self.lock:
            if self.rate <= 0:
                self.next = time.monotonic()
                return None
            self.next += 1 / self.rate
            return self.next

    def set(self, rate: float) -> None:
        with self.lock:
            self.rate, self.next = rate, time.monotonic()

    def work(self, seed: int) -> None:
        chance = random.Random(f"{self.name} {seed}")
        db = self.connect()
        while not self.over.is_set():
            due = self.due()
            if due is None:
                self.over.wait(0.02)
                continue
            time.sleep(max(0.0, due - time.monotonic()))
            line: dict[str, Any] = {"due": due}
            try:
                if db.closed:
                    db = self.connect()
                self.operate(db, chance, line)
            except psycopg.Error as error:
                line["error"] = f"{error.sqlstate or ''} {str(error).splitlines()[0] if str(error) else ''}".strip()
            line["took"] = time.monotonic() - due
            with self.lock:
                self.log.write(json.dumps(line) + "\n")
        db.close()
        with self.lock:
            self.ended += 1

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, autocommit=True, application_name=self.name)

    def operate(self, db: psycopg.Connection[Any], chance: random.Random, line: dict[str, Any]) -> None:
        kind, key = chance.random(), chance.randint(1, HOT if chance.random() < 0.2 else self.rows)
        value = f"{self.name} {chance.getrandbits(60):x}"
        column = self.column
        if kind < 0.6:
            line |= {"kind": "change", "id": key, "value": value}
            sql = f"UPDATE users SET {column} = %s, version = version + 1 WHERE id = %s RETURNING version"
            line["version"] = self.one(db, sql, [value, key])[0]
        elif kind < 0.7:
            line |= {"kind": "add", "value": value}
            line["id"], line["version"] = self.one(
                db, f"INSERT INTO users ({column}) VALUES (%s) RETURNING id, version", [value]
            )
        else:
            line |= {"kind": "read", "id": key}
            line["value"], line["version"] = self.one(db, f"SELECT {column}, version FROM users WHERE id = %s", [key])

    @staticmethod
    def one(db: psycopg.Connection[Any], sql: str, values: list[Any]) -> Any:
        return db.execute(sql, values).fetchone()  # type: ignore[arg-type]


def main() -> int:
    column, name, path, rows = sys.argv[1:]
    with Path(path).open("w", buffering=1 << 16) as log:
        application = Application(os.environ["DATABASE_URL"], column, name, log, int(rows))
        workers = [threading.Thread(target=application.work, args=(i,)) for i in range(WORKERS)]
        for worker in workers:
            worker.start()
        print("ready", flush=True)
        for line in sys.stdin:
            application.set(float(line))
        application.over.set()
        for worker in workers:
            worker.join()
    return int(application.ended != WORKERS)


if __name__ == "__main__":
    sys.exit(main())
