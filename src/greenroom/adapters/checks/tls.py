"""The check `tls`: the certificate that users get is trusted, is for the right names, lasts, and old protocols are refused.

It is asked with handshakes only; no request is sent. Without `host` the public address is examined: as it is on this
machine, with the name that users ask for in `names` or `server_name`.
"""

from __future__ import annotations

import math
import socket
import ssl
import time
import warnings
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from greenroom.adapters.checks.assertions import short
from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Place
from greenroom.units import Seconds

_ORDER = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}


class TlsSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", description="What it is called in output and journal.")
    host: str = Field(default="", description="What is asked: `shop.example:443`. The public address if absent.")
    server_name: str = Field(default="", description="The name that is asked for (SNI), if it is not the host's own.")
    names: list[str] = Field(
        default=[], description="Names that the certificate must be for. The one that is asked for if absent."
    )
    days_left: int = Field(default=14, ge=0, le=3650, description="How many days the certificate must be valid still.")
    ca: Path | None = Field(default=None, description="A file of authorities to trust instead of the system's.")
    protocol: Annotated[Literal["1.2", "1.3"], BeforeValidator(str)] = Field(
        default="1.2", description="The oldest version of TLS that may be spoken."
    )
    timeout: Seconds = Field(default=5.0, gt=0, le=10, description="After this it is given up. At most 10s.")

    @field_validator("host")
    @classmethod
    def _address(cls, host: str) -> str:
        if host:
            _host_and_port(host)
        return host


class _Bad(Exception):
    """The other side is not as it must be."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """Of a certificate that is trusted."""

    names: tuple[str, ...]
    until: str
    days: int
    protocol: str


class TlsCheck:
    Settings: ClassVar[type[TlsSettings]] = TlsSettings

    def __init__(self, settings: TlsSettings, place: Place) -> None:
        self.settings, self.place = settings, place
        self.name = settings.name or f"tls {settings.host}".strip()

    @staticmethod
    def problems(settings: Any, place: Place) -> list[str]:
        try:
            ssl.create_default_context(cafile=_ca(settings, place))
        except OSError as error:
            return [f"ca: {_unusable(settings.ca, error)}"]
        return []

    def ask(self, case: Case, memo: Document | None) -> Finding:
        settings = self.settings
        if not settings.host:
            if not case.public:
                return Finding(Verdict.PASS, "nothing is live, and no `host` is given: there is no certificate to see")
            if not case.public.startswith("https://"):
                return Finding(Verdict.FAIL, f"the public address {case.public} is not https; give `host: name:port`")
        host, port = _host_and_port(settings.host or urlsplit(case.public).netloc)
        where = f"{host}:{port}"
        try:
            context = ssl.create_default_context(cafile=_ca(settings, self.place))
        except OSError as error:
            return Finding(Verdict.UNKNOWN, _unusable(settings.ca, error))
        try:
            seen = self._seen(context, host, port)
            self._judge(seen, host, port)
        except _Bad as error:
            return Finding(Verdict.FAIL, f"{where}: {error}")
        except (socket.gaierror, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            return Finding(Verdict.UNKNOWN, f"the name {host} cannot be resolved: {why}")
        except OSError as error:
            return Finding(Verdict.FAIL, f"nobody speaks TLS at {where}: {error.strerror or error}")
        named = short(", ".join(seen.names), 200)
        return Finding(Verdict.PASS, f"{seen.protocol}, for {named}, valid for {seen.days} more days")

    def withdraw(self, case: Case, memo: Document | None) -> None:
        """Nothing stays behind."""

    def _seen(self, context: ssl.SSLContext, host: str, port: int) -> _Seen:
        """What is served; `_Bad` if it is not trusted."""
        context.check_hostname = False  # the names are compared one by one, for a better answer
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            with self._handshake(context, host, port) as sock:
                found: dict[str, Any] = dict(sock.getpeercert() or {})
                protocol = (sock.version() or "").replace("v", " ")
        except ssl.SSLCertVerificationError as error:
            way = "; name its authority in `ca`" if "issuer" in error.verify_message else ""
            raise _Bad(f"the certificate is not trusted: {error.verify_message}{way}") from None
        except ssl.SSLError as error:
            raise _Bad(f"no TLS 1.2 or newer is spoken: {error.reason or error}") from None
        until = str(found.get("notAfter", ""))
        days = math.floor((ssl.cert_time_to_seconds(until) - time.time()) / 86400) if until else 0
        names = tuple(str(value) for kind, value in found.get("subjectAltName", ()) if kind in ("DNS", "IP Address"))
        return _Seen(names, until, days, protocol)

    def _judge(self, seen: _Seen, host: str, port: int) -> None:
        settings = self.settings
        wanted = settings.names or [settings.server_name or host]
        missing = [name for name in wanted if not any(covers(one, name) for one in seen.names)]
        if missing:
            raise _Bad(
                f"the certificate is not for {', '.join(missing)}, but for {short(', '.join(seen.names)) or 'no name'}"
            )
        if seen.days < settings.days_left:
            days = f"{seen.days} more days ({seen.until})"
            raise _Bad(f"the certificate is valid for {days}; at least {settings.days_left} are asked for")
        old = self._older(host, port)
        if old:
            raise _Bad(f"{old} is spoken still; TLS {settings.protocol} is the oldest that may be")

    def _older(self, host: str, port: int) -> str:
        """The version that is spoken though it is older than it may be, "" if none is."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        versions = list(_ORDER.values())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what this is about
            context.minimum_version = versions[0]
            context.maximum_version = versions[list(_ORDER).index(self.settings.protocol) - 1]
        context.set_ciphers("ALL:@SECLEVEL=0")
        try:
            with self._handshake(context, host, port) as sock:
                return (sock.version() or "").replace("v", " ")
        except OSError:  # it is refused, as it should be
            return ""

    def _handshake(self, context: ssl.SSLContext, host: str, port: int) -> ssl.SSLSocket:
        plain = socket.create_connection((host, port), self.settings.timeout)
        try:
            return context.wrap_socket(plain, server_hostname=self.settings.server_name or host)
        except BaseException:
            plain.close()
            raise


def covers(pattern: str, name: str) -> bool:
    """Whether a name of a certificate is for this host. `*` stands for one label, the first."""
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    try:
        return ip_address(pattern) == ip_address(name)
    except ValueError:
        pass
    if pattern.startswith("*."):
        first, _, rest = name.partition(".")
        return bool(first) and rest == pattern[2:]
    return pattern == name


def _host_and_port(host: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname, parts.port
    except ValueError:
        name, port = None, None
    if not name or parts.netloc != host or "@" in host:
        raise ValueError(f"{host[:100]!r} is no host and port; write it like `shop.example:443`")
    return name, port or 443


def _ca(settings: TlsSettings, place: Place) -> str | None:
    return str(place.file.parent / settings.ca) if settings.ca else None


def _unusable(ca: Path | None, error: OSError) -> str:
    why = error.strerror if isinstance(error, FileNotFoundError) else "it holds no certificate"
    return f"the file of authorities {ca} cannot be used: {why}"
