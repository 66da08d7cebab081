"""The gate `alarm`: CloudWatch's alarms are quiet. In the bake it watches them to its end; elsewhere they are read once.

That alarms cannot be read now and then is nothing yet: only when it lasts does the policy decide.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import ClassVar

from greenroom.adapters.aws.alarms import AlarmSettings, look, missing
from greenroom.adapters.aws.client import Client
from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.domain.plan import When
from greenroom.ports import Place
from greenroom.units import show_duration

PATIENCE = 60.0
"""Seconds for which alarms may be unreadable before that counts."""


class AlarmGate:
    Settings: ClassVar[type[AlarmSettings]] = AlarmSettings
    WHEN: ClassVar[tuple[When, ...]] = (When.BAKE, When.SOURCE, When.ARTEFACT, When.APPROVE)
    PEOPLE: ClassVar[bool] = False
    OVERRIDE: ClassVar[bool] = True
    """A fix must be able to go while the alarm rings that it is for."""

    def __init__(self, settings: AlarmSettings, place: Place) -> None:
        self.settings, self._service = settings, place.service
        self.name = settings.name or "alarm"

    @cached_property
    def _client(self) -> Client:
        """Not before it is needed: the way back must not depend on it."""
        return Client(self.settings)

    @staticmethod
    def problems(settings: AlarmSettings, place: Place) -> list[str]:
        return missing(settings)

    def ask(self, case: Case, memo: Document | None) -> Finding:
        opinion = look(lambda: self._client, self.settings, case, self._service)
        if opinion.rings:
            return Finding(Verdict.FAIL, opinion.reason, evidence=opinion.evidence)
        since, missed = _remembered(memo, case.now)
        if opinion.unreadable and self.settings.unreadable != "ignore":
            since = case.now if since is None else since
            if case.now < since + PATIENCE:
                return self._wait(case, opinion.unreadable, since, missed)
            if self.settings.unreadable == "fail":
                return Finding(Verdict.FAIL, f"{opinion.unreadable}, for {_spent(case.now - since)} now")
        elif since is not None:
            missed, since = missed + case.now - since, None
        if case.now < case.until:
            return self._wait(case, opinion.reason, since, missed)
        blind = f"; for {_spent(missed)} they could not be read" if missed else ""
        return Finding(opinion.verdict, opinion.reason + blind, evidence=opinion.evidence)

    def withdraw(self, case: Case, memo: Document | None) -> None:
        """Nothing stays behind."""

    def _wait(self, case: Case, reason: str, since: float | None, missed: float) -> Finding:
        left = case.until - case.now if case.until > case.now else self.settings.every
        memo = {name: at for name, at in (("unread_since", since), ("missed", missed)) if at}
        return Finding(Verdict.WAIT, reason, max(0.05, min(self.settings.every, left)), memo or None)


def _remembered(memo: Document | None, now: float) -> tuple[float | None, float]:
    """Since when they are unreadable (None: they are not), and how long they were before that."""
    since, missed = (_number((memo or {}).get(name)) for name in ("unread_since", "missed"))
    return (since if since is not None and since <= now else None), missed or 0.0


def _number(value: object) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    return float(value) if good and isinstance(value, int | float) else None


def _spent(seconds: float) -> str:
    return show_duration(max(1.0, seconds))
