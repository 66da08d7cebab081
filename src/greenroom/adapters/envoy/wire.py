"""Envoy's configuration as JSON: the few words that all of its parts are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from greenroom.domain.model import Colour

Json = dict[str, Any]
Part = tuple[str, list[Json]]
"""The type of a discovery response's resources, and the resources."""

EXTENSIONS = "type.googleapis.com/envoy.extensions."
MIB = 1 << 20
ROUTES = "routes"
INNER_HEADER = "x-greenroom-to-test"
"""Marks what came in by the test route's own address."""
COPY_HEADER = "x-greenroom-mirror"
"""Names the colour that a copy of a user's request is for, to us and to the application."""
COPIES = "copies"
"""The listener within, to which copies are sent: so they are counted and timed as users' own requests are."""
DRAW_HEADER = "x-greenroom-draw"
"""A random text for each request, set before the route is chosen: what a user without a cookie is drawn by."""

# The clusters of a colour: users' requests, the test route's, copies of users' requests; and, while the colour is the
# shielded one, users' requests again, but with replicas that are left out when they fail in series, and with the other
# colour behind them for requests that may be asked twice.
TEST, MIRROR, FRONT, SHIELD = "_test", "_mirror", "_front", "_shield"


def cluster_name(colour: Colour, kind: str = "") -> str:
    return f"{colour}{kind}"


def type_url(kind: str) -> str:
    if kind.startswith("tls."):
        return f"{EXTENSIONS}transport_sockets.{kind}"
    return f"type.googleapis.com/envoy.config.{kind}"


def watched(folder: Path, name: str) -> Json:
    """A file that the proxy watches."""
    return {"path_config_source": {"path": str(folder / f"{name}.json")}, "resource_api_version": "V3"}


def typed(name: str, kind: str, **fields: Any) -> Json:
    return {"name": name, "typed_config": {"@type": EXTENSIONS + kind, **fields}}


def seconds(value: float) -> str:
    return f"{value:g}s"


def header(name: str, value: str, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> Json:
    return {"header": {"key": name, "value": value}, "append_action": action}


def address(host: str, port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1" if host == "localhost" else host, "port_value": port}}
