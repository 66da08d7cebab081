"""`environment:` of `type: docker`, as it is written in the file. Artefact and environment read it both."""

from __future__ import annotations

import ipaddress
import re
import zlib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from greenroom.adapters.docker.limits import ContainerSettings
from greenroom.adapters.settings import (
    Command,
    Env,
    HealthSettings,
    Section,
    Signal,
    Text,
    known_names,
    read_definition,
    routed_of,
)
from greenroom.domain.model import Document
from greenroom.units import Seconds

PORTS = range(20000, 30000)
"""Where published ports are looked for: below those that Linux gives to clients."""
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._/:@{}-]*")
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?")
_SECRET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_FIXED = re.compile(r"((\d{1,3}\.){3}\d{1,3}:)?\d{1,5}:\d{1,5}(/(tcp|udp))?")


def _image(text: str) -> str:
    if not _IMAGE.fullmatch(text):
        raise ValueError(
            f"{text!r} is no image: write it like `shop:{{version}}` or `registry.example/shop:{{version}}`"
        )
    return text


def _platform(text: str) -> str:
    if not _PLATFORM.fullmatch(text):
        raise ValueError(f"{text!r} is no platform: write it like linux/amd64 or linux/arm64/v8")
    return text


def _words(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _secrets(files: dict[str, str]) -> dict[str, str]:
    for name in files:
        if not _SECRET.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a file in /run/secrets")
    return files


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"{text!r} is no address: write it like 127.0.0.1 or 10.0.0.5") from None


def _fixed(text: str) -> str:
    if not _FIXED.fullmatch(text):
        raise ValueError(
            f"{text!r}: write `port:port in the container`, with an address before and /udp behind if needed"
        )
    return text


CommandOrWords = Annotated[Command | tuple[Command, ...], BeforeValidator(_words)]


class LoginSettings(Section):
    registry: str = Field(default="", description="The registry's host, else that of the image.")
    username: str = Field(description="Who logs in.")
    password: str = Field(description="The password or token, as `${NAME}`.", repr=False)


class BuildSettings(Section):
    context: str = Field(default=".", description="The folder that is sent to the builder.")
    dockerfile: str | None = Field(default=None, description="Else `Dockerfile` in that folder.")
    target: str | None = Field(default=None, description="The stage to build, else the last.")
    args: dict[str, Text] = Field(default={}, description="Build arguments; they stay in the image: nothing secret.")
    secrets: dict[str, str] = Field(
        default={}, description="For `RUN --mount=type=secret,id=NAME`: `${NAME}` as value; not in the image."
    )
    cache_from: tuple[str, ...] = Field(default=(), description="Where layers may be taken from (BuildKit).")
    cache_to: tuple[str, ...] = Field(default=(), description="Where layers are left for the next build (BuildKit).")
    push: bool = Field(default=False, description="Push it as `image`, so that other machines can pull it.")
    platform: Annotated[str, AfterValidator(_platform)] | None = Field(
        default=None, description="Built for this platform, else `platform`, else that of the machine."
    )


class DockerHealthSettings(HealthSettings):
    path: str | None = Field(
        default=None,
        pattern=r"^/[^\s#]*$",
        description="Asked by HTTP GET at the published port; it has 0.9 s to answer. Without it and `command`, the "
        "image's HEALTHCHECK decides.",
    )
    command: Command | None = Field(
        default=None,
        description="Or: healthy if this exits with 0 within 5 s; Docker runs it in the container, with `/bin/sh`.",
    )
    interval: Seconds = Field(
        default=2.0, ge=1.0, description="How often the router, or Docker for a command or HEALTHCHECK, asks."
    )


class DockerStopSettings(Section):
    signal: Signal | None = Field(default=None, description="Asks the process to end; else the image's, else SIGTERM.")
    timeout: Seconds = Field(default=10.0, description="Then SIGKILL.")


class DockerProcess(ContainerSettings):
    command: CommandOrWords | None = Field(
        default=None,
        description="Instead of the image's: a list is taken as it is, a text is run without a shell where it is "
        "simple, else by `/bin/sh -c`. `{port}` and the like are filled in.",
    )
    entrypoint: CommandOrWords | None = Field(default=None, description="Instead of the image's entrypoint.")
    directory: str | None = Field(default=None, pattern="^/", description="Where it runs; else where the image says.")
    port: int = Field(default=8080, ge=1, le=65535, description="Where it listens in the container; given as `PORT`.")
    replicas: int = Field(default=1, ge=1, le=100, description="How many of them per colour.")
    runs: Literal["always", "active"] = Field(
        default="always", description="`active`: only where the traffic is; the old one ends before the new one starts."
    )
    health: DockerHealthSettings = Field(default=DockerHealthSettings(), description="When it is ready.")
    stop: DockerStopSettings = Field(default=DockerStopSettings(), description="How it is ended.")
    env: Env = Field(default={}, description="Variables, beside those of all processes.")
    fixed_ports: tuple[Annotated[str, AfterValidator(_fixed)], ...] = Field(
        default=(),
        description="Ports published as they are, like `8125:8125/udp`. Two copies cannot share one: only for "
        "`runs: active`, and not needed for the traffic.",
    )


class DockerSettings(ContainerSettings):
    UNFILLED: ClassVar[frozenset[str]] = frozenset({"env", "processes", "secrets"})
    """Here `${NAME}` stays as it is written: values are filled in when a container is made."""

    image: Annotated[str, AfterValidator(_image)] = Field(
        description="What runs, like `shop:{version}`. Pinned to its digest when the release begins."
    )
    build: BuildSettings | None = Field(default=None, description="Built when the release begins, instead of pulled.")
    platform: Annotated[str, AfterValidator(_platform)] | None = Field(
        default=None, description="Like `linux/arm64`, where the image has several; else that of the machine."
    )
    pull: Literal["missing", "always", "never"] = Field(
        default="missing",
        description="When the registry is asked; `missing`: if the machine has no such image. A digest never changes.",
    )
    login: LoginSettings | None = Field(
        default=None, description="For the registry; else what `docker login` left on the machine."
    )
    socket: str | None = Field(
        default=None, description="The engine's socket, else /var/run/docker.sock (or `DOCKER_HOST` on this machine)."
    )
    processes: dict[str, DockerProcess] = Field(
        default={"web": DockerProcess()}, min_length=1, description="By name; `web` gets the traffic."
    )
    env: Env = Field(default={}, description="Variables of all processes. `docker inspect` shows them to who may.")
    secrets: Annotated[dict[str, Text], AfterValidator(_secrets)] = Field(
        default={},
        description="Files in /run/secrets, by name, with `${NAME}` as content: what `docker inspect` shall not show.",
    )
    publish: Annotated[str, AfterValidator(_address)] | None = Field(
        default=None,
        description="The address on which the routed ports are published; else where the router reaches them, on one "
        "machine 127.0.0.1.",
    )
    ports: int | None = Field(
        default=None,
        ge=1024,
        le=60000,
        description="The first port to publish on. Else one from 20000 on, by the service's name.",
    )

    @model_validator(mode="after")
    def _agree(self) -> DockerSettings:
        known_names(self.processes)
        for name, process in self.processes.items():
            if process.fixed_ports and process.replicas > 1:
                raise ValueError(
                    f"processes.{name} has `fixed_ports` and {process.replicas} replicas: they cannot share"
                )
        return self

    @property
    def routed(self) -> str | None:
        """The process that gets the traffic: `web`, else the only one that runs always; None if that is unclear."""
        return routed_of(self.processes)


def first_port(settings: DockerSettings, service: str) -> int:
    """Where a service's ports begin: the same at every run, and another for other services, most of the time."""
    if settings.ports is not None:
        return settings.ports
    places = len(PORTS) // 20
    return PORTS.start + zlib.crc32(service.encode()) % places * 20


def of_definition(definition: Document, secrets: Mapping[str, str]) -> DockerSettings:
    """The settings that a release was made with. `Permanent` if this Greenroom cannot read them any more."""
    return read_definition(DockerSettings, definition, secrets)
