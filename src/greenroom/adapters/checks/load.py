"""The check `load`: so many requests a second at the candidate, through the test route, with limits for what it answers.

The generator is a process of its own that survives Greenroom: whoever asks next finds it, and its report. Requests are
sent at moments that are planned beforehand (an open loop), and latency counts from there, so that a service that stalls
cannot hide it. Where the requests could not be sent on time, the answer is UNKNOWN and never PASS.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from greenroom.adapters.checks.load_settings import LoadRequest, LoadSettings, show_rate
from greenroom.adapters.checks.load_verdict import Report, judged
from greenroom.adapters.load.plan import Plan, Shot
from greenroom.adapters.shell import Identity, Job, last_lines, slug
from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.domain.template import conceal, fill
from greenroom.errors import PortError, Temporary
from greenroom.ports import Place

_AGAIN = 0.5
_SPARE = 60.0
"""Seconds beyond its plan after which a generator is taken for stuck."""
_PACKAGES = Path(__file__).parents[3]
_PASSED_ON = ("PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PATH = "/%:@!$&'()*+,;=~-._"


class LoadCheck:
    Settings: ClassVar[type[LoadSettings]] = LoadSettings

    def __init__(self, settings: LoadSettings, place: Place) -> None:
        self.settings = settings
        self.place = place
        self.name = settings.name or "load"

    def ask(self, case: Case, memo: Document | None) -> Finding:
        """Starts the generator the first time; WAIT with its progress until there is its report."""
        folder = self._folder(case)
        job = Job(folder / "job")
        found = job.look(memo)
        if found is None:
            return self._start(job, case)
        if found.code is not None:
            return self._ended(job, case, found.code)
        if not found.running:
            if not found.worked:
                return self._start(job, case)
            return self._nothing(job, case, "somebody ended the load generator: there is no report")
        if found.who.age > self.settings.schedule.seconds + 2 * self.settings.timeout + _SPARE:
            return self._nothing(job, case, "the load generator did not come to its end")
        return self._going(folder, found.who)

    def withdraw(self, case: Case, memo: Document | None) -> None:
        job = Job(self._folder(case) / "job")
        _end(job)
        self._forget(case)

    def _start(self, job: Job, case: Case) -> Finding:
        self._forget(case)
        folder, log = self._folder(case), self._log(case)
        try:
            plan = self._plan(case)
        except ValueError as error:
            return Finding(Verdict.UNKNOWN, f"no load can be sent to {case.url!r}: {error}")
        try:
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            log.unlink(missing_ok=True)
            plan.write(folder / "plan.json")
            command = [sys.executable, "-S", "-P", "-m", "greenroom.adapters.load", str(folder)]
            environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
            who = job.start(
                f"exec {shlex.join(command)}",
                directory=folder,
                environment={**environment, "PYTHONPATH": str(_PACKAGES)},
                output=log,
            )
        except (OSError, ValueError) as error:
            raise Temporary(f"the load generator cannot be started: {error}") from error
        return Finding(Verdict.WAIT, f"begins to send {show_rate(self.settings.full)}", _AGAIN, {"job": asdict(who)})

    def _going(self, folder: Path, who: Identity) -> Finding:
        """The progress in words. The memo changes now and then, because only then the words are kept."""
        progress, whole = _read(folder / "progress.json"), self.settings.schedule.seconds
        match progress:
            case {
                "seconds": float(seconds),
                "rate": float(rate),
                "wanted": float(wanted),
                "p99": float(p99),
                "failed": int(failed),
            }:
                errors = f"{failed} error{'' if failed == 1 else 's'}"
                digits = 0 if self.settings.full >= 10 else 1
                going = f"{rate:.{digits}f}/s of {wanted:.{digits}f}/s" if seconds < whole else "the last answers"
                reason = f"{going} · p99 {p99 * 1000:.0f} ms · {errors} · {min(seconds, whole):.0f} s of {whole:.0f} s"
                step = int(seconds / max(1.0, whole / 60))
                return Finding(Verdict.WAIT, reason, _AGAIN, {"job": asdict(who), "step": step})
        return Finding(Verdict.WAIT, f"begins to send {show_rate(self.settings.full)}", _AGAIN, {"job": asdict(who)})

    def _ended(self, job: Job, case: Case, code: int) -> Finding:
        report = Report.of(_read(self._folder(case) / "report.json")) if code == 0 else None
        if report is None:
            return self._nothing(job, case, "the load generator could not do its work")
        finding = judged(self.settings, report)
        self._forget(case)
        return finding

    def _nothing(self, job: Job, case: Case, reason: str) -> Finding:
        """UNKNOWN: whatever it was, it was not the service. The next `ask` begins anew."""
        _end(job)
        self._forget(case)
        secrets = self._secrets(case)
        lines = tuple(conceal(line, secrets) for line in last_lines(self._log(case)))
        last = f": {lines[-1]}" if lines else ""
        return Finding(Verdict.UNKNOWN, f"{reason}{last}", evidence=lines)

    def _plan(self, case: Case) -> Plan:
        settings, parts = self.settings, urlsplit(case.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it begins with neither http:// nor https://")
        secure = parts.scheme == "https"
        variables = {
            "version": case.version,
            "release": case.release,
            "colour": str(case.colour),
            "service": self.place.service,
            **case.variables,
            "idle_url": case.url.rstrip("/"),
        }
        shots = tuple(_shot(request, case, variables) for request in settings.requests)
        asked = next((value for name, value in case.headers.items() if name.lower() == "host"), "")
        name = urlsplit(f"//{asked}").hostname or ""
        return Plan(
            host=parts.hostname,
            port=parts.port or (443 if secure else 80),
            authority=parts.netloc.rpartition("@")[2],
            shots=shots,
            stretches=settings.schedule.stretches,
            timeout=settings.timeout,
            connections=settings.most_connections,
            good=settings.good,
            most_errors=int(settings.max_error_rate * settings.schedule.requests),
            secure=secure,
            verify=settings.tls.verify,
            ca="" if settings.tls.ca is None else str((self.place.file.parent / settings.tls.ca).absolute()),
            name=settings.tls.name or name,
        )

    def _secrets(self, case: Case) -> Mapping[str, str]:
        try:
            return self.place.vault.values(case.release) if self.place.vault else {}
        except PortError:
            return {}

    def _folder(self, case: Case) -> Path:
        return (self.place.state / "checks" / slug(case.release) / slug(self.name)).absolute()

    def _log(self, case: Case) -> Path:
        return self.place.state / "logs" / "checks" / slug(case.release) / f"{slug(self.name)}.log"

    def _forget(self, case: Case) -> None:
        shutil.rmtree(self._folder(case), ignore_errors=True)


def _end(job: Job) -> None:
    """At once: it has nothing to tidy up."""
    who = job.found()
    if who is not None:
        who.end_group(signal.SIGKILL)
        job.end(1.0)


def _shot(request: LoadRequest, case: Case, variables: Mapping[str, str]) -> Shot:
    """The case's headers lead to the candidate: they win."""
    own = {name.lower() for name in case.headers}
    headers = {name: fill(value, variables) for name, value in request.headers.items() if name.lower() not in own}
    for name, value in headers.items():
        if not value.isprintable():
            raise ValueError(f"the header {name} would hold a line break")
    parts = urlsplit(case.url.rstrip("/") + fill(request.path, variables))
    target = quote(parts.path or "/", safe=_PATH) + (f"?{quote(parts.query, safe=_PATH + '?')}" if parts.query else "")
    body = None if request.body is None else fill(request.body, variables)
    return Shot(request.method, target, {**headers, **case.headers}, body, request.weight)


def _read(path: Path) -> Any:
    with suppress(OSError, ValueError):
        return json.loads(path.read_text(encoding="utf-8"))
    return None
