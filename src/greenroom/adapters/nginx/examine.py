"""What can be said before anything is touched: what is missing on nginx's machine, what a deploy would cost there."""

from __future__ import annotations

import secrets
import time
from typing import Any

from greenroom.adapters.hosts.fenced import Change, Folder, Link, Write, put
from greenroom.adapters.hosts.http import Answer
from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.nginx.changing import lines_to_include
from greenroom.adapters.nginx.control import Nginx, includes, words_of
from greenroom.adapters.nginx.log import lost_are_counted
from greenroom.adapters.nginx.probe import Foreign, Look, Seen, Silent, ask, look
from greenroom.adapters.nginx.render import HTTP, LOG, LOST, REQUESTS, ROUTE, topology
from greenroom.adapters.nginx.settings import NginxSettings
from greenroom.adapters.nginx.shelf import CONFIGURATION, MODES, TOKEN, Shelf, make, read
from greenroom.adapters.nginx.state import LIVE, OFF, STATES, made
from greenroom.domain.model import Colour
from greenroom.errors import PortError
from greenroom.ports import Host, Place, Ran

_LOGGED_WITHIN = 1.0
_MAY_SIGNAL = 's=$(cat "/proc/$1/stat"); s=${s##*) }; set -- $s; kill -0 "$2"'
"""To a worker's master."""


def include_lines(settings: NginxSettings, place: Place) -> list[str]:
    """What people add to their own configuration, and where; nothing else in it is ever touched."""
    lines = lines_to_include(settings, place.service)
    if settings.url and not settings.access_log:
        lines.append(
            "a location with an access log of its own, as Greenroom's has, does not write its server's: repeat your "
            "`access_log` line in the location, or give it as `router.access_log`"
        )
    if settings.url and not settings.before:
        lines.append(
            "until the first release, this location answers 503: name in `router.before` what it leads to today, and "
            "the lines change nothing"
        )
    return lines


def prepare(settings: NginxSettings, place: Place) -> None:
    """Write what the lines include, for the first time: all traffic goes to `before`. Does nothing where a release was.

    Raises `PortError`s.
    """
    host = place.host or LocalHost()
    folder = settings.place(place.service)
    shelf = read(host, folder)
    if shelf.told is not None or shelf.trouble:
        return
    make(host, folder)
    token = shelf.token or secrets.token_hex(16)
    texts = topology(settings, place.service, {}, token, place.file.absolute().parent)
    changes: list[Change] = [Folder(".", 0o755), Write(TOKEN, token.encode())]
    changes += [Write(name, content, MODES[name]) for name, content in texts.files.items()]
    put(host, folder, shelf.epoch, *changes, made(OFF), Link(LIVE, f"{STATES}/{OFF}"))


def problems(settings: Any, place: Place) -> list[str]:
    """What would keep a deploy from working, each with its way out."""
    host, found = place.host or LocalHost(), _certificates(settings, place)
    try:
        nginx = Nginx(settings, host)
        dump = nginx.dump()
        if dump.code in (126, 127):
            return [*found, f"router.command: {words_of(dump)}: install nginx, or say how it is called"]
        if dump.code and "ermission denied" in words_of(dump):
            return [
                *found,
                f"router.command: nginx cannot be asked by Greenroom's user: {words_of(dump)}: `command: sudo nginx`",
            ]
        if dump.code:
            return [*found, f"nginx refuses the configuration as it is, before anything was changed: {words_of(dump)}"]
        shelf = read(host, settings.place(place.service))
        if any(name not in shelf.files for name in CONFIGURATION):
            there = f"{settings.place(place.service)} holds nothing that nginx could include"
            return [*found, f"router.folder: {there}: `greenroom init --router nginx` writes it, and says what to add"]
        return [*found, *_running(settings, place, host, shelf, dump)]
    except PortError as error:
        return [*found, f"{error.message} ({error.hint})" if error.hint else error.message]


def _running(settings: NginxSettings, place: Place, host: Host, shelf: Shelf, dump: Ran) -> list[str]:
    inside = settings.inside(place.service)
    # A server that Greenroom writes includes the route by itself.
    missing = [name for name in (HTTP, ROUTE) if not includes(dump, f"{inside}/{name}")]
    if missing:
        lacking = " and ".join(f"{inside}/{name}" for name in missing)
        return [f"nginx does not include {lacking}: `greenroom init --router nginx` says what to add, and where"]
    seen = look(host, settings.entrance, place.service, shelf.token)
    if isinstance(seen, Seen) and seen.path and not settings.container and not settings.reload:
        return _signals(settings, host, seen)
    return [_absence(settings, place, seen)] if not isinstance(seen, Seen) or not seen.path else []


def _absence(settings: NginxSettings, place: Place, seen: Look) -> str:
    key, where = ("url" if settings.url else "listen"), settings.entrance.authority
    match seen:
        case Silent(why):
            return f"router.{key}: nginx does not answer at {where} ({why}): start it, or correct the address"
        case Foreign(what):
            return (
                f"router.{key}: {where} answers with {what}, not by Greenroom's files: reload nginx once after adding "
                "the lines, and look whether this address leads to the location that includes them"
            )
        case Seen():
            return (
                f"router.folder: nginx's workers cannot enter {settings.place(place.service)}: let every folder above be "
                "entered by all (`chmod o+x`), or name another in `folder`"
            )


def _signals(settings: NginxSettings, host: Host, seen: Seen) -> list[str]:
    ran = host.run(["sh", "-c", _MAY_SIGNAL, "sh", str(seen.pid)])
    if "sudo" in settings.command or "ermitted" not in ran.err.decode(errors="replace"):
        return []
    return [
        "router.reload: nginx may not be told to reload by Greenroom's user, as new addresses need it: give it the right, "
        "with `reload: sudo systemctl reload nginx` or `command: sudo nginx`"
    ]


def _certificates(settings: NginxSettings, place: Place) -> list[str]:
    remote = place.host is not None and place.host.name
    relative = [
        path
        for listen in settings.listeners
        if listen.tls
        for path in (listen.tls.certificate, listen.tls.key)
        if not path.startswith("/")
    ]
    if not relative or not (remote or settings.container):
        return []
    return [f"router.listen: {path}: on another machine, a certificate needs its whole path there" for path in relative]


def hazards(settings: Any, place: Place) -> list[str]:
    """Facts for which users would notice a deploy that works."""
    host = place.host or LocalHost()
    try:
        shelf = read(host, settings.place(place.service))
        seen = look(host, settings.entrance, place.service, shelf.token) if shelf.token else Silent("")
    except PortError:
        return []  # `problems` says it
    found = []
    if not isinstance(seen, Seen):
        return []
    known = shelf.told.extra.get("upstreams", {}) if shelf.told else {}
    cost = "a kept-alive connection that gets a request at that moment is closed, open WebSockets stay with the old workers"
    if not all(known.get(colour) for colour in Colour):
        found.append(
            f"nginx is reloaded once, before any traffic moves, because it does not know both colours yet: {cost}; "
            "later releases need it only if the addresses change"
        )
    elif shelf.told and shelf.told.extra.get("moving"):
        found.append(
            f"nginx is reloaded once, before any traffic moves, if the replicas' addresses change again: {cost}; "
            "with fixed ports for each colour, no release reloads it"
        )
    if not _counts_lost(settings, place, host, shelf.token):
        found.append(
            "requests that get no answer (502, 504) are not counted, because an `error_page` of your own sends them to "
            f"another location: write `include {settings.inside(place.service)}/{LOG};` there"
        )
    return found


def _counts_lost(settings: NginxSettings, place: Place, host: Host, token: str) -> bool:
    """Lose a request on purpose, one of nobody, and see whether it stands in the log: nginx writes after it answered."""
    log = f"{settings.place(place.service)}/{REQUESTS}"
    try:
        before = len(host.read(log) or b"")
        if not isinstance(ask(host, settings.entrance, token + LOST), Answer):
            return True
        deadline = time.monotonic() + _LOGGED_WITHIN
        while not lost_are_counted((host.read(log, before) or b"").split(b"\n")):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True
    except PortError:
        return True
