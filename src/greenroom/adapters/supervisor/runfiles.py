"""Who is who among processes: run files, and the proof that a process is the one that a run file means.

A pid alone proves nothing: it is used again. A pid with its start time and the boot it belongs to does. Members of a
process group are known by group and session: the kernel gives neither number away while one member lives.

Standard library only and importable by path: the launcher runs without site-packages.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

Record = dict[str, Any]
"""A run file: pid, start, boot, session, name, port, labels, at, starts, failures, fingerprint, stop_…"""


class Stat(NamedTuple):
    state: str
    parent: int
    group: int
    session: int
    start: int


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def stat(pid: int) -> Stat | None:
    """None if there is no such process, or only its zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    words = text[text.rindex(b")") + 2 :].split()
    if words[0] in (b"Z", b"X"):
        return None
    return Stat(words[0].decode(), int(words[1]), int(words[2]), int(words[3]), int(words[19]))


def alive(record: Record | None) -> bool:
    """The very process that this run file was written for is alive."""
    if not record or record.get("boot") != boot_id():
        return False
    seen = stat(int(record["pid"]))
    return seen is not None and seen.start == record["start"]


def members(record: Record | None) -> list[int]:
    """The living processes of its process group, the leader included, even if the leader is gone."""
    if not record or record.get("boot") != boot_id() or record["pid"] <= 1:
        return []
    group, session, found = record["pid"], record["session"], []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            seen = stat(int(entry))
            if seen and seen.group == group and seen.session == session and seen.start >= record["start"]:
                found.append(int(entry))
    return found


def send(record: Record, number: int, *, group: bool) -> None:
    """Signal the leader, or the whole group. The caller has verified the record a moment ago."""
    assert record["pid"] > 1, "0 and 1 mean our own group, and everybody"
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if group:
            os.killpg(record["pid"], number)
        else:
            os.kill(record["pid"], number)


def wait_gone(pid: int, timeout: float) -> bool:
    """True when the process has ended (a zombie has). Returns early, never late by more than a little."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(max(0.0, timeout) * 1000))
    finally:
        os.close(handle)


def kill_group(record: Record) -> None:
    """SIGKILL for everything in the group, verified member by member."""
    if members(record):
        send(record, signal.SIGKILL, group=True)


def end(record: Record, number: int = 0) -> None:
    """Stop signal, its timeout, SIGKILL for the group."""
    number = number or signal_number(record["stop_signal"])
    send(record, number, group=record["stop_group"])
    deadline = time.monotonic() + record["stop_timeout"]
    while alive(record) and time.monotonic() < deadline:
        wait_gone(record["pid"], deadline - time.monotonic())
    if alive(record):
        kill_group(record)
        while alive(record):
            wait_gone(record["pid"], 1.0)


def end_group(record: Record) -> None:
    """What its leader left behind goes too: the children of a killed master may hold its port."""
    if not members(record):
        return
    send(record, signal_number(record["stop_signal"]), group=True)
    deadline = time.monotonic() + record["stop_timeout"]
    while (left := members(record)) and time.monotonic() < deadline:
        wait_gone(left[0], min(1.0, deadline - time.monotonic()))
    while left := members(record):
        kill_group(record)
        wait_gone(left[0], 1.0)


def signal_number(name: str) -> int:
    return int(signal.Signals["SIG" + name.upper().removeprefix("SIG")])


def read_json(path: str) -> Record | None:
    """None if it is missing or broken."""
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def write_json(path: str, document: Record) -> None:
    """All or nothing, readable by us only."""
    temporary = f"{path}.{os.getpid()}.{time.monotonic_ns()}.tmp"
    text = json.dumps(document).encode()
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def overwrite_json(path: str, document: Record) -> None:
    """In place, into blocks that the file already has: works on a full disk, and is torn if we are killed in it."""
    text = json.dumps(document).encode()
    with open(path, "r+b") as file:
        file.write(text)
        file.truncate()


def try_lock(path: str) -> int | None:
    """A handle that holds the lock until its last copy is closed, ours or a child's; None if somebody else holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK, _WHOLE_FILE)
    except OSError as error:
        os.close(handle)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return None
        raise
    return handle


def is_locked(path: str) -> bool:
    """Only asks: taking the lock for a moment would look like its holder to others."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        found = fcntl.fcntl(handle, fcntl.F_OFD_GETLK, _WHOLE_FILE)
        return bool(struct.unpack("hhqqi", found)[0] != fcntl.F_UNLCK)
    finally:
        os.close(handle)


_WHOLE_FILE = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Nobody listens there: the kernel would let us. (Ended connections that linger do not count.)"""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port(avoid: frozenset[int] = frozenset()) -> int:
    """A free loopback port, outside of the range from which the kernel lends ports to outgoing connections."""
    for port in _candidates():
        if port not in avoid and port_is_free(port):
            return port
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _candidates() -> Iterator[int]:
    low, high = 32768, 60999
    with contextlib.suppress(OSError, ValueError), open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        low, high = (int(word) for word in file.read().split())
    for _ in range(60):
        port = 20000 + int.from_bytes(os.urandom(3), "big") % 45000
        if not low <= port <= high:
            yield port
