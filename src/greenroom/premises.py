"""Where a service's adapters work: this machine, or the hosts of its file; and what they stand on there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from greenroom import plugins
from greenroom.ports import Host, Journal, Place, Vault

if TYPE_CHECKING:
    from greenroom.adapters.supervisor.client import Supervisord
    from greenroom.config.planning import Ground
    from greenroom.engine.followers import Cursors

STATE_ON_HOST = "/var/lib/greenroom"
"""Where a service's folder is on a host that says nothing else."""


class Cabinet(Vault, Protocol):
    """A vault that can be looked through, to keep what is in it out of what people read."""

    def every(self) -> list[Mapping[str, str]]: ...


class Remembering:
    """What a release was given never changes, and is asked for at every look: it is fetched once."""

    def __init__(self, vault: Cabinet) -> None:
        self._vault = vault
        self._known: dict[str, Mapping[str, str]] = {}

    def values(self, release: str) -> Mapping[str, str]:
        if release not in self._known:
            self._known[release] = self._vault.values(release)
        return self._known[release]

    def pin(self, release: str, values: Mapping[str, str]) -> None:
        self._vault.pin(release, values)
        self._known[release] = dict(values)

    def forget(self, release: str) -> None:
        self._known.pop(release, None)
        self._vault.forget(release)

    def every(self) -> list[Mapping[str, str]]:
        return self._vault.every()


class Premises:
    """One service's. Each thing is made when it is asked for, once. `ground` None: this machine alone."""

    def __init__(self, service: str, file: Path, state: Path, ground: Ground | None = None) -> None:
        self.service, self.file, self.state, self.ground = service, file, state, ground
        self._hosts: dict[str, Host] = {}

    @property
    def here(self) -> bool:
        """All is on this machine: a resident engine watches over it."""
        return self.ground is None or not (self.ground.hosts or self.ground.afar)

    @cached_property
    def supervisor(self) -> Supervisord:
        from greenroom.adapters.supervisor.client import Supervisord

        return Supervisord(self.state, self.service)

    @cached_property
    def vault(self) -> Cabinet:
        """Beside the journal: who continues a release on another machine needs both. Afar, on the machine that gives the
        command: nothing is started there with them, and another machine has its own environment.
        """
        if self.ground is None or not self.ground.hosts:
            from greenroom.adapters.vault import FileVault

            return FileVault(self.state / "secrets")
        from greenroom.adapters.vault import HostVault

        home = self.ground.home
        return Remembering(HostVault(self.host(home), f"{self.state_on(home)}/secrets"))

    @property
    def beside(self) -> bool:
        """The journal is a file in this machine's state folder."""
        return self.ground is None or self.ground.journal.type == "sqlite"

    def journal(self, *, create: bool) -> Journal:
        """Raises `JournalUnusable` in its several kinds."""
        if self.ground is None or self.beside:
            from greenroom.adapters.journals.sqlite import SqliteJournal

            if create:
                self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
            return SqliteJournal(self.state / "journal.db", service=self.service, create=create)
        kept = self.ground.journal
        journal: Journal = plugins.find("journal", kept.type).at(kept.settings, self.home, create=create)
        return journal

    @cached_property
    def cursors(self) -> Cursors:
        """How far notifiers were told: beside the journal, or every new runner would tell of the last release again, as it
        does afar.
        """
        from greenroom.engine.followers import CursorFile

        if self.ground is None or not self.ground.hosts:
            return CursorFile(self.state / "notified.json")
        from greenroom.adapters.hosts.cursors import HostCursors

        return HostCursors(self.host(self.ground.home), self.state_on(self.ground.home))

    @property
    def home(self) -> Place:
        """Where the journal and the secrets are."""
        return self.place(self.ground.home if self.ground is not None else "")

    def host(self, name: str) -> Host:
        assert self.ground is not None
        if name not in self._hosts:
            section = self.ground.hosts[name]
            self._hosts[name] = plugins.find("host", section.type)(name, section.settings, folder=self.file.parent)
        return self._hosts[name]

    def state_on(self, name: str) -> str:
        assert self.ground is not None
        return str(getattr(self.ground.hosts[name].settings, "state", None) or f"{STATE_ON_HOST}/{self.service}")

    def place(self, name: str = "", *, apart: bool = False) -> Place:
        """On this host ("": this machine). `apart`: its ports must be reached from the routers' machines."""
        if self.ground is None or not name:
            from greenroom.adapters.hosts.local import LocalHost

            return Place(self.service, self.file, self.state, self.supervisor, self.vault, LocalHost())
        section = self.ground.hosts[name]
        address = section.settings.address if apart else "127.0.0.1"
        return Place(self.service, self.file, Path(self.state_on(name)), None, self.vault, self.host(name), address)
