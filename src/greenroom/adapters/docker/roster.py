"""What a release consists of on a colour, container by container, in the words of Docker's API."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from greenroom.adapters.docker.limits import ContainerSettings, Mount, merged
from greenroom.adapters.docker.settings import DockerProcess, DockerSettings
from greenroom.adapters.process.commands import words
from greenroom.adapters.slots import Slot
from greenroom.domain.model import Colour, EnvironmentSpec
from greenroom.domain.template import fill, reveal
from greenroom.errors import Permanent
from greenroom.ports import Place

LABEL = "greenroom."
HEALTH_WITHIN = 5.0
SECRETS = "/run/secrets"


def address_of(settings: DockerSettings, place: Place) -> str:
    """Where the published ports of this machine are reached."""
    published = settings.publish or place.address
    return place.address if published in ("0.0.0.0", "::") else published


@dataclass(frozen=True, slots=True)
class Cast:
    """Makes the containers of one release on one colour. `values`: of the release's `${NAME}`.

    `folder`: where on that machine the files of its secrets are.
    """

    place: Place
    colour: Colour
    spec: EnvironmentSpec
    settings: DockerSettings
    values: Mapping[str, str]
    folder: str = ""
    level: bool = False
    """`{colour}`, `{version}` and the like stay as they are written."""

    def name(self, slot: Slot[DockerProcess]) -> str:
        return f"{self.place.service}-{self.colour}-{slot}"

    def published(self, slot: Slot[DockerProcess]) -> bool:
        """Its port is reachable from outside: it has the traffic, or its health is asked by HTTP."""
        return slot.process == self.settings.routed or slot.settings.health.path is not None

    def labels(self, slot: Slot[DockerProcess], body: Mapping[str, Any], epoch: int) -> dict[str, str]:
        told = {
            "service": self.place.service,
            "colour": str(self.colour),
            "process": slot.process,
            "replica": str(slot.replica),
            "release": self.spec.release,
            "version": self.spec.version,
            "runs": slot.settings.runs,
            "spec-hash": hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16],
            "epoch": str(epoch),
            "home": str(self.place.state),
        }
        return {f"{LABEL}{name}": value for name, value in told.items()}

    def body(self, slot: Slot[DockerProcess], port: int = 0) -> dict[str, Any]:
        """What `POST /containers/create` wants. `port`: where its own is published, 0 for nowhere."""
        process, limits = slot.settings, merged(self.settings, slot.settings)
        networks = limits.networks or ()
        ports = self._bindings(slot, port)
        wanted: dict[str, Any] = {
            "Image": self.spec.artefact,
            "Cmd": self._command(slot, process.command),
            "Entrypoint": self._command(slot, process.entrypoint),
            "WorkingDir": process.directory,
            "User": limits.user,
            "Env": [f"{name}={value}" for name, value in self.variables(slot).items()],
            "ExposedPorts": {name: {} for name in ports} or None,
            "StopSignal": process.stop.signal,
            "StopTimeout": math.ceil(process.stop.timeout),
            "Healthcheck": self._healthcheck(slot),
            "HostConfig": {**self._host(slot, limits), **({"PortBindings": ports} if ports else {})},
            "NetworkingConfig": {"EndpointsConfig": {networks[0]: {}}} if networks else None,
        }
        return {key: value for key, value in wanted.items() if value is not None}

    def levelled(self) -> Cast:
        """The same in the words of the definition, for texts that must not differ between colours and versions."""
        return replace(self, level=True)

    def networks(self, slot: Slot[DockerProcess]) -> tuple[str, ...]:
        return merged(self.settings, slot.settings).networks or ()

    def variables(self, slot: Slot[DockerProcess]) -> dict[str, str]:
        own = {**self.settings.env, **slot.settings.env}
        names = self.names(slot)
        return {
            **{name: self.reveal(fill(text, names)) for name, text in own.items()},
            "PORT": str(slot.settings.port),
            "GREENROOM_SERVICE": self.place.service,
            "GREENROOM_COLOUR": str(self.colour),
            "GREENROOM_VERSION": self.spec.version,
            "GREENROOM_RELEASE": self.spec.release,
        }

    def names(self, slot: Slot[DockerProcess]) -> dict[str, str]:
        if self.level:
            return {}
        spec, port = self.spec, str(slot.settings.port)
        return {"colour": str(self.colour), "version": spec.version, "release": spec.release, "port": port}

    def secrets(self) -> dict[str, bytes]:
        """The files of /run/secrets."""
        return {name: self.reveal(text).encode() for name, text in self.settings.secrets.items()}

    def reveal(self, text: str) -> str:
        try:
            return str(reveal(text, self.values))
        except KeyError as error:
            raise Permanent(
                f"the value of ${{{error.args[0]}}} is not kept for {self.spec.release}",
                hint="deploy that version again, with the variable set",
            ) from None

    # --- parts of the body

    def _command(self, slot: Slot[DockerProcess], command: str | Sequence[str] | None) -> list[str] | None:
        """Split first, then filled: a version is never read by a shell."""
        if command is None:
            return None
        names = self.names(slot)
        if not isinstance(command, str):
            return [fill(word, names) for word in command]
        split = words(command)
        if split[:2] == ("/bin/sh", "-c"):
            return ["/bin/sh", "-c", fill(command, {name: shlex.quote(value) for name, value in names.items()})]
        return [fill(word, names) for word in split]

    def _healthcheck(self, slot: Slot[DockerProcess]) -> dict[str, Any] | None:
        """Ours, else the image's at our pace: with its own 30 s a release would wait for nothing."""
        health = slot.settings.health
        if health.path:
            return None
        pace = {"Interval": _nanoseconds(health.interval), "StartPeriod": _nanoseconds(health.timeout)}
        if not health.command:
            return pace
        text = fill(health.command, {name: shlex.quote(value) for name, value in self.names(slot).items()})
        return {"Test": ["CMD-SHELL", text], "Timeout": _nanoseconds(HEALTH_WITHIN), "Retries": 2, **pace}

    def _bindings(self, slot: Slot[DockerProcess], port: int) -> dict[str, list[dict[str, str]]]:
        found: dict[str, list[dict[str, str]]] = {}
        if port:
            own = {"HostIp": self.settings.publish or self.place.address, "HostPort": str(port)}
            found[f"{slot.settings.port}/tcp"] = [own]
        for fixed in slot.settings.fixed_ports:
            rest, _, protocol = fixed.partition("/")
            *host, outside, inside = rest.split(":")
            where = {"HostIp": host[0] if host else "", "HostPort": outside}
            found.setdefault(f"{inside}/{protocol or 'tcp'}", []).append(where)
        return found

    def _host(self, slot: Slot[DockerProcess], limits: ContainerSettings) -> dict[str, Any]:
        security = list(limits.security_opt or ())
        if limits.no_new_privileges:
            security.append("no-new-privileges:true")
        log = limits.log
        wanted: dict[str, Any] = {
            "Memory": limits.memory,
            "MemorySwap": limits.memory,  # the same: no swap beside it
            "NanoCpus": round(limits.cpus * 1e9) if limits.cpus else None,
            "PidsLimit": limits.pids,
            "ShmSize": limits.shm_size,
            "Ulimits": [{"Name": n, "Soft": v, "Hard": v} for n, v in (limits.ulimits or {}).items()] or None,
            "ReadonlyRootfs": limits.read_only,
            "Tmpfs": {path: options for path, _, options in (t.partition(":") for t in limits.tmpfs or ())} or None,
            "CapDrop": list(limits.cap_drop or ()) or None,
            "CapAdd": list(limits.cap_add or ()) or None,
            "SecurityOpt": security or None,
            "NetworkMode": limits.networks[0] if limits.networks else None,
            "Mounts": [*map(self._mount, limits.volumes or ()), *self._secret_mounts()] or None,
            "ExtraHosts": list(limits.extra_hosts or ()) or None,
            "Init": limits.init,
            "LogConfig": {"Type": log.driver or "", "Config": dict(log.options)} if log else None,
            "RestartPolicy": {"Name": limits.restart or "unless-stopped"},
        }
        return {key: value for key, value in wanted.items() if value is not None}

    def _mount(self, mount: Mount) -> dict[str, Any]:
        source = mount.source if mount.named else path_of(mount, self.place)
        kind = "volume" if mount.named else "bind"
        return {"Type": kind, "Source": source, "Target": mount.target, "ReadOnly": mount.read_only}

    def _secret_mounts(self) -> list[dict[str, Any]]:
        return [
            {"Type": "bind", "Source": f"{self.folder}/{name}", "Target": f"{SECRETS}/{name}", "ReadOnly": True}
            for name in self.settings.secrets
        ]


def path_of(mount: Mount, place: Place) -> str:
    """The path of a bind on the machine: what starts with a dot is beside the file."""
    source = os.path.expanduser(mount.source)
    return os.path.normpath(place.file.absolute().parent / source)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
