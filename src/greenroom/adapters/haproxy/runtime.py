"""HAProxy's socket: what the running process says, and what it is told."""

from __future__ import annotations

import contextlib
import csv
import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from greenroom.adapters.haproxy.layout import FIRST, ROUTE, Layout
from greenroom.adapters.haproxy.slots import Servers
from greenroom.domain.model import Colour
from greenroom.errors import Permanent, Temporary
from greenroom.ports import Host

_TIMEOUT = 3.0
_MOST = 15_000
"""HAProxy reads a line of at most a buffer, 16 KiB by default."""
_MAINTENANCE = 0x01 | 0x02 | 0x20
_UNKNOWN_MAP = "Unknown map identifier"
_DENIED = "Permission denied"
_VERSION = re.compile(r"New version created: (\d+)")
_VARIABLE = re.compile(r"(proc\.\w+): type=str value=<(.*)>")
_INFO = re.compile(r"(Pid|Start_time_sec|Version|Stopping): (\S+)")


HOW_TO_ASK = (
    "add the lines of `greenroom init --router haproxy` to the frontend that your users reach, and reload HAProxy"
)


class Silent(Exception):
    """Nobody answers at the socket: HAProxy does not run, or hangs. `kind`: the name of the system's error.

    A machine that cannot be reached is something else: a `PortError` of its host.
    """

    def __init__(self, text: str, kind: str = "") -> None:
        super().__init__(text)
        self.kind = kind


class Line:
    """Commands for the socket at this path."""

    def __init__(self, host: Host, path: str) -> None:
        self._host = host
        self.path = path

    def say(self, commands: Sequence[str]) -> str:
        """All answers, in one text. Commands that fail do not keep the others from being done."""
        return "".join(self._exchange("; ".join(some)) for some in _lines(commands))

    def _exchange(self, line: str) -> str:
        try:
            with contextlib.closing(self._host.connect(self.path, _TIMEOUT)) as link:
                return _talk(link, line)
        except OSError as error:
            raise Silent(f"{self.path}: {error.strerror or error}", type(error).__name__) from error


def _talk(link: socket.socket, line: str) -> str:
    deadline = time.monotonic() + _TIMEOUT
    link.settimeout(_TIMEOUT)
    link.sendall(line.encode() + b"\n")
    answer = bytearray()
    while piece := link.recv(65536):
        answer += piece
        if time.monotonic() > deadline:
            raise TimeoutError("it does not come to an end")
    return answer.decode("utf-8", "replace")


def _lines(commands: Sequence[str]) -> list[list[str]]:
    found: list[list[str]] = [[]]
    length = 0
    for command in commands:
        if length + len(command) + 2 > _MOST:
            found.append([])
            length = 0
        found[-1].append(command)
        length += len(command) + 2
    return [some for some in found if some]


# --- looking


@dataclass(frozen=True, slots=True)
class Live:
    """What the process says. `shape` "": it has not loaded our file. `mapped`: a frontend asks our map; `route`: its value,
    "" if it has none; `who`: its pattern of those who go first, "" if there is none.
    """

    incarnation: str
    version: str
    shape: str
    mapped: bool
    route: str
    who: str = ""
    servers: Servers = field(default_factory=dict)
    rows: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)

    @property
    def loaded(self) -> bool:
        return bool(self.shape)

    def number(self, backend: str, name: str) -> int:
        """A counter of a backend."""
        value = self.rows.get((backend, "BACKEND"), {}).get(name, "")
        return int(value) if value.isdecimal() else 0

    def holding(self, layout: Layout) -> dict[Colour, int]:
        """Requests and open WebSockets of users."""
        return {c: sum(self.number(layout.users(c), name) for name in ("scur", "qcur")) for c in Colour}


def look(line: Line, layout: Layout) -> Live:
    """`Silent` if HAProxy does not answer."""
    commands = ["show info", f"get var {layout.shape_name}", f"show map {layout.map_name}"]
    commands += [f"show servers state {backend}" for backend in layout.backends]
    commands += [f"show stat {layout.users(colour)} 6 -1" for colour in Colour]
    text = line.say(commands)
    info = dict(_INFO.findall(text))
    variables = dict(_VARIABLE.findall(text))
    routes = re.findall(rf"^0x[0-9a-f]+ {ROUTE} (\S+)$", text, re.MULTILINE)
    return Live(
        incarnation=incarnation(text),
        version=info.get("Version", ""),
        shape=variables.get(layout.shape_name, ""),
        mapped=_UNKNOWN_MAP not in text,
        route=",".join(routes),
        who=",".join(re.findall(rf"^0x[0-9a-f]+ (\S+) {FIRST}$", text, re.MULTILINE)),
        servers=_servers(text, layout),
        rows=rows(text),
    )


def incarnation(text: str) -> str:
    """Of `show info`: names the process."""
    info = dict(_INFO.findall(text))
    return f"{info['Pid']}-{info['Start_time_sec']}" if {"Pid", "Start_time_sec"} <= info.keys() else ""


def _servers(text: str, layout: Layout) -> dict[tuple[str, str], str]:
    """From lines of `show servers state`: number, backend, number, server, address, state, maintenance, … port."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) > 18 and words[1] in layout.backends and words[0].isdecimal():
            host, port = words[4], words[18]
            where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            found[words[1], words[3]] = "" if int(words[6]) & _MAINTENANCE else where
    return found


def rows(text: str) -> dict[tuple[str, str], dict[str, str]]:
    """Of `show stat`: by backend, and server or BACKEND."""
    head: list[str] = []
    found = {}
    for cells in csv.reader(text.splitlines()):
        if cells and cells[0] == "# pxname":
            head = ["pxname", *cells[1:]]
        elif head and len(cells) == len(head):
            found[cells[0], cells[1]] = dict(zip(head, cells, strict=True))
    return found


# --- telling


def prepare(line: Line, layout: Layout) -> int:
    """A new version of the map, seen by nobody until it is committed."""
    answer = line.say([f"prepare map {layout.map_name}"])
    match = _VERSION.search(answer)
    if _UNKNOWN_MAP in answer:
        raise Permanent(f"no frontend of HAProxy asks {layout.map_name}", hint=HOW_TO_ASK)
    if match is None:
        raise Temporary(f"HAProxy makes no new version of its map: {answer.strip() or 'no answer'}")
    return int(match[1])


def commit(line: Line, layout: Layout, version: int, entries: Sequence[str]) -> None:
    """One atomic switch to this version; `Temporary` if a later one was committed meanwhile: nothing has changed then."""
    name = layout.map_name
    # A backslash is one of the socket's own, unless it is doubled.
    adding = [f"add map @{version} {name} {entry}".replace("\\", "\\\\") for entry in entries]
    # One by one: committed without its entry, the version would route nothing.
    for command in (*adding, f"commit map @{version} {name}"):
        if said := line.say([command]).strip():
            raise Temporary(f"HAProxy has not taken over the route: {said.splitlines()[-1]}")


def tell(line: Line, commands: Sequence[str]) -> None:
    """Changes of servers."""
    if not commands:
        return
    answer = line.say(commands)
    if _DENIED in answer:
        raise Temporary(
            f"HAProxy does not let us change replicas at {line.path}",
            hint=f"its line must be: `stats socket {line.path} mode 660 level admin`",
        )
    for text in answer.splitlines():
        if re.search(r"No such|Unknown|Invalid|Malformed|Require", text):
            raise Temporary(f"HAProxy has not taken over its replicas: {text.strip()}")
