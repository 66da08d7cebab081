"""What every verb works with: the service, the way to speak, and the result at the end."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from greenroom import enquiry
from greenroom.cli.quick import finite, state_folder
from greenroom.cli.text import Ink, ink_for, terminal, width_of, wrapped
from greenroom.engine.clock import SteadyClock
from greenroom.errors import GreenroomError, JournalMissing, LockHeld, Refused, Unobservable, UsageError

if TYPE_CHECKING:
    from greenroom.config.loader import Loaded
    from greenroom.control import Accepted, ControlPlane
    from greenroom.domain.observation import Seen
    from greenroom.domain.release import Service
    from greenroom.domain.schema import Order
    from greenroom.engine.world import Adapters
    from greenroom.ports import Clock, Migrator, Owner, Supervisor
    from greenroom.wiring import Installed


class Installation(Protocol):
    """What the command line needs of `wiring.Installed`."""

    @property
    def name(self) -> str: ...
    @property
    def file(self) -> Path: ...
    @property
    def state(self) -> Path: ...
    @property
    def loaded(self) -> Loaded | None: ...
    @property
    def here(self) -> bool: ...
    @property
    def begun(self) -> bool: ...
    @property
    def adopts(self) -> bool: ...
    @property
    def control(self) -> ControlPlane: ...
    @property
    def supervisor(self) -> Supervisor: ...
    def by(self) -> str: ...
    def groups(self) -> tuple[str, ...]: ...
    def objection(self) -> str: ...
    def gates(self) -> Mapping[str, bool]: ...
    def owner(self, text: str = "") -> Owner: ...
    def deploy(self, version: str, why: str = "", *, keep: bool = False, overrides: Sequence[str] = ()) -> Accepted: ...
    def rehearse(self, version: str, why: str = "") -> Accepted: ...
    def adopt(self, version: str, taken: Mapping[str, str], why: str = "") -> Accepted: ...
    def request(self, verb: str, why: str = "", **details: Any) -> Accepted: ...
    def ensure_engine(self) -> None: ...
    def shutdown(self) -> None: ...
    def adapters_for(self, service: Service) -> Adapters: ...
    def seen(self) -> tuple[Seen | None, list[str]]: ...
    def problems(self) -> list[str]: ...
    def hazards(self) -> list[str]: ...
    def prepare(self) -> Mapping[str, list[str]]: ...
    def migrator(self) -> Migrator | None: ...
    def order(self) -> Order: ...
    def close(self) -> None: ...
    def conceal(self, text: str) -> str: ...


def _open(file: Path, environ: Mapping[str, str]) -> Installation:
    from greenroom.wiring import open_service

    return _with_engine(open_service(file, environ))


def _reopen(name: str, file: Path, state: Path) -> Installation:
    from greenroom.wiring import ground_of, reopen

    try:
        ground = ground_of(file)
    except UsageError:
        if not (state / "journal.db").exists():
            raise
        ground = None  # what runs here does not need the file
    return _with_engine(reopen(name, file, state, ground=ground))


def _with_engine(installed: Installed) -> Installation:
    if not installed.here:
        from greenroom.awake import Beside

        installed.engine = Beside(installed)
    return installed


@dataclass(frozen=True)
class Tools:
    """How the world is reached: another set of tools makes another world, for tests."""

    open: Callable[[Path, Mapping[str, str]], Installation] = _open
    reopen: Callable[[str, Path, Path], Installation] = _reopen
    enquire: Callable[[Path], dict[str, Any] | None] = enquiry.ask
    clock: Clock = field(default_factory=SteadyClock)


@dataclass
class Context:
    """One command. What a person reads goes to stdout, or, with `--json`, to stderr; the document to stdout."""

    verb: str
    file: Path
    json: bool = False
    tools: Tools = field(default_factory=Tools)
    service: str | None = None
    known: str = ""
    """What is known of the route, for an error that nobody foresaw."""
    opened: list[Installation] = field(default_factory=list)

    def close(self) -> None:
        """An engine of our own ends with the command."""
        while self.opened:
            self.opened.pop().close()

    @property
    def stream(self) -> TextIO:
        return sys.stderr if self.json else sys.stdout

    @property
    def ink(self) -> Ink:
        return ink_for(self.stream)

    @property
    def width(self) -> int:
        return width_of(self.stream)

    @property
    def live(self) -> bool:
        """Somebody watches: progress may be drawn, and questions asked."""
        return terminal(self.stream)

    def open(self) -> Installation:
        """By the file, which must be good. `UsageError` with everything that is wrong with it."""
        installed = self._opened(self.tools.open(self.file, os.environ))
        self.service = installed.name
        return installed

    def reach(self) -> Installation:
        """By the state folder, for verbs that need no file. A file that is broken or gone is said, and does not matter.

        `Refused` where nothing was ever released.
        """
        try:
            installed = self.locate()
            installed.control.state()
        except JournalMissing:
            raise Refused(
                f"nothing was ever released here ({self.file})",
                hint="`greenroom deploy VERSION` releases a version; `--file` names another service's file",
            ) from None
        self.service = installed.name
        return installed

    def locate(self) -> Installation:
        """The same, whatever its journal says."""
        from greenroom.config.source import locate

        try:
            name, state = locate(self.file)
            return self._opened(self.tools.reopen(name, self.file.absolute(), state))
        except UsageError as error:
            state_known = state_folder(self.file)
            if state_known is None or not (state_known / "journal.db").exists():
                raise
            print(f"{error.message}; going on without it", file=sys.stderr)
            name = self._recorded_name(state_known)
            return self._opened(self.tools.reopen(name, self.file.absolute(), state_known))

    def _opened(self, installed: Installation) -> Installation:
        self.opened.append(installed)
        return installed

    def _recorded_name(self, state: Path) -> str:
        """The service's name as its last release was given it."""
        release = self.tools.reopen("", self.file.absolute(), state).control.state().release
        return str(release.definition.get("service", "")) if release else ""

    def ask(self, installed: Installation, verb: str, why: str, **details: Any) -> Accepted:
        """Ask for it. Refused or not, somebody is awake afterwards, if there is anything to watch over."""
        try:
            return installed.request(verb, why, **details)
        except (Refused, LockHeld, Unobservable):
            service = installed.control.state()
            if service.running is not None or (service.active is not None and not service.down):
                with contextlib.suppress(GreenroomError):
                    installed.ensure_engine()
            raise

    # --- speaking ---------------------------------------------------------------------------------------------

    def say(self, text: str = "", style: str = "") -> None:
        ink = self.ink
        for line in wrapped(text, self.width) if self.live else text.splitlines() or [""]:
            print(ink(line, style), file=self.stream, flush=True)

    def lines(self, lines: list[str]) -> None:
        print("\n".join(lines), file=self.stream, flush=True)

    def document(self, document: Mapping[str, Any]) -> None:
        """The one document of `--json`."""
        print(json.dumps(finite(document), indent=2, ensure_ascii=False, allow_nan=False), flush=True)

    def result(self, code: int, text: str, *, hint: str = "", release: Mapping[str, Any] | None = None) -> int:
        """The end of a steering verb: the sentence for a person, or the document, and the exit code."""
        if self.json:
            self.document(
                {
                    "verb": self.verb,
                    "service": self.service,
                    "exit": code,
                    "text": text,
                    "hint": hint,
                    "release": release,
                }
            )
            return code
        self.say(text)
        if hint:
            self.say(hint)
        return code

    def failed(self, error: GreenroomError) -> int:
        """One clear block on stderr; with `--json` the document as well."""
        complain(error.message, error.hint)
        if self.json:
            self.result(error.exit_code, error.message, hint=error.hint)
        return error.exit_code


def complain(message: str, hint: str = "") -> None:
    """`error: …` and `hint: …` on stderr."""
    ink, width = ink_for(sys.stderr), width_of(sys.stderr)
    for lead, text, style in (("error: ", message, "red"), ("hint: ", hint, "bold")):
        if not text:
            continue
        shown = wrapped(text, width, indent=" " * len(lead)) if terminal(sys.stderr) else _hanging(text, len(lead))
        print(ink(lead, style) + "\n".join(shown)[len(lead) :], file=sys.stderr, flush=True)


def _hanging(text: str, indent: int) -> list[str]:
    return [" " * indent + line for line in text.splitlines()]
