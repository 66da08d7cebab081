"""Calls that must not hold up the loop: begun at once, collected when they are done, given up when they are late.

A call that hangs is never begun a second time while it hangs. Its thread is a daemon: it cannot keep a process alive.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Result:
    """What a call gave, or raised. `tag`: what `begin` was given with it."""

    tag: int
    value: Any = None
    error: Exception | None = None


def _run(call: Callable[[], Any], tag: int) -> Result:
    try:
        return Result(tag, call())
    except Exception as error:
        return Result(tag, error=error)


class Fan(Protocol):
    def begin(self, name: str, call: Callable[[], Any], tag: int = 0) -> None:
        """Begin this call; nothing while one of that name is under way or uncollected."""

    def collect(self, names: Iterable[str], within: float) -> dict[str, Result]:
        """The results of those that are done within so many seconds. Each is handed out once."""

    def close(self) -> None: ...


class Inline:
    """No threads: `begin` calls. For tests that want the same order every time, and for fakes."""

    def __init__(self) -> None:
        self._results: dict[str, Result] = {}

    def begin(self, name: str, call: Callable[[], Any], tag: int = 0) -> None:
        if name not in self._results:
            self._results[name] = _run(call, tag)

    def collect(self, names: Iterable[str], within: float) -> dict[str, Result]:
        return {name: self._results.pop(name) for name in names if name in self._results}

    def close(self) -> None: ...


class Threads:
    """At most `limit` daemon threads, made when they are needed."""

    def __init__(self, limit: int = 16, name: str = "greenroom") -> None:
        self._limit, self._name = limit, name
        self._changed = threading.Condition()
        self._queue: deque[tuple[str, Callable[[], Any], int]] = deque()
        self._under_way: set[str] = set()
        self._results: dict[str, Result] = {}
        self._threads = 0
        self._idle = 0
        self._closed = False

    def begin(self, name: str, call: Callable[[], Any], tag: int = 0) -> None:
        with self._changed:
            if name in self._under_way or name in self._results or self._closed:
                return
            self._under_way.add(name)
            self._queue.append((name, call, tag))
            if self._idle < len(self._queue) and self._threads < self._limit:
                self._threads += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True).start()
            self._changed.notify_all()

    def collect(self, names: Iterable[str], within: float) -> dict[str, Result]:
        wanted = set(names)
        with self._changed:
            self._changed.wait_for(lambda: wanted.isdisjoint(self._under_way), within)
            return {name: self._results.pop(name) for name in wanted if name in self._results}

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._queue.clear()
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                self._changed.wait_for(lambda: self._queue or self._closed)
                self._idle -= 1
                if self._closed:
                    return
                name, call, tag = self._queue.popleft()
            result = _run(call, tag)
            with self._changed:
                self._under_way.discard(name)
                self._results[name] = result
                self._changed.notify_all()
