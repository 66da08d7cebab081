"""Names and addresses, as DNS has them."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*\.?")


def canonical(name: str) -> str:
    """As names are compared: small letters, with the dot at the end, and a star for Route 53's `\\052`."""
    return name.replace("\\052", "*").lower().rstrip(".") + "."


def is_name(value: str) -> str:
    if len(value) > 253 or not _NAME.fullmatch(value):
        raise ValueError(f"{value[:80]!r} is no name: write it like shop.example")
    return value


def address_of(server: str) -> tuple[str, int]:
    """`192.0.2.53`, `192.0.2.53:5353`, `2001:db8::1` or `[2001:db8::1]:5353`."""
    host, port = server, "53"
    if server.startswith("["):
        host, _, rest = server[1:].partition("]")
        port = rest.removeprefix(":") or "53"
    elif server.count(":") == 1:
        host, _, port = server.partition(":")
    if ip_of(host) is None or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{server[:60]!r} is no address of a server; write it like `192.0.2.53` or `127.0.0.1:5353`")
    return host, int(port)


def ip_of(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def same(value: str) -> str:
    address = ip_of(value)
    return canonical(value) if address is None else str(address)
