"""The composition root: one service with everything that a command needs of it.

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
from typing import TYPE_CHECKING, Any, Protocol

from greenroom import __version__, enquiry
from greenroom.adapters.journals.machine import owner
from greenroom.control import Accepted, ControlPlane
from greenroom.domain.commands import Command
from greenroom.domain.plan import Step
from greenroom.domain.release import Service
from greenroom.domain.template import conceal
from greenroom.engine.world import Adapters
from greenroom.errors import GreenroomError, JournalMissing, PortError, Unobservable
from greenroom.ports import Capability, Journal, Notifier, Owner, Place, Program
from greenroom.premises import Cabinet, Premises

if TYPE_CHECKING:
    from greenroom.adapters.supervisor.client import Supervisord
    from greenroom.config.loader import Ground, Loaded
    from greenroom.domain.observation import Seen


class Engine(Protocol):
    """Works in a thread of this process, from the first `wake` on."""

    def wake(self) -> None: ...

    def close(self) -> None: ...


@dataclass
class Installed:
    """A service on this machine: its folder, its journal, and everything that can be reached from there."""

    name: str
    file: Path
    state: Path
    loaded: Loaded | None = None
    create: bool = True
    ground: Ground | None = None
    engine: Engine | None = None
    """One in this process, for a service that has no resident one."""
    _made: dict[str, Adapters] = field(default_factory=dict)
    _told: dict[str, tuple[Notifier, ...]] = field(default_factory=dict)

    @cached_property
    def premises(self) -> Premises:
        ground = self.loaded.sections.ground if self.loaded is not None else self.ground
        return Premises(self.name, self.file, self.state, ground)

    @property
    def here(self) -> bool:
        """All is on this machine, where a resident engine watches over it; else the command's own engine works."""
        return self.premises.here

    @cached_property
    def journal(self) -> Journal:
        """Raises `JournalUnusable` in its several kinds."""
        return self.premises.journal(create=self.create)

    @property
    def adopts(self) -> bool:
        """The environment can take over what runs already."""
        from greenroom import plugins

        assert self.loaded is not None
        adapter = plugins.find("environment", self.loaded.sections.environment.type)
        return Capability.ADOPT in getattr(adapter, "capabilities", ())

    @property
    def begun(self) -> bool:
        """There is a journal already. Makes none to find that out."""
        if "journal" in self.__dict__:
            return True
        if self.premises.beside and not (self.state / "journal.db").exists():
            return False
        try:
            self.__dict__["journal"] = self.premises.journal(create=False)
        except JournalMissing:
            return False
        return True

    @cached_property
    def control(self) -> ControlPlane:
        return ControlPlane(self.journal)

    @property
    def supervisor(self) -> Supervisord:
        return self.premises.supervisor

    @property
    def vault(self) -> Cabinet:
        return self.premises.vault

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
        """This machine's."""
        return self.premises.place()

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
        return self._assembled(self.loaded)

    def _assembled(self, loaded: Loaded) -> Adapters:
        from greenroom import assembly

        return assembly.adapters(loaded, self.premises)

    def _adapters(self, release: str, definition: Mapping[str, Any]) -> Adapters:
        if release not in self._made:
            from greenroom.config.loader import from_document

            loaded = from_document(definition, self.vault.values(release), self.file)
            self._made = {release: self._assembled(loaded)}
        return self._made[release]

    def notifiers_for(self, service: Service) -> tuple[Notifier, ...]:
        """Of the last release's file; made once for each release."""
        release = service.release
        if release is None:
            return ()
        if release.id not in self._told:
            from greenroom import assembly
            from greenroom.config.loader import from_document

            loaded = from_document(release.definition, self.vault.values(release.id), self.file)
            self._told = {release.id: assembly.notifiers(loaded, self.premises)}
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

    def adopt(self, version: str, taken: Mapping[str, str], why: str = "") -> Accepted:
        """Write down that this version, which runs already, is to be the active one. `taken`: `container` or `upstream`."""
        loaded = self.loaded
        assert loaded is not None
        plan = replace(loaded.plan, steps=(Step(100),), checks=(), bake=0.0, keep=True)
        definition = {**loaded.document, "adopt": dict(taken)}
        details = {"version": version, "plan": plan.document(), "definition": definition, "file": str(self.file)}
        command = Command("adopt", self.by(), why, {**details, "adopt": dict(taken)})
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
            secrets=self._journal_variables(),
            output=self.state / "logs" / "engine.log",
            stop_timeout=15.0,
            keep=True,
        )

    def _journal_variables(self) -> Mapping[str, str]:
        """A supervisor keeps the variables of no shell, and a journal elsewhere is found by some of them."""
        if self.premises.beside:
            return {}
        from greenroom.config.source import read
        from greenroom.domain.template import secret_names

        names = secret_names(read(self.file).document.get("journal"))
        return {name: os.environ[name] for name in names if name in os.environ}

    def ensure_engine(self) -> None:
        """Somebody is awake: the resident engine runs under the supervisor, and looks at the journal now."""
        if not self.here:
            if self.engine is not None:
                self.engine.wake()
            return
        answer = enquiry.ask(self.state, "poke", timeout=0.3)
        if answer is None or answer.get("version") != __version__:  # an older engine gives way to ours
            (self.state / "logs").mkdir(parents=True, exist_ok=True)
            self.supervisor.apply(self.engine_program())
            enquiry.ask(self.state, "poke", timeout=0.3)

    def close(self) -> None:
        """The command is at its end."""
        if self.engine is not None:
            self.engine.close()

    def shutdown(self) -> None:
        """End the engine, the router and the supervisor itself; returns at once."""
        if self.here:
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
        """What is wrong with the file's parts on their machines, before anything is touched."""
        from greenroom import assembly

        assert self.loaded is not None
        return assembly.problems(self.loaded, self.premises)

    def prepare(self) -> Mapping[str, list[str]]:
        """By host: what people have to add to their proxy's own files, once; the router's first files are written."""
        from greenroom import assembly

        assert self.loaded is not None
        return assembly.prepare(self.loaded, self.premises)

    def hazards(self) -> list[str]:
        """Facts for which users would notice a deploy that works."""
        from greenroom import assembly

        assert self.loaded is not None
        return assembly.hazards(self.loaded, self.premises)


def open_service(file: Path, environ: Mapping[str, str] | None = None) -> Installed:
    """By its file. `UsageError` with every mistake in it, before anything is touched."""
    from greenroom.config.loader import load

    loaded = load(file, os.environ if environ is None else environ)
    return Installed(loaded.service, Path(os.path.abspath(file)), loaded.state, loaded)


def reopen(name: str, file: Path, state: Path, *, create: bool = False, ground: Ground | None = None) -> Installed:
    """By its state folder, without reading the file; `ground` for a service that lives elsewhere."""
    return Installed(name, file, state, create=create, ground=ground)


def ground_of(file: Path, environ: Mapping[str, str] | None = None) -> Ground | None:
    """Where the service of this file lives, if not on this machine alone. Reads nothing else of the file."""
    from greenroom.config.source import read

    source = read(file)
    if not (source.document.get("hosts") or source.document.get("journal")):
        return None
    from greenroom.config.loader import load_ground

    return load_ground(source, os.environ if environ is None else environ)
