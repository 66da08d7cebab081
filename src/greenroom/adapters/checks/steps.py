"""Flows: several requests, one after the other, with cookies kept and values taken from one answer for the next."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from greenroom.adapters.checks.assertions import steps_of
from greenroom.adapters.checks.expectations import LONGEST, Asked, Text, Wanted, headers_of
from greenroom.units import Seconds

GIVEN = frozenset({"version", "release", "colour", "service", "idle_url", "live_url", "host", "artefact"})
"""Names that Greenroom fills itself."""
PATIENCE = 10.0
"""Seconds for all of a flow, where nothing else is said."""
_NAME = re.compile(r"[a-z_]{1,40}")
_USED = re.compile(r"(?<!\$)\{([a-z_]+)\}")
_KINDS = ("json", "header", "matches", "cookie")


@dataclass(frozen=True, slots=True)
class Extract:
    """Where a value is taken from: `json:data.token`, `header:Location`, `matches:csrf=(.*?)&`, `cookie:sid`."""

    kind: str
    what: str

    @classmethod
    def of(cls, text: str) -> Extract:
        """`ValueError` with the way out."""
        kind, colon, what = text.partition(":")
        if not colon or kind not in _KINDS or not what.strip():
            raise ValueError(
                f"{text[:60]!r} is no place to take a value from; "
                "write `json:data.token`, `header:Location`, `matches:csrf=(.*?)&` or `cookie:sid`"
            )
        what = what.strip()
        if kind == "matches":
            what = what[1:-1] if len(what) > 1 and what[0] == what[-1] == "'" else what
            if _groups(what) > 1:
                raise ValueError("`matches:` has more than one group; write the others as `(?:…)`")
        if kind == "json" and steps_of(what) is None:
            raise ValueError(f'{what!r} is no path; write it like `items[0].price` or `["a.b"].c`')
        return cls(kind, what)


def _groups(expression: str) -> int:
    try:
        return re.compile(expression).groups
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is no regular expression: {error}") from None


class Request(Wanted):
    """A request with a path: at whatever version is asked."""

    path: str = Field(description="Asked at the version in question: `/login`. `{name}` is filled in.")

    @field_validator("path")
    @classmethod
    def _at_the_version(cls, path: str) -> str:
        return path_of(path)


def path_of(path: str) -> str:
    if not path.startswith(("/", "{")) or path.startswith("{idle_url}"):
        raise ValueError(f"the path {path[:120]!r} must begin with `/`")
    if any(c in path for c in "\r\n\0"):
        raise ValueError("the path has a line break")
    return path


class StepSettings(Request):
    extract: dict[str, str] = Field(
        default={},
        description=(
            "Values to take from the answer, for `{name}` in later steps: `json:data.token`, `header:Location`, "
            '`matches:name="csrf" value="(.*?)"`, `cookie:sid`. They are never shown.'
        ),
    )

    @field_validator("extract")
    @classmethod
    def _known(cls, extract: dict[str, str]) -> dict[str, str]:
        for name, text in extract.items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name[:40]!r} is no name for a value: small letters and `_` only")
            if name in GIVEN:
                raise ValueError(f"{{{name}}} is given by Greenroom; use another name")
            Extract.of(text)
        return extract

    @property
    def extracts(self) -> Mapping[str, Extract]:
        return {name: Extract.of(text) for name, text in self.extract.items()}

    @property
    def title(self) -> str:
        return self.name or f"{self.method} {self.path}"


Steps = Annotated[list[StepSettings], Field(min_length=1, max_length=50)]


class FlowSettings(BaseModel):
    """Steps that belong together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", description="What it is called in output and journal.")
    steps: Steps = Field(description="Requests, one after the other; the first that fails ends it.")
    headers: dict[str, str] = Field(default={}, description="Headers to send with each step.")
    timeout: Seconds = Field(
        default=PATIENCE, gt=0, le=LONGEST, description="After this the flow is given up. At most 30s."
    )

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, str]) -> dict[str, str]:
        return headers_of(headers)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        in_order(self.steps)
        return self


def names_of_values(values: dict[str, str]) -> dict[str, str]:
    for name in values:
        if not _NAME.fullmatch(name) or name in GIVEN:
            raise ValueError(f"{name[:40]!r} cannot be a value's name: small letters and `_`, and none of Greenroom's")
    return values


_SINGLE = frozenset(Wanted.model_fields) - {"name", "headers", "timeout"}


class HttpSettings(Asked):
    path: str | None = Field(default=None, description="Asked at the candidate, through the test route: `/health`.")
    url: str | None = Field(
        default=None, description="A whole address, instead of `path`; `{idle_url}` is the candidate's."
    )
    steps: Steps | None = Field(
        default=None,
        description=(
            "Instead of `path`: several requests to the candidate, one after the other, with cookies kept between them. "
            "`timeout` is then for all of them together, 10s if absent."
        ),
    )
    file: Path | None = Field(
        default=None, description="Instead of `path`: a YAML file with a list of flows (`name`, `steps`) and requests."
    )
    values: dict[str, Text] = Field(
        default={}, description="More that fills `{name}` in `steps` and `file`: `{password: ${TEST_PASSWORD}}`."
    )
    retries: int = Field(default=0, ge=0, le=100, description="How often it is asked again before a failure counts.")
    retry_delay: Seconds = Field(default=1.0, description="The time between two tries.")

    @field_validator("values")
    @classmethod
    def _names(cls, values: dict[str, str]) -> dict[str, str]:
        return names_of_values(values)

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        given = [key for key in ("path", "url", "steps", "file") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError("needs one of `path:`, `steps:`, `file:` (at the candidate) or `url:` (anywhere)")
        if self.path is not None and not self.path.startswith("/"):
            raise ValueError(f"the path {self.path[:120]!r} must begin with `/`")
        if self.url is not None and not self.url.startswith(("http://", "https://", "{idle_url}")):
            raise ValueError("the url must begin with `http://`, `https://` or `{idle_url}`")
        many = self.steps is not None or self.file is not None
        if many and (alone := sorted(self.model_fields_set & _SINGLE)):
            key = type(self).model_fields[alone[0]].alias or alone[0]
            raise ValueError(f"`{key}` belongs to a single request; write it in the step")
        if self.values and not many:
            raise ValueError("`values` fill `steps` and `file`, and there are none")
        in_order(self.steps or ())
        if self.steps and (problem := unfilled(self.steps, self.values)):
            raise ValueError(problem)
        return self

    @property
    def whole(self) -> float:
        """Seconds for all steps of a flow."""
        return self.timeout if "timeout" in self.model_fields_set else PATIENCE


def in_order(steps: Iterable[StepSettings]) -> None:
    """No step uses what a later one extracts. `ValueError`."""
    steps = list(steps)
    at: dict[str, int] = {}
    for number, step in enumerate(steps, 1):
        for name in step.extract:
            at.setdefault(name, number)
    for number, step in enumerate(steps, 1):
        for name in sorted(set(used(step.model_dump(exclude={"extract"})))):
            if at.get(name, 0) >= number:
                raise ValueError(f"step {number} uses {{{name}}}, which is extracted in step {at[name]} only")


def unfilled(requests: Iterable[Wanted], known: Iterable[str]) -> str:
    """Which name in an address, a header or a form nothing fills, "" for none. Bodies may hold braces of their own."""
    names = GIVEN.union(known)
    for request in requests:
        for name in used(request.model_dump(include={"path", "headers", "form"})):
            if name not in names:
                near = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.6)
                way = f"did you mean {{{near[0]}}}?" if near else f"give it in `values: {{{name}: …}}`, or extract it"
                return f"{{{name}}} is filled by nothing; {way}"
        names = names.union(getattr(request, "extract", ()))
    return ""


def used(value: Any) -> Iterator[str]:
    """Names in braces, anywhere in it."""
    if isinstance(value, str):
        yield from _USED.findall(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from used(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from used(item)
