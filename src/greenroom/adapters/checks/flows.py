"""The check `http` with `steps` or a `file` of flows, all of them at the candidate."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from greenroom.adapters.checks.assertions import short
from greenroom.adapters.checks.cookies import Jar
from greenroom.adapters.checks.exchange import Failed, Unclear
from greenroom.adapters.checks.flowfile import Flows, Unusable, read_flows
from greenroom.adapters.checks.hidden import hidden_of
from greenroom.adapters.checks.steps import FlowSettings, HttpSettings
from greenroom.adapters.checks.visit import Side, Terms, Visit, Wrong, sites_of, variables_of
from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Place
from greenroom.units import show_duration

_MOMENT = 2.0
"""Seconds after which no further flow is begun in the same `ask`."""
_NAMED, _LINES = 3, 100


def one(place: Place, case: Case, settings: HttpSettings, flow: FlowSettings) -> Finding:
    """All steps of a flow, or the first that fails."""
    timeout = flow.timeout if "timeout" in flow.model_fields_set else settings.whole
    terms = Terms(
        {**settings.values, **variables_of(place, case)},
        {**settings.headers, **flow.headers},
        settings.tls,
        place.file.parent,
        time.monotonic() + timeout,
    )
    sites = sites_of(terms.headers, (case.url, case.headers))
    visit = Visit(terms, Jar(*sites), hidden_of(place, case))
    began = time.monotonic()
    try:
        visit.go(Side("the candidate", case.url, case.headers), flow.steps)
    except (Wrong, Failed) as error:
        return Finding(Verdict.FAIL, str(error), evidence=visit.evidence())
    except Unclear as error:
        return Finding(Verdict.UNKNOWN, str(error), evidence=visit.evidence())
    return Finding(Verdict.PASS, f"{_counted(len(flow.steps), 'step')} in {show_duration(time.monotonic() - began)}")


@dataclass
class _Progress:
    """What the memo holds. `failed` and `unclear`: one line a flow."""

    done: int = 0
    failed: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, memo: Document | None, found: Flows) -> _Progress:
        """Anew if the file is not the one that it was."""
        memo = memo or {}
        done = memo.get("done")
        lines = [memo.get(key) for key in ("failed", "unclear", "evidence")]
        good = isinstance(done, int) and 0 <= done <= len(found.flows) and memo.get("file") == found.digest
        if not good or not all(isinstance(each, list) for each in lines):
            return cls()
        return cls(int(done or 0), *([str(line) for line in each or ()] for each in lines))

    def document(self, found: Flows) -> Document:
        kept = {"failed": self.failed, "unclear": self.unclear, "evidence": self.evidence}
        return {"file": found.digest, "done": self.done, **kept}

    def take(self, flow: FlowSettings, finding: Finding) -> None:
        self.done += 1
        if finding.verdict is Verdict.PASS:
            return
        line = short(f"{flow.name}: {finding.reason}", 400)
        (self.failed if finding.verdict is Verdict.FAIL else self.unclear).append(line)
        self.evidence += [line, *(f"  {more}" for more in finding.evidence[-6:])]
        del self.evidence[_LINES:]


def every(place: Place, case: Case, settings: HttpSettings, file: Path, memo: Document | None) -> Finding:
    """All flows of the file, as many at a time as a moment allows. All that fail are told."""
    try:
        found = read_flows(place.file.parent / file, str(file), settings.values)
    except Unusable as error:
        return Finding(
            Verdict.FAIL, short(error.problems[0], 900), evidence=tuple(short(p, 900) for p in error.problems)
        )
    progress = _Progress.of(memo, found)
    until = time.monotonic() + _MOMENT
    while progress.done < len(found.flows):
        flow = found.flows[progress.done]
        progress.take(flow, one(place, case, settings, flow))
        if time.monotonic() > until:
            break
    whole = _counted(len(found.flows), "flow")
    if progress.done < len(found.flows):
        failed = len(progress.failed) + len(progress.unclear)
        so_far = f"{progress.done} of {whole}" + (f", {failed} failed" if failed else "")
        return Finding(Verdict.WAIT, so_far, 0.05, progress.document(found))
    bad = progress.failed + progress.unclear
    if not bad:
        return Finding(Verdict.PASS, whole)
    more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    named = "; ".join(short(line, 250) for line in bad[:_NAMED])
    reason = f"{len(bad)} of {whole} {'fails' if len(bad) == 1 else 'fail'}: {named}{more}"
    return Finding(Verdict.FAIL if progress.failed else Verdict.UNKNOWN, reason, evidence=tuple(progress.evidence))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
