"""What we have said of a colour, as it stands in the tags of its ECS services: the record lives with what it is about.

A tag is read, compared and written, not written on a condition: of two engines at the very same instant both may pass.
The lease keeps them apart; the tag stops the one that slept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, fields

from greenroom.adapters.aws.ecs.names import PREFIX, tag_value
from greenroom.domain.model import Role
from greenroom.errors import Permanent

REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Mark:
    """`task`: what the service is to run, as `family:revision`; `told`: what ECS has accepted of that, and `since`: when the
    deployment began that does it, by ECS's clock. `count`: how many tasks a release was told to have, when it was last told.

    `role`: active, idle or removed; "" if we never said anything. `scaling`: how its autoscaling was before we suspended
    it, "" if we have not.
    """

    service: str = ""
    release: str = ""
    version: str = ""
    role: str = ""
    epoch: int = 0
    task: str = ""
    told: str = ""
    since: str = ""
    count: str = ""
    scaling: str = ""

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> Mark:
        found = {f.name: tags.get(PREFIX + f.name, "") for f in fields(cls) if f.name != "epoch"}
        epoch = 0
        with contextlib.suppress(ValueError):
            epoch = int(tags.get(f"{PREFIX}epoch", "0"))
        return cls(epoch=epoch, **found)

    @property
    def counted(self) -> int | None:
        """None if that is not known."""
        return int(self.count) if self.count.isdigit() else None

    @property
    def begun(self) -> float:
        """0 if that is not known."""
        try:
            return float(self.since or 0)
        except ValueError:
            return 0.0

    @property
    def holds(self) -> Role | None:
        """The role that the colour was given; None if nothing is to run there."""
        return Role(self.role) if self.role in (Role.ACTIVE, Role.IDLE) else None

    def changes(self, wanted: Mark) -> dict[str, str]:
        """The tags that must be written for it to be so."""
        found = {}
        for f in fields(self):
            old, new = str(getattr(self, f.name)), str(getattr(wanted, f.name))
            if old != new:
                found[PREFIX + f.name] = tag_value(new, f"the {f.name}")
        return found

    def admit(self, epoch: int, where: str) -> None:
        """`Permanent` for who acts under an older lease than the newest that we know of."""
        if epoch < self.epoch:
            raise Permanent(
                f"{where} was changed under a newer lease ({self.epoch}) than ours ({epoch}).",
                hint="Another Greenroom is in charge now; this one has to stop.",
            )

    def belongs(self, service: str, where: str) -> None:
        """`Permanent` if another service of Greenroom's works with it."""
        if self.service and self.service != service and self.holds is not None:
            raise Permanent(
                f"{where} belongs to the service {self.service!r} of Greenroom, which runs {self.version} there.",
                hint="Two services cannot share it: correct `services`, or `cluster`.",
            )
