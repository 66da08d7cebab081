"""The keys of `router: {type: haproxy, ...}`."""

from __future__ import annotations

import posixpath
import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from greenroom.adapters.listening import Address, Section, Ways, by_key, one, several
from greenroom.units import Seconds

_PATH = re.compile(r"/[A-Za-z0-9_./+@-]*")
_URL = re.compile(r"https?://[^\s/?#]+/?")


def _path(value: str) -> str:
    if not _PATH.fullmatch(value):
        raise ValueError(f"{value!r} is no whole path: write it from the root, without blanks or quotes")
    return posixpath.normpath(value)


class Listen(Address):
    """Where HAProxy listens for this service."""

    certificate: str = Field(
        default="",
        description="HTTPS with HTTP/2 and HTTP/1.1: a PEM file, as HAProxy sees it, of certificate, chain and private "
        "key in one (HAProxy's `crt`), or a folder of such files.",
    )

    @field_validator("certificate")
    @classmethod
    def _is_path(cls, value: str) -> str:
        return _path(value) if value else value

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"


_OneListen = Annotated[Listen, BeforeValidator(one, json_schema_input_type=str | Listen)]
_Listens = Annotated[
    tuple[Listen, ...], BeforeValidator(several, json_schema_input_type=str | Listen | list[str | Listen])
]


class TestRoute(Ways):
    listen: _OneListen | None = Field(default=None, description="Requests to this address reach the idle environment.")


class Timeouts(Section):
    """How long HAProxy waits."""

    connect: Seconds = Field(default=2.0, gt=0, description="For a connection to a replica.")
    idle: Seconds = Field(default=300.0, gt=0, description="Silence within a request.")
    tunnel: Seconds = Field(default=3600.0, gt=0, description="Silence on a WebSocket.")
    keep_alive: Seconds = Field(
        default=2.0,
        gt=0,
        description="How often half of the unused connections to replicas are closed; below the application's own "
        "keep-alive, or requests meet closed connections.",
    )


class HaproxySettings(Section):
    """The HAProxy that you run: Greenroom writes one file of its configuration, and talks to its socket."""

    type: Literal["haproxy"] = "haproxy"
    socket: str = Field(
        default="/run/haproxy/admin.sock", description="HAProxy's `stats socket`, which needs `level admin`."
    )
    file: str = Field(
        default="",
        description="The file that Greenroom owns, loaded by HAProxy with another `-f`; it ends with .cfg, and the map "
        "lies beside it. Default: `/etc/haproxy/greenroom/SERVICE.cfg`.",
    )
    inside: str = Field(
        default="", description="The folder of `file` as HAProxy sees it, where that is another path: in a container."
    )
    listen: _Listens = Field(
        default=(), description="Addresses of a frontend in Greenroom's file. Without, your own frontend has the lines."
    )
    url: str = Field(default="", description="Where users reach your own frontend; not with `listen`.")
    test_route: TestRoute = Field(
        default=TestRoute(header="x-greenroom-test"), description="How the idle colour is reached."
    )
    reload: str = Field(
        default="",
        description="A command on HAProxy's machine that makes it read its files anew, like `sudo -n systemctl reload "
        "haproxy`. Only used when keys of this section have changed, never to switch.",
    )
    check: str = Field(
        default="",
        description="A command on HAProxy's machine that fails if the whole configuration is wrong, asked before "
        "`reload`. Default: `haproxy -c` with the files of the running process, where Greenroom is root.",
    )
    drain: Seconds = Field(
        default=30.0, description="How long requests on the old colour may take after the switch.", ge=0
    )
    sticky: bool = Field(
        default=False,
        description="Keep each user on one colour while the shares stay, by a cookie; as the new colour's share grows, "
        "users only move to it.",
    )
    slots: int = Field(
        default=8, ge=1, le=200, description="Places for replicas, a colour: as many can be told without a reload."
    )
    balance: Literal["roundrobin", "leastconn", "random"] = Field(
        default="roundrobin", description="How requests are spread over a colour's replicas."
    )
    reuse: Literal["always", "safe", "never"] = Field(
        default="always", description="HAProxy's `http-reuse`: whether users share connections to replicas."
    )
    counter: Literal[0, 1, 2] = Field(
        default=2, description="Which of HAProxy's stick counters measures; one that your own frontend does not track."
    )
    timeouts: Timeouts = Field(default=Timeouts(), description="How long HAProxy waits.")

    @field_validator("socket", "file", "inside")
    @classmethod
    def _is_path(cls, value: str) -> str:
        return _path(value) if value else value

    @field_validator("file")
    @classmethod
    def _is_loaded(cls, value: str) -> str:
        if value and not value.endswith(".cfg"):
            raise ValueError(f"{value!r} does not end with .cfg: HAProxy loads nothing else from a folder")
        return value

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and not _URL.fullmatch(value):
            raise ValueError(f"{value!r} is no address of a site: write it like https://shop.example")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _is_reachable(self) -> HaproxySettings:
        if bool(self.listen) == bool(self.url):
            raise ValueError(
                "give either listen, for a frontend of Greenroom's, or url, where users reach your own frontend"
            )
        by_key(self.listen, self.test_route.listen)  # which refuses what is there twice
        return self

    @property
    def by_key(self) -> dict[str, Listen]:
        """All that is listened at, by where it stands in the file."""
        return by_key(self.listen, self.test_route.listen)
