"""The control plane: what a person may ask of a service, and what is known of it. Commands ask; an engine acts.

Nothing here touches environments or routers. A command is written into the journal under the sequence at which it was
considered, so that of two commands at the same instant only one was right, and the other considers again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from greenroom.domain.commands import Allowed, Already, Command, Not, consider
from greenroom.domain.records import Entry, Requested
from greenroom.domain.release import Service
from greenroom.domain.replay import fold
from greenroom.errors import Conflict, LockHeld, Refused, Unobservable
from greenroom.ports import Journal, Lease, Owner

TRIES = 50
"""How often a command considers again because the journal has grown meanwhile."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """`release`: the one to follow, "" for none. `text`: what to say. `written`: False if it was so already."""

    release: str
    text: str
    written: bool
    seq: int


class ControlPlane:
    """One service. `journal` may be shared with an engine in this or another process."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._service = Service()

    def now(self) -> float:
        return self._journal.now()

    def state(self) -> Service:
        """The service as the journal tells it now."""
        for entry in self._journal.read(self._service.seq):
            self._service = fold(self._service, entry)
        return self._service

    def entries(self, after: int = 0) -> Sequence[Entry]:
        return self._journal.read(after)

    def ask(self, command: Command, prepare: Callable[[str], Mapping[str, Any]] | None = None) -> Accepted:
        """Write the command down, if it is possible now. `prepare(release)` runs before anything is written, and
        says what is to stand in the details beside the command's own.

        Raises `Refused`, `LockHeld` or `Unobservable` with the way out; then nothing was written.
        """
        for _ in range(TRIES):
            service = self.state()
            answer = consider(service, command, self.now())
            match answer:
                case Already(text, release):
                    return Accepted(release, text, False, service.seq)
                case Not(text, hint, exit_code):
                    error = {5: LockHeld, 6: Unobservable}.get(exit_code, Refused)
                    raise error(text, hint=hint)
                case Allowed(record, release):
                    if prepare is not None:
                        record = replace(record, details={**record.details, **prepare(release)})
                    try:
                        entries = self._journal.append([record], expected=service.seq)
                    except Conflict:
                        continue
                    return Accepted(release, f"{command.verb} requested", True, entries[-1].seq)
        raise Refused("the journal is too busy to take the command", hint="try again")

    def lease(self) -> Lease | None:
        """Who may act now."""
        return self._journal.holder()

    def unlock(self, owner: Owner, by: str, why: str) -> Lease | None:
        """Take the lease from whoever holds it, and give it back, so that a living engine can have it; whose it was.

        A holder that only slept finds its lease lost at its next step: its epoch is older, it can write nothing.
        """
        before = self._journal.holder()
        self._journal.claim(owner, 5.0, why=why, force=True)
        for _ in range(TRIES):
            try:
                self._journal.append([Requested("unlock", by, why)], expected=self.state().seq)
                break
            except Conflict:
                continue
        self._journal.claim(owner, 0.0)
        return before
