"""The files that nginx includes.

What they say is the topology: where the colours are, and how a state is read (`$realpath_root` is where the link `live`
leads). It changes with the addresses of the colours only, and takes a reload.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from greenroom.adapters.listening import Listen, split_address
from greenroom.adapters.nginx.settings import NginxSettings
from greenroom.adapters.nginx.state import ANY, LIVE, OFF, STATES, TEST, USERS, pattern
from greenroom.adapters.told import digest
from greenroom.domain.model import Colour, Endpoint

HTTP, ROUTE, LOG = "http.conf", "route.conf", "log.conf"
REQUESTS = "log/requests.log"
HEADER = "X-Greenroom-Probe"
LOST = "-lost"
"""After the token: a request that gets no answer, to see whether those are counted."""

_CONNECTION, _HOSTNAME = "$gr_connection", "$gr_hostname"
_REVISION = "@REVISION@"
_HEAD = (
    "# Written by Greenroom for the service {service}. Changes by hand are noticed, and undone by the next deploy.\n"
)

_ANSWERED = ("$status", "$upstream_header_time", "$upstream_response_time", "$request_time")

Upstreams = Mapping[Colour, tuple[Endpoint, ...]]


@dataclass(frozen=True, slots=True)
class Topology:
    """Texts by file name. `revision` stands in them, and is what the running nginx answers to who has the token."""

    revision: str
    files: Mapping[str, bytes]


def topology(
    settings: NginxSettings,
    service: str,
    upstreams: Upstreams,
    token: str,
    base: Path,
    named: tuple[str, str] | None = None,
) -> Topology:
    """`base`: the folder that relative paths of certificates begin in. `named`: the header, and its value, of those who
    may go first.
    """
    page = _Page(settings, service, token, base, named)
    texts = {HTTP: page.http(upstreams), ROUTE: page.route(), LOG: page.log()}
    texts = {name: _HEAD.format(service=service) + text for name, text in texts.items()}
    revision = digest("".join(texts.values()).encode())
    return Topology(revision, {name: text.replace(_REVISION, revision).encode() for name, text in texts.items()})


def picked() -> list[str]:
    """Patterns of `0SHARE:BUCKET`, two digits each, where the bucket is below the share: by the tens, or else the ones."""
    tens = "|".join(f"{n}.:[0-{n - 1}]" for n in range(1, 10))
    ones = "|".join(rf"{n}:\1[0-{n - 1}]" for n in range(1, 10))
    return [f"~^0(?:{tens})", rf"~^0(\d)(?:{ones})"]


def table(source: str, name: str, *rows: tuple[str, str]) -> str:
    """A `map`. Patterns and texts are quoted where they need it."""
    return _block(f"map {_quoted(source)} {name}", [f"{_quoted(key)} {_quoted(value)};" for key, value in rows])


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_$.:/-]+", text) else f'"{text}"'


class _Page:
    def __init__(
        self, settings: NginxSettings, service: str, token: str, base: Path, named: tuple[str, str] | None
    ) -> None:
        self._s, self._service, self._token, self._base, self._named = settings, service, token, base, named
        self._inside = settings.inside(service)
        self._bare = _short(service).replace("-", "_")
        self._v = f"${self._bare}"
        self._share = f"gr_share_{digest(service.encode())[:8]}"  # of patterns' names, 32 letters count
        self._name = f"greenroom_{service}"
        # `$server_name` of the test route's own server, which no client can choose.
        self._own = f"{digest(service.encode())}.invalid"

    # what stands at the level of `http`

    def http(self, upstreams: Upstreams) -> str:
        parts = [self._who(), self._shares(), self._where(), self._small()]
        parts += [self._upstream(colour, upstreams.get(colour, ())) for colour in Colour]
        if self._s.before:
            host, port = split_address(self._s.before)
            parts.append(self._upstream("before", (Endpoint(host, port),)))
        parts.append(self._upstream("nobody", ()))
        parts += [self._server(listen, "_") for listen in self._s.listen]
        if self._s.test_route.listen:
            parts.append(self._server(self._s.test_route.listen, self._own))
        return "\n".join(parts)

    def _who(self) -> str:
        v, way, who = self._v, self._s.test_route, USERS
        text = "# Who asks: users, the test route, or Greenroom itself.\n"
        if way.header:
            header = f"$http_{way.header.replace('-', '_')}"
            text += table(header, f"{v}_header", ("default", TEST), ("", who))
            who = f"{v}_header"
        if way.host:
            text += table("$host", f"{v}_host", ("default", who), (f"~^{re.escape(way.host)}$", TEST))
            who = f"{v}_host"
        if way.listen:
            text += table("$server_name", f"{v}_server", ("default", who), (self._own, TEST))
            who = f"{v}_server"
        known = (self._token, "probe"), (f"{self._token}{LOST}", ANY)
        return text + table(f"$http_{HEADER.lower().replace('-', '_')}", f"{v}_asks", ("default", who), *known)

    def _shares(self) -> str:
        v, key = self._v, "$request_id"
        text = "# The shares: each request, or each user, is in one of 100 buckets; green has those below its share.\n"
        if self._s.sticky:
            text += table("$uid_got$uid_set", f"{v}_key", ("default", "$uid_got$uid_set"), ("", key))
            key = f"{v}_key"
        buckets = [f"1% {n:02d};" for n in range(99)] + ["* 99;"]
        rows = "".join(f"    {' '.join(buckets[n : n + 10])}\n" for n in range(0, 100, 10))
        text += f"split_clients {key} {v}_bucket {{\n{rows}}}\n"
        rules = ((pattern, "green") for pattern in picked())
        return text + table(f"${self._share}:{v}_bucket", f"{v}_picked", ("default", "blue"), *rules)

    def _where(self) -> str:
        v, off = self._v, "before" if self._s.before else "nobody"
        text = "# Where it goes: as the link says, which is looked at once for each request, when it is sent on.\n"
        shares = [("000", "blue"), ("100", "green"), (rf"(?<{self._share}>0\d\d)", f"{v}_picked")]
        some = self._named is not None
        users = [(pattern(share, "[a-z]+", some), to) for share, to in shares]
        # Nobody has been sent anywhere yet while the first release is being tested, either.
        users += [(f"~/{STATES}/{OFF}$", off), (pattern("none", "[a-z]+"), off)]
        text += table("$realpath_root", f"{v}_users", ("default", "nobody"), *users)
        tests = [(pattern("[a-z0-9]+", colour, some), str(colour)) for colour in Colour]
        text += table("$realpath_root", f"{v}_test", ("default", "nobody"), *tests)
        whom = f"{v}_users"
        if self._named is not None:
            text += self._first(*self._named)
            whom = f"{v}_whom"
        text += table(f"{v}_asks", f"{v}_to", ("default", whom), (TEST, f"{v}_test"), (ANY, "nobody"))
        if self._s.before:  # there always is somebody for users
            text += table(f"{v}_asks", f"{v}_door", ("default", f"{v}_asks"), (USERS, ANY))
        return text

    def _first(self, header: str, value: str) -> str:
        """Users with this header go where the state says, if it says anything of them."""
        v = self._v
        who = [(f"~^{_exactly(value)}$", "1"), ("default", "")] if value else [("default", "1"), ("", "")]
        text = table(f"$http_{header.lower().replace('-', '_')}", f"{v}_named", *who)
        chosen = [(f"~-f{colour}$", str(colour)) for colour in Colour]
        text += table("$realpath_root", f"{v}_chosen", ("default", f"{v}_users"), *chosen)
        return text + table(f"{v}_named", f"{v}_whom", ("default", f"{v}_users"), ("1", f"{v}_chosen"))

    def _small(self) -> str:
        v = self._v
        # These two are the same for every service, and may be said twice.
        text = table("$http_upgrade", _CONNECTION, ("default", "upgrade"), ("", ""))
        text += table("$http_host", _HOSTNAME, ("default", "$http_host"), ("", "$host"))
        if self._s.trusted_hops:
            text += table(
                "$http_x_forwarded_proto", f"{v}_proto", ("default", "$http_x_forwarded_proto"), ("", "$scheme")
            )
            text += table("$http_x_forwarded_host", f"{v}_from", ("default", "$http_x_forwarded_host"), ("", _HOSTNAME))
        fields = r"\t".join((f"{v}_asks", f"{v}_to", *_ANSWERED))
        return text + f"log_format {self._name} '{fields}';\n"

    def _upstream(self, name: str, endpoints: tuple[Endpoint, ...]) -> str:
        servers = [f"server {_address(e.host, e.port)} max_fails=1 fail_timeout=2s;" for e in endpoints]
        kept = ["keepalive 64;", f"keepalive_timeout {_ms(self._s.timeouts.keep_alive)};"]
        lines = [*servers, *kept] if servers else ["server 127.0.0.1:9 down;"]
        return _block(f"upstream {self._name}_{name}", lines)

    def _server(self, listen: Listen, name: str) -> str:
        lines = [
            f"listen {_address(listen.host, listen.port)}{' ssl http2' if listen.tls else ''}{self._both(listen)};"
        ]
        lines.append(f"server_name {name};")
        if listen.tls:
            lines.append(f'ssl_certificate "{self._base / listen.tls.certificate}";')
            lines.append(f'ssl_certificate_key "{self._base / listen.tls.key}";')
        lines += ["client_max_body_size 0;", f"location / {{ include {self._inside}/{ROUTE}; }}"]
        return _block("server", lines)

    def _both(self, listen: Listen) -> str:
        """`[::]` means IPv4 as well, unless that is listed on its own."""
        own = any((other.host, other.port) == ("0.0.0.0", listen.port) for other in self._s.listeners)
        return " ipv6only=off" if listen.host == "::" and not own else ""

    # what stands in a `location`

    def route(self) -> str:
        s, v = self._s, self._v
        lines = [
            f"root {self._inside}/{LIVE};",
            f'if ({v}_asks = probe) {{ return 200 "greenroom {self._service} {_REVISION} $pid $realpath_root\\n"; }}',
            # Whether anybody is there for it, before it is let in, which may be long before it is sent on: a cached
            # answer would be of a state before.
            "open_file_cache off;",
            "disable_symlinks off;",
            f"if (!-e {self._inside}/{LIVE}/{v}_{'door' if s.before else 'asks'}) {{ return 503; }}",
            f"proxy_pass http://{self._name}_${{{self._bare}_to}};",
            "proxy_http_version 1.1;",
            f"proxy_set_header Host {_HOSTNAME};",
            "proxy_set_header Upgrade $http_upgrade;",
            f"proxy_set_header Connection {_CONNECTION};",
            "proxy_set_header X-Real-IP $remote_addr;",
            "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
            f"proxy_set_header X-Forwarded-Proto {f'{v}_proto' if s.trusted_hops else '$scheme'};",
            f"proxy_set_header X-Forwarded-Host {f'{v}_from' if s.trusted_hops else _HOSTNAME};",
            # A body that nginx gathers first is sent on when the old colour may be gone.
            "proxy_request_buffering off;",
            f"proxy_connect_timeout {_ms(s.timeouts.connect)};",
            f"proxy_send_timeout {_ms(s.timeouts.idle)};",
            f"proxy_read_timeout {_ms(s.timeouts.idle)};",
            "proxy_next_upstream error timeout;",
            "proxy_next_upstream_tries 3;",
        ]
        if s.sticky:
            # Not by `add_header`, which would take away those that the server adds.
            lines += [
                "userid on;",
                f"userid_name {self._name};",
                "userid_path /;",
                "userid_expires max;",
                "userid_flags samesite=lax;",
            ]
        return "".join(f"{line}\n" for line in [*lines, f"include {self._inside}/{LOG};"])

    def log(self) -> str:
        # All of them: to ask which ones count would cost more than to write them.
        ours = f"access_log {self._inside}/{REQUESTS} {self._name};\n"
        return ours + "".join(f"access_log {line};\n" for line in self._s.access_log)


def _exactly(text: str) -> str:
    """A pattern for this text alone, in which nothing means anything to nginx."""
    return "".join(c if c.isalnum() or not c.isascii() else f"\\x{ord(c):02X}" for c in text)


def _short(service: str) -> str:
    """nginx's tables have room for names of 46 letters, unless people give them more."""
    return f"gr_{service if len(service) <= 20 else f'{service[:11]}-{digest(service.encode())[:8]}'}"


def _block(head: str, lines: list[str]) -> str:
    return f"{head} {{\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _ms(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def settings_of(made: Topology, service: str, colour: Colour) -> dict[str, str]:
    """How a colour is spoken to, by these files: all but where it is."""
    text = made.files[HTTP].decode(errors="replace")
    match = re.search(
        rf"^upstream {re.escape(f'greenroom_{service}_{colour}')} {{\n(.*?)^}}", text, re.MULTILINE | re.DOTALL
    )
    lines = [line.strip().rstrip(";").split(None, 1) for line in match[1].splitlines()] if match else []
    servers = [words.split(None, 1) for name, words in lines if name == "server"]
    found = {name: words for name, words in lines if name != "server"}
    found["replicas"] = str(len(servers))
    found["server"] = ", ".join(sorted({words[1] if len(words) > 1 else "" for words in servers}))
    route = made.files[ROUTE].decode(errors="replace")
    found |= dict(
        re.findall(r"^(proxy_(?:connect|read|send)_timeout|proxy_next_upstream\w*) (.*);", route, re.MULTILINE)
    )
    return found
