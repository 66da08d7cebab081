"""A check, asked about the candidate on every host: each has a router of its own, and so a test route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from greenroom.adapters.several.answers import named
from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.errors import PortError
from greenroom.ports import Check, Router


class EachWay:
    """One host after the other; the first that does not pass ends it. The memo holds the host and the check's own memo."""

    def __init__(self, check: Check, routers: Mapping[str, Router]) -> None:
        self._check, self._routers = check, dict(routers)
        self.name = check.name

    def ask(self, case: Case, memo: Document | None) -> Finding:
        name, inner = self._where(memo)
        try:
            finding = self._check.ask(self._by(name, case), inner)
        except PortError as error:
            error.message = named(name, error.message)
            error.args = (error.message,)
            raise
        evidence = tuple(named(name, line) for line in finding.evidence)
        found = replace(finding, reason=named(name, finding.reason), evidence=evidence)
        if finding.verdict is not Verdict.PASS:
            return replace(found, memo={"host": name, "memo": finding.memo})
        names = list(self._routers)
        if name == names[-1]:
            return replace(found, reason=f"on {', '.join(names)}: {finding.reason}", memo=None)
        after = names[names.index(name) + 1]
        return replace(found, verdict=Verdict.WAIT, again_after=0.0, memo={"host": after, "memo": None})

    def withdraw(self, case: Case, memo: Document | None) -> None:
        name, inner = self._where(memo)
        self._check.withdraw(self._by(name, case), inner)

    def _where(self, memo: Document | None) -> tuple[str, Document | None]:
        """Which host is asked about, and with which memo."""
        if memo is None or memo.get("host") not in self._routers:
            return next(iter(self._routers)), None
        return str(memo["host"]), memo.get("memo")

    def _by(self, name: str, case: Case) -> Case:
        """The case as this host's router sees it."""
        url, headers = self._routers[name].reach(test=True)
        return replace(case, url=url, headers=headers, variables={**case.variables, "idle_url": url, "host": name})
