"""Bringing a colour to what it shall run: what does not belong there ends, what is missing is made.

A replica is made only when its predecessor has gone: it gets the same port, and a worker is never there twice. Until then
it counts as missing, and the engine applies again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from greenroom.adapters.docker.adopted import STOP_TIMEOUT
from greenroom.adapters.docker.containers import Container
from greenroom.adapters.docker.crew import Crew, PortTaken, side_by_side
from greenroom.adapters.docker.output import KEPT, end_of
from greenroom.adapters.docker.ports import Ports, listened
from greenroom.adapters.docker.records import Ledger
from greenroom.adapters.docker.roster import Cast
from greenroom.adapters.docker.settings import DockerProcess
from greenroom.adapters.hosts.fenced import Folder, Write
from greenroom.adapters.slots import Slot
from greenroom.domain.model import Colour
from greenroom.errors import Permanent, Temporary

_TRIES = 5


def usable(container: Container) -> bool:
    """It runs, or it was tried and cannot."""
    return not container.lost and (container.running or bool(container.broken))


def present_of(found: Sequence[Container], release: str) -> dict[tuple[str, str], Container]:
    """Those of this release that stand, by process and replica."""
    present: dict[tuple[str, str], Container] = {}
    for container in found:
        if not container.ending and container.label("release") == release and usable(container):
            present.setdefault(container.slot, container)
    return present


@dataclass(frozen=True, slots=True)
class Staffing:
    crew: Crew
    ledger: Ledger
    epoch: int

    def bring(self, cast: Cast, wanted: Sequence[Slot[DockerProcess]], found: Sequence[Container]) -> None:
        """Everything else on this colour ends; what is missing and has no predecessor that lives is started."""
        present = present_of(found, cast.spec.release)
        kept = {c.id for slot in wanted if (c := present.get(slot.key)) and not c.broken}
        halted = {
            c.slot: c
            for c in found
            if not (c.ending or c.lost or c.unstarted or c.running) and c.label("release") == cast.spec.release
        }
        missing = [slot for slot in wanted if slot.key not in present or present[slot.key].broken]
        again = {slot.key: halted[slot.key] for slot in missing if slot.key in halted}
        leaving = [c for c in found if c.id not in kept and c not in again.values()]
        self.end(cast.colour, leaving)
        busy = {c.slot for c in leaving if c.running}
        ready = [slot for slot in missing if slot.key not in busy]
        if not ready:
            return
        taken = listened(self.ledger.host) | self.crew.published()
        ports = Ports(self.ledger, cast.settings, cast.place.service, cast.colour, taken, self.epoch)
        side_by_side([partial(self._up, cast, slot, again.get(slot.key), ports) for slot in ready])

    def end(self, colour: Colour, leaving: Sequence[Container], afterwards: Callable[[], None] = lambda: None) -> None:
        """`afterwards`: called, in the background, whenever one that still ran has gone for good."""
        if leaving:
            self.ledger.fence(self.epoch)
        side_by_side([partial(self._end, colour, container, afterwards) for container in leaving])

    def _end(self, colour: Colour, container: Container, afterwards: Callable[[], None]) -> None:
        def finish(ended: Container) -> None:
            self._finish(colour, ended)
            afterwards()

        if container.running:
            timeout = container.raw["Config"].get("StopTimeout")
            self.crew.end(container, STOP_TIMEOUT if timeout is None else float(timeout), finish)
        elif not self.crew.stopping(container):
            self._finish(colour, container)

    def _finish(self, colour: Colour, container: Container) -> None:
        """The end of its output is kept, the container is not. What another release wrote is nobody's answer any more."""
        record = self.ledger.record(colour)
        meant = record is not None and record.spec.release == container.label("release")
        if meant and not container.unstarted:
            with contextlib.suppress(Temporary):  # a full disk keeps nothing from ending
                written = end_of(self.crew.written(container, KEPT, stamped=True))
                folder = f"output/{colour}"
                file = Write(f"{folder}/{container.replica}", written)
                self.ledger.put(self.epoch, Folder("output"), Folder(folder), file)
        self.crew.discard(container)

    # --- one replica

    def _again(self, halted: Container, cast: Cast, slot: Slot[DockerProcess]) -> bool:
        """The same container goes on, unless its port was taken. After a reboot Docker may have been quicker."""
        try:
            self.crew.start(halted, cast, slot)
        except PortTaken:
            now = self.crew.find(halted.id)
            if now is None or not now.running:
                self._finish(cast.colour, halted)
                return False
        return True

    def _up(self, cast: Cast, slot: Slot[DockerProcess], halted: Container | None, ports: Ports) -> None:
        self.ledger.fence(self.epoch)
        if halted is not None and self._again(halted, cast, slot):
            return
        why = ""
        for _ in range(_TRIES):
            made = self.crew.create(cast, slot, ports.of(str(slot)) if cast.published(slot) else 0, self.epoch)
            try:
                self.ledger.fence(self.epoch)
                self.crew.start(made, cast, slot)
            except PortTaken as error:
                why = str(error)
                self.crew.discard(made)
                if slot.settings.fixed_ports:
                    break
            except Permanent:
                self.crew.discard(made)
                raise
            else:
                return
        raise Temporary(
            f"{slot} of {cast.spec.version} cannot be published: {why}",
            retry_after=5.0,
            hint="`docker ps` or `ss -ltnp` on that machine shows who listens there",
        )
