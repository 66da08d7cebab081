"""Many services, few threads: each reconciler is stepped when it asked to be, or at once when it is poked.

A service is never stepped by two threads at a time, and a slow one holds up no other while a worker is free.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

BROKEN = 10.0
"""Seconds until what raised is called again; a step should not raise."""


class Scheduler:
    """`add` anything with a step that returns the seconds until its next; `run` until `stop`."""

    def __init__(self, workers: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._workers, self._clock = workers, clock
        self._changed = threading.Condition()
        self._steps: dict[str, Callable[[], float]] = {}
        self._due: dict[str, float] = {}
        self._queue: list[tuple[float, str]] = []
        self._busy: set[str] = set()
        self._poked: set[str] = set()
        self._ending = False

    def add(self, name: str, step: Callable[[], float]) -> None:
        with self._changed:
            self._steps[name] = step
            self._schedule(name, self._clock())

    def remove(self, name: str) -> None:
        """It is not begun again; a step under way ends by itself."""
        with self._changed:
            self._steps.pop(name, None)
            self._due.pop(name, None)

    def poke(self, name: str) -> None:
        """Something may have changed: look now."""
        with self._changed:
            if name in self._busy:
                self._poked.add(name)
            elif name in self._steps:
                self._schedule(name, self._clock())

    def stop(self) -> None:
        """Finish the steps under way, begin no more. May be called from a signal handler's thread."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def run(self) -> None:
        """Work until `stop`. This thread is one of the workers."""
        helpers = [threading.Thread(target=self._work, name=f"greenroom-worker-{n}") for n in range(1, self._workers)]
        for helper in helpers:
            helper.start()
        self._work()
        for helper in helpers:
            helper.join()

    def turn(self) -> float | None:
        """One step of whatever is due, in this thread; the seconds until something is (None: nothing ever)."""
        with self._changed:
            name, wait = self._take()
        if name is None:
            return wait
        self._step(name)
        return 0.0

    def _schedule(self, name: str, at: float) -> None:
        self._due[name] = at
        heapq.heappush(self._queue, (at, name))
        self._changed.notify()

    def _take(self) -> tuple[str | None, float | None]:
        """What is due now, or the time until something is. Overtaken entries of the queue are dropped here."""
        while self._queue:
            at, name = self._queue[0]
            if self._due.get(name) != at or name in self._busy:
                heapq.heappop(self._queue)
                continue
            wait = at - self._clock()
            if wait > 0:
                return None, wait
            heapq.heappop(self._queue)
            del self._due[name]
            self._busy.add(name)
            return name, 0.0
        return None, None

    def _work(self) -> None:
        while True:
            with self._changed:
                name, wait = self._take()
                while name is None and not self._ending:
                    # A signal handler may have called `stop` without being able to wake us: never sleep for long.
                    self._changed.wait(min(wait if wait is not None else 1.0, 1.0))
                    name, wait = self._take()
                if self._ending or name is None:
                    return
            self._step(name)

    def _step(self, name: str) -> None:
        step = self._steps.get(name)
        pause = BROKEN
        try:
            pause = step() if step is not None else BROKEN
        except Exception:
            log.exception("%s: a step broke", name)
        finally:
            with self._changed:
                self._busy.discard(name)
                if name in self._steps:
                    poked = name in self._poked
                    self._poked.discard(name)
                    self._schedule(name, self._clock() + (0.0 if poked else pause))
