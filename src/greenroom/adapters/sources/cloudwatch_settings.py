"""What the source `cloudwatch` is told in the file: whose metrics, over which period, and how long they are late."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from greenroom.adapters.aws.access import Access
from greenroom.adapters.sources.asking import tells_apart, unknown_names
from greenroom.units import Seconds, show_duration

PERIODS = (1, 5, 10, 20, 30, 60, 120, 180, 240, 300, 360, 600, 720, 900, 1200, 1800, 3600)
"""Seconds of a period that CloudWatch knows and that an hour is a multiple of, so that all clocks cut it alike."""

BY_NAME = ("request_rate", "error_rate", "p50", "p90", "p95", "p99")
LONGEST_QUERY = 2048

ANSWER = "greenroom_answer"
"""The id of what a query comes to."""

_ID = re.compile(r"[a-z][A-Za-z0-9_]{0,254}", re.ASCII)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_STAT = re.compile(
    r"SampleCount|Average|Sum|Minimum|Maximum|IQM|(p|tm|wm|tc|ts)(100|\d{1,2}(\.\d{1,10})?)|(TM|WM|TC|TS|PR)\([0-9.%]*:[0-9.%]*\)",
    re.ASCII,
)
_ARN = re.compile(r"arn:[a-z-]+:elasticloadbalancing:[^:]*:[^:]*:(?:loadbalancer/)?(?P<dimension>.+)")
_MOST_DIMENSIONS = 30


def _filled(text: str) -> str:
    if not text.strip() or len(text) > 1024 or not text.isprintable():
        raise ValueError("is a text on one line, of at most 1024 characters, and not empty")
    if wrong := unknown_names(text):
        raise ValueError(wrong)
    return text


class ByColour(BaseModel):
    """What differs between the colours by more than a name: the end of a target group's ARN, for example."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    blue: Annotated[str, AfterValidator(_filled)] = Field(description="The value for blue.")
    green: Annotated[str, AfterValidator(_filled)] = Field(description="The value for green.")

    @model_validator(mode="after")
    def _apart(self) -> ByColour:
        if self.blue == self.green:
            raise ValueError("is the same for blue and green; write it once, if it is meant so")
        return self


Value = Annotated[str, AfterValidator(_filled)] | ByColour


def _dimensions(dimensions: dict[str, Value]) -> dict[str, Value]:
    if len(dimensions) > _MOST_DIMENSIONS:
        raise ValueError(f"CloudWatch knows at most {_MOST_DIMENSIONS} dimensions of a metric")
    for name in dimensions:
        if not name.strip() or len(name) > 255 or name.startswith(":"):
            raise ValueError(f"{name[:80]!r} is no name of a dimension")
    return dimensions


def _statistic(text: str) -> str:
    if not _STAT.fullmatch(text):
        raise ValueError(
            f"{text[:80]!r} is no statistic; there is Sum, Average, Minimum, Maximum, SampleCount, p99, tm95, PR(:0.5) …"
        )
    return text


Dimensions = Annotated[dict[str, Value], AfterValidator(_dimensions)]


class Series(BaseModel):
    """One metric that a query speaks of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str = Field(min_length=1, max_length=255, description="Its name: `HTTPCode_Target_4XX_Count`.")
    stat: Annotated[str, AfterValidator(_statistic)] = Field(
        default="Sum", description="The statistic over a period: `Sum`, `Average`, `p99`, `tm95`, `PR(:0.5)` …"
    )
    namespace: str = Field(default="", max_length=255, description="Default: the source's.")
    dimensions: Dimensions | None = Field(default=None, description="Default: the source's.")
    unit: str = Field(default="", max_length=40, description="Count only what was reported in it. Default: whatever.")


class CloudwatchSettings(Access):
    namespace: str = Field(
        default="AWS/ApplicationELB", min_length=1, max_length=255, description="Where the metrics are kept."
    )
    dimensions: Dimensions = Field(
        default={},
        description="Which metrics are a colour's: dimensions with their values, all of those under which CloudWatch keeps "
        "the metric. `{colour}`, `{version}`, `{release}` and `{service}` are filled in; a value may also be given for "
        "each colour: `TargetGroup: {blue: …, green: …}`. Load balancers and target groups may be ARNs.",
    )
    requests: str = Field(
        default="RequestCount",
        min_length=1,
        max_length=255,
        description="The metric whose sum is the requests, for `request_rate` and `error_rate`.",
    )
    errors: list[str] = Field(
        default=["HTTPCode_Target_5XX_Count", "TargetConnectionErrorCount"],
        min_length=1,
        max_length=20,
        description="The metrics whose sums together are the failed requests. A period without them, but with requests, "
        "has none.",
    )
    latency: str = Field(
        default="TargetResponseTime",
        min_length=1,
        max_length=255,
        description="The metric of times, for `p50` to `p99`.",
    )
    latency_unit: Annotated[str, Field(pattern="^(s|ms)$")] = Field(
        default="s", description="What it is measured in: `s`, or `ms`."
    )
    series: dict[str, Series] = Field(
        default={},
        max_length=100,
        description="The metrics that a `query:` (metric math) speaks of, by the names that it has for them: lower-case "
        "first, then letters, digits and `_`.",
    )
    period: Seconds = Field(
        default=60.0,
        description="The shortest period that is asked for: `1m`, or what divides an hour; less only for metrics that are "
        "stored so finely (`10s`, `30s`). Write the rule's `every:` no shorter, or it sees the same period again.",
    )
    delay: Seconds = Field(
        default=120.0,
        le=3600,
        description="How late data may come: only periods that ended so long ago are asked for, for they are complete.",
    )

    @field_validator("series")
    @classmethod
    def _ids(cls, series: dict[str, Series]) -> dict[str, Series]:
        for name in series:
            if not _ID.fullmatch(name) or name == ANSWER:
                raise ValueError(f"{name[:80]!r} cannot name a series: lower-case first, then letters, digits and `_`")
        return series

    @field_validator("period")
    @classmethod
    def _known(cls, period: float) -> float:
        if period not in PERIODS:
            raise ValueError(f"is no period of CloudWatch's; there is {', '.join(map(show_duration, PERIODS))}")
        return period

    def refuses(self, metric: str, query: str) -> str:
        """Why this is no question for it, with the way out; "" if it may be one."""
        word = query.strip()
        if len(word) > LONGEST_QUERY:
            return f"the query is longer than the {LONGEST_QUERY} characters that CloudWatch takes; make it shorter"
        if query:
            known = not _WORD.fullmatch(word) or word in self.series
            return (
                ""
                if known
                else f"there is no series `{word[:80]}` in `series`; there is: {', '.join(self.series) or 'none'}"
            )
        if metric not in BY_NAME:
            return f"cloudwatch has no metric `{metric}`; write a `query:`, with `series:`"
        if not distinguish(self.dimensions):
            problem = "tells the colours not apart" if self.dimensions else "is needed"
            way = "give a value for each colour, `TargetGroup: {blue: …, green: …}`, or write {colour} into one"
            return f"`dimensions` of the source {problem}: {way}"
        return ""

    def blind(self, query: str) -> bool:
        """Whether it asks the same for both colours."""
        if not query:
            return not distinguish(self.dimensions)
        return not tells_apart(query) and not any(distinguish(self.dimensions_of(s)) for s in self.used(query).values())

    def used(self, query: str) -> Mapping[str, Series]:
        """The series that a query speaks of; `METRICS()` is all of them."""
        words = set(_WORD.findall(query))
        return {name: series for name, series in self.series.items() if name in words or "METRICS" in words}

    def dimensions_of(self, series: Series) -> Mapping[str, Value]:
        return self.dimensions if series.dimensions is None else series.dimensions


def distinguish(dimensions: Mapping[str, Value]) -> bool:
    """Whether they are others for the candidate than for the baseline."""
    return any(isinstance(value, ByColour) or tells_apart(value) for value in dimensions.values())


def dimension_of(text: str) -> str:
    """What CloudWatch calls a load balancer or target group of this ARN; any other text as it is."""
    found = _ARN.fullmatch(text)
    return found["dimension"] if found else text
