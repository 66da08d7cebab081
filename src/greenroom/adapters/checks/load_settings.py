"""The settings of the check `load`: everything with its unit, and nothing without a bound."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from greenroom.adapters.load.schedule import Schedule, Stretch
from greenroom.units import Seconds, Share, duration, show_duration

FASTEST = 20_000.0
"""Requests a second: more than one generator sends."""
LONGEST = 1800.0
_PER = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|min|m|h)", re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = frozenset({"content-length", "transfer-encoding"})
_BODY = 1_000_000
_MANY = 50
_CLASS = re.compile(r"[1-5]xx")


def rate(value: Any) -> float:
    """Requests a second of `200/s`, `12000/m`, `3600/h`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value} has no unit: write {value}/s for requests a second, or {value}/m")
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError(f"{value!r} is no rate: write it like 200/s or 12000/m")
    found = float(match.group(1)) / _PER[match.group(2)]
    if not 0 < found <= FASTEST:
        raise ValueError(f"{value!r} is out of bounds: more than 0, and at most {FASTEST:,.0f}/s")
    return found


def show_rate(value: float) -> str:
    """`200/s`; `30/m` where that is plainer."""
    if value < 1 and not math.isclose(value, round(value, 2), rel_tol=1e-9):
        return f"{value * 60:g}/m"
    return f"{value:g}/s"


def ramp(value: Any) -> float | tuple[tuple[float, float], ...]:
    """`5s`, or `[[100/s, 10s], [500/s, 20s]]`."""
    if not isinstance(value, list | tuple):
        return duration(value)
    stages = []
    for stage in value:
        if not isinstance(stage, list | tuple) or len(stage) != 2:
            raise ValueError("is a time (`5s`), or a list of rates with times: [[100/s, 10s], [500/s, 20s]]")
        stages.append((rate(stage[0]), duration(stage[1])))
    if not stages:
        raise ValueError("the list is empty: leave `ramp` out, or write [[100/s, 10s]]")
    return tuple(stages)


def status_range(value: Any) -> tuple[int, int]:
    """`200` or `2xx`, as the range that it means."""
    if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
        return value, value
    if isinstance(value, str) and _CLASS.fullmatch(value):
        return int(value[0]) * 100, int(value[0]) * 100 + 99
    raise ValueError(f"{value!r} is no status: write 200, or 2xx for all that begin with 2")


def _statuses(value: Any) -> tuple[int | str, ...]:
    found = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not found:
        raise ValueError("the list is empty: then no answer would be good")
    for one in found:
        status_range(one)
    return found


def _some(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("0 is no limit that anything can keep: write it like 250ms, or leave it out")
    return seconds


_TEXT_RATE = {"type": "string", "pattern": r"^\d+(\.\d+)?\s*/\s*(s|m|min|h)$", "examples": ["200/s", "12000/m"]}
_TEXT_TIME = {"type": "string", "examples": ["5s"]}
_STAGE = {"type": "array", "prefixItems": [_TEXT_RATE, _TEXT_TIME], "minItems": 2, "maxItems": 2}
_ONE_STATUS = [{"type": "integer", "minimum": 100, "maximum": 599}, {"type": "string", "pattern": "^[1-5]xx$"}]

Rate = Annotated[float, BeforeValidator(rate), WithJsonSchema(_TEXT_RATE)]
Ramp = Annotated[
    float | tuple[tuple[float, float], ...],
    BeforeValidator(ramp),
    WithJsonSchema({"anyOf": [_TEXT_TIME, {"const": 0}, {"type": "array", "items": _STAGE, "minItems": 1}]}),
]
Statuses = Annotated[
    tuple[int | str, ...],
    BeforeValidator(_statuses),
    WithJsonSchema({"anyOf": [*_ONE_STATUS, {"type": "array", "items": {"anyOf": _ONE_STATUS}, "minItems": 1}]}),
]
_Limit = Annotated[Seconds, AfterValidator(_some)]


class LoadRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(default="/", description="Asked at the candidate, through the test route.")
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = Field(
        default="GET", description="The method of the request."
    )
    headers: dict[str, str] = Field(default={}, description="Headers to send.")
    body: str | None = Field(default=None, max_length=_BODY, description="The body to send.")
    weight: int = Field(default=1, ge=1, le=1000, description="Its share in the mix: 3 is sent thrice as often as 1.")

    @field_validator("path")
    @classmethod
    def _path(cls, path: str) -> str:
        if not path.startswith("/"):
            raise ValueError(f"the path {path[:100]!r} must begin with `/`")
        return path

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header")
            if name.lower() in _OURS:
                raise ValueError(f"{name} follows from the body: leave it out")
            if any(c in value for c in "\r\n\0"):
                raise ValueError(f"the value of {name} has a line break; a header is one line")
        return headers


class LoadTls(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    verify: bool = Field(default=True, description="Whether the certificate must be trusted and be for this name.")
    ca: Path | None = Field(default=None, description="A file of authorities to trust instead of the system's.")
    name: str | None = Field(
        default=None, description="The name that the certificate is for, if it is not the address's own."
    )


class LoadSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", description="What it is called in output and journal; `load` if absent.")
    rate: Rate | None = Field(
        default=None,
        description="Requests that are sent, whatever becomes of the ones before: `200/s`, `12000/m`. At most 20,000/s. "
        "May be left out where `ramp` is a list: then it is the list's last rate.",
    )
    duration: Seconds = Field(default=20.0, ge=0, description="How long the full rate is held, after the ramp.")
    ramp: Ramp = Field(
        default=0,
        description="What comes before: the time from 0 to the full rate (`5s`), or a list of rates, each with the time "
        "in which it is reached evenly: `[[100/s, 10s], [500/s, 20s]]`. With `duration`, at most 30m.",
    )
    requests: tuple[LoadRequest, ...] = Field(
        default=(LoadRequest(),), min_length=1, max_length=_MANY, description="A mix of requests; `GET /` if absent."
    )
    timeout: Seconds = Field(default=5.0, gt=0, le=60, description="After this a request is given up and has failed.")
    connections: int | None = Field(
        default=None,
        ge=1,
        le=5000,
        description="The most that are open at once. If absent, what can be needed (`rate` × `timeout`), at most 1000.",
    )
    status: Statuses = Field(
        default=("2xx", "3xx"), description="The statuses that are good: `200`, `2xx`, or a list of them."
    )
    max_p50: _Limit | None = Field(default=None, description="The median of the latency may be this.")
    max_p90: _Limit | None = Field(default=None, description="90% of the latencies must not be longer.")
    max_p95: _Limit | None = Field(default=None, description="95% of the latencies must not be longer.")
    max_p99: _Limit | None = Field(default=None, description="99% of the latencies must not be longer.")
    max_time: _Limit | None = Field(default=None, description="No latency may be longer.")
    max_error_rate: Share = Field(
        default=0, description="The share of the requests that may fail: `0.1%`. If absent, none may."
    )
    max_send_delay: Seconds = Field(
        default=0.005,
        gt=0,
        description="How late the requests may be sent, at the 99th percentile; later, the check proves nothing and is "
        "`unknown`. Raise it on a busy machine whose limits are far longer than this.",
    )
    tls: LoadTls = Field(default=LoadTls(), description="What is asked of the certificate, for `https`.")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.rate is None and not isinstance(self.ramp, tuple):
            raise ValueError("needs `rate:`, like `rate: 200/s`")
        if self.schedule.seconds > LONGEST:
            raise ValueError(f"lasts {show_duration(self.schedule.seconds)} with its ramp; 30m is the most")
        if self.schedule.requests < 1:
            raise ValueError("sends nothing: `duration` and `ramp` are 0; write `duration: 20s`")
        return self

    @property
    def full(self) -> float:
        """The rate after the ramp."""
        return self.rate or (self.ramp[-1][0] if isinstance(self.ramp, tuple) else 0.0)

    @property
    def schedule(self) -> Schedule:
        stages = self.ramp if isinstance(self.ramp, tuple) else ((self.full, self.ramp),)
        stretches, before = [], 0.0
        for reached, seconds in stages:
            stretches.append(Stretch(before, reached, seconds))
            before = reached
        return Schedule([*stretches, Stretch(self.full, self.full, self.duration)])

    @property
    def good(self) -> tuple[tuple[int, int], ...]:
        return tuple(status_range(one) for one in self.status)

    @property
    def most_connections(self) -> int:
        fastest = max(max(stretch.begin, stretch.end) for stretch in self.schedule.stretches)
        return self.connections or min(1000, max(10, math.ceil(fastest * self.timeout)))

    @property
    def limits(self) -> dict[str, float]:
        """Of the latency, by quantile; `max` for the longest."""
        found = {"p50": self.max_p50, "p90": self.max_p90, "p95": self.max_p95, "p99": self.max_p99}
        return {name: limit for name, limit in {**found, "max": self.max_time}.items() if limit is not None}
