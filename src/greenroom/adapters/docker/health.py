"""How the containers of a colour are, asked side by side."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from greenroom.adapters.docker.containers import Container
from greenroom.adapters.process.health import ANSWER_WITHIN, Answer, Late, Silent, ask_all, judged
from greenroom.domain.excerpt import condensed
from greenroom.domain.model import Endpoint, Health, Member
from greenroom.domain.template import conceal
from greenroom.ports import Host

STEADY = 1.0
"""Seconds that a process without a health check must have run to count as healthy."""
PATIENCE = 3.0
"""Seconds for which one that was healthy may be late with its answers: a pause, a busy machine."""
_CLOSED_WITHIN = 0.15
"""Docker's proxy takes every connection, and closes it at once where nothing listens behind it."""


@dataclass(frozen=True, slots=True)
class Patient:
    """Whom to ask, and what. `container` None: it is not ours, only its endpoint is known."""

    process: str
    replica: int
    container: Container | None
    endpoint: Endpoint | None
    routed: bool
    path: str | None = None
    status: int | None = None
    timeout: float = 30.0

    @property
    def name(self) -> str:
        return f"{self.process}-{self.replica}"

    @property
    def me(self) -> tuple[str, str]:
        return self.container.me if self.container else (str(self.endpoint), "")


@dataclass(frozen=True, slots=True)
class Looked:
    members: tuple[Member, ...]
    failed: str
    detail: str


class Inspection:
    """Remembers, for as long as a container runs, that it was healthy once, and since when its answers have been late."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._healthy: set[tuple[str, str]] = set()
        self._late: dict[tuple[str, str], float] = {}

    def look(
        self, patients: Sequence[Patient], secrets: Mapping[str, str], lines: Callable[[Container], list[str]]
    ) -> Looked:
        """`lines`: the last ones that a container wrote."""
        probes = {
            patient.name: self._probe(patient)
            for patient in patients
            if patient.container is None or (patient.container.running and not patient.container.restarting)
        }
        answers = ask_all(probes, ANSWER_WITHIN + 0.1)
        members = tuple(self._member(patient, answers) for patient in patients)
        failed = detail = ""
        for patient, member in zip(patients, members, strict=True):
            container = patient.container
            if member.health is Health.HEALTHY:
                continue
            written = condensed(lines(container)) if container else []
            text = self.concealed([f"{patient.name} {member.detail}", *written], secrets)
            detail = detail or text
            if container is not None and container.hopeless and patient.me not in self._healthy:
                failed = failed or self.concealed([f"{patient.name} {container.hopeless}", *written], secrets)
        return Looked(members, failed, detail)

    @staticmethod
    def concealed(lines: Sequence[str], secrets: Mapping[str, str]) -> str:
        """One text for people, without the values of secrets."""
        return "\n  ".join(conceal(line, secrets) for line in lines)

    def _probe(self, patient: Patient) -> Callable[[], Answer]:
        container, endpoint = patient.container, patient.endpoint

        def probe() -> Answer:
            if container is not None and container.paused:
                return Late("is paused")
            if patient.path and endpoint is not None:
                where = (endpoint.host, endpoint.port)
                answer = judged(
                    lambda: self.host.connect(where, ANSWER_WITHIN), str(endpoint), patient.path, patient.status
                )
                return (self._listens(endpoint) or answer) if isinstance(answer, Silent) else answer
            told, words = container.health if container else ("", "")
            if told:
                return "" if told == "healthy" else _unwell(told, words)
            if patient.routed and endpoint is not None:
                return self._listens(endpoint)
            return "was started a moment ago" if container and time.time() - container.started < STEADY else ""

        return probe

    def _listens(self, endpoint: Endpoint) -> Answer:
        nobody = f"nothing answers behind port {endpoint.port}; does it listen on its `port`, at 0.0.0.0?"
        try:
            with self.host.connect((endpoint.host, endpoint.port), ANSWER_WITHIN) as link:
                return "" if _stays_open(link) else nobody
        except TimeoutError:
            return Late(f"port {endpoint.port} does not answer within {ANSWER_WITHIN:g} s")
        except OSError:
            return nobody

    def _member(self, patient: Patient, answers: Mapping[str, Answer]) -> Member:
        container, me = patient.container, patient.me
        silent = (container.broken and container.hopeless) or container.ended if container else ""
        answer = answers.get(patient.name, silent)
        restarts = container.restarts if container else 0
        if self._patient(me, answer) or not answer:
            self._healthy.add(me)
            found = Health.HEALTHY
        elif patient.name not in answers or restarts or me in self._healthy:
            found = Health.UNHEALTHY
        else:
            since = container.started if container else 0.0
            late = not since or time.time() - since > patient.timeout
            found = Health.UNHEALTHY if late else Health.STARTING
        again = f"was started again {restarts} times" if restarts and answer else ""
        detail = "; ".join(text for text in (answer, again) if text)
        return Member(patient.process, patient.replica, found, patient.endpoint, patient.routed, detail, restarts)

    def _patient(self, me: tuple[str, str], answer: Answer) -> bool:
        """It was healthy, and is late for the first moments only."""
        if not isinstance(answer, Late):
            self._late.pop(me, None)
            return False
        since = self._late.setdefault(me, time.monotonic())
        return me in self._healthy and time.monotonic() - since < PATIENCE


def _stays_open(link: socket.socket) -> bool:
    link.settimeout(_CLOSED_WITHIN)
    try:
        return bool(link.recv(1))
    except TimeoutError:
        return True  # it waits for a request: somebody is there


def _unwell(told: str, words: str) -> str:
    last = words.splitlines()[-1][:200] if words else ""
    text = "its health check fails" if told == "unhealthy" else "its health check has not passed yet"
    return f"{text}: {last}" if last else text
