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
        if spec.first is not None and spec.first.colour is colour and not backend.endpoints:
            raise Permanent(f"requests with {spec.first.header} shall go to {colour}, which has no endpoint")
        for endpoint in backend.endpoints:
            if not _is_endpoint(endpoint):
                raise Permanent(f"{colour}: {endpoint} is no endpoint: an IP address and a port are needed")


def destinations(spec: RoutingSpec) -> set[Colour]:
    """The colours that are reached by more than their share of users' traffic."""
    mirror, first = spec.mirror and spec.mirror.colour, spec.first and spec.first.colour
    return {colour for colour in (spec.test, mirror, first, spec.shield and spec.shield.other) if colour}


def _is_endpoint(endpoint: Endpoint) -> bool:
    try:
        ipaddress.ip_address("127.0.0.1" if endpoint.host == "localhost" else endpoint.host)
    except ValueError:
        return False
    return 0 < endpoint.port < 65536
