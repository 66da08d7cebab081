"""`journal:` in the file: where a service's record and lock are. Each kind has its `Settings` and opens its journal."""

from __future__ import annotations

from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from greenroom.adapters.aws.access import Access
from greenroom.ports import Journal, Place

READ_EVERY = 1.0
"""Seconds between two looks into a journal that is far away: what a person asks for on another machine waits so long."""


class Kind(Protocol):
    """What an entry point of `greenroom.journals` names."""

    Settings: type[BaseModel]

    @staticmethod
    def at(settings: BaseModel, place: Place, *, create: bool) -> Journal:
        """Open it, making it where it is missing and `create` is true. Raises `JournalUnusable` in its several kinds."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SqliteSettings(_Settings):
    pass


class HostSettings(_Settings):
    host: str = Field(default="", description="The host that keeps it. Default: the first one of the router.")


class PostgresSettings(_Settings):
    url: str = Field(min_length=1, description="`postgresql://user:password@host/database`; best as `${JOURNAL_URL}`.")


class DynamoDbSettings(Access):
    table: str = Field(
        default="greenroom",
        pattern=r"^[a-zA-Z0-9_.-]{3,255}$",
        description="Its name. Services of one account may share it.",
    )
    create: bool = Field(
        default=False,
        description="Make the table where it is missing, at the first deploy: paid by request, with point-in-time recovery.",
    )


class InSqlite:
    """In the state folder of this machine: the default."""

    Settings = SqliteSettings

    @staticmethod
    def at(settings: SqliteSettings, place: Place, *, create: bool) -> Journal:
        from greenroom.adapters.journals.sqlite import SqliteJournal

        return SqliteJournal(place.state / "journal.db", service=place.service, create=create)


class OnHost:
    """In the service's folder on one of its hosts, with the traffic."""

    Settings = HostSettings

    @staticmethod
    def at(settings: HostSettings, place: Place, *, create: bool) -> Journal:
        from greenroom.adapters.journals.host import HostJournal

        assert place.host is not None
        return HostJournal(place.host, f"{place.state}/journal", service=place.service, create=create)


class InPostgres:
    """In a database that several machines share."""

    Settings = PostgresSettings

    @staticmethod
    def at(settings: PostgresSettings, place: Place, *, create: bool) -> Journal:
        from greenroom.adapters.journals.postgres import PostgresJournal

        return PostgresJournal(settings.url, service=place.service, create=create)


class InDynamoDb:
    """In an AWS account, with the traffic.

    `variables`: what the names of those begin with by which it is reached; the resident engine needs them too.
    """

    variables = ("AWS_",)
    Settings = DynamoDbSettings

    @staticmethod
    def at(settings: DynamoDbSettings, place: Place, *, create: bool) -> Journal:
        from greenroom.adapters.journals.dynamodb import DynamoDbJournal
        from greenroom.adapters.journals.near import NearJournal

        far = DynamoDbJournal(
            settings, settings.table, service=place.service, create=create, make_table=settings.create
        )
        return NearJournal(far, READ_EVERY)
