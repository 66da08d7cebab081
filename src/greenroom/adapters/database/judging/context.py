"""What a statement is judged by: the stage is not enough. Plain values, filled by whoever asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from greenroom.adapters.database.reading import Statement
from greenroom.adapters.database.schemas import USUAL, SearchPath
from greenroom.adapters.database.shadow.facts import Facts
from greenroom.domain.schema import Dialect


@dataclass(frozen=True, slots=True)
class Schema:
    """What was there before the release, as statements that make it: of `--schema`, of `pg_dump -s`, or our own."""

    statements: Sequence[Statement] = ()


@dataclass(frozen=True, slots=True)
class Size:
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Context:
    """`running`: the version that serves users meanwhile, "" if not known. `schema`: None if not known.

    `applied`: statements that ran before, in order, and are not in `schema`. `facts`: of the rehearsal, by the statement's
    number. `created`: what this release's expand has made, as `created()` gives it: `users`, `users.preference`, `index i`,
    `function f`, `trigger t` … `sizes`: by table. `uses`: by table or `table.column`, evidence that the running version
    uses it, in words that follow "uses it: ". `path`: where names without a schema are sought; all other names are as
    `SearchPath.short` makes them.
    """

    dialect: Dialect
    running: str = ""
    schema: Schema | None = None
    applied: Sequence[Statement] = ()
    facts: Mapping[int, Facts] = field(default_factory=dict)
    created: frozenset[str] = frozenset()
    sizes: Mapping[str, Size] = field(default_factory=dict)
    uses: Mapping[str, str] = field(default_factory=dict)
    path: SearchPath = USUAL
