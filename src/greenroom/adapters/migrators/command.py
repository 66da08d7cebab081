"""Any tool, by three commands: `migrations: {type: command, print: …, apply: …, verify: …}`.

`print` writes the SQL that is still to be done to its standard output, nothing where nothing is; `apply` does it; `verify`
exits with 0 once it is done. `{stage}`, `{artefact}` and `{version}` are filled in.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, field_validator

from greenroom.adapters.migrators.commands import Commands, Failed
from greenroom.adapters.migrators.tool import Step, ToolMigrator, ToolSettings, bare
from greenroom.domain.schema import Stage
from greenroom.domain.template import fill


class CommandSettings(ToolSettings):
    print: str = Field(min_length=1, description="Writes the SQL of the stage that is still to be done.")
    apply: str = Field(
        min_length=1, description="Does it. PostgreSQL's clients wait for locks no longer than `lock_timeout`."
    )
    verify: str = Field(min_length=1, description="Exits with 0 if nothing of the stage is left to do.")
    stages: tuple[Stage, ...] = Field(default=(Stage.EXPAND, Stage.CONTRACT), description="Those that the tool knows.")

    _bare = field_validator("print", "apply", "verify")(bare)


class CommandTool:
    """`tool.Tool`."""

    def __init__(self, settings: CommandSettings, commands: Commands) -> None:
        self.settings, self.commands = settings, commands

    def pending(self, stages: Sequence[Stage]) -> dict[Stage, list[Step]]:
        found: dict[Stage, list[Step]] = {}
        for stage in stages:
            found[stage] = []
            if stage in self.settings.stages:
                sql = self._run(self.settings.print, stage)
                if sql.strip():
                    name = "-".join(filter(None, (self.commands.environment["GREENROOM_RELEASE"], str(stage))))
                    found[stage].append(Step(name, sql, own=True, whole=True))
        return found

    def apply(self, step: Step, stage: Stage) -> None:
        gently = self.commands.gently(0.0 if "CONCURRENTLY" in step.sql.upper() else self.settings.lock_timeout)
        self._run(self.settings.apply, stage, gently, loud=True)
        try:
            self._run(self.settings.verify, stage)
        except Failed as error:
            raise Failed(f"the tool has ended, and it is not done: {error.message}", error.output) from error

    def mark(self, steps: Sequence[Step], stage: Stage) -> None:
        """It has done it itself."""

    def _run(self, command: str, stage: Stage, more: dict[str, str] | None = None, loud: bool = False) -> str:
        known = self.commands.environment
        values = {
            "stage": str(stage),
            "artefact": shlex.quote(known["GREENROOM_ARTEFACT"]),
            "version": shlex.quote(known["GREENROOM_VERSION"]),
        }
        given = {"GREENROOM_STAGE": str(stage), **(more or {})}
        return self.commands.run(fill(command, values), more=given, loud=loud)


class CommandMigrator(ToolMigrator):
    Settings: ClassVar[type[CommandSettings]] = CommandSettings
    PROGRAM = "greenroom.adapters.migrators.command"

    @classmethod
    def tool_of(cls, settings: ToolSettings, commands: Commands) -> CommandTool:
        assert isinstance(settings, CommandSettings)
        return CommandTool(settings, commands)


if __name__ == "__main__":
    from greenroom.adapters.migrators.carrying import main

    sys.exit(main(CommandMigrator))
