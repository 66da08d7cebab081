"""What the checks `session` and `cache` have in common: something begun at one version is taken to the other, and back.

The live version is asked at the public address, as users ask it; the candidate through the test route. All of it is one
`ask`: what is carried over is a secret, and does not leave the memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, field_validator

from greenroom.adapters.checks.assertions import short
from greenroom.adapters.checks.cookies import Jar, is_name
from greenroom.adapters.checks.exchange import Failed, Unclear
from greenroom.adapters.checks.expectations import BothAsked, Text
from greenroom.adapters.checks.hidden import hidden_of
from greenroom.adapters.checks.steps import Request, names_of_values
from greenroom.adapters.checks.visit import Side, Terms, Visit, sites_of, variables_of
from greenroom.domain.model import Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Place

_REASON, _LINE = 900, 400


class CrossingSettings(BothAsked):
    values: dict[str, Text] = Field(
        default={}, description="More that fills `{name}` in requests: `{password: ${TEST_PASSWORD}}`."
    )
    times: Annotated[int, Field(ge=1, le=20)] = Field(
        default=3, description="How often each version is asked, so that each of its replicas gets a chance to fail."
    )

    @field_validator("values")
    @classmethod
    def _names(cls, values: dict[str, str]) -> dict[str, str]:
        return names_of_values(values)


class Broken(Exception):
    """What was begun at one version does not work at the other. `why`: the likely reason, "" if it is plain."""

    def __init__(self, said: str, why: str = "") -> None:
        super().__init__(said)
        self.why = why


class Unseen(Exception):
    """The live version cannot be asked, so nothing is proven."""


@dataclass
class Crossing:
    """Both versions, and the visits that were made. `live` first: what users have now."""

    place: Place
    case: Case
    settings: CrossingSettings
    visits: list[Visit] = field(default_factory=list)

    def __post_init__(self) -> None:
        case = self.case
        self.live = Side(f"{case.colour.other} (live)", case.public)
        self.candidate = Side(f"{case.colour} (candidate)", case.url, case.headers)
        self._hidden = hidden_of(self.place, case)
        self._deadline = time.monotonic() + self.settings.timeout

    def visit(self, more: Mapping[str, str] | None = None) -> Visit:
        """A new one, with no cookies. `more` fills names."""
        settings, case = self.settings, self.case
        variables = {**settings.values, **variables_of(self.place, case), **(more or {})}
        terms = Terms(variables, settings.headers, settings.tls, self.place.file.parent, self._deadline)
        asked = sites_of(settings.headers, (case.public, {}), (case.url, case.headers))
        visit = Visit(terms, Jar(*asked) if is_name(asked[0] if asked else "") else Jar(), self._hidden)
        self.visits.append(visit)
        return visit

    def ask(self, visit: Visit, side: Side, request: Request) -> None:
        """`Wrong` for a bad answer; `Broken` or `Unseen` for none."""
        self.doing(side, lambda: visit.ask(side, request))

    def doing(self, side: Side, act: Callable[[], object]) -> None:
        try:
            act()
        except Failed as error:
            if side is self.live:
                raise Unseen(f"{side.title} cannot be asked: {error}") from None
            raise Broken(f"{side.title} cannot be asked: {error}") from None

    def both_ways(self, way: Callable[[Side, Side], None], fine: str) -> Finding:
        """From live to candidate, then from candidate to live; both are told."""
        wrong: list[str] = []
        whys: list[str] = []
        try:
            for here, there in ((self.live, self.candidate), (self.candidate, self.live)):
                try:
                    way(here, there)
                except Broken as error:
                    new = f"; most likely {error.why}" if error.why and error.why not in whys else ""
                    whys.append(error.why)
                    wrong.append(short(f"{error}{new}", _LINE))
        except (Unseen, Unclear) as error:
            said = ". And ".join([*wrong, str(error)])
            return self._finding(Verdict.FAIL if wrong else Verdict.UNKNOWN, said)
        return self._finding(Verdict.FAIL, ". And ".join(wrong)) if wrong else Finding(Verdict.PASS, fine)

    def _finding(self, verdict: Verdict, reason: str) -> Finding:
        evidence = [line for visit in self.visits for line in visit.log]
        last = self.visits[-1].evidence()[len(self.visits[-1].log[-20:]) :] if self.visits else ()
        return self._hidden.finding(Finding(verdict, short(reason, _REASON), evidence=(*evidence[-30:], *last)))
