"""The keys of `greenroom.yaml` that are Greenroom's own. A section's keys belong to the adapter of its `type`."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from greenroom.domain.plan import Rule, Step
from greenroom.units import Seconds, duration, percent, share, show_duration

NOT_BUILT: dict[str, frozenset[str]] = {
    "key": frozenset({"gates"}),
    "environment": frozenset({"ecs", "asg", "kubernetes", "static"}),
    "router": frozenset({"alb", "route53", "kubernetes", "gateway", "static"}),
    "check": frozenset({"load", "sarif", "approval"}),
    "notifier": frozenset({"slack", "email"}),
}
"""Promised names that this version does not know yet: refused by name, never ignored."""

INSTEAD = {("notifier", "slack"): "`type: webhook` with `format: slack` tells a Slack channel"}
"""What does it until then."""

DEFAULT_RULES = (Rule("error_rate", max=0.10), Rule("error_rate", max_ratio=3.0))
"""Without `analysis:`. Loose enough for any application, tight enough for a broken one."""

_STEP = re.compile(r"(?P<share>\S+(?:\s*%)?)(?:\s+for\s+(?P<hold>.+?)|\s+until\s+(?P<until>\S+))?", re.ASCII)
_HOW = "write it like `5% for 2m`, `50% until approved` or `100%`"
_LATENCY = ("p50", "p90", "p95", "p99")


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
    if number != int(number) or number < 1:
        raise ValueError(f"{match['share']}: a step is a whole percent from 1% to 100%")
    if match["until"] not in (None, "approved"):
        raise ValueError(f"`until {match['until']}` is not known; {_HOW}")
    hold = duration(match["hold"]) if match["hold"] else 0.0
    return Step(int(number), hold, match["until"] is not None)


def _steps(value: Any) -> Any:
    return [value] if isinstance(value, str | int | float | Step) else value


class Compare(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    to: Literal["baseline"] = Field(default="baseline", description="What is compared with: the version before.")
    max_ratio: float = Field(
        ge=1, le=1000, allow_inf_nan=False, description="How many times the baseline's value is too much."
    )


class Analysis(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: Literal["error_rate", "p50", "p90", "p95", "p99"] = Field(
        description="The share of failed requests (5xx, or no answer), or a quantile of the time to answer."
    )
    max: Annotated[Any, WithJsonSchema({"type": "string", "examples": ["1%", "250ms"]})] = Field(
        default=None, description="The limit: a percent for `error_rate`, a duration for a quantile."
    )
    compare: Compare | None = Field(default=None, description="A limit relative to the version before.")
    min_requests: int = Field(default=50, ge=1, le=10**9, description="With fewer requests there is no verdict.")
    no_data: Literal["ignore", "fail", "wait"] = Field(
        default="ignore", description="What too few requests mean at the end of a step, and of the bake."
    )

    @field_validator("max")
    @classmethod
    def _limit(cls, value: Any, info: ValidationInfo) -> float | None:
        metric = info.data.get("metric")
        if value is None or metric is None:
            return None
        if metric == "error_rate":
            return share(value)
        milliseconds = duration(value) * 1000
        if milliseconds <= 0:
            raise ValueError(f"no answer takes 0; write the slowest good {metric}, like 250ms")
        return milliseconds

    @model_validator(mode="after")
    def _some_limit(self) -> Self:
        if self.max is None and self.compare is None:
            example = "`max: 1%`" if self.metric == "error_rate" else "`max: 250ms`"
            raise ValueError(f"has no limit; give it {example} or `compare: {{to: baseline, max_ratio: 1.5}}`")
        return self

    def rule(self) -> Rule:
        ratio = self.compare.max_ratio if self.compare else None
        return Rule(self.metric, self.max, ratio, self.min_requests, self.no_data)


class Allow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(
        min_length=1, max_length=200, description="What may differ: `web.env.FEATURE_X`; `*` is anything."
    )
    why: str = Field(min_length=1, max_length=400, description="The reason, shown wherever it differs.")


class Parity(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    check: bool = Field(
        default=True,
        description="Compare what both environments really run with in every release, before any traffic moves.",
    )
    allow: list[Allow] = Field(default=[], description="What differs on purpose, each with its reason.")


class File(BaseModel):
    """`service` and `state_dir` are judged by `source`, which needs them without this module."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Annotated[Any, WithJsonSchema({"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"})] = (
        Field(description="The name of the service: small letters, digits and dashes.")
    )
    environment: dict[str, Any] = Field(description="What runs. Described once, made twice: blue and green.")
    router: dict[str, Any] = Field(default={}, description="What stands before it and moves the traffic.")
    checks: list[dict[str, Any]] = Field(
        default=[], description="Does the candidate work? Asked through the test route, before any traffic moves."
    )
    shift: Annotated[
        list[
            Annotated[
                Any,
                BeforeValidator(step),
                WithJsonSchema({"type": "string", "examples": ["5% for 2m", "50% until approved", "100%"]}),
            ]
        ],
        BeforeValidator(_steps),
    ] = Field(
        default=[Step(100)],
        description="The candidate's share of users' traffic, step by step, up to 100%.",
        json_schema_extra={"default": ["100%"]},
    )
    analysis: list[Analysis] | None = Field(
        default=None,
        description=(
            "What the candidate must hold under users' traffic, in shift and bake, or it is rolled back. Without it: "
            "at most 10% errors, and at most 3 times those of the baseline. `[]` turns it off."
        ),
    )
    watch: list[dict[str, Any]] = Field(
        default=[], description="Addresses that are asked all the time in shift and bake, with or without users."
    )
    bake: Seconds = Field(
        default=600.0, description="How long both versions stay up after the shift, automatic rollback armed."
    )
    keep_warm: Seconds = Field(
        default=86400.0, description="How long after that the version before stays up, for a rollback by hand."
    )
    notify: list[dict[str, Any]] = Field(default=[], description="Who is told what happened.")
    parity: Parity = Field(
        default=Parity(),
        description="Blue and green must be alike: only colour, version and port may differ. `greenroom parity` shows it.",
    )
    hosts: dict[str, dict[str, Any]] = Field(
        default={},
        description=(
            "Machines that are reached by SSH, by name. `environment.hosts` and `router.hosts` say what is where; "
            "without them, both are on every host. Without `hosts`, all is on this machine."
        ),
    )
    journal: dict[str, Any] = Field(
        default={},
        description="Where the record and the lock of releases are kept. Default: in `state_dir`; with `hosts`, on the "
        "first host of the router.",
    )
    state_dir: Annotated[Any, WithJsonSchema({"type": "string"})] = Field(
        default=None, description="Where Greenroom keeps its state. Default: `.greenroom` beside the file."
    )

    @field_validator("shift")
    @classmethod
    def _ascending(cls, steps: list[Step]) -> list[Step]:
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

    @property
    def rules(self) -> tuple[Rule, ...]:
        return DEFAULT_RULES if self.analysis is None else tuple(rule.rule() for rule in self.analysis)
