"""The source `command`: a shell command that prints one number."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from greenroom.adapters.checks.assertions import short
from greenroom.adapters.shell import shell_safe
from greenroom.adapters.sources.asking import LONGEST, number, plain, unknown_names, variables
from greenroom.domain.template import conceal, fill, secret_names
from greenroom.errors import Permanent, PortError, Temporary
from greenroom.ports import About, Place
from greenroom.units import Seconds, show_duration

_OUTPUT = 65_536
_PLACEHOLDER = re.compile(r"(?<!\$)\{([a-z_]+)\}")


class CommandSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    UNFILLED: ClassVar[frozenset[str]] = frozenset({"run"})
    """Keys in which the loader leaves `${NAME}`: the shell fills it in, so that the list of processes does not show it."""

    run: str = Field(
        min_length=1,
        description="The command, for `/bin/sh`, in the folder of the file; it prints one number, or nothing where there "
        "is no data. `{colour}`, `{version}`, `{release}`, `{service}`, `{window}`, `{metric}` and `{query}` are filled in, "
        "and stand in its environment as `GREENROOM_COLOUR`, …",
    )
    timeout: Seconds = Field(default=5.0, gt=0, le=LONGEST, description="After this it is ended. At most 30s.")

    @field_validator("run")
    @classmethod
    def _one_text(cls, run: str) -> str:
        if "\0" in run or not run.strip():
            raise ValueError("is no command")
        if wrong := unknown_names(run):
            raise ValueError(wrong)
        return run


class CommandSource:
    """`ports.Source`. Nothing printed, and NaN, are no data; with an exit code other than 0 it could not be asked."""

    Settings: ClassVar[type[CommandSettings]] = CommandSettings

    def __init__(self, settings: CommandSettings, place: Place) -> None:
        self._settings, self._place = settings, place

    def value(self, about: About) -> float | None:
        known = variables(about)
        used = {name: known[name] for name in _PLACEHOLDER.findall(self._settings.run)}
        for name, value in used.items():
            if not shell_safe([value]):
                hint = f'use "$GREENROOM_{name.upper()}" in the command instead of {{{name}}}'
                raise Permanent(f"{short(value)!r} has characters that a shell would act upon", hint=hint)
        secrets = self._secrets(about.release)
        given = {name: secrets[name] for name in secret_names(self._settings.run) if name in secrets}
        code, out, err = self._run(fill(self._settings.run, used), {**os.environ, **plain(known), **given})
        if code != 0:
            lines = conceal((err or out).decode("utf-8", "replace"), secrets).strip().splitlines()
            last = f": {short(lines[-1], 300)}" if lines else ""
            raise Temporary(f"the command {self._name} ended with {_ending(code)}{last}", retry_after=5.0)
        text = conceal(out.decode("utf-8", "replace"), secrets).strip()
        return number(None if text in ("null", "None") else text, f"what the command {self._name} printed")

    @property
    def _name(self) -> str:
        return f"`{short(self._settings.run, 60)}`"

    def _run(self, command: str, environment: Mapping[str, str]) -> tuple[int, bytes, bytes]:
        """To its end, or to the end of its time: then all that it has started ends with it."""
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                cwd=self._place.file.parent,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise Temporary(f"the command {self._name} cannot be started: {error}") from None
        try:
            deadline = time.monotonic() + self._settings.timeout
            out, err = _read(process, deadline)
            return process.wait(max(0.0, deadline - time.monotonic())), out, err
        except (TimeoutError, subprocess.TimeoutExpired):
            said = show_duration(self._settings.timeout)
        finally:
            _end(process)
        raise Temporary(f"the command {self._name} had not ended within {said}, so it was ended", retry_after=5.0)

    def _secrets(self, release: str) -> Mapping[str, str]:
        try:
            return self._place.vault.values(release) if self._place.vault else {}
        except PortError:
            return {}


def _read(process: subprocess.Popen[Any], deadline: float) -> tuple[bytes, bytes]:
    """What it prints, the beginning of it; `TimeoutError` if that has no end in time."""
    assert process.stdout is not None
    assert process.stderr is not None
    kept = {process.stdout.fileno(): b"", process.stderr.fileno(): b""}
    with selectors.DefaultSelector() as waiting:
        for fd in kept:
            waiting.register(fd, selectors.EVENT_READ)
        while waiting.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            for key, _ in waiting.select(left):
                data = os.read(key.fd, _OUTPUT)
                if not data:
                    waiting.unregister(key.fd)
                kept[key.fd] += data[: _OUTPUT - len(kept[key.fd])]
    out, err = kept.values()
    return out, err


def _end(process: subprocess.Popen[Any]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    process.wait()


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
