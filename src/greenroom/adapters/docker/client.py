"""The one client of Docker: where it is, how long it may take, and what its errors mean. Vendor errors end here.

with client(place, settings.socket) as engine:
    engine.containers.list()
"""

from __future__ import annotations

import contextlib
import getpass
import os
from collections.abc import Iterator, Mapping
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException

from greenroom.adapters.hosts.local import LocalHost
from greenroom.errors import Permanent, PortError, Temporary, Uncertain
from greenroom.ports import Address, Host, Place

SOCKET = "/var/run/docker.sock"
WITHIN = 8.0
"""Seconds that one answer may take; shorter than the lease."""
_NO_SOCKET, _NO_RIGHT = 3, 4
_VERSIONS: dict[str, str] = {}
"""The version of the API by address: asked once for each process, not at each look."""


@contextlib.contextmanager
def client(
    place: Place, socket: str | None = None, *, within: float = WITHIN, changing: bool = False
) -> Iterator[docker.DockerClient]:
    """Docker on the place's machine. `socket`: as the file names it.

    Inside the block, what Docker answers may be caught as its own errors; what leaves the block is a `PortError`:
    `Uncertain` where an answer is missing and the block was `changing` something.
    """
    try:
        with _opened(place, socket, within) as opened:
            yield opened
    except (DockerException, requests.RequestException, OSError) as error:
        raise translated(error, place, socket, within=within, changing=changing) from None


def host_of(place: Place) -> Host:
    return place.host or LocalHost()


def machine_of(place: Place) -> str:
    """For sentences: `this machine`, or the host's name."""
    return host_of(place).name or "this machine"


def address_of(place: Place, socket: str | None) -> str:
    """Where Docker listens, as the machine itself names it: a path, or an URL."""
    if socket:
        return socket.removeprefix("unix://")
    told = "" if host_of(place).name else os.environ.get("DOCKER_HOST", "")
    return told.removeprefix("unix://") or SOCKET


def environment_of(socket: str | None) -> Mapping[str, str]:
    """What tells the `docker` program on this machine the same."""
    here = {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}
    if socket:
        here["DOCKER_HOST"] = socket if "://" in socket else f"unix://{socket}"
    return here


def socket_problem(place: Place, socket: str | None = None) -> str:
    """Why Docker cannot be used there, with the way out; "" if it can."""
    try:
        with client(place, socket) as opened:
            opened.ping()
    except PortError as error:
        return f"{error.message}; {error.hint}" if error.hint else error.message
    return ""


def said(error: APIError) -> str:
    """What Docker itself says, on one line."""
    text = error.explanation or str(error)
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return " ".join(str(text).split())


def full(text: str) -> bool:
    """It speaks of a full disk."""
    return "no space left on device" in text.lower() or "disk quota exceeded" in text.lower()


def disk_is_full(place: Place, what: str) -> Temporary:
    return Temporary(
        f"the disk of {machine_of(place)} is full: {what}",
        retry_after=10.0,
        hint="free some of it: `docker system df` shows what takes the room, `docker image prune` removes unused images",
    )


def translated(
    error: Exception, place: Place, socket: str | None = None, *, within: float = WITHIN, changing: bool = False
) -> PortError:
    """What this error of Docker, or of the way to it, means for a release."""
    on = f" on {machine_of(place)}" if host_of(place).name else ""
    address = address_of(place, socket)
    _VERSIONS.clear()  # it may have been another Docker, too
    if isinstance(error, APIError) and error.response is not None:
        text = said(error)
        if full(text):
            return disk_is_full(place, text)
        if error.response.status_code >= 500:
            return Temporary(f"Docker{on} failed: {text}", hint="its own log says more: `journalctl -u docker`")
        return Permanent(f"Docker{on} refuses: {text}")
    if timed_out(error):
        text = f"Docker{on} did not answer at {address} within {within:g} s"
        hint = "look whether the machine is overloaded; if Docker hangs: `sudo systemctl restart docker`"
        return Uncertain(text, hint=hint) if changing else Temporary(text, hint=hint)
    return _unreached(error, place, address, on, changing)


def _unreached(error: Exception, place: Place, address: str, on: str, changing: bool) -> PortError:
    """Nobody answered. Ask the machine why, in words that are the same for each machine."""
    if "://" in address:
        return Temporary(f"Docker cannot be reached at {address}: {_reason(error)}", hint="is DOCKER_HOST right?")
    test = '[ -e "$1" ] || exit 3; [ -w "$1" ] || exit 4'
    code = host_of(place).run(["sh", "-c", test, "sh", address]).code
    if code == _NO_SOCKET:
        return Temporary(
            f"there is no Docker{on}: no socket {address}",
            hint="install Docker and start it (`sudo systemctl start docker`), or name its socket: `environment.socket`",
        )
    if code == _NO_RIGHT or any(isinstance(one, PermissionError) for one in _chain(error)):
        return Permanent(
            f"we may not use Docker{on}: no right to {address}",
            hint=f"put the user into the group docker (`sudo usermod -aG docker {_user(place)}`) and log in anew",
        )
    if isinstance(error, DockerException) or _refused(error):
        return Temporary(
            f"Docker{on} is not running: nobody answers at {address}", hint="start it: `sudo systemctl start docker`"
        )
    text = f"the connection to Docker{on} was lost: {_reason(error)}"
    return Uncertain(text) if changing else Temporary(text)


@contextlib.contextmanager
def _opened(place: Place, socket: str | None, within: float) -> Iterator[docker.DockerClient]:
    url, more = _url(place, socket)
    opened = docker.DockerClient(base_url=url, version=_VERSIONS.get(url), timeout=within, **more)
    try:
        _VERSIONS[url] = opened.api.api_version
        yield opened
    finally:
        opened.close()


def _url(place: Place, socket: str | None) -> tuple[str, dict[str, Any]]:
    """Where this process reaches it, and what else the client must be told."""
    address, host = address_of(place, socket), host_of(place)
    if address.startswith("ssh://"):
        raise Permanent(
            f"Docker at {address}: Greenroom does not go through DOCKER_HOST to another machine",
            hint="name the machine in `hosts:`; nothing but sshd and Docker is needed there",
        )
    if "://" in address:
        tls = {} if socket else {k: v for k, v in docker.utils.kwargs_from_env().items() if k == "tls"}
        return address, tls
    near: Address = host.nearby(address)
    return (f"unix://{near}" if isinstance(near, str) else f"tcp://{near[0]}:{near[1]}"), {}


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it wraps."""
    seen: list[BaseException] = [error]
    for one in seen:
        yield one
        inner = [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
        seen += [each for each in inner if isinstance(each, BaseException) and each not in seen]


def timed_out(error: BaseException) -> bool:
    """Nothing came in time."""
    kinds = requests.Timeout | TimeoutError | urllib3.exceptions.ReadTimeoutError
    return any(isinstance(one, kinds) for one in _chain(error))


def _refused(error: BaseException) -> bool:
    return any(isinstance(one, ConnectionRefusedError | FileNotFoundError) for one in _chain(error))


def _reason(error: BaseException) -> str:
    causes = [one.strerror for one in _chain(error) if isinstance(one, OSError) and one.strerror]
    return str(causes[-1] if causes else error)


def _user(place: Place) -> str:
    host = host_of(place)
    if host.name:
        return host.run(["id", "-un"]).out.decode("utf-8", "replace").strip() or "USER"
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "USER"
