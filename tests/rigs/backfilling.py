"""Backfills for tests: a table that wants one, the same work in a process that can be killed, writers meanwhile.

Every change of a row adds one to its `version`, so that nothing can be changed twice, or lost, unseen.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from greenroom.adapters.database import target as targets
from greenroom.adapters.database.backfill import BackfillSettings, Outcome, backfill
from greenroom.adapters.database.ledger import Filling, Ledger
from greenroom.domain.schema import Migration, Order, Script, Stage
from tests.rigs.postgres import Cluster

SERVICE, NAME = "shop", "0007_new_preference"
UPDATE = "UPDATE users SET new_preference = old_preference;"
PATIENCE = 30.0
ROOT = Path(__file__).parents[2]

COUNTED = """
CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.version := OLD.version + 1; RETURN NEW; END $$;
CREATE TRIGGER count_change BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION count_change();
"""
SYNC = """
CREATE FUNCTION keep_equal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.new_preference IS NULL THEN NEW.new_preference := NEW.old_preference;
        ELSE NEW.old_preference := NEW.new_preference; END IF;
    ELSIF NEW.new_preference IS DISTINCT FROM OLD.new_preference THEN NEW.old_preference := NEW.new_preference;
    ELSE NEW.new_preference := NEW.old_preference; END IF;
    RETURN NEW; END $$;
CREATE TRIGGER zzzz_keep_equal BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION keep_equal();
"""


class Shop:
    """A database with a table `users` of so many rows, and what happens to it. One after the other has the same, emptied,
    since that is quicker; `apart`: one of its own.
    """

    _used: ClassVar[dict[Cluster, str]] = {}

    def __init__(
        self, cluster: Cluster, rows: int = 0, key: str = "id bigint PRIMARY KEY", *, apart: bool = False
    ) -> None:
        self.cluster = cluster
        if apart or cluster not in self._used:
            self.name = cluster.database()
            self._used.setdefault(cluster, self.name)
        else:
            self.name = self._used[cluster]
            self.sql("DROP SCHEMA IF EXISTS greenroom CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            self.sql("GRANT USAGE ON SCHEMA public TO PUBLIC")
        self.url = cluster.url(self.name)
        self.said: list[str] = []
        self.sql(
            f"CREATE TABLE users ({key}, old_preference text, new_preference text, version int NOT NULL DEFAULT 0)"
        )
        self.sql(COUNTED)
        if rows:
            self.sql(
                f"INSERT INTO users (id, old_preference) SELECT g, 'likes ' || g FROM generate_series(1, {rows}) g"
            )
        self.sql("ANALYZE users")

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        with self.cluster.connect(self.name) as db:
            cursor = db.execute(text)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def run(
        self,
        text: str = UPDATE,
        *,
        settings: BackfillSettings | None = None,
        file: str = "backfill.sql",
        sleep: Callable[[float], None] = time.sleep,
    ) -> Outcome:
        """Everything, here and now. `sleep` is called between batches."""
        target = targets.of(self.url)
        given = settings or BackfillSettings(max_batch=100)
        return backfill(target, order(), [migration(text, file)], given, self.said.append, sleep=sleep)

    def row(self) -> Filling | None:
        """The checkpoint, as it is now."""
        if self.sql("SELECT to_regclass('greenroom.ledger') IS NULL") == [(True,)]:
            return None
        session = targets.of(self.url).open("test")
        try:
            return Ledger(session, SERVICE).filling(NAME, 1)
        finally:
            session.close()

    def wrong(self) -> int:
        return int(self.sql("SELECT count(*) FROM users WHERE new_preference IS DISTINCT FROM old_preference")[0][0])

    def versions(self) -> dict[int, int]:
        """How many rows were changed how often."""
        return dict(self.sql("SELECT version, count(*)::int FROM users GROUP BY 1"))  # type: ignore[arg-type]

    def process(self, **settings: Any) -> subprocess.Popen[bytes]:
        """The same work by another process, which may be killed."""
        given = {"url": self.url, "settings": {"max_batch": 100, **settings}}
        environment = {**os.environ, "BACKFILL": json.dumps(given)}
        log = (self.cluster.folder / "runner.log").open("ab")
        with log:
            command = [sys.executable, "-m", "tests.rigs.backfilling"]
            return subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def log(self) -> str:
        return (self.cluster.folder / "runner.log").read_text()


def migration(text: str = UPDATE, file: str = "backfill.sql") -> Migration:
    return Migration(NAME, {Stage.BACKFILL: Script(f"migrations/{NAME}/{file}", text)})


def order(epoch: int = 1) -> Order:
    return Order(SERVICE, "r-1", "42", "ann", epoch, time.time(), running="41")


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"waited {PATIENCE:g} s: {what}"
        time.sleep(0.01)


def main() -> int:
    given = json.loads(os.environ["BACKFILL"])
    settings = BackfillSettings.model_validate(given["settings"])
    outcome = backfill(targets.of(given["url"]), order(), [migration()], settings, lambda text: print(text, flush=True))
    print(outcome.reason, flush=True)
    return int(not outcome.done)


if __name__ == "__main__":
    sys.exit(main())
