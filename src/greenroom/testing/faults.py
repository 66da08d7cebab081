"""Faults at the seams: a port is wrapped, and the n-th call through any wrapper goes wrong in a chosen way.

`Crash` is what a power cut looks like from inside: it unwinds everything, and nothing may catch it. A new engine is
then built over the same world and journal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from greenroom.errors import LeaseLost, Permanent, Temporary, Uncertain


class Crash(BaseException):
    """The process is gone."""


class Fault(StrEnum):
    CRASH_BEFORE = "crash-before"
    CRASH_AFTER = "crash-after"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    UNCERTAIN_HAPPENED = "uncertain-happened"
    UNCERTAIN_NOT = "uncertain-not"
    LEASE_LOST = "lease-lost"
    """A rival takes the lease just before the call."""
    STALLED = "stalled"
    """The engine sleeps before the call, longer than its lease; another one works meanwhile; then the call is made."""


PORT_FAULTS = (Fault.TEMPORARY, Fault.PERMANENT, Fault.UNCERTAIN_HAPPENED, Fault.UNCERTAIN_NOT)
CRASHES = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)


class Faults:
    """Counts boundaries and injects. `plan`: which fault at which boundary (counted from 0).

    `rival()` is called for LEASE_LOST, `stall()` for STALLED. `boundaries` names every call so far, in order.
    """

    def __init__(self, plan: Mapping[int, Fault] | None = None, rival: Callable[[], None] = lambda: None) -> None:
        self.plan = dict(plan or {})
        self.rival = rival
        self.stall: Callable[[], None] = lambda: None
        self.boundaries: list[str] = []
        self.hit: list[str] = []

    def call(self, name: str, journal: bool, act: Callable[[], Any]) -> Any:
        fault = self.plan.get(len(self.boundaries))
        self.boundaries.append(name)
        if fault is None:
            return act()
        self.hit.append(f"{fault} at {len(self.boundaries) - 1}: {name}")
        match fault:
            case Fault.CRASH_BEFORE:
                raise Crash(name)
            case Fault.CRASH_AFTER:
                act()
                raise Crash(name)
            case Fault.LEASE_LOST:
                self.rival()
                if journal:
                    raise LeaseLost(f"a rival took the lease before {name}")
                return act()
            case Fault.STALLED:
                self.stall()
                return act()
            case _ if journal:
                return act()
            case Fault.TEMPORARY:
                raise Temporary(f"injected at {name}", retry_after=0.5)
            case Fault.PERMANENT:
                raise Permanent(f"injected at {name}")
            case Fault.UNCERTAIN_HAPPENED:
                act()
                raise Uncertain(f"injected at {name}; it happened")
            case _:
                raise Uncertain(f"injected at {name}; it did not happen")

    def wrap(self, name: str, port: Any, *methods: str, journal: bool = False) -> Any:
        """The same port, with these methods as boundaries. A journal gets crashes and rivals only."""
        return _Wrapped(self, name, port, frozenset(methods), journal)


class _Wrapped:
    def __init__(self, faults: Faults, name: str, port: Any, methods: frozenset[str], journal: bool) -> None:
        self._faults, self._name, self._port, self._methods, self._journal = faults, name, port, methods, journal

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._port, attribute)
        if attribute not in self._methods:
            return value

        def called(*args: Any, **kwargs: Any) -> Any:
            return self._faults.call(f"{self._name}.{attribute}", self._journal, lambda: value(*args, **kwargs))

        return called


def _nothing(machine: str, what: str) -> None:
    """After most calls."""


class Wires:
    """The ways to several machines. Through one that is cut (`cut`), every call fails, and nothing happens there.

    `then(machine, what)` is called after each call that came through (`what`: `router.apply`).
    """

    def __init__(self) -> None:
        self.cut: set[str] = set()
        self.then: Callable[[str, str], None] = _nothing

    def to(self, machine: str, name: str, port: Any) -> Any:
        """The same port, by way of this wire."""
        return _Wired(self, machine, name, port)

    def call(self, machine: str, what: str, act: Callable[[], Any]) -> Any:
        if machine in self.cut:
            raise Temporary(f"{machine}: cannot be reached: timed out", retry_after=0.5)
        answer = act()
        self.then(machine, what)
        return answer


class _Wired:
    def __init__(self, wires: Wires, machine: str, name: str, port: Any) -> None:
        self._wires, self._machine, self._name, self._port = wires, machine, name, port

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._port, attribute)
        if not callable(value) or attribute == "reach":
            return value
        what = f"{self._name}.{attribute}"
        return lambda *args, **kwargs: self._wires.call(self._machine, what, lambda: value(*args, **kwargs))
