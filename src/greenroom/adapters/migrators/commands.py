"""Commands of people's tools: run to their end, with addresses and passwords in their environment only."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from greenroom.domain.schema import Order
from greenroom.domain.template import conceal
from greenroom.errors import Permanent, Temporary
from greenroom.units import show_duration

if TYPE_CHECKING:
    from greenroom.adapters.migrators.tool import ToolSettings

_LINES = 12
_PLAIN = ("DJANGO_SETTINGS_MODULE", "PATH", "PYTHONPATH", "PYTHONUNBUFFERED")
"""Of `env`: no secrets, and words that messages need."""


class Failed(Permanent):
    """A command ended with another code than 0. `output`: its last lines."""

    def __init__(self, message: str, output: tuple[str, ...], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.output = output


@dataclass(frozen=True)
class Commands:
    """`tell` gets every line of what `run(loud=True)` prints."""

    folder: Path
    environment: Mapping[str, str]
    secrets: Mapping[str, str]
    timeout: float
    tell: Callable[[str], None] = field(default=lambda _: None)

    @classmethod
    def of(
        cls, settings: ToolSettings, order: Order, folder: Path, tell: Callable[[str], None] = lambda _: None
    ) -> Commands:
        """The tool sees what this process sees, the `env` of the file, and for whom it works."""
        about = {
            "GREENROOM_SERVICE": order.service,
            "GREENROOM_VERSION": order.version,
            "GREENROOM_RELEASE": order.release,
            "GREENROOM_ARTEFACT": order.artefact,
        }
        given = {"DATABASE_URL": settings.url, "PYTHONUNBUFFERED": "1", **settings.env}
        secrets = {name: value for name, value in given.items() if name not in _PLAIN}
        if password := urlsplit(settings.url).password:
            secrets |= {"PASSWORD": unquote(password), "QUOTED_PASSWORD": password}
        return cls(folder, {**os.environ, **given, **about}, secrets, settings.timeout, tell)

    def gently(self, lock_timeout: float) -> dict[str, str]:
        """What makes PostgreSQL's clients wait for a lock no longer than this; 0: as long as it takes."""
        given = self.environment.get("PGOPTIONS", "")
        return {"PGOPTIONS": f"{given} -c lock_timeout={int(lock_timeout * 1000)}".strip()}

    def run(self, command: str, *, more: Mapping[str, str] | None = None, loud: bool = False) -> str:
        """What it printed to its standard output. `Failed`, or `Temporary` where it could not be started."""
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                cwd=self.folder,
                env={**self.environment, **(more or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=not loud,  # loud ones belong to the job, and end with it
            )
        except OSError as error:
            raise Temporary(f"`{self._clean(command)}` cannot be started in {self.folder}: {error.strerror}") from error
        out, err = self._read(process, command, loud)
        if process.returncode != 0:
            lines = tuple(self._clean(line) for line in f"{out}\n{err}".splitlines() if line.strip())[-_LINES:]
            last = f": {lines[-1].strip()}" if lines else ""
            raise Failed(f"`{self._clean(command)}` failed (exit code {process.returncode}){last}", lines)
        return out

    def _read(self, process: subprocess.Popen[str], command: str, loud: bool) -> tuple[str, str]:
        out: list[str] = []
        err: list[str] = []
        readers = [
            threading.Thread(target=self._drain, args=(stream, lines, loud), daemon=True)
            for stream, lines in ((process.stdout, out), (process.stderr, err))
        ]
        for reader in readers:
            reader.start()
        try:
            process.wait(self.timeout)
        except subprocess.TimeoutExpired:
            self._end(process, loud)
            raise Failed(
                f"`{self._clean(command)}` was not finished within {show_duration(self.timeout)}, so it was ended", ()
            ) from None
        except BaseException:
            self._end(process, loud)
            raise
        for reader in readers:
            reader.join(5.0)
        return "".join(out), "".join(err)

    def _drain(self, stream: object, lines: list[str], loud: bool) -> None:
        for line in stream:  # type: ignore[attr-defined]
            lines.append(line)
            if loud and line.strip():
                self.tell(self._clean(line))

    def _end(self, process: subprocess.Popen[str], loud: bool) -> None:
        with contextlib.suppress(ProcessLookupError):
            if loud:
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _clean(self, line: str) -> str:
        return conceal(line.rstrip(), self.secrets)
