"""The composition root: one service with everything that a command needs of it.

What a command may not need is imported where it is used: `rollback` must not wait for it.

`open_service(file)` is for commands, which have the file; `reopen(state, …)` for the resident engine and `status`,
which need only what the journal and the vault have pinned: the file may be broken or gone by then.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from greenroom import __version__, enquiry, plugins, standing
from greenroom.adapters.journals.machine import owner
from greenroom.control import Accepted
from greenroom.domain.commands import Command
from greenroom.domain.model import Verdict
from greenroom.domain.plan import Plan, Step
from greenroom.domain.schema import Order
from greenroom.engine.world import case_of
from greenroom.errors import GreenroomError, LockHeld, PortError, Refused, Unobservable, UsageError
from greenroom.ports import Approving, Capability, Owner, Program
from greenroom.standing import Standing

if TYPE_CHECKING:
    from greenroom.config.loader import Ground


REHEARSAL = 10.0
"""Seconds for which a drill gives the candidate its share of the traffic."""


class Engine(Protocol):
    """Works in a thread of this process, from the first `wake` on."""

    def wake(self) -> None: ...

    def close(self) -> None: ...


@dataclass
class Installed(Standing):
    """The service, and what may be asked of it: commands are written down, and an engine is woken for them."""

    engine: Engine | None = None
    """One in this process, for a service that has no resident one."""

    # --- commands ---------------------------------------------------------------------------------------------

    def by(self) -> str:
        """Who gives the command, for the journal."""
        return f"{_person()[0]}@{socket.gethostname()}"

    def groups(self) -> tuple[str, ...]:
        """Of the system, that whoever gives the command is in."""
        user, main = _person()
        with contextlib.suppress(OSError, KeyError):
            return tuple(sorted(grp.getgrgid(number).gr_name for number in os.getgrouplist(user, main)))
        return ()

    def objection(self) -> str:
        """Why whoever gives the command may not approve what waits now; "" if they may, or nothing waits."""
        service = self.control.state()
        gate = service.running.asking if service.running is not None else None
        if gate is None or not gate.people:
            return ""
        made = self.adapters_for(service)
        asked: object = made.gates.get(gate.name)
        if not isinstance(asked, Approving):
            return ""
        return asked.objection(case_of(service, made, self.control.now(), gate=gate.name), self.by(), self.groups())

    def owner(self, text: str = "") -> Owner:
        return owner(text or f"{self.by()} pid {os.getpid()}")

    def deploy(self, version: str, why: str = "", *, keep: bool = False, overrides: Sequence[str] = ()) -> Accepted:
        """Write the request down, with the file and the values of its variables pinned to the release.

        `overrides`: gates that are not to be asked, for the reason `why`.
        """
        assert self.loaded is not None
        more = {"overrides": dict.fromkeys(overrides, why)} if overrides else {}
        return self._begin("deploy", version, why, replace(self.loaded.plan, keep=keep), **more)

    def rehearse(self, version: str, why: str = "") -> Accepted:
        """Ask for a drill: a hundredth of the traffic there and back. `version` "": the one that is live."""
        assert self.loaded is not None
        router = self.loaded.sections.router.type
        if Capability.WEIGHTS not in getattr(plugins.find("router", router), "capabilities", (Capability.WEIGHTS,)):
            text = f"the router `{router}` can only switch all traffic at once: a drill would show it to everybody"
            raise Refused(text, hint="`greenroom deploy VERSION`, then `greenroom rollback`, when users may see it")
        steps = (Step(1, REHEARSAL), Step(100))
        drill = replace(self.loaded.plan, steps=steps, bake=REHEARSAL, gates=(), keep_failed=0.0, rehearsal=True)
        return self._begin("rehearse", version, why, drill)

    def _begin(self, verb: str, version: str, why: str, plan: Plan, **more: Any) -> Accepted:
        loaded = self.loaded
        assert loaded is not None
        details = {"version": version, "plan": plan.document(), "definition": loaded.document, "file": str(self.file)}
        command = Command(verb, self.by(), why, {**details, **more})
        accepted = self.control.ask(command, lambda release: self._pin(release, loaded.secrets, plan))
        self._wake(accepted)
        return accepted

    def adopt(self, version: str, taken: Mapping[str, str], why: str = "") -> Accepted:
        """Write down that this version, which runs already, is to be the active one. `taken`: `container` or `upstream`."""
        loaded = self.loaded
        assert loaded is not None
        plan = replace(loaded.plan, steps=(Step(100),), gates=(), checks=(), bake=0.0, keep=True)
        definition = {**loaded.document, "adopt": dict(taken)}
        details = {"version": version, "plan": plan.document(), "definition": definition, "file": str(self.file)}
        command = Command("adopt", self.by(), why, {**details, "adopt": dict(taken)})
        accepted = self.control.ask(command, lambda release: self._pin(release, loaded.secrets))
        self._wake(accepted)
        return accepted

    def _pin(self, release: str, values: Mapping[str, str], plan: Plan | None = None) -> Mapping[str, Any]:
        """What the journal is to keep of it: the migrations' checksums."""
        try:
            self.vault.pin(release, values)
            if plan is None or not plan.migrates or (migrator := self.migrator()) is None:
                return {}
            pinned = migrator.pin(release)
            return {} if pinned is None else {"migrations": dict(pinned)}
        except PortError as error:
            hint = error.hint or "nothing was begun, the traffic is not affected: make room there, then try again"
            raise Unobservable(error.message, hint=hint) from error

    def request(self, verb: str, why: str = "", **details: Any) -> Accepted:
        """Any other command that the engine carries out."""
        held = self._hold(going_back=True) if verb == "rollback" else False
        try:
            accepted = self.control.ask(Command(verb, self.by(), why, details))
        except (Refused, LockHeld):
            if held:
                self._hold(going_back=False)
            raise
        self._wake(accepted)
        return accepted

    def _hold(self, *, going_back: bool) -> bool:
        """Say in the shared database that the version before comes back: under the lock that a contract takes.

        `Refused` if what it needs is gone. A database that cannot be asked stops nobody: the journal would know of a
        contract, which is never begun while there is a version to go back to.
        """
        service = self.control.state()
        if service.running is not None or service.active is None or not service.active.plan.migrates:
            return False
        try:
            made = self.adapters_for(service)
            if made.migrator is None:
                return False
            found = made.migrator.hold(self.order(), going_back)
        except (PortError, UsageError):
            return False
        if found.verdict is Verdict.FAIL and going_back:
            forward = "the way is forward: `greenroom deploy VERSION` with what mends it"
            raise Refused(found.reason, hint="" if "greenroom db restore" in found.reason else forward)
        return found.verdict is Verdict.PASS

    def order(self) -> Order:
        """For whom this command asks a migrator: under the lease of whoever acts now, which it does not take from them."""
        control = self.control
        lease, entries = control.lease(), control.entries(max(0, control.state().seq - 50))
        epoch = lease.epoch if lease is not None else max((entry.epoch for entry in entries), default=0)
        return standing.order_of(self.name, control.state(), self.by(), control.now(), epoch)

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
        ground = self.premises.ground
        if ground is None or self.premises.beside:
            return {}
        from greenroom.config.source import read
        from greenroom.domain.template import secret_names

        names = secret_names(read(self.file).document.get("journal"))
        begin = tuple(getattr(plugins.find("journal", ground.journal.type), "variables", ()))
        return {name: value for name, value in os.environ.items() if name in names or name.startswith(begin)}

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


def _person() -> tuple[str, int]:
    """The user, by the system and not by what the environment says; whom sudo works for, behind root. And its main group."""
    number = os.getuid()
    if number == 0 and os.environ.get("SUDO_UID", "").isdigit():
        number = int(os.environ["SUDO_UID"])
    try:
        found = pwd.getpwuid(number)
    except KeyError:
        return str(number), os.getgid()
    return found.pw_name, found.pw_gid


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
    if not (source.document.get("hosts") or source.document.get("journal")):  # afar there is always a journal
        return None
    from greenroom.config.loader import load_ground

    return load_ground(source, os.environ if environ is None else environ)
