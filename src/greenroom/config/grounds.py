"""Where a service lives: `hosts`, `journal`, and which section of the file works on which host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

from greenroom import plugins
from greenroom.config.nodes import Keys
from greenroom.config.planning import Ground, Section
from greenroom.config.source import Source
from greenroom.errors import UsageError
from greenroom.ports import Capability

_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


class Loading(Protocol):
    """What is being read."""

    source: Source

    def wrong(self, keys: Keys, text: str) -> None: ...

    def section(self, kind: str, raw: Any, keys: Keys, default: str) -> Section | None: ...


def ground(loading: Loading) -> Ground | None:
    """Where the service lives. None if that cannot be told."""
    written = loading.source.document.get("hosts") or {}
    hosts: dict[str, Section] = {}
    for name, raw in written.items() if isinstance(written, Mapping) else ():
        if not (isinstance(name, str) and _HOST_NAME.fullmatch(name)):
            loading.wrong(("hosts", name), "is no name for a host; use small letters, digits and dashes, like `app1`")
            continue
        section = loading.section("host", {} if raw is None else raw, ("hosts", name), "ssh")
        if section is not None:
            hosts[name] = section
    journal = loading.source.document.get("journal") or {}
    kept = loading.section("journal", journal, ("journal",), "host" if hosts else "sqlite")
    if kept is not None and (kept.type == "host") > bool(hosts):
        loading.wrong(("journal", "type"), "`host` needs `hosts`; without them the journal is kept on this machine")
    afar = _afar(loading.source.document.get("environment"))
    if kept is not None and kept.type == "sqlite" and (hosts or afar):
        loading.wrong(
            ("journal", "type"),
            f"`sqlite` is on this machine, the traffic is not; {'`host`, ' if hosts else ''}`postgres` or `dynamodb`",
        )
    home = getattr(kept.settings, "host", "") if kept is not None else ""
    if home and home not in hosts:
        loading.wrong(("journal", "host"), f"there is no host `{home}`; known: {', '.join(hosts)}")
    if kept is None or len(hosts) < len(written):
        return None
    router = loading.source.document.get("router") or {}
    named = router.get("hosts") if isinstance(router, Mapping) else None
    first = next((name for name in hosts if not isinstance(named, list) or name in named), "")
    return Ground(kept, hosts, home or first, afar)


def _afar(written: Any) -> bool:
    """What is wrong with the section is said by who reads it as a whole."""
    if not isinstance(written, Mapping):
        return False
    try:
        found = plugins.find("environment", str(written.get("type", "process")))
    except UsageError:
        return False
    return hasattr(found, "afar") and bool(found.afar(written))


def places(loading: Loading, kind: str, section: Section, ground: Ground) -> tuple[str, ...]:
    """The hosts of this section, in the file's order."""
    raw = loading.source.document.get(kind) or {}
    named = raw.get("hosts") if isinstance(raw, Mapping) else None
    if named is not None and not ground.hosts:
        loading.wrong((kind, "hosts"), "there are no hosts; name them in `hosts:` of the first level")
        return ()
    if ground.hosts and Capability.HOSTS not in (getattr(plugins.find(kind, section.type), "capabilities", ())):
        able = [name for name in plugins.known(kind) if _on_hosts(kind, name)]
        loading.wrong((kind, "type"), f"`{section.type}` is for this machine only; on hosts: {', '.join(able)}")
    if named is None:
        return tuple(ground.hosts)
    for index, name in enumerate(named if isinstance(named, list) else ()):
        if name not in ground.hosts:
            loading.wrong((kind, "hosts", index), f"there is no host `{name}`; known: {', '.join(ground.hosts)}")
    if not isinstance(named, list) or not named:
        loading.wrong((kind, "hosts"), f"should be a list of names; known: {', '.join(ground.hosts)}")
        return ()
    return tuple(name for name in ground.hosts if name in named)


def _on_hosts(kind: str, name: str) -> bool:
    try:
        return Capability.HOSTS in getattr(plugins.find(kind, name), "capabilities", ())
    except UsageError:
        return False
