"""Who holds a port: for error messages that name the culprit."""

from __future__ import annotations

import errno
import ipaddress
import os
import pwd
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who listens. `pid` 0: a process that we may not look into; then only its `user` is known."""

    pid: int
    name: str
    user: str
    command: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.pid:
            return f"{self.name} (pid {self.pid}, user {self.user})"
        return f"a process of user {self.user}" if self.user else "an unknown process"


def holders(port: int) -> list[Holder]:
    """Everybody who listens on this TCP port, at any address, as far as /proc shows."""
    owners = dict(_listening(port))
    found = []
    for pid in _pids() if owners else ():
        held = owners.keys() & _sockets(pid)
        if held:
            found.append(_holder(pid, _user(owners[held.pop()])))
    return found or [Holder(0, "", _user(uid)) for uid in set(owners.values())]


def problem(host: str, port: int) -> tuple[str, list[Holder]]:
    """Why this address cannot be listened at ("" if it can), and who holds it if somebody does."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
            trial.listen(1)
            return "", []
        except PermissionError:
            return f"{where} may only be used by root, or with CAP_NET_BIND_SERVICE: use a port from 1024 on", []
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return f"{where} is no address of this machine: use 127.0.0.1:{port} or 0.0.0.0:{port}", []
            if error.errno != errno.EADDRINUSE:
                return f"{where} cannot be listened at: {error.strerror}", []
    found = holders(port)
    who = ", ".join(map(str, found)) or "an unknown process"
    return f"{where} is already taken by {who}: stop it, or choose another port", found


def _listening(port: int) -> Iterator[tuple[str, int]]:
    """Inode and owner of each listening socket."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            cells = line.split()
            if cells[3] == _LISTENING and int(cells[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{cells[9]}]", int(cells[7])


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return []


def _sockets(pid: int) -> set[str]:
    links = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                links.add(os.readlink(f"/proc/{pid}/fd/{name}"))
            except OSError:
                continue
    except OSError:
        pass
    return links


def _holder(pid: int, user: str) -> Holder:
    try:
        command = tuple(Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0"))
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        command, name = (), "a process"
    return Holder(pid, name, user, command)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
