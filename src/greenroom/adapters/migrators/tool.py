"""What the migrators of people's own tools have in common: their settings, their steps, and the port.

A tool says by a command what is still to be done, as SQL. That SQL is judged, and carried out like files of SQL are, with
the same care for locks and the same gate before anything goes; then the tool is told that it is done. What cannot be
shown as SQL is refused, unless somebody answers for it: that the tool carries out itself. Nothing here writes to a
tool's ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from pydantic import Field, field_validator

from greenroom.adapters.database.job import Ask, Work
from greenroom.adapters.database.settings import DatabaseSettings
from greenroom.adapters.migrators.base import LedgerMigrator, settled
from greenroom.adapters.migrators.commands import Commands
from greenroom.adapters.settings import Env
from greenroom.adapters.shell import slug
from greenroom.domain.model import Document
from greenroom.domain.opinion import Finding
from greenroom.domain.schema import Order, Ruled, Stage
from greenroom.domain.template import secret_names
from greenroom.ports import Place
from greenroom.units import Seconds


def bare(command: str) -> str:
    """Of a secret, before it is filled in: the list of processes shows what a command is called with."""
    if names := secret_names(command):
        raise ValueError(f"holds ${{{names[0]}}}, which everybody could read in the process list; give it in `env`")
    return command


class ToolSettings(DatabaseSettings):
    UNFILLED: ClassVar[frozenset[str]] = frozenset({"command", "print", "apply", "verify"})
    """Keys in which the loader leaves `${NAME}`."""

    directory: str = Field(
        default=".",
        description="Where the commands run: inside the artefact where that is a folder, else beside the file.",
    )
    env: Env = Field(
        default_factory=dict,
        description="Variables of the commands, beside those of this process; `DATABASE_URL` is the `url` unless it is"
        " given here. Their values never show in the list of processes.",
    )
    timeout: Seconds = Field(default=600.0, gt=0, description="How long one command may take.")
    allow: dict[str, str] = Field(
        default_factory=dict,
        description="By migration, why one that cannot be shown as SQL may run all the same. The ledger keeps the reason.",
    )

    @field_validator("directory")
    @classmethod
    def _inside(cls, directory: str) -> str:
        if directory.startswith("/") or ".." in directory.split("/"):
            raise ValueError("must be inside the artefact")
        return directory

    @field_validator("allow")
    @classmethod
    def _reasons(cls, allow: dict[str, str]) -> dict[str, str]:
        for name, why in allow.items():
            if not why.strip():
                raise ValueError(f"{name} has no reason; say why it may run")
        return allow


@dataclass(frozen=True, slots=True)
class Step:
    """A migration that the tool has still to do. `sql`: as the tool shows it. `opaque`: what of it cannot be shown, "" if
    all is. `needs`: others, still to be done, that come before it. `whole`: the tool would do it in one transaction.
    `own`: the tool carries it out itself, whatever it shows.
    """

    name: str
    sql: str
    opaque: str = ""
    needs: frozenset[str] = frozenset()
    whole: bool = False
    own: bool = False

    @property
    def file(self) -> str:
        """As people call what the tool shows of it."""
        return f"{self.name}.sql"


class Tool(Protocol):
    """One of people's tools, by its commands. `Permanent` with the last lines of its output where one fails."""

    def pending(self, stages: Sequence[Stage]) -> dict[Stage, list[Step]]:
        """What is still to be done, by stage, in the order in which the tool would."""

    def apply(self, step: Step, stage: Stage) -> None:
        """Let the tool carry it out."""

    def mark(self, steps: Sequence[Step], stage: Stage) -> None:
        """Tell the tool that these, which follow each other, are done: we have carried them out."""


class ToolMigrator(LedgerMigrator[ToolSettings]):
    """`ports.Migrator`. `PROGRAM`: the module that works in the background."""

    Settings: ClassVar[type[ToolSettings]] = ToolSettings
    PROGRAM: ClassVar[str]

    def __init__(self, settings: ToolSettings, place: Place) -> None:
        self.settings, self.place = settled(settings, place), place

    @classmethod
    def tool_of(cls, settings: ToolSettings, commands: Commands) -> Tool:
        """The tool that these settings speak of."""
        raise NotImplementedError

    def problems(self) -> list[str]:
        """The tool itself is not asked: it may need what only the artefact has."""
        return self._unusable()

    def pin(self, release: str) -> Mapping[str, str] | None:
        """The migrations are part of the artefact, which never changes."""
        return None

    def judge(self, stages: Sequence[Stage], order: Order, *, quick: bool = False) -> Sequence[Ruled]:
        from greenroom.adapters.migrators.carrying import judged_steps

        tool = self.tool_of(self.settings, Commands.of(self.settings, order, self.folder(order)))
        return judged_steps(tool, stages, order, self._rehearsing(not quick), planning=not quick).ruled

    def advance(self, stage: Stage, order: Order, memo: Document | None) -> Finding:
        ask = Ask(stage, order, str(self.folder(order)), self.settings.directory)
        return self._work(stage, order).advance(ask, self.settings, self.place.file.parent, memo)

    def withdraw(self, stage: Stage, order: Order, memo: Document | None) -> None:
        self._work(stage, order).withdraw()

    def folder(self, order: Order) -> Path:
        artefact = Path(order.artefact) if order.artefact.startswith("/") else None
        return (artefact if artefact and artefact.is_dir() else self.place.file.parent) / self.settings.directory

    def _work(self, stage: Stage, order: Order) -> Work:
        name = f"{slug(order.release)}-{stage}"
        logs = self.place.state / "logs" / "migrations"
        return Work(self.place.state / "migrations" / "work" / name, logs / f"{name}.log", self.PROGRAM)
