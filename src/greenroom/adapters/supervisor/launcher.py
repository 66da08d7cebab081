"""What supervisord starts in the place of each program: it makes the ground ready and becomes the program by exec.

Run by path with `python -I -S`, standard library only, because it stands in the way of every start and restart.
In this order: output into the program's file · one launcher at a time per program · what an earlier supervisor left
of this program is guarded or ended, never doubled · a program that keeps ending is slowed down · a port that a
stranger took is replaced · what cannot start is said · the run file is written · user, signals, exec.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import signal
import sys
import time
from typing import Any, NoReturn

try:
    from greenroom.adapters.supervisor import runfiles
except ImportError:  # run by path, without site-packages
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    import runfiles  # type: ignore[import-not-found,no-redef]

LONG_ENOUGH = 3.0
"""A program that ran this many seconds is not in a crash loop."""
SLOWEST = 5.0
"""Seconds between two starts of a program that keeps ending."""
TICK = 0.1
RETRY = 2.0
"""Seconds between two looks at a program that cannot start."""


class Unstartable(Exception):
    """Why this program cannot start now. It is tried again: the file may appear, the disk may be freed."""


class Asked(Exception):
    """Somebody asked us to stop, or our supervisor is gone, before the program had been started."""


class Launcher:
    """One start of one program. `spec` is the program's file, `run` the path of its run files without suffix."""

    def __init__(self, spec: runfiles.Record, run: str) -> None:
        self.spec = spec
        self.run = run
        self.parent = os.getppid()
        self.asked = 0
        self.note = os.open(run + ".note", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def launch(self) -> NoReturn:
        self.listen()
        self.redirect()
        lock = self.wait_for_lock()
        previous = runfiles.read_json(self.run + ".json")
        self.settle(previous)
        record = self.slow_down(previous)
        while True:
            try:
                ready = self.check(record)
                break
            except Unstartable as problem:
                self.say(str(problem))
                self.write_note("failed", str(problem))
                self.pause(RETRY)
        self.remember(record)
        os.close(lock)
        self.become(*ready)

    # --- the ground

    def listen(self) -> None:
        wanted = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}
        for number in wanted | {runfiles.signal_number(self.spec["stop_signal"])}:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: Any) -> None:
        self.asked = number

    def redirect(self) -> None:
        """Output goes to the file itself: a pipe would end with the supervisor, and the program with the pipe."""
        silence = os.open(os.devnull, os.O_RDWR)
        out = silence
        if self.spec["output"]:
            try:
                os.makedirs(os.path.dirname(self.spec["output"]), exist_ok=True)
                out = os.open(self.spec["output"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
            except OSError as error:
                self.write_note("starting", f"its output cannot be kept: {error.strerror}: {error.filename}")
        os.dup2(silence, 0)
        os.dup2(out, 1)
        os.dup2(out, 2)

    def wait_for_lock(self) -> int:
        while (lock := runfiles.try_lock(self.run + ".lock")) is None:
            self.write_note("starting", "waits for an earlier start of the same program")
            self.pause(TICK)
        return lock

    def pause(self, seconds: float) -> None:
        """Sleep, unless there is no reason to start anything any more."""
        end = time.monotonic() + seconds
        while True:
            if self.asked or os.getppid() != self.parent:
                raise Asked
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(TICK, left))

    # --- what was there before

    def settle(self, previous: runfiles.Record | None) -> None:
        """Afterwards nothing of an earlier start of this program is alive."""
        if previous is None or previous["pid"] == os.getpid():
            return
        if runfiles.alive(previous):
            if self.spec["keep"] and previous.get("fingerprint") == self.spec["fingerprint"]:
                self.guard(previous)
            else:
                self.write_note("starting", "waits for the copy that an earlier supervisor started to end")
                runfiles.end(previous)
        runfiles.end_group(previous)

    def guard(self, orphan: runfiles.Record) -> None:
        """It runs on undisturbed, watched by us in its place, until it ends by itself or we are asked to end it."""
        self.write_note("guarding", f"pid {orphan['pid']}, started by an earlier supervisor, runs on")
        while runfiles.alive(orphan):
            if self.asked:
                runfiles.end(orphan, self.asked)
                runfiles.end_group(orphan)
            if self.asked or os.getppid() != self.parent:
                raise Asked
            runfiles.wait_gone(orphan["pid"], TICK)

    def slow_down(self, previous: runfiles.Record | None) -> runfiles.Record:
        """The new run file, without the process: it counts the starts, and those that ended soon."""
        same = previous is not None and previous.get("applied") == self.spec["applied"]
        soon = same and previous is not None and time.time() - previous["at"] < LONG_ENOUGH
        failures = previous["failures"] + 1 if soon and previous else 0
        starts = previous["starts"] + 1 if same and previous else 1
        ended = ""
        if same:
            with contextlib.suppress(OSError), open(self.run + ".exit") as file:
                ended = file.read().strip()
        # The first restart is immediate, then 0.5, 1, 2, 4, 5, 5, … seconds.
        delay = min(SLOWEST, 0.25 * 2 ** min(failures - 1, 10)) if failures > 1 else 0.0
        if delay:
            self.write_note("starting", f"ended {failures} times soon after its start{ended and ', ' + ended}")
            self.pause(delay)
        return {"starts": starts, "failures": failures, "ended": ended}

    # --- the start

    def check(self, record: runfiles.Record) -> tuple[str, list[str], dict[str, str]]:
        """What to execute; sets the port that it gets."""
        spec = self.spec
        port = spec["port"]
        if port and not runfiles.port_is_free(port):
            port = runfiles.free_port()
            self.say(f"port {spec['port']} is taken by another program: listens on {port} instead")
        record["port"] = port
        directory, user = spec["directory"], spec["user"]
        if not os.path.isdir(directory):
            raise Unstartable(f"its directory does not exist: {directory}")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SUPERVISOR_")}
        if user:
            try:
                entry = pwd.getpwnam(user)
            except KeyError:
                raise Unstartable(f"there is no user {user!r} on this machine") from None
            environment.update(HOME=entry.pw_dir, USER=user, LOGNAME=user)
        environment.update({k: v.replace("{port}", str(port)) for k, v in spec["environment"].items()})
        environment.update(spec["secrets"])
        command = [word.replace("{port}", str(port)) for word in spec["command"]]
        return find(command[0], directory, environment.get("PATH", os.defpath)), command, environment

    def remember(self, record: runfiles.Record) -> None:
        """Write the run file. A full disk does not keep a program from running: then the old file is overwritten."""
        spec, me = self.spec, runfiles.stat(os.getpid())
        assert me is not None
        record.update(
            pid=os.getpid(), start=me.start, boot=runfiles.boot_id(), session=me.session, at=time.time(),
            name=spec["name"], labels=spec["labels"], applied=spec["applied"], fingerprint=spec["fingerprint"],
            stop_signal=spec["stop_signal"], stop_timeout=spec["stop_timeout"], stop_group=spec["stop_group"],
        )  # fmt: skip
        path = self.run + ".json"
        try:
            runfiles.write_json(path, record)
        except OSError as error:
            self.say(f"its run file cannot be written: {error.strerror}")
            with contextlib.suppress(OSError):
                runfiles.overwrite_json(path, record)

    def become(self, program: str, command: list[str], environment: dict[str, str]) -> NoReturn:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        if self.asked:
            raise Asked
        with contextlib.suppress(OSError):
            os.ftruncate(self.note, 0)
        try:
            if self.spec["user"]:
                become_user(self.spec["user"])
            os.chdir(self.spec["directory"])
            for number in signal.valid_signals():
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.execve(program, command, environment)
        except OSError as error:
            # Too late to try again from here (the user may be another by now): a new start does.
            problem = f"{program} cannot be executed: {error.filename or ''} {error.strerror}"
            if error.errno in (errno.ENOENT, errno.ENOEXEC):
                problem += " (is the interpreter in its first line there?)"
            self.say(problem)
            self.write_note("failed", problem)
            time.sleep(RETRY)
            os._exit(127)

    # --- words

    def say(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(2, f"greenroom: {self.spec['name']}: {text}\n".encode())

    def write_note(self, life: str, detail: str) -> None:
        """Through a handle that was opened before the user changed."""
        text = f"{os.getpid()}\n{life}\n{detail}\n".encode()
        with contextlib.suppress(OSError):
            os.pwrite(self.note, text, 0)
            os.ftruncate(self.note, len(text))


def find(name: str, directory: str, path: str) -> str:
    """The file to execute, as the shell would find it. `Unstartable` says what is wrong with it."""
    if "/" in name:
        program = os.path.join(directory, name)
        if not os.path.exists(program):
            raise Unstartable(f"command not found: {program}")
        if os.path.isdir(program) or not os.access(program, os.X_OK):
            raise Unstartable(f"command is not executable: {program}")
        return program
    for folder in path.split(os.pathsep):
        program = os.path.join(directory, folder, name)
        if os.path.isfile(program) and os.access(program, os.X_OK):
            return program
    raise Unstartable(f"command not found: {name} (looked in {path})")


def become_user(name: str) -> None:
    entry = pwd.getpwnam(name)
    if os.geteuid() == entry.pw_uid:
        return
    try:
        os.initgroups(entry.pw_name, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    except OSError as error:
        error.filename = f"as user {name}:"
        raise


def main() -> None:
    path = sys.argv[1]
    spec = runfiles.read_json(path)
    if spec is None:
        time.sleep(RETRY)
        sys.exit(f"{path} is missing or broken")
    folder = os.path.dirname(os.path.dirname(os.path.abspath(path)))
    try:
        Launcher(spec, os.path.join(folder, "run", spec["name"])).launch()
    except Asked:
        sys.exit(0)
    except Exception:
        time.sleep(RETRY)  # never a tight loop of starts
        raise


if __name__ == "__main__":
    main()
