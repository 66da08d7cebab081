"""What a check or watch over HTTP asks for, and whether an answer is that."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from greenroom.adapters.checks.exchange import Answer
from greenroom.domain.template import fill
from greenroom.units import Seconds, show_duration

LONGEST = 30.0
"""Seconds that one request may take: the engine waits for it."""
_SHOWN = 120
_STEP = re.compile(r'\.?([^.\[\]"]+)|\[(\d{1,9})\]|\["([^"]+)"\]')
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

StatusCode = Annotated[int, Field(ge=100, le=599)]


class Tls(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    verify: bool = Field(default=True, description="Whether the certificate must be trusted and be for this name.")
    days_left: int | None = Field(
        default=None, ge=0, le=3650, description="How many days the certificate must be valid still."
    )
    ca: Path | None = Field(default=None, description="A file of authorities to trust instead of the system's.")
    name: str | None = Field(
        default=None, description="The name that the certificate is for, if it is not the address's own."
    )

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if self.days_left is not None and not self.verify:
            raise ValueError("`days_left` needs `verify: true`: an unverified certificate is not read")
        return self


class Asked(BaseModel):
    """What checks and watches have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str = Field(
        default="", description="What it is called in output and journal; made from its address if absent."
    )
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = Field(
        default="GET", description="The method of the request."
    )
    headers: dict[str, str] = Field(default={}, description="Headers to send.")
    body: str | None = Field(default=None, description="The body to send.")
    status: StatusCode | list[StatusCode] = Field(
        default=200, description="The status that must come, or a list of them."
    )
    contains: str | None = Field(default=None, description="A text that the body must contain.")
    matches: str | None = Field(default=None, description="A regular expression that must be found in the body.")
    expect_headers: dict[str, str] = Field(
        default={}, description="Headers that the answer must have, each with a text that its value must contain."
    )
    fields: dict[str, Any] = Field(
        default={},
        alias="json",
        description='Values that the JSON body must have, by path: `{"items[0].price": 5}`.',
    )
    max_time: Seconds | None = Field(default=None, description="The longest that the whole answer may take.")
    timeout: Seconds = Field(
        default=5.0, gt=0, le=LONGEST, description="After this the request is given up. At most 30s."
    )
    tls: Tls = Field(default=Tls(), description="What is asked of the certificate, for `https`.")
    follow_redirects: bool = Field(default=False, description="Whether the answer at the end of redirects is judged.")

    @field_validator("headers", "expect_headers")
    @classmethod
    def _sendable(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header")
            if any(c in value for c in "\r\n\0"):
                raise ValueError(f"the value of {name} has a line break; a header is one line")
        return headers

    @field_validator("matches")
    @classmethod
    def _expression(cls, text: str | None) -> str | None:
        try:
            re.compile(text or "")
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return text

    @field_validator("fields")
    @classmethod
    def _paths(cls, fields: dict[str, Any]) -> dict[str, Any]:
        for path in fields:
            if _steps(path) is None:
                raise ValueError(f'{path!r} is no path; write it like `items[0].price` or `["a.b"].c`')
        return fields

    @property
    def statuses(self) -> tuple[int, ...]:
        return (self.status,) if isinstance(self.status, int) else tuple(self.status)


class HttpSettings(Asked):
    path: str | None = Field(default=None, description="Asked at the candidate, through the test route: `/health`.")
    url: str | None = Field(
        default=None, description="A whole address, instead of `path`; `{idle_url}` is the candidate's."
    )
    retries: int = Field(default=0, ge=0, le=100, description="How often it is asked again before a failure counts.")
    retry_delay: Seconds = Field(default=1.0, description="The time between two tries.")

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("needs `path:` (at the candidate) or `url:` (anywhere), one of the two")
        if self.path is not None and not self.path.startswith("/"):
            raise ValueError(f"the path {self.path[:_SHOWN]!r} must begin with `/`")
        if self.url is not None and not self.url.startswith(("http://", "https://", "{idle_url}")):
            raise ValueError("the url must begin with `http://`, `https://` or `{idle_url}`")
        return self


class WatchSettings(Asked):
    url: str = Field(description="The public address to ask, as users do.")
    every: Seconds = Field(default=1.0, ge=0.1, le=3600, description="The time from one request to the next.")

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("must begin with `http://` or `https://`")
        return url


def wrong_with(settings: Asked, answer: Answer, variables: Mapping[str, str], took: float) -> str | None:
    """The first assertion that does not hold, in words; None if all do."""
    if answer.status not in settings.statuses:
        return _wrong_status(settings, answer)
    for name, text in settings.expect_headers.items():
        got = answer.headers.get(name.lower())
        if got is None:
            return f"the answer has no header {name}"
        if fill(text, variables) not in got:
            return f"the header {name} is {short(got)!r} and does not contain {short(fill(text, variables))!r}"
    body = answer.body.decode("utf-8", "replace")
    beyond = " in its first 1 MB" if answer.cut else ""
    if settings.contains is not None and fill(settings.contains, variables) not in body:
        return f"the body does not contain {short(fill(settings.contains, variables))!r}{beyond}"
    if settings.matches is not None and not re.search(settings.matches, body):
        return f"nothing in the body matches {short(settings.matches)!r}{beyond}"
    if settings.fields:
        wrong = _wrong_json(settings.fields, answer, variables)
        if wrong:
            return wrong
    if settings.max_time is not None and took > settings.max_time:
        return f"took {show_duration(took)}, more than {show_duration(settings.max_time)}"
    return None


def _wrong_status(settings: Asked, answer: Answer) -> str:
    wanted = " or ".join(str(s) for s in settings.statuses)
    if answer.leads_to and not settings.follow_redirects:
        return (
            f"answered {answer.status}, expected {wanted}: it leads to {short(answer.leads_to)} "
            "(ask there, or set `follow_redirects: true`)"
        )
    return f"answered {answer.status}, expected {wanted}"


def _wrong_json(fields: Mapping[str, Any], answer: Answer, variables: Mapping[str, str]) -> str | None:
    if answer.cut:
        return "the body has more than 1 MB, too much to be read as JSON"
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return "the body is not JSON"
    for path, wanted in fields.items():
        wanted = fill(wanted, variables) if isinstance(wanted, str) else wanted
        found, value = _value(document, _steps(path) or ())
        if not found:
            return f"the JSON has no {path}"
        if not _equal(wanted, value):
            return f"{path} is {short(json.dumps(value))}, expected {short(json.dumps(wanted, default=str))}"
    return None


def _steps(path: str) -> tuple[str | int, ...] | None:
    """`a.b[0]` as `("a", "b", 0)`; `$` is the whole body; None if it is no path."""
    if path == "$":
        return ()
    steps: list[str | int] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        if not match or (at == 0 and path.startswith(".")) or (at > 0 and match.group(1) and path[at] != "."):
            return None
        steps.append(int(match.group(2)) if match.group(2) else match.group(1) or match.group(3))
        at = match.end()
    return tuple(steps) or None


def _value(document: Any, steps: tuple[str | int, ...]) -> tuple[bool, Any]:
    for step in steps:
        if isinstance(step, int) and isinstance(document, list) and step < len(document):
            document = document[step]
        elif isinstance(document, dict) and str(step) in document:
            document = document[str(step)]
        else:
            return False, None
    return True, document


def _equal(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(value, bool):
        return wanted is value
    if isinstance(wanted, str) and isinstance(value, int | float):  # `5.10` in YAML is the text that it is
        try:
            return float(wanted) == value
        except (ValueError, OverflowError):
            return False
    return bool(wanted == value)


def evidence_of(answer: Answer) -> tuple[str, ...]:
    lines = (short(line.strip(), 200) for line in answer.body[:2000].decode("utf-8", "replace").splitlines())
    return tuple(line for line in lines if line)[:5]


def short(text: str, limit: int = _SHOWN) -> str:
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
