"""The cookies of one visit, kept as a browser would that asks at the public address before and after the switch.

Both versions are asked at other addresses than users ask at (a loopback address, the test route), and often without
TLS, which ends before them. So a cookie is judged by the name that users ask (`site`), not by the address that a request
happens to go to: what a browser would send to the public name, whichever version is behind it, is sent to both.

- `Domain` must be the site or above it; where the site is no name (a loopback address), every domain is taken.
- Without `Domain` it belongs to the site, which is the same before and after the switch.
- `Secure`: kept and sent; whether users come by TLS cannot be seen from here.
- A cookie of the router itself (`sticky`) is none of the application's, and passed over.
- `Path`, `Max-Age`, `Expires` and the prefixes `__Host-` and `__Secure-` as in RFC 6265 and its successor.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from ipaddress import ip_address

_OURS = ("greenroom-", "greenroom_")
"""What the names of routers' own cookies begin with."""


@dataclass(frozen=True, slots=True)
class Cookie:
    name: str
    value: str
    path: str
    attributes: Mapping[str, str] = field(default_factory=dict)


class Jar:
    """`refused`: by name, why a browser would not keep what was set. `taken`: names of all that were ever set."""

    def __init__(self, *sites: str) -> None:
        self._sites = [site.lower() for site in sites if is_name(site)]
        self._kept: dict[tuple[str, str], Cookie] = {}
        self.refused: dict[str, str] = {}
        self.taken: list[str] = []

    def take(self, lines: Iterable[str], path: str) -> None:
        """What an answer to a request for `path` set."""
        for line in lines:
            cookie = _parsed(line, path)
            if cookie is None or cookie.name.startswith(_OURS):
                continue
            if cookie.name not in self.taken:
                self.taken.append(cookie.name)
            why = self._refusal(cookie)
            if why:
                self.refused[cookie.name] = why
            elif _gone(cookie):
                self._kept.pop((cookie.name, cookie.path), None)
            else:
                self.refused.pop(cookie.name, None)
                self._kept[cookie.name, cookie.path] = cookie

    def header(self, path: str) -> str:
        """The value of `Cookie` for a request; "" for none."""
        fitting = [cookie for cookie in self._kept.values() if _within(path, cookie.path)]
        fitting.sort(key=lambda cookie: -len(cookie.path))
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in fitting)

    def value(self, name: str) -> str | None:
        found = [cookie.value for cookie in self._kept.values() if cookie.name == name]
        return found[-1] if found else None

    @property
    def kept(self) -> tuple[Cookie, ...]:
        return tuple(self._kept.values())

    def _refusal(self, cookie: Cookie) -> str:
        domain = cookie.attributes.get("domain", "").lstrip(".").lower()
        secure = "secure" in cookie.attributes
        if cookie.name.startswith("__Host-") and (not secure or domain or cookie.attributes.get("path") != "/"):
            return "its name begins with `__Host-`, so it needs `Secure`, `Path=/` and no `Domain`"
        if cookie.name.startswith("__Secure-") and not secure:
            return "its name begins with `__Secure-`, so it needs `Secure`"
        if cookie.attributes.get("samesite", "").lower() == "none" and not secure:
            return "`SameSite=None` needs `Secure`"
        if domain and self._sites and not any(_is_or_below(site, domain) for site in self._sites):
            return f"it is set for the domain {domain}, and users ask at {self._sites[0]}"
        return ""


def is_name(host: str) -> bool:
    """A name that a browser would know a site by; not an address of this machine."""
    if not host or host == "localhost":
        return False
    try:
        ip_address(host)
    except ValueError:
        return True
    return False


def names_of(lines: Iterable[str]) -> list[str]:
    """Of the cookies that are set, without those of the router."""
    names = {line.partition(";")[0].partition("=")[0].strip() for line in lines}
    return sorted(name for name in names if name and not name.startswith(_OURS))


def _parsed(line: str, path: str) -> Cookie | None:
    pair, _, rest = line.partition(";")
    name, equals, value = pair.partition("=")
    if not equals or not name.strip():
        return None
    attributes = {}
    for part in rest.split(";"):
        key, _, said = part.partition("=")
        if key.strip():
            attributes[key.strip().lower()] = said.strip()
    own = attributes.get("path", "")
    where = own if own.startswith("/") else _folder(path)
    return Cookie(name.strip(), value.strip(), where, attributes)


def _folder(path: str) -> str:
    above = path.partition("?")[0].rpartition("/")[0]
    return above if above.startswith("/") else "/"


def _gone(cookie: Cookie) -> bool:
    if "max-age" in cookie.attributes:
        try:
            return int(cookie.attributes["max-age"]) <= 0
        except ValueError:
            pass
    try:
        return parsedate_to_datetime(cookie.attributes["expires"]).timestamp() <= time.time()
    except (KeyError, ValueError, TypeError, OverflowError):
        return False


def _within(path: str, above: str) -> bool:
    path = path.partition("?")[0]
    return path == above or path.startswith(above if above.endswith("/") else above + "/")


def _is_or_below(site: str, domain: str) -> bool:
    return site == domain or site.endswith("." + domain)
