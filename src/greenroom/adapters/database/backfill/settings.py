"""How hard a backfill may work, and what makes it wait: `backfill:` within `migrations:`."""

from __future__ import annotations

from pydantic import Field, field_validator

from greenroom.adapters.database.target import dialect_of
from greenroom.adapters.settings import Section
from greenroom.errors import UsageError
from greenroom.units import Seconds, Share


class BackfillSettings(Section):
    batch_time: Seconds = Field(
        default=0.05,
        gt=0,
        le=5,
        description="How long one batch should take. Batches grow and shrink towards it; users wait at most about that long"
        " for a row that a batch has changed.",
    )
    max_batch: int = Field(default=10_000, ge=1, le=1_000_000, description="Rows that a batch never exceeds.")
    share: Share = Field(
        default=1.0,
        gt=0,
        le=1,
        description="The share of the time in which batches run; the rest is pauses between them."
        " 100% pauses for the brakes below only.",
    )
    replicas: list[str] = Field(
        default_factory=list,
        description="Addresses of replicas, which must not fall behind. Greenroom reads its own progress there, so they"
        " hold the same database. One that cannot be read makes the backfill wait.",
    )
    max_lag: Seconds = Field(
        default=5.0, gt=0, description="How far replicas may be behind; further, the backfill waits."
    )
    max_load: int = Field(
        default=0,
        ge=0,
        description="Waits while more sessions than this are at work on the server. 0: their number is not asked for.",
    )
    sweeps: int = Field(
        default=3,
        ge=1,
        le=20,
        description="How often the whole table is gone through, at most, until no row is left that differs.",
    )
    tries: int = Field(
        default=60,
        ge=1,
        description="How often one batch is tried when rows are held by others, with growing pauses of up to 2 s between.",
    )

    @field_validator("replicas")
    @classmethod
    def _known(cls, urls: list[str]) -> list[str]:
        for url in urls:
            try:
                dialect_of(url)
            except UsageError as error:
                raise ValueError(f"holds what is no address of a database; {error.hint}") from None
        return urls
