"""What stands in the journal: five kinds of record, immutable, versioned by `codec`.

The journal is the state (replayed), the audit trail, the outbox of notifications and the stream of events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from greenroom.domain.model import Verdict
from greenroom.domain.phases import Phase


class Outcome(StrEnum):
    DONE = "done"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Requested:
    """Somebody asked for something. `command`: deploy, promote, pause, … `details` are the command's own."""

    command: str
    by: str
    why: str = ""
    release: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moved:
    """The release entered a phase (or the next step of it)."""

    release: str
    to: Phase
    why: str
    step: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Started:
    """The intent, written before the act."""

    release: str
    verb: str
    key: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The result of what `key` started."""

    release: str
    verb: str
    key: str
    outcome: Outcome
    detail: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judged:
    """An opinion that changed. `subject`: `check:<name>`, `analysis`, `watch:<url>`, `route`."""

    release: str
    subject: str
    verdict: Verdict
    reason: str = ""
    memo: Mapping[str, Any] | None = None


Record: TypeAlias = Requested | Moved | Started | Finished | Judged


@dataclass(frozen=True, slots=True)
class Entry:
    """A record with its place. `at`: seconds since 1970 on the store's clock, which never runs backwards."""

    seq: int
    at: float
    epoch: int
    record: Record
