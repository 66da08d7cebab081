"""Greenroom's file of HAProxy's configuration.

Its shape comes from the settings alone, and changes as seldom as they do; which replica stands in which slot is changed
in the running process as well, and the route is in the map. No `defaults` section: it would be everybody's who comes
after us. What people set in theirs (logs, error pages) is kept, what matters here is said again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from greenroom.adapters.haproxy import figures
from greenroom.adapters.haproxy.layout import FIRST, ROUTE, Layout
from greenroom.adapters.haproxy.route import GONE, WHOLE
from greenroom.adapters.haproxy.settings import HaproxySettings, Listen
from greenroom.adapters.told import digest
from greenroom.domain.model import Colour, Endpoint

Slots = Mapping[Colour, Sequence[Endpoint | None]]
"""By colour: what stands in each slot."""

_CALM = "This service is not available at the moment. Please try again."
_NOTHING_TO_TEST = "There is no version to test at the moment."


def shape(settings: HaproxySettings, layout: Layout) -> str:
    """The same for the same settings: names what HAProxy has loaded."""
    nobody: Slots = {colour: [None] * settings.slots for colour in Colour}
    return digest("\n".join(_sections(settings, layout, nobody)).encode())


def config(settings: HaproxySettings, layout: Layout, slots: Slots) -> bytes:
    """The whole file."""
    head = [
        "# Written by Greenroom, and written anew by every release: changes by hand are reported and undone.",
        f"# Load it with `-f {layout.file}` (or its folder), after your own files.",
        "global",
        f"    set-var {layout.shape_name} str({shape(settings, layout)})",
    ]
    return "\n".join([*head, *_sections(settings, layout, slots), ""]).encode()


def _sections(settings: HaproxySettings, layout: Layout, slots: Slots) -> list[str]:
    lines = [*_frontends(settings, layout)]
    for name, status, text in ((layout.calm, 503, _CALM), (layout.untested, 404, _NOTHING_TO_TEST)):
        lines += ["", f"backend {name}", "    mode http"]
        lines += [f'    http-request return status {status} content-type text/plain string "{text}" hdr Retry-After 1']
    lines += ["", f"backend {layout.figures}", "    mode http", f"    {figures.TABLE}"]
    for colour in Colour:
        lines += _users(settings, layout, colour, slots[colour])
        lines += _test(settings, layout, colour, slots[colour])
    return lines


# --- frontends


def choosing(settings: HaproxySettings, layout: Layout) -> list[str]:
    """The lines of a frontend after which the variable `layout.choice` holds the backend's name."""
    inner, choice = layout.inner, layout.choice
    number, share, value = f"rand({WHOLE})", f"{inner}share", f"{inner}route"
    lines = [
        f"http-request set-var({value}) str({ROUTE}),map({layout.map_name},{GONE})",
        f"http-request set-var({share}) var({value}),field(2,:)",
    ]
    if settings.sticky:
        name, cookie = f"{inner}number", cookie_name(layout)
        ours = f"{{ req.cook({cookie}) -m reg ^[0-9]{{1,4}}$ }}"
        lines += [
            f"http-request set-var({name}) {number}",
            f"http-request set-var({name}) req.cook({cookie}) if {ours}",
            f"http-request set-var({inner}fresh) var({name}) unless {ours}",
        ]
        number = f"var({name})"
    if not settings.listen:  # it may be another's frontend, which goes on as before until the first release
        lines += [f"http-request set-var({choice}) str({layout.calm}) unless {{ var({value}) -m str {GONE} }}"]
    lines += [
        f"http-request set-var({choice}) str({layout.users(Colour.BLUE)}) if {{ var({value}) -m beg on: }}",
        # Where nothing is routed, the share is 0, or there is none.
        f"http-request set-var({choice}) str({layout.users(Colour.GREEN)}) if {{ {number},sub({share}) -m int lt 0 }}",
    ]
    chosen = f"var({value}),field(5,:)"
    some, these = f"{chosen} -m beg {layout.service}_", f"req.hdrs,map_reg({layout.map_name}) -m str {FIRST}"
    lines += [f"http-request set-var({choice}) {chosen} if {{ {some} }} {{ {these} }}"]
    way = settings.test_route
    tests = [f"{{ req.hdr({way.header}) -m found }}"] if way.header else []
    tests += [f"{{ req.hdr(host),field(1,:),lower -m str {way.host} }}"] if way.host else []
    lines += [_testing(layout, f" if {test}") for test in tests]
    return lines


def using(layout: Layout) -> str:
    return f"use_backend %[var({layout.choice})] if {{ var({layout.choice}) -m found }}"


def _testing(layout: Layout, condition: str = "") -> str:
    # `gone` and `down` have no field 3: the variable stays what it is.
    return f"http-request set-var({layout.choice}) var({layout.inner}route),field(3,:){condition}"


def cookie_name(layout: Layout) -> str:
    return f"greenroom-{layout.service}"


def _frontends(settings: HaproxySettings, layout: Layout) -> list[str]:
    made: list[str] = []
    use = f"    {using(layout)}"
    if settings.listen:
        lines = [f"    {line}" for line in choosing(settings, layout)]
        made += [*_frontend(settings, layout.frontend, settings.listen), *lines, use]
        made += [f"    default_backend {layout.calm}"]
    if settings.test_route.listen:
        value = f"    http-request set-var({layout.inner}route) str({ROUTE}),map({layout.map_name},{GONE})"
        name = f"{layout.frontend}_test"
        made += [*_frontend(settings, name, (settings.test_route.listen,)), value, f"    {_testing(layout)}", use]
        made += [f"    default_backend {layout.untested}"]
    return made


def _frontend(settings: HaproxySettings, name: str, listens: Sequence[Listen]) -> list[str]:
    lines = ["", f"frontend {name}", "    mode http"]
    for listen in listens:
        tls = f" ssl crt {listen.certificate} alpn h2,http/1.1" if listen.certificate else ""
        # `[::]` means IPv4 as well, unless that is listed on its own.
        both = listen.host == "::" and not any((o.host, o.port) == ("0.0.0.0", listen.port) for o in listens)
        host = f"[{listen.host}]" if ":" in listen.host else listen.host
        lines += [f"    bind {host}:{listen.port}{' v4v6' if both else ''}{tls}"]
    return [
        *lines,
        f"    timeout client {_ms(settings.timeouts.idle)}",
        "    timeout http-request 30s",
        "    timeout http-keep-alive 60s",
        "    option http-keep-alive",
        # What a client claims about itself is replaced by what we see.
        "    http-request set-header X-Forwarded-For %[src]",
        "    http-request set-header X-Forwarded-Host %[req.hdr(host)]",
        *(f"    http-request set-header X-Forwarded-Proto {proto}" for proto in _protos(listens)),
    ]


def _protos(listens: Sequence[Listen]) -> list[str]:
    schemes = {listen.scheme for listen in listens}
    return ["https if { ssl_fc }", "http unless { ssl_fc }"] if len(schemes) > 1 else sorted(schemes)


# --- backends


def _backend(settings: HaproxySettings, name: str) -> list[str]:
    times = settings.timeouts
    return [
        "",
        f"backend {name}",
        "    mode http",
        f"    balance {settings.balance}",
        f"    http-reuse {settings.reuse}",
        "    option http-keep-alive",
        f"    timeout connect {_ms(times.connect)}",
        f"    timeout queue {_ms(times.connect)}",
        f"    timeout server {_ms(times.idle)}",
        f"    timeout tunnel {_ms(times.tunnel)}",
        f"    default-server init-addr none pool-purge-delay {_ms(times.keep_alive)}",
    ]


def _users(settings: HaproxySettings, layout: Layout, colour: Colour, slots: Sequence[Endpoint | None]) -> list[str]:
    lines = [
        *_backend(settings, layout.users(colour)),
        # A request that no replica can have begun is given to another one; only safe ones are ever sent twice.
        "    retries 3",
        "    option redispatch 1",
        "    retry-on conn-failure empty-response",
        "    http-request disable-l7-retry unless { method GET HEAD OPTIONS }",
        # With no replica proven, all are asked, not none: the second half is of replicas that are never checked.
        "    option tcp-check",
        "    option allbackups",
        "    timeout check 2s",
        *(f"    {line}" for line in figures.rules(layout.inner, settings.counter, layout.figures, colour)),
    ]
    if settings.sticky:
        fresh = f"var({layout.inner}fresh)"
        cookie = f"{cookie_name(layout)}=%[{fresh}]; Path=/; HttpOnly; SameSite=Lax"
        lines += [f'    http-response add-header Set-Cookie "{cookie}" if {{ {fresh} -m found }}']
    lines += _servers("s", slots, " check inter 1s fall 2 rise 1")
    return lines + _servers("p", slots, " backup")


def _test(settings: HaproxySettings, layout: Layout, colour: Colour, slots: Sequence[Endpoint | None]) -> list[str]:
    """A check shall meet what is there: no retries, and nothing of it in the figures of users."""
    return [
        *_backend(settings, layout.test(colour)),
        "    retries 0",
        f"    http-response set-header X-Greenroom-Colour {colour}",
        *_servers("s", slots, ""),
    ]


def _servers(prefix: str, slots: Sequence[Endpoint | None], options: str) -> list[str]:
    return [
        f"    server {prefix}{number} {address(endpoint) if endpoint else '0.0.0.0:1'}{options}"
        f"{'' if endpoint else ' disabled'}"
        for number, endpoint in enumerate(slots, 1)
    ]


def address(endpoint: Endpoint) -> str:
    host = "127.0.0.1" if endpoint.host == "localhost" else endpoint.host
    return f"[{host}]:{endpoint.port}" if ":" in host else f"{host}:{endpoint.port}"


def _ms(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def include_lines(settings: HaproxySettings, layout: Layout) -> list[str]:
    """What people add to their own files, with where it goes as comments."""
    folder = layout.file.rpartition("/")[0]
    lines = [
        "# 1. In the `global` section of /etc/haproxy/haproxy.cfg (GROUP: of the user that Greenroom works as):",
        f"    stats socket {settings.socket} mode 660 level admin group GROUP",
        "# 2. In /etc/default/haproxy, so that HAProxy loads Greenroom's file after yours; then restart it once:",
        f'    EXTRAOPTS="-S /run/haproxy-master.sock -f {folder}"',
    ]
    if settings.listen:
        return lines
    choose = [*choosing(settings, layout), using(layout)]
    return [
        *lines,
        f"# 3. In the frontend that users of {layout.service} reach, before its own `use_backend` and `default_backend`,",
        "#    which serve until the first release; the last line may have one more condition, like a host name:",
        *(f"    {line}" for line in choose if not line.startswith("#")),
    ]
