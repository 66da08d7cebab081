"""One HTTP request with a deadline for all of it, over the standard library.

Not httpx: its timeouts count from byte to byte, so an answer that drips would hold a worker for ever; it would send
requests for this machine to a proxy of the environment; and `http.client` is there at once.
"""

from __future__ import annotations

import http.client
import io
import math
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import SplitResult, quote, urljoin, urlsplit

PATH = "/%:@!$&'()*+,;=~-._"
QUERY = PATH + "?"
"""Characters that are sent as they are, in a path and after it."""
LIMIT = 1_000_000
"""Bytes of a body that are read."""


class Failed(Exception):
    """The other side did not do what was asked of it."""


class Unclear(Exception):
    """It could not be asked, for a reason that is not the other side's."""


@dataclass(frozen=True, slots=True)
class Asking:
    """`deadline`: on the monotonic clock, for everything; `timeout`: the same as people wrote it."""

    url: str
    method: str
    headers: Mapping[str, str]
    body: bytes | None
    deadline: float
    timeout: float
    verify: bool = True
    ca: Path | None = None
    server_name: str | None = None
    days_left: int | None = None

    def to(self, url: str, headers: Mapping[str, str], status: int = 302) -> Asking:
        """The same for the target of a redirect. As browsers do: 307 and 308 keep method and body."""
        if status in (307, 308):
            return replace(self, url=url, headers=headers)
        kept = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        method = "HEAD" if self.method == "HEAD" else "GET"
        return replace(self, url=url, headers=kept, method=method, body=None)

    def resolve(self, location: str) -> str:
        """The target of a redirect. The host that a `Host` header asked for is the place that was asked."""
        target = urljoin(self.url, location)
        if self.host and _parts(target)[1] == _bare(self.host):
            here, there = urlsplit(self.url), urlsplit(target)
            return there._replace(scheme=here.scheme, netloc=here.netloc).geturl()
        return target

    @property
    def host(self) -> str:
        return next((value for name, value in self.headers.items() if name.lower() == "host"), "")

    @property
    def left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers`: by small name. `leads_to`: of a redirect. `cut`: there is more of the body than was read.

    `cookies`: each `Set-Cookie` by itself.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool
    leads_to: str
    cookies: tuple[str, ...] = ()


def exchange(asking: Asking) -> Answer:
    """`Failed` or `Unclear` with a sentence, in the time given and a little more."""
    parts, host, port = _parts(asking.url)
    where = f"{host}:{port}"
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise Unclear(f"the name {host} cannot be resolved: {why}") from None
    try:
        with _connected(asking, addresses, where) as plain:
            sock = _secured(asking, plain, host) if parts.scheme == "https" else plain
            try:
                return _talk(asking, sock, parts, host, port)
            finally:
                sock.close()
    except TimeoutError:
        raise Failed(f"no complete answer from {where} within {asking.timeout:g}s") from None
    except ssl.SSLCertVerificationError as error:
        raise Failed(f"the certificate of {where} is not good: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise Failed(f"{where} does not speak TLS as expected: {error.reason or error}") from None
    except http.client.RemoteDisconnected:
        raise Failed(f"{where} closed the connection without an answer") from None
    except (http.client.HTTPException, AssertionError) as error:
        raise Failed(f"{where} does not answer in HTTP: {type(error).__name__}") from None
    except OSError as error:
        raise Failed(f"the connection to {where} broke: {error.strerror or error}") from None
    except ValueError as error:
        raise Unclear(f"the request cannot be sent: {error}") from None


def same_origin(a: str, b: str) -> bool:
    def origin(url: str) -> tuple[str, str, int]:
        parts, host, port = _parts(url)
        return parts.scheme, host, port

    return origin(a) == origin(b)


def _parts(url: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Unclear(f"{url[:200]!r} is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Unclear(f"{url[:200]!r} is no address of http or https")
    return parts, parts.hostname, port or (443 if parts.scheme == "https" else 80)


def _connected(asking: Asking, addresses: list[Any], where: str) -> socket.socket:
    problem: OSError | None = None
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(asking.left)
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as error:
            sock.close()
            problem = error
    if isinstance(problem, TimeoutError):
        raise problem
    why = (problem.strerror or str(problem)) if problem else "it has no address"
    raise Failed(f"nobody answers at {where}: {why}")


def _secured(asking: Asking, plain: socket.socket, host: str) -> ssl.SSLSocket:
    """With the name of the `Host` header, if one is sent: that is whom the request is for."""
    try:
        context = ssl.create_default_context(cafile=str(asking.ca) if asking.ca else None)
    except OSError as error:  # an SSLError is one too
        why = error.strerror if isinstance(error, FileNotFoundError) else "it holds no certificate"
        raise Unclear(f"the file of authorities {asking.ca} cannot be used: {why}") from None
    if not asking.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    plain.settimeout(asking.left)
    sock = context.wrap_socket(plain, server_hostname=asking.server_name or _bare(asking.host) or host)
    if asking.days_left is not None:
        _check_days(asking.days_left, sock)
    return sock


def _bare(host: str) -> str:
    """Without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _check_days(wanted: int, sock: ssl.SSLSocket) -> None:
    until = (sock.getpeercert() or {}).get("notAfter")
    left = math.floor((ssl.cert_time_to_seconds(str(until)) - time.time()) / 86400) if until else 0
    if left < wanted:
        sock.close()
        raise Failed(f"the certificate is valid for {left} more days ({until}); at least {wanted} are asked for")


class _Stream(io.RawIOBase):
    """Reads from a socket until the deadline, however slowly the bytes drip."""

    def __init__(self, asking: Asking, sock: socket.socket) -> None:
        self._asking = asking
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._asking.left)
        return self._sock.recv_into(buffer)

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """What `HTTPResponse` asks of a socket."""
        return io.BufferedReader(self)


def _talk(asking: Asking, sock: socket.socket, parts: SplitResult, host: str, port: int) -> Answer:
    connection = http.client.HTTPConnection(f"[{host}]" if ":" in host else host, port)
    connection.sock = sock
    if parts.scheme == "https":
        connection.default_port = 443  # else `Host:` would carry the port
    target = quote(parts.path or "/", safe=PATH) + (f"?{_query(parts.query)}" if parts.query else "")
    headers = {name: value.encode() for name, value in asking.headers.items()}
    given = {name.lower() for name in headers}
    for name, value in (("user-agent", b"greenroom"), ("accept", b"*/*"), ("connection", b"close")):
        if name not in given:
            headers[name] = value
    sock.settimeout(asking.left)
    connection.request(asking.method, target, asking.body, cast(Mapping[str, str], headers))
    stream = _Stream(asking, sock)
    answer = http.client.HTTPResponse(cast(socket.socket, stream), method=asking.method)
    try:
        answer.begin()
        body = _body(answer)
        names = {name.lower() for name, _ in answer.getheaders()}
        received = {name: answer.getheader(name) or "" for name in names}
        leads_to = received.get("location", "") if 300 <= answer.status < 400 else ""
        cookies = tuple(answer.headers.get_all("set-cookie") or ())
        return Answer(answer.status, received, body[:LIMIT], len(body) > LIMIT, leads_to, cookies)
    finally:
        answer.close()


def _body(answer: http.client.HTTPResponse) -> bytes:
    try:
        body = answer.read(LIMIT + 1)
    except http.client.IncompleteRead as error:
        raise Failed(f"the answer broke off after {len(error.partial)} bytes of its body") from None
    if answer.length and len(body) <= LIMIT:  # `read` with a number of bytes does not complain
        raise Failed(f"the answer broke off after {len(body)} bytes of its body")
    return body


def _query(query: str) -> str:
    return quote(query, safe=QUERY)
