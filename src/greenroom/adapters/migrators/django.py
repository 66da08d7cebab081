"""Django's migrations: `migrations: {type: django, url: "${DATABASE_URL}"}`.

A migration's stage is the end of its name (`0007_new_preference_expand`, `…_backfill`, `…_contract`) or what the file says;
without either it is an expand. Django shows its SQL (`sqlmigrate`), and is told that a step is done (`migrate --fake`).
RunPython cannot be shown.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field, field_validator

from greenroom.adapters.database.target import dialect_of
from greenroom.adapters.migrators.commands import Commands
from greenroom.adapters.migrators.shown import control, rewritten
from greenroom.adapters.migrators.tool import Step, ToolMigrator, ToolSettings, bare
from greenroom.domain.schema import Stage
from greenroom.errors import Permanent

_MARK = "greenroom looks: "
_CASCADE = re.compile(r'((?:ALTER TABLE "[^"]+" DROP COLUMN|DROP TABLE) "[^"]+") CASCADE')
"""Django writes it whenever something goes."""
_LOOK = f"""
import io, json
from django.core.management import call_command
from django.db import connections
from django.db.migrations import RunPython, SeparateDatabaseAndState
from django.db.migrations.loader import MigrationLoader

def pythons(operations):
    for one in operations:
        if isinstance(one, SeparateDatabaseAndState):
            yield from pythons(one.database_operations)
        elif isinstance(one, RunPython) and one.code is not RunPython.noop:
            yield getattr(one.code, "__name__", "a function")

def look(alias):
    loader = MigrationLoader(connections[alias])
    found = {{}}
    for leaf in sorted(loader.graph.leaf_nodes()):
        for key in loader.graph.forwards_plan(leaf):
            if key in loader.applied_migrations or key in found:
                continue
            migration, out, error = loader.graph.nodes[key], io.StringIO(), ""
            try:
                call_command("sqlmigrate", *key, database=alias, stdout=out, no_color=True)
            except Exception as caught:
                error = f"{{type(caught).__name__}}: {{caught}}"
            parents = [parent.key for parent in loader.graph.node_map[key].parents]
            needs = [".".join(parent) for parent in parents if parent not in loader.applied_migrations]
            found[key] = {{
                "app": key[0], "name": key[1], "sql": out.getvalue(), "error": error, "needs": needs,
                "python": list(pythons(migration.operations)), "atomic": migration.atomic,
            }}
    return list(found.values())

print({_MARK!r} + json.dumps(look(__import__("os").environ["GREENROOM_DATABASE"])))
"""
"""Carried out in the project by `manage.py shell`: one start of Django, not one for each migration."""


class DjangoSettings(ToolSettings):
    command: str = Field(
        default="python manage.py", min_length=1, description="How the project's management commands are called."
    )
    database: str = Field(default="default", description="The alias of the database in the project's settings.")
    stages: dict[str, Stage] = Field(
        default_factory=dict,
        description="By migration (`shop.0007_new_preference`), its stage, where its name does not end in one. What has"
        " neither is an expand.",
    )

    _bare = field_validator("command")(bare)


class Django:
    """`tool.Tool`."""

    def __init__(self, settings: DjangoSettings, commands: Commands) -> None:
        self.settings, self.commands = settings, commands

    def pending(self, stages: Sequence[Stage]) -> dict[Stage, list[Step]]:
        steps = [self._step(one) for one in self._look()]
        return {stage: [step for step in steps if self.stage(step.name) is stage] for stage in Stage if stage in stages}

    def stage(self, name: str) -> Stage:
        """Of `app.name`."""
        if name in self.settings.stages:
            return self.settings.stages[name]
        return next((stage for stage in Stage if name.endswith(f"_{stage}")), Stage.EXPAND)

    def apply(self, step: Step, stage: Stage) -> None:
        """In Django's own transaction, which waits for no lock for long."""
        gently = self.commands.gently(self.settings.lock_timeout if step.whole else 0.0)
        command = f"{self.settings.command} migrate {_where(step)} --noinput --no-color"
        self.commands.run(self._on(command), more=gently, loud=True)

    def mark(self, steps: Sequence[Step], stage: Stage) -> None:
        """The last of each app: all before it are done."""
        for step in {step.name.partition(".")[0]: step for step in steps}.values():
            self.commands.run(self._on(f"{self.settings.command} migrate {_where(step)} --fake --noinput --no-color"))

    def _on(self, command: str) -> str:
        return f"{command} --database {shlex.quote(self.settings.database)}"

    def _look(self) -> list[dict[str, Any]]:
        given = {"GREENROOM_LOOK": _LOOK, "GREENROOM_DATABASE": self.settings.database}
        command = f"""{self.settings.command} shell -c 'exec(__import__("os").environ["GREENROOM_LOOK"])'"""
        out = self.commands.run(command, more=given)
        for line in out.splitlines():
            if line.startswith(_MARK):
                found: list[dict[str, Any]] = json.loads(line.removeprefix(_MARK))
                return found
        raise Permanent(f"`{command}` printed no migrations.", hint="See that migrations.command calls manage.py.")

    def _step(self, one: dict[str, Any]) -> Step:
        opaque = ""
        if one["python"]:
            opaque = f"it runs Python ({', '.join(one['python'])})"
        elif one["error"]:
            opaque = f"Django cannot show it as SQL ({one['error']})"

        def kept(sql: str) -> str:
            if control(sql):
                return ""
            named = None if opaque else _CASCADE.fullmatch(sql)  # carried out by us, it takes what it names and no more
            return named[1] if named else sql

        sql = rewritten(one["sql"], dialect_of(self.settings.url), kept).strip() + "\n"
        return Step(f"{one['app']}.{one['name']}", sql, opaque, frozenset(one["needs"]), whole=bool(one["atomic"]))


def _where(step: Step) -> str:
    app, _, name = step.name.partition(".")
    return f"{shlex.quote(app)} {shlex.quote(name)}"


class DjangoMigrator(ToolMigrator):
    Settings: ClassVar[type[DjangoSettings]] = DjangoSettings
    PROGRAM = "greenroom.adapters.migrators.django"

    @classmethod
    def tool_of(cls, settings: ToolSettings, commands: Commands) -> Django:
        assert isinstance(settings, DjangoSettings)
        return Django(settings, commands)


if __name__ == "__main__":
    from greenroom.adapters.migrators.carrying import main

    sys.exit(main(DjangoMigrator))
