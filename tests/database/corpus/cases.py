"""The corpus: changes of a schema, each with what it does to the version that runs meanwhile. Read from YAML.

A case is `harmful` where the running version fails, waits, reads something else or loses data, or where the change
itself cannot end well; `hazards` are the facts of it, and a test observes every one of them on a real server. The words
and the SQL are our own; the ideas are from the rules of squawk, strong_migrations, django-migration-linter and atlas
(`from`), and from what happened to us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from greenroom.domain.schema import Dialect, Stage

HERE = Path(__file__).parent
SOFT = frozenset({"answers", "replans", "slows", "surprises", "unguards"})
"""Hazards that a person may take: a warning is enough."""
KEYS = frozenset(
    ["name", "stage", "schema", "applied", "sql", "old", "new", "label", "accept", "known", "hazards", "why", "from"]
)


@dataclass(frozen=True, slots=True)
class Case:
    """`schema`: made beside the base, before. `applied`: what the same release ran before, as its expand for a contract.

    `old`, `new`: more statements of the running version and of the one that comes, by name. `accept`: `warn` where a
    warning is enough. `known`: `sql` where the change itself tells; `probe` or `gate` where only the running version's
    statements do, which is for the probes and the contract gate to find out.
    """

    name: str
    dialect: Dialect
    stage: Stage
    sql: tuple[str, ...]
    label: str
    why: str
    source: str = ""
    schema: tuple[str, ...] = ()
    applied: tuple[str, ...] = ()
    old: Mapping[str, str] = field(default_factory=dict)
    new: Mapping[str, str] = field(default_factory=dict)
    hazards: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    accept: str = "refuse"
    known: str = "sql"

    @property
    def harmful(self) -> bool:
        return self.label == "harmful"

    @property
    def text(self) -> str:
        """As a file holds it."""
        return "".join(f"{statement.rstrip().rstrip(';')};\n" for statement in self.sql)


@dataclass(frozen=True, slots=True)
class Application:
    """What a version does, by name: `statements` of the running one, `after` of the one that serves when a contract runs."""

    statements: Mapping[str, str]
    after: Mapping[str, str]
    guards: Mapping[str, str]
    quick: tuple[str, ...] = ()

    def serving(self, stage: Stage) -> Mapping[str, str]:
        return self.after if stage is Stage.CONTRACT else self.statements


def base(dialect: Dialect) -> str:
    return (HERE / dialect / "base.sql").read_text(encoding="utf-8")


@cache
def application(dialect: Dialect) -> Application:
    read = yaml.safe_load((HERE / dialect / "application.yaml").read_text(encoding="utf-8"))
    statements: dict[str, str] = read["statements"]
    after = {name: sql for name, sql in (statements | read.get("next", {})).items() if sql}
    return Application(statements, after, read.get("guards", {}), tuple(read.get("quick", ())))


@cache
def cases(dialect: Dialect) -> tuple[Case, ...]:
    files = sorted(path for path in (HERE / dialect).glob("*.yaml") if path.name != "application.yaml")
    return tuple(_case(dialect, read) for path in files for read in yaml.safe_load(path.read_text(encoding="utf-8")))


def _case(dialect: Dialect, read: dict[str, Any]) -> Case:
    assert set(read) <= KEYS, f"{read.get('name')}: unknown {sorted(set(read) - KEYS)}"
    return Case(
        name=read["name"],
        dialect=dialect,
        stage=Stage(read["stage"]),
        sql=_several(read["sql"]),
        label=read["label"],
        why=read["why"],
        source=read.get("from", ""),
        schema=_several(read.get("schema", ())),
        applied=_several(read.get("applied", ())),
        old=read.get("old", {}),
        new=read.get("new", {}),
        hazards={name: _several(found) for name, found in read.get("hazards", {}).items()},
        accept=read.get("accept", "refuse"),
        known=read.get("known", "sql"),
    )


def _several(read: Any) -> tuple[str, ...]:
    return (read,) if isinstance(read, str) else tuple(read)
