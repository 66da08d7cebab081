"""The same asked of several machines at once: one that hangs does not hold up the others.

A call that is late goes on, and is not begun a second time while it does: no machine is asked anew while a look at it is
late, and at most one deed of a kind is under way on each. Looks of callers who ask at the same moment go side by side: none
may have the answer of another, which saw an earlier moment. The threads are daemons: none keeps a process alive.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from greenroom.errors import Temporary, Uncertain

T = TypeVar("T")
Calls = Mapping[str, Callable[[], T]]
Answers = Mapping[str, T | Exception]

LOOK_WITHIN = 2.5
"""Seconds; less than the engine waits for a look, so that it hears which machine does not answer."""

ACT_WITHIN = 5.0
"""Seconds. With a look before it, less than the lease lasts."""

_REST = 5.0


class Pool(Protocol):
    """`kind` and a machine's name (the key in `calls`) together name a call."""

    def look(self, kind: str, calls: Calls[T]) -> Answers[T]:
        """What each gave or raised. Where an earlier look is late, none is begun."""

    def act(self, kind: str, what: object, calls: Calls[None]) -> Answers[None]:
        """The same for deeds. One under way is waited for if it does the same (`what`), else nothing is begun there."""

    def busy(self, kind: str) -> frozenset[str]:
        """The machines on which a call of this kind is under way."""


@dataclass(eq=False)
class _Call:
    run: Callable[[], Any]
    what: object
    begun: float
    done: bool = False
    answer: Any = None


class SideBySide:
    """A thread for each call that is under way, kept for a while for the next one. Times in seconds."""

    def __init__(self, look_within: float = LOOK_WITHIN, act_within: float = ACT_WITHIN) -> None:
        self._look_within, self._act_within = look_within, act_within
        self._changed = threading.Condition()
        self._under_way: dict[_Call, tuple[str, str]] = {}
        self._queue: deque[_Call] = deque()
        self._idle = 0

    def look(self, kind: str, calls: Calls[T]) -> Answers[T]:
        within = self._look_within
        with self._changed:
            waited = {name: seconds for name in calls if (seconds := self._late(kind, name)) > within}
            begun = {name: self._begin((kind, name), run, None) for name, run in calls.items() if name not in waited}
            self._wait(begun, within)
            late = {name: Temporary(f"no answer for {seconds:.0f} s") for name, seconds in waited.items()}
            return {**_answers(begun, Temporary(f"no answer within {within:g} s")), **late}

    def act(self, kind: str, what: object, calls: Calls[None]) -> Answers[None]:
        within = self._act_within
        with self._changed:
            joined: dict[str, _Call] = {}
            busy: dict[str, Exception] = {}
            for name, run in calls.items():
                call = self._of(kind, name) or self._begin((kind, name), run, what)
                if call.what == what:
                    joined[name] = call
                else:
                    busy[name] = Temporary("it is still busy with what it was told before")
            self._wait(joined, within)
            return {**_answers(joined, Uncertain(f"no answer within {within:g} s; it may still happen")), **busy}

    def busy(self, kind: str) -> frozenset[str]:
        with self._changed:
            return frozenset(name for a_kind, name in self._under_way.values() if a_kind == kind)

    def _of(self, kind: str, name: str) -> _Call | None:
        return next((call for call, key in self._under_way.items() if key == (kind, name)), None)

    def _late(self, kind: str, name: str) -> float:
        """Seconds since the oldest call of this kind was begun there that is still under way."""
        call = self._of(kind, name)
        return time.monotonic() - call.begun if call is not None else 0.0

    def _begin(self, key: tuple[str, str], run: Callable[[], Any], what: object) -> _Call:
        call = _Call(run, what, time.monotonic())
        self._under_way[call] = key
        self._queue.append(call)
        if self._idle < len(self._queue):
            threading.Thread(target=self._work, name=f"several-{key[0]}-{key[1]}", daemon=True).start()
        else:
            self._changed.notify_all()
        return call

    def _wait(self, calls: Mapping[str, _Call], within: float) -> None:
        self._changed.wait_for(lambda: all(call.done for call in calls.values()), within)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                self._changed.wait_for(lambda: bool(self._queue), _REST)
                self._idle -= 1
                if not self._queue:
                    return
                call = self._queue.popleft()
            answer = _result(call.run)
            with self._changed:
                call.answer, call.done = answer, True
                del self._under_way[call]
                self._changed.notify_all()


class InOrder:
    """No threads: one after the other. For tests that want the same order every time, and for fakes."""

    def look(self, kind: str, calls: Calls[T]) -> Answers[T]:
        return {name: _result(run) for name, run in calls.items()}

    def act(self, kind: str, what: object, calls: Calls[None]) -> Answers[None]:
        return self.look(kind, calls)

    def busy(self, kind: str) -> frozenset[str]:
        return frozenset()


def _result(run: Callable[[], T]) -> T | Exception:
    try:
        return run()
    except Exception as error:
        return error


def _answers(calls: Mapping[str, _Call], late: Exception) -> dict[str, Any]:
    return {name: call.answer if call.done else late for name, call in calls.items()}
