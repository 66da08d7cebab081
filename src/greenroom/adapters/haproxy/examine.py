"""What is wrong with the HAProxy that people run, before anything is touched: each with its way out."""

from __future__ import annotations

import posixpath
import re
import shlex

from greenroom.adapters import ports_in_use
from greenroom.adapters.haproxy import loading, render, runtime
from greenroom.adapters.haproxy.layout import Layout
from greenroom.adapters.haproxy.runtime import Line, Live, Silent
from greenroom.adapters.haproxy.settings import HaproxySettings, Listen
from greenroom.adapters.hosts.local import LocalHost
from greenroom.errors import PortError
from greenroom.ports import Host, Place

OLDEST = (2, 6)


def problems(settings: HaproxySettings, place: Place) -> list[str]:
    host, layout = place.host or LocalHost(), Layout.of(settings, place)
    try:
        line = Line(host, settings.socket)
        live = runtime.look(line, layout)
    except Silent as error:
        return [_silent(host, settings, error)]
    except PortError as error:
        return [error.message]
    try:
        return [*_process(settings, live, line), *_file(host, settings, layout, live), *_listens(host, settings, live)]
    except PortError as error:
        return [error.message]


def hazards(settings: HaproxySettings, place: Place) -> list[str]:
    host, layout = place.host or LocalHost(), Layout.of(settings, place)
    try:
        live = runtime.look(Line(host, settings.socket), layout)
    except (Silent, PortError):
        return []
    if live.loaded and live.shape != render.shape(settings, layout):
        return [
            "keys of `router` have changed, so HAProxy has to read its files anew once: that closes kept-alive "
            "connections, a few requests may fail, and open WebSockets stay with the old process; deploy when it is quiet"
        ]
    return []


def _silent(host: Host, settings: HaproxySettings, error: Silent) -> str:
    line = f"`stats socket {settings.socket} mode 660 level admin`"
    if error.kind == "PermissionError":
        return (
            f"router.socket: we may not use {settings.socket}: add `group GROUP` to HAProxy's line {line}, with a group "
            "of the user that Greenroom works as, and restart it"
        )
    if error.kind != "ConnectionRefusedError":
        return f"router.socket: {error}: start HAProxy, or name its `stats socket` here"
    if host.run(["test", "-e", settings.socket]).code:
        return (
            f"router.socket: there is no {settings.socket}: HAProxy does not run, or has no such socket; add {line} to "
            "its `global` section and restart it"
        )
    return f"router.socket: nobody answers at {settings.socket}: start HAProxy, like `systemctl start haproxy`"


def _process(settings: HaproxySettings, live: Live, line: Line) -> list[str]:
    match = re.match(r"(\d+)\.(\d+)", live.version)
    if match is None:
        what = "may not be asked who it is" if not live.version else f"says that it is {live.version}"
        return [f"router.socket: HAProxy at {settings.socket} {what}: `level admin` is needed on its `stats socket`"]
    if (int(match[1]), int(match[2])) < OLDEST:
        return [f"router: HAProxy {live.version} is too old: {OLDEST[0]}.{OLDEST[1]} or newer is needed"]
    # Nothing of this name can be: only who may change servers is told so.
    answer = line.say(["set server greenroom:nobody/nobody state ready"])
    if "Permission denied" in answer:
        return [
            f"router.socket: HAProxy does not let us change replicas at {settings.socket}: its line must be "
            f"`stats socket {settings.socket} mode 660 level admin` (`level operator` moves shares, but no addresses)"
        ]
    return []


def folder(host: Host, layout: Layout) -> str:
    """Why our file cannot be written; "" if it can."""
    where = posixpath.dirname(layout.file)
    if host.run(["test", "-d", where]).code:
        way = f"`sudo install -d -o USER {shlex.quote(where)}`, USER runs Greenroom"
        return f"router.file: there is no folder {where}: {way}"
    if host.run(["test", "-w", where]).code:
        return f"router.file: we may not write in {where}: `sudo chown USER {shlex.quote(where)}`, USER runs Greenroom"
    return ""


def _file(host: Host, settings: HaproxySettings, layout: Layout, live: Live) -> list[str]:
    if lack := folder(host, layout):
        return [lack]
    if live.loaded and not live.mapped:
        return [f"router.url: no frontend of HAProxy asks {layout.map_name}: {runtime.HOW_TO_ASK}"]
    if live.shape == render.shape(settings, layout):
        return []
    if not live.loaded and not settings.inside:
        words = loading.arguments(host, live)
        if words and not loading.loads(words, layout):
            return [f"router.file: HAProxy does not load {layout.file}: {loading.how_to_load(layout)}"]
    if not settings.reload:
        return [
            f"router.reload: HAProxy has not loaded {layout.file} as these settings want it: name the command that "
            "reloads it, like `sudo -n systemctl reload haproxy`; or give `greenroom init --router haproxy`, and reload it "
            "yourself"
        ]
    if refusal := loading.refusal_of_check(host, settings, live):
        return [f"router: HAProxy's configuration is wrong as it is, so nothing can be loaded: {refusal}"]
    return []


def _listens(host: Host, settings: HaproxySettings, live: Live) -> list[str]:
    """Where it listens already it must answer; where it does not yet, nobody else may."""
    found = []
    for key, listen in settings.by_key.items():
        answers = _answers(host, listen)
        if live.loaded and not answers:
            found.append(f"{key}: nobody answers at {listen.address}, though HAProxy has loaded its file: see its log")
        if not live.loaded and answers:
            who = f" by {ports_in_use.holders(listen.port)[0]}" if not host.name else ""
            found.append(f"{key}: {listen.address} is already taken{who}: choose another port, or end that")
    return found


def _answers(host: Host, listen: Listen) -> bool:
    try:
        host.connect(listen.near, 2.0).close()
    except (OSError, PortError):
        return False
    return True
