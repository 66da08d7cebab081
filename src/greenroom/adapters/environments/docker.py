"""The environment `docker`: one container for each replica of a colour, found again by its labels.

What a colour shall run is in `state/docker/COLOUR.json`; what it does run is asked of Docker. If the two differ, the
status says so in a way that makes the engine apply again: no members if a replica is not there, the role that is held in
truth if workers are missing. Docker itself brings back after a reboot what was live (`unless-stopped`); what is on its
way out is renamed, loses that policy and is then stopped, so that it stays so.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from greenroom.adapters.docker import facts as parity
from greenroom.adapters.docker import foresight
from greenroom.adapters.docker.adopted import Adoption
from greenroom.adapters.docker.containers import Container
from greenroom.adapters.docker.crew import Crew
from greenroom.adapters.docker.health import Inspection, Patient
from greenroom.adapters.docker.output import ascending, stamped
from greenroom.adapters.docker.records import Ledger, Record
from greenroom.adapters.docker.roster import SECRETS, Cast, address_of
from greenroom.adapters.docker.settings import DockerProcess, DockerSettings, of_definition
from greenroom.adapters.docker.staffing import Staffing, present_of
from greenroom.adapters.hosts.fenced import Change, Gone
from greenroom.adapters.slots import Slot, slots
from greenroom.domain.model import Colour, Endpoint, EnvironmentSpec, EnvironmentStatus, Role
from greenroom.errors import Permanent, PortError, Temporary
from greenroom.ports import ActionKey, Capability, Facts, Line, Place, Usage

_CHANGING: dict[tuple[str, str, Colour], threading.RLock] = {}


class DockerEnvironment:
    Settings = DockerSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.ROLES, Capability.HOSTS, Capability.PARITY, Capability.ADOPT, Capability.USAGE}
    )
    problems = staticmethod(foresight.problems)
    hazards = staticmethod(foresight.hazards)

    def __init__(self, settings: DockerSettings, place: Place) -> None:
        self.place = place
        self.ledger = Ledger(place)
        self.crew = Crew(place, settings.socket)
        self._inspection = Inspection(self.ledger.host)
        self._adoption = Adoption(place, self.ledger, self.crew, self._inspection)

    # --- the port

    def observe(self, colour: Colour) -> EnvironmentStatus:
        record = self.ledger.record(colour)
        if record is not None and record.adopted:
            values = self._values(record.spec.release, lenient=True)
            return self._adoption.observe(colour, record, of_definition(record.spec.definition, values), values)
        found = self.crew.all(colour)
        if not found:
            return EnvironmentStatus(colour)
        if record is None or record.removing:
            release = record.spec.release if record else found[0].label("release")
            version = record.spec.version if record else found[0].label("version")
            left = "stopping: " if record else "not expected here: "
            return EnvironmentStatus(colour, release, version, detail=left + ", ".join(c.name for c in found))
        cast = self._cast(colour, record.spec, lenient=True)
        present = present_of(found, record.spec.release)
        role, absent = self._stand(cast, found, present)
        if absent:
            return self._incomplete(cast, found, absent)
        wanted = slots(cast.settings.processes, record.spec.role)
        patients = [self._patient(cast, slot, present[slot.key]) for slot in wanted if slot.key in present]
        seen = self._inspection.look(patients, cast.values, self.crew.lines)
        spec = record.spec
        return EnvironmentStatus(colour, spec.release, spec.version, role, seen.members, (), seen.failed, seen.detail)

    def apply(self, colour: Colour, spec: EnvironmentSpec, key: ActionKey) -> None:
        with self._changing(colour):
            before = self.ledger.record(colour)
            if "adopt" in spec.definition:
                settings = of_definition(spec.definition, self._values(spec.release))
                port = settings.processes[settings.routed].port if settings.routed else 0
                self._adoption.apply(colour, spec, before, key, port)
                return
            cast = self._cast(colour, spec)
            files = self.ledger.keeping(colour, spec.release, cast.secrets())
            if before is not None and before.adopted and not self._left(colour, before, key):
                raise Temporary(f"{colour} is not free yet: {before.adopted} is being stopped", retry_after=0.5)
            if before is None or before.spec.release != spec.release:
                self._known(spec)
            self.ledger.write(colour, Record(spec), key.epoch, *self._outdated(colour, before, spec), *files)
            staffing = Staffing(self.crew, self.ledger, key.epoch)
            staffing.bring(cast, slots(cast.settings.processes, spec.role), self.crew.all(colour))

    def remove(self, colour: Colour, key: ActionKey) -> None:
        with self._changing(colour):
            record = self.ledger.record(colour)
            if record is not None and record.adopted:
                self._adoption.remove(colour, record, key)
                return
            found = self.crew.all(colour)
            if record is not None:
                self.ledger.write(colour, replace(record, removing=True), key.epoch)
            else:
                self.ledger.put(key.epoch)
            Staffing(self.crew, self.ledger, key.epoch).end(colour, found, lambda: self._forget(colour, key))
            if not any(container.running for container in found):
                self._forget(colour, key)

    # --- beyond the port

    def inspect(self, colour: Colour) -> Mapping[str, Facts]:
        record = self.ledger.record(colour)
        if record is None or record.removing:
            return {}
        if record.adopted:
            container = self._adoption.container(record)
            settings = of_definition(record.spec.definition, self._values(record.spec.release, lenient=True))
            return {settings.routed or "web": Facts(self._effective(container))} if container else {}
        cast = self._cast(colour, record.spec, lenient=True)
        present = present_of(self.crew.all(colour), record.spec.release)
        found: dict[str, Facts] = {}
        for slot in slots(cast.settings.processes, record.spec.role):
            if slot.key in present:
                before = found.get(slot.process)
                found[slot.process] = _alike(before, self._facts(cast, slot, present[slot.key]))
        return found

    def usage(self, colour: Colour) -> Usage | None:
        record = self.ledger.record(colour)
        adopted = self._adoption.container(record) if record is not None and record.adopted else None
        return self.crew.usage([adopted] if adopted else self.crew.all(colour))

    def output(self, colour: Colour, last: int, since: float = 0.0) -> Sequence[Line]:
        record = self.ledger.record(colour)
        if record is not None and record.adopted:
            container = self._adoption.container(record)
            containers = {"web-1": container} if container else {}
        else:
            everything = sorted(self.crew.all(colour), key=lambda c: not c.ending)  # the present one wins
            containers = {c.replica: c for c in everything if not c.unstarted}
        lines: list[Line] = []
        for name in self._kept(colour) - containers.keys():
            written = self.ledger.host.read(f"{self.ledger.folder}/output/{colour}/{name}") or b""
            lines += stamped(name, written, last, since)
        for name, container in containers.items():
            with contextlib.suppress(PortError):  # gone meanwhile, or a log driver that cannot be read
                lines += stamped(name, self.crew.written(container, last, since, stamped=True), last, since)
        return ascending(lines)

    # --- inside: looking

    def _stand(
        self, cast: Cast, found: Sequence[Container], present: Mapping[tuple[str, str], Container]
    ) -> tuple[Role | None, list[Slot[DockerProcess]]]:
        """The role that is held in truth, and what is not there although nothing is in its way.

        None while workers are being started or stopped.
        """
        missing = [slot for slot in slots(cast.settings.processes, cast.spec.role) if slot.key not in present]
        workers = [slot for slot in slots(cast.settings.processes, Role.ACTIVE) if slot.worker]
        alive = [c for c in found if c.worker and (c.running or (bool(c.broken) and not c.ending))]
        absent = [slot for slot in missing if not slot.worker]
        if not alive:
            return (Role.IDLE if workers else cast.spec.role), absent
        if cast.spec.role is Role.IDLE:
            return (None if all(self.crew.stopping(c) for c in alive) else Role.ACTIVE), absent
        staff = {present[slot.key].id for slot in workers if slot.key in present}
        older = [c for c in alive if c.id not in staff]
        if not all(self.crew.stopping(c) for c in older) or not older:
            absent = missing if missing else absent
        return (Role.ACTIVE if not older and len(staff) == len(workers) else None), absent

    def _incomplete(
        self, cast: Cast, found: Sequence[Container], absent: Sequence[Slot[DockerProcess]]
    ) -> EnvironmentStatus:
        """Without members: what is not there has to be started."""
        spec, texts, failed = cast.spec, [], ""
        for slot in absent:
            own = [c for c in found if c.slot == slot.key and c.label("release") == spec.release and not c.ending]
            why = f" ({own[0].ended})" if own and not own[0].unstarted and not own[0].running else ""
            texts.append(f"{slot}{why}")
            if own and own[0].hopeless:
                lines = [f"{slot} {own[0].hopeless}", *self.crew.lines(own[0])]
                failed = failed or self._inspection.concealed(lines, cast.values)
        detail = "not running: " + ", ".join(texts)
        return EnvironmentStatus(cast.colour, spec.release, spec.version, failed=failed, detail=detail)

    def _patient(self, cast: Cast, slot: Slot[DockerProcess], container: Container) -> Patient:
        endpoint = None
        if cast.published(slot):
            outside = [
                port for inside, _, port in container.published(slot.settings.port) if inside == slot.settings.port
            ]
            endpoint = Endpoint(address_of(cast.settings, self.place), outside[0]) if outside else None
        routed, health = slot.process == cast.settings.routed, slot.settings.health
        return Patient(
            slot.process, slot.replica, container, endpoint, routed, health.path, health.status, health.timeout
        )

    def _facts(self, cast: Cast, slot: Slot[DockerProcess], container: Container) -> Facts:
        body = cast.body(slot, 1)
        told, plain = (parity.facts(b, b["HostConfig"]) for b in (body, cast.levelled().body(slot, 1)))
        told["networks"] = plain["networks"] = ", ".join(sorted(cast.networks(slot) or ("bridge",)))
        for name, content in cast.secrets().items():
            plain[f"mounts.{SECRETS}/{name}"] = told[f"mounts.{SECRETS}/{name}"] = parity.hashed(content.decode())
        return Facts(parity.levelled(self._effective(container), told, plain), plain)

    def _effective(self, container: Container) -> dict[str, str]:
        secrets = {}
        for mount in container.raw.get("Mounts") or ():
            if str(mount["Destination"]).startswith(f"{SECRETS}/"):
                content = self.ledger.host.read(mount["Source"]) or b""
                secrets[mount["Destination"].removeprefix(f"{SECRETS}/")] = parity.hashed(
                    content.decode("utf-8", "replace")
                )
        return parity.effective(container, self.crew.image(container.image) or {}, secrets)

    def _kept(self, colour: Colour) -> set[str]:
        ran = self.ledger.host.run(["ls", f"{self.ledger.folder}/output/{colour}"])
        return {name for name in ran.out.decode("utf-8", "replace").split("\n") if name and not name.endswith(".new")}

    # --- inside: changing

    @contextlib.contextmanager
    def _changing(self, colour: Colour) -> Iterator[None]:
        """One at a time in this process, whichever release it is for; other processes are kept out by the epoch."""
        with _CHANGING.setdefault((self.ledger.host.name, self.ledger.folder, colour), threading.RLock()):
            yield

    def _left(self, colour: Colour, before: Record, key: ActionKey) -> bool:
        """What was adopted there has ended, or is none of our business: it never was active here."""
        container = self._adoption.container(before)
        if container is None or not container.running or not before.adopted.get("served"):
            return True
        self._adoption.remove(colour, before, key)
        return False

    def _known(self, spec: EnvironmentSpec) -> None:
        if self.crew.image(spec.artefact) is None:
            raise Permanent(
                f"the image of {spec.release} is gone from the machine: {spec.artefact}",
                hint="deploy that version again",
            )

    def _outdated(self, colour: Colour, before: Record | None, spec: EnvironmentSpec) -> list[Change]:
        """Output and secrets of the release before; a container that still ends keeps the files that it has mounted."""
        if before is not None and before.spec.release == spec.release:
            return []
        output = Gone(f"output/{colour}")
        return [output, Gone(self.ledger.secrets_folder(colour, before.spec.release))] if before else [output]

    def _forget(self, colour: Colour, key: ActionKey) -> None:
        """Nothing is left of what was removed, nor of its secrets."""
        with self._changing(colour):
            record = self.ledger.record(colour)
            if record is not None and record.removing and not self.crew.all(colour):
                folder = self.ledger.secrets_folder(colour, record.spec.release)
                self.ledger.put(key.epoch, Gone(folder), Gone(f"{colour}.json"))

    def _cast(self, colour: Colour, spec: EnvironmentSpec, *, lenient: bool = False) -> Cast:
        values = self._values(spec.release, lenient=lenient)
        settings = of_definition(spec.definition, values)
        return Cast(self.place, colour, spec, settings, values, self.ledger.secrets_folder(colour, spec.release))

    def _values(self, release: str, *, lenient: bool = False) -> Mapping[str, str]:
        """`lenient`: for looking, where a value that is not kept any more stays as it is written."""
        if self.place.vault is None:
            return _Unfilled() if lenient else {}
        try:
            found = self.place.vault.values(release)
        except Permanent:
            if not lenient:
                raise
            return _Unfilled()
        return _Unfilled(found) if lenient else found


class _Unfilled(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "${" + name + "}"


def _alike(before: Facts | None, now: Facts) -> Facts:
    """One process, several replicas: where they differ, both texts."""
    if before is None:
        return now
    merged = dict(now.effective)
    for path, text in before.effective.items():
        if merged.get(path) != text:
            merged[path] = " | ".join(dict.fromkeys((text, merged.get(path, "none"))))
    return Facts(merged, now.asked)
