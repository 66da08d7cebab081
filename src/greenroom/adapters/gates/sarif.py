"""The gate `sarif`: what a scanner finds, by level, less what is known. Run here, or read from a file.

PASS means that it looked and found nothing. A scanner that could not look is UNKNOWN: by its exit code, by its report,
or by what else it says. No text of the source is shown, for it may be the very secret that was found.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from greenroom.adapters.checks.command import CommandSettings
from greenroom.adapters.gates import baseline
from greenroom.adapters.gates.command import CommandGate
from greenroom.adapters.gates.presets import PRESETS, Ran, nothing_there
from greenroom.adapters.gates.results import Found, Report, Unreadable, document, of_detect_secrets
from greenroom.adapters.gates.sarif_report import of_sarif
from greenroom.adapters.gates.sarif_settings import SarifSettings
from greenroom.adapters.shell import Identity, Job, slug
from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.domain.template import conceal, fill
from greenroom.errors import Temporary
from greenroom.ports import Place
from greenroom.units import show_duration

NAMED = 3
"""Findings in the reason of a verdict."""
LISTED = 50
"""Findings in its evidence."""
KEPT = 10
"""Reports of a gate that stay, those of the newest releases: each may have some megabytes."""
_LOG = 5_000_000
_SLACK = 1.0


class SarifGate(CommandGate):
    Settings: ClassVar[type[SarifSettings]] = SarifSettings  # type: ignore[assignment]

    def __init__(self, settings: SarifSettings, place: Place) -> None:
        self.scan = settings
        shell = settings.shell or "true"
        name = settings.name or settings.preset or settings.run or settings.file or ""
        command = CommandSettings(name=name, run=shell, env=settings.env)
        super().__init__(command.model_copy(update={"timeout": settings.timeout}), place)

    def ask(self, case: Case, memo: Document | None) -> Finding:
        scan = self.scan
        missing = self.missing(" ".join((scan.run or "", scan.file or "", *scan.looked_at, *scan.args)), case)
        if missing:
            return _unknown(missing)
        return self._read(case) if scan.file is not None else super().ask(case, memo)

    # --- running it

    def _start(self, job: Job, case: Case) -> Finding:
        if self.scan.preset is not None and PRESETS[self.scan.preset].files:
            for name in self.scan.looked_at:
                nothing = nothing_there(fill(name, self._variables(case)), self.place.file.parent)
                if nothing:
                    return _unknown(nothing)
        report = self._report(case)
        try:
            report.parent.mkdir(parents=True, exist_ok=True)
            report.parent.chmod(0o700)  # what was found may stand in it
            kept = sorted(report.parent.parent.glob(f"*/{report.name}"), key=lambda path: path.stat().st_mtime)
            for old in (report, *kept[: 1 - KEPT]):
                for path in (old, _beside(old), _proposal(old)):
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise Temporary(f"the gate {self.name} has no place for its report: {error}") from error
        finding = super()._start(job, case)
        return finding if finding.verdict is Verdict.WAIT else _unknown(finding.reason)

    def _ended(self, job: Job, case: Case, code: int) -> Finding:
        if code not in self.scan.exits:
            finding = super()._ended(job, case, code)
            return replace(finding, verdict=Verdict.UNKNOWN, reason=f"it could not look: {finding.reason}")
        who = job.found()
        job.end(0.0)
        job.forget()
        return self._judged(case, self._report(case), code, _began(who))

    def _final(self, job: Job, case: Case, reason: str) -> Finding:
        return replace(super()._final(job, case, reason), verdict=Verdict.UNKNOWN)

    def _read(self, case: Case) -> Finding:
        path = self.place.file.parent / fill(self.scan.file or "", self._variables(case))
        return self._judged(case, path, 0, time.time() - self.scan.max_age)

    # --- judging what it wrote

    def _judged(self, case: Case, path: Path, code: int, since: float) -> Finding:
        """`since`: when a report was written that counts."""
        try:
            written = document(path)
            of = of_detect_secrets if self._format == "detect-secrets" else of_sarif
            report = of(written, self.place.file.parent)
            old = self._too_old(path, report, since)
            known = self._baseline()
        except Unreadable as error:
            return self._shown(case, _unknown(f"it could not look: its report {error} ({path})"))
        except _Strange as error:
            return self._shown(case, _unknown(str(error)))
        why = old or self._blind(case, path, written, report, code)
        if why:
            lines = tuple((*report.blind, *report.warnings)[:LISTED])
            return self._shown(
                case, replace(_unknown(f"it could not look: {why} (all of it in {path})"), evidence=lines)
            )
        return self._shown(case, self._verdict(path, report, known))

    def _verdict(self, path: Path, report: Report, known: baseline.Baseline) -> Finding:
        shown = [each for each in report.found if not each.suppressed]
        grave = [each for each in shown if each.level >= self.scan.threshold]
        new, accepted = known.split(grave)
        counts = {
            f"below {self.scan.fail_on}": len(shown) - len(grave),
            "known": len(accepted),
            "suppressed in the source": len(report.found) - len(shown),
            "known but found no more": known.unused(report.found),
            "warnings of the scanner": len(report.warnings),
        }
        besides = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        besides = f" ({besides})" if besides else ""
        if not new:
            return Finding(
                Verdict.PASS, f"{', '.join(report.tools)}: nothing of level {self.scan.fail_on} or above{besides}"
            )
        new.sort(key=lambda each: (-each.level, each.file, each.line, each.rule))
        count = f"{len(new)} finding{'s' if len(new) > 1 else ''}"
        reason = f"{count}{besides}: {_listed(new, NAMED)} (all of it in {path}{self._way_out(path, grave, known)})"
        return Finding(Verdict.FAIL, reason[:1000], evidence=_lines(new))

    def _blind(self, case: Case, path: Path, written: Any, report: Report, code: int) -> str:
        """Why it did not look; "" if it did."""
        if report.blind:
            return report.blind[0]
        strict = self.scan.preset is not None if self.scan.strict is None else self.scan.strict
        if strict and report.warnings:
            return f"{report.warnings[0]} (`strict: false` lets that pass)"
        if code != 0 and not report.found:
            return f"it ended with exit code {code}, as it does when it finds something, and reports nothing"
        preset = PRESETS[self.scan.preset] if self.scan.preset else None
        if preset is None or preset.blind is None:
            return ""
        try:
            beside = document(_beside(path))
        except Unreadable:
            beside = None
        paths = [fill(name, self._variables(case)) for name in self.scan.looked_at]
        return preset.blind(Ran(_text(self._log(case)), written, beside, paths))

    def _too_old(self, path: Path, report: Report, since: float) -> str:
        written = min(path.stat().st_mtime, report.ended or float("inf"))
        if written >= since - _SLACK:
            return ""
        if self.scan.file is None:
            return "its report is older than its run"
        age = show_duration(max(0.0, time.time() - written))
        return f"its report is {age} old, more than {show_duration(self.scan.max_age)} (`max_age`)"

    def _baseline(self) -> baseline.Baseline:
        """One that is not there yet knows nothing."""
        if self.scan.baseline is None:
            return baseline.Baseline()
        path = self.place.file.parent / self.scan.baseline
        try:
            return baseline.read(path) if path.exists() else baseline.Baseline()
        except Unreadable as error:
            raise _Strange(f"the baseline {self.scan.baseline} {error}") from None

    def _way_out(self, path: Path, grave: Sequence[Found], known: baseline.Baseline) -> str:
        """A baseline with all of this is written beside the report, to be taken over by hand."""
        if self.scan.baseline is None:
            return ""
        proposal = _proposal(path) if self.scan.file is None else self._report_of("proposed.known.json")
        try:
            proposal.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            baseline.write(proposal, grave, known)
        except OSError:
            return ""
        return f"; to accept them: cp {proposal} {self.scan.baseline}"

    # --- places

    @property
    def _format(self) -> str:
        return self.scan.format or (PRESETS[self.scan.preset].format if self.scan.preset else "sarif")

    def _variables(self, case: Case) -> Mapping[str, str]:
        return {**super()._variables(case), "report": str(self._report(case))}

    def _report(self, case: Case) -> Path:
        return (self._log(case).parent / f"{slug(self.name)}.sarif").absolute()

    def _report_of(self, name: str) -> Path:
        return (self.place.state / "logs" / "gates" / f"{slug(self.name)}.{name}").absolute()

    def _shown(self, case: Case, finding: Finding) -> Finding:
        secrets = self._secrets(case)
        lines = tuple(conceal(line, secrets)[:1000] for line in finding.evidence)
        return replace(finding, reason=conceal(finding.reason, secrets)[:1000], evidence=lines)


class _Strange(Exception):
    """A file of ours is not what it should be."""


def _unknown(reason: str) -> Finding:
    return Finding(Verdict.UNKNOWN, reason)


def _began(who: Identity | None) -> float:
    return time.time() - who.age if who else 0.0


def _beside(report: Path) -> Path:
    return report.with_name(report.name + ".beside")


def _proposal(report: Path) -> Path:
    return report.with_suffix(".known.json")


def _listed(found: Sequence[Found], most: int) -> str:
    more = f"; and {len(found) - most} more" if len(found) > most else ""
    return "; ".join(each.text[:200] for each in found[:most]) + more


def _lines(found: Sequence[Found]) -> tuple[str, ...]:
    more = (f"and {len(found) - LISTED} more",) if len(found) > LISTED else ()
    return (*(each.text for each in found[:LISTED]), *more)


def _text(log: Path) -> str:
    """Its end, if there is much of it."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LOG))
            return file.read(_LOG).decode("utf-8", "replace")
    except OSError:
        return ""
