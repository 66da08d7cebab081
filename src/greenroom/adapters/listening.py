"""Keys that routers on machines share: where they listen, and how the idle environment is reached."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

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


def one(value: Any) -> Any:
    """A text is the address of a listener."""
    return {"address": value} if isinstance(value, str) else value


def several(value: Any) -> Any:
    """One is a list of one."""
    return [one(item) for item in (value if isinstance(value, list | tuple) else [value])]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Address(Section):
    """Where a router listens."""

    address: str = Field(
        description="Host and port, like `127.0.0.1:8080`; `0.0.0.0:443` is every address of the machine."
    )

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
    def near(self) -> tuple[str, int]:
        """Where it is reached on its own machine."""
        return _EVERYWHERE.get(self.host, self.host), self.port


class Tls(Section):
    """Certificate and private key."""

    certificate: str = Field(
        description="PEM file with the certificate and its chain. A renewed one that is put there by rename is taken "
        "over at once."
    )
    key: str = Field(description="PEM file with the private key.")


class Listen(Address):
    tls: Tls | None = Field(default=None, description="With it, HTTPS: HTTP/2 and HTTP/1.1.")

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"

    @property
    def url(self) -> str:
        """How it is reached from its own machine."""
        host, port = self.near
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


OneListen = Annotated[Listen, BeforeValidator(one, json_schema_input_type=str | Listen)]
Listens = Annotated[
    tuple[Listen, ...], BeforeValidator(several, json_schema_input_type=str | Listen | list[str | Listen])
]


class Ways(Section):
    """How the idle environment is reached: any of them, at least one."""

    __test__ = False

    header: str | None = Field(
        default=None, description="Requests that have this header, with any value, reach the idle environment."
    )
    host: str | None = Field(default=None, description="Requests for this host name reach the idle environment.")
    listen: Address | None = Field(default=None, description="Requests to this address reach the idle environment.")

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
    def _is_any(self) -> Ways:
        if not (self.header or self.host or self.listen):
            raise ValueError("give at least one of header, host, listen: nothing else leads to the idle environment")
        return self


class TestRoute(Ways):
    listen: OneListen | None = Field(default=None, description="Requests to this address reach the idle environment.")


_Listen = TypeVar("_Listen", bound=Address)


def by_key(public: Sequence[_Listen], own: _Listen | None) -> dict[str, _Listen]:
    """All that is listened at, by where it stands in the file: the public ones, then the test route's own.

    `ValueError` if one stands there twice.
    """
    many = len(public) > 1
    found = {f"router.listen[{n}]" if many else "router.listen": listen for n, listen in enumerate(public)}
    found |= {"router.test_route.listen": own} if own else {}
    seen: set[tuple[str, int]] = set()
    for listen in found.values():
        if (listen.host, listen.port) in seen:
            raise ValueError(f"{listen.address} is listed twice")
        seen.add((listen.host, listen.port))
    return found
