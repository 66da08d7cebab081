"""The watch `alarm`: CloudWatch's alarms are quiet through shift and bake. Two looks in a row that fail go back."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from greenroom.adapters.aws.alarms import AlarmSettings, look, missing
from greenroom.adapters.aws.client import Client
from greenroom.domain.model import Document
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Place


class AlarmWatch:
    """Only a watch: before the traffic moves the gate `alarm` asks."""

    WatchSettings: ClassVar[type[AlarmSettings]] = AlarmSettings

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
        return Finding(opinion.verdict, opinion.reason, self.settings.every, None, opinion.evidence)

    def withdraw(self, case: Case, memo: Document | None) -> None:
        """Nothing stays behind."""
