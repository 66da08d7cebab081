"""The gate `approval`: people say yes with `greenroom promote`.

Who has said it is in the case; nothing is kept here. An approval that came late still counts: a deadline that passed
while nobody looked must not make a yes worthless. Whether approvers exist is looked at before a deploy, not whenever the
file is read: an account that is deleted later must not keep what is live from being rolled back.
"""

from __future__ import annotations

import grp
import pwd
from datetime import UTC, datetime
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.domain.plan import When
from greenroom.ports import Place
from greenroom.units import Seconds, show_duration

GROUP = "group:"
_AGAIN = 5.0


class ApprovalSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="approval", description="What it is called in output and journal.")
    approvers: list[str] = Field(
        default=[], description="Who may: users, and groups as `group:NAME`. Anybody who may steer releases, if empty."
    )
    anywhere: bool = Field(
        default=False,
        description="Whether they need not be known on this machine: for people who approve from elsewhere, as CI does.",
    )
    needed: int = Field(default=1, ge=1, le=100, description="How many must approve. One person counts once.")
    four_eyes: bool = Field(default=False, description="Whether who asked for the release may not approve it.")
    timeout: Seconds | None = Field(default=None, gt=0, description="How long it waits; for ever if absent.")
    on_timeout: Literal["refuse", "approve"] = Field(
        default="refuse", description="What nobody's answer means when the time is over."
    )

    @field_validator("approvers")
    @classmethod
    def _names(cls, approvers: list[str]) -> list[str]:
        for name in approvers:
            bare = name.removeprefix(GROUP)
            if not bare or not bare.isprintable() or bare != bare.strip():
                raise ValueError(f"{name!r} is no user and no `group:NAME`")
        if len(set(approvers)) < len(approvers):
            raise ValueError("names somebody twice")
        return approvers

    @model_validator(mode="after")
    def _possible(self) -> Self:
        groups = any(name.startswith(GROUP) for name in self.approvers)
        if self.approvers and not groups and self.needed > len(self.approvers):
            raise ValueError(f"`needed: {self.needed}`, and `approvers` names only {len(self.approvers)}")
        if self.timeout is None and self.on_timeout == "approve":
            raise ValueError("`on_timeout: approve` needs a `timeout`")
        return self


class ApprovalGate:
    """A pure function of the case: nothing is begun, so nothing can be left behind."""

    Settings: ClassVar[type[ApprovalSettings]] = ApprovalSettings
    WHEN: ClassVar[tuple[When, ...]] = (When.APPROVE, When.SOURCE, When.ARTEFACT)
    PEOPLE: ClassVar[bool] = True
    OVERRIDE: ClassVar[bool] = False

    def __init__(self, settings: ApprovalSettings, place: Place) -> None:
        self.settings = settings
        self.name = settings.name

    @staticmethod
    def problems(settings: ApprovalSettings, place: Place) -> list[str]:
        unknown = [] if settings.anywhere else [name for name in settings.approvers if not _known(name)]
        if not unknown:
            return []
        way_out = "correct `approvers`, or write `anywhere: true` if they approve from elsewhere"
        return [f"this machine knows nobody called {', '.join(unknown)}; {way_out}"]

    def ask(self, case: Case, memo: Document | None) -> Finding:
        settings = self.settings
        if settings.four_eyes and not case.by:
            return Finding(Verdict.UNKNOWN, "nobody knows who asked for this release, so four eyes cannot be kept")
        given = self._given(case)
        if len(given) >= settings.needed:
            return Finding(Verdict.PASS, f"approved by {_listed(list(given))}")
        left = None if settings.timeout is None else case.since + settings.timeout - case.now
        if left is not None and left <= 0:
            return self._late(given)
        return Finding(Verdict.WAIT, self._waits(case, given), min(_AGAIN, left or _AGAIN))

    def withdraw(self, case: Case, memo: Document | None) -> None:
        """Nothing stays behind."""

    def objection(self, case: Case, by: str, groups: tuple[str, ...]) -> str:
        """Also for who has approved already: said twice it is no second pair of eyes."""
        wrong = self._wrong(case, by, groups)
        given = self._given(case)
        if not wrong and _person(by) in {_person(name) for name in given}:
            left = max(self.settings.needed - len(given), 0)
            wrong = f"{_shown(by)} has approved already, and one person counts once; missing are {left} more"
        return wrong

    def _wrong(self, case: Case, by: str, groups: tuple[str, ...]) -> str:
        if not by:
            return "nobody knows who that is"
        if self.settings.approvers and not any(_is(name, by, groups) for name in self.settings.approvers):
            return f"{_shown(by)} may not approve this; it takes {self._who()}"
        if self.settings.four_eyes and _person(by) == _person(case.by):
            return f"{_shown(by)} asked for this release, and four eyes are wanted: somebody else must approve it"
        return ""

    def _given(self, case: Case) -> tuple[str, ...]:
        """Who has approved and may: each person once, in order."""
        given: dict[str, str] = {}
        for approval in case.approvals:
            if not self._wrong(case, approval.by, approval.groups):
                given.setdefault(_person(approval.by), approval.by)
        return tuple(given.values())

    def _late(self, given: tuple[str, ...]) -> Finding:
        assert self.settings.timeout is not None
        within = f"within {show_duration(self.settings.timeout)}"
        came = (
            f"only {len(given)} of {self.settings.needed} approved {within}" if given else f"nobody approved {within}"
        )
        if self.settings.on_timeout == "approve":
            return Finding(Verdict.PASS, f"{came}, which counts as approved (`on_timeout: approve`)")
        return Finding(Verdict.FAIL, f"{came}: refused (`on_timeout: refuse`)")

    def _waits(self, case: Case, given: tuple[str, ...]) -> str:
        """Who, how many, until when, and what to type; the same words at each look."""
        settings = self.settings
        count = "" if settings.needed == 1 else f" ({len(given)} of {settings.needed} so far)"
        besides = f", but not {_shown(case.by)}, who asked for it" if settings.four_eyes else ""
        until = ""
        if settings.timeout is not None:
            end = datetime.fromtimestamp(case.since + settings.timeout, UTC)
            then = "refused" if settings.on_timeout == "refuse" else "approved"
            until = f", until {end:%Y-%m-%d %H:%M} UTC (then it counts as {then})"
        return (
            f"waits for {self._who()}{besides}{count}{until}; `greenroom promote` approves, "
            "`greenroom abort` ends the release"
        )

    def _who(self) -> str:
        if not self.settings.approvers:
            return "anybody"
        names = [
            f"one of the group {n.removeprefix(GROUP)}" if n.startswith(GROUP) else n for n in self.settings.approvers
        ]
        return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]


def _known(name: str) -> bool:
    try:
        if name.startswith(GROUP):
            grp.getgrnam(name.removeprefix(GROUP))
        else:
            pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _is(name: str, by: str, groups: tuple[str, ...]) -> bool:
    """`alice` is alice on any machine; a name with `@` is meant whole."""
    if name.startswith(GROUP):
        return name.removeprefix(GROUP) in groups
    return by.casefold() == name.casefold() if "@" in name else _shown(by) == name


def _person(by: str) -> str:
    """One person is one person on every machine."""
    return _shown(by).casefold()


def _shown(by: str) -> str:
    return by.partition("@")[0] or by


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
