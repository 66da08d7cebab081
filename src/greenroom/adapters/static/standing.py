"""What a colour was asked to hold, and in which role."""

from __future__ import annotations

import json
from dataclasses import dataclass

from greenroom.domain.model import (
    Colour,
    Endpoint,
    EnvironmentSpec,
    EnvironmentStatus,
    Health,
    Member,
    Role,
)


@dataclass(frozen=True, slots=True)
class Standing:
    """`id`: of the version. `epoch`: of the lease under which it was asked for."""

    release: str
    version: str
    id: str
    role: Role
    epoch: int = 0

    @classmethod
    def of(cls, spec: EnvironmentSpec, name: str, epoch: int) -> Standing:
        return cls(spec.release, spec.version, name, spec.role, epoch)

    def dumps(self) -> bytes:
        document = {
            "release": self.release,
            "version": self.version,
            "id": self.id,
            "role": str(self.role),
            "epoch": self.epoch,
        }
        return json.dumps(document).encode()


def read_standing(raw: bytes | None) -> Standing | None:
    """None for anything else."""
    try:
        document = json.loads(raw) if raw else None
    except ValueError:
        return None
    match document:
        case {
            "release": str(release),
            "version": str(version),
            "id": str(name),
            "role": str(role),
            "epoch": int(epoch),
        }:
            return Standing(release, version, name, Role(role), epoch) if role in set(Role) else None
    return None


def status(colour: Colour, standing: Standing, wrong: str) -> EnvironmentStatus:
    """One member that is there, and well if nothing is `wrong`. What is wrong with files does not mend itself."""
    endpoint = Endpoint(standing.id, 0)
    health = Health.UNHEALTHY if wrong else Health.HEALTHY
    member = Member("web", 1, health, endpoint, detail=wrong)
    return EnvironmentStatus(
        colour, standing.release, standing.version, standing.role, (member,), failed=wrong, detail=wrong
    )
