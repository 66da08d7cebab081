"""Following a release to its end: read the journal, show what is new, notice when a person is needed.

The command only asks and looks. Whatever happens to it, the resident engine goes on.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any, Protocol

from greenroom.cli.context import Installation, Tools
from greenroom.domain.phases import ENDS, Phase, Status
from greenroom.domain.plan import When
from greenroom.domain.records import Entry, Moved, Requested
from greenroom.domain.release import Release, Service
from greenroom.domain.status import status_of
from greenroom.enquiry import IN_TROUBLE
from greenroom.errors import GreenroomError, Unobservable

LOOK_EVERY = 0.05
ENQUIRE_EVERY = 0.5
ASLEEP_AFTER, GIVE_UP_AFTER = 6.0, 60.0
"""Seconds without an answer after which the engine is started again (its supervisor does it sooner, if it lives), and
after which nobody can say that the release goes on."""

WAITS = frozenset({Status.PAUSED, Status.WAITING_APPROVAL})


@dataclass(frozen=True)
class Picture:
    """What there is to show at one moment. `told`: the engine's last answer. `stages`: when each phase began."""

    service: Service
    release: Release
    status: Status
    now: float
    name: str
    told: dict[str, Any] | None = None
    stages: dict[Phase, float] = field(default_factory=dict)


class Screen(Protocol):
    """Shows progress. `patient`: somebody watches, so that waiting for a person is worth it."""

    patient: bool

    def news(self, entry: Entry, release: Release) -> None: ...
    def show(self, picture: Picture) -> None: ...
    def say(self, text: str) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Ending:
    """Where following ended. `signal`: the number of the one that ended it, 0 if none did."""

    service: Service
    release: Release
    status: Status
    now: float
    signal: int = 0
    resident: bool = True


class Interrupted(BaseException):
    """A signal asked us to leave."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Follower:
    """One release, from the record `after` on."""

    def __init__(self, installed: Installation, tools: Tools, screen: Screen, release: str, after: int) -> None:
        self.installed, self.tools, self.screen, self.id = installed, tools, screen, release
        self._after = after
        self._stages: dict[Phase, float] = {}
        self._told: dict[str, Any] | None = None
        self._complaint = ""
        self._asked = self._heard = self._tried = tools.clock.now()

    def run(self) -> Ending:
        """Until it has ended, a person is needed and nobody watches, or a signal comes."""
        picture = self._read()
        try:
            with leaving():
                while not self._over(picture):
                    self.screen.show(picture)
                    self._enquire()
                    self.tools.clock.sleep(LOOK_EVERY)
                    picture = self._read()
                # The last picture stays on the screen: it must not show the split of before.
                self._enquire(at_once=True)
                self.screen.show(replace(picture, told=self._told))
        except Interrupted as signalled:
            here = self.installed.here
            return Ending(picture.service, picture.release, picture.status, picture.now, signalled.number, here)
        finally:
            self.screen.close()
        return Ending(picture.service, picture.release, picture.status, picture.now)

    def _read(self) -> Picture:
        control = self.installed.control
        entries = control.entries(self._after)
        service, now = control.state(), control.now()
        release = find(service, self.id)
        for entry in entries:
            self._after = entry.seq
            if entry.record.release in (self.id, ""):
                self._note(entry, release)
                self.screen.news(entry, release)
        status = status_of(service, release, now)
        return Picture(service, release, status, now, self.installed.name, self._told, dict(self._stages))

    def _note(self, entry: Entry, release: Release) -> None:
        match entry.record:
            case Requested(command="deploy"):
                self._stages[Phase.GATES if release.plan.gates_of(When.SOURCE) else Phase.BUILD] = entry.at
            case Moved(to=to, step=step) if step == 0 or to is not Phase.SHIFT:
                self._stages[to] = entry.at

    def _over(self, picture: Picture) -> bool:
        if ended(picture.service, picture.release, picture.now) or picture.status is Status.STUCK:
            return True
        return picture.status in WAITS and not self.screen.patient

    def _enquire(self, *, at_once: bool = False) -> None:
        """Ask the engine how it goes; if none answers for long, see to it that one runs."""
        now = self.tools.clock.now()
        if now - self._asked < ENQUIRE_EVERY and not at_once:
            return
        self._asked = now
        self._told = self.tools.enquire(self.installed.state)
        if self._told is not None:
            self._heard = self._tried = now
            self._complain(str((self._told.get("engine") or {}).get("doing") or ""))
        elif now - self._heard > GIVE_UP_AFTER:
            log = self.installed.state / "logs" / "engine.log"
            text = f"the resident engine has not answered for {GIVE_UP_AFTER:.0f} s; {self.id} waits for it"
            raise Unobservable(text, hint=f"{log} says why; `greenroom doctor`, then `greenroom status`")
        elif now - self._tried > ASLEEP_AFTER:
            self._wake(again=self._tried > self._heard)
            self._tried = now

    def _complain(self, doing: str) -> None:
        """Said once: nothing goes on until it is gone, and nobody else says so."""
        if doing.startswith(IN_TROUBLE) and doing != self._complaint:
            self.screen.say(f"the engine is {doing}; {self.installed.state / 'logs' / 'engine.log'} says more")
            self._complaint = doing

    def _wake(self, *, again: bool) -> None:
        if not again:
            self.screen.say("the resident engine does not answer; starting it again")
        try:
            self.installed.ensure_engine()
        except GreenroomError as error:
            if not again:
                self.screen.say(f"it cannot be started: {error.message}")


def find(service: Service, name: str) -> Release:
    for release in (service.release, *reversed(service.past)):
        if release is not None and release.id == name:
            return release
    raise LookupError(name)


def ended(service: Service, release: Release, now: float) -> bool:
    """Over; and no rollback of it is on its way."""
    if release.phase is Phase.SUCCEEDED and release.going_back and service.release is release:
        return service.warm_at(now) is None
    return release.phase in ENDS


def begun_at(installed: Installation, release: str) -> int:
    """The sequence before the release's first record, so that its whole story is told."""
    for entry in installed.control.entries(0):
        if isinstance(entry.record, Requested) and entry.record.release == release:
            return entry.seq - 1
    return 0


@contextmanager
def leaving() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the following, and nothing else; a second one ends the command at once."""

    def leave(number: int, _frame: FrameType | None) -> None:
        for each, usual in before.items():
            signal.signal(each, signal.SIG_DFL if each == signal.SIGTERM else usual)
        raise Interrupted(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, leave)
    except ValueError:  # not in the main thread: signals are somebody else's
        before = {}
    try:
        yield
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)
