"""The check `cache`: what one version writes into a shared cache, the other can read, in both directions.

During the shift both versions use the same cache, and after a rollback the old one reads what the new one left there. A
field that was renamed, another way of serialising, another prefix of the keys: each is an error for users, and none is
seen by tests of one version alone. `{key}` and `{value}` are random, and different each time.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import ClassVar, Self

from pydantic import Field, model_validator

from greenroom.adapters.checks.crossing import Broken, Crossing, CrossingSettings
from greenroom.adapters.checks.exchange import Answer
from greenroom.adapters.checks.steps import Request, unfilled, used
from greenroom.adapters.checks.visit import Side, Visit, Wrong
from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Place

_SENT = {"path", "headers", "body", "form"}
_JUDGED = {"contains", "fields", "expect_headers"}


class CacheSettings(CrossingSettings):
    write: Request = Field(description="A request that stores `{value}` under `{key}`.")
    read: Request = Field(
        description="A request for `{key}`. Its answer must hold `{value}`: in its body, if no assertion says where."
    )

    @model_validator(mode="after")
    def _filled(self) -> Self:
        written = set(used(self.write.model_dump(include=_SENT)))
        asked = set(used(self.read.model_dump(include=_SENT)))
        if missing := [f"`{{{name}}}`" for name in ("key", "value") if name not in written]:
            raise ValueError(f"`write` sends no {' and no '.join(missing)}, which the check fills in")
        if problem := unfilled([self.write, self.read], {*self.values, "key", "value"}):
            raise ValueError(problem)
        if "key" not in asked:
            raise ValueError("`read` does not ask for `{key}`, which the check fills in")
        if "value" in asked:
            raise ValueError("`read` must not send `{value}`: an echo would look like a cache")
        return self


class CacheCheck:
    Settings: ClassVar[type[CacheSettings]] = CacheSettings

    def __init__(self, settings: CacheSettings, place: Place) -> None:
        self.settings, self.place = settings, place
        self.name = settings.name or "cache"

    def ask(self, case: Case, memo: Document | None) -> Finding:
        if not case.public:
            return Finding(Verdict.PASS, "nothing is live to compare with: nobody else uses the cache yet")
        crossing = Crossing(self.place, case, self.settings)
        live, candidate = crossing.live.title, crossing.candidate.title
        return crossing.both_ways(
            partial(self._way, crossing), f"what {live} writes, {candidate} reads, and the other way round"
        )

    def withdraw(self, case: Case, memo: Document | None) -> None:
        """Nothing stays behind but two keys in the cache, which end as others do."""

    def _way(self, crossing: Crossing, here: Side, there: Side) -> None:
        values = {"key": f"greenroom-{secrets.token_hex(6)}", "value": f"greenroom-{secrets.token_hex(12)}"}
        visit = crossing.visit(values)
        try:
            crossing.ask(visit, here, self.settings.write)
        except Wrong as error:
            raise Broken(f"nothing can be written on {here.title}: {error}") from None
        wrote = f"what {here.title} writes"
        for side in (here, there):
            for count in range(self.settings.times):
                try:
                    self._read(crossing, visit, side, values["value"])
                except Wrong as error:
                    why = _own(count) if side is here else _foreign(here, there, error.answer, count)
                    reads = "itself cannot read" if side is here else f"{there.title} cannot read"
                    raise Broken(f"{wrote}, {reads}: {error}", why) from None

    def _read(self, crossing: Crossing, visit: Visit, side: Side, value: str) -> None:
        read = self.settings.read
        crossing.ask(visit, side, read)
        told = "value" in used(read.model_dump(include=_JUDGED))
        if visit.last is not None and not told and value.encode() not in visit.last.body:
            raise Wrong(f"{read.method} {read.path}: the answer does not hold the value that was written", visit.last)


def _own(count: int) -> str:
    if count:
        return "single processes keep it in their own memory: it was read before, at another replica"
    return "`write` does not store what `read` asks for"


def _foreign(here: Side, there: Side, answer: Answer, count: int) -> str:
    if count:
        return f"not all replicas of {there.title} are alike: it was read before, at another one"
    if answer.status >= 500:
        return f"{there.title} breaks over it: it expects another format than {here.title} writes"
    if answer.status < 300:
        return f"{there.title} understands it otherwise: it expects another format than {here.title} writes"
    return "each has a cache of its own, in memory or elsewhere, or other names for the keys"
