"""A backfill never works without its lock."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from greenroom.adapters.database.backfill.grammar import server
from greenroom.adapters.database.backfill.link import Link
from greenroom.adapters.database.ledger import Ledger
from greenroom.adapters.database.target import Blocked, Target, of
from greenroom.domain.schema import Dialect


def shop(folder: Path) -> Target:
    with sqlite3.connect(folder / "shop.db") as db:
        db.execute("CREATE TABLE users (id INTEGER PRIMARY KEY)")
    return of(f"sqlite:///{folder}/shop.db")


def test_a_session_that_did_not_get_the_lock_is_not_used(tmp_path: Path) -> None:
    refused = iter([True, True, False])
    locked: list[Ledger] = []

    def lock(ledger: Ledger) -> None:
        if next(refused):
            raise Blocked("another runner has it")
        ledger.make()
        locked.append(ledger)

    link = Link(shop(tmp_path), "shop", server(Dialect.SQLITE), 10, lambda _: None, lock, sleep=lambda _: None)
    try:
        found = link.keep(lambda: (link.session, link.ledger.migrations()))
        assert found == (locked[0].session, [])
        assert len(locked) == 1
    finally:
        link.close()


def test_without_the_lock_it_gives_up_and_says_why(tmp_path: Path) -> None:
    def lock(ledger: Ledger) -> None:
        raise Blocked("another runner has it")

    link = Link(shop(tmp_path), "shop", server(Dialect.SQLITE), 3, lambda _: None, lock, sleep=lambda _: None)
    with pytest.raises(Blocked, match="another runner has it"):
        link.keep(lambda: link.session)
