"""The keys of `greenroom.yaml` that are Greenroom's own. A section's keys belong to the adapter of its `type`."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from greenroom.config.analysis import Analysis, rules_of
from greenroom.config.steps import First, ascending, step, steps
from greenroom.domain.plan import Rule, Step
from greenroom.units import Seconds

NOT_BUILT: dict[str, frozenset[str]] = {
    "key": frozenset(),
    "environment": frozenset({"asg", "kubernetes"}),
    "router": frozenset({"alb", "route53", "kubernetes", "gateway"}),
}
"""Promised names that this version does not know yet: refused by name, never ignored."""

DEFAULT_RULES = (Rule("error_rate", max=0.10), Rule("error_rate", max_ratio=3.0))
"""Without `analysis:`. Loose enough for any application, tight enough for a broken one."""


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
    gates: list[dict[str, Any]] = Field(
        default=[],
        description="May the release go on? Asked of the source, of what is made of it, before the traffic or under it.",
    )
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
        BeforeValidator(steps),
    ] = Field(
        default=[Step(100)],
        description="The candidate's share of users' traffic, step by step, up to 100%. `10% every 2m`: equal steps.",
        json_schema_extra={"default": ["100%"]},
    )
    first: First | None = Field(
        default=None, description="Whose requests go to the candidate from the first step on, whatever its share."
    )
    shield: bool = Field(
        default=False,
        description="While both versions run, a safe request that fails on the candidate is asked again of the baseline.",
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
    keep_failed: Seconds = Field(
        default=900.0,
        description="How long a candidate that was rolled back stays, without traffic, for a person to look at.",
    )
    notify: list[dict[str, Any]] = Field(default=[], description="Who is told what happened.")
    migrations: dict[str, Any] | None = Field(
        default=None,
        description=(
            "The database that both colours share: where its migrations are, in three stages (expand, backfill, contract), "
            "and how it is reached."
        ),
    )
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
        return ascending(steps)

    @model_validator(mode="after")
    def _somebody_goes_first(self) -> Self:
        if self.shift[0].percent == 0 and self.first is None:
            raise ValueError("a step of 0% reaches nobody; say by `first: {header: x-staff}` who goes first")
        return self

    @property
    def rules(self) -> tuple[Rule, ...]:
        return DEFAULT_RULES if self.analysis is None else rules_of(self.analysis)
