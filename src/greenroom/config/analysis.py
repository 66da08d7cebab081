"""`analysis:`: what the candidate must hold under users' traffic, and how each entry becomes a `Rule`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from greenroom.domain import expressions
from greenroom.domain.plan import Rule
from greenroom.units import Seconds, Share, duration, share, size

Metric = Literal["error_rate", "request_rate", "p50", "p90", "p95", "p99", "cpu", "memory"]

LATENCY = ("p50", "p90", "p95", "p99")
USED = ("cpu", "memory")

_EXAMPLES = {"error_rate": "1%", "request_rate": "10/s", "cpu": "1.5 cores", "memory": "512MiB"}
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|min|m|h)", re.ASCII)
_CORES = re.compile(r"(\d+(?:\.\d+)?)\s*(cores?|%)", re.ASCII)
_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600}
_LIMIT = WithJsonSchema(
    {"type": ["string", "number"], "examples": ["1%", "250ms", "100/s", "512MiB", "1.5 cores"]}, mode="validation"
)


class Compare(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    to: Literal["baseline"] = Field(default="baseline", description="What is compared with: the version before.")
    max_ratio: float | None = Field(
        default=None,
        ge=1,
        le=1000,
        allow_inf_nan=False,
        description="How many times the baseline's value is too much. Without it, with `confidence`: any difference.",
    )
    confidence: Share | None = Field(
        default=None,
        description="Compare statistically, and fail when it is this sure, over the whole release, that the candidate is "
        "worse than that. Without it, the values alone are compared.",
    )

    @field_validator("confidence")
    @classmethod
    def _sure(cls, value: float | None) -> float | None:
        if value is not None and not 0.8 <= value <= 0.999999:
            raise ValueError("should be from 80% to 99.9999%: 99.9% is a false alarm in a thousand releases")
        return value

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.max_ratio is None and self.confidence is None:
            raise ValueError("says nothing; give it `max_ratio: 1.5`, `confidence: 99.9%` or both")
        return self


class Analysis(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: Metric | None = Field(
        default=None,
        description="The share of failed requests (5xx, or no answer), requests a second, a quantile of the time to "
        "answer, or the processors and the memory that the colour's processes use.",
    )
    query: str | None = Field(
        default=None, min_length=1, max_length=4000, description="What the `source` is asked, in its own language."
    )
    name: str = Field(default="", max_length=80, description="How it is called where it is told. Default: its metric.")
    source: dict[str, Any] | None = Field(
        default=None,
        description="Who is asked: `type: prometheus`, `cloudwatch`, `http`, `command` or `environment`, with that type's "
        "keys. Without it the router's own counters are judged; `cpu` and `memory` are the environment's.",
    )
    max: Annotated[Any, _LIMIT] = Field(
        default=None,
        description="More is too much: a percent for `error_rate`, a duration for a quantile, `100/s`, `512MiB`, "
        "`1.5 cores`; for a query a number or a percent.",
    )
    min: Annotated[Any, _LIMIT] = Field(
        default=None, description="Less is too little: for `request_rate`, `cpu`, `memory` and queries."
    )
    compare: Compare | None = Field(default=None, description="A limit relative to the version before.")
    expression: str = Field(
        default="",
        description="What must hold of a source's values: `candidate < 0.05 and candidate <= 2 * baseline`.",
    )
    critical: bool = Field(
        default=False, description="One look over the limit is enough; without it chance must be ruled out first."
    )
    warm_up: Seconds = Field(
        default=0.0,
        description="How long after its first request a fresh candidate's times to answer do not count. Errors do.",
    )
    min_requests: int = Field(default=50, ge=1, le=10**9, description="With fewer requests there is no verdict.")
    no_data: Literal["ignore", "fail", "wait"] = Field(
        default="ignore", description="What too little data means at the end of a step, and of the bake."
    )
    every: Seconds = Field(default=10.0, ge=1, le=3600, description="How often a `source` is asked.")
    failures: int = Field(
        default=3, ge=1, le=1000, description="So many answers of a `source` in a row over the limit are a failure."
    )

    @field_validator("max", "min")
    @classmethod
    def _limit(cls, value: Any, info: ValidationInfo) -> float | None:
        if value is None or "metric" not in info.data:
            return None
        metric = info.data["metric"]
        if info.field_name == "min" and metric in ("error_rate", *LATENCY):
            raise ValueError(f"nothing is wrong with too little of {metric}; write `max:`")
        return limit(metric or "", value)

    @field_validator("expression")
    @classmethod
    def _readable(cls, value: str) -> str:
        if value and (wrong := expressions.problem(value)):
            raise ValueError(wrong)
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for wrong in (self._asks(), self._limits(), self._fits()):
            if wrong:
                raise ValueError(wrong)
        return self

    def _asks(self) -> str:
        if self.metric is None and self.source is None:
            if self.query is not None:
                return "needs a `source:` that is asked, like `source: {type: prometheus, url: …}`"
            return "needs a `metric:`, or a `query:` with a `source:`"
        if self.query is not None and self.source is None:
            return "the router knows no queries; give it a `source:`, or leave `query` out"
        if self.source is not None and not isinstance(self.source.get("type"), str):
            return "`source` needs a `type:`: prometheus, cloudwatch, http, command or environment"
        if self.source_type == "environment" and self.metric not in USED:
            return "an environment tells `cpu` and `memory` only; the router counts requests (leave `source` out)"
        return ""

    def _limits(self) -> str:
        if self.max is None and self.min is None and self.compare is None and not self.expression:
            example = f"`max: {example_of(self.metric or '')}`"
            if self.metric == "request_rate":
                return "has no limit; give it `min: 10/s` or `max: 1000/s`"
            return f"has no limit; give it {example} or `compare: {{to: baseline, max_ratio: 1.5}}`"
        if self.max is not None and self.min is not None and self.min > self.max:
            return "`min` is more than `max`: nothing could be good"
        if self.expression and self.source is None:
            return "`expression` is for the values of a `source:`; for the router's counters write `max` and `compare`"
        return ""

    def _fits(self) -> str:
        if self.metric == "request_rate" and self.compare:
            return (
                "the split decides how many requests each version gets, so `request_rate` is not compared; write `min`"
            )
        if self.metric in ("error_rate", "request_rate") and self.warm_up:
            return f"`warm_up` is for times to answer; {self.metric} counts from the first request"
        for key in ("every", "failures"):
            if key in self.model_fields_set and not self.source_type:
                return f"`{key}` is for a `source:`; the router's counters are looked at all the time"
        return ""

    @property
    def source_type(self) -> str:
        """Of who is asked; "" for the router's own counters."""
        if self.source is not None:
            return str(self.source.get("type", ""))
        return "environment" if self.metric in USED else ""

    def rule(self, source: str = "") -> Rule:
        compare = self.compare
        return Rule(
            self.metric or "",
            self.max,
            compare.max_ratio if compare else None,
            self.min_requests,
            self.no_data,
            self.min,
            compare.confidence if compare else None,
            self.critical,
            self.warm_up,
            source,
            self.every,
            self.failures,
            self.expression,
            self.query or "",
        )


def names_of(entries: Sequence[Analysis]) -> tuple[str, ...]:
    """By entry, the name under which its source is asked, "" for the router's. No two are the same."""
    found: list[str] = []
    for number, entry in enumerate(entries, 1):
        made = f"{entry.metric} of {entry.source_type}" if entry.metric else f"query {number}"
        name = (entry.name or made) if entry.source_type else ""
        found.append(f"{name} ({number})" if name and name in found else name)
    return tuple(found)


def rules_of(entries: Sequence[Analysis]) -> tuple[Rule, ...]:
    return tuple(entry.rule(name) for entry, name in zip(entries, names_of(entries), strict=True))


def example_of(metric: str) -> str:
    return "250ms" if metric in LATENCY else _EXAMPLES.get(metric, "100")


def limit(metric: str, value: Any) -> float:
    """A limit as people write it, in the unit that `Rule` has for this metric. `ValueError` with the way out."""
    if metric == "error_rate":
        return share(value)
    if metric in LATENCY:
        milliseconds = duration(value) * 1000
        if milliseconds <= 0:
            raise ValueError(f"no answer takes 0; write the slowest good {metric}, like 250ms")
        return milliseconds
    if metric == "memory":
        return float(size(value))
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    text = value.strip() if isinstance(value, str) else ""
    match metric:
        case "request_rate":
            if found := _RATE.fullmatch(text):
                return float(found[1]) / _SECONDS[found[2]]
            raise ValueError(f"{value} has no unit: write {value}/s" if number else "is no rate; write it like 100/s")
        case "cpu":
            if found := _CORES.fullmatch(text):
                return float(found[1]) / (100 if found[2] == "%" else 1)
            if number:
                raise ValueError(f"{value} has no unit: write `{value} cores`, or `{float(value) * 100:g}%` of one")
            raise ValueError("is no amount of processors; write it like `1.5 cores` or `150%`")
    if number:
        return float(value)
    if text.endswith("%"):
        return share(text)
    raise ValueError("is no number; a query's limit is written in what the query gives, like 5 or 5%")
