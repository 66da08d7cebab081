"""What a check or watch over HTTP asks for, and whether an answer is that."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from greenroom.adapters.checks.assertions import steps_of
from greenroom.units import Seconds

LONGEST = 30.0
"""Seconds that one request may take: the engine waits for it."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

StatusCode = Annotated[int, Field(ge=100, le=599)]


def _text(value: Any) -> Any:
    """YAML reads `1` as a number and `true` as a boolean; what is sent is a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, BeforeValidator(_text)]


def headers_of(headers: dict[str, str]) -> dict[str, str]:
    """They can be sent as they are. `ValueError`."""
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if any(c in value for c in "\r\n\0"):
            raise ValueError(f"the value of {name} has a line break; a header is one line")
    return headers


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


class Wanted(BaseModel):
    """One request, and what its answer must be."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str = Field(
        default="", description="What it is called in output and journal; made from its address if absent."
    )
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = Field(
        default="GET", description="The method of the request."
    )
    headers: dict[str, str] = Field(default={}, description="Headers to send.")
    body: str | dict[str, Any] | list[Any] | None = Field(
        default=None, description="The body to send: a text, or a mapping or list, which is sent as JSON."
    )
    form: dict[str, Text] | None = Field(
        default=None, description="Fields to send as a form does (`application/x-www-form-urlencoded`)."
    )
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
    follow_redirects: bool = Field(default=False, description="Whether the answer at the end of redirects is judged.")

    @field_validator("headers", "expect_headers")
    @classmethod
    def _sendable(cls, headers: dict[str, str]) -> dict[str, str]:
        return headers_of(headers)

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
            if steps_of(path) is None:
                raise ValueError(f'{path!r} is no path; write it like `items[0].price` or `["a.b"].c`')
        return fields

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if self.form is not None and self.body is not None:
            raise ValueError("has `form` and `body`; one of them is sent")
        if (self.form is not None or isinstance(self.body, dict | list)) and self.method in ("GET", "HEAD"):
            what = "form" if self.form is not None else "body"
            raise ValueError(f"a `{what}` like this is not sent with {self.method}; add `method: POST`")
        return self

    @property
    def statuses(self) -> tuple[int, ...]:
        return (self.status,) if isinstance(self.status, int) else tuple(self.status)


class Asked(Wanted):
    """What checks and watches of a single request have in common."""

    tls: Tls = Field(default=Tls(), description="What is asked of the certificate, for `https`.")


class BothAsked(BaseModel):
    """What checks that ask both versions have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", description="What it is called in output and journal.")
    headers: dict[str, str] = Field(
        default={}, description="Headers to send with each request, to both versions: `{Host: shop.example}`."
    )
    tls: Tls = Field(default=Tls(), description="What is asked of the certificate, for `https`.")
    timeout: Seconds = Field(
        default=10.0,
        gt=0,
        le=LONGEST,
        description="After this it is given up: for all requests and their answers together. At most 30s.",
    )

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, str]) -> dict[str, str]:
        return headers_of(headers)


class WatchSettings(Asked):
    url: str = Field(description="The public address to ask, as users do.")
    every: Seconds = Field(default=1.0, ge=0.1, le=3600, description="The time from one request to the next.")

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("must begin with `http://` or `https://`")
        return url
