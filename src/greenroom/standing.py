"""What stands of a service: its journal and vault, its adapters, and what they show. Asks nothing of anybody."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenroom.control import ControlPlane
from greenroom.domain.release import Service
from greenroom.domain.schema import Order
from greenroom.domain.template import conceal, secret_names
from greenroom.engine.world import Adapters
from greenroom.errors import GreenroomError, JournalMissing, Permanent, Unobservable
from greenroom.ports import Capability, Journal, Migrator, Notifier, Place
from greenroom.premises import Cabinet, Premises

if TYPE_CHECKING:
    from greenroom.adapters.supervisor.client import Supervisord
    from greenroom.config.loader import Ground, Loaded
    from greenroom.domain.observation import Seen


@dataclass
class Standing:
    """By its file (`loaded`), or by its state folder and what the journal has pinned. What is made is made once.

    `ground`: where a service lives whose file was not read as a whole.
    """

    name: str
    file: Path
    state: Path
    loaded: Loaded | None = None
    create: bool = True
    ground: Ground | None = None
    _made: dict[str, Adapters] = field(default_factory=dict)
    _told: dict[str, tuple[Notifier, ...]] = field(default_factory=dict)
    _brought: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Values of `${NAME}` that this machine's environment has, and its vault has not."""

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
        for values in (*self._secrets, self._brought):
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

            loaded = from_document(definition, self.given(release, definition), self.file)
            self._made = {release: self._assembled(loaded)}
        return self._made[release]

    def given(self, release: str, definition: Mapping[str, Any]) -> Mapping[str, str]:
        """The values of `${NAME}`. Of a service afar, another runner's environment has them if this machine has not."""
        try:
            return self.vault.values(release)
        except Permanent:
            if self.premises.ground is None or not self.premises.ground.afar:
                raise
            names = secret_names(definition)
            if missing := sorted(name for name in names if name not in os.environ):
                raise Permanent(
                    f"The secrets of {release} are not on this machine, and its environment lacks {', '.join(missing)}.",
                    hint="Set them as they were for that release, then give the command again.",
                ) from None
            self._brought = {name: os.environ[name] for name in names}
            return self._brought

    def notifiers_for(self, service: Service) -> tuple[Notifier, ...]:
        """Of the last release's file; made once for each release."""
        release = service.release
        if release is None:
            return ()
        if release.id not in self._told:
            from greenroom import assembly
            from greenroom.config.loader import from_document

            loaded = from_document(release.definition, self.given(release.id, release.definition), self.file)
            self._told = {release.id: assembly.notifiers(loaded, self.premises)}
        return self._told[release.id]

    def migrator(self) -> Migrator | None:
        """Of the file where it was read, else of what is live; None where there are no migrations."""
        from greenroom import assembly

        if self.loaded is not None:
            return assembly.migrator_of(self.loaded, self.place)
        return self.adapters_for(self.control.state()).migrator

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

    def gates(self) -> Mapping[str, bool]:
        """Those of the file, by name: whether a person may override it."""
        from greenroom import plugins

        assert self.loaded is not None
        return {
            section.name: bool(getattr(plugins.find("gate", section.type), "OVERRIDE", False))
            for section in self.loaded.sections.gates
        }

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


def order_of(name: str, service: Service, by: str, now: float, epoch: int = 0) -> Order:
    """For whom a migrator is asked outside a release: what is live, and what is beside it."""
    active, warm = service.active, service.warm_at(now)
    if active is None:
        return Order(name, "", "", by, epoch, now)
    colours = {str(active.colour): active.version, str(active.colour.other): warm.deployed.version if warm else ""}
    order = Order(name, active.release, active.version, by, epoch, now, running=active.version)
    return replace(order, colours=colours, artefact=active.artefact)
