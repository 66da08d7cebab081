"""What a statement is judged by: the stage is not enough. Plain values, filled by whoever asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from greenroom.adapters.database.reading import Statement
from greenroom.adapters.database.shadow.facts import Facts
from greenroom.domain.schema import Dialect


@dataclass(frozen=True, slots=True)
class Column:
    type: str
    nullable: bool = True
    default: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """`checks`, by name: the condition, and whether it is validated. `indexes`, by name: whether unique."""

    columns: Mapping[str, Column] = field(default_factory=dict)
    checks: Mapping[str, tuple[str, bool]] = field(default_factory=dict)
    indexes: Mapping[str, bool] = field(default_factory=dict)
    whole: bool = True
    """Every column is listed."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What was there before the release. Names without quotes, as the server folds them; no `public.` before them."""

    tables: Mapping[str, Table] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Size:
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Context:
    """`running`: the version that serves users meanwhile, "" if not known. `schema`: None if not known.

    `applied`: statements that ran before, in order, and are not in `schema`. `facts`: of the rehearsal, by the statement's
    number. `created`: names that this release's expand has created: `table`, `table.column`, or of an index, constraint …
    `sizes`: by table. `uses`: by table or column, evidence that the running version uses it, in words.
    """

    dialect: Dialect
    running: str = ""
    schema: Schema | None = None
    applied: Sequence[Statement] = ()
    facts: Mapping[int, Facts] = field(default_factory=dict)
    created: frozenset[str] = frozenset()
    sizes: Mapping[str, Size] = field(default_factory=dict)
    uses: Mapping[str, str] = field(default_factory=dict)
