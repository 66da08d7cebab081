"""Analyser `nginx`: what users of each colour met, from a log that nginx writes for it; nginx itself counts nothing.

An answer that breaks off in its middle looks in the log like a user who left: it is not counted as an error.
"""

from __future__ import annotations

import time
from typing import ClassVar

from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.nginx.log import Reader
from greenroom.adapters.nginx.probe import Seen, look
from greenroom.adapters.nginx.render import REQUESTS
from greenroom.adapters.nginx.settings import NginxSettings
from greenroom.adapters.nginx.shelf import TOKEN
from greenroom.adapters.nginx.state import State
from greenroom.domain.figures import Measurement
from greenroom.domain.model import Colour
from greenroom.errors import Temporary
from greenroom.ports import Capability, Place


class NginxAnalyser:
    """Counts a request when it ends. Latency ends with the first byte, so that long downloads do not look slow."""

    Settings: ClassVar[type[NginxSettings]] = NginxSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.MEASUREMENTS, Capability.LATENCY, Capability.HOSTS}
    )

    def __init__(self, settings: NginxSettings, place: Place) -> None:
        self._settings, self._service = settings, place.service
        self._host = place.host or LocalHost()
        self._folder = settings.place(place.service)
        self._token = ""
        self._reader = Reader(self._host, f"{self._folder}/{REQUESTS}")

    def measure(self) -> Measurement:
        self._refuse_silence()
        self._reader.read()
        blue, green = (self._reader.tallies[colour].figures for colour in Colour)
        return Measurement(time.monotonic(), self._reader.incarnation, blue, green)

    def _refuse_silence(self) -> None:
        """A log that nobody writes to is no sign that all is well."""
        if not self._token:
            self._token = (self._host.read(f"{self._folder}/{TOKEN}") or b"").decode().strip()
        seen = look(self._host, self._settings.entrance, self._service, self._token) if self._token else None
        if not isinstance(seen, Seen) or State.read(seen.state) is None:
            self._token = ""
            raise Temporary("nginx does not answer by Greenroom's files, so nothing can be measured")
