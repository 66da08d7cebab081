"""What a contract is refused for, each under a stable name, and who lets it go on all the same."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from greenroom.adapters.database import judging
from greenroom.adapters.database.reading import Statement
from greenroom.domain.model import Verdict
from greenroom.domain.schema import Order
from greenroom.errors import UsageError

RULES: Mapping[str, str] = {
    "not-expanded": "expand and backfill of this migration are not done, or not verified",
    "not-live": "the version that asks is not the one that users have",
    "not-baked": "its bake is not over",
    "rollback-window": "the version before still runs, so that a rollback may need what goes",
    "going-back": "a rollback has announced itself",
    "old-sessions": "the version before is still connected, or nobody can tell",
    "not-there": "what goes is not there",
    "same-release": "the release drops what it has itself made",
    "takes-more": "more would go than is named",
    "sync-trigger": "a trigger that stays writes what goes: every write would fail",
    "code": "the live version's code names what goes",
    "statements": "statements that name what goes have run",
    "select-star": "statements read all columns of the table: prepared ones fail once a column goes",
    "evidence": "nothing could look whether the live version still uses what goes",
    "soft-drop": "it cannot be hidden first",
}
FIXED = frozenset({"not-expanded", "not-live", "going-back", "not-there"})
"""Nobody may let these go: it would break the live version, or cannot work at all."""


_OF_TOOLS = frozenset({"opaque", "one-transaction"})


def aimed(given: Collection[str], migrations: Collection[str]) -> None:
    """`UsageError` where a name that somebody lets go is none: of a rule, or of a migration that cannot be judged. A place
    (`FILE:LINE`) is not looked at.
    """
    known = {*judging.RULES, *RULES, *_OF_TOOLS, *migrations}
    for rule in (one for one in given if ":" not in one):
        if rule in FIXED:
            raise UsageError(f"nobody can let `{rule}` go: {RULES[rule]}", hint="see to it first")
        if rule not in known:
            near = ", ".join(difflib.get_close_matches(rule, known, 3, 0.4))
            hint = f"the nearest are {near}" if near else "it stands in brackets at what the contract was refused for"
            raise UsageError(f"there is no rule `{rule}` that could be allowed", hint=hint)


@dataclass(frozen=True, slots=True)
class Problem:
    """`verdict`: FAIL; UNKNOWN; or WAIT, where time alone may solve it. `hint`: the way out."""

    rule: str
    text: str
    verdict: Verdict = Verdict.FAIL
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.text}: {self.hint} [{self.rule}]" if self.hint else f"{self.text} [{self.rule}]"


@dataclass(frozen=True, slots=True)
class Excuses:
    """Reasons by rule, or by `FILE:LINE` of the code: of the order, and of the directives in the file."""

    reasons: Mapping[str, str]

    @classmethod
    def of(cls, order: Order, statements: Sequence[Statement]) -> Excuses:
        written = {
            allow.rule: f"{allow.why} ({allow.by})" if allow.by else allow.why
            for statement in statements
            for allow in statement.allows
        }
        given = {rule: f"{why} ({order.by})" for rule, why in order.overrides.items() if why.strip()}
        return cls({**written, **given})

    def left(self, problems: Sequence[Problem]) -> list[Problem]:
        """Without those that somebody let go."""
        return [one for one in problems if one.rule in FIXED or one.rule not in self.reasons]

    def used(self, problems: Sequence[Problem]) -> dict[str, str]:
        """What was let go, and why: the ledger keeps it."""
        rules = {one.rule for one in problems} - FIXED
        return {rule: why for rule, why in self.reasons.items() if rule in rules}
