"""The check `session`: who is logged in at the live version stays logged in at the candidate, and back.

Sessions that are kept in the memory of a process, or signed with a key of its own, end with every switch. So a session is
opened at each version in turn (`open`), and must work (`verify`) there, at the other one, and then still where it came
from. First `verify` is asked without any session, and must fail: else it proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Self

from pydantic import Field, model_validator

from greenroom.adapters.checks.cookies import names_of
from greenroom.adapters.checks.crossing import Broken, Crossing, CrossingSettings, Unseen
from greenroom.adapters.checks.exchange import Answer, Unclear
from greenroom.adapters.checks.steps import Request, Steps, in_order, unfilled
from greenroom.adapters.checks.visit import Side, Visit, Wrong
from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Place


class SessionSettings(CrossingSettings):
    open: Steps = Field(description="Requests that open a session: log in, with a test user of your own.")
    verify: Request = Field(description="A request whose assertions hold for who is logged in, and for nobody else.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        in_order(self.open)
        if problem := unfilled([*self.open, self.verify], self.values):
            raise ValueError(problem)
        return self


class SessionCheck:
    Settings: ClassVar[type[SessionSettings]] = SessionSettings

    def __init__(self, settings: SessionSettings, place: Place) -> None:
        self.settings, self.place = settings, place
        self.name = settings.name or "session"

    def ask(self, case: Case, memo: Document | None) -> Finding:
        if not case.public:
            return Finding(Verdict.PASS, "nothing is live to compare with: there is no session to keep")
        crossing = Crossing(self.place, case, self.settings)
        idle = self._without_session(crossing)
        if idle is not None:
            return idle
        live, candidate = crossing.live.title, crossing.candidate.title
        return crossing.both_ways(
            partial(self._way, crossing), f"sessions of {live} work on {candidate} and back, and the other way round"
        )

    def withdraw(self, case: Case, memo: Document | None) -> None:
        """Nothing stays behind but the test user's sessions, which end as others do."""

    def _without_session(self, crossing: Crossing) -> Finding | None:
        """`verify` must fail for who is not logged in. None: it does."""
        live = crossing.live
        try:
            crossing.ask(crossing.visit(), live, self.settings.verify)
        except Wrong:
            return None
        except (Unseen, Unclear) as error:
            return Finding(Verdict.UNKNOWN, str(error))
        finally:
            crossing.visits.clear()
        why = "assert something that only who is logged in gets to see"
        return Finding(
            Verdict.FAIL, f"`verify` succeeds on {live.title} without a session, so it proves nothing: {why}"
        )

    def _way(self, crossing: Crossing, here: Side, there: Side) -> None:
        """Opened here, taken there, and back. `Broken` says where it ended, and the likely reason."""
        visit = crossing.visit()
        try:
            crossing.doing(here, lambda: visit.go(here, self.settings.open))
        except Wrong as error:
            raise Broken(f"no session can be opened on {here.title}: {error}") from None
        opened = f"a session opened on {here.title}"
        times = self.settings.times
        self._verified(crossing, visit, here, times, f"{opened} does not work there", lambda _, n: _own(visit, n))
        signed = any(_signed(value) for value in (*(c.value for c in visit.jar.kept), *visit.values.values()))
        lost = f"{opened} does not work on {there.title}"
        self._verified(crossing, visit, there, times, lost, lambda answer, n: _lost(visit, there, signed, answer, n))
        spoilt = f"{there.title} changes it in a way that {here.title} cannot read"
        back = f"{opened} does not work there any more after {there.title} has answered to it"
        self._verified(crossing, visit, here, 1, back, lambda _, __: spoilt)

    def _verified(
        self, crossing: Crossing, visit: Visit, side: Side, times: int, said: str, why: Callable[[Answer, int], str]
    ) -> None:
        for count in range(times):
            try:
                crossing.ask(visit, side, self.settings.verify)
            except Wrong as error:
                raise Broken(f"{said}: {error}", why(error.answer, count)) from None


def _own(visit: Visit, count: int) -> str:
    """Why it does not work where it was opened."""
    if count:
        return "single processes keep sessions in their own memory: it worked before, at another replica"
    return _carried(visit) or "`verify` asserts what nobody gets, or single processes keep sessions in their own memory"


def _lost(visit: Visit, there: Side, signed: bool, answer: Answer, count: int) -> str:
    """Why it does not work at the other version."""
    if count:
        return f"not all replicas of {there.title} are alike: it worked before, at another one"
    if answer.status >= 500:
        return f"{there.title} breaks over it: it expects what is in a session in another format"
    if signed:
        return f"sessions are signed with another key on {there.title}: give both versions the same"
    new = [name for name in names_of(answer.cookies) if name in visit.jar.taken]
    gave = f" ({there.title} gave out a new `{new[0]}`)" if new else ""
    where = "sessions are kept in the memory of the processes, or each colour has a store of its own"
    return f"{where}{gave}: keep them in a store that both use"


def _carried(visit: Visit) -> str:
    for name, why in visit.jar.refused.items():
        return f"a browser does not keep the cookie `{name}`: {why}"
    if not visit.jar.kept and not visit.values:
        return "nothing carries the session: `open` sets no cookie, and extracts no value"
    return ""


def _signed(value: str) -> bool:
    """As JWT, itsdangerous, Django, Express or Rails sign: parts, the last of them a signature."""
    return value.count(".") >= 2 or value.count(":") >= 2 or value.startswith(("s:", "s%3A")) or "--" in value
