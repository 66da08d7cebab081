"""The check `dns`: a name leads where it must, and is not remembered for longer than a switch may take.

A resolver counts the time to live down; what was set is told by an authoritative server only (`server`).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, ClassVar, Literal, Self

import dns.exception
import dns.name
import dns.resolver
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from greenroom.adapters.checks.assertions import short
from greenroom.adapters.checks.expectations import Text
from greenroom.adapters.checks.hidden import hidden_of
from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Place
from greenroom.units import Seconds, show_duration


class DnsSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", description="What it is called in output and journal.")
    host: str = Field(description="The name that is asked for: `shop.example`.")
    record: Literal["A", "AAAA", "CNAME", "TXT"] = Field(
        default="A", description="The kind of record that is asked for."
    )
    expect: list[Text] = Field(default=[], description="What must be there: addresses, a name, texts.")
    only: bool | None = Field(
        default=None,
        description="Whether nothing else may be there. If absent: not with TXT, where others stand too, else yes.",
    )
    max_ttl: Seconds | None = Field(default=None, description="The longest that anybody may remember the answer.")
    server: str = Field(
        default="", description="Who is asked: `192.0.2.53` or `127.0.0.1:5353`. The system's resolvers if absent."
    )
    timeout: Seconds = Field(default=5.0, gt=0, le=10, description="After this it is given up. At most 10s.")

    @field_validator("host")
    @classmethod
    def _name(cls, host: str) -> str:
        try:
            dns.name.from_text(host)
        except dns.exception.DNSException as error:
            raise ValueError(f"{host[:100]!r} is no name: {error}") from None
        if not host.strip("."):
            raise ValueError("is no name; write it like `shop.example`")
        return host

    @field_validator("server")
    @classmethod
    def _server(cls, server: str) -> str:
        if server:
            _address_of(server)
        return server

    @model_validator(mode="after")
    def _possible(self) -> Self:
        version = {"A": IPv4Address, "AAAA": IPv6Address}.get(self.record)
        for one in self.expect if version else ():
            if not isinstance(_ip(one), version or object):
                raise ValueError(f"`expect`: {one[:60]!r} cannot be in a record {self.record}")
        if self.record == "CNAME" and len(self.expect) > 1:
            raise ValueError("`expect`: a name has one CNAME at most")
        return self


class DnsCheck:
    Settings: ClassVar[type[DnsSettings]] = DnsSettings

    def __init__(self, settings: DnsSettings, place: Place) -> None:
        self.settings, self._place = settings, place
        self.name = settings.name or f"dns {settings.host}"

    def ask(self, case: Case, memo: Document | None) -> Finding:
        return hidden_of(self._place, case).finding(self._finding())

    def withdraw(self, case: Case, memo: Document | None) -> None:
        """Nothing stays behind."""

    def _finding(self) -> Finding:
        settings = self.settings
        what = f"{settings.host} {settings.record}"
        try:
            found, ttl = self._asked()
        except dns.resolver.NXDOMAIN:
            return Finding(Verdict.FAIL, f"there is no name {settings.host}")
        except dns.resolver.NoAnswer:
            return Finding(Verdict.FAIL, f"{settings.host} has no record {settings.record}")
        except dns.resolver.NoNameservers:
            return Finding(Verdict.UNKNOWN, f"{what}: {self._who()} did not give an answer")
        except dns.exception.Timeout:
            return Finding(Verdict.UNKNOWN, f"{what}: no answer from {self._who()} within {settings.timeout:g}s")
        except (dns.exception.DNSException, OSError) as error:
            return Finding(Verdict.UNKNOWN, short(f"{what}: {self._who()} cannot be asked: {error}", 400))
        wrong = self._wrong(found, ttl)
        shown = short(", ".join(found), 300)
        if wrong:
            return Finding(Verdict.FAIL, f"{what}: {wrong}", evidence=(f"{what}: {shown}, for {ttl}s",))
        return Finding(Verdict.PASS, f"{shown}, for {show_duration(ttl)}")

    def _asked(self) -> tuple[list[str], int]:
        """What is there, and how long the longest part of the answer may be remembered."""
        settings = self.settings
        resolver = dns.resolver.Resolver(configure=not settings.server)
        if settings.server:
            address, resolver.port = _address_of(settings.server)
            resolver.nameservers = [address]
        answer = resolver.resolve(settings.host, settings.record, lifetime=settings.timeout, search=False)
        found = sorted(_text(record) for record in answer)
        return found, max((part.ttl for part in answer.response.answer), default=0)

    def _wrong(self, found: list[str], ttl: int) -> str:
        settings = self.settings
        wanted = [_same(one, settings.record) for one in settings.expect]
        missing = [one for one in wanted if one not in found]
        if missing:
            return f"{short(', '.join(missing), 200)} is not there; there is {short(', '.join(found), 200)}"
        only = settings.record != "TXT" if settings.only is None else settings.only
        others = [one for one in found if one not in wanted] if wanted and only else []
        if others:
            return f"{short(', '.join(others), 200)} is there, too"
        if settings.max_ttl is not None and ttl > settings.max_ttl:
            return (
                f"may be remembered for {show_duration(ttl)}, at most {show_duration(settings.max_ttl)} are asked for"
            )
        return ""

    def _who(self) -> str:
        return self.settings.server or "the system's resolver"


def _text(record: Any) -> str:
    """A record as people write it."""
    if hasattr(record, "address"):
        return str(ip_address(record.address))
    if hasattr(record, "target"):
        return str(record.target).rstrip(".").lower()
    return b"".join(record.strings).decode("utf-8", "replace")


def _same(text: str, record: str) -> str:
    """What is expected, as `_text` would write it."""
    if record in ("A", "AAAA"):
        return str(ip_address(text))
    return text.rstrip(".").lower() if record == "CNAME" else text


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _address_of(server: str) -> tuple[str, int]:
    """`192.0.2.53`, `192.0.2.53:5353`, `2001:db8::1` or `[2001:db8::1]:5353`."""
    host, port = server, "53"
    if server.startswith("["):
        host, _, rest = server[1:].partition("]")
        port = rest.removeprefix(":") or "53"
    elif server.count(":") == 1:
        host, _, port = server.partition(":")
    if _ip(host) is None or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{server[:60]!r} is no address of a server; write it like `192.0.2.53` or `127.0.0.1:5353`")
    return host, int(port)
