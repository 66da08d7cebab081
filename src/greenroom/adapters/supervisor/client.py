"""The port `Supervisor` by supervisord."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from greenroom.adapters.supervisor import rpc, runfiles
from greenroom.adapters.supervisor.folder import CLOSED_IN_CHILDREN, Folder
from greenroom.adapters.supervisor.inherit import inherited
from greenroom.adapters.supervisor.programs import check, program_of, spec_of
from greenroom.adapters.supervisor.runfiles import Record
from greenroom.errors import Temporary
from greenroom.ports import Life, Program, ProgramStatus

STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL = 0, 10, 20, 30, 40, 100, 200

_TICK, _PATIENCE = 0.02, 50

Infos = Mapping[str, Mapping[str, Any]]


class Supervisord:
    """One supervisord per service, started when the first program is applied; it outlives us.

    Programs are `launcher.py`, which becomes the program by exec: one that is not found, or that somebody else's port
    stops, is seen and tried again for ever, at most every few seconds. After the supervisor's death its programs run
    on; a fresh one starts only those with `keep`, and those wait for their orphans to end, never twice the same.
    `{port}` in command and environment is filled with the port that the program got: `port`, or another one if a
    stranger has that; `observe` says which. The stop signal goes to the program, for `sh -c` to its whole group;
    SIGKILL, and what the program leaves behind, always is the whole group.
    """

    def __init__(self, state: Path, service: str) -> None:
        self.folder = Folder(state)
        self.service = service

    # --- the port

    def observe(self) -> Mapping[str, ProgramStatus]:
        """`Temporary` if there is a supervisor and it does not answer."""
        for _ in range(2):
            names = self.folder.names()
            ending = {name for name in names if self.folder.ending(name)}
            infos = self.ask()
            # A program that is just being loaded, or loaded anew, is not to be missed: then look once more.
            unknown = set(names) - ending - set(names if infos is None else infos)
            if all(runfiles.alive(self.folder.record(name)) for name in unknown):
                break
        found = {}
        for name in sorted({*(infos or {}), *names}):
            status = self._status(name, (infos or {}).get(name), name in ending)
            if status:
                found[name] = status
        return found

    def apply(self, program: Program) -> None:
        check(program)
        with self.folder.locked():
            self.folder.down.unlink(missing_ok=True)
            spec, old, name = spec_of(program), self.folder.wanted(program.name), program.name
            same = old is not None and old["fingerprint"] == spec["fingerprint"] and not old.get("removed")
            infos = self.ask()
            if same and infos is not None and name in infos:
                if infos[name]["state"] in (STOPPED, FATAL) and not self.folder.ending(name):
                    self.tell("startProcess", name, False, ignore=(rpc.ALREADY_STARTED,))
                return
            self._save(name, spec)
            if infos is None:
                infos = self._start(name)
                if name in infos:
                    return
            if name in infos or self.folder.ending(name):
                self._end(name)
            else:
                self.load(name, infos)

    def remove(self, name: str) -> None:
        if not self.folder.path.exists():
            return
        with self.folder.locked():
            infos = self.ask() or {}
            spec, record = self.folder.wanted(name), self.folder.record(name)
            if name not in infos and not runfiles.members(record) and not self.folder.ending(name):
                self.folder.forget(name)
            elif not (spec and spec.get("removed") and self.folder.ending(name)):
                self._save(name, {**(spec or {"name": name, "fingerprint": "", "keep": False}), "removed": True})
                self._end(name)

    # --- beyond the port

    def running(self) -> bool:
        """There is a supervisor (it may be about to end)."""
        try:
            return self.ask() is not None
        except Temporary:
            return True

    def start(self) -> None:
        """Where there is no supervisor, start one, with the programs that are kept and no others."""
        with self.folder.locked():
            if self.ask() is None:
                self._start()

    def shutdown(self) -> None:
        """`down`: stop everything, orphans too, and then the supervisor itself; returns at once.

        It is done when `observe()` is empty and `running()` false. An `apply` meanwhile calls the second part off.
        """
        if not self.folder.path.exists():
            return
        with self.folder.locked():
            self.folder.down.touch()
        for name in sorted({*(self.ask() or {}), *self.folder.names()}):
            self.remove(name)
        self._end("")

    # --- for the ender

    def ask(self) -> Infos | None:
        """What supervisord knows of its programs; None: there is no supervisord."""
        for _ in range(_PATIENCE):
            try:
                told = rpc.call(self.folder.socket, "supervisor.getAllProcessInfo")
                return {info["name"]: info for info in told}
            except rpc.Dead:
                if not runfiles.is_locked(self.folder.alive):
                    return None
                time.sleep(_TICK)  # it is just starting, or just ending
            except rpc.Silent as error:
                raise Temporary(str(error)) from None
            except rpc.Fault as error:
                raise Temporary(f"the supervisor is shutting down: {error}") from None
        raise Temporary("the supervisor is starting or ending")

    def tell(self, method: str, *arguments: str | bool, ignore: tuple[int, ...] = ()) -> None:
        try:
            rpc.call(self.folder.socket, f"supervisor.{method}", *arguments)
        except rpc.Fault as error:
            if error.code not in ignore:
                raise Temporary(f"the supervisor refused {method}: {error}") from None
        except (rpc.Dead, rpc.Silent) as error:
            raise Temporary(str(error)) from None

    def load(self, name: str, infos: Infos) -> None:
        """Have the running supervisor start what the program's file says. The caller holds the lock."""
        self.folder.write_conf(self._specs({*infos, name}))
        self.tell("reloadConfig")
        self.tell("addProcessGroup", name, ignore=(rpc.ALREADY_ADDED,))

    # --- inside

    def _save(self, name: str, spec: Record) -> None:
        try:
            runfiles.write_json(self.folder.program(name), spec)
        except OSError as error:
            raise Temporary(f"{self.folder.program(name)} cannot be written: {error.strerror}") from None

    def _specs(self, names: set[str]) -> dict[str, Record]:
        found = ((name, self.folder.wanted(name)) for name in sorted(names))
        return {name: spec for name, spec in found if spec and "command" in spec}

    def _start(self, *names: str) -> Infos:
        """A fresh supervisord, with these programs and those that are kept. The caller holds the lock."""
        kept = {n for n in self.folder.names() if (s := self.folder.wanted(n)) and s["keep"] and not s.get("removed")}
        for stale in set(self.folder.names()) - kept - {*names}:
            if not runfiles.members(self.folder.record(stale)) and not self.folder.ending(stale):
                self.folder.forget(stale)
        self.folder.make_socket_folder()
        self.folder.write_conf(self._specs({*kept, *names}))
        begun = False
        end = time.monotonic() + 15.0
        while time.monotonic() < end:
            lock = runfiles.try_lock(self.folder.alive)
            if lock is not None and begun:
                os.close(lock)
                break
            if lock is not None:
                begun = True
                self._begin(lock)
            with contextlib.suppress(Temporary):
                infos = self.ask()
                if infos is not None:
                    return infos
        raise Temporary(f"the supervisor did not start; see {self.folder.log} and starts.log beside it")

    def _begin(self, lock: int) -> None:
        """supervisord holds the lock for as long as it lives, so that there are never two; its children close it."""
        command = [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", "supervisord.conf"]
        handles = (lock,) if lock < CLOSED_IN_CHILDREN else ()
        try:
            detach(command, self.folder.path, inherited(), *handles)
        finally:
            os.close(lock)

    def _end(self, name: str) -> None:
        """An ender that stops the program, and then does what its file says by then: forget it, or start it anew."""
        lock = runfiles.try_lock(self.folder.run(name) + ".end")
        if lock is None:
            return  # an ender is at work, and reads the program's file after us
        try:
            if name:  # it need not wait until its ender has started
                with contextlib.suppress(Temporary):
                    self.tell("stopProcess", name, False, ignore=(rpc.NOT_RUNNING, rpc.BAD_NAME))
            command = [sys.executable, "-P", "-m", "greenroom.adapters.supervisor.ender"]
            command += [str(self.folder.path.parent), self.service, name, str(lock)]
            detach(command, self.folder.path, inherited(), lock)
        finally:
            os.close(lock)

    def _status(self, name: str, info: Mapping[str, Any] | None, ending: bool) -> ProgramStatus | None:
        spec, record = self.folder.wanted(name), self.folder.record(name)
        program = program_of(name, spec, record)
        if info is None:
            return _unwatched(program, spec, record, ending)
        pid, state = int(info["pid"]), info["state"]
        since, restarts, port = float(info["start"]), 0, program.port
        noted, life, detail = self.folder.note(name)
        current = record is not None and record["pid"] == pid and pid > 0
        if record:
            since, restarts = float(record["at"]), int(record["starts"]) - 1
            known = spec is None or record.get("applied") == spec.get("applied")
            port = int(record["port"]) if (current and known) or life == "guarding" else port
        if state in (STARTING, RUNNING):
            if noted == pid and life == "guarding" and record:
                seen, pid = Life.RUNNING, int(record["pid"])
            elif life == "failed" and (noted == pid or not current):
                seen = Life.FAILED
            elif noted == pid and life:
                seen = Life.STARTING
            else:
                seen, detail = (Life.RUNNING if current else Life.STARTING), ""
            if not detail and restarts and record:
                often = "once" if restarts == 1 else f"{restarts} times"
                detail = f"restarted {often}" + (f", {record['ended']}" if record["ended"] else "")
        else:
            seen = {STOPPING: Life.STOPPING, STOPPED: Life.STOPPED, EXITED: Life.STARTING}.get(state, Life.FAILED)
            detail = str(info["spawnerr"]) if seen is Life.FAILED else ""
        if spec and spec.get("removed") and ending:
            seen = Life.STOPPING
        return ProgramStatus(replace(program, port=port), seen, pid, since, max(0, restarts), detail)


def _unwatched(program: Program, spec: Record | None, record: Record | None, ending: bool) -> ProgramStatus | None:
    """No supervisor knows it: an orphan, or a stale file. A program that is to be kept is told as stopped."""
    removed = bool(spec and spec.get("removed"))
    left = [int(record["pid"])] if record and runfiles.alive(record) else runfiles.members(record)
    if record and left:
        life = Life.STOPPING if removed and ending else Life.ORPHAN
        known = replace(program, port=int(record["port"]))
        return ProgramStatus(known, life, left[0], float(record["at"]), max(0, int(record["starts"]) - 1))
    if spec and not removed and (spec["keep"] or ending):
        return ProgramStatus(program, Life.STOPPED, detail="there is no supervisor that runs it")
    return None


def detach(command: list[str], directory: Path, environment: dict[str, str], *handles: int) -> None:
    """Start it in a session of its own, a child of nobody here; what it says of itself goes to `starts.log`."""
    with open(directory / "starts.log", "ab") as log:
        if log.tell() > 1_000_000:
            log.truncate(0)
        subprocess.run(
            ["/bin/sh", "-c", '"$@" & exit 0', "sh", *command],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=handles,
            start_new_session=True,
            check=True,
        )
