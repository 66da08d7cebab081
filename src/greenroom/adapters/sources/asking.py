"""What sources have in common: the names that are filled in, one request with an end, one number out of an answer."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from greenroom.adapters.checks.assertions import short
from greenroom.adapters.checks.exchange import Answer, Asking, Failed, Unclear, exchange
from greenroom.domain.template import fill
from greenroom.errors import Permanent, Temporary
from greenroom.ports import About, Place
from greenroom.units import Seconds

NAMES = ("colour", "version", "release", "service", "window", "metric", "query")
LONGEST = 30.0
"""Seconds that one question may take."""

_COLOUR = re.compile(r"\{(colour|version|release)\}")
_LATER = (408, 425, 429)


class Server(BaseModel):
    """What a source that is asked over HTTP needs to know of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    headers: dict[str, SecretStr] = Field(
        default={}, description="Headers to send, an `Authorization` for example, best as `${NAME}`."
    )
    ca: Path | None = Field(default=None, description="A file of authorities to trust instead of the system's.")
    timeout: Seconds = Field(
        default=5.0, gt=0, le=LONGEST, description="After this a question is given up. At most 30s."
    )

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if any(c in value.get_secret_value() for c in "\r\n\0"):
                raise ValueError(f"the value of {name} has a line break; a header is one line")
        return headers


def tells_apart(text: str) -> bool:
    """Whether it is another question for the candidate than for the baseline."""
    return _COLOUR.search(text) is not None


def variables(about: About) -> dict[str, str]:
    """`{window}` is in whole seconds, with its unit: `30s`."""
    return {
        "colour": str(about.colour),
        "version": about.version,
        "release": about.release,
        "service": about.service,
        "window": f"{max(1, round(about.window))}s",
        "metric": about.metric,
        "query": about.query,
    }


def filled(text: str, about: About, quoted: Callable[[str], str]) -> str:
    """With every name filled in, so that no value can be more than text."""
    return fill(text, {name: quoted(value) for name, value in variables(about).items()})


def ask(
    server: Server, place: Place, url: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> Answer:
    """A whole answer of any status; `Temporary` without one."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    given |= {name: value.get_secret_value() for name, value in server.headers.items()}
    ca = place.file.parent / server.ca if server.ca else None
    deadline = time.monotonic() + server.timeout
    try:
        return exchange(Asking(url, method, given, body, deadline, server.timeout, ca=ca))
    except (Failed, Unclear) as error:
        text = str(error)
    raise Temporary(f"{where(url)} cannot be asked: {text}", retry_after=5.0)


def where(url: str) -> str:
    """Who is asked, without what may be secret: credentials, path, query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def refusal(url: str, answer: Answer, said: str = "") -> Exception | None:
    """What an answer that is none means: None for 2xx."""
    who, status = where(url), answer.status
    tail = f": {short(said, 300)}" if said else ""
    if 200 <= status < 300:
        return None
    if status >= 500 or status in _LATER:
        return Temporary(f"{who} answered {status}{tail}", retry_after=5.0)
    if status in (401, 403):
        return Permanent(f"{who} answered {status}: we may not ask it", hint="give it `headers: {Authorization: …}`")
    if 300 <= status < 400:
        return Permanent(f"{who} answered {status}: it is somewhere else", hint="put its new address into `url`")
    return Permanent(f"{who} answered {status}{tail}", hint="look whether `url` and the question are right")


def document_of(url: str, answer: Answer) -> Any:
    if answer.cut:
        raise Permanent(f"{where(url)} answered more than 1 MB", hint="ask for one number only")
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        hint = f"it begins {short(answer.body[:80].decode('utf-8', 'replace'))!r}; is it the right address?"
        raise Permanent(f"the answer of {where(url)} is not JSON", hint=hint) from None


def number(value: Any, what: str) -> float | None:
    """None where there is no data: null, an empty text, NaN, an infinity. `Permanent` for what is no number."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Permanent(f"{what} is {short(json.dumps(value, default=str))}, which is no number")
    try:
        found = float(value)
    except (ValueError, OverflowError):
        raise Permanent(f"{what} is {short(str(value))!r}, which is no number") from None
    return found if math.isfinite(found) else None


def unknown_names(text: str) -> str:
    """Why this text cannot be filled in; "" if it can. Braces that hold no plain word are somebody else's."""
    for name in re.findall(r"(?<!\$)\{([a-z_]+)\}", text):
        if name not in NAMES:
            return f"{{{name}}} is not known here; there is {', '.join('{' + n + '}' for n in NAMES)}"
    return ""


def settings_address(text: str) -> str:
    """`ValueError` unless it is an address of http or https."""
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right:
        raise ValueError("should be an address that begins with http:// or https://")
    return text


def plain(variables: Mapping[str, str]) -> dict[str, str]:
    """As a command finds them in its environment."""
    return {f"GREENROOM_{name.upper()}": value for name, value in variables.items()}
