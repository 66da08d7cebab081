"""How the replicas of a colour are, asked side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from greenroom.adapters.process import health
from greenroom.adapters.process.output import evidence
from greenroom.adapters.process.roster import Cast, log_file
from greenroom.adapters.process.settings import ProcessSettings
from greenroom.adapters.slots import Slot
from greenroom.adapters.supervisor.inherit import inherited
from greenroom.domain.model import Endpoint, Health, Member
from greenroom.domain.template import conceal
from greenroom.ports import Life, Place, ProgramStatus

STEADY = 1.0
"""Seconds that a process without a health check must have run to count as healthy."""
PATIENCE = 3.0
"""Seconds for which a process that was healthy may be late with its answers: a pause, a busy machine."""

Staffed = Sequence[tuple[Slot[ProcessSettings], ProgramStatus]]


@dataclass(frozen=True, slots=True)
class Seen:
    members: tuple[Member, ...]
    failed: str
    detail: str


class Inspection:
    """Remembers, for as long as a process lives, that it was healthy once, that the port is its own, and since when its
    answers have been late."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._healthy: set[tuple[str, int]] = set()
        self._owners: set[tuple[str, int, int]] = set()
        self._late: dict[tuple[str, int], float] = {}

    def look(self, cast: Cast, staffed: Staffed) -> Seen:
        running = [(slot, status) for slot, status in staffed if status.life is Life.RUNNING]
        probes = {status.program.name: self._probe(cast, slot, status) for slot, status in running}
        within = health.ANSWER_WITHIN + 0.1
        if any(slot.settings.health.command for slot, _ in running):
            within += health.COMMAND_WITHIN
        answers = health.ask_all(probes, within)
        members = tuple(self._member(cast, slot, status, answers) for slot, status in staffed)
        return self._summary(cast, staffed, members)

    def _probe(self, cast: Cast, slot: Slot[ProcessSettings], status: ProgramStatus) -> Callable[[], health.Answer]:
        wanted, name, pid, port = slot.settings.health, status.program.name, status.pid, status.program.port
        routed = slot.process == cast.settings.routed
        told = "{port}" in slot.settings.command or status.restarts > 0  # what ended has another reason to be silent

        def probe() -> health.Answer:
            if (wanted.path or routed) and (name, pid, port) not in self._owners:
                if stranger := health.listening(pid, port):
                    unaware = isinstance(stranger, health.Silent) and not told
                    return stranger + ("; its command has no `{port}`: does it listen on $PORT?" if unaware else "")
                self._owners.add((name, pid, port))
            if wanted.path:
                return health.http(port, wanted.path, wanted.status)
            if wanted.command:
                plain, secret = cast.variables(slot, port)
                environment = {k: v.replace("{port}", str(port)) for k, v in plain.items()}
                text = wanted.command.replace("{port}", str(port))
                environment = {**inherited(), **environment, **secret}
                return health.command(text, status.program.directory, environment, slot.settings.user)
            if not routed and time.time() - status.since < STEADY:
                return "was started a moment ago"
            if routed and not health.accepts(port):
                return f"nothing answers on port {port}"
            return ""

        return probe

    def _member(
        self, cast: Cast, slot: Slot[ProcessSettings], status: ProgramStatus, answers: Mapping[str, str]
    ) -> Member:
        program = status.program
        answer = answers.get(program.name, status.detail or f"is {status.life}")
        me = (program.name, status.pid)
        if self._patient(me, answer) or not answer:
            self._healthy.add(me)
            found = Health.HEALTHY
        elif status.life is Life.FAILED or status.restarts or me in self._healthy:
            found = Health.UNHEALTHY
        else:
            late = status.since and time.time() - status.since > slot.settings.health.timeout
            found = Health.UNHEALTHY if late else Health.STARTING
        said = (status.detail, answer) if status.restarts else (answer, status.detail)
        detail = "; ".join(dict.fromkeys(text for text in said if text))
        endpoint = Endpoint("127.0.0.1", program.port) if program.port else None
        routed = slot.process == cast.settings.routed
        return Member(slot.process, slot.replica, found, endpoint, routed, detail, status.restarts)

    def _patient(self, me: tuple[str, int], answer: str) -> bool:
        """It was healthy, and is late for the first moments only."""
        if not isinstance(answer, health.Late):
            self._late.pop(me, None)
            return False
        since = self._late.setdefault(me, time.monotonic())
        return me in self._healthy and time.monotonic() - since < PATIENCE

    def _summary(self, cast: Cast, staffed: Staffed, members: tuple[Member, ...]) -> Seen:
        """The first that is not well stands for all, with the end of its output."""
        failed = detail = ""
        for (slot, status), member in zip(staffed, members, strict=True):
            if member.health is Health.HEALTHY:
                continue
            lines = evidence(log_file(self.place, cast.colour, slot))
            text = "\n  ".join([f"{slot} {member.detail}", *(conceal(line, cast.values) for line in lines)])
            detail = detail or text
            if status.life is Life.FAILED:
                failed = failed or text
        return Seen(members, failed, detail)
