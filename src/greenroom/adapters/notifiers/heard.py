"""Several ears behind one notifier: who was told of an event already is left out when it is told again."""

from __future__ import annotations

from collections.abc import Iterable


class Heard:
    """Of the last event only, and lost with the process: after a crash they may hear it twice, as everybody may."""

    def __init__(self) -> None:
        self._event = ""
        self._ears: set[str] = set()

    def missing(self, event: str, ears: Iterable[str]) -> list[str]:
        """Those who were not told of it yet, in order."""
        if event != self._event:
            self._event, self._ears = event, set()
        return [ear for ear in ears if ear not in self._ears]

    def told(self, ears: Iterable[str]) -> None:
        """These were; now that not all were."""
        self._ears.update(ears)

    def all_told(self) -> None:
        """If it is told once more, then to everybody."""
        self._event = ""
