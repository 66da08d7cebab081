"""The notifier `ssm`: who is live, published in Systems Manager's Parameter Store for other tools to read. A copy."""

from __future__ import annotations

import json
from functools import cached_property
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from greenroom.adapters.aws.access import Access
from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.troubles import Refusal
from greenroom.adapters.notifiers.settings import NotifierSettings
from greenroom.domain.model import Event
from greenroom.domain.template import fill
from greenroom.errors import PortError
from greenroom.ports import Place

MOST = 2048
"""Characters of a name."""


class SsmSettings(Access, NotifierSettings):
    parameter: str = Field(
        default="/greenroom/{service}/live",
        min_length=1,
        max_length=MOST,
        description="Its name; `{service}` is filled in. It is made where it is missing.",
    )
    value: Literal["colour", "version", "json"] = Field(
        default="colour",
        description='What stands in it: `blue`; `42`; or `{"colour": "blue", "version": "42"}` in one line.',
    )

    @field_validator("parameter")
    @classmethod
    def _name(cls, text: str) -> str:
        bare = text.replace("{service}", "x")
        if not all(c.isalnum() and c.isascii() or c in "_.-/" for c in bare):
            raise ValueError("a parameter's name has letters, digits and `_.-/` only, beside `{service}`")
        if "/" in bare and not bare.startswith("/"):
            raise ValueError("a parameter's name with parts begins with `/`")
        if bare.strip("/").lower().startswith(("aws", "ssm")):
            raise ValueError("names that begin with `aws` or `ssm` are AWS's own")
        return text


class SsmNotifier:
    """`ports.Notifier`. Nothing is decided by what stands there: the route is the truth, this is for scripts and people.

    Written when it says something else than what is live; read first, since each write makes a version, of which 100 are
    kept. Parameter Store knows no condition, so whoever writes the same parameter meanwhile is written over.
    """

    Settings: ClassVar[type[SsmSettings]] = SsmSettings

    def __init__(self, settings: SsmSettings, place: Place) -> None:
        self._settings = settings
        self.name = settings.name or "ssm"
        self.on: frozenset[str] | None = settings.kinds
        self._parameter = fill(settings.parameter, {"service": place.service})

    @cached_property
    def _client(self) -> Client:
        return Client(self._settings)

    @staticmethod
    def problems(settings: SsmSettings, place: Place) -> list[str]:
        """Asked before a deploy: a copy that cannot be written is found now, and not when it is believed."""
        parameter = fill(settings.parameter, {"service": place.service})
        try:
            client = Client(settings)
            client.confirm()
            _read(client, parameter)
        except PortError as error:
            return [f"{error.message}{' ' + error.hint if error.hint else ''}"]
        return []

    def notify(self, event: Event) -> None:
        wanted = self._value(event)
        if wanted is None or _read(self._client, self._parameter) == wanted:
            return
        self._client.write(
            "ssm",
            "put_parameter",
            f"the parameter {self._parameter}",
            Name=self._parameter,
            Value=wanted,
            Type="String",
            Overwrite=True,
        )

    def _value(self, event: Event) -> str | None:
        """None: nothing is live, and nothing is said."""
        colour, version = event.facts.get("active"), event.facts.get("active_version")
        if not colour or not version:
            return None
        match self._settings.value:
            case "colour":
                return str(colour)
            case "version":
                return str(version)
            case "json":
                return json.dumps({"colour": str(colour), "version": str(version)})


def _read(client: Client, parameter: str) -> str | None:
    """None: there is none. `Permanent` if it is none that people can read."""
    try:
        found = client.read("ssm", "get_parameter", f"the parameter {parameter}", Name=parameter)
    except Refusal as refusal:
        if refusal.code == "ParameterNotFound":
            return None
        raise
    return str(found["Parameter"]["Value"])
