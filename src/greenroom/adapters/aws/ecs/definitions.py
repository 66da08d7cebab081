"""Task definitions: read once each, as they never change; and where their containers write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.ecs.services import Raw

NEWEST = 3
"""Revisions of a family among which that of a release is looked for: it was made a moment ago, if at all."""


@dataclass(frozen=True, slots=True)
class Definition:
    """`raw`: as ECS tells it; `tags`: ours and other people's."""

    arn: str
    raw: Raw
    tags: Mapping[str, str]

    def container(self, name: str) -> Raw | None:
        found: list[Raw] = [c for c in self.raw.get("containerDefinitions") or () if c.get("name") == name]
        return found[0] if found else None

    @property
    def containers(self) -> tuple[str, ...]:
        return tuple(str(c.get("name")) for c in self.raw.get("containerDefinitions") or ())


class Definitions:
    """What was read is kept: a revision never changes. Its tags were given with it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, Definition] = {}

    def of(self, name: str) -> Definition:
        """By ARN or `family:revision`."""
        if name not in self._known:
            self._known[name] = self.fresh(name)
        return self._known[name]

    def fresh(self, name: str) -> Definition:
        """By family, too: its newest revision, as it is now."""
        about = f"the task definition {name}"
        said = self._client.read("ecs", "describe_task_definition", about, taskDefinition=name, include=["TAGS"])
        tags = {str(tag["key"]): str(tag.get("value", "")) for tag in said.get("tags") or ()}
        raw: Mapping[str, Any] = said["taskDefinition"]
        return Definition(str(raw["taskDefinitionArn"]), raw, tags)

    def newest(self, family: str) -> list[str]:
        """The ARNs of its last revisions that are not deregistered, the newest first."""
        about = f"the task definitions {family}"
        said = self._client.read(
            "ecs",
            "list_task_definitions",
            about,
            familyPrefix=family,
            status="ACTIVE",
            sort="DESC",
            maxResults=NEWEST,
        )
        found = [str(arn) for arn in said.get("taskDefinitionArns") or ()]
        return sorted(found, key=_revision, reverse=True)[:NEWEST]


def _revision(arn: str) -> int:
    return int(arn.rpartition(":")[2])


@dataclass(frozen=True, slots=True)
class LogGroup:
    """Where a container writes, with the driver `awslogs`."""

    group: str
    region: str
    prefix: str

    @classmethod
    def of(cls, container: Raw) -> LogGroup | None:
        """None: to somewhere that cannot be read from here."""
        logging = container.get("logConfiguration") or {}
        options = logging.get("options") or {}
        if logging.get("logDriver") != "awslogs" or not options.get("awslogs-stream-prefix"):
            return None
        return cls(
            str(options.get("awslogs-group", "")),
            str(options.get("awslogs-region", "")),
            str(options["awslogs-stream-prefix"]),
        )

    def stream(self, container: str, task: str) -> str:
        return f"{self.prefix}/{container}/{task}"
