"""The keys `shift` and `first`: how much of the traffic, when, and whose."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from greenroom.domain.plan import Step
from greenroom.units import duration, percent, show_duration

_STEP = re.compile(r"(?P<share>\S+(?:\s*%)?)(?:\s+for\s+(?P<hold>.+?)|\s+until\s+(?P<until>\S+))?", re.ASCII)
_LINE = re.compile(r"(?P<share>\S+(?:\s*%)?)\s+every\s+(?P<hold>.+)", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HOW = "write it like `5% for 2m`, `50% until approved` or `100%`"


def step(value: Any) -> Step:
    """`5% for 2m`, `50% until approved`, `100%`."""
    if isinstance(value, Step):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value} has no unit: write `{value}%`, or `{value}% for 5m`")
    match = _STEP.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"is no step; {_HOW}")
    number = percent(match["share"])
    if number != int(number) or number < 0:
        raise ValueError(f"{match['share']}: a step is a whole percent, up to 100%")
    if match["until"] not in (None, "approved"):
        raise ValueError(f"`until {match['until']}` is not known; {_HOW}")
    hold = duration(match["hold"]) if match["hold"] else 0.0
    return Step(int(number), hold, match["until"] is not None)


def steps(value: Any) -> Any:
    """A list of steps, one step, or a line of equal ones: `10% every 2m`."""
    line = _LINE.fullmatch(value.strip()) if isinstance(value, str) else None
    if line is not None:
        each = percent(line["share"])
        if each != int(each) or not 1 <= each <= 100:
            raise ValueError(f"{line['share']}: a step is a whole percent from 1% to 100%")
        hold = duration(line["hold"])
        return [*(Step(share, hold) for share in range(int(each), 100, int(each))), Step(100)]
    return [value] if isinstance(value, str | int | float | Step) else value


def ascending(steps: list[Step]) -> list[Step]:
    """The same; `ValueError` unless they rise, end with all of the traffic, and each says for how long."""
    if not steps:
        raise ValueError("is empty; leave it out, or write `[100%]`, to switch all traffic at once")
    shares = [s.percent for s in steps]
    for before, after in pairwise(shares):
        if after <= before:
            raise ValueError(f"must ascend, but {after}% comes after {before}%")
    last = steps[-1]
    if last.percent != 100:
        raise ValueError(f"ends with {last.percent}%; the last step must be 100%")
    if last.hold or last.approval:
        what = show_duration(last.hold) if last.hold else "approval"
        raise ValueError(f"the last step cannot wait for {what}; how long it is watched then is `bake:`")
    for one in steps[:-1]:
        if not one.hold and not one.approval:
            raise ValueError(f"{one.percent}% must say for how long: `{one.percent}% for 5m`")
    return steps


class First(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    header: str = Field(description="The header of their requests, such as `x-staff`. It is no secret and no login.")
    value: str = Field(default="", description="The value that it must have; any, if left out.")

    @field_validator("header")
    @classmethod
    def _token(cls, header: str) -> str:
        if not _TOKEN.fullmatch(header):
            raise ValueError(f"{header!r} is no name of a header")
        return header.lower()

    @field_validator("value")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isprintable() or len(value) > 200 or '"' in value:
            raise ValueError("is one line of at most 200 characters, without quotes")
        return value
