"""The outbox: every event of the journal reaches every notifier that wants it, at least once, in order.

The journal is the queue; what is remembered is only how far each notifier has been told, in a small file that is replaced
as a whole. A notifier that fails is tried again at growing intervals and holds up nobody else.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from greenroom.domain.events import event_of
from greenroom.domain.model import Event
from greenroom.domain.records import Entry, Requested
from greenroom.domain.release import Service
from greenroom.domain.replay import fold
from greenroom.engine.look import explain
from greenroom.errors import JournalError, Permanent, Temporary
from greenroom.ports import Clock, Journal, Notifier

log = logging.getLogger(__name__)

FIRST_RETRY, LONGEST_RETRY = 1.0, 300.0
GIVE_UP = 86400.0
"""Seconds after which an event that cannot be delivered is left out, so that the next ones are not held up for ever."""


class Cursors(Protocol):
    """How far each notifier has been told, by its name."""

    def load(self) -> Mapping[str, int]: ...

    def save(self, cursors: Mapping[str, int]) -> None: ...


class CursorFile:
    """One JSON object, written beside and moved into place: never half a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Mapping[str, int]:
        try:
            document = json.loads(self._path.read_text())
            return {str(name): int(seq) for name, seq in document.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as error:
            log.warning("%s cannot be read (%s); what was told may be told again", self._path, error)
            return {}

    def save(self, cursors: Mapping[str, int]) -> None:
        beside = self._path.with_name(self._path.name + ".new")
        beside.write_text(json.dumps(dict(cursors), indent=1))
        os.replace(beside, self._path)


class CursorMemory:
    """For tests, and for engines whose notifiers may hear everything again."""

    def __init__(self) -> None:
        self.cursors: dict[str, int] = {}

    def load(self) -> Mapping[str, int]:
        return dict(self.cursors)

    def save(self, cursors: Mapping[str, int]) -> None:
        self.cursors = dict(cursors)


@dataclass
class _Delivery:
    """What a notifier is late with: the event's sequence, since when, how often tried, when again."""

    seq: int
    since: float
    tries: int = 0
    again_at: float = 0.0


class Outbox:
    """`step()` delivers what is due and returns the seconds until it is worth calling again. Never raises."""

    def __init__(
        self, name: str, journal: Journal, notifiers: Callable[[], Sequence[Notifier]], cursors: Cursors, clock: Clock
    ) -> None:
        self._name, self._journal, self._notifiers, self._clock = name, journal, notifiers, clock
        self._store, self._cursors = cursors, dict(cursors.load())
        self._service = Service()
        self._latest = 0
        self._events: list[tuple[int, Event]] = []
        self._late: dict[str, _Delivery] = {}

    def step(self) -> float:
        try:
            fresh = self._journal.read(self._service.seq)
        except JournalError as error:
            log.warning("%s: nobody can be told: %s", self._name, explain(error))
            return 5.0
        for entry in fresh:
            self._read(entry)
        pauses = [self._deliver(notifier) for notifier in self._notifiers()]
        behind = min(self._cursors.values(), default=self._service.seq)
        self._events = [(seq, event) for seq, event in self._events if seq > behind]
        return min(pauses, default=1.0)

    def _read(self, entry: Entry) -> None:
        before, self._service = self._service, fold(self._service, entry)
        if isinstance(entry.record, Requested) and entry.record.command == "deploy":
            self._latest = entry.seq
        if event := event_of(self._name, before, entry, self._service):
            self._events.append((entry.seq, event))

    def _deliver(self, notifier: Notifier) -> float:
        """Everything that this one has not heard yet, until it fails."""
        last = self._service.seq
        # A notifier that is new hears of the latest release from its start, not the history before.
        if notifier.name not in self._cursors:
            self._advance(notifier.name, max(0, self._latest - 1))
        cursor = self._cursors[notifier.name]
        for seq, event in self._events:
            if seq <= cursor or (notifier.on is not None and event.kind not in notifier.on):
                continue
            pause = self._tell(notifier, seq, event)
            if pause > 0:
                return pause
            self._advance(notifier.name, seq)
        if self._cursors.get(notifier.name) != last:
            self._advance(notifier.name, last)
        return 1.0

    def _tell(self, notifier: Notifier, seq: int, event: Event) -> float:
        """0.0: told, or given up. Else the seconds until it may be tried again."""
        now = self._clock.now()
        late = self._late.get(notifier.name)
        if late is None or late.seq != seq:
            late = self._late[notifier.name] = _Delivery(seq, now)
        if now < late.again_at:
            return late.again_at - now
        try:
            notifier.notify(event)
        except Permanent as error:
            log.error("%s: %s was not told of %s, and will not be: %s", self._name, notifier.name, event.id, error)
        except Exception as error:
            late.tries += 1
            pause = float(min(FIRST_RETRY * 2 ** min(late.tries - 1, 10), LONGEST_RETRY))
            if isinstance(error, Temporary):
                pause = max(pause, min(error.retry_after, LONGEST_RETRY))
            late.again_at = now + pause
            if late.tries == 1:
                log.warning("%s: %s could not be told of %s: %s", self._name, notifier.name, event.id, explain(error))
            if now - late.since < GIVE_UP:
                return pause
            log.error("%s: %s was not told of %s in a day; left out", self._name, notifier.name, event.id)
        self._late.pop(notifier.name, None)
        return 0.0

    def _advance(self, name: str, seq: int) -> None:
        self._cursors[name] = seq
        try:
            self._store.save(self._cursors)
        except OSError as error:
            log.warning("%s: what was told cannot be remembered, it may be told again: %s", self._name, error)
