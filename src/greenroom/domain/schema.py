"""Changes of the shared database: what a release brings along, and how each statement of it is ruled. Pure values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any


class Stage(StrEnum):
    """Expand adds what the new version needs, backfill fills it, contract removes what nobody needs any more."""

    EXPAND = "expand"
    BACKFILL = "backfill"
    CONTRACT = "contract"


class Dialect(StrEnum):
    POSTGRES = "postgres"
    MYSQL = "mysql"
    SQLITE = "sqlite"


class Ruling(StrEnum):
    """Of one statement in its stage; of many, the worst."""

    ALLOW = "allow"
    WARN = "warn"
    REFUSE = "refuse"

    @classmethod
    def worst(cls, rulings: list[Ruling]) -> Ruling:
        order = list(cls)
        return max(rulings, key=order.index, default=cls.ALLOW)


@dataclass(frozen=True, slots=True)
class Script:
    """One file of a migration. `file`: as people call it, relative to the folder of `greenroom.yaml`."""

    file: str
    text: str

    @property
    def checksum(self) -> str:
        """In hexadecimal; line ends count as one character, so that a checkout on another system is the same."""
        return sha256(self.text.replace("\r\n", "\n").encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Migration:
    """Migrations are carried out in the order of their names; where they are not `ordered`, in the order given."""

    name: str
    scripts: Mapping[Stage, Script]
    ordered: bool = True

    @property
    def checksum(self) -> str:
        parts = (f"{stage}:{script.checksum}" for stage, script in sorted(self.scripts.items()))
        return sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Ruled:
    """One statement and what is said of it. `line`: where it begins in its file, from 1. `rule`: a stable identifier.

    `reason`: in terms of the running version, where one is known. `instead`: the safer way to write it, "" for none.
    `locks`: taken while it runs, as `ACCESS EXCLUSIVE on users`, with what that keeps out. `rows`, `bytes`: of the
    biggest table it works on, None if not known. `seconds`: how long it may take, None if nothing suggests a time.
    `override`: the name and reason by which somebody lets it run all the same, "" for none.
    """

    file: str
    line: int
    sql: str
    ruling: Ruling
    rule: str = ""
    reason: str = ""
    instead: str = ""
    locks: tuple[str, ...] = ()
    rows: int | None = None
    bytes: int | None = None
    seconds: float | None = None
    override: str = ""

    def document(self) -> dict[str, Any]:
        """As `--json` shows it; what is not known is left out."""
        shown: dict[str, Any] = {
            "file": self.file,
            "line": self.line,
            "sql": self.sql,
            "verdict": str(self.ruling),
            "rule": self.rule,
            "reason": self.reason,
            "instead": self.instead,
        }
        more = {
            "locks": list(self.locks),
            "rows": self.rows,
            "bytes": self.bytes,
            "seconds": self.seconds,
            "override": self.override,
        }
        return shown | {key: value for key, value in more.items() if value not in (None, "", [])}


def report(found: Sequence[Ruled]) -> dict[str, Any]:
    """`--json` of whoever judges: every statement, the worst verdict, and the exit code that says it."""
    worst = Ruling.worst([one.ruling for one in found])
    code = {Ruling.ALLOW: 0, Ruling.WARN: 8, Ruling.REFUSE: 4}[worst]
    return {"statements": _statements(found), "verdict": str(worst), "exit": code}


def _statements(found: Sequence[Ruled]) -> list[dict[str, Any]]:
    """One entry a statement: the worst that is said of it, and `also` the rest."""
    said: dict[tuple[str, int, str], list[Ruled]] = {}
    for one in found:
        said.setdefault((one.file, one.line, one.sql), []).append(one)
    shown = []
    for every in said.values():
        worst = Ruling.worst([one.ruling for one in every])
        first = next(one for one in every if one.ruling is worst)
        also = [_also(one) for one in every if one is not first and one.rule]
        shown.append(first.document() | ({"also": also} if also else {}))
    return shown


def _also(one: Ruled) -> dict[str, Any]:
    told = {"verdict": str(one.ruling), "rule": one.rule, "reason": one.reason, "instead": one.instead}
    return told | ({"override": one.override} if one.override else {})


class Stand(StrEnum):
    """How far one stage of one migration is."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    SOFT = "soft"
    """Of a contract: what goes is out of reach, and can be put back at once."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Of a backfill. `rows` done `of` so many (an estimate until the end); `rate` a second; `left`: seconds."""

    rows: int
    of: int
    rate: float
    left: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One stage of one migration, as the ledger in the database has it. `since`, of `stand`: seconds since 1970."""

    migration: str
    stage: Stage
    stand: Stand
    release: str = ""
    version: str = ""
    by: str = ""
    since: float = 0.0
    detail: str = ""
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class SchemaState:
    """All that the ledger knows of this service, in the order of migrations and stages."""

    parts: tuple[Part, ...] = ()
    unseen: str = ""
    """Why the ledger could not be read; "" where it could."""

    def part(self, migration: str, stage: Stage) -> Part | None:
        return next((p for p in self.parts if p.migration == migration and p.stage is stage), None)


@dataclass(frozen=True, slots=True)
class Order:
    """For whom a stage is advanced. `epoch`: of the lease; the ledger refuses an older one than it has seen.

    `running`: the version that serves users meanwhile (expand, backfill: the baseline; contract: the active one), "" for
    none; `gone`: the version whose environment was retired. `colours`: by colour, the version there, "" where nothing runs.
    `pinned`: by migration, the checksum that it had when the release was asked for; None: nobody wrote that down.
    `artefact`: the folder or digest.
    `overrides`: by `FILE:LINE` or rule, the reason why a refused statement may run. `baked`: the release of `version` has
    succeeded. `closed`: who gave up the way back, "" for nobody.
    """

    service: str
    release: str
    version: str
    by: str
    epoch: int
    now: float
    running: str = ""
    gone: str = ""
    colours: Mapping[str, str] = field(default_factory=dict)
    pinned: Mapping[str, str] | None = None
    artefact: str = ""
    overrides: Mapping[str, str] = field(default_factory=dict)
    baked: bool = False
    closed: str = ""
