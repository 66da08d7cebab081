"""One open connection to Envoy's admin socket, and what it says about the data plane."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greenroom.adapters.envoy.wire import FRONT, MIRROR, ROUTES, SHIELD, TEST, cluster_name
from greenroom.domain.model import Colour, Split

_TIMEOUT = 2.0
_STATS = (
    rf"^(cluster\.(blue|green)({FRONT})?\.upstream_rq_(active|pending_active)"
    r"|listener_manager\.(workers_started|total_listeners_(active|warming))|cluster_manager\.warming_clusters"
    r"|.*\.version_text|.*\.update_rejected)$"
)


class Silent(Exception):
    """Nobody answers at the socket: the proxy does not run, or hangs."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, folder: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT)
        self._folder = folder

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT)
        if not sys.platform.startswith("linux"):
            self.sock.connect(str(self._folder / "admin.sock"))
            return
        # A socket's path may have 107 bytes, a folder's path more: go through the open folder.
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/admin.sock")
        finally:
            os.close(folder)


class Admin:
    """Asks the admin socket in this folder. Any thread may use it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self.peer = ""
        """Names the process that answered last: another one after each start of the proxy."""

    def get(self, path: str) -> Any:
        """The JSON answer; `Silent` if there is none."""
        with self._lock:
            kept = self._connection is not None
            try:
                return self._ask(path)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._close()
                if not kept or isinstance(error, TimeoutError):
                    raise Silent(str(error)) from error
            # The kept connection may have been to a proxy that has been started anew since.
            try:
                return self._ask(path)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._close()
                raise Silent(str(error)) from error

    def stats(self, query: str) -> tuple[dict[str, Any], list[Any]]:
        """Counters, gauges and texts by name, and the histograms."""
        values: dict[str, Any] = {}
        histograms: list[Any] = []
        for row in self.get(f"/stats?format=json&{query}")["stats"]:
            if "name" in row:
                values[row["name"]] = row["value"]
            else:
                histograms = row["histograms"]
        return values, histograms

    def _ask(self, path: str) -> Any:
        if self._connection is None:
            self._connection = _Connection(self._folder)
            self._connection.connect()
            self.peer = _peer(self._connection.sock)
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status == 404:
            # It has nothing of this kind: no listener came up, so there is no route.
            return {}
        if answer.status != 200:
            raise ValueError(f"status {answer.status}: {body[:200]!r}")
        return json.loads(body)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _peer(connection: socket.socket) -> str:
    """Pid and start time of the process at the other end; "" where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return ""
    pid = int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)
    try:
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (OSError, IndexError):
        return str(pid)
    return f"{pid}-{started}-{boot}"


@dataclass(frozen=True, slots=True)
class Live:
    """What the proxy says that it does. `serving`: its workers run. `split` None: not a route of ours.

    `versions`: of each watched file, as taken over ("" while parts of it are still being brought in).
    """

    serving: bool
    split: Split | None
    versions: Mapping[str, str] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)
    holding: Mapping[Colour, int] = field(default_factory=dict)


def look(admin: Admin) -> Live:
    """`Silent` if the proxy does not answer."""
    route = admin.get("/config_dump?resource=dynamic_route_configs")
    values, _ = admin.stats(f"filter={_STATS}".replace("|", "%7C").replace("\\", "%5C").replace("^", "%5E"))
    split, revision = _route(route)
    return Live(
        serving=values.get("listener_manager.workers_started", 0) == 1,
        split=split,
        versions={**versions(values), "route": revision},
        rejected={name: count for name, count in values.items() if name.endswith(".update_rejected") and count},
        holding={
            colour: sum(
                int(values.get(f"cluster.{cluster_name(colour, kind)}.upstream_rq_{state}", 0))
                for kind in ("", FRONT)
                for state in ("active", "pending_active")
            )
            for colour in Colour
        },
    )


def versions(values: Mapping[str, Any]) -> dict[str, str]:
    """By kind of file. All clusters of a colour must have taken over its endpoints."""
    taken: dict[str, str] = {}
    warming = values.get("cluster_manager.warming_clusters", 0)
    taken["cds"] = "" if warming else values.get("cluster_manager.cds.version_text", "")
    warming = values.get("listener_manager.total_listeners_warming", 0)
    taken["lds"] = "" if warming else values.get("listener_manager.lds.version_text", "")
    for colour in Colour:
        names = (cluster_name(colour, kind) for kind in ("", TEST, MIRROR, FRONT))
        all_of_them = {values.get(f"cluster.{name}.version_text", "") for name in names}
        taken[colour] = all_of_them.pop() if len(all_of_them) == 1 else ""
    for name, value in values.items():
        if secret := re.search(r"(?:^|\.)sds\.(tls-\d+)\.version_text$", name):
            taken[secret.group(1)] = value
    return taken


def _route(dump: Any) -> tuple[Split | None, str]:
    for config in dump.get("configs", []):
        route = config.get("route_config", {})
        if route.get("name") == ROUTES:
            return _split(route), _revision(route)
    return None, ""


def _revision(route: Any) -> str:
    ours = route.get("metadata", {}).get("filter_metadata", {}).get("greenroom", {})
    return str(ours.get("revision", ""))


def _split(route: Any) -> Split | None:
    """The shares in a live route's last resort for users; None where it is not of our making."""
    users = [host for host in route.get("virtual_hosts", []) if host.get("name") == "users"]
    if len(users) != 1 or not users[0].get("routes"):
        return None
    last = users[0]["routes"][-1]
    if last.get("match") != {"prefix": "/"}:
        return None
    if "direct_response" in last:
        return Split.none()
    weights: dict[str, int] = {}
    for cluster in last.get("route", {}).get("weighted_clusters", {}).get("clusters", []):
        name = str(cluster.get("name", ""))
        weights[name.removesuffix(FRONT).removesuffix(SHIELD)] = int(cluster.get("weight", 0))
    if set(weights) != {"blue", "green"} or sum(weights.values()) != 100:
        return None
    return Split(weights["blue"], weights["green"])
