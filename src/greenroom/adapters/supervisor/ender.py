"""Ends one program, on its own feet: whoever asked for it may be gone by then.

Started with the state folder, the service, the program's name and the handle of a lock that it holds while it lives.
Afterwards it does what the program's file says: forget the program, or start it anew with what stands there now.
Without a name: end the supervisor when nothing is left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenroom import sockets
from greenroom.adapters.supervisor import client, rpc, runfiles
from greenroom.adapters.supervisor.client import Supervisord
from greenroom.adapters.supervisor.runfiles import Record
from greenroom.errors import Temporary

_ASK_AGAIN = 0.25


class Ender:
    def __init__(self, supervisor: Supervisord, name: str) -> None:
        self.supervisor = supervisor
        self.folder = supervisor.folder
        self.name = name

    def run(self, lock: int) -> None:
        while True:
            self.stop()
            with self.folder.locked(timeout=60.0):
                if self.finish():
                    os.close(lock)
                    return

    def stop(self) -> None:
        """Returns when nothing of the program is alive, and no supervisor will start it again."""
        record = self.folder.record(self.name)
        told = record or self.folder.wanted(self.name) or {}
        timeout = float(told.get("stop_timeout", 10.0))
        deadline = time.monotonic() + timeout
        asked: set[int] = set()
        while True:
            leaders = self._leaders()
            if not leaders:
                break
            for leader in leaders:
                late = time.monotonic() >= deadline
                if late:
                    runfiles.kill_group(leader)
                elif leader["pid"] not in asked and not leader["watched"]:
                    asked.add(leader["pid"])
                    runfiles.send(leader, runfiles.signal_number(leader["stop_signal"]), group=leader["stop_group"])
            self._wait(leaders[0]["pid"], deadline)
        self._sweep_group(record, deadline)
        self._sweep_group(self.folder.record(self.name), deadline)

    def _leaders(self) -> list[Record]:
        """What has to end: what supervisord runs under this name (told to stop here), and a verified orphan."""
        found: list[Record] = []
        info = self._info()
        if info and info["state"] in (client.STARTING, client.RUNNING, client.BACKOFF):
            with contextlib.suppress(Temporary):
                self.supervisor.tell("stopProcess", self.name, False, ignore=(rpc.NOT_RUNNING, rpc.BAD_NAME))
        # Between its end and its next start supervisord cannot be told to stop it: look again.
        if info and info["state"] not in (client.STOPPED, client.FATAL, 1000):
            seen = runfiles.stat(int(info["pid"])) if info["pid"] else None
            start, session = (seen.start, seen.session) if seen else (0, 0)
            leader = {"pid": int(info["pid"]), "start": start, "session": session, "boot": runfiles.boot_id()}
            found.append({**leader, "watched": True})
        record = self.folder.record(self.name)
        if record and runfiles.alive(record) and not (found and found[0]["pid"] == record["pid"]):
            # Its guard, if it has one, passes the signal on.
            found.append({**record, "watched": bool(found)})
        return found

    def _info(self) -> Mapping[str, Any] | None:
        with contextlib.suppress(Temporary):
            return (self.supervisor.ask() or {}).get(self.name)
        return {"state": client.STOPPING, "pid": 0}  # it does not answer: not known to be stopped

    def _wait(self, pid: int, deadline: float) -> None:
        left = deadline - time.monotonic()
        pause = min(_ASK_AGAIN, left) if left > 0 else 0.02
        if pid and runfiles.stat(pid):
            runfiles.wait_gone(pid, pause)
        time.sleep(0.01)

    def _sweep_group(self, record: Record | None, deadline: float) -> None:
        """What the program left behind in its group gets the signal too, what is left of the time, then SIGKILL."""
        if record is None or not runfiles.members(record):
            return
        runfiles.send(record, runfiles.signal_number(record["stop_signal"]), group=True)
        while left := runfiles.members(record):
            if time.monotonic() >= deadline:
                runfiles.send(record, signal.SIGKILL, group=True)
            runfiles.wait_gone(left[0], 0.1)
            time.sleep(0.01)

    def finish(self) -> bool:
        """False: a fresh supervisor has started it anew meanwhile. The caller holds the lock."""
        infos, spec, record = self.supervisor.ask(), self.folder.wanted(self.name), self.folder.record(self.name)
        removed = spec is None or bool(spec.get("removed"))
        if infos is not None and self.name in infos:
            if spec and record and not removed and runfiles.alive(record) and record["applied"] == spec["applied"]:
                return True  # what runs there is what is wanted
            self.supervisor.tell("removeProcessGroup", self.name, ignore=(rpc.BAD_NAME, rpc.STILL_RUNNING))
            infos = self.supervisor.ask()
            if infos is not None and self.name in infos:
                return False
        if removed:
            self.folder.forget(self.name)
        elif infos is not None:
            self.supervisor.load(self.name, infos)
        return True


def end_supervisor(supervisor: Supervisord) -> None:
    """When nothing is left; not if something was applied meanwhile."""
    folder = supervisor.folder
    while folder.down.exists() and supervisor.running():
        with folder.locked(timeout=60.0):
            if folder.down.exists() and not supervisor.observe():
                with contextlib.suppress(Temporary):
                    supervisor.tell("shutdown")
        time.sleep(0.05)
    if not supervisor.running():
        sockets.forget(folder.socket)


def main() -> None:
    state, service, name, lock = sys.argv[1:]
    supervisor = Supervisord(Path(state), service)
    if name:
        Ender(supervisor, name).run(int(lock))
    else:
        end_supervisor(supervisor)


if __name__ == "__main__":
    main()
