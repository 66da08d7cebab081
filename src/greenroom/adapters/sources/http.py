"""The source `http`: one number out of the JSON of an address."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import quote

from pydantic import Field, field_validator

from greenroom.adapters.checks.assertions import steps_of, value_at
from greenroom.adapters.sources.asking import (
    Server,
    ask,
    document_of,
    filled,
    number,
    refusal,
    settings_address,
    tells_apart,
    unknown_names,
    where,
)
from greenroom.errors import Permanent
from greenroom.ports import About, Place

_NO_DATA = 204


class HttpSettings(Server):
    url: str = Field(
        description="What to ask, with GET; `{colour}`, `{version}`, `{release}`, `{service}`, `{window}`, `{metric}` and "
        "`{query}` are filled in."
    )
    value: str = Field(
        default="value", description="Where the number stands in the answer: `data.p99`, `items[0].rate`, `$` for all."
    )

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        settings_address(url)
        if wrong := unknown_names(url):
            raise ValueError(wrong)
        return url

    @field_validator("value")
    @classmethod
    def _path(cls, path: str) -> str:
        if steps_of(path) is None:
            raise ValueError(f'{path[:80]!r} is no path; write it like `data.p99`, `items[0].rate` or `["a.b"].c`')
        return path

    def blind(self, query: str) -> bool:
        """Whether it asks the same for both colours."""
        return not tells_apart(self.url) and not ("{query}" in self.url and tells_apart(query))


class HttpSource:
    """`ports.Source`. null, NaN and 204 are no data; a path that leads nowhere is an error."""

    Settings: ClassVar[type[HttpSettings]] = HttpSettings

    def __init__(self, settings: HttpSettings, place: Place) -> None:
        self._settings, self._place = settings, place

    def value(self, about: About) -> float | None:
        url = filled(self._settings.url, about, lambda value: quote(value, safe=""))
        answer = ask(self._settings, self._place, url, Accept="application/json")
        if answer.status == _NO_DATA:
            return None
        if (refused := refusal(url, answer)) is not None:
            raise refused
        document = document_of(url, answer)
        path = self._settings.value
        found, value = value_at(document, steps_of(path) or ())
        if not found:
            names = ", ".join(list(map(str, document))[:10]) if isinstance(document, dict) else type(document).__name__
            raise Permanent(f"the answer of {where(url)} has no {path}", hint=f"it has: {names}")
        return number(value, path)
