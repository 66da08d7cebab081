"""The places of a colour: one for each replica of each process, whether something stands in it or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from greenroom.domain.model import Role


class Staffing(Protocol):
    """What the settings of a process say of how many there are, and when."""

    @property
    def replicas(self) -> int: ...

    @property
    def runs(self) -> str: ...


P = TypeVar("P", bound=Staffing)


@dataclass(frozen=True, slots=True)
class Slot(Generic[P]):
    """One replica of one process, whether it runs or not."""

    process: str
    replica: int
    settings: P

    @property
    def key(self) -> tuple[str, str]:
        return self.process, str(self.replica)

    @property
    def worker(self) -> bool:
        return self.settings.runs == "active"

    def __str__(self) -> str:
        return f"{self.process}-{self.replica}"


def slots(processes: Mapping[str, P], role: Role) -> list[Slot[P]]:
    """All that shall run in this role; workers last."""
    found = [Slot(name, n, p) for name, p in processes.items() for n in range(1, p.replicas + 1)]
    return sorted((s for s in found if role is Role.ACTIVE or not s.worker), key=lambda s: s.worker)
