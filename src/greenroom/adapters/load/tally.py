"""What the generator has seen, and the documents that it writes about it."""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from greenroom.adapters.load.histogram import Histogram

_KINDS = 30
"""Kinds of errors that are told apart; the rest counts as one."""


class Tally:
    """`latency`: from the planned moment to the end of the answer. `service`: what of it was certainly the service's.
    `delay`: from the planned moment to the sending, or to the giving up. `lag`: what of that was not for want of a free
    connection.
    """

    def __init__(self, good: tuple[tuple[int, int], ...]) -> None:
        self.latency, self.service = Histogram(), Histogram()
        self.delay, self.lag = Histogram(), Histogram()
        self.sent = self.answered = self.lost = self.failed = self.reopened = 0
        self.statuses: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()
        self.obstacles: Counter[str] = Counter()
        """Why this machine could not send."""
        self._good = frozenset(status for low, high in good for status in range(low, high + 1))

    def answer(self, status: int) -> None:
        self.answered += 1
        self.statuses[status] += 1
        if status not in self._good:
            self.fail(f"answered {status}")

    def lose(self, kind: str) -> None:
        """There was no answer."""
        self.lost += 1
        self.fail(kind)

    def fail(self, kind: str) -> None:
        self.failed += 1
        self.errors[kind if kind in self.errors or len(self.errors) < _KINDS else "other"] += 1

    def document(self, planned: int) -> dict[str, Any]:
        return {
            "planned": planned,
            "sent": self.sent,
            "answered": self.answered,
            "failed": self.failed,
            "reopened": self.reopened,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "errors": dict(self.errors.most_common()),
            "obstacles": dict(self.obstacles.most_common(5)),
            "latency": self.latency.summary(),
            "service": self.service.summary(of=planned),
            "delay": self.delay.summary(),
            "lag": self.lag.summary(),
        }


def put(path: Path, document: dict[str, Any]) -> None:
    """The whole or nothing; nothing where the folder is gone."""
    new = path.with_suffix(".new")
    with suppress(FileNotFoundError):
        new.write_text(json.dumps(document), encoding="utf-8")
        os.replace(new, path)
