"""How containers are run: what may stand for all of them, and for one process again, where it wins."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from greenroom.adapters.settings import Section
from greenroom.units import Size

_VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_NETWORK = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_TMPFS_OPTION = re.compile(r"size=\d+[kmgKMG]?|mode=0?[0-7]{3,4}|(no)?exec|(no)?suid|ro|rw|uid=\d+|gid=\d+")
_HOST = re.compile(r"[A-Za-z0-9._-]+:(host-gateway|[0-9a-fA-F.:]+)")


def _mount(value: Any) -> Any:
    """`data:/var/lib/shop`, `./conf:/etc/shop:ro`, as Docker writes it."""
    if not isinstance(value, str):
        return value
    source, _, rest = value.partition(":")
    target, _, option = rest.partition(":")
    if not source or not target or option not in ("", "ro", "rw"):
        raise ValueError(f"{value!r} is no volume: write `name:/path`, `./folder:/path:ro`, or `source`, `target`, …")
    return {"source": source, "target": target, "read_only": option == "ro"}


def _source(text: str) -> str:
    if not text.startswith(("/", ".", "~")) and not _VOLUME.fullmatch(text):
        raise ValueError(f"{text!r} is neither a path (/…, ./…) nor the name of a volume")
    return text


def _inside(path: str) -> str:
    if not path.startswith("/") or ".." in PurePosixPath(path).parts or path == "/":
        raise ValueError(f"{path!r} must be a whole path inside the container, like /var/lib/shop")
    return path


def _network(name: str) -> str:
    if name in ("host", "none") or name.startswith("container:"):
        raise ValueError(f"`{name}` cannot be: each copy needs an address of its own; name a network, or leave it out")
    if not _NETWORK.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a network")
    return name


def _tmpfs(text: str) -> str:
    path, _, options = text.partition(":")
    _inside(path)
    for option in options.split(",") if options else ():
        if not _TMPFS_OPTION.fullmatch(option):
            raise ValueError(f"{option!r} is no option of a tmpfs; usual are size=64m, mode=1777, noexec")
    return text


def _capability(name: str) -> str:
    return name.upper().removeprefix("CAP_")


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError(f"{text!r}: write `name:address`, or `name:host-gateway`")
    return text


class Mount(Section):
    source: Annotated[str, AfterValidator(_source)] = Field(
        description="A volume's name, or a path on the machine; relative to this file where it starts with a dot."
    )
    target: Annotated[str, AfterValidator(_inside)] = Field(description="Where it is in the container.")
    read_only: bool = Field(default=False, description="The container cannot write there.")
    shared: bool = Field(
        default=False, description="Two copies may write there at once: `plan` does not warn of it any more."
    )

    @property
    def named(self) -> bool:
        return not self.source.startswith(("/", ".", "~"))


class LogSettings(Section):
    driver: str | None = Field(
        default=None, description="Docker's log driver; else the daemon's own. `greenroom logs` reads what can be read."
    )
    options: dict[str, str] = Field(default={}, description="The driver's options, like `max-size: 10m`.")


Mounts = tuple[Annotated[Mount, BeforeValidator(_mount)], ...]
Capabilities = tuple[Annotated[str, AfterValidator(_capability)], ...]


class ContainerSettings(Section):
    """Every key may be left out: then it is what stands for all processes, else Docker's own."""

    memory: Size | None = Field(default=None, description="Limit of memory, like `512MiB`; swap is not added to it.")
    cpus: float | None = Field(default=None, gt=0, le=1024, description="Limit of processors, like `1.5`.")
    pids: int | None = Field(default=None, ge=1, description="Limit of processes and threads.")
    shm_size: Size | None = Field(default=None, description="Size of /dev/shm.")
    ulimits: dict[str, int] | None = Field(default=None, description="Limits like `nofile: 65536`.")
    user: str | None = Field(default=None, description="`name`, `uid` or `uid:gid`; else the image's.")
    read_only: bool | None = Field(default=None, description="The root file system cannot be written.")
    tmpfs: tuple[Annotated[str, AfterValidator(_tmpfs)], ...] | None = Field(
        default=None, description="Folders in memory, like `/tmp` or `/run:size=16m`."
    )
    cap_drop: Capabilities | None = Field(default=None, description="Kernel capabilities to take away; `ALL` is all.")
    cap_add: Capabilities | None = Field(default=None, description="Kernel capabilities to give.")
    no_new_privileges: bool | None = Field(default=None, description="Programs cannot gain rights (setuid).")
    security_opt: tuple[str, ...] | None = Field(default=None, description="Docker's `--security-opt`, as they are.")
    networks: tuple[Annotated[str, AfterValidator(_network)], ...] | None = Field(
        default=None, description="Networks that exist already; the container is in all of them. Else the bridge."
    )
    volumes: Mounts | None = Field(
        default=None,
        description="What outlives a container: `name:/path`, `./folder:/path:ro`, or `source`, `target`, `read_only`, "
        "`shared`. Both colours have the same.",
    )
    extra_hosts: tuple[Annotated[str, AfterValidator(_host)], ...] | None = Field(
        default=None, description="More names in /etc/hosts, `name:address`."
    )
    init: bool | None = Field(default=None, description="A small init ends zombies and passes signals on.")
    log: LogSettings | None = Field(default=None, description="Where the output goes.")
    restart: Literal["unless-stopped", "always", "on-failure", "no"] | None = Field(
        default=None,
        description="What Docker does when the process ends or the machine restarts; else `unless-stopped`. What "
        "Greenroom stopped stays so.",
    )


def merged(all_of_them: ContainerSettings, own: ContainerSettings) -> ContainerSettings:
    """What is in force for a process: its own where it says something."""
    names = ContainerSettings.model_fields
    return ContainerSettings.model_construct(
        **{n: getattr(own, n) if getattr(own, n) is not None else getattr(all_of_them, n) for n in names}
    )
