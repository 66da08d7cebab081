"""Alembic's migrations: `migrations: {type: alembic, url: "${DATABASE_URL}"}`.

Stages are branches with the labels `expand`, `backfill` and `contract`, or revisions that the file names. Alembic prints
the SQL without a database (`upgrade a:b --sql`); what it prints of its own table is left out, and written by itself
(`stamp`) once the step is done.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator

from greenroom.adapters.database.target import dialect_of
from greenroom.adapters.migrators.commands import Commands, Failed
from greenroom.adapters.migrators.shown import control, headed, rewritten
from greenroom.adapters.migrators.tool import Step, ToolMigrator, ToolSettings, bare
from greenroom.domain.schema import Stage
from greenroom.errors import Permanent

_LABELS = {stage: f"{stage}@head" for stage in Stage}
_RUNNING = re.compile(r"-- Running upgrade (?:.* )?-> (\S+)")
_ONLINE = re.compile(r"\b(get_bind|is_offline_mode|as_sql|Session|sessionmaker|op\.run_async)\b|\.connection\b")
"""Words of a revision's Python by which it works on the database itself, beside the SQL that it shows."""


class AlembicSettings(ToolSettings):
    command: str = Field(default="alembic", min_length=1, description="How Alembic is called, with its own options.")
    stages: dict[Stage, str] = Field(
        default_factory=lambda: dict(_LABELS),
        description="By stage, up to where: `LABEL@head` of a branch, or a revision. What is not named has no such stage;"
        " a label that no revision has, neither.",
    )
    version_table: str = Field(default="alembic_version", description="As `env.py` names it, without its schema.")

    _bare = field_validator("command")(bare)


@dataclass(frozen=True, slots=True)
class Revision:
    name: str
    before: tuple[str, ...]
    depends: tuple[str, ...]
    labels: frozenset[str]
    path: str


class Alembic:
    """`tool.Tool`."""

    def __init__(self, settings: AlembicSettings, commands: Commands) -> None:
        self.settings, self.commands = settings, commands

    def pending(self, stages: Sequence[Stage]) -> dict[Stage, list[Step]]:
        history = self._history
        words = [line.split()[0] for line in self._alembic("current").splitlines() if line.strip()]
        done = frozenset(history.sorted([name for name in words if name in history.revisions]))
        found: dict[Stage, list[Step]] = {}
        earlier = set(done)
        for stage in Stage:  # a revision belongs to the first stage that needs it
            goal = history.target(self.settings.stages.get(stage, ""))
            pending = [name for name in history.sorted([goal] if goal else []) if name not in earlier]
            earlier |= set(pending)
            if stage in stages:
                found[stage] = self._steps(history, pending, done)
        return found

    def apply(self, step: Step, stage: Stage) -> None:
        """In Alembic's own transaction, which waits for no lock for long."""
        concurrently = "CONCURRENTLY" in step.sql.upper()
        gently = self.commands.gently(0.0 if concurrently else self.settings.lock_timeout)
        self.commands.run(f"{self.settings.command} upgrade {shlex.quote(step.name)}", more=gently, loud=True)

    def mark(self, steps: Sequence[Step], stage: Stage) -> None:
        """The last of each branch: all before it are done."""
        inner = {before for step in steps for before in self._history.revisions[step.name].before}
        heads = [step.name for step in steps if step.name not in inner]
        self._alembic(f"stamp {shlex.join(heads)}")

    @cached_property
    def _history(self) -> History:
        return History.read(self._alembic("history -v"))

    def _alembic(self, arguments: str) -> str:
        return self.commands.run(f"{self.settings.command} {arguments}")

    def _steps(self, history: History, pending: Sequence[str], done: frozenset[str]) -> list[Step]:
        if not pending:
            return []
        shown = self._shown(history.revisions[pending[0]], pending[-1])
        steps = []
        for name in pending:
            revision = history.revisions[name]
            needs = frozenset((*revision.before, *map(history.known, revision.depends))) - done
            opaque = self._online(revision)
            sql = shown.get(name)
            if sql is None:
                sql, why = self._alone(revision)
                opaque = why or opaque
            steps.append(Step(name, sql, opaque, needs, whole=True))
        return steps

    def _shown(self, first: Revision, last: str) -> dict[str, str]:
        """All at once; nothing where one of them cannot be shown: then each is asked for."""
        try:
            return self._cut(self._alembic(f"upgrade {_range(first, last)} --sql"))
        except Failed:
            return {}

    def _alone(self, revision: Revision) -> tuple[str, str]:
        try:
            return self._cut(self._alembic(f"upgrade {_range(revision, revision.name)} --sql")).get(
                revision.name, ""
            ), ""
        except Failed as error:
            last = error.output[-1].strip() if error.output else error.message
            return "", f"Alembic cannot show it as SQL ({last})"

    def _cut(self, text: str) -> dict[str, str]:
        """By revision. Of Alembic's own table and transactions nothing is kept."""
        table = rf"(\S+\.)?[`\"]?{re.escape(self.settings.version_table)}\b"
        own = re.compile(rf"(CREATE TABLE|INSERT INTO|UPDATE|DELETE FROM) {table}")

        def kept(sql: str) -> str:
            return "" if control(sql) or own.match(sql) else sql

        dialect = dialect_of(self.settings.url)
        parts = headed(text, dialect, _RUNNING)
        return {name: rewritten(sql, dialect, kept).strip() + "\n" for name, sql in parts.items()}

    def _online(self, revision: Revision) -> str:
        """Python that asks the database itself would show less than it does."""
        path = Path(revision.path)
        try:
            found = _ONLINE.search((self.commands.folder / path).read_text(encoding="utf-8"))
        except OSError:
            return f"its file {revision.path} cannot be read"
        return f"{path.name} works on the database itself ({found.group(0)})" if found else ""


def _range(first: Revision, last: str) -> str:
    return shlex.quote(f"{first.before[0]}:{last}" if first.before else last)


@dataclass(frozen=True, slots=True)
class History:
    """What `alembic history -v` prints: the newest first."""

    revisions: Mapping[str, Revision]

    @classmethod
    def read(cls, text: str) -> History:
        found = {}
        for block in re.split(r"^(?=Rev: )", text, flags=re.MULTILINE):
            head = dict(
                re.findall(r"^(Rev|Parent|Merges|Also depends on|Branch names|Path): (.*)$", block, re.MULTILINE)
            )
            if "Rev" in head:
                name = head["Rev"].split()[0]
                before = _names(head.get("Merges") or head.get("Parent", ""))
                labels = frozenset(_names(head.get("Branch names", "")))
                depends = _names(head.get("Also depends on", ""))
                found[name] = Revision(name, before, depends, labels, head.get("Path", ""))
        return cls(dict(reversed(found.items())))

    def known(self, name: str) -> str:
        """A revision by its name, the beginning of it, or a label: the head of that branch."""
        if name in self.revisions:
            return name
        alike = [one for one in self.revisions if one.startswith(name)]
        if len(alike) == 1:
            return alike[0]
        head = self._head(name.removesuffix("@head"))
        if head is None:
            raise Permanent(f"Alembic knows no revision {name}.", hint="See migrations.stages, and `alembic history`.")
        return head

    def target(self, name: str) -> str | None:
        """None: a branch that has not begun, or no name."""
        if not name:
            return None
        if name.endswith("@head"):
            return self._head(name.removesuffix("@head"))
        return self._only_head() if name in ("head", "heads") else self.known(name)

    def _head(self, label: str) -> str | None:
        of_it = {name for name, one in self.revisions.items() if label in one.labels}
        inner = {before for name in of_it for before in self.revisions[name].before}
        heads = sorted(of_it - inner)
        if len(heads) > 1:
            raise Permanent(f"The branch {label} has several heads: {', '.join(heads)}.", hint="Merge them.")
        return heads[0] if heads else None

    def _only_head(self) -> str | None:
        inner = {before for one in self.revisions.values() for before in one.before}
        heads = sorted(set(self.revisions) - inner)
        if len(heads) > 1:
            raise Permanent(f"There are several heads: {', '.join(heads)}.", hint="Name a revision or LABEL@head.")
        return heads[0] if heads else None

    def sorted(self, names: Sequence[str]) -> list[str]:
        """These and all that come before them, in an order in which they can be done."""
        found: dict[str, None] = {}

        def visit(name: str) -> None:
            if name in found:
                return
            one = self.revisions[name]
            for before in (*one.before, *map(self.known, one.depends)):
                visit(before)
            found[name] = None

        for name in names:
            visit(name)
        return list(found)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in text.split(",")) if name and name != "<base>")


class AlembicMigrator(ToolMigrator):
    Settings: ClassVar[type[AlembicSettings]] = AlembicSettings
    PROGRAM = "greenroom.adapters.migrators.alembic"

    @classmethod
    def tool_of(cls, settings: ToolSettings, commands: Commands) -> Alembic:
        assert isinstance(settings, AlembicSettings)
        return Alembic(settings, commands)


if __name__ == "__main__":
    from greenroom.adapters.migrators.carrying import main

    sys.exit(main(AlembicMigrator))
