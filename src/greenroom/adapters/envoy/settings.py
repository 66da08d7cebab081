"""The keys of `router: {type: envoy, ...}`."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from greenroom.units import Seconds

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`. `ValueError` with the way out otherwise."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is no address: write host:port, like 127.0.0.1:8080 or 0.0.0.0:80")
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(host)), int(port)
    except ValueError:
        raise ValueError(
            f"{text!r} does not begin with an IP address of this machine: write 0.0.0.0:{port} to listen everywhere, "
            f"or 127.0.0.1:{port} for this machine only"
        ) from None


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tls(_Model):
    """Certificate (with its chain) and private key, as PEM files. Renewed ones are taken over at once if they are put
    there by rename.
    """

    certificate: str
    key: str


class Listen(_Model):
    """Where the router listens. With `tls`, HTTPS with HTTP/2 and HTTP/1.1."""

    address: str
    tls: Tls | None = None

    @field_validator("address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        split_address(value)
        return value

    @property
    def host(self) -> str:
        return split_address(self.address)[0]

    @property
    def port(self) -> int:
        return split_address(self.address)[1]

    @property
    def url(self) -> str:
        """How it is reached from this machine."""
        host = _EVERYWHERE.get(self.host, self.host)
        return f"{'https' if self.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"


def _listen(value: Any) -> Any:
    return {"address": value} if isinstance(value, str) else value


def _listens(value: Any) -> Any:
    return [_listen(item) for item in (value if isinstance(value, list | tuple) else [value])]


_OneListen = Annotated[Listen, BeforeValidator(_listen, json_schema_input_type=str | Listen)]
_Listens = Annotated[
    tuple[Listen, ...], BeforeValidator(_listens, json_schema_input_type=str | Listen | list[str | Listen])
]


class TestRoute(_Model):
    """How the idle colour is reached: by a header (any value), by a host name, by a listener of its own."""

    __test__ = False

    header: str | None = None
    host: str | None = None
    listen: _OneListen | None = None

    @field_validator("header")
    @classmethod
    def _is_header(cls, value: str | None) -> str | None:
        if value is not None and (not _TOKEN.fullmatch(value) or value.lower() == "host"):
            raise ValueError(f"{value!r} is no name of a header: write it like x-greenroom-test")
        return value.lower() if value else value

    @field_validator("host")
    @classmethod
    def _is_host(cls, value: str | None) -> str | None:
        if value is not None and not _HOST.fullmatch(value):
            raise ValueError(f"{value!r} is no host name: write it like idle.shop.example, without a port")
        return value.lower() if value else value

    @model_validator(mode="after")
    def _is_any(self) -> TestRoute:
        if not (self.header or self.host or self.listen):
            raise ValueError("give at least one of header, host, listen: nothing else leads to the idle environment")
        return self


class Timeouts(_Model):
    """`request`: the longest whole answer, 0 for no limit (downloads and event streams may last). `idle`: the longest
    silence within a request or WebSocket. `connect`: to a replica. `keep_alive`: how long an unused connection to a
    replica is kept; shorter than the application's own, or requests meet closed connections.
    """

    request: Seconds = 0.0
    idle: Seconds = 300.0
    connect: Seconds = 2.0
    keep_alive: Seconds = 1.5


class EnvoySettings(_Model):
    """`listen`: one address or several, each may have `tls: {certificate, key}`. `protocol`: what the application
    speaks; `h2c` for gRPC. `trusted_hops`: proxies before this one whose X-Forwarded-* are believed. `reveal`: name
    colour and version in every answer, not only on the test route. `drain`: how long requests on the old colour may
    take after the switch.
    """

    type: Literal["envoy"] = "envoy"
    listen: _Listens = Field(min_length=1)
    test_route: TestRoute = TestRoute(header="x-greenroom-test")
    drain: Seconds = 30.0
    timeouts: Timeouts = Timeouts()
    protocol: Literal["http1", "h2c"] = "http1"
    trusted_hops: int = Field(default=0, ge=0, le=20)
    reveal: bool = False

    @model_validator(mode="after")
    def _are_different(self) -> EnvoySettings:
        seen: set[tuple[str, int]] = set()
        for listen in self.listeners:
            if (listen.host, listen.port) in seen:
                raise ValueError(f"{listen.address} is listed twice")
            seen.add((listen.host, listen.port))
        return self

    @property
    def listeners(self) -> tuple[Listen, ...]:
        """The public ones, then the test route's own."""
        return tuple(self.by_key.values())

    @property
    def by_key(self) -> dict[str, Listen]:
        """The same, by where they stand in the file."""
        several = len(self.listen) > 1
        found = {f"router.listen[{n}]" if several else "router.listen": listen for n, listen in enumerate(self.listen)}
        return found | ({"router.test_route.listen": self.test_route.listen} if self.test_route.listen else {})
