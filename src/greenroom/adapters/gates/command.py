"""The gate `command`: the check `command`, asked at any stage; exit code 0 is PASS.

A command that is not there could not look: that is UNKNOWN, which stops a release before its traffic and only warns
after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from greenroom.adapters.checks.command import _PLACEHOLDER, CommandCheck, CommandSettings
from greenroom.adapters.shell import Job, slug
from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.domain.plan import When

_NOT_RUN = (126, 127)
_LATER = {
    "artefact": "it is made after the stage `source`: write `when: artefact`, or later",
    "live_url": "nothing is live: write `when: bake`, when the release itself is",
    "idle_url": "nothing runs before the start: write `when: approve`",
}


class CommandGate(CommandCheck):
    """`{artefact}` is filled in when it is made, `{live_url}` where something is live."""

    Settings: ClassVar[type[CommandSettings]] = CommandSettings
    WHEN: ClassVar[tuple[When, ...]] = (When.SOURCE, When.ARTEFACT, When.APPROVE, When.BAKE)
    PEOPLE: ClassVar[bool] = False
    OVERRIDE: ClassVar[bool] = False

    def ask(self, case: Case, memo: Document | None) -> Finding:
        missing = self.missing(self.settings.run, case)
        return Finding(Verdict.UNKNOWN, missing) if missing else super().ask(case, memo)

    def missing(self, text: str, case: Case) -> str:
        """Which `{name}` of it is not known at this stage, and why; "" if all are."""
        variables = self._variables(case)
        for name in _PLACEHOLDER.findall(text):
            if name in _LATER and not variables.get(name):
                return f"there is no `{{{name}}}` yet; {_LATER[name]}"
        return ""

    def _ended(self, job: Job, case: Case, code: int) -> Finding:
        finding = super()._ended(job, case, code)
        return replace(finding, verdict=Verdict.UNKNOWN) if code in _NOT_RUN else finding

    def _variables(self, case: Case) -> Mapping[str, str]:
        known = {"artefact": case.artefact, "live_url": case.public.rstrip("/")}
        return {**super()._variables(case), **{name: value for name, value in known.items() if value}}

    def _folder(self, case: Case) -> Path:
        return self.place.state / "gates" / slug(case.release) / slug(self.name)

    def _log(self, case: Case) -> Path:
        return self.place.state / "logs" / "gates" / slug(case.release) / f"{slug(self.name)}.log"
