"""The composition root: the only place that makes adapters and hands them to each other.

What a command may not need is imported where it is used: `rollback` must not wait for it.

`open_service(file)` is for commands, which have the file; `reopen(state, …)` for the resident engine and `status`,
which need only what the journal and the vault have pinned: the file may be broken or gone by then.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenroom import __version__, enquiry
from greenroom.adapters.journals.machine import owner
from greenroom.adapters.journals.sqlite import SqliteJournal
from greenroom.control import Accepted, ControlPlane
from greenroom.domain.commands import Command
from greenroom.domain.release import Service
from greenroom.domain.template import conceal
from greenroom.engine.world import Adapters
from greenroom.errors import GreenroomError, PortError, Unobservable
from greenroom.ports import Notifier, Owner, Place, Program

if TYPE_CHECKING:
    from greenroom.adapters.supervisor.client import Supervisord
    from greenroom.adapters.vault import FileVault
    from greenroom.config.loader import Loaded, Section
    from greenroom.domain.observation import Seen


@dataclass
class Installed:
    """A service on this machine: its folder, its journal, and everything that can be reached from there."""

    name: str
    file: Path
    state: Path
    loaded: Loaded | None = None
    create: bool = True
    _made: dict[str, Adapters] = field(default_factory=dict)
    _told: dict[str, tuple[Notifier, ...]] = field(default_factory=dict)

    @cached_property
    def journal(self) -> SqliteJournal:
        """Raises `JournalUnusable` in its several kinds."""
        if self.create:
            self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        return SqliteJournal(self.state / "journal.db", service=self.name, create=self.create)

    @cached_property
    def control(self) -> ControlPlane:
        return ControlPlane(self.journal)

    @cached_property
    def supervisor(self) -> Supervisord:
        from greenroom.adapters.supervisor.client import Supervisord

        return Supervisord(self.state, self.name)

    @cached_property
    def vault(self) -> FileVault:
        from greenroom.adapters.vault import FileVault

        return FileVault(self.state / "secrets")

    @cached_property
    def _secrets(self) -> list[Mapping[str, str]]:
        return self.vault.every()

    def conceal(self, text: str) -> str:
        """Without the values of `${NAME}`: what an application wrote may hold them."""
        for values in self._secrets:
            text = conceal(text, values)
        return text

    @cached_property
    def place(self) -> Place:
        return Place(self.name, self.file, self.state, self.supervisor, self.vault)

    # --- adapters ---------------------------------------------------------------------------------------------

    def adapters_for(self, service: Service) -> Adapters:
        """Those of the release that runs, else of what is live, else of the last one: made once for each release."""
        release, active = service.running or service.release, service.active
        if service.running is None and active is not None:
            return self._adapters(active.release, active.definition)
        if release is not None:
            return self._adapters(release.id, release.definition)
        if self.loaded is None:
            raise Unobservable("nothing was ever released here", hint="`greenroom deploy VERSION` releases a version")
        return adapters(self.loaded, self.place)

    def _adapters(self, release: str, definition: Mapping[str, Any]) -> Adapters:
        if release not in self._made:
            from greenroom.config.loader import from_document

            loaded = from_document(definition, self.vault.values(release), self.file)
            self._made = {release: adapters(loaded, self.place)}
        return self._made[release]

    def notifiers_for(self, service: Service) -> tuple[Notifier, ...]:
        """Of the last release's file; made once for each release."""
        release = service.release
        if release is None:
            return ()
        if release.id not in self._told:
            from greenroom.config.loader import from_document

            loaded = from_document(release.definition, self.vault.values(release.id), self.file)
            made = tuple(_make("notifier", section, self.place) for section in loaded.sections.notifiers)
            self._told = {release.id: made}
        return self._told[release.id]

    # --- commands ---------------------------------------------------------------------------------------------

    def by(self) -> str:
        """Who gives the command, for the journal."""
        user = os.environ.get("SUDO_USER") or ""
        with contextlib.suppress(KeyError, OSError):
            user = user or getpass.getuser()
        return f"{user or os.getuid()}@{socket.gethostname()}"

    def owner(self, text: str = "") -> Owner:
        return owner(text or f"{self.by()} pid {os.getpid()}")

    def deploy(self, version: str, why: str = "", *, keep: bool = False) -> Accepted:
        """Write the request down, with the file and the values of its variables pinned to the release."""
        loaded = self.loaded
        assert loaded is not None
        plan = replace(loaded.plan, keep=keep)
        details = {"version": version, "plan": plan.document(), "definition": loaded.document, "file": str(self.file)}
        command = Command("deploy", self.by(), why, details)
        accepted = self.control.ask(command, lambda release: self._pin(release, loaded.secrets))
        self._wake(accepted)
        return accepted

    def _pin(self, release: str, values: Mapping[str, str]) -> None:
        try:
            self.vault.pin(release, values)
        except PortError as error:
            hint = error.hint or "nothing was begun, the traffic is not affected: make room there, then try again"
            raise Unobservable(error.message, hint=hint) from error

    def request(self, verb: str, why: str = "", **details: Any) -> Accepted:
        """Any other command that the engine carries out."""
        accepted = self.control.ask(Command(verb, self.by(), why, details))
        self._wake(accepted)
        return accepted

    def _wake(self, accepted: Accepted) -> None:
        try:
            self.ensure_engine()
        except (GreenroomError, OSError) as error:
            said = "the request was written down, but" if accepted.written else "nothing new was asked, and"
            hint = "mend that and give the same command again: it goes on from there"
            raise Unobservable(f"{said} the engine cannot be started: {error}", hint=hint) from error

    # --- the resident engine ----------------------------------------------------------------------------------

    def engine_program(self) -> Program:
        command = (sys.executable, "-m", "greenroom.resident", self.name, str(self.file), str(self.state))
        return Program(
            name="engine",
            command=command,
            directory=self.state,
            environment={"PYTHONPATH": str(Path(__file__).parents[1]), "GREENROOM_ENGINE": __version__},
            output=self.state / "logs" / "engine.log",
            stop_timeout=15.0,
            keep=True,
        )

    def ensure_engine(self) -> None:
        """Somebody is awake: the resident engine runs under the supervisor, and looks at the journal now."""
        answer = enquiry.ask(self.state, "poke", timeout=0.3)
        if answer is None or answer.get("version") != __version__:  # an older engine gives way to ours
            (self.state / "logs").mkdir(parents=True, exist_ok=True)
            self.supervisor.apply(self.engine_program())
            enquiry.ask(self.state, "poke", timeout=0.3)

    def shutdown(self) -> None:
        """End the engine, the router and the supervisor itself; returns at once."""
        self.supervisor.shutdown()

    # --- looking without an engine ----------------------------------------------------------------------------

    def seen(self) -> tuple[Seen | None, list[str]]:
        """One look by this process, and what could not be seen. Starts and changes nothing."""
        from greenroom.engine.clock import SteadyClock
        from greenroom.engine.fanout import Threads
        from greenroom.engine.look import Looker

        try:
            service = self.control.state()
            made = self.adapters_for(service)
        except GreenroomError as error:
            return None, [error.message]
        fan = Threads(4)
        try:
            seen = Looker(fan, fan, SteadyClock()).see(service, made, self.control.now())
        finally:
            fan.close()
        return seen, [f"{need}: {why}" for need, why in sorted(seen.unseen.items())]

    def problems(self) -> list[str]:
        """What is wrong with the file's parts on this machine, before anything is touched."""
        from greenroom import plugins
        from greenroom.config.source import placed, read

        loaded = self.loaded
        assert loaded is not None
        found: list[str] = []
        sections = loaded.sections
        for kind, section in (("environment", sections.environment), ("router", sections.router)):
            examine = getattr(plugins.find(kind, section.type), "problems", None)
            if examine is not None:
                told = examine(section.settings, self.place)
                found += [problem if problem.startswith(f"{kind}.") else f"{kind}: {problem}" for problem in told]
        source = read(self.file) if found else None
        return [placed(source, problem) for problem in found] if source else []


def _make(kind: str, section: Section, place: Place) -> Any:
    from greenroom import plugins

    return plugins.find(kind, section.type)(section.settings, place)


def adapters(loaded: Loaded, place: Place) -> Adapters:
    """Everything that a release acts and looks through."""
    from greenroom import plugins

    sections = loaded.sections
    environment, router = sections.environment, sections.router
    measured = router.type in plugins.known("analyser")
    return Adapters(
        artefact=_make("artefact", environment, place),
        environment=_make("environment", environment, place),
        router=_make("router", router, place),
        analyser=_make("analyser", router, place) if measured else None,
        checks={section.name: _make("check", section, place) for section in sections.checks},
        watches={section.name: _make("check", section, place) for section in sections.watches},
    )


def open_service(file: Path, environ: Mapping[str, str] | None = None) -> Installed:
    """By its file. `UsageError` with every mistake in it, before anything is touched."""
    from greenroom.config.loader import load

    loaded = load(file, os.environ if environ is None else environ)
    return Installed(loaded.service, Path(os.path.abspath(file)), loaded.state, loaded)


def reopen(name: str, file: Path, state: Path, *, create: bool = False) -> Installed:
    """By its state folder, without reading the file."""
    return Installed(name, file, state, create=create)
