"""What the zones' name servers really say, asked by ourselves. Needs `greenroom[dns]`."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from greenroom.adapters.aws.dns import record
from greenroom.adapters.aws.dns.judging import Answered
from greenroom.adapters.aws.dns.names import address_of
from greenroom.adapters.aws.dns.record import Record
from greenroom.adapters.aws.dns.sets import RecordSet, Site, place
from greenroom.errors import UsageError

try:
    import dns.exception
    import dns.message
    import dns.query
    import dns.rcode
    import dns.rdatatype
except ImportError as missing:
    raise UsageError(
        f"`observe` asks name servers and needs dnspython, which cannot be imported: {missing}",
        hint="`pip install 'greenroom[dns]'`, or leave `observe` out",
    ) from missing

WITHIN = 1.0
"""Seconds that one question may take."""
ALL_WITHIN = 2.2
"""Seconds for all of a look: less than a look waits for a port."""
_AT_ONCE = 16
_PAYLOAD = 1232


def hear(sites: Sequence[Site], servers: Mapping[str, Sequence[str]]) -> list[Answered]:
    """One answer for each name and server. `servers`: by zone's id, names or addresses."""
    end = time.monotonic() + ALL_WITHIN
    asked = [(site, server) for site in sites for server in servers[site.zone]]

    def one(pair: tuple[Site, str]) -> Answered:
        site, server = pair
        try:
            said = _said(site, _where(server), end)
        except (dns.exception.DNSException, OSError, ValueError) as error:
            return Answered(server, site, silent=" ".join(str(error).split()) or type(error).__name__)
        return Answered(server, site, *said)

    with ThreadPoolExecutor(min(_AT_ONCE, len(asked) or 1)) as pool:
        return list(pool.map(one, asked))


def _said(site: Site, where: tuple[str, int], end: float) -> tuple[Record | None, tuple[str, ...]]:
    values = _ask(site.owner[1], "TXT", where, end)
    told = record.read(values[0]) if len(values) == 1 else None
    led: tuple[str, ...] = ()
    if not site.targets.aliases:  # an alias is answered with addresses, of which nobody knows whose they are
        found: RecordSet = {"ResourceRecords": [{"Value": v} for v in _ask(site.name, site.type, where, end)]}
        led = place(found)
    return told, led


def _ask(name: str, kind: str, where: tuple[str, int], end: float) -> list[str]:
    """Values as a zone's file has them; none where there are none. Raises where nothing can be said."""
    left = min(WITHIN, end - time.monotonic())
    if left <= 0:
        raise dns.exception.Timeout
    host, port = where
    question = dns.message.make_query(name.replace("*", "any", 1), kind, use_edns=0, payload=_PAYLOAD)
    answer, _ = dns.query.udp_with_fallback(question, host, timeout=left, port=port)
    if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise ValueError(f"answers {dns.rcode.to_text(answer.rcode())}")
    wanted = dns.rdatatype.from_text(kind)
    return [str(value) for part in answer.answer if part.rdtype == wanted for value in part]


def _where(server: str) -> tuple[str, int]:
    try:
        return address_of(server)
    except ValueError:
        return _looked_up(server), 53


@lru_cache(maxsize=64)
def _looked_up(server: str) -> str:
    """A name server's address does not change."""
    return str(socket.getaddrinfo(server, 53, socket.AF_INET, socket.SOCK_DGRAM)[0][4][0])
