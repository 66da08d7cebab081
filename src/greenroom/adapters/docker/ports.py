"""On which ports of the machine replicas are published: the same for ever, unless a stranger takes one."""

from __future__ import annotations

import threading
from collections.abc import Collection

from greenroom.adapters.docker.records import Ledger
from greenroom.adapters.docker.settings import DockerSettings, first_port
from greenroom.domain.model import Colour
from greenroom.errors import Permanent
from greenroom.ports import Host

_LISTENING = "0A"
_REACH = 2000
"""How many ports are tried from the first one on."""


class Ports:
    """Of one colour, while its containers are made. `taken`: where somebody listens now, ours not counted."""

    def __init__(
        self, ledger: Ledger, settings: DockerSettings, service: str, colour: Colour, taken: Collection[int], epoch: int
    ) -> None:
        self._ledger, self._colour, self._epoch = ledger, colour, epoch
        self._first = first_port(settings, service)
        self._known = ledger.ports(colour)
        self._avoid = {*taken}
        self._others = {*ledger.ports(colour.other).values()}
        self._guard = threading.Lock()

    def of(self, replica: str) -> int:
        """Remembered before anything is published there."""
        with self._guard:
            port = self._known.get(replica, 0)
            if port in self._avoid or not self._first <= port < self._first + _REACH:
                port = self._free()
            self._avoid.add(port)
            self._known[replica] = port
            self._ledger.remember(self._colour, self._known, self._epoch)
            return port

    def _free(self) -> int:
        not_these = self._avoid | self._others | {*self._known.values()}
        for port in range(self._first, min(self._first + _REACH, 65536)):
            if port not in not_these:
                return port
        raise Permanent(
            f"no port from {self._first} to {self._first + _REACH - 1} is free",
            hint="set `environment.ports` to another",
        )


def listened(host: Host) -> set[int]:
    """Where somebody listens on that machine, at whatever address, as far as it says."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in (host.read(table) or b"").decode("ascii", "replace").splitlines()[1:]:
            cells = line.split()
            if len(cells) > 3 and cells[3] == _LISTENING:
                found.add(int(cells[1].rpartition(":")[2], 16))
    return found
