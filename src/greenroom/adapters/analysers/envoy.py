"""Analyser `envoy`: what users of each colour met, from the proxy's own counters."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from greenroom.adapters.envoy import requests
from greenroom.adapters.envoy.admin import Admin, Silent
from greenroom.adapters.envoy.files import Folder
from greenroom.adapters.envoy.requests import ACCESS_LOG, BROKEN, UPGRADED
from greenroom.adapters.envoy.settings import EnvoySettings
from greenroom.adapters.envoy.wire import MIRROR, SHIELD
from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.model import Colour
from greenroom.errors import Temporary
from greenroom.ports import Capability, FailedRequest, Place

_NAME = r"cluster\.(blue|green)(|_front|_shield|_mirror)\.by\.(blue|green|-)"
_REQUESTS = re.compile(rf"greenroom\.requests\.{_NAME}\.code\.(\d+)\.flags\.(.*)")
_LATENCIES = re.compile(rf"greenroom\.ms\.{_NAME}")
_QUERY = "filter=%5Egreenroom%5C.&histogram_buckets=cumulative"


class EnvoyAnalyser:
    """Counts a request when it ends. Latencies follow within a second or so: the proxy merges them once a second."""

    Settings: ClassVar[type[EnvoySettings]] = EnvoySettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.MEASUREMENTS, Capability.LATENCY, Capability.MIRROR, Capability.SHIELD}
    )

    def __init__(self, settings: EnvoySettings, place: Place) -> None:
        self._admin = Admin(Folder(place.state).path)
        self._access_log = place.state.absolute() / ACCESS_LOG

    def measure(self) -> Measurement:
        try:
            values, histograms = self._admin.stats(_QUERY)
        except Silent as error:
            raise Temporary("the proxy does not answer, so nothing can be measured") from error
        sums = {name: _Sum() for name in ("blue", "green", "mirrored")}
        for name, count in values.items():
            if match := _REQUESTS.fullmatch(name):
                sums[_whose(match)].add(_saved(match), match[4], match[5].split(","), count)
        for histogram in histograms:
            match = _LATENCIES.fullmatch(histogram["name"])
            if match and not _saved(match):
                sums[_whose(match)].time(histogram["buckets"])
        blue, green, mirrored = (made.figures() for made in sums.values())
        return Measurement(time.monotonic(), self._admin.peer, blue, green, mirrored)

    def failed(self, colour: Colour, version: str, since: float, last: int) -> Sequence[FailedRequest]:
        """`ports.Recalling`. Envoy writes its log once a second."""
        return requests.failed(self._access_log, colour, version, since, last)


def _whose(match: re.Match[str]) -> str:
    """Whose figures these are: the colour's that a request was for, whoever answered it."""
    return "mirrored" if match[2] == MIRROR else match[1]


def _saved(match: re.Match[str]) -> bool:
    """The other colour answered: after a failure here, or because so many failed that nobody was left to ask."""
    return match[2] == SHIELD and match[3] == Colour(match[1]).other


class _Sum:
    def __init__(self) -> None:
        self._statuses: Counter[str] = Counter()
        self._latency: Counter[float] = Counter()
        self._errors = self._shielded = 0

    def add(self, saved: bool, code: str, flags: Sequence[str], count: int) -> None:
        broken = code != UPGRADED and BROKEN.intersection(flags)
        failed = int(code) >= 500 or bool(broken)
        self._errors += count if failed or saved else 0
        if saved and not failed:
            # The answer is the other colour's, and no success of this one.
            self._shielded += count
        else:
            self._statuses[code] += count

    def time(self, buckets: Sequence[Mapping[str, Any]]) -> None:
        self._latency.update({float(b["upper_bound"]): int(b["cumulative"]) for b in buckets})

    def figures(self) -> Figures:
        bounds = sorted(self._latency.items())
        latency = (*bounds, (math.inf, bounds[-1][1])) if bounds else ()
        requests = self._statuses.total() + self._shielded
        return Figures(requests, self._errors, dict(self._statuses), latency, self._shielded)
