"""What somebody should know before a change of the schema begins."""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.domain.schema import Ruling


@dataclass(frozen=True, slots=True)
class Concern:
    """`ruling`: WARN or REFUSE. `rule`: a stable identifier. `reason`: a sentence, `instead`: the way out.

    `about`: what in the database it is about, by name, "" for the whole.
    """

    ruling: Ruling
    rule: str
    reason: str
    instead: str = ""
    about: str = ""

    @property
    def key(self) -> str:
        """By which somebody accepts it: `before-trigger:audit`."""
        return f"{self.rule}:{self.about}" if self.about else self.rule


def warn(rule: str, reason: str, instead: str = "", about: str = "") -> Concern:
    return Concern(Ruling.WARN, rule, reason, instead, about)


def refuse(rule: str, reason: str, instead: str = "", about: str = "") -> Concern:
    return Concern(Ruling.REFUSE, rule, reason, instead, about)
