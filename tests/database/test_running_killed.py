"""Runner or server are killed, at every call and in the middle of one; two runners at once: each statement is done once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from greenroom.adapters.database.ledger import Ledger, Outdated
from greenroom.adapters.database.running import Outcome, alone, expand
from greenroom.domain.schema import Migration, Stage, Stand
from tests.rigs import postgres
from tests.rigs.migrating import SERVICE, Base, Killed, Mortal, migration, order, until
from tests.rigs.postgres import Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]
ROOT = Path(__file__).parents[2]

FIRST = migration(
    "0007_a",
    expand="""
ALTER TABLE users ADD COLUMN new text;
INSERT INTO ran VALUES ('first');
CREATE INDEX CONCURRENTLY users_new ON users (new);
DROP INDEX CONCURRENTLY users_old;
""",
    contract="ALTER TABLE users DROP COLUMN old",
)
SECOND = migration("0008_b", expand="INSERT INTO ran VALUES ('second')")
BUILD = migration(expand="CREATE INDEX CONCURRENTLY users_built ON users (old); INSERT INTO ran VALUES ('built');")
RUNNERS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'greenroom runner%'"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


@pytest.fixture
def base(cluster: Cluster) -> Iterator[Base]:
    with Base.lent(cluster, 50) as made:
        prepare(made)
        yield made


def prepare(base: Base) -> None:
    base.sql("DROP SCHEMA IF EXISTS greenroom CASCADE; DROP TABLE IF EXISTS users, ran")
    base.sql("CREATE TABLE users (id bigint PRIMARY KEY, old text); INSERT INTO users SELECT generate_series(1, 50)")
    base.sql("CREATE INDEX users_old ON users (old); CREATE TABLE ran (what text)")


def exact(base: Base) -> None:
    """Everything once, and the ledger says so."""
    assert base.columns() == ["id", "old", "new"]
    assert base.sql("SELECT what FROM ran ORDER BY what") == [("first",), ("second",)]
    assert base.indexes() == {"users_pkey": True, "users_new": True}
    with base.ledger() as ledger:
        assert {(row.name, row.stage): row.state for row in ledger.migrations()} == {
            ("0007_a", Stage.EXPAND): Stand.DONE,
            ("0007_a", Stage.CONTRACT): Stand.PENDING,
            ("0008_b", Stage.EXPAND): Stand.DONE,
        }
        done = ledger.statements("0007_a", Stage.EXPAND)
        assert {number: row.state for number, row in done.items()} == dict.fromkeys(range(1, 5), Stand.DONE)


def carried_out(target: Mortal) -> Outcome:
    return expand(target, order(), [FIRST, SECOND], lambda _: None, sleep=lambda _: None)


def calls(base: Base, *, every: bool = False) -> int:
    unhurt = Mortal(base.url, every=every)
    carried_out(unhurt)
    exact(base)
    return unhurt.calls


def die_at(base: Base, at: int, *, every: bool = False) -> None:
    with pytest.raises(Killed):
        carried_out(Mortal(base.url, at, every=every))


def test_killed_after_everything_that_leaves_a_trace(base: Base) -> None:
    """The server has done it, and nobody was there to hear so."""
    whole = calls(base)
    assert whole > 20
    for at in range(1, whole + 1):
        prepare(base)
        die_at(base, at)
        base.expand(FIRST, SECOND)
        exact(base)


def test_the_line_is_cut_after_everything_that_leaves_a_trace(base: Base) -> None:
    """The runner lives on, and looks at what was done before it repeats anything."""
    for at in range(1, calls(base) + 1):
        prepare(base)
        carried_out(Mortal(base.url, at, survives=True))
        exact(base)


@pytest.mark.soak
def test_killed_after_every_call_and_again(base: Base) -> None:
    """Also after those that only read; the second one dies early, late, and where the first one did."""
    whole = calls(base, every=True)
    for at in range(1, whole + 1):
        for again in (at // 2, at, at + 7):
            prepare(base)
            die_at(base, at, every=True)
            with contextlib.suppress(Killed):
                carried_out(Mortal(base.url, again, every=True))
            base.expand(FIRST, SECOND)
            exact(base)


# --- real processes ------------------------------------------------------------------------------------------------

_PROGRAM = """
import json, sys
from greenroom.adapters.database.running import expand
from greenroom.adapters.database.target import of
from greenroom.domain.schema import Migration, Order, Script, Stage
given = json.loads(sys.argv[1])
scripts = {Stage(stage): Script(**script) for stage, script in given["scripts"].items()}
expand(of(given["url"]), Order(**given["order"]), [Migration(given["name"], scripts)], lambda text: None)
"""


def process(base: Base, one: Migration, epoch: int = 1) -> subprocess.Popen[bytes]:
    given = {
        "url": base.url,
        "order": asdict(order(epoch=epoch)),
        "name": one.name,
        "scripts": {stage: asdict(script) for stage, script in one.scripts.items()},
    }
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, json.dumps(given)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def killed(runner: subprocess.Popen[bytes]) -> None:
    runner.send_signal(signal.SIGKILL)
    runner.wait()


def building(base: Base) -> list[tuple[object, ...]]:
    return base.sql(
        "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%' AND wait_event_type = 'Lock'"
    )


def built(base: Base) -> None:
    assert base.indexes()["users_built"] is True
    assert base.sql("SELECT what FROM ran") == [("built",)]


def test_pitfall_7_a_runner_that_is_killed_in_a_build_and_the_next_one(base: Base) -> None:
    """The server goes on with it alone; the next runner waits for its end, without being in its way."""
    with base.application() as other:
        with other.transaction():
            other.execute("UPDATE users SET old = 'x' WHERE id = 1")
            runner = process(base, BUILD)
            until(lambda: building(base), "the build waits for the transaction")
            killed(runner)
            work = threading.Thread(target=base.expand, args=[BUILD])
            work.start()
            until(lambda: any("waits for another runner" in text for text in base.said), base.said)
            assert building(base)
        work.join(30.0)
    assert not work.is_alive()
    built(base)
    assert any("CREATE INDEX CONCURRENTLY users_built" in text for text in base.said)


def test_a_build_that_is_cancelled_is_begun_again(base: Base) -> None:
    with base.application() as other:
        with other.transaction():
            other.execute("UPDATE users SET old = 'x' WHERE id = 1")
            runner = process(base, BUILD)
            until(lambda: building(base), "the build waits for the transaction")
            killed(runner)
            [(pid,)] = building(base)
            base.sql(f"SELECT pg_terminate_backend({pid})")
            until(lambda: not base.sql(RUNNERS), "the session has ended")
        assert base.indexes()["users_built"] is False
    base.expand(BUILD)
    built(base)


def test_a_server_that_is_killed_in_a_build(base: Base) -> None:
    """The same runner goes on when the server is back."""
    other = base.cluster.connect(base.name)
    other.execute("BEGIN")
    other.execute("UPDATE users SET old = 'x' WHERE id = 1")
    runner = process(base, BUILD)
    until(lambda: building(base), "the build waits for the transaction")
    base.cluster.stop(signal.SIGQUIT)
    other.close()
    base.cluster.start()
    assert runner.wait(60.0) == 0
    built(base)


def test_a_server_that_is_killed_in_a_transaction(base: Base) -> None:
    base.sql("CREATE FUNCTION hang() RETURNS int LANGUAGE sql AS $$ SELECT 1 FROM pg_sleep(60) $$")
    runner = process(
        base, migration(expand="INSERT INTO ran VALUES ('one'); INSERT INTO ran SELECT 'two' FROM hang();")
    )
    until(lambda: base.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), "it hangs")
    base.cluster.stop(signal.SIGQUIT)
    base.cluster.start()
    base.sql("CREATE OR REPLACE FUNCTION hang() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    until(lambda: runner.poll() is not None or _free(base), "it is at work again")
    assert runner.wait(60.0) == 0
    assert base.sql("SELECT what FROM ran ORDER BY what") == [("one",), ("two",)]


def _free(base: Base) -> bool:
    """It may have begun anew before the function was mended."""
    return bool(base.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))


def test_two_runners_at_once(base: Base) -> None:
    """Four, in processes of their own."""
    runners = [process(base, FIRST) for _ in range(4)]
    assert [runner.wait(60.0) for runner in runners] == [0, 0, 0, 0]
    base.expand(FIRST, SECOND)
    exact(base)


def test_a_runner_of_an_older_lease_stops(base: Base) -> None:
    """It waits for a lock when somebody with a newer lease comes: its next attempt is refused, and the other goes on."""
    with base.application() as other:
        with other.transaction():
            other.execute("LOCK TABLE users")
            failed: list[BaseException] = []

            def old() -> None:
                try:
                    base.expand(FIRST, SECOND, given=order(epoch=5))
                except BaseException as error:
                    failed.append(error)

            thread = threading.Thread(target=old)
            thread.start()
            until(lambda: any("tries again" in text for text in base.said), base.said)
            newer = threading.Thread(target=base.expand, args=[FIRST, SECOND], kwargs={"given": order(epoch=6)})
            newer.start()
            until(lambda: base.sql("SELECT 1 FROM greenroom.release WHERE epoch = 6"), "the newer lease is claimed")
        thread.join(30.0)
        newer.join(30.0)
    assert [type(error) for error in failed] in ([Outdated], [])
    exact(base)


def test_a_runner_that_was_stopped_loses_its_place(base: Base) -> None:
    """Its process hangs, and its session would hold the lock for ever."""
    frozen = base.target.open("runner frozen")
    ledger = Ledger(frozen, SERVICE)
    ledger.make()
    alone.take(ledger, order(), base.said.append)
    session = base.target.open("runner new")
    with session.transaction():
        Ledger(session, SERVICE).claim(order(epoch=3))
    with pytest.raises(Outdated):
        ledger.fence(order(epoch=1))
    began = time.monotonic()
    alone.take(Ledger(session, SERVICE), order(epoch=3), base.said.append, silent_after=0.3)
    assert time.monotonic() - began >= 0.3
    assert any("ended the session" in text for text in base.said)
    session.close()
    frozen.close()
