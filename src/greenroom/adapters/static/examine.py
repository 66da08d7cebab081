"""What is wrong, or what users would notice, seen before anything is touched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.static.files import INDEX
from greenroom.adapters.static.probe import Foreign, Silent, absence, look
from greenroom.adapters.static.root import IDLE, LIVE, TOLD, Root
from greenroom.adapters.static.settings import EnvironmentSettings, RouterSettings
from greenroom.domain.model import Colour
from greenroom.errors import PortError
from greenroom.ports import Place

_BY_HTTP = frozenset({"http", "load", "compare", "session", "cache", "tls"})
"""Checks that ask the idle version at an address."""


def environment_problems(settings: EnvironmentSettings, place: Place) -> list[str]:
    """One sentence each, with the way out. What `prepare` may create is not missed."""
    found = _of_the_source(settings, place)
    if settings.bucket:
        from greenroom.adapters.static.examine_cloud import bucket_problems

        return found + bucket_problems(settings, place)
    return found + _of_the_root(settings, place)


def _of_the_source(settings: EnvironmentSettings, place: Place) -> list[str]:
    source, state = place.file.absolute().parent / settings.source, place.state.absolute()
    if not source.is_dir():
        return [f"environment.source: {source} is not a folder; create it, or name the folder with the files"]
    if state == source or state in source.parents:
        return [f"environment.source: is inside Greenroom's own folder {state}; name another folder"]
    if not os.access(source, os.R_OK | os.X_OK):
        return [f"environment.source: {source} cannot be read; give yourself the permission"]
    if settings.prepare:
        return []
    folder = source / settings.publish
    if not (folder / INDEX).is_file():
        return [f"environment.publish: {folder} holds no {INDEX}; name the folder that does, or make it by `prepare`"]
    return []


def _of_the_root(settings: EnvironmentSettings, place: Place) -> list[str]:
    folder, key = Path(settings.folder(place)), "environment.root"
    source = (place.file.absolute().parent / settings.source).resolve()
    real = folder.resolve()
    if real == source or source in real.parents:
        return [f"{key}: {folder} is inside the source, and would be copied with it; name another folder"]
    if real in source.parents:
        return [f"{key}: {folder} holds the source; name another folder"]
    return [f"{key}: {text}" for text in (_owned(folder, place.service) or _writable(folder))]


def _owned(folder: Path, service: str) -> list[str]:
    root = Root(str(folder), service)
    try:
        owner = root.owner()
        if owner and owner != service:
            return [f"{folder} belongs to the service `{owner}`; give each service a folder of its own"]
        if not owner and folder.is_dir() and (alien := _alien(root)):
            return [f"{folder / alien} is there already, and not Greenroom's; name an empty folder"]
    except PortError as error:
        return [f"{error.message} ({error.hint})" if error.hint else error.message]
    return []


def _alien(root: Root) -> str:
    names = (LIVE, IDLE, *Colour, TOLD, "releases")
    return next((str(name) for name in names if os.path.lexists(root.folder / name)), "")


def _writable(folder: Path) -> list[str]:
    at = folder
    while not at.exists():
        at = at.parent
    if not at.is_dir():
        return [f"{at} is not a folder; name another one"]
    if not os.access(at, os.W_OK | os.X_OK):
        return [f"{folder} cannot be written; make it for Greenroom's user: `sudo install -d -o USER {folder}`"]
    return []


def router_problems(settings: RouterSettings, place: Place) -> list[str]:
    found = _checks_without_url(settings, place)
    if settings.bucket:
        from greenroom.adapters.static.examine_cloud import distribution_problems

        return found + distribution_problems(settings)
    folder = Path(settings.folder(place))
    found += [f"router.root: {text}" for text in _owned(folder, place.service)]
    return found or _served(settings, place, folder)


def _served(settings: RouterSettings, place: Place, folder: Path) -> list[str]:
    """Once something was released, what is asked must be what the link leads to."""
    if not settings.url or not (folder / LIVE).exists():
        return []
    seen = look(place.host or LocalHost(), settings.url, place.service)
    if not isinstance(seen, Foreign | Silent):
        return []
    said = f"router.url: {absence(settings.url, seen)}"
    if isinstance(seen, Silent):
        return [f"{said}; start the web server, or correct the address"]
    return [f"{said}; let its root be {folder / LIVE}, and its user enter the folders above it"]


def _checks_without_url(settings: RouterSettings, place: Place) -> list[str]:
    """Where the file's checks ask the idle version by HTTP and nobody serves it."""
    if settings.test_route is not None:
        return []
    try:
        document = yaml.safe_load(place.file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return []  # there is no such file any more; what was read of it was good
    checks = document.get("checks") if isinstance(document, Mapping) else None
    asking = [check.get("type") for check in checks or () if isinstance(check, Mapping) and _asks_idle(check)]
    if not asking:
        return []
    return [
        f"router.test_route: is needed by the check `{asking[0]}`, which asks the version that nobody is shown yet; write "
        "`test_route: {url: …}`, where the web server serves `idle`, or check it under `watch:`"
    ]


def _asks_idle(check: Mapping[str, Any]) -> bool:
    """A whole address is asked as it stands."""
    url = str(check.get("url") or "")
    return check.get("type") in _BY_HTTP and (not url or "{idle_url}" in url)


def router_hazards(settings: RouterSettings) -> list[str]:
    """Facts for which users would notice a deploy that works."""
    if settings.bucket:
        from greenroom.adapters.static.examine_cloud import HAZARDS

        return list(HAZARDS)
    if settings.url:
        return []
    return [
        "router.url: is not given, so nobody looks what users are really shown: the link is believed; write where users ask"
    ]
