"""The environment `process`: the processes of a colour as programs of a local supervisor.

What a colour shall run is in `processes/COLOUR.json`; what it does run is asked of the supervisor, where each program
carries colour, process, replica and release as labels. If the two differ, the status says so in a way that makes the
engine apply again: no members if a replica is not there, the role that is held in truth if workers are missing.

After a supervisor's death its replicas are `leftovers`: they serve on. `apply` starts fresh ones beside them, on ports
of their own, and with `sweep` ends them. Workers are not started beside: the fresh one waits until the orphan has ended.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from greenroom.adapters.process import problems as asked
from greenroom.adapters.process.inspection import Inspection
from greenroom.adapters.process.output import rotate, set_aside
from greenroom.adapters.process.roster import Cast, log_file
from greenroom.adapters.process.settings import EnvironmentSettings, ProcessSettings, of_definition
from greenroom.adapters.process.usage import usage
from greenroom.adapters.slots import Slot, slots
from greenroom.adapters.supervisor import runfiles
from greenroom.adapters.supervisor.client import Supervisord
from greenroom.domain.model import Colour, Endpoint, EnvironmentSpec, EnvironmentStatus, Role
from greenroom.errors import Permanent, Temporary
from greenroom.ports import ActionKey, Capability, Life, Place, ProgramStatus, Supervisor, Usage

_THERE = (Life.STARTING, Life.RUNNING, Life.FAILED)
"""Lives in which the supervisor looks after a program by itself."""

Programs = Mapping[str, ProgramStatus]


class ProcessEnvironment:
    Settings = EnvironmentSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.ROLES, Capability.USAGE})

    def __init__(self, settings: EnvironmentSettings, place: Place) -> None:
        self.place = place
        self.supervisor: Supervisor = place.supervisor or Supervisord(place.state, place.service)
        self.folder = place.state.absolute() / "processes"
        self._inspection = Inspection(place)

    # --- the port

    def observe(self, colour: Colour) -> EnvironmentStatus:
        programs, record = self._programs(colour), self._record(colour)
        leftovers = tuple(
            sorted(
                Endpoint("127.0.0.1", status.program.port)
                for status in programs.values()
                if status.life is Life.ORPHAN and status.program.port
            )
        )
        if not programs:
            return EnvironmentStatus(colour)
        if record is None or record["removing"]:
            labels = next(iter(programs.values())).program.labels
            release, version = (record or labels)["release"], (record or labels)["version"]
            left = "stopping: " if record else "not expected here: "
            return EnvironmentStatus(colour, release, version, leftovers=leftovers, detail=left + ", ".join(programs))
        spec = _spec(record)
        settings = of_definition(spec.definition, self._values(spec.release, lenient=True))
        present = _present(programs, spec.release)
        missing = [s for s in slots(settings.processes, spec.role) if s.key not in present]
        role = _role(programs, spec, [s for s in slots(settings.processes, Role.ACTIVE) if s.worker], present)
        orphan_worker = any(s.life is Life.ORPHAN and _is_worker(s) for s in programs.values())
        if any(not slot.worker for slot in missing) or (missing and orphan_worker):
            detail = "not running: " + ", ".join(map(str, missing))
            return EnvironmentStatus(colour, spec.release, spec.version, leftovers=leftovers, detail=detail)
        cast = Cast(self.place, colour, spec, settings, self._values(spec.release, lenient=True))
        staffed = [(s, present[s.key]) for s in slots(settings.processes, spec.role) if s.key in present]
        seen = self._inspection.look(cast, staffed)
        return EnvironmentStatus(
            colour, spec.release, spec.version, role, seen.members, leftovers, seen.failed, seen.detail
        )

    def apply(self, colour: Colour, spec: EnvironmentSpec, key: ActionKey) -> None:
        values = self._values(spec.release)
        cast = Cast(self.place, colour, spec, of_definition(spec.definition, values), values)
        if not Path(spec.artefact).is_dir():
            raise Permanent(
                f"the artefact of {spec.release} is gone: {spec.artefact}", hint="deploy that version again"
            )
        self._let_in(cast.settings, Path(spec.artefact))
        with self._locked(colour, key):
            before, everything = self._record(colour), self.supervisor.observe()
            programs = _of(colour, everything)
            taken = {status.program.port for status in everything.values()}
            wanted = slots(cast.settings.processes, spec.role)
            self._write(colour, spec)
            if before is None or before["release"] != spec.release:
                for slot in slots(cast.settings.processes, Role.ACTIVE):
                    set_aside(log_file(self.place, colour, slot))
            present = _present(programs, spec.release)
            kept = {present[slot.key].program.name for slot in wanted if slot.key in present}
            names = {slot.key: _name(colour, slot, programs) for slot in wanted if slot.key not in present}
            self._end(programs, kept | set(names.values()), sweep=spec.sweep)
            for slot in wanted:
                if slot.key in names:
                    name = names[slot.key]
                    port = _port_before(spec, programs.get(name)) or runfiles.free_port(frozenset(taken))
                    taken.add(port)
                    self.supervisor.apply(cast.program(slot, name, port))

    def remove(self, colour: Colour, key: ActionKey) -> None:
        with self._locked(colour, key):
            record, programs = self._record(colour), self._programs(colour)
            if record is not None and programs:
                self._write(colour, _spec(record), removing=True)
            for name, status in programs.items():
                if status.life is not Life.STOPPING:
                    self.supervisor.remove(name)
            if not programs:
                self._path(colour).unlink(missing_ok=True)

    # --- beyond the port

    @staticmethod
    def problems(settings: EnvironmentSettings, place: Place) -> list[str]:
        """Of the artefact too: they share their section of the file."""
        return asked.problems(settings, place)

    @staticmethod
    def hazards(settings: EnvironmentSettings, place: Place) -> list[str]:
        return asked.hazards(settings)

    def tidy(self) -> None:
        """Output files do not grow for ever."""
        for path in (self.place.state / "logs").glob("*/*.log"):
            rotate(path)

    def logs(self, colour: Colour) -> list[Path]:
        """The output files of this colour, one a replica."""
        return sorted((self.place.state / "logs" / str(colour)).glob("*.log"))

    def usage(self, colour: Colour) -> Usage | None:
        return usage(status.pid for status in self._programs(colour).values() if status.pid)

    # --- inside

    def _let_in(self, settings: EnvironmentSettings, artefact: Path) -> None:
        """A process with a user of its own gets through our folders to the artefact, without being able to list them."""
        if os.geteuid() != 0 or not any(process.user for process in settings.processes.values()):
            return
        state = self.place.state.absolute()
        for folder in (state, *(above for above in artefact.parents if state in above.parents)):
            mode = stat.S_IMODE(folder.stat().st_mode)
            if mode & 0o011 != 0o011:
                folder.chmod(mode | 0o011)

    def _end(self, programs: Programs, wanted: set[str], *, sweep: bool) -> None:
        """What does not belong here ends; orphans that may have traffic only with `sweep`."""
        for name, status in programs.items():
            if name in wanted or status.life is Life.STOPPING:
                continue
            if status.life is Life.ORPHAN and not sweep and not _is_worker(status):
                continue
            self.supervisor.remove(name)

    def _programs(self, colour: Colour) -> dict[str, ProgramStatus]:
        """Everything of this colour that lives, or that the supervisor means to keep alive."""
        return _of(colour, self.supervisor.observe())

    def _values(self, release: str, *, lenient: bool = False) -> Mapping[str, str]:
        if self.place.vault is None:
            return {}
        try:
            return self.place.vault.values(release)
        except Permanent:
            if lenient:
                return {}
            raise

    # --- the record

    def _path(self, colour: Colour) -> Path:
        return self.folder / f"{colour}.json"

    def _record(self, colour: Colour) -> Mapping[str, Any] | None:
        return runfiles.read_json(str(self._path(colour)))

    def _write(self, colour: Colour, spec: EnvironmentSpec, *, removing: bool = False) -> None:
        document = {
            "release": spec.release,
            "version": spec.version,
            "artefact": spec.artefact,
            "role": str(spec.role),
            "definition": dict(spec.definition),
            "removing": removing,
        }
        if self._record(colour) == document:
            return
        try:
            runfiles.write_json(str(self._path(colour)), document)
        except OSError as error:
            raise Temporary(f"{self._path(colour)} cannot be written: {error.strerror}") from None

    @contextlib.contextmanager
    def _locked(self, colour: Colour, key: ActionKey) -> Iterator[None]:
        """One at a time, and nobody who acts under a lease that is over: he may have slept through a takeover."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = runfiles.try_lock(str(self.folder / f"{colour}.lock"))
        if lock is None:
            raise Temporary(f"somebody else is changing what {colour} runs", retry_after=0.2)
        try:
            self._fence(key.epoch)
            yield
        finally:
            os.close(lock)

    def _fence(self, epoch: int) -> None:
        path = str(self.folder / "epoch")
        newest = int((runfiles.read_json(path) or {"epoch": 0})["epoch"])
        if epoch < newest:
            raise Permanent(
                f"the processes were changed under a newer lease ({newest}) than ours ({epoch})",
                hint="another Greenroom is in charge now; this one has to stop",
            )
        if epoch > newest:
            runfiles.write_json(path, {"epoch": epoch})


def _spec(record: Mapping[str, Any]) -> EnvironmentSpec:
    role = Role(record["role"])
    return EnvironmentSpec(record["release"], record["version"], record["artefact"], role, record["definition"])


def _of(colour: Colour, programs: Programs) -> dict[str, ProgramStatus]:
    return {name: status for name, status in programs.items() if status.program.labels.get("colour") == colour}


def _port_before(spec: EnvironmentSpec, status: ProgramStatus | None) -> int:
    """The port of a program that is on its way already: the same program again changes nothing. Else 0."""
    if status is None or status.life is Life.ORPHAN or status.program.labels["release"] != spec.release:
        return 0
    return status.program.port


def _is_worker(status: ProgramStatus) -> bool:
    return status.program.labels.get("runs") == "active"


def _present(programs: Programs, release: str) -> dict[tuple[str, str], ProgramStatus]:
    """The programs of this release that the supervisor looks after, by process and replica."""
    found: dict[tuple[str, str], ProgramStatus] = {}
    for status in programs.values():
        labels = status.program.labels
        if status.life in _THERE and labels.get("release") == release:
            found.setdefault((labels["process"], labels["replica"]), status)
    return found


def _name(colour: Colour, slot: Slot[ProcessSettings], programs: Programs) -> str:
    """The slot's name; beside an orphan of that name another one. A worker takes its orphan's name: it waits for it."""
    base = f"{colour}-{slot}"
    name, number = base, 2
    while not slot.worker and name in programs and programs[name].life is Life.ORPHAN:
        name, number = f"{base}~{number}", number + 1
    return name


def _role(
    programs: Programs,
    spec: EnvironmentSpec,
    workers: list[Slot[ProcessSettings]],
    present: Mapping[tuple[str, str], ProgramStatus],
) -> Role | None:
    """The role that is held in truth: whether the workers work. None while they are being started or stopped."""
    alive = [status for status in programs.values() if _is_worker(status) and status.life is not Life.STOPPED]
    if not workers and not alive:
        return spec.role
    if not alive:
        return Role.IDLE
    if spec.role is Role.IDLE:
        return None if all(status.life is Life.STOPPING for status in alive) else Role.ACTIVE
    staff = [present.get(slot.key) for slot in workers]
    if len(alive) > len(staff) or any(s is None or (s.life is Life.STARTING and not s.restarts) for s in staff):
        return None
    return Role.ACTIVE
