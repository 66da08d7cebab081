"""`environment:` of `type: process`: what runs, as it is written in the file. Artefact and environment read it both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from greenroom.adapters.settings import (
    Command,
    Env,
    HealthSettings,
    Section,
    Signal,
    known_names,
    read_definition,
    routed_of,
)
from greenroom.domain.model import Document
from greenroom.units import Seconds


class StopSettings(Section):
    signal: Signal = Field(default="SIGTERM", description="Asks the process to end; `sh -c` with its children.")
    timeout: Seconds = Field(default=10.0, description="Then SIGKILL for its whole process group.")


class ProcessSettings(Section):
    command: Command = Field(
        description="Run without a shell where it is simple, else by `sh -c`. `{port}` and the like are filled in."
    )
    replicas: int = Field(
        default=1, ge=1, le=100, description="How many of them per colour, each on a port of its own."
    )
    runs: Literal["always", "active"] = Field(
        default="always", description="`active`: only where the traffic is; the old one ends before the new one starts."
    )
    health: HealthSettings = Field(default=HealthSettings(), description="When it is ready.")
    stop: StopSettings = Field(default=StopSettings(), description="How it is ended.")
    env: Env = Field(default={}, description="Variables, beside those of all processes.")
    directory: str = Field(default=".", description="Where it runs, inside the source.")
    user: str = Field(default="", description="As whom it runs (needs root).")

    @model_validator(mode="after")
    def _known(self) -> ProcessSettings:
        if self.directory.startswith("/") or ".." in self.directory.split("/"):
            raise ValueError("`directory` must be inside the source")
        return self


class EnvironmentSettings(Section):
    UNFILLED: ClassVar[frozenset[str]] = frozenset({"env", "processes", "prepare"})
    """Here `${NAME}` stays as it is written: values are filled in at the start of each process."""

    source: str = Field(default=".", description="The folder that is copied per release.")
    exclude: tuple[str, ...] = Field(
        default=(),
        description="What is not copied: names or paths, `*` allowed. Version control, caches, virtual environments and "
        "Greenroom's own folder never are.",
    )
    prepare: tuple[str, ...] = Field(
        default=(), description="Shell commands, run once in the copy; `${NAME}` by the shell."
    )
    processes: dict[str, ProcessSettings] = Field(min_length=1, description="By name; `web` gets the traffic.")
    env: Env = Field(
        default={},
        description="Variables of all processes and of `prepare`; of the shell only PATH, HOME and the like.",
    )

    @model_validator(mode="after")
    def _names(self) -> EnvironmentSettings:
        known_names(self.processes)
        return self

    @property
    def routed(self) -> str | None:
        """The process that gets the traffic: `web`, else the only one that runs always; None if that is unclear."""
        return routed_of(self.processes)


def of_definition(definition: Document, secrets: Mapping[str, str]) -> EnvironmentSettings:
    """The settings that a release was made with. `Permanent` if this Greenroom cannot read them any more."""
    return read_definition(EnvironmentSettings, definition, secrets)
