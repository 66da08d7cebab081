"""A request through the running nginx, answered by the very configuration and link that it uses.

Only who knows the token gets this answer; it stands in the configuration, which only its owner may read.
"""

from __future__ import annotations

import re
import ssl
import time
from dataclasses import dataclass
from typing import TypeAlias

from greenroom.adapters.hosts.http import Answer, get
from greenroom.adapters.nginx.render import HEADER
from greenroom.adapters.nginx.settings import Entrance
from greenroom.adapters.nginx.state import STATES
from greenroom.ports import Host

WITHIN = 2.0
_ANSWER = re.compile(rb"greenroom (\S+) (\S+) (\d+) (.*)\n")


@dataclass(frozen=True, slots=True)
class Seen:
    """What runs. `topology`: its revision. `state`: what the link leads to, "" where the workers cannot follow it."""

    topology: str
    pid: int
    path: str

    @property
    def state(self) -> str:
        folder, _, name = self.path.rpartition("/")
        return name if folder.endswith(f"/{STATES}") else ""


@dataclass(frozen=True, slots=True)
class Foreign:
    """Somebody answers, but not with what we wrote."""

    what: str


@dataclass(frozen=True, slots=True)
class Silent:
    """Nobody answers."""

    why: str


Look: TypeAlias = Seen | Foreign | Silent


def look(host: Host, entrance: Entrance, service: str, token: str) -> Look:
    """On a connection of its own: an old worker takes no new ones."""
    answer = ask(host, entrance, token)
    if not isinstance(answer, Answer):
        return answer
    match = _ANSWER.fullmatch(answer.body)
    if answer.status != 200 or match is None or match[1].decode() != service:
        return Foreign(f"status {answer.status}")
    return Seen(match[2].decode(), int(match[3]), match[4].decode("utf-8", "replace"))


def ask(host: Host, entrance: Entrance, value: str) -> Answer | Foreign | Silent:
    """One GET with this value in our header."""
    deadline = time.monotonic() + WITHIN
    try:
        with host.connect((entrance.host, entrance.port), WITHIN) as link:
            if not entrance.tls:
                return get(link, _path(entrance), {"Host": entrance.authority, HEADER: value}, deadline)
            with _context().wrap_socket(link, server_hostname=_name(entrance)) as secure:
                return get(secure, _path(entrance), {"Host": entrance.authority, HEADER: value}, deadline)
    except ssl.SSLError as error:
        return Foreign(f"no TLS: {error.reason or error}")
    except ValueError:
        return Foreign("no HTTP")
    except OSError as error:
        return Silent(error.strerror or str(error) or type(error).__name__)


def _path(entrance: Entrance) -> str:
    return entrance.path or "/"


def _name(entrance: Entrance) -> str:
    name, _, port = entrance.named.rpartition(":")
    return (name if name and port.isdecimal() else entrance.named) or entrance.host


def _context() -> ssl.SSLContext:
    """The token proves who answers, not the certificate, which may be for any of its names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
