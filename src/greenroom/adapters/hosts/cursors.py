"""How far each notifier was told, kept on a host."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from greenroom.adapters.hosts.fenced import Write, put
from greenroom.errors import PortError
from greenroom.ports import Host

log = logging.getLogger(__name__)


class HostCursors:
    """One JSON object in a file. What cannot be read or written costs a second telling, never a lost one."""

    def __init__(self, host: Host, folder: str) -> None:
        self._host, self._folder = host, f"{folder}/notified"

    def load(self) -> Mapping[str, int]:
        try:
            raw = self._host.read(f"{self._folder}/cursors.json")
            return {str(name): int(seq) for name, seq in json.loads(raw).items()} if raw else {}
        except (PortError, ValueError, AttributeError) as error:
            log.warning("what was told is not known (%s); it may be told again", error)
            return {}

    def save(self, cursors: Mapping[str, int]) -> None:
        """Raises `PortError`s."""
        put(self._host, self._folder, 0, Write("cursors.json", json.dumps(dict(cursors)).encode()))
