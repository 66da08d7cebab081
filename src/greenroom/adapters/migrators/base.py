"""What every migrator answers from the ledger alone, wherever its SQL comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from greenroom.adapters.database.settings import DatabaseSettings
from greenroom.adapters.database.target import Target, beside, of
from greenroom.domain.opinion import Finding
from greenroom.domain.schema import Order, SchemaState
from greenroom.errors import GreenroomError, UsageError
from greenroom.ports import Place

_PATIENCE = 4.0
_Settings = TypeVar("_Settings", bound=DatabaseSettings)


def settled(settings: _Settings, place: Place) -> _Settings:
    """As written, with paths from the folder of the file, as all paths in it are."""
    return settings.model_copy(update={"url": beside(settings.url, place.file.absolute().parent)})


class LedgerMigrator(Generic[_Settings]):
    """What reads SQL is loaded when it is needed: `rollback` must not wait for it."""

    settings: _Settings

    def observe(self, service: str) -> SchemaState:
        from greenroom.adapters.database.state import state

        try:
            session = self._target().open("status", patience=_PATIENCE)
            try:
                return state(session, service)
            finally:
                session.close()
        except GreenroomError as error:
            return SchemaState(unseen=error.message)

    def hold(self, order: Order, going_back: bool) -> Finding:
        from greenroom.adapters.database.contracting import hold

        return hold(self._target(), order, going_back)

    def foresee(self, order: Order) -> Sequence[str]:
        from greenroom.adapters.database.contracting import foresee

        return foresee(self._target(), order, self.settings)

    def restore(self, order: Order, name: str) -> Finding:
        from greenroom.adapters.database.contracting import restore

        return restore(self._target(), order, name)

    def _rehearsing(self, rehearsing: bool) -> _Settings:
        return self.settings if rehearsing else self.settings.model_copy(update={"shadow": ""})

    def _target(self) -> Target:
        return of(self.settings.url)

    def _unusable(self) -> list[str]:
        """Addresses that cannot be read, or libraries that are missing."""
        found = []
        for name, url in (("url", self.settings.url), *(("replicas", one) for one in self.settings.backfill.replicas)):
            try:
                of(url, copy=name == "replicas")
            except UsageError as error:
                found.append(f"migrations.{name}: {error.message}; {error.hint}")
        return found
