"""A small supervisor for tests: in this process, quick, and gone with it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from greenroom.ports import Life, Program, ProgramStatus


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens at, out of the range from which clients' connections get theirs: a port that
    is to be listened at again after a restart must not be lent to a connection in between.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


@dataclass
class _Kept:
    program: Program
    process: subprocess.Popen[bytes]
    since: float
    restarts: int = 0
    wanted: bool = True
    thread: threading.Thread = field(default_factory=threading.Thread)


class LocalSupervisor:
    """Keeps the port's promises but one: it ends with this process. Use as a context manager, which stops everything."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._kept: dict[str, _Kept] = {}
        self._ending: list[_Kept] = []

    def __enter__(self) -> LocalSupervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def observe(self) -> Mapping[str, ProgramStatus]:
        with self._lock:
            return {name: _status(kept) for name, kept in self._kept.items()}

    def apply(self, program: Program) -> None:
        with self._lock:
            kept = self._kept.get(program.name)
            if kept and kept.program == program:
                return
            if kept:
                self._end(kept)
                kept.thread.join(30)
            kept = _Kept(program, _start(program), time.time())
            self._kept[program.name] = kept
            kept.thread = threading.Thread(target=self._keep, args=(kept,), daemon=True)
            kept.thread.start()

    def remove(self, name: str) -> None:
        with self._lock:
            kept = self._kept.pop(name, None)
            if kept:
                self._end(kept)

    def pid(self, name: str) -> int:
        with self._lock:
            return self._kept[name].process.pid

    def close(self) -> None:
        """Stop everything and wait for it."""
        with self._lock:
            for name in list(self._kept):
                self.remove(name)
        for kept in self._ending:
            kept.thread.join(30)

    def _end(self, kept: _Kept) -> None:
        kept.wanted = False
        self._ending.append(kept)
        _signal(kept, getattr(signal, f"SIG{kept.program.stop_signal}"))
        timer = threading.Timer(kept.program.stop_timeout, _signal, (kept, signal.SIGKILL))
        timer.daemon = True
        timer.start()

    def _keep(self, kept: _Kept) -> None:
        while True:
            kept.process.wait()
            with self._lock:
                if not kept.wanted:
                    return
                kept.process, kept.since, kept.restarts = _start(kept.program), time.time(), kept.restarts + 1
            # A program that ends at once must not eat the machine.
            time.sleep(min(kept.restarts * 0.02, 1.0))


def _start(program: Program) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **program.environment, **program.secrets}
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(open(program.output, "ab")) if program.output else subprocess.DEVNULL
        return subprocess.Popen(
            program.command,
            cwd=program.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _signal(kept: _Kept, number: int) -> None:
    if kept.process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(kept.process.pid, number)


def _status(kept: _Kept) -> ProgramStatus:
    alive = kept.process.poll() is None
    life = Life.RUNNING if alive else Life.STARTING
    return ProgramStatus(kept.program, life, kept.process.pid if alive else 0, kept.since, kept.restarts)
