"""Analyser `haproxy`: what users of each colour met, counted inside HAProxy by status and time to the first byte.

Counters of the running process, so nothing is lost while Greenroom is not there, and nothing has to listen.
"""

from __future__ import annotations

import time
from typing import ClassVar

from greenroom.adapters.haproxy import figures, runtime
from greenroom.adapters.haproxy.figures import Answers
from greenroom.adapters.haproxy.layout import Layout
from greenroom.adapters.haproxy.runtime import Line, Silent
from greenroom.adapters.haproxy.settings import HaproxySettings
from greenroom.adapters.hosts.local import LocalHost
from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.model import Colour
from greenroom.errors import Temporary
from greenroom.ports import Capability, Place


class HaproxyAnalyser:
    """Counts a request when it ends. Latencies are of answers that replicas gave."""

    Settings: ClassVar[type[HaproxySettings]] = HaproxySettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.MEASUREMENTS, Capability.LATENCY})

    def __init__(self, settings: HaproxySettings, place: Place) -> None:
        self._layout = Layout.of(settings, place)
        self._line = Line(place.host or LocalHost(), settings.socket)

    def measure(self) -> Measurement:
        layout = self._layout
        commands = ["show info", f"show table {layout.figures}"]
        commands += [f"show stat {layout.users(colour)} 2 -1" for colour in Colour]
        try:
            text = self._line.say(commands)
        except Silent as error:
            raise Temporary(f"HAProxy does not answer, so nothing can be measured: {error}") from error
        rows, incarnation = runtime.rows(text), runtime.incarnation(text)
        if not incarnation or any((layout.users(colour), "BACKEND") not in rows for colour in Colour):
            raise Temporary("HAProxy has not loaded Greenroom's file, so nothing can be measured")
        answers = figures.read(text)
        blue, green = (_figures(rows[layout.users(colour), "BACKEND"], answers[colour]) for colour in Colour)
        return Measurement(time.monotonic(), incarnation, blue, green)


def _figures(row: dict[str, str], answers: Answers) -> Figures:
    """Of the backend's row, for the servers' rows miss requests that reached none.

    A request that a reused connection lost is counted nowhere but in the difference of begun, ended and open ones.
    """

    def number(name: str) -> int:
        return int(row.get(name) or 0)

    lost = max(0, number("stot") - number("req_tot") - number("scur"))
    broken = max(lost, number("srv_abrt"))
    statuses = dict(answers.statuses)
    # HAProxy's own answers, when no replica gave one.
    if own := max(0, number("hrsp_5xx") - sum(n for status, n in statuses.items() if status.startswith("5"))):
        statuses["no answer"] = own
    return Figures(number("req_tot") + lost, number("hrsp_5xx") + broken, statuses, answers.latency)
