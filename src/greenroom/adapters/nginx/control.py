"""nginx's own commands, its processes and its connections; on the host, or in a container on it."""

from __future__ import annotations

import ipaddress
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from greenroom.adapters.nginx.settings import NginxSettings
from greenroom.domain.model import Colour, Endpoint
from greenroom.errors import Permanent, Temporary
from greenroom.ports import Host, Ran

_TREE = r"""
walk() { for p in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
printf '%s %s ' "$p" "$1"; tr '\0\n' '  ' <"/proc/$p/cmdline" 2>/dev/null; echo; walk "$p"; done; }
root=$2
if [ "$1" = worker ]; then s=$(cat "/proc/$2/stat") || exit 1; s=${s##*) }; set -- $s; root=$2; fi
printf '%s 0 ' "$root"; tr '\0\n' '  ' <"/proc/$root/cmdline" || exit 1; echo
walk "$root"
"""
_WIDE = ("sh", "-c", 'PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; exec "$@"', "sh")
_HOLDS = frozenset({"01", "02"})
"""States of a connection in /proc/net/tcp: established, being established."""
_LOG_TAIL = 64 * 1024
_ERROR_LOG = re.compile(r"(?:^|[;{}])\s*error_log\s+\"?([^\s;\"]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Workers:
    """By pid on the host: those that take requests, and those that only end what they have begun."""

    serving: frozenset[int]
    ending: frozenset[int]


class Nginx:
    def __init__(self, settings: NginxSettings, host: Host) -> None:
        self._settings, self._host = settings, host
        self._main = 0

    def words(self, *arguments: str) -> tuple[str, ...]:
        """How nginx is called; it is found where plain users' PATH does not lead."""
        return (*(self._into() or _WIDE), *shlex.split(self._settings.command), *arguments)

    def _into(self) -> tuple[str, ...]:
        return ("docker", "exec", self._settings.container) if self._settings.container else ()

    def dump(self) -> Ran:
        """The whole configuration with everything that it includes, as it is on disk; checked on the way."""
        return self._host.run(self.words("-T"))

    def reload(self) -> None:
        """Ask for it. `Temporary` if nginx cannot even be asked, `Permanent` if we may not."""
        own = shlex.split(self._settings.reload)
        ran = self._host.run(own or self.words("-s", "reload"))
        if ran.code == 0:
            return
        said = words_of(ran)
        if "not permitted" in said or "ermission denied" in said:
            hint = (
                "give Greenroom's user the right to it: `reload: sudo systemctl reload nginx`, or `command: sudo nginx`"
            )
            raise Permanent(f"nginx may not be told to reload by us: {said}", hint=hint)
        raise Temporary(f"nginx cannot be told to reload: {said}", hint="start nginx, then give the same command again")

    def reopen(self) -> None:
        """Log files are opened anew."""
        self._host.run(self.words("-s", "reopen"))

    # processes

    def workers(self, pid: int) -> Workers | None:
        """`pid`: of a worker, as it told. None where the processes cannot be seen."""
        root = ("main", str(self._container())) if self._settings.container else ("worker", str(pid))
        ran = self._host.run(["sh", "-c", _TREE, "sh", *root])
        if ran.code != 0:
            return None
        seen = [line.split(None, 2) for line in ran.out.decode(errors="replace").splitlines()]
        masters = {row[0] for row in seen if len(row) == 3 and row[2].startswith("nginx: master")}
        workers = [row for row in seen if len(row) == 3 and row[1] in masters and row[2].startswith("nginx: worker")]
        ending = frozenset(int(row[0]) for row in workers if "shutting down" in row[2])
        return Workers(frozenset(int(row[0]) for row in workers) - ending, ending)

    def _container(self) -> int:
        """The first process in the container, as the host counts."""
        ran = self._host.run(["docker", "inspect", "--format", "{{.State.Pid}}", self._settings.container])
        said = ran.out.decode(errors="replace").strip()
        if ran.code != 0 or not said.isdecimal() or said == "0":
            raise Temporary(f"the container {self._settings.container} does not run: {words_of(ran) or 'it has ended'}")
        return int(said)

    # connections

    def holding(self, pid: int, upstreams: Mapping[Colour, Sequence[Endpoint]]) -> dict[Colour, int]:
        """Connections to each colour, counted where nginx makes them. `pid`: of a worker, as it told."""
        endpoints = [e for colour in upstreams.values() for e in colour]
        rows: list[str] = []
        for name in {"tcp6" if ":" in e.host else "tcp" for e in endpoints}:
            rows += self._sockets(pid, name)
        to = [remote for remote, state in map(_row, rows) if state in _HOLDS]
        wanted = {colour: {_hexadecimal(e) for e in upstreams.get(colour, ())} for colour in Colour}
        return {colour: sum(remote in wanted[colour] for remote in to) for colour in Colour}

    def _sockets(self, pid: int, name: str) -> list[str]:
        raw = None
        if self._settings.container:
            raw = self._host.read(f"/proc/{self._main}/net/{name}") if self._main else None
            if not raw:
                self._main = self._container()
                raw = self._host.read(f"/proc/{self._main}/net/{name}")
        else:
            raw = self._host.read(f"/proc/{pid}/net/{name}") or self._host.read(f"/proc/net/{name}")
        if not raw:
            raise Temporary("nginx's connections cannot be counted: /proc cannot be read there")
        return raw.decode().splitlines()[1:]

    # what it says

    def emergencies(self, logs: Sequence[str]) -> list[str]:
        """The last lines in which nginx says why it refuses something."""
        script = f'for f do tail -c {_LOG_TAIL} -- "$f" 2>/dev/null; done'
        ran = self._host.run([*self._into(), "sh", "-c", script, "sh", *logs])
        return [line for line in ran.out.decode(errors="replace").splitlines() if "[emerg]" in line]


def error_logs(dump: Ran) -> list[str]:
    """The files that nginx writes its errors to, by its configuration on disk."""
    found = _ERROR_LOG.findall(dump.out.decode(errors="replace"))
    return list(dict.fromkeys(path for path in found if path.startswith("/")))


def includes(dump: Ran, path: str) -> bool:
    """Whether nginx's configuration, where it is good, includes this file; True where that cannot be known."""
    return dump.code != 0 or f"# configuration file {path}:".encode() in dump.out


def words_of(ran: Ran) -> str:
    """What a command said, in one line: the reason first, as nginx gives it."""
    said = [line.strip() for line in ran.err.decode(errors="replace").splitlines() if line.strip()]
    bad = [line for line in said if "[emerg]" in line or "[error]" in line or "[alert]" in line]
    return "; ".join(bad or said[-2:])[:600] or f"exit status {ran.code}"


def _row(line: str) -> tuple[str, str]:
    """The other end and the state."""
    fields = line.split()
    return fields[2], fields[3]


def _hexadecimal(endpoint: Endpoint) -> str:
    """As /proc/net/tcp writes it: words of 32 bits in the machine's order."""
    packed = ipaddress.ip_address("127.0.0.1" if endpoint.host == "localhost" else endpoint.host).packed
    words = [packed[n : n + 4] for n in range(0, len(packed), 4)]
    if sys.byteorder == "little":
        words = [word[::-1] for word in words]
    return f"{b''.join(words).hex().upper()}:{endpoint.port:04X}"
