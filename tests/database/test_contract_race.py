"""Contract and rollback at the same moment, on a real server: never both, and what is left is of one piece."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from greenroom.adapters.database.contracting import ContractSettings
from greenroom.adapters.database.target import of
from greenroom.domain.model import Verdict
from greenroom.domain.opinion import Finding
from tests.database.old_column import AT_ONCE, EXPAND, NAME, Shop, opened
from tests.rigs import postgres
from tests.rigs.postgres import Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]
SOFT = ContractSettings(soft_drop="1h", evidence=())


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


def raced(shop: Shop, delay: float) -> tuple[Finding, Finding, float]:
    """What each says. `delay`: seconds by which one begins later, negative: the contract."""
    start, said, took = threading.Barrier(2), {}, [0.0]

    def contract() -> None:
        start.wait()
        time.sleep(max(0.0, -delay))
        began = time.monotonic()
        said["contract"] = shop.contract()
        took[0] = time.monotonic() - began

    def rollback() -> None:
        start.wait()
        time.sleep(max(0.0, delay))
        said["rollback"] = shop.hold()

    threads = [threading.Thread(target=contract), threading.Thread(target=rollback)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said["contract"], said["rollback"], took[0]


Db = psycopg.Connection[Any]


def again(db: Db, columns: set[str], first: bool) -> None:
    """As before the race. `first`: nobody has ever written the row in which they meet."""
    if "greenroom_gone_old" in columns:
        for (undo,) in db.execute("SELECT undo FROM greenroom.hidden").fetchall():
            for sql in json.loads(undo):
                db.execute(sql)
    elif "old" not in columns:
        db.execute("ALTER TABLE users ADD old text NOT NULL DEFAULT ''")
        db.execute(EXPAND[EXPAND.index("CREATE FUNCTION") :])
    db.execute("DELETE FROM greenroom.statement; DELETE FROM greenroom.hidden")
    db.execute("DELETE FROM greenroom.release" if first else "UPDATE greenroom.release SET state = 'open'")
    db.execute("UPDATE greenroom.migration SET state = 'pending', done_at = NULL WHERE stage = 'contract'")


def seen(db: Db) -> tuple[str, str, set[str]]:
    [(state, stand, columns)] = db.execute(
        "SELECT (SELECT state FROM greenroom.release), (SELECT state FROM greenroom.migration WHERE stage = 'contract'),"
        " (SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0"
        " AND NOT attisdropped)"
    ).fetchall()
    return state, stand, set(columns)


def race(shop: Shop, times: int, seed: int) -> Counter[str]:
    chance, usual, won = random.Random(seed), 0.1, Counter[str]()
    shop.order = replace(shop.order, overrides={**shop.order.overrides, "old-sessions": "they are all ours"})
    with shop.connect() as db:
        for number in range(times):
            shop.settings = SOFT if number % 2 else AT_ONCE
            contract, rollback, took = raced(shop, chance.uniform(-0.2, 1.2) * usual)
            usual = 0.9 * usual + 0.1 * took
            state, stand, columns = seen(db)
            taken, back = stand in ("done", "soft"), rollback.verdict is Verdict.PASS
            assert taken is not back, (number, contract, rollback)
            if back:
                assert (state, stand, columns) == ("going_back", "pending", {"id", "name", "old", "new"})
                assert "going-back" in contract.reason
            elif number % 2:
                assert (state, stand, columns) == ("contracting", "soft", {"id", "name", "greenroom_gone_old", "new"})
            else:
                assert (state, stand, columns) == ("contracted", "done", {"id", "name", "new"})
            assert back or NAME in rollback.reason
            won["rollback" if back else "contract"] += 1
            again(db, columns, first=number % 5 == 4)
    return won


def by_socket(cluster: Cluster) -> Shop:
    """Without the arithmetic of a password, which takes longer than all the rest."""
    shop = opened(cluster)
    shop.target = of(f"postgresql://ann@/{shop.name}?host={cluster.folder}&port={cluster.port}")
    return shop


def test_never_both(cluster: Cluster) -> None:
    won = race(by_socket(cluster), 60, seed=7)
    assert min(won["contract"], won["rollback"]) > 0, won


@pytest.mark.soak
def test_never_both_a_thousand_times(cluster: Cluster) -> None:
    won = race(by_socket(cluster), 1000, seed=1)
    assert min(won["contract"], won["rollback"]) > 100, won
