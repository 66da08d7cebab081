"""What the running HAProxy does with a colour's replicas: the same for both colours, or users meet a difference."""

from __future__ import annotations

from collections.abc import Mapping

from greenroom.adapters.haproxy.layout import Layout
from greenroom.adapters.haproxy.runtime import Live
from greenroom.domain.model import Colour
from greenroom.ports import Facts

_BACKEND = {"mode": "mode", "algo": "balance", "cookie": "cookie"}
_SERVER = {"weight": "weight", "slim": "most connections", "qlimit": "longest queue", "throttle": "slow start"}


def facts(live: Live, layout: Layout, colour: Colour) -> Mapping[str, Facts]:
    """Of the replicas that get requests; nothing if there are none."""
    name = layout.users(colour)
    used = [server for (backend, server), where in live.servers.items() if backend == name and where]
    row = live.rows.get((name, "BACKEND"), {})
    if not used or not row:
        return {}
    effective = {text: row.get(key) or "none" for key, text in _BACKEND.items()}
    for key, text in _SERVER.items():
        effective |= {f"{text} of {kind}": _each(live, name, used, kind, key) for kind in ("replicas", "spares")}
    return {"upstream": Facts(effective)}


def _each(live: Live, backend: str, used: list[str], kind: str, key: str) -> str:
    """The values that there are: one, unless somebody changed a single one."""
    prefix = "s" if kind == "replicas" else "p"
    found = {live.rows.get((backend, server), {}).get(key) or "none" for server in used if server.startswith(prefix)}
    return ", ".join(sorted(found))
