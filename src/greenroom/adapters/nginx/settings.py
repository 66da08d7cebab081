"""The keys of `router: {type: nginx, ...}`."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from greenroom.adapters.listening import Listen, Listens, Section, TestRoute, by_key, split_address
from greenroom.units import Seconds

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
_PATH = re.compile(r"/[A-Za-z0-9/._~-]*")
_FOLDER = re.compile(r"/[A-Za-z0-9/._@+-]+")
_UNSAFE = re.compile(r"[;{}\\\n\r\"'#]")


def _lines(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Timeouts(Section):
    idle: Seconds = Field(gt=0, default=300.0, description="The longest silence within a request or WebSocket.")
    connect: Seconds = Field(gt=0, default=2.0, description="To a replica.")
    keep_alive: Seconds = Field(
        gt=0,
        default=1.5,
        description="How long an unused connection to a replica is kept; shorter than the application's own keep-alive, "
        "or requests meet closed connections.",
    )


class NginxSettings(Section):
    type: Literal["nginx"] = "nginx"
    url: str = Field(
        default="",
        description="Where users reach the `location` of your own `server` that includes Greenroom's file, like "
        "`https://shop.example`. Either this or `listen`.",
    )
    address: str = Field(
        default="",
        description="With `url`: where nginx listens, seen from its own machine. Default: 127.0.0.1 and the URL's port.",
    )
    listen: Listens = Field(
        default=(),
        description="Where nginx listens, in a `server` that Greenroom writes: one address or several, each may have "
        "`tls: {certificate, key}`. Either this or `url`.",
    )
    test_route: TestRoute = Field(
        default=TestRoute(header="x-greenroom-test"),
        description="How the idle environment is reached: one of these, or several.",
    )
    drain: Seconds = Field(
        default=30.0, description="How long requests on the old colour may take after the switch, before it is stopped."
    )
    sticky: bool = Field(
        default=False, description="A cookie keeps each user on one colour while both have a share of the traffic."
    )
    before: str = Field(
        default="",
        description="Host and port that get the traffic until the first release (and after `down`), so that adding the "
        "include lines changes nothing.",
    )
    timeouts: Timeouts = Field(default=Timeouts(), description="How long the router waits.")
    trusted_hops: int = Field(
        default=0,
        ge=0,
        le=20,
        description="More than 0: there is a proxy before nginx, and its X-Forwarded-Proto and -Host are believed.",
    )
    access_log: Annotated[tuple[str, ...], BeforeValidator(_lines, json_schema_input_type=str | list[str])] = Field(
        default=(),
        description="What your own `access_log` lines say, like `/var/log/nginx/access.log combined`: a location that has "
        "an access log of its own, as Greenroom's has, does not write those of its server.",
    )
    folder: str = Field(
        default="",
        description="The folder that Greenroom owns on nginx's machine. Default: `/etc/nginx/greenroom/` and the service.",
    )
    folder_inside: str = Field(
        default="", description="Where nginx sees that folder, if elsewhere: in a container, where it is mounted."
    )
    container: str = Field(default="", description="The Docker container in which nginx runs.")
    command: str = Field(
        default="nginx",
        description="How nginx is called, for `-t`, `-T` and `-s`: like `sudo nginx` or `nginx -c /srv/nginx.conf`.",
    )
    reload: str = Field(
        default="",
        description="How nginx is told to reload, like `sudo systemctl reload nginx`. Default: `nginx -s reload`.",
    )

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.fragment
        try:
            good = good and (parts.port is None or parts.port > 0) and not parts.username
        except ValueError:
            good = False
        if not good or not _PATH.fullmatch(parts.path or "/"):
            raise ValueError(
                f"{value!r} is no address of a location: write it like https://shop.example or http://host/app"
            )
        return value

    @field_validator("address", "before")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value:
            split_address(value)
        return value

    @field_validator("folder", "folder_inside")
    @classmethod
    def _is_folder(cls, value: str) -> str:
        if value and (not _FOLDER.fullmatch(value) or ".." in value.split("/")):
            raise ValueError(f"{value!r} is no whole path of a folder, of letters, digits and ._@+-")
        return value.rstrip("/")

    @field_validator("container")
    @classmethod
    def _is_container(cls, value: str) -> str:
        if value and not _NAME.fullmatch(value):
            raise ValueError(f"{value!r} is no name of a container")
        return value

    @field_validator("command", "reload")
    @classmethod
    def _is_command(cls, value: str) -> str:
        words = shlex.split(value)  # what it raises says what is wrong
        if value and not words:
            raise ValueError("is empty: write it like `sudo nginx`")
        return value

    @field_validator("access_log")
    @classmethod
    def _is_log(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for line in value:
            if not line.strip() or _UNSAFE.search(line):
                raise ValueError(
                    f"{line!r} is not what stands after `access_log`: write it like /var/log/nginx/shop.log combined"
                )
        return value

    @model_validator(mode="after")
    def _has_one_way_in(self) -> NginxSettings:
        if bool(self.url) == bool(self.listen):
            raise ValueError(
                "give either `url`, where users reach your own `server` that includes Greenroom's file, or `listen`, "
                "for a `server` that Greenroom writes"
            )
        if self.address and not self.url:
            raise ValueError("`address` goes with `url`: with `listen`, nginx listens there")
        by_key(self.listen, self.test_route.listen)  # which refuses what is there twice
        return self

    @property
    def listeners(self) -> tuple[Listen, ...]:
        """Those of the servers that Greenroom writes: public ones, then the test route's own."""
        return tuple(by_key(self.listen, self.test_route.listen).values())

    def place(self, service: str) -> str:
        """The folder on nginx's machine."""
        return self.folder or f"/etc/nginx/greenroom/{service}"

    def inside(self, service: str) -> str:
        """The same, as nginx sees it."""
        return self.folder_inside or self.place(service)

    @property
    def entrance(self) -> Entrance:
        """Where users come in."""
        if self.listen:
            return Entrance.of(self.listen[0])
        parts = urlsplit(self.url)
        tls, named = parts.scheme == "https", parts.netloc
        port = parts.port or (443 if tls else 80)
        host, port = split_address(self.address) if self.address else ("127.0.0.1", port)
        return Entrance(_here(host), port, tls, named, parts.path)


def _here(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


@dataclass(frozen=True, slots=True)
class Entrance:
    """One way in. `named`: what stands in the Host header ("": the address itself)."""

    host: str
    port: int
    tls: bool = False
    named: str = ""
    path: str = ""

    @classmethod
    def of(cls, listen: Listen) -> Entrance:
        return cls(_here(listen.host), listen.port, listen.tls is not None)

    @property
    def authority(self) -> str:
        return self.named or f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"
