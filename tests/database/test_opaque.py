"""While a tool works, our own session does not fall silent: whoever is silent is taken for dead."""

from __future__ import annotations

import threading
from typing import Any

from greenroom.adapters.database.target import Lost
from greenroom.adapters.migrators.opaque import speaking


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
