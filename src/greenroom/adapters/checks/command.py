"""The check `command`: a shell command about the candidate; exit code 0 is PASS.

It runs in the background and survives Greenroom: whoever asks next finds it by its folder, pid and start time, and
learns its exit code. `{idle_url}` and the like are filled in and stand in the environment as `GREENROOM_IDLE_URL`, …
`${NAME}` is filled in by the shell, from the environment, so that no secret shows in the list of processes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from greenroom.adapters.shell import Found, Job, bound, last_lines, shell_safe, slug
from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.domain.template import conceal, fill, secret_names
from greenroom.errors import PortError, Temporary
from greenroom.ports import Place
from greenroom.units import Seconds, show_duration

_AGAIN = 0.2
_GRACE = 2.0
_LOG_LIMIT = 20_000_000
_PLACEHOLDER = re.compile(r"(?<!\$)\{([a-z_]+)\}")


class CommandSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    UNFILLED: ClassVar[frozenset[str]] = frozenset({"run"})
    """Keys in which the loader leaves `${NAME}`."""

    name: str = Field(default="", description="What it is called in output and journal; the command if absent.")
    run: str = Field(min_length=1, description="The command, for `/bin/sh`, in the folder of the file.")
    timeout: Seconds = Field(default=300.0, gt=0, description="After this it is ended and counts as failed.")
    env: dict[str, str | int | float | bool] = Field(default={}, description="More of its environment.")

    @field_validator("run")
    @classmethod
    def _one_text(cls, run: str) -> str:
        if "\0" in run or not run.strip():
            raise ValueError("is no command")
        return run

    @field_validator("env")
    @classmethod
    def _names(cls, env: dict[str, Any]) -> dict[str, Any]:
        for name, value in env.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise ValueError(f"{name!r} is no name of a variable")
            if "\0" in str(value):
                raise ValueError(f"the value of {name} holds a zero byte")
        return env


class CommandCheck:
    Settings: ClassVar[type[CommandSettings]] = CommandSettings

    def __init__(self, settings: CommandSettings, place: Place) -> None:
        self.settings = settings
        self.place = place
        self.name = settings.name or settings.run

    def ask(self, case: Case, memo: Document | None) -> Finding:
        """Starts it the first time; WAIT until it has ended. A job that an earlier asker left is taken over."""
        job = Job(self._folder(case))
        found = job.look(memo)
        if found is None:
            return self._start(job, case)
        if found.code is not None:
            return self._ended(job, case, found.code)
        if not found.running:
            return self._lost(job, case, found)
        if found.who.age > self.settings.timeout:
            job.end(_GRACE)
            return self._final(
                job, case, f"not finished within {show_duration(self.settings.timeout)}, so it was ended"
            )
        bound(self._log(case), _LOG_LIMIT)
        return Finding(Verdict.WAIT, "running", _AGAIN, {"job": asdict(found.who)})

    def withdraw(self, case: Case, memo: Document | None) -> None:
        job = Job(self._folder(case))
        if job.found() is not None:
            job.end(_GRACE)
        job.forget()

    def _start(self, job: Job, case: Case) -> Finding:
        variables = self._variables(case)
        used = {name: variables[name] for name in _PLACEHOLDER.findall(self.settings.run) if name in variables}
        for name, value in used.items():
            if not shell_safe([value]):
                way_out = f'use "$GREENROOM_{name.upper()}" in the command instead of {{{name}}}'
                return Finding(Verdict.FAIL, f"{value!r} has characters that a shell would act upon; {way_out}")
        secrets = self._secrets(case)
        environment = {
            **os.environ,
            **{f"GREENROOM_{name.upper()}": value for name, value in variables.items()},
            **{name: secrets[name] for name in secret_names(self.settings.run) if name in secrets},
            **{name: fill(_text(value), variables) for name, value in self.settings.env.items()},
        }
        log = self._log(case)
        try:
            log.unlink(missing_ok=True)
            who = job.start(
                fill(self.settings.run, used),
                directory=self.place.file.parent,
                environment=environment,
                output=log,
            )
        except (OSError, ValueError) as error:
            raise Temporary(f"the check {self.name} cannot be started: {error}") from error
        return Finding(Verdict.WAIT, "started", _AGAIN, {"job": asdict(who)})

    def _ended(self, job: Job, case: Case, code: int) -> Finding:
        if code == 0:
            job.end(0.0)
            job.forget()
            return Finding(Verdict.PASS, "exit code 0")
        match code:
            case 127:
                reason = "command not found (exit code 127)"
            case 126:
                reason = "the command is not executable (exit code 126)"
            case _ if code > 128:
                reason = f"ended by signal {code - 128} (exit code {code})"
            case _:
                reason = f"exit code {code}"
        return self._final(job, case, reason)

    def _lost(self, job: Job, case: Case, found: Found) -> Finding:
        """No exit code, no process: after a reboot, or never begun, it is started again; else somebody killed it."""
        if not found.worked:
            return self._start(job, case)
        return self._final(job, case, "somebody ended it: there is no exit code")

    def _final(self, job: Job, case: Case, reason: str) -> Finding:
        """FAIL with the last lines of its output; what it left running is ended, and the next `ask` begins anew."""
        job.end(0.0)
        job.forget()
        secrets = self._secrets(case)
        log = self._log(case)
        lines = tuple(conceal(line, secrets) for line in last_lines(log))
        last = f": {lines[-1]}" if lines else ""
        return Finding(Verdict.FAIL, f"{reason}{last} (all of it in {log})", evidence=lines)

    def _variables(self, case: Case) -> Mapping[str, str]:
        return {
            "version": case.version,
            "release": case.release,
            "colour": str(case.colour),
            "service": self.place.service,
            **case.variables,
            "idle_url": case.url.rstrip("/"),
        }

    def _secrets(self, case: Case) -> Mapping[str, str]:
        try:
            return self.place.vault.values(case.release) if self.place.vault else {}
        except PortError:
            return {}

    def _folder(self, case: Case) -> Path:
        return self.place.state / "checks" / slug(case.release) / slug(self.name)

    def _log(self, case: Case) -> Path:
        return self.place.state / "logs" / "checks" / slug(case.release) / f"{slug(self.name)}.log"


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
