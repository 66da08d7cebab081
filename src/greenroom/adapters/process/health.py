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
        return f"nothing listens on port {port} yet"
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
    """GET by hand: the status line is all that is needed, and no client need be imported for `status` to be quick."""
    end = time.monotonic() + ANSWER_WITHIN
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: greenroom\r\nConnection: close\r\n\r\n"
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), ANSWER_WITHIN) as link:
            link.sendall(request.encode())
            while b"\r\n\r\n" not in answer and len(answer) < 65536:
                link.settimeout(max(0.001, end - time.monotonic()))
                if not (piece := link.recv(4096)):
                    break
                answer += piece
    except TimeoutError:
        return Late(f"{path} did not answer within {ANSWER_WITHIN:g} s")
    except OSError as error:
        return f"{path} cannot be asked: {error.strerror or error}"
    return _judge(answer, path, status)


def _judge(answer: bytes, path: str, status: int | None) -> Answer:
    head = answer.split(b"\r\n\r\n")[0].decode("latin-1").splitlines()
    parts = head[0].split(None, 2) if head else []
    if len(parts) < 2 or not parts[0].startswith("HTTP/") or not parts[1].isdigit():
        return f"{path} did not answer in HTTP" if answer else f"{path}: the connection was closed without an answer"
    code = int(parts[1])
    if code == status or (status is None and 200 <= code < 300):
        return ""
    where = next((f" to {line[9:].strip()}" for line in head[1:] if line.lower().startswith("location:")), "")
    return f"{path} answers {code}{where}" + (" (ask there, or set `status`)" if where else "")


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
