"""`migrations:` in the file: the database, and how gently it is treated; where the migrations are, if files of SQL."""

from __future__ import annotations

from pydantic import Field, field_validator

from greenroom.adapters.database.backfill.settings import BackfillSettings
from greenroom.adapters.database.contracting.settings import ContractSettings
from greenroom.adapters.database.running.pace import Pace
from greenroom.adapters.database.target import dialect_of
from greenroom.errors import UsageError
from greenroom.units import Seconds, Size


class DatabaseSettings(ContractSettings):
    url: str = Field(
        min_length=1,
        description="The database that both colours use, best as `${DATABASE_URL}`: `postgresql://user:password@host/name`,"
        " `mysql://…` or `sqlite:///path`. Its role owns the tables, or belongs to the role that does. The server"
        " itself, not a pool of connections before it.",
    )
    shadow: str = Field(
        default="",
        description="A server of the same kind and major version where databases may be made: each migration is rehearsed"
        " there on a copy of the schema, without rows, before it runs. Without it, statements are only read. SQLite needs"
        " none.",
    )
    lock_timeout: Seconds = Field(
        default=0.2,
        gt=0,
        le=10,
        description="How long a statement waits for its locks at most, since whoever comes after it waits behind it. Shorter"
        " at first; each attempt begins anew.",
    )
    tries: int = Field(
        default=15,
        ge=1,
        le=1000,
        description="How often a statement is tried that does not get its locks, with growing pauses of up to 10 s. Then"
        " whoever is in the way is named.",
    )
    statement_timeout: Seconds = Field(
        default=0.0,
        description="How long one statement may take, with its locks. 0: as long as it takes. It does not count for"
        " the batches of a backfill.",
    )
    large: Size = Field(
        default=10_000_000_000, description="Statements that work on a table of this size or more are warned about."
    )
    probes: list[str] = Field(
        default_factory=list,
        description="Queries of your own, asked before an expand: each row that one answers is a reason not to begin.",
    )
    backfill: BackfillSettings = Field(
        default_factory=BackfillSettings, description="How hard a backfill may work, and what makes it wait."
    )

    @field_validator("url")
    @classmethod
    def _known(cls, url: str) -> str:
        try:
            dialect_of(url)
        except UsageError as error:
            raise ValueError(f"is no address of a database that Greenroom knows; {error.hint}") from None
        return url

    @property
    def pace(self) -> Pace:
        return Pace(self.lock_timeout, self.tries, self.statement_timeout)


class SqlSettings(DatabaseSettings):
    folder: str = Field(
        default="migrations",
        min_length=1,
        description="Where the migrations are: a folder each, with `expand.sql`, `backfill.sql` or `.yaml`, `contract.sql`."
        " They run in the order of their names.",
    )
