"""One POST, as all notifiers over HTTP make it. The address is a secret: it is in no error and in no log."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greenroom.adapters.notifiers.limit import Limit
from greenroom.errors import Permanent, PortError, Temporary

if TYPE_CHECKING:
    import httpx2

_LATER = {408: 1.0, 425: 1.0, 429: 10.0}  # refusals that are not meant for ever, with a pause
_LONGEST_PAUSE = 3600.0
_ANSWER = 200
"""Bytes of a refusal that are looked at."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: `step` for the connection and again for the answer, `whole` for everything."""

    step: float = 5.0
    whole: float = 10.0


def post(
    who: str,
    url: str,
    content: bytes,
    headers: Mapping[str, str],
    patience: Patience,
    reasons: Mapping[str, str] | None = None,
) -> None:
    """`Temporary` unless it was taken (2xx) or refused for good (other answers below 500).

    `reasons`: what this kind of server says when it refuses, each with the way out; nothing else of its answer is ever
    shown.
    """
    import httpx2  # here, for commands that notify nobody

    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs each address that it asks
    failure: PortError | None = None
    limit = Limit(patience.whole)
    try:
        with (
            limit,
            httpx2.Client(timeout=patience.step, follow_redirects=False) as client,
            client.stream("POST", url, content=content, headers=headers, extensions=_watched(limit)) as response,
        ):
            failure = _refusal(who, response, reasons or {})  # a body is not read to its end: it may have none
    except (httpx2.LocalProtocolError, httpx2.UnsupportedProtocol, httpx2.InvalidURL, ValueError) as error:
        failure = Permanent(f"{who} cannot be asked: its address or its headers are wrong ({_kind(error)}).")
    except httpx2.HTTPError as error:
        failure = Temporary(f"{who} {_trouble(error, limit, patience)}.", retry_after=5.0)
    if failure is not None:
        raise failure  # outside of `except`: what the library says may quote the address


def _watched(limit: Limit) -> dict[str, Any]:
    """The library says which connections it made."""

    def trace(name: str, info: Mapping[str, Any]) -> None:
        if name.endswith((".connect_tcp.complete", ".start_tls.complete")):
            limit.guard(info["return_value"].get_extra_info("socket"))

    return {"trace": trace}


def _refusal(who: str, response: httpx2.Response, reasons: Mapping[str, str]) -> PortError | None:
    status, said = response.status_code, f"{who} answered {response.status_code}"
    if 200 <= status < 300:
        return None
    if status >= 500 or status in _LATER:
        return Temporary(f"{said}.", retry_after=_pause(response, _LATER.get(status, 5.0)))
    if 300 <= status < 400:
        return Permanent(f"{said}: it has moved.", hint="Put its new address into the file.")
    reason = _said(response) if reasons else ""
    if reason in reasons:
        return Permanent(f"{said}: {reason}.", hint=reasons[reason])
    return Permanent(f"{said}.", hint="Its address or its headers are wrong, or it does not take this format.")


def _said(response: httpx2.Response) -> str:
    """The beginning of its answer."""
    import httpx2

    try:
        return next(response.iter_bytes(_ANSWER), b"")[:_ANSWER].decode("ascii", "replace").strip()
    except httpx2.HTTPError:
        return ""


def _pause(response: httpx2.Response, usual: float) -> float:
    """As the other end asks for it, within reason."""
    asked = response.headers.get("Retry-After", "")
    return min(float(asked), _LONGEST_PAUSE) if asked.isascii() and asked.isdigit() else usual


def _trouble(error: Exception, limit: Limit, patience: Patience) -> str:
    """What went wrong, from types and numbers only: never from a text that could name the address."""
    import httpx2

    if limit.over:
        return f"does not answer within {patience.whole:g} s"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"cannot be trusted or speaks no TLS ({_kind(cause)})"
        if isinstance(cause, ConnectionRefusedError):
            return "refuses connections"
        cause = cause.__cause__ or cause.__context__
    match error:
        case httpx2.ConnectTimeout() | httpx2.ReadTimeout() | httpx2.WriteTimeout():
            return f"does not answer within {patience.step:g} s"
        case httpx2.ConnectError():
            return "cannot be reached"
    return f"broke off ({_kind(error)})"


def _kind(error: BaseException) -> str:
    return type(error).__name__
