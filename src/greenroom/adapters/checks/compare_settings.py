"""What the check `compare` is told: what is asked of both versions, and what may differ."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from greenroom.adapters.checks.assertions import steps_of
from greenroom.adapters.checks.expectations import BothAsked, headers_of
from greenroom.adapters.checks.steps import path_of


class Replace(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    matches: str = Field(min_length=1, description="A regular expression: what differs on purpose.")
    instead: str = Field(default="…", alias="with", description="What is put in its place before both are compared.")

    @field_validator("matches")
    @classmethod
    def _expression(cls, text: str) -> str:
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return text

    @model_validator(mode="after")
    def _groups(self) -> Self:
        try:
            re.compile(self.matches).sub(self.instead, "")
        except (re.error, IndexError) as error:
            raise ValueError(f"`with` cannot be put in its place: {error}") from None
        return self


class Compared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(description="Asked at both versions.")
    method: Literal["GET", "HEAD", "OPTIONS"] = Field(
        default="GET", description="The method; only those that change nothing."
    )
    headers: dict[str, str] = Field(default={}, description="Headers to send.")

    @field_validator("path")
    @classmethod
    def _path(cls, path: str) -> str:
        return path_of(path)

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, str]) -> dict[str, str]:
        return headers_of(headers)


class CompareSettings(BothAsked):
    paths: list[str | Compared] = Field(
        default=[], max_length=500, description="What is asked of both: `/`, or `{path: /, method: HEAD}`."
    )
    file: Path | None = Field(
        default=None,
        description="A file of flows, as the check `http` has: its GET requests that need nothing of an earlier answer.",
    )
    compare_headers: list[str] = Field(
        default=["content-type", "cache-control", "location", "set-cookie"],
        description="Headers of the answers that must be alike; of `set-cookie` the names only.",
    )
    ignore: list[str] = Field(
        default=[], description="Paths of JSON values that may differ: `generated_at`, `items[*].id`."
    )
    replace: list[Replace] = Field(default=[], description="What differs on purpose in texts: dates, tokens, versions.")
    allow_different: Annotated[int, Field(ge=0)] = Field(
        default=0, description="How many of the requests may be answered differently; they are shown all the same."
    )

    @field_validator("paths")
    @classmethod
    def _at_both(cls, paths: list[str | Compared]) -> list[str | Compared]:
        for path in paths:
            if isinstance(path, str):
                path_of(path)
        return paths

    @field_validator("ignore")
    @classmethod
    def _json_paths(cls, ignore: list[str]) -> list[str]:
        for path in ignore:
            if steps_of(path.replace("[*]", "[0]")) is None:
                raise ValueError(f'{path!r} is no path; write it like `items[*].price` or `["a.b"].c`')
        return ignore

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.paths and self.file is None:
            raise ValueError("needs `paths:` or `file:`, what is to be compared")
        return self
