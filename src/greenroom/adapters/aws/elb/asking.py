"""Requests of our own through the listeners: which colour answers them?

A load balancer is several machines, each with an address, and each learns of a change by itself: all of them are asked.
"""

from __future__ import annotations

import errno
import http.client
import json
import re
import socket
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit

from greenroom.adapters.aws.elb.settings import Observe
from greenroom.domain.model import Colour, RoutingSpec, Split

WITHIN = 2.0
"""Seconds that one request may take."""
ALL_WITHIN = 2.2
"""Seconds for all of a look: less than a look waits for a port."""
MOST_ADDRESSES = 8
_MOST_READ = 65_536
_HEADERS = {"user-agent": "greenroom", "accept": "*/*", "connection": "close", "cache-control": "no-store"}


@dataclass(frozen=True, slots=True)
class Heard:
    """What requests got: `values` as they stand in the answers, `refused` by status, `silent`: why there was no answer."""

    values: Counter[str] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    silent: tuple[str, ...] = ()

    @property
    def answered(self) -> int:
        return self.values.total() + self.refused.total()


@dataclass(frozen=True, slots=True)
class Evidence:
    """`colours`: answers by colour. `strange`: what is neither a colour's name nor the version that one was told with.
    `both`: some hold the version that both were told with. `refused`: statuses of answers that hold neither.
    """

    colours: Counter[Colour]
    strange: tuple[str, ...] = ()
    both: bool = False
    refused: tuple[int, ...] = ()
    silent: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """All answers were the load balancer's own, that there is nobody."""
        return bool(self.refused) and not self.colours and not self.strange

    @property
    def split(self) -> Split | None:
        """As it was seen, roughly; None where nobody answered that is known."""
        if self.nothing:
            return Split.none()
        total = self.colours.total()
        if not total:
            return None
        for colour in Colour:
            if self.colours[colour] == total:
                return Split.all_to(colour)
        blue = min(99, max(1, round(100 * self.colours[Colour.BLUE] / total)))
        return Split(blue, 100 - blue)


class Asking:
    """Asks these addresses as `observe` of the file says."""

    def __init__(self, observe: Observe, urls: Sequence[str]) -> None:
        self._observe, self._urls = observe, urls

    def hear(self) -> Heard:
        """Each address of each host, `requests` times, in turns; what is not asked in time is left out.

        An address is silent that never answered; one that this machine has no way to (IPv6, mostly) is none.
        """
        heard, silent, failed = Heard(), list[str](), dict[tuple[str, str], str]()
        begun = time.monotonic()
        places = [(url, address) for url in self._urls for address in self._addresses(url, silent)]
        answered: set[tuple[str, str]] = set()
        for place in places * self._observe.requests:
            left = begun + ALL_WITHIN - time.monotonic()
            if left <= 0:
                break
            try:
                self._one(*place, min(WITHIN, left), heard)
                answered.add(place)
            except (OSError, http.client.HTTPException) as error:
                failed[place] = "" if _no_way(error) else f"{place[0]} at {place[1]}: {error or type(error).__name__}"
        unasked = [place for place in places if place not in answered and place not in failed]
        silent += [why for place, why in failed.items() if why and place not in answered]
        silent += [f"{url} at {address} could not be asked in time" for url, address in unasked]
        return Heard(heard.values, heard.refused, tuple(silent))

    def _addresses(self, url: str, silent: list[str]) -> list[str]:
        parts = urlsplit(url)
        try:
            found = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
        except OSError as error:
            silent.append(f"{parts.hostname}: {error}")
            return []
        addresses = dict.fromkeys(str(one[4][0]) for one in found)
        return list(addresses)[:MOST_ADDRESSES]

    def _one(self, url: str, address: str, within: float, heard: Heard) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        connection = http.client.HTTPConnection(parts.hostname or "", port, timeout=within)
        connection.sock = socket.create_connection((address, port), within)
        try:
            if secure:
                connection.sock = self._tls.wrap_socket(connection.sock, server_hostname=parts.hostname)
            path = parts.path.rstrip("/") + self._observe.path
            connection.request("GET", path, headers={**_HEADERS, "host": parts.netloc})
            answer = connection.getresponse()
            body = answer.read(_MOST_READ) if not self._observe.header else b""
            value = self._value(answer, body)
        finally:
            connection.close()
        if value:
            heard.values[value] += 1
        else:
            heard.refused[answer.status] += 1

    def _value(self, answer: http.client.HTTPResponse, body: bytes) -> str:
        """Colour or version; "" where the answer holds none."""
        observe = self._observe
        if observe.header:
            return (answer.headers.get(observe.header) or "").strip()
        text = body.decode("utf-8", "replace")
        if observe.regex:
            match = re.search(observe.regex, text)
            return "" if match is None else (match[1] if match.groups() else match[0]) or ""
        try:
            found = json.loads(text)
            for key in observe.json_field.split("."):
                found = found[int(key)] if isinstance(found, list) else found[key]
        except (ValueError, KeyError, TypeError, IndexError):
            return ""
        return str(found) if isinstance(found, str | int | float) else ""

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if not self._observe.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


def _no_way(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def understood(heard: Heard, told: RoutingSpec) -> Evidence:
    """Whose answers they were, when this was told."""
    colours: Counter[Colour] = Counter()
    strange, both = [], False
    for value, count in heard.values.items():
        named = [colour for colour in Colour if value.lower() == colour.value]
        versions = [colour for colour in Colour if told.backend(colour).version == value]
        if len(named or versions) == 1:
            [colour] = named or versions
            colours[colour] += count
        elif versions:
            both = True
        else:
            strange.append(value[:60])
    return Evidence(colours, tuple(strange), both, tuple(sorted(heard.refused)), heard.silent)
