"""Is a replica healthy: by HTTP, by a command, by who listens on its port. Many at once, none waited for too long."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from greenroom.adapters.hosts.http import ClosedWithoutAnswer, get
from greenroom.adapters.ports_in_use import holders
from greenroom.adapters.process.commands import words
from greenroom.adapters.supervisor import runfiles

ANSWER_WITHIN = 0.9
COMMAND_WITHIN = 5.0

Answer = str
"""Why it is not healthy; "" if it is."""


class Late(str):
    """An answer for the one that did not come in time: once is no verdict on a process that was healthy."""

    __slots__ = ()


class Silent(str):
    """An answer for the one from which nothing came, not even a wrong status: whether somebody listens is in doubt."""

    __slots__ = ()


def ask_all(probes: Mapping[str, Callable[[], Answer]], within: float) -> dict[str, Answer]:
    """Ask side by side. Who does not answer in time gets an answer from us; its thread is left to end by itself."""
    answers: dict[str, Answer] = {}
    threads = []
    for name, probe in probes.items():
        thread = threading.Thread(target=_ask, args=(name, probe, answers), daemon=True)
        thread.start()
        threads.append(thread)
    end = time.monotonic() + within
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return {name: answers.get(name, Late(f"no answer within {within:g} s")) for name in probes}


def _ask(name: str, probe: Callable[[], Answer], answers: dict[str, Answer]) -> None:
    try:
        answers[name] = probe()
    except Exception as error:
        answers[name] = f"{type(error).__name__}: {error}"


def listening(pid: int, port: int) -> Answer:
    """Whether this process, one of its group or one of its descendants listens there, and nobody else."""
    found = holders(port)  # read from /proc: a trial to bind might be in the program's way
    if not found:
        return Silent(f"nothing listens on port {port} yet")
    for holder in found:
        if holder.pid and not _belongs(holder.pid, pid):
            return f"port {port} is taken by {holder}"
    return ""  # ours, or of a process that we may not look into


def _belongs(pid: int, leader: int) -> bool:
    while pid > 1:
        seen = runfiles.stat(pid)
        if seen is None:
            return False
        if pid == leader or seen.group == leader:
            return True
        pid = seen.parent
    return False


def http(port: int, path: str, status: int | None) -> Answer:
    """GET, on this machine: see `judged`."""
    return judged(
        lambda: socket.create_connection(("127.0.0.1", port), ANSWER_WITHIN), f"127.0.0.1:{port}", path, status
    )


def judged(connect: Callable[[], socket.socket], authority: str, path: str, status: int | None) -> Answer:
    """GET over what `connect` opens: the status alone decides, any 2xx if none is named. No body is waited for."""
    end = time.monotonic() + ANSWER_WITHIN
    try:
        with connect() as link:
            answer = get(link, path, {"Host": authority}, end, limit=0)
    except TimeoutError:
        return Late(f"{path} did not answer within {ANSWER_WITHIN:g} s")
    except ClosedWithoutAnswer as error:
        return Silent(f"{path}: {error}")
    except OSError as error:
        return Silent(f"{path} cannot be asked: {error.strerror or error}")
    except ValueError:
        return f"{path} did not answer in HTTP"
    if answer.status == status or (status is None and 200 <= answer.status < 300):
        return ""
    to = answer.headers.get("location")
    return f"{path} answers {answer.status}" + (f" to {to} (ask there, or set `status`)" if to is not None else "")


def command(text: str, directory: Path, environment: Mapping[str, str], user: str = "") -> Answer:
    """Its exit code decides. Killed, with its group, when it takes too long."""
    entry = pwd.getpwnam(user) if user and os.geteuid() == 0 else None
    try:
        process = subprocess.Popen(
            words(text),
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            user=entry.pw_uid if entry else None,
            group=entry.pw_gid if entry else None,
            extra_groups=os.getgrouplist(user, entry.pw_gid) if entry else None,
        )
    except OSError as error:
        return f"the health command cannot be executed: {error.strerror}: {error.filename}"
    try:
        code = process.wait(COMMAND_WITHIN)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return Late(f"the health command did not end within {COMMAND_WITHIN:g} s")
    return f"the health command's exit status is {code}" if code else ""


def accepts(port: int) -> bool:
    """Somebody takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), ANSWER_WITHIN).close()
    except OSError:
        return False
    return True
