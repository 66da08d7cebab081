"""Names for the entries of the file's lists that have none: made from what is asked, without any secret in it."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any

_TELLING = ("path", "url", "run", "preset", "file", "host")
"""Keys that say what is asked."""

_CREDENTIALS = re.compile(r"^([a-z][a-z0-9+.-]*://)[^/]*@", re.IGNORECASE)


def made(raw: Mapping[str, Any], type: str, key: str) -> str:
    """From the entry as written (`${NAME}` not filled in), its type and the list that it stands in."""
    address = next((raw[key] for key in _TELLING if isinstance(raw.get(key), str)), "")
    shown = _host(address) if key == "notify" else _public(address)
    shown = shown or (type if key == "watch" else "")
    return f"{'watch:' if key == 'watch' else type + ' '}{shown}".strip()


def unique(name: str, taken: Container[str]) -> str:
    count, found = 2, name
    while found in taken:
        found, count = f"{name} ({count})", count + 1
    return found


def _host(address: str) -> str:
    """Of an address whose path is a secret, as those of webhooks are."""
    return "/".join(_public(address).split("/", 3)[:3])


def _public(address: str) -> str:
    """An address or command as a name: without credentials, query and more than a line."""
    if re.match(r"[a-z][a-z0-9+.-]*://", address, re.IGNORECASE):
        address = re.split(r"[?#]", _CREDENTIALS.sub(r"\1", address), maxsplit=1)[0]
    line = "".join(c for c in (address.strip().splitlines() or [""])[0] if c.isprintable())
    return line if len(line) <= 60 else line[:59] + "…"
