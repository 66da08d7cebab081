"""The value of the map: all that changes with a switch, as one text.

on:3000:shop_green_test:1763750000123-9f…    green gets 3000 of 10000, the test route leads to green
off:0:shop_untested:1763750000124-0a…        nothing is routed
on:0:shop_untested:1763750000125-77…:shop_green   who goes first goes to green
gone                                         this service is not routed by Greenroom (any more)
"""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.adapters.haproxy.layout import FIRST, ROUTE, Layout
from greenroom.domain.model import Colour, RoutingSpec, Split

WHOLE = 10_000
GONE, DOWN = "gone", "down"


@dataclass(frozen=True, slots=True)
class Route:
    """`split` None: not a value of ours."""

    split: Split | None
    test: Colour | None
    revision: str
    first: Colour | None = None

    @property
    def sequence(self) -> int:
        """How often something was told; -1 if that is not known."""
        number = self.revision.partition("-")[0]
        return int(number) if number.isdecimal() else -1


def write(layout: Layout, spec: RoutingSpec, revision: str) -> str:
    test = layout.test(spec.test) if spec.test else layout.untested
    if spec.split == Split.none():
        return f"off:0:{test}:{revision}"
    first = f":{layout.users(spec.first.colour)}" if spec.first else ""
    return f"on:{spec.split.green * WHOLE // 100}:{test}:{revision}{first}"


def who(spec: RoutingSpec) -> str:
    """A pattern of the headers of those who go first; "" if nobody does. Nothing in it means anything to HAProxy."""
    if spec.first is None or spec.split == Split.none():
        return ""
    value = _exactly(spec.first.value) + r"\x0d" if spec.first.value else r"[^\x0d]"
    return rf"(^|\x0a){_exactly(spec.first.header.lower())}\x3a\x20{value}"


def _exactly(text: str) -> str:
    return "".join(chr(b) if chr(b).isalnum() and b < 128 else f"\\x{b:02x}" for b in text.encode())


def read(layout: Layout, value: str) -> Route | None:
    """The inverse; None for `gone` and `down`."""
    if value in (GONE, DOWN):
        return None
    parts = value.split(":")
    strange = Route(None, None, parts[3] if len(parts) in (4, 5) else "")
    if len(parts) not in (4, 5) or parts[0] not in ("on", "off"):
        return strange
    users = {"": None, **{layout.users(colour): colour for colour in Colour}}
    first = parts[4] if len(parts) == 5 else ""
    ways = {layout.untested: None, **{layout.test(colour): colour for colour in Colour}}
    share = int(parts[1]) if parts[1].isdecimal() else -1
    if first not in users or parts[2] not in ways or not 0 <= share <= WHOLE or share % (WHOLE // 100):
        return strange
    green = share * 100 // WHOLE
    split = Split(100 - green, green) if parts[0] == "on" else Split.none()
    return Route(split, ways[parts[2]], parts[3], users[first])


def entries(value: str, who: str = "") -> list[str]:
    """Of the map, in this order: as a pattern, the route's key would be found in many headers."""
    return [*([f"{who} {FIRST}"] if who else []), f"{ROUTE} {value}"]


def map_text(value: str, who: str = "") -> bytes:
    lines = ["# Written by Greenroom; changed at HAProxy's socket as well.", *entries(value, who), ""]
    return "\n".join(lines).encode()
