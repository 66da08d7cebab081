"""A rule: its stable name, what it says, and the examples by which its page and its test show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from greenroom.domain.schema import Dialect, Ruling, Stage


@dataclass(frozen=True, slots=True)
class Example:
    """`before`: statements that ran earlier, `schema`: what was there; both SQL."""

    sql: str
    stage: Stage = Stage.EXPAND
    schema: str = ""
    before: str = ""
    dialect: Dialect = Dialect.POSTGRES


@dataclass(frozen=True, slots=True)
class Rule:
    """`why` and `instead` are templates.

    `{running}`: "version 41", "the running version"; `{still}`: "version 41 still", "the running version may still";
    others are named by whoever finds a case of the rule. `refused` and `allowed`: an example of each that a test judges.
    """

    id: str
    title: str
    why: str
    instead: str
    refused: Example
    allowed: Example
    ruling: Ruling = Ruling.REFUSE


@dataclass(frozen=True, slots=True)
class Hit:
    """One case of a rule: what to fill its templates with. `instead`: a better one than the rule's own, "" for that."""

    rule: str
    names: Mapping[str, str] = field(default_factory=dict)
    instead: str = ""
    ruling: Ruling | None = None
    tables: tuple[str, ...] = ()
