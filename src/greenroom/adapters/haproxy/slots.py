"""Which replica stands in which slot: prepared servers, whose addresses are changed without a reload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from greenroom.adapters.haproxy.layout import Layout
from greenroom.adapters.haproxy.render import Slots, address
from greenroom.domain.model import Colour, Endpoint, RoutingSpec
from greenroom.errors import Permanent


def place(before: Slots, spec: RoutingSpec, count: int) -> dict[Colour, list[Endpoint | None]]:
    """Who stood somewhere stays there; newcomers get slots that were free, or else of those who leave.

    `Permanent` if there are more replicas than slots.
    """
    found = {}
    for colour in Colour:
        wanted = list(dict.fromkeys(spec.backend(colour).endpoints))
        if len(wanted) > count:
            raise Permanent(
                f"{colour} has {len(wanted)} replicas, HAProxy has {count} slots for them",
                hint=f"`router.slots: {len(wanted)}` makes more; HAProxy reads its files anew for that, once",
            )
        held = [*before.get(colour, ()), *[None] * count][:count]
        slots = [endpoint if endpoint in wanted else None for endpoint in held]
        vacant = sorted((n for n in range(count) if slots[n] is None), key=lambda n: held[n] is not None)
        for number, endpoint in zip(vacant, (e for e in wanted if e not in slots), strict=False):
            slots[number] = endpoint
        found[colour] = slots
    return found


def dump(slots: Slots) -> dict[str, list[list[object] | None]]:
    return {str(c): [[e.host, e.port] if e else None for e in slots[c]] for c in Colour}


def load(document: Mapping[str, Sequence[Sequence[object] | None]]) -> dict[Colour, list[Endpoint | None]]:
    """The inverse."""
    return {c: [Endpoint(str(e[0]), int(str(e[1]))) if e else None for e in document.get(str(c), ())] for c in Colour}


Servers = Mapping[tuple[str, str], str]
"""By backend and name: the address where it sends requests, "" if it gets none."""


def wanted(layout: Layout, slots: Slots) -> dict[tuple[str, str], str]:
    """What the running process shall have."""
    found = {}
    for colour in Colour:
        for number, endpoint in enumerate(slots.get(colour, ()), 1):
            where = address(endpoint) if endpoint else ""
            found[layout.users(colour), f"s{number}"] = where
            found[layout.users(colour), f"p{number}"] = where
            found[layout.test(colour), f"s{number}"] = where
    return found


def arrivals(wanted: Servers, running: Servers) -> list[str]:
    """Commands for those who are not there yet."""
    commands = []
    for (backend, name), where in wanted.items():
        if where and running.get((backend, name)) != where:
            host, _, port = where.rpartition(":")
            server = f"{backend}/{name}"
            commands += [f"set server {server} addr {host.strip('[]')} port {port}", f"set server {server} state ready"]
    return commands


def departures(wanted: Servers, running: Servers) -> list[str]:
    """Commands for those who shall get nothing more: what they have begun they finish."""
    gone: Iterable[tuple[str, str]] = (key for key, where in wanted.items() if not where and running.get(key))
    return [f"set server {backend}/{name} state maint" for backend, name in gone]
