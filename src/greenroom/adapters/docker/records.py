"""What a colour shall run, and on which ports, in a folder on the machine of the containers: `state/docker/`.

`COLOUR.json` is the order, `ports-COLOUR.json` where its replicas are published, for ever: the router has to learn other
addresses only when a stranger took one. `secrets/RELEASE-COLOUR/` holds files that containers have mounted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from greenroom.adapters.hosts.fenced import Change, Folder, Gone, Write, put
from greenroom.adapters.hosts.local import LocalHost
from greenroom.domain.model import Colour, EnvironmentSpec, Role
from greenroom.errors import Permanent
from greenroom.ports import Host, Place


@dataclass(frozen=True, slots=True)
class Record:
    """`adopted`: what was taken over instead of made, see `adopted.py`."""

    spec: EnvironmentSpec
    removing: bool = False
    adopted: Mapping[str, Any] = field(default_factory=dict)

    def dump(self) -> bytes:
        document = {
            "release": self.spec.release,
            "version": self.spec.version,
            "artefact": self.spec.artefact,
            "role": str(self.spec.role),
            "definition": dict(self.spec.definition),
            "removing": self.removing,
            "adopted": dict(self.adopted),
        }
        return json.dumps(document).encode()


class Ledger:
    def __init__(self, place: Place) -> None:
        self.host: Host = place.host or LocalHost()
        self.folder = f"{place.state.absolute()}/docker"

    def record(self, colour: Colour) -> Record | None:
        found = self._read(f"{colour}.json")
        if found is None:
            return None
        try:
            parts = (found["release"], found["version"], found["artefact"], Role(found["role"]), found["definition"])
            return Record(EnvironmentSpec(*parts), found["removing"], found["adopted"])
        except (KeyError, ValueError, TypeError):
            return None

    def ports(self, colour: Colour) -> dict[str, int]:
        """By replica (`web-1`)."""
        found = self._read(f"ports-{colour}.json") or {}
        return {name: port for name, port in found.items() if isinstance(port, int)}

    def write(self, colour: Colour, record: Record, epoch: int, *changes: Change) -> None:
        self.put(epoch, Write(f"{colour}.json", record.dump()), *changes)

    def remember(self, colour: Colour, ports: Mapping[str, int], epoch: int) -> None:
        if self.ports(colour) != ports:
            self.put(epoch, Write(f"ports-{colour}.json", json.dumps(dict(ports)).encode()))

    def forget(self, colour: Colour, epoch: int) -> None:
        self.put(epoch, Gone(f"{colour}.json"))

    def put(self, epoch: int, *changes: Change) -> None:
        """`Permanent` where the folder was changed under a newer lease."""
        put(self.host, self.folder, epoch, *changes)

    def fence(self, epoch: int) -> None:
        """The same question just before something is done, for who slept since."""
        newest = (self.host.read(f"{self.folder}/epoch") or b"").strip()
        if newest.isdigit() and int(newest) > epoch:
            raise Permanent(
                f"the containers were changed under a newer lease ({int(newest)}) than ours ({epoch})",
                hint="another Greenroom is in charge now; this one has to stop",
            )

    # --- secrets

    def secrets_folder(self, colour: Colour, release: str) -> str:
        return f"{self.folder}/secrets/{release}-{colour}"

    def keeping(self, colour: Colour, release: str, files: Mapping[str, bytes]) -> list[Change]:
        """Folders that only their owner may enter; the files can be read by whoever the container runs as."""
        if not files:
            return []
        folder = self.secrets_folder(colour, release)
        return [
            Folder("secrets"),
            Folder(folder),
            *(Write(f"{folder}/{name}", content, 0o444) for name, content in files.items()),
        ]

    def _read(self, name: str) -> dict[str, Any] | None:
        content = self.host.read(f"{self.folder}/{name}")
        try:
            found = json.loads(content) if content else None
        except ValueError:
            return None
        return found if isinstance(found, dict) else None
