"""Who logs in to a registry: the file says it, else what `docker login` left on the machine itself, else on this one."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
from collections.abc import Mapping
from typing import Any

from greenroom.adapters.docker.client import host_of
from greenroom.adapters.docker.names import HUB
from greenroom.adapters.docker.settings import LoginSettings
from greenroom.adapters.hosts.local import LocalHost
from greenroom.errors import PortError
from greenroom.ports import Host, Place

_READ = 'cat "${DOCKER_CONFIG:-$HOME/.docker}/config.json"'
_HUB_KEY = "https://index.docker.io/v1/"

Login = Mapping[str, str]
"""As Docker's API wants it: `username` and `password`, or an `identitytoken`. Empty: nobody."""


def login_for(registry: str, settings: LoginSettings | None, place: Place) -> Login:
    if settings is not None and (settings.registry or registry) == registry:
        return {"username": settings.username, "password": settings.password, "serveraddress": registry}
    for host in (host_of(place), *([LocalHost()] if host_of(place).name else [])):
        if found := _of_docker(registry, host):
            return {**found, "serveraddress": registry}
    return {}


def _of_docker(registry: str, host: Host) -> Login:
    """What Docker's own configuration there says."""
    config = _json(host, ["sh", "-c", _READ])
    helper = _section(config, "credHelpers").get(registry) or config.get("credsStore")
    if isinstance(helper, str) and helper:
        key = _HUB_KEY if registry == HUB else registry
        told = _json(host, [f"docker-credential-{helper}", "get"], f"{key}\n".encode())
        if told.get("Secret"):
            return _login(str(told.get("Username", "")), str(told["Secret"]))
    for key, entry in _section(config, "auths").items():
        if _host(key) == registry and isinstance(entry, Mapping):
            return _entry(entry)
    return {}


def _entry(entry: Mapping[str, Any]) -> Login:
    if entry.get("identitytoken"):
        return {"identitytoken": str(entry["identitytoken"])}
    if entry.get("username") and entry.get("password"):
        return _login(str(entry["username"]), str(entry["password"]))
    with contextlib.suppress(binascii.Error, ValueError):
        user, colon, password = base64.b64decode(str(entry.get("auth", ""))).decode().partition(":")
        if colon:
            return _login(user, password.rstrip("\0"))
    return {}


def _login(user: str, secret: str) -> Login:
    return {"identitytoken": secret} if user == "<token>" else {"username": user, "password": secret}


def _host(key: str) -> str:
    """`https://registry.example/v1/` and `registry.example` are the same."""
    host = key.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return HUB if host in ("index.docker.io", "registry-1.docker.io") else host


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}


def _json(host: Host, command: list[str], stdin: bytes = b"") -> Mapping[str, Any]:
    """What the command printed; nothing if it failed, or printed something else."""
    with contextlib.suppress(ValueError, PortError):
        ran = host.run(command, stdin=stdin, timeout=5.0)
        found = json.loads(ran.out) if ran.code == 0 else {}
        return found if isinstance(found, Mapping) else {}
    return {}
