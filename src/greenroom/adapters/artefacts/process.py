"""The artefact `process`: a copy of the source, prepared once, in a folder that Greenroom never changes again.

`.greenroom/artefacts/RELEASE/` holds the copy (`1`, or a higher number after an attempt that was killed), `making.json`
(the order), `job/` (the process that makes it), `prepare.log` and at the end `READY`.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from greenroom.adapters.process.settings import EnvironmentSettings, of_definition
from greenroom.adapters.shell import Job, last_lines
from greenroom.adapters.supervisor import runfiles
from greenroom.adapters.supervisor.inherit import inherited
from greenroom.domain.model import ArtefactSpec, ArtefactStatus, Document, Making
from greenroom.domain.template import conceal, fill, reveal
from greenroom.errors import Permanent, Temporary
from greenroom.ports import ActionKey, Place


class Sourced(Protocol):
    """What the settings say of the source."""

    @property
    def source(self) -> str: ...
    @property
    def exclude(self) -> tuple[str, ...]: ...
    @property
    def prepare(self) -> tuple[str, ...]: ...
    @property
    def env(self) -> Mapping[str, str]: ...


class ProcessArtefact:
    Settings: ClassVar[Any] = EnvironmentSettings
    MAKER: ClassVar[str] = "greenroom.adapters.process.making"
    """The module that makes it, as a process of its own."""

    def __init__(self, settings: Any, place: Place) -> None:
        self.place = place
        self.root = place.state.absolute() / "artefacts"

    # --- the port

    def observe(self, spec: ArtefactSpec) -> ArtefactStatus:
        folder = self.root / spec.release
        ready = runfiles.read_json(str(folder / "READY"))
        if ready and self._stands(folder, ready["reference"]):
            return ArtefactStatus(Making.READY, reference=self._named(folder, ready["reference"]))
        job = Job(folder / "job")
        who = job.found()
        if who is None:
            return ArtefactStatus(Making.ABSENT)
        alive, code = who.alive, job.code()
        lines = [conceal(line, self._values(spec.release)) for line in last_lines(folder / "prepare.log")]
        if code is not None:
            first = lines[-1:] or [f"exit status {code}"]  # the last line says why
            return ArtefactStatus(Making.FAILED, detail="\n".join([*first, *lines[:-1]]))
        if alive:
            return ArtefactStatus(Making.MAKING, detail=lines[-1] if lines else "copying the source")
        return ArtefactStatus(Making.ABSENT, detail="it was killed while it was being made")

    def apply(self, spec: ArtefactSpec, key: ActionKey) -> None:
        values = self._values(spec.release)
        settings = self._read(spec.definition, values)
        source = self.place.file.absolute().parent / settings.source
        if not source.is_dir():
            raise Permanent(f"environment.source is not a folder: {source}")
        try:
            self._begin(spec, settings, source.resolve(), values)
        except OSError as error:
            raise Temporary(f"the artefact cannot be begun: {error.strerror}: {error.filename}") from None

    def remove(self, release: str, key: ActionKey) -> None:
        folder = self.root / release
        Job(folder / "job").end(2.0)
        with contextlib.suppress(FileNotFoundError):
            going = folder.with_name(f".{release}.removed")
            shutil.rmtree(going, ignore_errors=True)
            folder.rename(going)
            shutil.rmtree(going, ignore_errors=True)

    # --- inside: what another artefact that is made of a copy does in its own way

    def _read(self, definition: Document, values: Mapping[str, str]) -> Sourced:
        return of_definition(definition, values)

    def _order(self, spec: ArtefactSpec, settings: Any) -> dict[str, Any]:
        """What more its maker has to know."""
        return {}

    def _stands(self, folder: Path, reference: str) -> bool:
        return (folder / reference).is_dir()

    def _named(self, folder: Path, reference: str) -> str:
        return str(folder / reference)

    # --- inside

    def _begin(self, spec: ArtefactSpec, settings: Sourced, source: Path, values: Mapping[str, str]) -> None:
        folder = self.root / spec.release
        folder.mkdir(parents=True, exist_ok=True)
        lock = runfiles.try_lock(str(folder / "lock"))
        if lock is None:
            return  # somebody else begins it at this moment
        try:
            if self.observe(spec).state in (Making.READY, Making.MAKING):
                return
            job = Job(folder / "job")
            job.end(2.0)
            attempts = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
            filled = {"version": spec.version, "release": spec.release}
            order = {
                "attempt": str(max(attempts, default=0) + 1),
                "source": str(source),
                "state": str(self.place.state.resolve()),
                "exclude": list(settings.exclude),
                "prepare": [fill(command, filled) for command in settings.prepare],
                **self._order(spec, settings),
            }
            runfiles.write_json(str(folder / "making.json"), order)
            log = folder / "prepare.log"
            log.unlink(missing_ok=True)
            log.touch(0o600)
            command = shlex.join([sys.executable, "-P", "-m", self.MAKER, str(folder)])
            environment = self._environment(spec, settings, values, filled)
            job.start(f"exec {command}", directory=folder, environment=environment, output=log)
        finally:
            os.close(lock)

    def _environment(
        self, spec: ArtefactSpec, settings: Sourced, values: Mapping[str, str], filled: Mapping[str, str]
    ) -> dict[str, str]:
        given = {
            "GREENROOM_SERVICE": self.place.service,
            "GREENROOM_VERSION": spec.version,
            "GREENROOM_RELEASE": spec.release,
        }
        try:
            own = {name: reveal(fill(text, filled), values) for name, text in settings.env.items()}
        except KeyError as error:
            raise Permanent(f"the value of ${{{error.args[0]}}} is not kept for {spec.release}") from None
        return {**inherited(), **values, **own, **given}

    def _values(self, release: str) -> Mapping[str, str]:
        if self.place.vault is None:
            return {}
        with contextlib.suppress(Permanent):
            return self.place.vault.values(release)
        return {}
