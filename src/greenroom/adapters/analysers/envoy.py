"""Analyser `envoy`: what users of each colour met, from the proxy's own counters."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from greenroom.adapters.envoy.admin import Admin, Silent
from greenroom.adapters.envoy.files import Folder
from greenroom.adapters.envoy.settings import EnvoySettings
from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.model import Colour
from greenroom.errors import Temporary
from greenroom.ports import Capability, Place

_REQUESTS = re.compile(r"greenroom\.requests\.cluster\.(blue|green)\.code\.(\d+)\.flags\.(.*)")
_BROKEN = frozenset({"UC", "UR", "UPE", "UT", "UMSDR", "LR", "OM"})
"""Envoy's flags of an answer that broke off on our side, whatever its status said when it began."""
_UPGRADED = "101"
"""A WebSocket that the application closes looks broken off as well."""
_QUERY = "filter=%5Egreenroom%5C.&histogram_buckets=cumulative"


class EnvoyAnalyser:
    """Counts a request when it ends. Latencies follow within a second or so: the proxy merges them once a second."""

    Settings: ClassVar[type[EnvoySettings]] = EnvoySettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.MEASUREMENTS, Capability.LATENCY})

    def __init__(self, settings: EnvoySettings, place: Place) -> None:
        self._admin = Admin(Folder(place.state).path)

    def measure(self) -> Measurement:
        try:
            values, histograms = self._admin.stats(_QUERY)
        except Silent as error:
            raise Temporary("the proxy does not answer, so nothing can be measured") from error
        blue, green = (_figures(colour, values, histograms) for colour in Colour)
        return Measurement(time.monotonic(), self._admin.peer, blue, green)


def _figures(colour: Colour, values: Mapping[str, Any], histograms: Sequence[Mapping[str, Any]]) -> Figures:
    statuses: Counter[str] = Counter()
    errors = 0
    for name, count in values.items():
        match = _REQUESTS.fullmatch(name)
        if match and match[1] == colour:
            statuses[match[2]] += count
            broken = match[2] != _UPGRADED and _BROKEN.intersection(match[3].split(","))
            errors += count if int(match[2]) >= 500 or broken else 0
    latency: tuple[tuple[float, int], ...] = ()
    for histogram in histograms:
        if histogram["name"] == f"greenroom.ms.cluster.{colour}":
            bounds = [(float(b["upper_bound"]), int(b["cumulative"])) for b in histogram["buckets"]]
            latency = (*bounds, (math.inf, bounds[-1][1] if bounds else 0))
    return Figures(statuses.total(), errors, dict(statuses), latency)
