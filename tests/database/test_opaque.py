"""A step that the tool carries out itself: what is recorded of it. Meanwhile our own session does not fall silent: whoever
is silent is taken for dead.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from greenroom.adapters.database.ledger import Ledger
from greenroom.adapters.database.settings import SqlSettings
from greenroom.adapters.database.target import Lost, of
from greenroom.adapters.migrators.opaque import carry_out, speaking
from greenroom.domain.model import Verdict
from greenroom.domain.schema import Stage, Stand
from tests.rigs.migrating import migration, order


class Listened:
    """Only what `speaking` uses of a session."""

    def __init__(self, answers: int) -> None:
        self.asked, self.answers, self.heard = 0, answers, threading.Event()

    def rows(self, sql: str, values: Any = ()) -> list[tuple[Any, ...]]:
        self.asked += 1
        if self.asked >= 3:
            self.heard.set()
        if self.asked > self.answers:
            raise Lost("the connection is gone")
        return [(1,)]


def test_it_says_a_word_as_long_as_the_tool_works_and_not_after() -> None:
    session = Listened(1000)
    with speaking(session, every=0.01):  # type: ignore[arg-type]
        assert session.heard.wait(10.0)
    said = session.asked
    assert said >= 3
    assert not [t for t in threading.enumerate() if t.name.startswith("Thread") and "speak" in t.name]
    assert session.asked == said


def test_a_lost_session_does_not_end_the_tool() -> None:
    session = Listened(2)
    with speaking(session, every=0.01):  # type: ignore[arg-type]
        assert session.heard.wait(10.0)
    assert session.asked == 3


def test_what_the_tool_has_taken_away_is_recorded_whoever_leads_by_then(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    with contextlib.closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE users (id INTEGER)")
        given = order(
            baked=True, colours={"green": "42"}, overrides={"evidence": "bob looked", "old-sessions": "none is left"}
        )
        given = replace(given, running="42")
        session = of(url).open("test")
        ledger = Ledger(session, given.service)

        def apply() -> None:
            db.execute("DROP TABLE users")
            with session.transaction():
                ledger.overtake(replace(given, epoch=2))

        one = migration("0009_gone", contract="DROP TABLE users;\n")
        settings = SqlSettings.model_validate({"url": url})
        found = carry_out(of(url), given, one, Stage.CONTRACT, settings, {}, lambda _: None, apply)
        assert found.verdict is Verdict.PASS, found
        row, held = ledger.migration("0009_gone", Stage.CONTRACT), ledger.held()
        session.close()
    assert row is not None
    assert held is not None
    assert (row.state, held.state, held.epoch) == (Stand.DONE, "contracted", 2)
