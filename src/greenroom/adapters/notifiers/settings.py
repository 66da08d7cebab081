"""What the settings of all notifiers have in common: the name, the kinds of event, addresses, the link."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from greenroom.domain.model import Event
from greenroom.domain.template import fill

Kind = Literal[
    "started",
    "waiting_approval",
    "warned",
    "shifted",
    "paused",
    "drifted",
    "stuck",
    "recovered",
    "succeeded",
    "aborted",
    "rolled_back",
    "rehearsed",
    "failed",
    "contracted",
]

_PLACES = ("service", "release", "version", "kind")


def web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _secret_address(url: SecretStr) -> SecretStr:
    if not web_address(url.get_secret_value()):
        raise ValueError("should be an address that begins with http:// or https://")  # and is not shown
    return url


def _link(text: str) -> str:
    if text and not web_address(text):
        raise ValueError("should be an address that begins with http:// or https://")
    if len(text) > 1000:
        raise ValueError("is longer than 1000 characters")
    for name in re.findall(r"\{([^}]*)\}", text):
        if name not in _PLACES:
            known = ", ".join(f"{{{place}}}" for place in _PLACES)
            raise ValueError(f"{{{name[:40]}}} is not known here; there is {known}")
    return text


SecretAddress = Annotated[SecretStr, AfterValidator(_secret_address)]
Link = Annotated[str, AfterValidator(_link)]


class NotifierSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(default="", description="What it is called in output and journal.")
    on: list[Kind] | None = Field(default=None, description="The kinds of event to tell; all of them if absent.")

    @property
    def kinds(self) -> frozenset[str] | None:
        return None if self.on is None else frozenset(self.on)


class Linked(NotifierSettings):
    link: Link = Field(
        default="",
        description="Where people find the release's picture, for a link in the message: "
        "`https://releases.shop.example/{service}/{release}.svg`. `{service}`, `{release}`, `{version}` and `{kind}` are "
        "filled in.",
    )

    def link_for(self, event: Event) -> str:
        """ "" where there is none."""
        values = {name: quote(str(getattr(event, name)), safe="") for name in _PLACES}
        return fill(self.link, values)
