"""One stage of the shared database's migrations, asked as a gate: may the release go on?"""

from __future__ import annotations

from greenroom.domain.model import Document
from greenroom.domain.opinion import Case, Finding
from greenroom.domain.schema import Order, Stage
from greenroom.ports import Migrator


class SchemaGate:
    """`service`: whose ledger it is."""

    def __init__(self, migrator: Migrator, stage: Stage, service: str) -> None:
        self.name = str(stage)
        self._migrator, self._stage, self._service = migrator, stage, service

    def ask(self, case: Case, memo: Document | None) -> Finding:
        order = self._order(case)
        if self._stage is Stage.CONTRACT and memo is None:
            self._migrator.hold(order, False)  # no release runs, and none is warm: the last way back is over
        return self._migrator.advance(self._stage, order, memo)

    def withdraw(self, case: Case, memo: Document | None) -> None:
        self._migrator.withdraw(self._stage, self._order(case), memo)

    def _order(self, case: Case) -> Order:
        """While a contract is asked for, one version is live and baked, and nothing runs beside it."""
        contract = self._stage is Stage.CONTRACT
        beside = "" if contract else case.baseline
        return Order(
            self._service,
            case.release,
            case.version,
            case.by,
            case.epoch,
            case.now,
            running=case.version if contract else case.baseline,
            gone=case.baseline if contract else "",
            pinned=case.pinned,
            colours={str(case.colour): case.version, str(case.colour.other): beside},
            artefact=case.artefact,
            overrides=case.overrides,
            baked=contract,
        )
