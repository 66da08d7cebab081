"""What ran before Greenroom came, taken over as it is: a container of somebody else's, or only an address.

Nothing of it is made, renamed or deleted. A container is started again if it has died, and stopped when its time is over:
once it has been the active one here. Where the adoption came to nothing it is left as it was, for it serves somebody's
users by a way that we do not know; so is an upstream that is no container.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from greenroom.adapters.docker.containers import Container
from greenroom.adapters.docker.crew import Crew
from greenroom.adapters.docker.health import Inspection, Patient
from greenroom.adapters.docker.records import Ledger, Record
from greenroom.adapters.docker.settings import DockerProcess, DockerSettings
from greenroom.domain.model import Colour, Endpoint, EnvironmentSpec, EnvironmentStatus, Role
from greenroom.errors import Permanent, Temporary
from greenroom.ports import ActionKey, Place

STOP_TIMEOUT = 10.0
"""Docker's own, for containers that say nothing."""


class Adoption:
    def __init__(self, place: Place, ledger: Ledger, crew: Crew, inspection: Inspection) -> None:
        self.place, self.ledger, self.crew, self.inspection = place, ledger, crew, inspection

    def observe(
        self, colour: Colour, record: Record, settings: DockerSettings, secrets: Mapping[str, str]
    ) -> EnvironmentStatus:
        spec, adopted = record.spec, record.adopted
        container = self.container(record)
        if record.removing and "upstream" in adopted:
            left = f"the upstream {adopted['upstream']} was left running: Greenroom did not start it"
            return EnvironmentStatus(colour, detail=left)
        if record.removing and not adopted.get("served"):
            return EnvironmentStatus(colour, detail=f"the container {adopted['name']} was left as it was")
        if record.removing:
            alive = container is not None and container.running
            text = f"stopping: {adopted['name']}"
            return (
                EnvironmentStatus(colour, spec.release, spec.version, detail=text)
                if alive
                else EnvironmentStatus(colour)
            )
        if "upstream" not in adopted and (container is None or not container.running):
            why = f"{container.ended}" if container else "is gone"
            detail = f"the adopted container {adopted['name']} {why}"
            return EnvironmentStatus(colour, spec.release, spec.version, detail=detail)
        seen = self.inspection.look([self._patient(record, settings, container)], secrets, self.crew.lines)
        return EnvironmentStatus(
            colour, spec.release, spec.version, spec.role, seen.members, (), seen.failed, seen.detail
        )

    def apply(self, colour: Colour, spec: EnvironmentSpec, before: Record | None, key: ActionKey, usual: int) -> None:
        """`usual`: the port inside that the next versions listen on, where it publishes several."""
        asked = spec.definition["adopt"]
        if "upstream" in asked:
            _parted(asked["upstream"])
            self.ledger.write(colour, Record(spec, adopted={"upstream": asked["upstream"]}), key.epoch)
            return
        known = before.adopted if before is not None and before.adopted.get("name") == asked["container"] else {}
        container = (self.crew.find(known["id"]) if known else None) or self.crew.find(asked["container"])
        if container is None:
            raise Permanent(
                f"there is no container {asked['container']} to adopt", hint="`docker ps` shows those that there are"
            )
        if container.label("service"):
            raise Permanent(
                f"{container.name} belongs to the service {container.label('service')} already",
                hint="adopt what Greenroom did not start",
            )
        if known.get("id") != container.id:
            if not container.running:
                raise Permanent(
                    f"{container.name} does not run", hint=f"`docker start {container.name}`, then adopt it"
                )
            inside, _ = published(container, 0, self.place, usual)
            policy = container.raw["HostConfig"].get("RestartPolicy") or {}
            known = {"id": container.id, "name": asked["container"], "port": inside, "policy": policy}
        known = {**known, "served": known.get("served", False) or spec.role is Role.ACTIVE}
        self.ledger.write(colour, Record(spec, adopted=known), key.epoch)
        self._raise(container, known["policy"])

    def _raise(self, container: Container, policy: Mapping[str, Any]) -> None:
        """As it was before we stopped it, and up."""
        with self.crew.engine(changing=True) as engine:
            if container.policy != (policy.get("Name") or "no"):
                engine.api.update_container(container.id, restart_policy=dict(policy))
            if not container.running:
                engine.api.start(container.id)

    def remove(self, colour: Colour, record: Record, key: ActionKey) -> None:
        """Stopped, never deleted; and not started by a reboot. Only forgotten, where it was never active here."""
        self.ledger.write(colour, replace(record, removing=True), key.epoch)
        container = self.container(record) if record.adopted.get("served") else None
        if container is not None and container.running:
            self.crew.hold(container)
            timeout = container.raw["Config"].get("StopTimeout")
            self.crew.stop(container, STOP_TIMEOUT if timeout is None else float(timeout), lambda _: None)

    def container(self, record: Record) -> Container | None:
        """By its id: another one of the same name is another one."""
        return self.crew.find(record.adopted["id"]) if "id" in record.adopted else None

    def _patient(self, record: Record, settings: DockerSettings, container: Container | None) -> Patient:
        name = settings.routed or "web"
        process = settings.processes.get(name, DockerProcess())
        if container is None:
            endpoint = Endpoint(*_parted(record.adopted["upstream"]))
        else:
            _, endpoint = published(container, record.adopted["port"], self.place)
        health = process.health
        return Patient(name, 1, container, endpoint, True, health.path, health.status, health.timeout)


def published(container: Container, port: int, place: Place, usual: int = 0) -> tuple[int, Endpoint]:
    """The port inside, and where it is reached; of several the `usual` one. `Permanent` if that is unclear."""
    found = {}
    for inside, address, outside in container.published(port):
        everywhere = address in ("", "0.0.0.0", "::")
        if inside not in found or everywhere:
            found[inside] = Endpoint(place.address if everywhere else address, outside)
    if not found and any(container.raw["HostConfig"].get("PortBindings") or ()):
        raise Temporary(f"{container.name} is on its way up: its port is not published yet", retry_after=0.5)
    if not found:
        what = f"its port {port}" if port else "a port"
        raise Permanent(
            f"{container.name} does not publish {what} on the machine, so no router can be sent there",
            hint="adopt the address that your router uses instead: `upstream`, host:port",
        )
    if usual in found:
        return usual, found[usual]
    if len(found) > 1:
        raise Permanent(
            f"{container.name} publishes several ports: {', '.join(map(str, sorted(found)))}",
            hint="say which one has the traffic: `port` of the routed process, as it is inside the container",
        )
    return next(iter(found.items()))


def _parted(upstream: str) -> tuple[str, int]:
    host, _, port = str(upstream).rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise Permanent(f"{upstream!r} is no upstream", hint="write it like 127.0.0.1:8080")
    return host.strip("[]"), int(port)
