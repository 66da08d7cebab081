"""Any environment or router as one whose backend must not be asked often (`ports.Paced`)."""

from __future__ import annotations

from typing import Any

from greenroom.ports import Clock


class Seldom:
    """The same port; `observe` answers as it saw things up to `pace` seconds ago, until it is told to look anew.

    `asked`: how often the port itself was looked at. What cannot be had is not remembered.
    """

    def __init__(self, port: Any, clock: Clock, pace: float = 5.0) -> None:
        self._port, self._clock, self._pace = port, clock, pace
        self._seen: dict[tuple[Any, ...], tuple[float, Any]] = {}
        self.asked = 0

    def observe(self, *about: Any) -> Any:
        now = self._clock.now()
        at, answer = self._seen.get(about, (float("-inf"), None))
        if now - at < self._pace:
            return answer
        self.asked += 1
        answer = self._port.observe(*about)
        self._seen[about] = now, answer
        return answer

    def anew(self) -> None:
        self._seen.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)
