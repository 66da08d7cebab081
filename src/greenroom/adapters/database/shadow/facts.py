"""What a rehearsal saw of one statement. Pure values; `judging.facts` says what follows from them.

Names are as PostgreSQL has them, without quotes; the schema where new tables land is left out, others are named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KEEPS_OUT: Mapping[str, str] = {
    "ACCESS EXCLUSIVE": "reads and writes",
    "EXCLUSIVE": "writes",
    "SHARE ROW EXCLUSIVE": "writes",
    "SHARE": "writes",
    "SHARE UPDATE EXCLUSIVE": "",
    "ROW EXCLUSIVE": "",
    "ROW SHARE": "",
    "ACCESS SHARE": "",
}
"""By mode: what an application cannot do with the table meanwhile. The last four let it work."""


@dataclass(frozen=True, slots=True)
class Lock:
    """One that the statement held at its end, of a relation that was there before it. `kind`: table, index, view …"""

    relation: str
    mode: str
    kind: str = "table"

    @property
    def keeps_out(self) -> str:
        return KEEPS_OUT.get(self.mode, "")

    def __str__(self) -> str:
        return f"{self.mode} on {self.relation}: keeps {f'out {self.keeps_out}' if self.keeps_out else 'nobody out'}"


@dataclass(frozen=True, slots=True)
class Difference:
    """One object of the catalogue that is another now; what is None was not there. `table`: which it belongs to, or "".

    `kind`: schema, table, column, index, constraint, trigger, rule, function, view, sequence, type, policy, privilege,
    extension, event trigger, publication or other. `before`, `after`: what is known of it, by name.
    """

    kind: str
    name: str
    table: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None

    @property
    def added(self) -> bool:
        return self.before is None

    @property
    def removed(self) -> bool:
        return self.after is None

    def changed(self, fact: str) -> bool:
        """Both there, and `fact` of it differs."""
        return self.before is not None and self.after is not None and self.before.get(fact) != self.after.get(fact)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the server, or we before it, would not run the statement. `line`, `column`: in the file, from 1."""

    message: str
    sqlstate: str = ""
    line: int = 0
    column: int = 0
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Of the statement `number` of its file.

    `rewrites`: tables whose rows were all written anew; `rebuilt`: indexes that were; `scans`: tables that were read;
    `writes`: tables that it may put rows into; `changes`: whose rows it may change or delete; all of them only of what was
    there before. `autocommit`: it cannot run in a transaction. `skipped`: why it was not run (an earlier one failed, a
    role is missing), in which case nothing else is known of it. `took`: seconds, on empty tables.
    """

    number: int
    locks: tuple[Lock, ...] = ()
    differences: tuple[Difference, ...] = ()
    rewrites: tuple[str, ...] = ()
    rebuilt: tuple[str, ...] = ()
    scans: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    error: Failure | None = None
    skipped: str = ""
    autocommit: bool = False
    took: float = field(default=0.0, compare=False)

    @property
    def seen(self) -> bool:
        """It ran to its end."""
        return self.error is None and not self.skipped

    def of(self, kind: str) -> tuple[Difference, ...]:
        return tuple(difference for difference in self.differences if difference.kind == kind)
