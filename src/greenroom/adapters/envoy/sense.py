"""What a router can be told at all: shares that sum up, and addresses that are some."""

from __future__ import annotations

import ipaddress

from greenroom.domain.model import Colour, Endpoint, RoutingSpec
from greenroom.errors import Permanent


def refuse_nonsense(spec: RoutingSpec) -> None:
    """`Permanent`, before anything is told."""
    shares = (spec.split.blue, spec.split.green)
    if min(shares) < 0 or sum(shares) not in (0, 100):
        raise Permanent(f"the shares {spec.split} do not sum to 100")
    for colour in Colour:
        backend = spec.backend(colour)
        if spec.split.of(colour) and not backend.endpoints:
            raise Permanent(f"{colour} shall get {spec.split.of(colour)} % of the traffic but has no endpoint")
        for endpoint in backend.endpoints:
            if not _is_endpoint(endpoint):
                raise Permanent(f"{colour}: {endpoint} is no endpoint: an IP address and a port are needed")


def _is_endpoint(endpoint: Endpoint) -> bool:
    try:
        ipaddress.ip_address("127.0.0.1" if endpoint.host == "localhost" else endpoint.host)
    except ValueError:
        return False
    return 0 < endpoint.port < 65536
