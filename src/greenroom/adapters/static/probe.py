"""A request for the mark, as users would make it: which version is served there?"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from greenroom.adapters.hosts.http import Answer, get
from greenroom.adapters.static.settings import MARK
from greenroom.adapters.static.versions import Mark, read_mark
from greenroom.ports import Host

WITHIN = 2.0


@dataclass(frozen=True, slots=True)
class Foreign:
    """Somebody answers, but not with a version of this service."""

    what: str


@dataclass(frozen=True, slots=True)
class Silent:
    """Nobody answers."""

    why: str


Look: TypeAlias = Mark | Foreign | Silent


def look(host: Host, url: str, service: str) -> Look:
    answer = _ask(host, url)
    if not isinstance(answer, Answer):
        return answer
    mark = read_mark(answer.body) if answer.status == 200 else None
    if mark is None:
        return Foreign(f"status {answer.status}" if answer.status != 200 else "a page of its own")
    return mark if mark.service == service else Foreign(f"the service {mark.service!r}")


def absence(url: str, seen: Foreign | Silent) -> str:
    match seen:
        case Silent(why):
            return f"nothing answers at {url}: {why}"
        case Foreign(what):
            return f"{url}/{MARK} is answered with {what}, not with a version of ours"


def _ask(host: Host, url: str) -> Answer | Foreign | Silent:
    parts, deadline = urlsplit(url), time.monotonic() + WITHIN
    name = parts.hostname or ""
    tls = parts.scheme == "https"
    headers = {"Host": parts.netloc.rpartition("@")[2], "Accept": "*/*", "Cache-Control": "no-cache"}
    path = f"{parts.path}/{MARK}"
    try:
        with host.connect((name, parts.port or (443 if tls else 80)), WITHIN) as link:
            if not tls:
                return get(link, path, headers, deadline)
            with _context().wrap_socket(link, server_hostname=name) as secure:
                return get(secure, path, headers, deadline)
    except ssl.SSLError as error:
        return Foreign(f"no TLS: {error.reason or error}")
    except ValueError:
        return Foreign("no HTTP")
    except OSError as error:
        return Silent(error.strerror or str(error) or type(error).__name__)


def _context() -> ssl.SSLContext:
    """Which version is served there is asked, not whose certificate it is: the check `tls` judges that."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
