"""The keys of `hosts: {app1: {ssh: deploy@app1.example, ...}}`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_TARGET = re.compile(
    r"""
    (?: (?P<user> [A-Za-z0-9_] [A-Za-z0-9_.-]*) @)?
    (?: (?P<host> [A-Za-z0-9_] [A-Za-z0-9_.-]*) | \[ (?P<six> [0-9A-Fa-f:.]+ (?:%[A-Za-z0-9_.-]+)?) \] )
    (?: : (?P<port> [0-9]{1,5}))?
    """,
    re.VERBOSE,
)
_ADDRESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+")


@dataclass(frozen=True, slots=True)
class Target:
    """`user` "" and `port` 0: as the SSH client's own configuration has it."""

    host: str
    user: str = ""
    port: int = 0

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (f"{self.user}@" if self.user else "") + host + (f":{self.port}" if self.port else "")

    def options(self) -> list[str]:
        """Words for ssh; the host is the last."""
        port = ["-p", str(self.port)] if self.port else []
        return [*port, *(["-l", self.user] if self.user else []), "--", self.host]


def target(text: str) -> Target:
    """Of `user@host:port`. `ValueError` with the way out."""
    found = _TARGET.fullmatch(text)
    if found is None or not 0 <= int(found["port"] or 0) < 65536 or found["port"] == "0":
        raise ValueError(f"{text!r} is no SSH target: write user@host or user@host:port, like deploy@app1.example:22")
    return Target(found["host"] or found["six"], found["user"] or "", int(found["port"] or 0))


def _is_target(text: str) -> str:
    target(text)
    return text


def _is_address(text: str) -> str:
    if text and not _ADDRESS.fullmatch(text):
        raise ValueError(f"{text!r} is no address: write an IP address or a name, without a port")
    return text


def _is_whole(text: str | None) -> str | None:
    if text is not None and (not text.startswith("/") or "\n" in text):
        raise ValueError(f"{text!r} should be a whole path on the host, beginning with /")
    return text


SshTarget = Annotated[str, AfterValidator(_is_target)]


class HostSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    ssh: SshTarget = Field(
        description="`user@host:port`, or a name from `~/.ssh/config`. User and port may be left out; then the SSH "
        "client's configuration decides."
    )
    key: Path | None = Field(
        default=None,
        description="The private key's file. Only this key is offered then. Default: the keys of the agent and of "
        "`~/.ssh`. One with a passphrase has to be in the agent.",
    )
    jump: SshTarget | None = Field(
        default=None,
        description="`user@host:port` of a machine to go through. Its key must be known, and it must let the same "
        "keys in; the agent is not handed to it.",
    )
    known_hosts: Path | None = Field(
        default=None,
        description="The file with the keys of the hosts, and no other than it; it may lie beside this file, in the "
        "repository. Default: the user's and the system's. An unknown or another key is always refused.",
    )
    address: Annotated[str, AfterValidator(_is_address)] = Field(
        default="",
        description="The address at which routers on other machines reach what runs here. Needed only where there are "
        "some; without it, 127.0.0.1.",
    )
    state: Annotated[str | None, AfterValidator(_is_whole)] = Field(
        default=None,
        description="The folder on the host for what Greenroom keeps there. Default: `/var/lib/greenroom/SERVICE`. It "
        "must be on a local disk, and the SSH user must own it.",
    )

    def within(self, folder: Path) -> HostSettings:
        """The same, with whole paths: what is relative is relative to `folder`, `~` is the user's home."""
        whole = {
            name: (folder / path.expanduser()).absolute()
            for name, path in (("key", self.key), ("known_hosts", self.known_hosts))
            if path is not None
        }
        return self.model_copy(update=whole)
